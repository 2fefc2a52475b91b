//! The emission check: what a registry published during a test.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Observer, Publisher, Transition};
use crate::event::{Event, EventKind};

/// Keeps the events that a registry published, for its tests to assert on: a handler that forgot to
/// tell what it did is otherwise noticed by nobody.
///
/// Clones share one log: give one to [`EngineBuilder::observer`](crate::engine::EngineBuilder) and
/// keep the other. It has what [`publish`](crate::engine::Engine::publish) and `publish_all` have
/// stored, once they have answered; not what receivers took in, nor what the engine tells of its
/// own deliveries. An event of a known id is stored and delivered no second time, and does not
/// count.
///
/// The [manual](crate::manual::testing) has an example.
#[derive(Debug, Clone, Default)]
pub struct EmissionLog(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    events: Vec<Event>,
    /// The events that were known by their id.
    repeated: Vec<Event>,
}

impl EmissionLog {
    /// A log that is empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out what was published up to now, in order.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.lock()).events
    }

    /// Asserts that an event of a kind was published that is as it should be.
    ///
    /// # Panics
    /// If there is none; the message shows what was published.
    #[track_caller]
    pub fn assert_emitted(&self, kind: &EventKind, is_right: impl Fn(&Event) -> bool) {
        let log = self.lock();
        let mut of_kind = log.events.iter().filter(|event| event.kind == *kind).peekable();
        let expected = match of_kind.peek() {
            None => format!("expected an event {kind}, and none of that kind was published"),
            Some(_) => format!("expected an event {kind} that is as asserted, and none is"),
        };
        let found = of_kind.any(is_right);
        log.require(found, &expected);
    }

    /// Asserts that nothing was published.
    ///
    /// # Panics
    /// If something was; the message shows what.
    #[track_caller]
    pub fn assert_nothing_emitted(&self) {
        let log = self.lock();
        log.require(log.events.is_empty(), "expected that nothing is published");
    }

    /// Asserts that events of exactly these kinds were published, in any order; one of a kind that
    /// is given twice was published twice.
    ///
    /// # Panics
    /// If others were, or some were not; the message shows what was published.
    #[track_caller]
    pub fn assert_only(&self, kinds: &[EventKind]) {
        let sorted = |mut kinds: Vec<&'_ str>| {
            kinds.sort_unstable();
            kinds.join(", ")
        };
        let log = self.lock();
        let expected = sorted(kinds.iter().map(EventKind::as_str).collect());
        let found = sorted(log.events.iter().map(|event| event.kind.as_str()).collect());
        log.require(expected == found, &format!("expected exactly the events [{expected}]"));
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        // A failed assertion panics while it holds the lock, and leaves the log as it is.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    #[track_caller]
    fn require(&self, holds: bool, expected: &str) {
        assert!(holds, "{expected}\n{}", self.told());
    }

    fn told(&self) -> String {
        let mut text = String::from("published:");
        if self.events.is_empty() {
            text.push_str(" nothing");
        }
        for event in &self.events {
            let _ = write!(text, "\n  {}", json(event));
        }
        if !self.repeated.is_empty() {
            text.push_str("\nnot stored, since an event of the same id was published before:");
        }
        let repeated: BTreeSet<String> = self.repeated.iter().map(json).collect();
        for event in repeated {
            let _ = write!(text, "\n  {event}");
        }
        text
    }
}

fn json(event: &Event) -> String {
    String::from_utf8_lossy(&event.to_json()).into_owned()
}

impl Observer for EmissionLog {
    fn observe(&self, transition: &Transition<'_>) {
        if let Transition::Published {
            event,
            by: Publisher::Caller | Publisher::Outbox,
            duplicate,
            ..
        } = transition
        {
            let mut log = self.lock();
            let log = if *duplicate { &mut log.repeated } else { &mut log.events };
            log.push(Event::clone(event));
        }
    }
}
