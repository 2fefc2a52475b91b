//! Escape: what a value becomes in the place that it stands in, so that it stays there.
//!
//! In: a value of a template, and the place. Out: text that cannot end the place: no quote ends a
//! JSON string, no slash begins a segment. A template says only what stands around its values.

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Output, State, Value};
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use super::json;
use crate::payload::encode::percent_encode;

/// Where a template's text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The method, or a header field's value: checked once it is whole.
    Line,
    /// A path, the value of a query, a form.
    Url,
    /// A body that is JSON.
    Json,
    /// A body that is XML or HTML.
    Markup,
    /// Any other body.
    Text,
}

impl Place {
    const ALL: [Self; 5] = [Self::Line, Self::Url, Self::Json, Self::Markup, Self::Text];

    /// Where a body of a media type goes.
    pub(super) fn of_body(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Url,
            "text/html" | "text/xml" | "application/xml" => Self::Markup,
            other if other.ends_with("+json") => Self::Json,
            other if other.ends_with("+xml") => Self::Markup,
            _ => Self::Text,
        }
    }

    /// By which name the engine knows it; templates are named after their place.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Url => "url",
            Self::Json => "json",
            Self::Markup => "markup",
            Self::Text => "text",
        }
    }

    pub(super) fn of_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|place| place.name() == name).unwrap_or(Self::Text)
    }

    /// Whether values are changed on their way into it.
    pub(super) fn escapes(self) -> bool {
        !matches!(self, Self::Line | Self::Text)
    }
}

/// A text that a filter has made fit for a place already: `tojson` for JSON, `urlencode` for URLs.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) place: Place,
    pub(super) text: String,
}

impl Object for Ready {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Writes a value where it is printed.
pub(super) fn print(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    let place = Place::of_name(state.name());
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    // What is captured has literal text in it that nobody could tell from values again.
    if place.escapes() && value.is_safe() {
        return Err(refused("what a block captured can be printed in plain text only"));
    }
    if let Some(ready) = value.downcast_object_ref::<Ready>().filter(|ready| ready.place == place) {
        return match place {
            Place::Json => Ok(json::mark(&ready.text, out)?),
            _ => Ok(out.write_str(&ready.text)?),
        };
    }
    match place {
        Place::Json => {
            let mut text = String::new();
            json::write(value, &mut text)?;
            state.consume_fuel(text.len() as u64 / 64)?;
            Ok(json::mark(&text, out)?)
        }
        Place::Url => Ok(out.write_str(&percent_encoded(&text_of(value)?))?),
        Place::Markup => {
            let text = text_of(value)?;
            Ok(text.chars().try_for_each(|c| match entity(c) {
                Some(entity) => out.write_str(entity),
                None => out.write_char(c),
            })?)
        }
        Place::Line | Place::Text => Ok(out.write_str(&text_of(value)?)?),
    }
}

/// A value as text: objects and lists as their JSON.
pub(super) fn text_of(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok(String::new()),
        ValueKind::Plain => Ok(value.to_string()),
        _ => {
            let mut text = String::new();
            json::write(value, &mut text)?;
            Ok(text)
        }
    }
}

/// Everything but unreserved characters encoded (RFC 3986, section 2.3).
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    percent_encode(text, &mut encoded);
    encoded
}

fn entity(c: char) -> Option<&'static str> {
    Some(match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#39;",
        _ => return None,
    })
}

pub(super) fn refused(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}
