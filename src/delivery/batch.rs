//! Batches: how many events of a trigger go in one request, and how long they wait for each other.

use std::time::Duration;

use serde_json::{Value, json};

use crate::document::{Field, Object, Problems, span};

/// How the events of a trigger are gathered to go in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// The most events of one request.
    pub max_events: usize,
    /// How long an event waits for others; less once there are enough.
    pub max_wait: Duration,
    /// The most bytes of one request, as the bodies that the events would have alone. One that is
    /// larger goes alone.
    pub max_bytes: usize,
}

impl Default for Batch {
    /// 100 events, 5 s, and 1 MiB.
    fn default() -> Self {
        Self { max_events: 100, max_wait: Duration::from_secs(5), max_bytes: 1024 * 1024 }
    }
}

impl Batch {
    /// The most that [`max_events`](Self::max_events) may be.
    pub const MAX_EVENTS: usize = 1_000;
    /// The least that [`max_wait`](Self::max_wait) may be.
    pub const MIN_WAIT: Duration = Duration::from_millis(10);
    /// The most that [`max_wait`](Self::max_wait) may be.
    pub const MAX_WAIT: Duration = Duration::from_secs(3_600);
    /// The least that [`max_bytes`](Self::max_bytes) may be.
    pub const MIN_BYTES: usize = 1_024;
    /// The most that [`max_bytes`](Self::max_bytes) may be.
    pub const MAX_BYTES: usize = 16 * 1024 * 1024;

    /// Sets the most events of one request.
    pub fn with_max_events(mut self, events: usize) -> Self {
        self.max_events = events;
        self
    }

    /// Sets how long an event waits for others.
    pub fn with_max_wait(mut self, span: Duration) -> Self {
        self.max_wait = span;
        self
    }

    /// Sets the most bytes of one request.
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    pub(super) fn to_value(self) -> Value {
        json!({
            "max_events": self.max_events,
            "max_wait": span::print(self.max_wait),
            "max_bytes": self.max_bytes,
        })
    }

    pub(super) fn check(self, path: &str, problems: &mut Problems) {
        if !(2..=Self::MAX_EVENTS).contains(&self.max_events) {
            let (most, found) = (Self::MAX_EVENTS, self.max_events);
            let message = format!("expected 2 to {most} events, found {found}");
            problems.add(format!("{path}.max_events"), message);
        }
        if !(Self::MIN_WAIT..=Self::MAX_WAIT).contains(&self.max_wait) {
            let [least, most, found] =
                [Self::MIN_WAIT, Self::MAX_WAIT, self.max_wait].map(span::print);
            let message = format!("expected {least} to {most}, found {found}");
            problems.add(format!("{path}.max_wait"), message);
        }
        if !(Self::MIN_BYTES..=Self::MAX_BYTES).contains(&self.max_bytes) {
            let (least, most, found) = (Self::MIN_BYTES, Self::MAX_BYTES, self.max_bytes);
            let message = format!("expected {least} to {most} bytes, found {found}");
            problems.add(format!("{path}.max_bytes"), message);
        }
    }
}

impl Field for Batch {
    const EXPECTED: &'static str = "how to gather events (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let default = Self::default();
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let batch = Self {
            max_events: object.optional("max_events", problems).map_or(default.max_events, count),
            max_wait: object.optional("max_wait", problems).unwrap_or(default.max_wait),
            max_bytes: object.optional("max_bytes", problems).map_or(default.max_bytes, count),
        };
        object.finish(problems);
        Some(batch)
    }
}
