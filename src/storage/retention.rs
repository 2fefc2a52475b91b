//! Retention: how long, and how much, of the history is kept.
//!
//! In: a policy, in spans of time and numbers. Out: the [`Prune`] that follows from it at a time.

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::prune::{Cutoff, Prune};
use crate::clock::Timestamp;
use crate::document::{self, Field, Object, Problems, span};
use crate::event::Scope;

/// The largest policy as JSON, in bytes.
const MAX_POLICY_BYTES: usize = 1024 * 1024;

/// How long, and how much, of the history is kept. By default everything, for ever.
///
/// ```
/// use std::time::Duration;
/// use artifact_triggers::storage::{Keep, Retention};
///
/// const DAY: Duration = Duration::from_secs(86_400);
/// let retention = Retention::default()
///     .with_delivered(Keep::for_span(30 * DAY).at_most(1_000_000))
///     .with_cancelled(Keep::for_span(7 * DAY))
///     .with_contents_for(7 * DAY)
///     .with_held("acme/disputed".parse()?);
/// let same = Retention::from_json(
///     br#"{"delivered": {"for": "30d", "at_most": 1000000}, "cancelled": {"for": "7d"},
///          "contents_for": "7d", "held": ["acme/disputed"]}"#,
/// )?;
/// assert_eq!(retention, same);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Retention {
    /// What is kept of delivered deliveries.
    pub delivered: Keep,
    /// What is kept of dead letters.
    pub dead: Keep,
    /// What is kept of parked deliveries.
    pub parked: Keep,
    /// What is kept of cancelled deliveries.
    pub cancelled: Keep,
    /// What is kept of events. One with deliveries stays as long as they do.
    pub events: Keep,
    /// How long the contents of a delivery that is done are kept: what it sent, and what was
    /// answered; as long as the delivery if `None`. Without them it cannot be replayed.
    pub contents_for: Option<Duration>,
    /// The scopes of which, at and below, everything is kept, whatever else is said.
    pub held: Vec<Scope>,
}

/// What is kept of one kind. By default everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Keep {
    /// How long; for ever if `None`.
    pub span: Option<Duration>,
    /// How many, the newest; all if `None`.
    pub number: Option<usize>,
}

impl Keep {
    /// Those of the last span of time.
    pub fn for_span(span: Duration) -> Self {
        Self { span: Some(span), number: None }
    }

    /// The newest, so many of them.
    pub fn newest(number: usize) -> Self {
        Self::default().at_most(number)
    }

    /// Of those only the newest, so many of them.
    pub fn at_most(mut self, number: usize) -> Self {
        self.number = Some(number);
        self
    }

    fn cutoff(self, now: Timestamp) -> Cutoff {
        Cutoff { before: self.span.map(|span| now.before(span)), at_most: self.number }
    }

    fn to_value(self) -> Value {
        let span = self.span.map(|span| ("for", json!(span::print(span))));
        let number = self.number.map(|number| ("at_most", json!(number)));
        let members = span.into_iter().chain(number);
        Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl Retention {
    /// Keeps everything for one span of time.
    pub fn for_span(span: Duration) -> Self {
        let keep = Keep::for_span(span);
        Self {
            delivered: keep,
            dead: keep,
            parked: keep,
            cancelled: keep,
            events: keep,
            contents_for: None,
            held: Vec::new(),
        }
    }

    /// Parses a policy from JSON. What is not given is kept.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        let value = document::parse(json, MAX_POLICY_BYTES)?;
        Problems::gather(|problems| Self::read(value, "", problems))
    }

    /// Sets what is kept of delivered deliveries.
    pub fn with_delivered(mut self, keep: Keep) -> Self {
        self.delivered = keep;
        self
    }

    /// Sets what is kept of dead letters.
    pub fn with_dead(mut self, keep: Keep) -> Self {
        self.dead = keep;
        self
    }

    /// Sets what is kept of parked deliveries.
    pub fn with_parked(mut self, keep: Keep) -> Self {
        self.parked = keep;
        self
    }

    /// Sets what is kept of cancelled deliveries.
    pub fn with_cancelled(mut self, keep: Keep) -> Self {
        self.cancelled = keep;
        self
    }

    /// Sets what is kept of events.
    pub fn with_events(mut self, keep: Keep) -> Self {
        self.events = keep;
        self
    }

    /// Sets how long the contents of deliveries are kept.
    pub fn with_contents_for(mut self, span: Duration) -> Self {
        self.contents_for = Some(span);
        self
    }

    /// Holds a scope: everything at and below it is kept.
    pub fn with_held(mut self, scope: Scope) -> Self {
        self.held.push(scope);
        self
    }

    /// What goes by it at a time, at most so much of each kind in one write.
    pub fn at(&self, now: Timestamp, limit: usize) -> Prune {
        Prune {
            delivered: self.delivered.cutoff(now),
            dead: self.dead.cutoff(now),
            parked: self.parked.cutoff(now),
            cancelled: self.cancelled.cutoff(now),
            events: self.events.cutoff(now),
            contents_before: self.contents_for.map(|span| now.before(span)),
            held: self.held.clone(),
            ..Prune::new(now, limit)
        }
    }

    fn to_value(&self) -> Value {
        let mut members = Map::new();
        for (name, keep) in [
            ("delivered", self.delivered),
            ("dead", self.dead),
            ("parked", self.parked),
            ("cancelled", self.cancelled),
            ("events", self.events),
        ] {
            if keep != Keep::default() {
                members.insert(name.to_owned(), keep.to_value());
            }
        }
        if let Some(contents_for) = self.contents_for {
            members.insert("contents_for".to_owned(), json!(span::print(contents_for)));
        }
        if !self.held.is_empty() {
            members.insert("held".to_owned(), json!(self.held));
        }
        Value::Object(members)
    }
}

impl Serialize for Retention {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl Field for Retention {
    const EXPECTED: &'static str = "a retention policy (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let mut keep = |name| object.optional(name, problems).unwrap_or_default();
        let retention = Self {
            delivered: keep("delivered"),
            dead: keep("dead"),
            parked: keep("parked"),
            cancelled: keep("cancelled"),
            events: keep("events"),
            contents_for: object.optional("contents_for", problems),
            held: object.optional("held", problems).unwrap_or_default(),
        };
        object.finish(problems);
        Some(retention)
    }
}

impl Field for Keep {
    const EXPECTED: &'static str = "what is kept (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let number: Option<u64> = object.optional("at_most", problems);
        let keep = Self {
            span: object.optional("for", problems),
            number: number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)),
        };
        object.finish(problems);
        Some(keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_printed_as_it_is_read_and_every_problem_is_told() {
        let json = r#"{"contents_for":"7d","dead":{"at_most":0,"for":"30d"},"held":["acme/x",""]}"#;
        let retention = Retention::from_json(json.as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_value(&retention).unwrap(),
            serde_json::from_str::<Value>(json).unwrap()
        );
        let wrong = br#"{"dead": {"for": 3}, "held": ["/"], "evnets": {}}"#;
        let problems = Retention::from_json(wrong).unwrap_err().to_string();
        for part in ["dead.for", "held[0]", "evnets"] {
            assert!(problems.contains(part), "{problems}");
        }
    }
}
