//! Reads JSON documents field by field, and reports every problem at once, each with its path.
//!
//! In: a parsed JSON value. Out: typed fields, the unknown rest, and [`Problems`]. Nothing is
//! dropped: what a reader does not know is handed back to be kept.

mod borrowed;
mod number;
mod parse;
mod path;
pub(crate) mod span;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use borrowed::Borrowed;
pub(crate) use number::{Decimal, keeps_numbers};
pub(crate) use parse::{parse, parse_borrowed, parse_foreign};
pub(crate) use path::Path;

use crate::clock::Timestamp;

/// One thing wrong with a document: where, what was found and what was expected.
///
/// As JSON `{"path", "message"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    path: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// Where in the document: member names joined by dots, indexes in brackets; empty for the
    /// whole of it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What was found there and what was expected.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Everything wrong with a document, all at once, up to [`MAX`](Self::MAX); never empty as an
/// error. As JSON a list of them.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The most problems that are told: a hostile document has no end of them.
    pub const MAX: usize = 200;

    /// The problems, in the order of the document's definition.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < Self::MAX {
            self.0.push(Problem::new(path, message));
        }
    }

    /// Adds the problems of a part that was read by itself.
    pub(crate) fn add_below(&mut self, path: &str, found: &Self) {
        for problem in found {
            let path = match problem.path.as_str() {
                "" => path.to_owned(),
                below => format!("{path}.{below}"),
            };
            self.add(path, problem.message.clone());
        }
    }

    /// A problem at one place.
    #[cfg(feature = "engine")]
    pub(crate) fn at(path: &str, message: impl Into<String>) -> Self {
        Self(vec![Problem::new(path, message)])
    }

    /// A problem of the whole document.
    pub(crate) fn of(message: impl Into<String>) -> Self {
        Self(vec![Problem::new("", message)])
    }

    /// Runs a check that finds problems; gives its answer only if it found none.
    pub(crate) fn gather<T>(
        check: impl FnOnce(&mut Self) -> Option<T>,
    ) -> std::result::Result<T, Self> {
        let mut problems = Self::default();
        match check(&mut problems) {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(problems),
        }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// As [`Display`](fmt::Display): it is what a `main` prints that returns an error.
impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Problems {}

/// The deepest nesting of a value that is kept as it is. Parsers of JSON stop at some depth, and
/// what is wrapped around the value needs some of it.
pub(crate) const MAX_DEPTH: usize = 64;

/// Reports a value that is nested too deep to be read back.
pub(crate) fn check_depth(path: Path<'_>, value: &Value, problems: &mut Problems) {
    if is_too_deep(value) {
        problems.add(path, format!("expected at most {MAX_DEPTH} levels of objects and arrays"));
    }
}

/// Whether a value is nested too deep to be read back.
pub(crate) fn is_too_deep(value: &Value) -> bool {
    is_deeper(value, MAX_DEPTH)
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Object(_) | Value::Array(_) if levels == 0 => true,
        Value::Object(members) => members.values().any(|value| is_deeper(value, levels - 1)),
        Value::Array(items) => items.iter().any(|item| is_deeper(item, levels - 1)),
        _ => false,
    }
}

/// A JSON object that is being read; what is left in it at the end was unknown.
#[derive(Debug)]
pub(crate) struct Object {
    path: String,
    members: Map<String, Value>,
}

impl Object {
    /// Reads the document's root.
    pub(crate) fn root(value: Value, problems: &mut Problems) -> Option<Self> {
        Self::read(value, "", problems)
    }

    /// The path of a member.
    pub(crate) fn path(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// Takes a member that may be absent or null.
    pub(crate) fn optional<T: Field>(&mut self, name: &str, problems: &mut Problems) -> Option<T> {
        match self.members.remove(name) {
            None | Some(Value::Null) => None,
            Some(value) => self.read_member(value, name, problems),
        }
    }

    /// Takes a member that must be there.
    pub(crate) fn required<T: Field>(&mut self, name: &str, problems: &mut Problems) -> Option<T> {
        match self.members.remove(name) {
            None | Some(Value::Null) => {
                problems.add(self.path(name), format!("expected {}, found nothing", T::EXPECTED));
                None
            }
            Some(value) => self.read_member(value, name, problems),
        }
    }

    fn read_member<T: Field>(
        &self,
        value: Value,
        name: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        match T::fitting(value) {
            Ok(fitting) => Some(fitting),
            Err(value) => T::read(value, &self.path(name), problems),
        }
    }

    /// Reports a member that means something only to a build with other features. Gives what is
    /// typed as that member, and never there.
    #[cfg(not(feature = "schedule"))]
    pub(crate) fn absent(
        &mut self,
        name: &str,
        reason: &str,
        problems: &mut Problems,
    ) -> Option<std::convert::Infallible> {
        if self.members.remove(name).is_some_and(|value| !value.is_null()) {
            problems.add(self.path(name), reason);
        }
        None
    }

    /// Leaves the rest unread.
    #[cfg(not(feature = "template"))]
    pub(crate) fn clear(&mut self) {
        self.members.clear();
    }

    /// What nobody asked for.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.members
    }

    /// Reports what nobody asked for, where unknown members are not kept.
    pub(crate) fn finish(self, problems: &mut Problems) {
        for name in self.members.keys() {
            problems.add(self.path(name), "is not a member of this object");
        }
    }
}

/// The path of a member. Of a long name only the beginning: the path stands in every problem below
/// it.
pub(crate) fn join(path: &str, name: &str) -> String {
    let name = cut(name);
    if path.is_empty() { name.to_owned() } else { [path, ".", name].concat() }
}

