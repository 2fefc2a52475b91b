//! Storages: where triggers, events, deliveries and their log live.
//!
//! In: decisions that were made elsewhere. Out: what was written down. A storage decides nothing:
//! it is atomic, durable to the degree that it states, and fenced.

#[cfg(feature = "postgres")]
mod columns;
mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
mod prune;
mod retention;
mod selection;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use memory::MemoryStorage;
pub use prune::{Cutoff, Prune, Pruned};
pub use retention::{Keep, Retention};
pub use selection::{DeliveryQuery, EventQuery, Fate, Page, Replay};

use crate::clock::Timestamp;
use crate::delivery::{Attempt, Claimed, Delivery, EndpointKey, Lease, Settlement};
use crate::event::Event;
use crate::id::{DeliveryId, EventId, TriggerId};
use crate::payload::Payload;
use crate::trigger::Trigger;

/// Keeps triggers, events, deliveries and their log.
///
/// # Contract
/// 1. Every method is atomic: its effect is there whole or not at all, also after a crash, and
///    other calls see it so. `record` and `settle` are atomic for each item of their batch; items
///    of a batch may share a transaction.
/// 2. What a method has answered `Ok` for is durable, to the degree that the storage states. A claim
///    may be lost in a crash that no worker outlives that could hold its lease.
/// 3. A method that was dropped before it answered has taken effect or not, whole either way.
/// 4. `record` stores an event of a known id not again: it answers [`Recorded::Duplicate`] and
///    changes nothing, no delivery and no cursor. Without an event it stores what else there is.
/// 5. `record` whose cursor moves do not find what they expect answers [`Recorded::CursorMoved`]
///    and changes nothing.
/// 6. `record` stores a delivery of a known id not again.
/// 7. `claim` gives a delivery to at most one unexpired lease. It gives those that are
///    [`Waiting`](crate::delivery::State::Waiting) and due, and those whose lease ran out; to each
///    endpoint no more than its quota. Endpoints take turns: the backlog of one does not keep
///    another waiting. With fewer than `limit` it tells what is left: when the next one is due of
///    endpoints of which all that is due was given, and whether a quota left something due; a quota
///    of 0 skips an endpoint for both. Within an endpoint the longest due come first. One that cannot be read becomes
///    [`Dead`](crate::delivery::State::Dead) as
///    [`Unreadable`](crate::delivery::DeadReason::Unreadable) and holds up no other.
/// 8. `claim` counts the attempt, makes the delivery
///    [`Leased`](crate::delivery::State::Leased) and gives it a token larger than all before
///    of that delivery. It tells since when the delivery could be claimed.
/// 9. `settle` with a lease that is not the latest of its delivery, or of a delivery that is no
///    longer leased, changes nothing and answers [`Settled::LeaseLost`]. A lease that ran out but
///    was not given to another still settles.
/// 10. `settle` applies [`Settlement::apply`], logs the attempts and records the events in one.
/// 11. `write_trigger` compares the revision and answers [`StorageError::Conflict`] if it is not the
///     expected one, or if another trigger of the scope has the name.
/// 12. `trigger_changes` tells every change once in the order they were made, or, of several to one
///     trigger, only the last. From 0 on it tells all triggers there are. One that cannot be read is
///     told as [`Unreadable`](TriggerState::Unreadable) and holds up no other; deleting it works as
///     for any, and its name stays taken until then where the storage still knows it.
/// 13. Time is the caller's, given as `now`, and of a delivery that is recorded as its `created_at`. A
///     storage that nodes with clocks of their own share goes by its own time instead: it takes each
///     time as a span from the caller's `now`, and tells when a lease runs out or something comes due
///     in the caller's time.
/// 14. Pages are in the order of ids and stable under writes: what is there throughout is told once.
///     What cannot be read is told as [unreadable](Page::unreadable) and takes nobody's place: a page
///     with fewer than were asked for is the last. `replay` leaves it as it is.
/// 15. Of deliveries with one [ordering key](crate::delivery::Turn) at most one is
///     [`Waiting`](crate::delivery::State::Waiting) or leased. One that would be waiting, by `record`
///     or `replay`, is [`Queued`](crate::delivery::State::Queued) instead while another one is, or
///     while one recorded before it [holds its turn](crate::delivery::Delivery::holds_turn). When
///     none does any more, after `settle`, `replay` or `prune`, the queued one that was recorded
///     first becomes waiting, in the same write: due when it was to be, at the earliest at once.
/// 16. `claim` of [`Companions`] leases by rules 7 and 8 what may go in one request with others:
///     [batched](crate::delivery::Delivery::batched) deliveries of one trigger and endpoint. First
///     those that were not attempted and come due by a time to come, then those that can be claimed
///     now, which could go without: the attempted before the others. Of each the longest due first. It
///     ends with the first that their number or their bytes leave no room for.
/// 17. `prune` deletes final deliveries with their log, and events without deliveries, that their
///     [`Cutoff`] takes: as old as they were last changed or settled, of events as they were received;
///     and drops of those that stay the contents of the older ones. Of each at most `limit`, the oldest
///     first. Nothing is touched of an event at or below a held scope, nor of its deliveries and those
///     of triggers there; whether that, or events with deliveries, count among the newest is the
///     storage's. What a call comes upon and has to leave it may tell as [passed](Pruned::passed), not
///     to look at it again. One that answers with nothing at all has left nothing to do.
/// 18. A delivery of which the contents were dropped [says so](Delivery::contents_dropped), and has its
///     log without what was answered. `replay` leaves it as it is, and discards it as any.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Creates, updates or deletes a trigger.
    ///
    /// # Errors
    /// [`StorageError::Conflict`] by rule 11; [`StorageError::NotFound`] for one that is not there.
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError>;

    /// The changes to triggers after a sequence number, at most `limit`.
    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError>;

    /// Stores events with their deliveries and cursor moves, each atomically.
    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError>;

    /// The values of cursors, in the order of the keys.
    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError>;

    /// Takes due deliveries under a lease.
    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError>;

    /// Writes down what came of leases, each atomically.
    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError>;

    /// A page of events, and what of it cannot be read.
    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StorageError>;

    /// A page of deliveries, and what of it cannot be read.
    async fn deliveries(&self, query: DeliveryQuery) -> Result<Page<Delivery>, StorageError>;

    /// The log of a delivery, oldest first.
    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<LoggedAttempt>, StorageError>;

    /// Makes deliveries of a selection wait again, their attempts counted from zero, or discards
    /// them. Only what is dead or parked is taken, at most `limit`, in the order of ids. Answers with
    /// those taken.
    async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError>;

    /// What is waiting or leased, by endpoint, in the order of keys.
    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError>;

    /// Deletes of the history what is to go, by rules 17 and 18.
    async fn prune(&self, prune: Prune) -> Result<Pruned, StorageError>;
}

