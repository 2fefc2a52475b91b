//! Mappings: what of a document becomes what of an event.
//!
//! In: a mapping as JSON. Out: a [`Mapping`] that can be applied, or every problem with it at its
//! path. What a mapping does not know is a problem too, since it would do nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::template::{Pointer, Template};
use crate::document::{self, Field, Object, Problems, join, mismatch};
use crate::event::{ActorKind, EventKind, MAX_COUNT};

/// The largest mapping, in bytes of its JSON.
const MAX_BYTES: usize = 64 * 1024;
/// The longest name of a source, in bytes.
const MAX_SOURCE_BYTES: usize = 128;

/// What of a document becomes what of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    pub(super) source: String,
    pub(super) instance: Option<Template>,
    /// The array each part of which is an event.
    pub(super) each: Option<Pointer>,
    /// All of them hold for what is told; the rest is left out.
    pub(super) when: Vec<Condition>,
    pub(super) kind: Kind,
    /// Whether the kind is told as it is, whatever is known of the tag.
    pub(super) kind_is_final: bool,
    pub(super) id: Option<Template>,
    pub(super) time: Option<Time>,
    pub(super) artifact: Coordinates,
    pub(super) from: Option<Coordinates>,
    pub(super) actor: Option<Who>,
    pub(super) request_id: Option<Template>,
    pub(super) trace_parent: Option<Template>,
    pub(super) attributes: BTreeMap<String, Template>,
    /// What is kept as the event's data; the part that it is made of unless that is set.
    pub(super) data: Option<Pointer>,
}

/// What happened: always the same, or by a word in the document.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Always(EventKind),
    Table {
        at: Pointer,
        /// The kinds of words; none for what is left out.
        table: BTreeMap<String, Option<EventKind>>,
        otherwise: Option<EventKind>,
    },
}

/// What must hold of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) at: Pointer,
    pub(super) test: Test,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Is(Vec<Value>),
    IsNot(Vec<Value>),
    Exists(bool),
}

/// Where a time stands, and how.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Time {
    pub(super) at: Pointer,
    pub(super) notation: Notation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    Rfc3339,
    Seconds,
    Milliseconds,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Coordinates {
    /// The members of an artifact that are texts, by their names.
    pub(super) texts: BTreeMap<&'static str, Template>,
    pub(super) tags: Vec<Template>,
    pub(super) size: Option<Template>,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Who {
    pub(super) kind: Option<ActorKind>,
    pub(super) name: Option<Template>,
    pub(super) id: Option<Template>,
}

/// The members of an artifact that are texts.
const TEXTS: [&str; 9] = [
    "registry",
    "repository",
    "package_type",
    "namespace",
    "name",
    "version",
    "digest",
    "url",
    "media_type",
];

impl Mapping {
    /// Parses a mapping from its JSON.
    ///
    /// # Errors
    /// Every problem at once, each with its path: no JSON, more than 64 KiB, a member that is
    /// missing, unknown or of the wrong type, a pointer, a text or a kind that is none.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        let value = document::parse(json, MAX_BYTES)?;
        Problems::gather(|problems| Self::read_value(value, "", problems))
    }

    /// The name of its events' source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it takes neither an id nor a time from a body.
    pub(super) fn is_anonymous(&self) -> bool {
        self.id.is_none() && self.time.is_none()
    }

    fn read_value(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let source = source(&mut object, problems);
        let instance = object.optional("instance", problems);
        let each = object.optional("each", problems);
        let when = object.optional("when", problems).unwrap_or_default();
        let kind = object.required("kind", problems);
        let kind_is_final = object.optional("kind_is_final", problems).unwrap_or_default();
        let id = object.optional("id", problems);
        let time = object.optional("time", problems);
        let artifact = object.required("artifact", problems);
        let from = object.optional("from", problems);
        let actor = object.optional("actor", problems);
        let request_id = object.optional("request_id", problems);
        let trace_parent = object.optional("trace_parent", problems);
        let attributes = attributes(&mut object, problems);
        let data = object.optional("data", problems);
        object.finish(problems);
        Some(Self {
            source: source?,
            instance,
            each,
            when,
            kind: kind?,
            kind_is_final,
            id,
            time,
            artifact: artifact?,
            from,
            actor,
            request_id,
            trace_parent,
            attributes,
            data,
        })
    }
}

fn source(object: &mut Object, problems: &mut Problems) -> Option<String> {
    let path = object.path("source");
    let source: String = object.required("source", problems)?;
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if !(1..=MAX_SOURCE_BYTES).contains(&source.len()) || !source.bytes().all(is_inner) {
        let expected = "a name in lower case, such as nightly-build";
        mismatch(&Value::String(source), expected, &path, problems);
        return None;
    }
    Some(source)
}

fn attributes(object: &mut Object, problems: &mut Problems) -> BTreeMap<String, Template> {
    let path = object.path("attributes");
    let told: Map<String, Value> = object.optional("attributes", problems).unwrap_or_default();
    let mut attributes = BTreeMap::new();
    for (name, value) in told {
        let template = Template::read(value, &join(&path, &name), problems);
        attributes.extend(template.map(|template| (name, template)));
    }
    attributes
}

