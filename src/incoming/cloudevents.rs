//! CloudEvents 1.0 as they come in over HTTP: binary, structured or batched.
//!
//! In: header fields and a body. Out: [`CloudEvent`]s whose attributes are valid (CNCF CloudEvents,
//! HTTP protocol binding and JSON event format, version 1.0.2), or problems, each at its attribute:
//! `ce-id` in binary mode, `id` in structured mode, `[2].id` in a batch; what is wrong with the
//! data stands at `data` in either.
//!
//! More than the specification asks for is taken where it can mean one thing only: an empty
//! optional attribute is absent, as JSON's `null` is; a percent sign that encodes nothing stands
//! for itself; the media type of binary data is `content-type`, whatever `ce-datacontenttype` says
//! beside it.

mod attributes;
mod data;
mod field;

use serde_json::{Map, Value};

use super::ParseError;
use crate::clock::Timestamp;
use crate::document::{self, Field as _, Object, Problems, join, mismatch};
use crate::request::Headers;
use attributes::{Attributes, Place};
pub(super) use data::Data;

/// The most events that a batch may hold.
const MAX_EVENTS: usize = 1_000;
/// The media types that are understood, for an error.
const EXPECTED: &str =
    "application/cloudevents+json, application/cloudevents-batch+json or ce- header fields";

/// One event as its sender tells it. Its attributes are valid; none is empty.
#[derive(Debug)]
pub(super) struct CloudEvent {
    pub(super) spec_version: String,
    /// Together with the source it tells the event from all others.
    pub(super) id: String,
    /// A URI reference.
    pub(super) source: String,
    /// The attribute `type`.
    pub(super) kind: String,
    pub(super) subject: Option<String>,
    pub(super) time: Option<Timestamp>,
    pub(super) data_content_type: Option<String>,
    pub(super) data_schema: Option<String>,
    /// Texts, numbers and truth values; in binary mode texts alone.
    pub(super) extensions: Map<String, Value>,
    pub(super) data: Data,
    place: Place,
}

impl CloudEvent {
    /// Where an attribute of it stands, for a problem.
    pub(super) fn path(&self, attribute: &str) -> String {
        self.place.of(attribute)
    }

    /// Where all of it stands in the body, for a problem.
    pub(super) fn root(&self) -> &str {
        self.place.root()
    }

    /// Where its data stands, for a problem.
    pub(super) fn data_path(&self) -> String {
        self.place.of_data()
    }

    /// An extension that is a text.
    pub(super) fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.get(name)?.as_str()
    }

    /// Takes its data, which has to be JSON.
    pub(super) fn take_json(&mut self, problems: &mut Problems) -> Option<Value> {
        match std::mem::take(&mut self.data) {
            Data::Json(value) => Some(value),
            Data::None => {
                problems.add(self.data_path(), "expected JSON, found nothing");
                None
            }
            Data::Text(_) | Data::Bytes(_) => {
                let media_type = self.data_content_type.as_deref().unwrap_or("no media type");
                problems.add(self.data_path(), format!("expected JSON, found {media_type}"));
                None
            }
        }
    }

    /// Takes its data, which has to be a JSON object.
    pub(super) fn take_object(&mut self, problems: &mut Problems) -> Option<Object> {
        let value = self.take_json(problems)?;
        Object::read(value, &self.data_path(), problems)
    }

    /// It in the JSON event format, whichever way it came.
    pub(super) fn into_json(self) -> Map<String, Value> {
        let mut envelope = self.extensions;
        let optional = [
            ("subject", self.subject),
            ("time", self.time.map(|time| time.to_string())),
            ("datacontenttype", self.data_content_type),
            ("dataschema", self.data_schema),
        ];
        let required = [
            ("specversion", self.spec_version),
            ("id", self.id),
            ("source", self.source),
            ("type", self.kind),
        ];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in required.into_iter().chain(optional) {
            envelope.insert(name.to_owned(), Value::String(value));
        }
        self.data.add_to(&mut envelope);
        envelope
    }
}