/// Why a storage did not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The backend did not answer, or not in a way that says what happened. The engine tries the
    /// step again with back-off.
    #[error("the storage is unavailable: {reason}")]
    Unavailable {
        /// What happened, for an operator.
        reason: String,
    },
    /// Somebody else changed it first, or its name is taken. Read it again and decide anew.
    #[error("conflict: {reason}")]
    Conflict {
        /// What is in conflict.
        reason: String,
    },
    /// It is not there.
    #[error("{what} does not exist")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// What is stored cannot be read. The engine cannot go on with it; an operator has to look.
    #[error("what is stored cannot be read: {reason}")]
    Corrupt {
        /// What is wrong.
        reason: String,
    },
}

/// The errors that every storage words alike.
impl StorageError {
    /// A trigger that is not there.
    pub fn no_trigger(id: TriggerId) -> Self {
        Self::NotFound { what: format!("trigger {id}") }
    }

    /// A trigger to create whose id is there already.
    pub fn id_taken(id: TriggerId) -> Self {
        Self::Conflict { reason: format!("trigger {id} exists already") }
    }

    /// A trigger that is not at the revision that the update was made from.
    pub fn changed(id: TriggerId, expected: u64, found: u64) -> Self {
        let reason = format!("trigger {id} is at revision {found}, the update is from {expected}");
        Self::Conflict { reason }
    }