impl<'de> Deserialize<'de> for Mapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Problems::gather(|problems| Self::read_value(value, "", problems))
            .map_err(serde::de::Error::custom)
    }
}

/// Makes a type readable from a text, by its own way to parse it.
macro_rules! field_of_text {
    ($type:ty, $expected:literal) => {
        impl Field for $type {
            const EXPECTED: &'static str = $expected;

            fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
                let text = match value {
                    Value::String(text) => text,
                    other => {
                        mismatch(&other, Self::EXPECTED, path, problems);
                        return None;
                    }
                };
                Self::parse(&text).map_err(|message| problems.add(path, message)).ok()
            }
        }
    };
}

field_of_text!(Template, "a text, with pointers in braces (a string)");
field_of_text!(Pointer, "a JSON pointer (a string)");

impl Field for Kind {
    const EXPECTED: &'static str = "a kind of event (a string), or a table of them (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        if value.is_string() {
            return EventKind::read(value, path, problems).map(Self::Always);
        }
        if !value.is_object() {
            mismatch(&value, Self::EXPECTED, path, problems);
            return None;
        }
        let mut object = Object::read(value, path, problems)?;
        let at = object.required("at", problems);
        let of_table = object.path("table");
        let told: Option<Map<String, Value>> = object.required("table", problems);
        let otherwise = object.optional("otherwise", problems);
        object.finish(problems);
        let mut table = BTreeMap::new();
        for (word, value) in told? {
            let kind = match value {
                Value::Null => Some(None),
                value => EventKind::read(value, &join(&of_table, &word), problems).map(Some),
            };
            table.extend(kind.map(|kind| (word, kind)));
        }
        if table.len() > MAX_COUNT {
            problems.add(of_table, format!("expected at most {MAX_COUNT}, found {}", table.len()));
        }
        Some(Self::Table { at: at?, table, otherwise })
    }
}

impl Field for Condition {
    const EXPECTED: &'static str = "a condition (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let at = object.required("at", problems);
        let is = values(&mut object, "is", problems);
        let is_not = values(&mut object, "is_not", problems);
        let exists: Option<bool> = object.optional("exists", problems);
        object.finish(problems);
        let test = match (is, is_not, exists) {
            (Some(is), None, None) => Test::Is(is),
            (None, Some(is_not), None) => Test::IsNot(is_not),
            (None, None, Some(exists)) => Test::Exists(exists),
            _ => {
                problems.add(path, "expected one of is, is_not and exists");
                return None;
            }
        };
        Some(Self { at: at?, test })
    }
}

/// A list of texts, numbers and truth values that is not empty.
fn values(object: &mut Object, name: &str, problems: &mut Problems) -> Option<Vec<Value>> {
    let path = object.path(name);
    let values: Vec<Value> = object.optional(name, problems)?;
    if values.is_empty() {
        problems.add(&path, "expected at least one value, found none");
    }
    for (n, value) in values.iter().enumerate() {
        if value.is_null() || value.is_array() || value.is_object() {
            let expected = "a string, a number, true or false";
            mismatch(value, expected, &format!("{path}[{n}]"), problems);
        }
    }
    Some(values)
}

impl Field for Time {
    const EXPECTED: &'static str =
        "a pointer to a time (a string), or where it is and how (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        if value.is_string() {
            let at = Pointer::read(value, path, problems)?;
            return Some(Self { at, notation: Notation::Rfc3339 });
        }
        if !value.is_object() {
            mismatch(&value, Self::EXPECTED, path, problems);
            return None;
        }
        let mut object = Object::read(value, path, problems)?;
        let at = object.required("at", problems);
        let of_notation = object.path("as");
        let notation: Option<String> = object.required("as", problems);
        object.finish(problems);
        let notation = match notation?.as_str() {
            "rfc3339" => Notation::Rfc3339,
            "seconds" => Notation::Seconds,
            "milliseconds" => Notation::Milliseconds,
            other => {
                let expected = "rfc3339, seconds or milliseconds";
                mismatch(&Value::from(other), expected, &of_notation, problems);
                return None;
            }
        };
        Some(Self { at: at?, notation })
    }
}

impl Field for Coordinates {
    const EXPECTED: &'static str = "an object";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let mut texts = BTreeMap::new();
        for name in TEXTS {
            texts.extend(object.optional(name, problems).map(|template| (name, template)));
        }
        let tags = object.optional("tags", problems).unwrap_or_default();
        let size = object.optional("size", problems);
        object.finish(problems);
        Some(Self { texts, tags, size })
    }
}

impl Field for Who {
    const EXPECTED: &'static str = "an object";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let kind = object.optional("kind", problems);
        let name = object.optional("name", problems);
        let id = object.optional("id", problems);
        object.finish(problems);
        Some(Self { kind, name, id })
    }
}
