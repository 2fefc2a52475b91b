//! Filters: which events of a kind a trigger wants.
//!
//! In: a JSON pattern in the language of EventBridge. Out: a [`Filter`], parsed once and evaluated
//! many times. A pattern that cannot be right is refused when it is made, with the path to the spot.
//!
//! | condition | holds for a leaf that |
//! |---|---|
//! | `"text"`, `5`, `true`, `null` | is equal; `1` is `1.0`, `"1"` is not `1` |
//! | `{"prefix": "a"}`, `{"suffix": "z"}` | begins, ends so |
//! | `{"prefix": {"equals-ignore-case": "a"}}` | begins so in any case; `suffix` likewise |
//! | `{"equals-ignore-case": "a"}` | is equal in any case |
//! | `{"wildcard": "a*z"}` | fits, `*` being any text, `\*` an asterisk, `\\` a backslash |
//! | `{"anything-but": …}` | is there and fits none: a value, a list of values, or one of `prefix`, `suffix`, `wildcard`, `equals-ignore-case` with a text or a list of texts |
//! | `{"exists": true}` | is there at all; `false`: is not there |
//!
//! Lists mean *any of these*, fields side by side mean *all of these*; `$or` and `$and` take a list
//! of patterns, `$not` takes one. Where the event has an array, one element must satisfy the whole
//! of what the pattern says below it.

mod condition;
mod parse;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub use condition::{Condition, Text, Wildcard};

use crate::document::{self, Problems};
use crate::event::Event;

/// The largest filter, in bytes of its JSON.
pub const MAX_FILTER_BYTES: usize = 64 * 1024;
/// The deepest nesting of a filter.
pub const MAX_FILTER_DEPTH: usize = 16;
/// The most conditions in a filter.
pub const MAX_CONDITIONS: usize = 1024;
/// The longest text in a condition, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// The most `*` in one wildcard pattern.
pub const MAX_WILDCARDS: usize = 16;

/// Which events a trigger wants, beside their kind and scope.
///
/// ```
/// use artifact_triggers::event::{Artifact, Event, EventKind};
/// use artifact_triggers::trigger::filter::Filter;
///
/// let filter = Filter::from_json(
///     br#"{"artifact": {"repository": [{"prefix": "library/"}], "tags": [{"anything-but": "latest"}]}}"#,
/// )?;
/// let image = Artifact::new("oci", "hello").with_repository("library/hello").with_tag("v1");
/// let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(image).build()?;
/// assert!(filter.matches(&event));
/// # Ok::<(), artifact_triggers::document::Problems>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    root: Pattern,
}

/// Clauses that must all hold for one JSON object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Pattern {
    clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq)]
enum Clause {
    /// A leaf satisfies any of these conditions.
    Leaf {
        name: String,
        any: Vec<Condition>,
    },
    /// A member object satisfies a pattern.
    Nested {
        name: String,
        pattern: Pattern,
    },
    Or(Vec<Pattern>),
    And(Vec<Pattern>),
    Not(Pattern),
}

impl Filter {
    /// The filter that wants every event.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Parses a filter from its JSON.
    ///
    /// # Errors
    /// Every problem at once, each with its path: an unknown operator, an empty list, a value of
    /// the wrong type, a limit of this module exceeded.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        let value = document::parse(json, MAX_FILTER_BYTES)?;
        Problems::gather(|problems| parse::filter(&value, "", problems))
    }

    /// Parses a filter from a JSON value.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_value(value: &Value) -> Result<Self, Problems> {
        Problems::gather(|problems| parse::filter(value, "", problems))
    }

    /// Wants, besides what it wanted before, that the field at a path satisfies any of the
    /// conditions.
    ///
    /// ```
    /// use artifact_triggers::trigger::filter::{Condition, Filter};
    ///
    /// let filter = Filter::everything()
    ///     .and(["artifact", "repository"], [Condition::prefix("library/")])
    ///     .and(["actor", "kind"], [Condition::anything_but(["robot"])]);
    /// assert_eq!(
    ///     filter.to_value(),
    ///     serde_json::json!({"$and": [
    ///         {"artifact": {"repository": [{"prefix": "library/"}]}},
    ///         {"actor": {"kind": [{"anything-but": "robot"}]}},
    ///     ]})
    /// );
    /// ```
    pub fn and<'p>(
        self,
        path: impl IntoIterator<Item = &'p str, IntoIter: DoubleEndedIterator>,
        any: impl IntoIterator<Item = Condition>,
    ) -> Self {
        let Some(added) = Pattern::at(path, any.into_iter().collect()) else { return self };
        let mut clauses = self.root.clauses;
        let patterns = match clauses.as_mut_slice() {
            [] => return Self { root: added },
            [Clause::And(patterns)] => std::mem::take(patterns),
            _ => vec![Pattern { clauses: std::mem::take(&mut clauses) }],
        };
        let all = patterns.into_iter().chain([added]).collect();
        Self { root: Pattern { clauses: vec![Clause::And(all)] } }
    }

    /// Whether an event satisfies the filter.
    pub fn matches(&self, event: &Event) -> bool {
        self.wants_everything() || self.matches_value(&event_value(event))
    }

    /// Whether an event's JSON satisfies the filter.
    pub fn matches_value(&self, event: &Value) -> bool {
        self.root.holds(Some(event))
    }

    pub(crate) fn wants_everything(&self) -> bool {
        self.root.clauses.is_empty()
    }

    /// The filter as JSON; parses back to an equal filter.
    pub fn to_value(&self) -> Value {
        self.root.to_value()
    }

    pub(crate) fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        parse::filter(value, path, problems)
    }

    /// Reports what a builder can make and a parser would refuse.
    pub(crate) fn check(&self, path: &str, problems: &mut Problems) {
        parse::filter(&self.to_value(), path, problems);
    }
}