    /// A trigger whose name another one of its scope has.
    pub fn name_taken(trigger: &Trigger) -> Self {
        let (name, scope) = (&trigger.spec.name, &trigger.spec.scope);
        let reason = format!("the name {name:?} is taken in scope {scope:?}");
        Self::Conflict { reason }
    }
}

impl Claims {
    /// Takes in when the next delivery of an endpoint can be claimed that was not given by a time.
    pub fn note_left(&mut self, next: Option<Timestamp>, due_by: Timestamp) {
        match next {
            Some(at) if at <= due_by => self.held_back = true,
            later => self.next_due = self.next_due.into_iter().chain(later).min(),
        }
    }
}

/// A change to make to a trigger.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TriggerWrite {
    /// Store a new one.
    Create(Arc<Trigger>),
    /// Store a new revision in the place of the one before it.
    Update(Arc<Trigger>),
    /// Delete one, whatever its revision.
    Delete(TriggerId),
}

/// A change that was made to a trigger.
#[derive(Debug, Clone)]
pub struct TriggerChange {
    /// Its place in the order of changes, from 1 on.
    pub sequence: u64,
    /// Which trigger it was.
    pub id: TriggerId,
    /// What has become of it.
    pub trigger: TriggerState,
}

/// What a trigger is since a change.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TriggerState {
    /// It is there.
    Stored(Arc<Trigger>),
    /// It was deleted.
    Deleted,
    /// It is there, and cannot be read. The engine matches no event with it, parks what waits for
    /// it, and goes on with the rest.
    Unreadable {
        /// What is wrong, for an operator.
        reason: String,
    },
}

impl TriggerState {
    /// What is stored under an id, from what [`Trigger::expose_json`] wrote.
    pub fn read(id: TriggerId, json: &[u8]) -> Self {
        match Trigger::from_exposed_json(json) {
            Ok(trigger) if trigger.id == id => Self::Stored(Arc::new(trigger)),
            Ok(other) => Self::Unreadable { reason: format!("it is trigger {}", other.id) },
            Err(problems) => Self::Unreadable { reason: problems.to_string() },
        }
    }
}

/// There, or deleted: the two that a storage which keeps triggers in memory knows.
impl From<Option<Arc<Trigger>>> for TriggerState {
    fn from(trigger: Option<Arc<Trigger>>) -> Self {
        trigger.map_or(Self::Deleted, Self::Stored)
    }
}

/// What is to be stored together: mostly an event with what follows from it.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The event; `None` if only deliveries or cursors are to be stored, such as those of an event
    /// that is there already.
    pub event: Option<NewEvent>,
    /// Deliveries with what they send.
    pub deliveries: Vec<(Delivery, Payload)>,
    /// What moves on together with it.
    pub cursors: Vec<CursorMove>,
}

/// An event to store.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event.
    pub event: Arc<Event>,
    /// Its JSON, so that it is made once.
    pub json: Arc<[u8]>,
}

impl NewEvent {
    /// An event with its JSON.
    pub fn of(event: Event) -> Self {
        let json = event.to_json().into();
        Self { event: Arc::new(event), json }
    }
}

impl Record {
    /// An event with its deliveries.
    pub fn of_event(event: NewEvent, deliveries: Vec<(Delivery, Payload)>) -> Self {
        Self { event: Some(event), deliveries, cursors: Vec::new() }
    }

    /// Nothing but moves of cursors.
    pub fn of_cursors(cursors: Vec<CursorMove>) -> Self {
        Self { cursors, ..Self::default() }
    }

