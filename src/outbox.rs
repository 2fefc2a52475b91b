//! Outboxes: where an embedder's own transactions leave events for the engine to publish.
//!
//! In: the JSON of an event, written by the transaction that makes it true: if that is rolled back,
//! nobody ever hears of it, and once it is committed, somebody will, whatever crashes in between.
//! Out: [entries](OutboxEntry), in their order, and for each what became of it.

mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

pub use memory::MemoryOutbox;

use crate::clock::Timestamp;
use crate::document::{self, Field as _, Problems};
use crate::event::{Event, MAX_EVENT_BYTES, SPEC_VERSION};
use crate::id::EventId;
use crate::storage::StorageError;

/// Where an embedder's own transactions leave events for the engine to publish.
///
/// One value is one taker: each engine has its own, also of one database.
///
/// # Contract
/// 1. An entry is there once the transaction that left it is committed, and not before. It stays
///    until it is [done](Self::done), whatever crashes.
/// 2. `take` gives the first entries in the order in which they were left, at most `limit` of them
///    and at least one if there is any: fewer than there are if they are large.
/// 3. Until the lease runs out or is ended, another taker is given nothing, so that the order is
///    kept among several. The same one is given the same entries again, and its lease begins anew.
/// 4. `done` removes what was published. What was refused it sets aside with the reason: there for
///    an operator, and given to nobody. Both for good, and for all of them or none.
/// 5. `done` ends the lease of this taker, also with nothing to be done; that of another it leaves
///    alone. What it was not told of is given again.
/// 6. A position is given to no other entry, also after its own is done: a `done` that comes late
///    removes nothing else.
/// 7. The key of an entry is its alone, and the same each time that it is given.
/// 8. A method that was dropped before it answered has taken effect or not, whole either way.
/// 9. Time is the outbox's own: takers may have clocks that differ.
#[async_trait]
pub trait Outbox: fmt::Debug + Send + Sync + 'static {
    /// The first entries, under a lease.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; the engine tries it again with back-off.
    async fn take(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxEntry>, StorageError>;

    /// Removes or sets aside what is done, and ends the lease.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; the engine tries it again with back-off.
    async fn done(&self, done: Vec<OutboxDone>) -> Result<(), StorageError>;
}

/// What somebody left to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its place in the order.
    pub position: u64,
    /// What it alone is known by.
    pub key: [u8; 16],
    /// The JSON of an event.
    pub json: Vec<u8>,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxDone {
    /// Its place in the order.
    pub position: u64,
    /// Why it is set aside; it was published if `None`.
    pub refused: Option<String>,
}

impl OutboxDone {
    /// One that was published.
    pub fn published(position: u64) -> Self {
        Self { position, refused: None }
    }

    /// One that cannot be published, and why.
    pub fn refused(position: u64, reason: impl Into<String>) -> Self {
        Self { position, refused: Some(reason.into()) }
    }
}

impl OutboxEntry {
    /// The event that was left. What JSON written by hand may leave out is filled in:
    ///
    /// - `spec_version`: [`SPEC_VERSION`];
    /// - `source`: `{"name": "registry"}`;
    /// - `received_at`: the time given;
    /// - `id`: as the [builder](crate::event::EventBuilder::source) has it if the source gave it an
    ///   id of its own, else from the entry's key, so that an entry that is taken twice is one
    ///   event.
    ///
    /// The rest is as [`Event::from_json`] has it: `kind` and `occurred_at` must be there.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn event(&self, now: Timestamp) -> Result<Event, Problems> {
        let mut value = document::parse(&self.json, MAX_EVENT_BYTES)?;
        let mut has_id = true;
        if let Value::Object(members) = &mut value {
            has_id = members.contains_key("id");
            for (name, default) in [
                ("spec_version", json!(SPEC_VERSION)),
                ("source", json!({"name": "registry"})),
                ("received_at", json!(now)),
                // Until what it is derived from is read.
                ("id", json!(EventId::from_bytes([0; 16]))),
            ] {
                members.entry(name).or_insert(default);
            }
        }
        let mut event = Problems::gather(|problems| Event::read(value, "", problems))?;
        if !has_id {
            let derived = || EventId::derived(event.occurred_at, &[b"outbox", &self.key]);
            event.id = event.source.event_id(event.occurred_at).unwrap_or_else(derived);
        }
        Ok(event)
    }
}

/// An outbox that somebody else looks at too.
#[async_trait]
impl<O: Outbox + ?Sized> Outbox for Arc<O> {
    async fn take(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxEntry>, StorageError> {
        O::take(self, limit, lease).await
    }

    async fn done(&self, done: Vec<OutboxDone>) -> Result<(), StorageError> {
        O::done(self, done).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(key: u8, json: &str) -> Result<Event, Problems> {
        let entry = OutboxEntry { position: 1, key: [key; 16], json: json.as_bytes().to_vec() };
        entry.event("2026-11-26T00:00:00Z".parse().unwrap())
    }

    const LEAST: &str = r#"{"kind":"ping","occurred_at":"2026-11-25T00:00:00Z"}"#;

    #[test]
    fn what_is_left_out_is_filled_in_and_the_id_is_of_the_entry() {
        let first = event(1, LEAST).unwrap();
        assert_eq!(event(1, LEAST).unwrap(), first);
        assert_ne!(event(2, LEAST).unwrap().id, first.id);
        assert_eq!(first.received_at, "2026-11-26T00:00:00Z".parse().unwrap());
        assert_eq!((first.source.name.as_str(), first.spec_version.as_str()), ("registry", "1.0"));
        let whole = String::from_utf8(first.to_json()).unwrap();
        assert_eq!(event(2, &whole).unwrap(), first, "what is there stays as it is");
    }

    #[test]
    fn an_event_with_an_id_of_its_source_has_the_id_that_the_builder_gives_it() {
        let at = "2026-11-25T00:00:00Z";
        let source = crate::event::Source::new("registry").with_id("upload-1");
        let built = Event::builder("ping".parse().unwrap()).source(source);
        let built = built.occurred_at(at.parse().unwrap()).build().unwrap();
        let json = format!(
            r#"{{"kind":"ping","occurred_at":"{at}","source":{{"name":"registry","id":"upload-1"}}}}"#
        );
        assert_eq!(event(1, &json).unwrap().id, built.id);
        assert_eq!(event(2, &json).unwrap().id, built.id);
    }

    #[test]
    fn every_problem_is_told() {
        for (json, part) in [
            ("", "expected JSON"),
            ("[]", "expected"),
            (r#"{"kind":"ping"}"#, "occurred_at"),
            (r#"{"occurred_at":"2026-11-25T00:00:00Z"}"#, "kind"),
            (r#"{"kind":"ping","occurred_at":"2026-11-25T00:00:00Z","id":7}"#, "id"),
        ] {
            let problems = event(1, json).unwrap_err().to_string();
            assert!(problems.contains(part), "{json}: {problems}");
        }
    }
}