/// The beginning of a text, for an error.
pub(crate) fn cut(text: &str) -> &str {
    text.char_indices().nth(80).map_or(text, |(end, _)| &text[..end])
}

/// What can be read from a JSON value.
pub(crate) trait Field: Sized {
    /// What is expected, as the rest of "expected …".
    const EXPECTED: &'static str;

    /// Reads a value that is what is expected: most are, and none of these needs a path. Gives back
    /// any other, and one that is easier to read by [`read`](Self::read).
    fn fitting(value: Value) -> Result<Self, Value> {
        Err(value)
    }

    /// Reads the value; `None` after a problem was added.
    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self>;
}

/// Says what a value is, short enough for an error.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) => format!("{:?}", cut(text)),
        scalar => scalar.to_string(),
    }
}

pub(crate) fn mismatch(value: &Value, expected: &str, path: &str, problems: &mut Problems) {
    problems.add(path, format!("expected {expected}, found {}", describe(value)));
}

/// What a value was read as; a problem, if it is none of what is expected.
pub(crate) fn or_mismatch<T>(
    read: Option<T>,
    value: &Value,
    expected: &str,
    path: &str,
    problems: &mut Problems,
) -> Option<T> {
    if read.is_none() {
        mismatch(value, expected, path, problems);
    }
    read
}

/// Reports a value of the wrong shape by its kind alone: where a list or an object belongs, a text
/// that stands in its place may be a secret.
pub(crate) fn misshapen(value: &Value, expected: &str, path: &str, problems: &mut Problems) {
    let found = match value {
        Value::String(_) => "a string".to_owned(),
        other => describe(other),
    };
    problems.add(path, format!("expected {expected}, found {found}"));
}

macro_rules! field {
    ($type:ty, $expected:literal, $pattern:pat => $read:expr) => {
        impl Field for $type {
            const EXPECTED: &'static str = $expected;

            fn fitting(value: Value) -> Result<Self, Value> {
                match value {
                    $pattern => Ok($read),
                    other => Err(other),
                }
            }

            fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
                let misfit = |other| mismatch(&other, Self::EXPECTED, path, problems);
                Self::fitting(value).map_err(misfit).ok()
            }
        }
    };
}

field!(String, "a string", Value::String(text) => text);
field!(bool, "true or false", Value::Bool(value) => value);

impl Field for Map<String, Value> {
    const EXPECTED: &'static str = "an object";

    fn fitting(value: Value) -> Result<Self, Value> {
        match value {
            Value::Object(members) => Ok(members),
            other => Err(other),
        }
    }

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let misfit = |other| misshapen(&other, Self::EXPECTED, path, problems);
        Self::fitting(value).map_err(misfit).ok()
    }
}

impl Field for Value {
    const EXPECTED: &'static str = "a value";

    fn fitting(value: Value) -> Result<Self, Value> {
        Ok(value)
    }

    fn read(value: Value, _: &str, _: &mut Problems) -> Option<Self> {
        Some(value)
    }
}

impl Field for u64 {
    const EXPECTED: &'static str = "a whole number of 0 or more";

    fn fitting(value: Value) -> Result<Self, Value> {
        value.as_u64().ok_or(value)
    }

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        or_mismatch(value.as_u64(), &value, Self::EXPECTED, path, problems)
    }
}

impl Field for Object {
    const EXPECTED: &'static str = "an object";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let members = Map::read(value, path, problems)?;
        Some(Self { path: path.to_owned(), members })
    }
}

impl<T: Field> Field for Vec<T> {
    const EXPECTED: &'static str = "an array";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let Value::Array(items) = value else {
            misshapen(&value, Self::EXPECTED, path, problems);
            return None;
        };
        let read: Vec<Option<T>> = items
            .into_iter()
            .enumerate()
            .map(|(n, item)| T::read(item, &format!("{path}[{n}]"), problems))
            .collect();
        read.into_iter().collect()
    }
}

impl Field for BTreeMap<String, String> {
    const EXPECTED: &'static str = "an object of strings";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let members = Map::read(value, path, problems)?;
        let read: Vec<Option<(String, String)>> = members
            .into_iter()
            .map(|(name, value)| {
                let value = String::read(value, &join(path, &name), problems)?;
                Some((name, value))
            })
            .collect();
        read.into_iter().collect()
    }
}

/// Makes a type readable from the string that its `FromStr` takes.
macro_rules! field_from_str {
    ($type:ty, $expected:literal) => {
        impl $crate::document::Field for $type {
            const EXPECTED: &'static str = $expected;

            fn fitting(value: serde_json::Value) -> Result<Self, serde_json::Value> {
                value.as_str().and_then(|text| text.parse().ok()).ok_or(value)
            }

            fn read(
                value: serde_json::Value,
                path: &str,
                problems: &mut $crate::document::Problems,
            ) -> Option<Self> {
                let serde_json::Value::String(text) = &value else {
                    $crate::document::mismatch(&value, Self::EXPECTED, path, problems);
                    return None;
                };
                text.parse().map_err(|error| problems.add(path, format!("{error}"))).ok()
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use field_from_str;

field_from_str!(Timestamp, "a time as RFC 3339 has it");
field_from_str!(crate::id::EventId, "an event id");
field_from_str!(crate::id::TriggerId, "a trigger id");
field_from_str!(crate::id::DeliveryId, "a delivery id");
field_from_str!(crate::id::MessageId, "a message id");
field_from_str!(crate::id::JobId, "a job id");
field_from_str!(crate::id::OrderingKey, "an ordering key");
