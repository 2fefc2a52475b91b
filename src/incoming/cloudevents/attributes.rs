//! Attributes, checked by the specification's type system (CloudEvents 1.0.2, "Type System" and
//! "Context Attributes").

use serde_json::{Map, Value};

use super::{CloudEvent, Data};
use crate::clock::Timestamp;
use crate::document::{Field as _, Problems, cut, describe, join};

/// Where attributes stand.
#[derive(Debug)]
pub(super) enum Place {
    /// In header fields.
    Headers,
    /// In a JSON object at a path.
    Json(String),
}

impl Place {
    pub(super) fn of(&self, attribute: &str) -> String {
        match self {
            Self::Headers if attribute == "datacontenttype" => "content-type".to_owned(),
            Self::Headers => format!("ce-{}", cut(attribute)),
            Self::Json(path) => join(path, attribute),
        }
    }

    pub(super) fn root(&self) -> &str {
        match self {
            Self::Headers => "",
            Self::Json(path) => path,
        }
    }

    pub(super) fn of_data(&self) -> String {
        match self {
            Self::Headers => "data".to_owned(),
            Self::Json(path) => join(path, "data"),
        }
    }
}

/// The attributes of an event that is being read. None is empty or null.
pub(super) struct Attributes {
    members: Map<String, Value>,
    place: Place,
}

impl Attributes {
    pub(super) fn new(
        mut members: Map<String, Value>,
        place: Place,
        problems: &mut Problems,
    ) -> Self {
        members.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
        for (name, value) in &members {
            if let Err(message) = check(name, value) {
                problems.add(place.of(name), message);
            }
        }
        Self { members, place }
    }

    /// The event that has these attributes, and the data that fits their media type.
    pub(super) fn event(
        mut self,
        problems: &mut Problems,
        data: impl FnOnce(Option<&str>, &mut Problems) -> Option<Data>,
    ) -> Option<CloudEvent> {
        let before = problems.len();
        let spec_version = self.required("specversion", "1.0", problems);
        let id = self.required("id", "a text", problems);
        let source = self.required("source", "a URI reference", problems);
        let kind = self.required("type", "a text", problems);
        let subject = self.text("subject", problems);
        let time = self.time(problems);
        let data_content_type = self.text("datacontenttype", problems);
        let data_schema = self.text("dataschema", problems);
        let data = data(data_content_type.as_deref(), problems);
        if problems.len() > before {
            return None;
        }
        Some(CloudEvent {
            spec_version: spec_version?,
            id: id?,
            source: source?,
            kind: kind?,
            subject,
            time,
            data_content_type,
            data_schema,
            extensions: self.members,
            data: data?,
            place: self.place,
        })
    }

    fn text(&mut self, name: &str, problems: &mut Problems) -> Option<String> {
        String::read(self.members.remove(name)?, &self.place.of(name), problems)
    }

    fn required(&mut self, name: &str, expected: &str, problems: &mut Problems) -> Option<String> {
        if !self.members.contains_key(name) {
            problems.add(self.place.of(name), format!("expected {expected}, found nothing"));
        }
        self.text(name, problems)
    }

    fn time(&mut self, problems: &mut Problems) -> Option<Timestamp> {
        Timestamp::read(self.members.remove("time")?, &self.place.of("time"), problems)
    }
}

/// What a form is called, and whether a text has it.
type Form = (&'static str, fn(&str) -> bool);

/// Attributes whose texts have a form.
const FORMS: [(&str, Form); 4] = [
    ("specversion", ("version 1.x", is_version_one)),
    ("source", ("a URI reference", is_uri_reference)),
    ("dataschema", ("a URI", has_scheme)),
    ("datacontenttype", ("a media type", is_media_type)),
];

/// Whether an attribute has a name and a value that any may have.
fn check(name: &str, value: &Value) -> Result<(), String> {
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if name == "data" || !name.bytes().all(is_name) || name.is_empty() {
        let expected = "a name of letters a to z and digits, other than data";
        return Err(format!("expected {expected}, found {:?}", cut(name)));
    }
    let Value::String(text) = value else {
        let is_whole = value.is_i64() || value.is_u64();
        let found = describe(value);
        return if is_whole || value.is_boolean() {
            Ok(())
        } else {
            Err(format!("expected a string, a whole number, true or false, found {found}"))
        };
    };
    if text.contains(is_forbidden) {
        return Err(format!("expected no control characters, found {}", describe(value)));
    }
    match FORMS.iter().find(|(of, _)| *of == name) {
        Some((_, (expected, is_form))) if !is_form(text) => {
            Err(format!("expected {expected}, found {}", describe(value)))
        }
        _ => Ok(()),
    }
}

/// Control characters and what Unicode reserves as no characters.
fn is_forbidden(c: char) -> bool {
    c.is_control() || ('\u{fdd0}'..='\u{fdef}').contains(&c) || u32::from(c) & 0xfffe == 0xfffe
}

/// Whether a text is 1 and any minor version.
fn is_version_one(text: &str) -> bool {
    text.strip_prefix("1.").is_some_and(|minor| {
        (1..=9).contains(&minor.len()) && minor.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Whether a text is a URI or a relative reference (RFC 3986, section 4.1).
fn is_uri_reference(text: &str) -> bool {
    let first_segment = text.split(['/', '?', '#']).next().unwrap_or_default();
    has_uri_characters(text) && (!first_segment.contains(':') || has_scheme(text))
}

/// Whether a text is a URI, with its scheme (RFC 3986, section 3).
fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(is_inner)
        && has_uri_characters(text)
}

/// Only characters that a URI may have, each percent sign with its two digits, one fragment at
/// most.
fn has_uri_characters(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    let is_encoded =
        |behind: &str| behind.len() >= 2 && behind.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    text.bytes().all(is_allowed)
        && text.split('%').skip(1).all(is_encoded)
        && text.matches('#').count() <= 1
}

/// Whether a text begins with a type and a subtype (RFC 2045, section 5.1).
fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !part.is_empty() && part.bytes().all(is_inner)
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_references_are_told_from_other_texts() {
        for text in [
            "https://github.com/cloudevents",
            "mailto:cncf-wg-serverless@lists.cncf.io",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "cloudevents/spec/pull/123",
            "/cloudevents/spec/pull/123",
            "1-555-123-4567",
            "//host:80/a?b=c#d",
            "a/b:c",
            "/sensors/tn%2D1/alerts",
            "http://[::1]/",
        ] {
            assert!(is_uri_reference(text), "{text}");
        }
        for text in ["a b", "/ü", "1a:b", ":", "%", "%4", "%zz", "a#b#c", "a\\b", "<a>", "a\"b"] {
            assert!(!is_uri_reference(text), "{text}");
        }
        assert!(has_scheme("https://a/b") && !has_scheme("/a") && !has_scheme("a/b:c"));
    }

    #[test]
    fn media_types_are_told_from_other_texts() {
        for text in ["text/xml", "application/json; charset=utf-8", "a/vnd.b-c+json;x=\"y z\""] {
            assert!(is_media_type(text), "{text}");
        }
        for text in ["json", "a/", "/b", "a b/c", "a/b/c", ";a/b"] {
            assert!(!is_media_type(text), "{text}");
        }
    }
}