    /// The event's id, if there is one to store.
    pub fn event_id(&self) -> Option<EventId> {
        self.event.as_ref().map(|new| new.event.id)
    }
}

/// What became of a [`Record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recorded {
    /// It is stored.
    Stored,
    /// The event was known; nothing changed.
    Duplicate,
    /// A cursor was not where it was expected; nothing changed. Read it again and decide anew.
    CursorMoved,
}

/// A change to a cursor: a short text under a key that says how far somebody got, or what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CursorMove {
    /// Sets a cursor, if it is where it is expected.
    Set {
        /// The key.
        key: String,
        /// The value that must be there; `None` if nothing must.
        expected: Option<String>,
        /// The value to set; `None` to remove it.
        value: Option<String>,
    },
    /// Removes every cursor whose key begins so.
    RemoveBelow {
        /// What the keys begin with.
        prefix: String,
    },
}

/// Asks for deliveries to lease.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The time now.
    pub now: Timestamp,
    /// By when what is given has to have come due, or its lease to have run out. Mostly now; in a drain
    /// earlier, for a ping later.
    pub due_by: Timestamp,
    /// How long the leases last, from now on.
    pub lease: Duration,
    /// The most deliveries to give.
    pub limit: usize,
    /// The most to give of one endpoint.
    pub per_endpoint: usize,
    /// Endpoints with a quota of their own, which takes the place of `per_endpoint`; 0 to skip one. In
    /// the order of their keys, each once.
    pub quotas: Vec<(EndpointKey, usize)>,
    /// Which ones.
    pub of: ClaimOf,
}

/// Which deliveries a [`Claim`] asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClaimOf {
    /// Those of all endpoints, within the quotas.
    #[default]
    Endpoints,
    /// One, if it is due, whatever the quotas are.
    One(DeliveryId),
    /// What may go in one request with others that were claimed, whatever the quotas are; for each
    /// request one. The claim's limit holds for all of them together, and the first get theirs first.
    Companions(Vec<Companions>),
}

/// Asks for deliveries that go in one request with others of their trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companions {
    /// Of this trigger.
    pub trigger: TriggerId,
    /// To this endpoint.
    pub endpoint: EndpointKey,
    /// Those that were not attempted may be due by then only.
    pub until: Timestamp,
    /// The most to give.
    pub limit: usize,
    /// The most that the bodies of those that are given may take in all, in bytes.
    pub max_bytes: usize,
}

/// Due deliveries.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// Those that were given.
    pub deliveries: Vec<Claimed>,
    /// When the next one that was not given comes due or its lease runs out, of endpoints of which
    /// everything was given that is due; told by a claim of endpoints if fewer were given than asked
    /// for.
    pub next_due: Option<Timestamp>,
    /// Whether a quota held something back that is due, of endpoints that were not skipped; told as
    /// `next_due` is.
    pub held_back: bool,
}

/// What came of one lease.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The lease.
    pub lease: Lease,
    /// What follows.
    pub settlement: Settlement,
    /// The attempts to log: this one, or none if it was never made.
    pub attempts: Vec<Attempt>,
    /// Events that follow from it.
    pub records: Vec<Record>,
}

/// What became of a [`Settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// It is written down.
    Done,
    /// Another worker holds the lease, or held it and is done. Nothing changed, and nothing is lost.
    LeaseLost,
}

/// An attempt in the log of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LoggedAttempt {
    /// Its place in the log, from 1 on: unlike [`Attempt::number`] it does not begin anew with a
    /// replay.
    pub position: u64,
    /// The attempt.
    #[serde(flatten)]
    pub attempt: Attempt,
}

/// What is waiting or leased for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Backlog {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// How many deliveries there are.
    pub deliveries: u64,
    /// When the first of them is, or was, due, or its lease runs out.
    pub oldest_due: Timestamp,
}