impl std::str::FromStr for Filter {
    type Err = Problems;

    /// As [`from_json`](Self::from_json).
    fn from_str(json: &str) -> Result<Self, Problems> {
        Self::from_json(json.as_bytes())
    }
}

/// The event as filters see it.
pub(crate) fn event_value(event: &Event) -> Value {
    serde_json::to_value(event).expect("an event has string keys only")
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl Pattern {
    fn at<'p>(
        path: impl IntoIterator<Item = &'p str, IntoIter: DoubleEndedIterator>,
        any: Vec<Condition>,
    ) -> Option<Self> {
        let mut names = path.into_iter().rev();
        let leaf = Clause::Leaf { name: names.next()?.to_owned(), any };
        let pattern = Self { clauses: vec![leaf] };
        Some(names.fold(pattern, |pattern, name| {
            let name = name.to_owned();
            Self { clauses: vec![Clause::Nested { name, pattern }] }
        }))
    }

    /// Whether a value satisfies every clause; of an array, whether one element does.
    fn holds(&self, value: Option<&Value>) -> bool {
        match value {
            Some(Value::Array(items)) if !items.is_empty() => {
                items.iter().any(|item| self.holds(Some(item)))
            }
            Some(Value::Object(members)) => {
                self.clauses.iter().all(|c| c.holds(Some(members), value))
            }
            _ => self.clauses.iter().all(|clause| clause.holds(None, None)),
        }
    }

    fn to_value(&self) -> Value {
        let members = self.clauses.iter().map(Clause::to_member);
        Value::Object(members.collect::<Map<_, _>>())
    }
}

impl Clause {
    fn holds(&self, members: Option<&Map<String, Value>>, whole: Option<&Value>) -> bool {
        let member = |name: &str| members.and_then(|members| members.get(name));
        match self {
            Self::Leaf { name, any } => leaf_holds(any, member(name)),
            Self::Nested { name, pattern } => pattern.holds(member(name)),
            Self::Or(patterns) => patterns.iter().any(|pattern| pattern.holds(whole)),
            Self::And(patterns) => patterns.iter().all(|pattern| pattern.holds(whole)),
            Self::Not(pattern) => !pattern.holds(whole),
        }
    }

    fn to_member(&self) -> (String, Value) {
        let patterns = |patterns: &[Pattern]| patterns.iter().map(Pattern::to_value).collect();
        match self {
            Self::Leaf { name, any } => {
                (name.clone(), Value::Array(any.iter().map(Condition::to_value).collect()))
            }
            Self::Nested { name, pattern } => (name.clone(), pattern.to_value()),
            Self::Or(any) => ("$or".to_owned(), Value::Array(patterns(any))),
            Self::And(all) => ("$and".to_owned(), Value::Array(patterns(all))),
            Self::Not(pattern) => ("$not".to_owned(), pattern.to_value()),
        }
    }
}

/// Whether what stands at a leaf satisfies any of the conditions; of arrays, whether an element does.
fn leaf_holds(any: &[Condition], value: Option<&Value>) -> bool {
    // An object or an empty array has no leaf here: it counts as absent.
    value
        .and_then(|value| any_leaf_holds(any, value))
        .unwrap_or_else(|| any.iter().any(Condition::holds_for_nothing))
}

/// The same for a value that is there; `None` if it has no leaf. Looks at each element once.
fn any_leaf_holds(any: &[Condition], value: &Value) -> Option<bool> {
    match value {
        Value::Object(_) => None,
        Value::Array(items) => {
            let mut found = None;
            for item in items {
                match any_leaf_holds(any, item) {
                    Some(true) => return Some(true),
                    leaf => found = found.or(leaf),
                }
            }
            found
        }
        leaf => Some(any.iter().any(|condition| condition.holds(leaf))),
    }
}

#[cfg(test)]
mod tests;