/// The events of a request, in order; none of an empty batch.
pub(super) fn read(headers: &Headers, body: &[u8]) -> Result<Vec<CloudEvent>, ParseError> {
    let content_type = headers.only("content-type").map(String::from_utf8_lossy);
    let essence = essence(content_type.as_deref().unwrap_or_default());
    match essence.as_str() {
        "application/cloudevents+json" => {
            let value = document::parse_foreign(body, body.len())?;
            Ok(Problems::gather(|problems| Some(vec![from_json(value, "", problems)?]))?)
        }
        "application/cloudevents-batch+json" => {
            let value = document::parse_foreign(body, body.len())?;
            Ok(Problems::gather(|problems| batch(value, problems))?)
        }
        _ if essence.starts_with("application/cloudevents") || !has_attributes(headers) => {
            let found = content_type.map(|text| format!("{:?}", document::cut(&text)));
            let found = found.unwrap_or_else(|| "none, or more than one".to_owned());
            Err(ParseError::MediaType { expected: EXPECTED, found })
        }
        _ => Ok(Problems::gather(|problems| Some(vec![binary(headers, body, problems)?]))?),
    }
}

/// Whether a request says that it is one.
pub(super) fn is_one(headers: &Headers) -> bool {
    let content_type = headers.only("content-type").map(String::from_utf8_lossy);
    let essence = essence(content_type.as_deref().unwrap_or_default());
    essence.starts_with("application/cloudevents") || has_attributes(headers)
}

/// A media type without its parameters, in lower case.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a request has fields of the binary mode.
fn has_attributes(headers: &Headers) -> bool {
    headers.iter().any(|(name, _)| field::attribute(name).is_some())
}

fn batch(value: Value, problems: &mut Problems) -> Option<Vec<CloudEvent>> {
    let Value::Array(items) = value else {
        document::misshapen(&value, "an array of events", "", problems);
        return None;
    };
    if items.len() > MAX_EVENTS {
        let found = items.len();
        problems.add("", format!("expected at most {MAX_EVENTS} events, found {found}"));
        return None;
    }
    let read = |(n, item)| from_json(item, &format!("[{n}]"), problems);
    Some(items.into_iter().enumerate().filter_map(read).collect())
}

fn from_json(value: Value, path: &str, problems: &mut Problems) -> Option<CloudEvent> {
    let mut members: Map<String, Value> = Map::read(value, path, problems)?;
    let data = members.remove("data").filter(|data| !data.is_null());
    let base64 = members.remove("data_base64").filter(|data| !data.is_null());
    let place = Place::Json(path.to_owned());
    let attributes = Attributes::new(members, place, problems);
    attributes.event(problems, |media_type, problems| match (data, base64) {
        (Some(_), Some(_)) => {
            problems.add(join(path, "data_base64"), "expected nothing, since there is data");
            None
        }
        (Some(value), None) => Some(Data::of_json(value, media_type)),
        (None, Some(Value::String(text))) => {
            Data::of_base64(&text, media_type, &join(path, "data_base64"), problems)
        }
        (None, Some(other)) => {
            mismatch(&other, "a string", &join(path, "data_base64"), problems);
            None
        }
        (None, None) => Some(Data::None),
    })
}

fn binary(headers: &Headers, body: &[u8], problems: &mut Problems) -> Option<CloudEvent> {
    let mut members = field::attributes(headers, problems);
    // The media type is a field of its own.
    members.remove("datacontenttype");
    if headers.all("content-type").nth(1).is_some() {
        problems.add("content-type", "expected it once, found it more than once");
    }
    if let Some(media_type) = headers.only("content-type") {
        let text = String::from_utf8_lossy(media_type).trim().to_owned();
        members.insert("datacontenttype".to_owned(), Value::String(text));
    }
    let attributes = Attributes::new(members, Place::Headers, problems);
    attributes
        .event(problems, |media_type, problems| Data::of_bytes(body, media_type, "data", problems))
}

#[cfg(test)]
mod tests;
