//! Filters: which events of a kind a trigger wants.
//!
//! In: a JSON pattern in the language of EventBridge, or a [`Draft`] of the same. Out: a
//! [`Filter`], parsed once and evaluated many times. A pattern that cannot be right is refused when
//! it is made, with the path to the spot. The [manual](crate::manual::filters) has the language.

pub mod harness;

mod condition;
mod draft;
pub mod field;
mod judge;
mod limits;
pub(crate) mod meter;
mod normal;
mod parse;
mod regex;
mod screen;
pub(crate) mod sentence;
pub(crate) mod slot;
mod version;
pub(crate) mod wildcard;

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub(crate) use condition::{Condition, Literal, Text};
pub use draft::Draft;
pub use field::Field;
pub(crate) use judge::{Verdict, judge_leaf, leaf_holds};
pub use limits::{
    FilterLimits, MAX_COMBINATIONS, MAX_CONDITIONS, MAX_FILTER_BYTES, MAX_FILTER_DEPTH,
    MAX_FOLDED_CLASSES, MAX_PATTERN_BYTES, MAX_REGEX_BYTES, MAX_REGEXES_BYTES, MAX_WILDCARDS,
};
pub(crate) use screen::{Screen, Screened};
pub use sentence::MAX_SENTENCE;

use crate::document::{self, Problems};
use crate::event::Event;
use crate::event::node::Node;

/// Which events a trigger wants, beside their kind and scope.
///
/// It is kept in a normal form: filters that say the same in another order or with other words are
/// equal, and print the same.
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
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    root: Arc<Pattern>,
    screen: Screen,
}

/// Clauses that must all hold for one JSON object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Pattern {
    pub(crate) clauses: Vec<Clause>,
    /// Whether an `$or` says something of a member object that is also spoken of beside it: both
    /// must be satisfied by the same element, should it be an array.
    pub(crate) entangled: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Clause {
    /// A leaf satisfies any of these conditions.
    Leaf { name: Box<str>, any: Vec<Condition> },
    /// A member object satisfies a pattern.
    Nested { name: Box<str>, pattern: Pattern },
    /// Any of these holds.
    Or(Vec<Pattern>),
    /// Each of these holds, on its own.
    And(Vec<Pattern>),
    /// This does not hold.
    Not(Box<Pattern>),
}

impl Filter {
    /// The filter that wants every event.
    pub fn everything() -> Self {
        Self::of(Pattern::default())
    }

    /// Parses a filter from its JSON.
    ///
    /// # Errors
    /// Every problem at once, each with its path: an unknown operator, an empty list, a value of
    /// the wrong type, a limit of this module exceeded.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        Self::from_value(&document::parse(json, MAX_FILTER_BYTES)?)
    }

    /// Parses a filter from a JSON value.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_value(value: &Value) -> Result<Self, Problems> {
        Problems::gather(|problems| Self::read(value, "", &FilterLimits::default(), problems))
    }

    /// Whether the filter holds to limits that are narrower than those of this module.
    ///
    /// # Errors
    /// Every limit that is exceeded, with the path in the normal form.
    pub fn check(&self, limits: &FilterLimits) -> Result<(), Problems> {
        Problems::gather(|problems| {
            self.check_within(limits, "", problems);
            Some(())
        })
    }

    pub(crate) fn check_within(&self, limits: &FilterLimits, path: &str, problems: &mut Problems) {
        if *limits != FilterLimits::default() {
            parse::filter(&self.to_value(), path, limits, problems);
        }
    }

    /// Whether an event satisfies the filter.
    pub fn matches(&self, event: &Event) -> bool {
        self.holds(Node::Event(event))
    }

    /// Whether a JSON value, such as an event's, satisfies the filter.
    pub fn matches_value(&self, event: &Value) -> bool {
        self.holds(Node::Value(event))
    }

    pub(crate) fn holds(&self, event: Node<'_>) -> bool {
        self.root.judge(Some(event)) != Verdict::No
    }

    pub(crate) fn root(&self) -> &Pattern {
        &self.root
    }

    pub(crate) fn screen(&self) -> &Screen {
        &self.screen
    }

    /// The filter as JSON, in its normal form; parses back to an equal filter.
    pub fn to_value(&self) -> Value {
        self.root.to_value()
    }

    pub(crate) fn read(
        value: &Value,
        path: &str,
        limits: &FilterLimits,
        problems: &mut Problems,
    ) -> Option<Self> {
        let filter = Self::of(normal::root(parse::filter(value, path, limits, problems)?));
        // What is stored is the normal form, and it may be longer: a letter in lower case is.
        parse::filter(&filter.to_value(), path, limits, problems)?;
        Some(filter)
    }

    fn of(root: Pattern) -> Self {
        Self { screen: Screen::of(&root), root: Arc::new(root) }
    }
}

/// Wants everything.
impl Default for Filter {
    fn default() -> Self {
        Self::everything()
    }
}

impl std::str::FromStr for Filter {
    type Err = Problems;

    /// As [`from_json`](Self::from_json).
    fn from_str(json: &str) -> Result<Self, Problems> {
        Self::from_json(json.as_bytes())
    }
}

/// Prints the JSON of the normal form.
impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_value().fmt(f)
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl Pattern {
    fn new(clauses: Vec<Clause>) -> Self {
        let mut members = Vec::new();
        let has_or = clauses.iter().any(|clause| matches!(clause, Clause::Or(_)));
        if has_or {
            for clause in &clauses {
                clause.name_objects(&mut members);
            }
            members.sort_unstable();
        }
        let entangled = members.windows(2).any(|pair| pair[0] == pair[1]);
        Self { clauses, entangled }
    }

    fn to_value(&self) -> Value {
        let members = self.clauses.iter().map(Clause::to_member);
        Value::Object(members.collect::<Map<_, _>>())
    }
}

impl Clause {
    /// Names the member objects that it says something of: of the branches of an `$or` each once.
    fn name_objects<'c>(&'c self, members: &mut Vec<&'c str>) {
        match self {
            Self::Nested { name, .. } => members.push(name),
            Self::Or(branches) => {
                let mut inner = Vec::new();
                for clause in branches.iter().flat_map(|branch| &branch.clauses) {
                    clause.name_objects(&mut inner);
                }
                inner.sort_unstable();
                inner.dedup();
                members.append(&mut inner);
            }
            Self::Leaf { .. } | Self::And(_) | Self::Not(_) => {}
        }
    }

    fn to_member(&self) -> (String, Value) {
        let patterns = |patterns: &[Pattern]| patterns.iter().map(Pattern::to_value).collect();
        match self {
            Self::Leaf { name, any } => {
                (name.to_string(), Value::Array(any.iter().map(Condition::to_value).collect()))
            }
            Self::Nested { name, pattern } => (name.to_string(), pattern.to_value()),
            Self::Or(any) => ("$or".to_owned(), Value::Array(patterns(any))),
            Self::And(all) => ("$and".to_owned(), Value::Array(patterns(all))),
            Self::Not(pattern) => ("$not".to_owned(), pattern.to_value()),
        }
    }
}

#[cfg(test)]
mod tests;
