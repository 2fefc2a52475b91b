//! Storages: where triggers, events, deliveries and their log live.
//!
//! In: decisions that were made elsewhere. Out: what was written down. A storage decides nothing:
//! it is atomic, durable to the degree that it states, and fenced.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod columns;
mod error;
mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
mod prune;
mod retention;
mod selection;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod trigger;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;

pub use error::StorageError;
pub use memory::MemoryStorage;
pub use prune::{Cutoff, Prune, Pruned};
pub use retention::{Keep, Retention};
pub use selection::{DeliveryQuery, EventQuery, Fate, Page, Replay};
pub use trigger::{TriggerChange, TriggerState, TriggerWrite};

use crate::clock::Timestamp;
use crate::delivery::{Attempt, Claimed, Delivery, EndpointKey, Lease, Settlement};
use crate::event::Event;
use crate::id::{DeliveryId, EventId, TriggerId};
use crate::payload::Payload;

/// Keeps triggers, events, deliveries and their log.
///
/// # Contract
/// Each rule has tests in the suite of the feature `conformance`, whose names begin with its
/// number: see [writing a backend](crate::manual::writing_a_backend).
///
/// *All methods*
/// 1. **Atomic**: the effect of a call is there whole or not at all, also after a crash, and other
///    calls see it so; what one call reads was there at one time. `record` and `settle` are atomic
///    for each item of their batch; items of a batch may share a transaction. A call that fails has
///    changed nothing, unless it says that it does not know ([`StorageError::Unavailable`]), and
///    takes nothing from others.
/// 2. **Durable**: what a method has answered `Ok` for stays, to the degree that the storage
///    states. A claim may be lost in a crash that no worker outlives that could hold its lease;
///    what it had given can be claimed again when that lease has run out, or before.
/// 3. **Cancel-safe**: a call that was dropped before it answered takes effect or not, whole either
///    way, and perhaps only after a while. Each method says what making the call again does.
///
/// *What is recorded*
///
/// 4. `record` stores an event of a known id not again: it answers [`Recorded::Duplicate`] and
///    changes nothing, no delivery and no cursor. Of several calls at once with one event one
///    stores it. Without an event it stores what else there is.
/// 5. `record` whose cursor moves do not find what they expect answers [`Recorded::CursorMoved`]
///    and changes nothing: of several that expect the same at once, on whatever nodes, one is
///    stored. [`RemoveBelow`](CursorMove::RemoveBelow) takes its prefix literally.
/// 6. `record` stores a delivery of a known id not again, and leaves the known one as it is.
///
/// *What is claimed and settled*
///
/// 7. `claim` gives a delivery to at most one unexpired lease, whoever asks at once and on whatever
///    node.
///    - **Which**: those that are [`Waiting`](crate::delivery::State::Waiting) and were due by
///      [`due_by`](Claim::due_by), and those whose lease had run out by then; no others.
///    - **How many**: in all at most `limit`, of each endpoint at most its quota.
///    - **In what order**: endpoints take turns, so that the backlog of one does not keep another
///      waiting. Within an endpoint the longest due come first.
///    - **What is left**: if it gives fewer than `limit` it tells when the next one is due of the
///      endpoints of which all that is due was given ([`next_due`](Claims::next_due)), and whether
///      a quota left something due ([`held_back`](Claims::held_back)). A quota of 0 skips an
///      endpoint for both.
///    - **What is damaged**: one that cannot be read becomes [`Dead`](crate::delivery::State::Dead)
///      as [`Unreadable`](crate::delivery::DeadReason::Unreadable) and holds up no other.
/// 8. `claim` counts the attempt, makes the delivery
///    [`Leased`](crate::delivery::State::Leased) until [`now`](Claim::now) and the lease, and gives
///    it a token larger than all before of that delivery, for as long as it is stored. It tells
///    since when the delivery could be claimed, and what was recorded to be sent.
/// 9. `settle` with a lease that is not the latest of its delivery, or of a delivery that is no
///    longer leased or not there, changes nothing, logs nothing, records nothing and answers
///    [`Settled::LeaseLost`]. A lease that ran out but was not given to another still settles.
/// 10. `settle` applies [`Settlement::apply`], logs the attempts and records the events in one. Of
///     those each is recorded by rules 4 to 6.
///
/// *Triggers*
///
/// 11. `write_trigger` compares the revision and answers [`StorageError::Conflict`] if it is not
///     the expected one, if the id of one to create is there, or if another trigger of the scope
///     has the name: of several at once one is written.
/// 12. `trigger_changes` tells every change once in the order they were made, or, of several to one
///     trigger, only the last. Who goes on from the last number that was told misses none, however
///     many write at once: a change is told only when all before it can be. From 0 on it tells all
///     triggers there are. One that cannot be read is told as
///     [`Unreadable`](TriggerState::Unreadable) and holds up no other; deleting it works as for
///     any, and its name stays taken until then where the storage still knows it.
///
/// *Time and pages*
///
/// 13. Time is the caller's, given as `now`, and of a delivery that is recorded as its
///     `created_at`. A storage that nodes with clocks of their own share goes by its own time
///     instead: it takes each time as a span from the caller's `now`, and tells when a lease runs
///     out or something comes due in the caller's time. Any time, span, number and limit is taken.
/// 14. Pages are in the order of ids and stable under writes: what is there throughout is told
///     once. What cannot be read is told as [unreadable](Page::unreadable) and takes nobody's
///     place: a page with fewer than were asked for is the last. `replay` leaves it as it is.
///
/// *Order and batches*
///
/// 15. Of deliveries with one [ordering key](crate::delivery::Turn) at most one is
///     [`Waiting`](crate::delivery::State::Waiting) or leased. One that would be waiting, by
///     `record` or `replay`, is [`Queued`](crate::delivery::State::Queued) instead while another
///     one is, or while one recorded before it
///     [holds its turn](crate::delivery::Delivery::holds_turn). When none does any more, after
///     `settle`, `replay` or `prune`, the queued one that was recorded first becomes waiting, in
///     the same write: due when it was to be, at the earliest at once.
/// 16. `claim` of [`Companions`] leases by rules 7 and 8 what may go in one request with others:
///     [batched](crate::delivery::Delivery::batched) deliveries of one trigger and endpoint. First
///     those that were not attempted and come due by a time to come, then those that can be claimed
///     now, which could go without: the attempted before the others. Of each the longest due first.
///     It ends with the first that their number or their bytes leave no room for.
///
/// *What is kept*
///
/// 17. `prune` deletes final deliveries with their log, and events without deliveries, that their
///     [`Cutoff`] takes: as old as they were last changed or settled, of events as they were
///     received; and drops of those that stay the contents of the older ones. Of each at most
///     `limit`, the oldest first. Nothing is touched of an event at or below a held scope, nor of
///     its deliveries and those of triggers there; whether that, or events with deliveries, count
///     among the newest is the storage's. What a call comes upon and has to leave it may tell as
///     [passed](Pruned::passed), not to look at it again. One that answers with nothing at all has
///     left nothing to do.
/// 18. A delivery of which the contents were dropped [says so](Delivery::contents_dropped), and has
///     its log without what was answered. `replay` leaves it as it is, and discards it as any.
/// 19. `replay` takes what is [`Dead`](crate::delivery::State::Dead) or
///     [`Parked`](crate::delivery::State::Parked) and nothing else, by [`Replay::allows`], at most
///     `limit` in the order of ids, and makes of each what [`Replay::apply`] says. Of several at
///     once each delivery is taken by one.
/// 20. `backlog` counts what is waiting or leased, by endpoint; what is queued it leaves out.
///
/// *What takes the place of others*
///
/// 21. `record` that stores deliveries cancels those that it [supersedes](Record::supersedes), in
///     the same write and after it stored its own: those that are waiting or queued become
///     [`Cancelled`](crate::delivery::State::Cancelled) as
///     [`Superseded`](crate::delivery::CancelReason::Superseded), changed when the first of its own
///     was made. Others, leased ones among them, it leaves as they are, and without a delivery of
///     its own all. What a cancelled one held up in its order goes on by rule 15.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Creates, updates or deletes a trigger.
    ///
    /// Made again after it took effect, it is refused by rule 11.
    ///
    /// # Errors
    /// [`StorageError::Conflict`] by rule 11; [`StorageError::NotFound`] for one to update or
    /// delete that is not there. The engine's own changes, and those to what a caller gave by name,
    /// are made anew from what is there then, up to eight times; otherwise the caller is told, as
    /// of any other error.
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError>;

    /// The changes to triggers after a sequence number, at most `limit`; fewer if there are no
    /// more.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]: the engine matches by what it knows and asks again with the
    /// next refresh; a caller who changes a trigger is told.
    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError>;

    /// Stores events with their deliveries and cursor moves, each atomically; tells of each what
    /// became of it, in their order.
    ///
    /// Made again after it took effect, an event is a duplicate (rule 4), and a moved cursor is not
    /// where it is expected (rule 5).
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], of the batch as a whole, some of which may be stored: who
    /// publishes is told, and publishes again; what the engine itself tells is told again with what
    /// causes it.
    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError>;

    /// The values of cursors, in the order of the keys, all as they were at one time.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]: the step that asked is made again, or its caller told.
    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError>;

    /// Takes due deliveries under a lease.
    ///
    /// Made again it gives others. What a call gave whose answer was lost comes back when the lease
    /// has run out, the attempt counted.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]: a run claims again after a pause that grows from 50 ms to
    /// 10 s.
    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError>;

    /// Writes down what came of leases, each atomically; tells of each what became of it, in their
    /// order.
    ///
    /// Made again after it took effect, the lease is lost (rule 9); the engine lets that result go,
    /// as it would one that another worker's claim has overtaken. Only an extension is made again
    /// as the first time.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], of the batch as a whole, some of which may be written: a run
    /// keeps the results and settles them again after a pause that grows from 50 ms to 10 s. A
    /// lease whose extension failed is extended again while the attempt lasts.
    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError>;

    /// A page of events, and what of it cannot be read.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]: the caller is told; a job goes on from the page before.
    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StorageError>;

    /// A page of deliveries, and what of it cannot be read.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    async fn deliveries(&self, query: DeliveryQuery) -> Result<Page<Delivery>, StorageError>;

    /// The log of a delivery, oldest first; empty for one that is not there.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] and, for a log that is damaged, [`StorageError::Corrupt`]: the
    /// caller is told.
    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<LoggedAttempt>, StorageError>;

    /// Makes deliveries of a selection wait again, their attempts counted from zero, or discards
    /// them. Answers with those taken, in the order of ids.
    ///
    /// Made again it takes what is left: what waits or was discarded is not taken again.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]: the caller is told; a job takes its page again.
    async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError>;

    /// What is waiting or leased, by endpoint, in the order of keys.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]: the caller is told; a limit to what may wait goes by what was
    /// found last.
    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError>;

    /// Deletes of the history what is to go, by rules 17 and 18.
    ///
    /// Made again it takes what is left.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]: the caller is told; what went before stays deleted.
    async fn prune(&self, prune: Prune) -> Result<Pruned, StorageError>;
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
    /// Deliveries whose place those of the record take, by rule 21.
    pub supersedes: Vec<DeliveryId>,
}

/// An event to store.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event.
    pub event: Arc<Event>,
    json: OnceLock<Arc<[u8]>>,
}

impl NewEvent {
    /// An event that may not be changed any more.
    pub fn of(event: Event) -> Self {
        Self { event: Arc::new(event), json: OnceLock::new() }
    }

    /// Its JSON, made once: when it is first asked for.
    pub fn json(&self) -> &Arc<[u8]> {
        self.json.get_or_init(|| self.event.to_json().into())
    }

    /// About how many bytes it takes, without making its JSON where nobody did.
    #[cfg(feature = "engine")]
    pub(crate) fn about_bytes(&self) -> usize {
        self.json.get().map_or_else(|| self.event.about_bytes(), |json| json.len())
    }
}

impl Record {
    /// An event with its deliveries.
    pub fn of_event(event: NewEvent, deliveries: Vec<(Delivery, Payload)>) -> Self {
        Self { event: Some(event), deliveries, ..Self::default() }
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
    /// By when what is given has to have come due, or its lease to have run out. Mostly now; in a
    /// drain earlier, for a ping later.
    pub due_by: Timestamp,
    /// How long the leases last, from now on.
    pub lease: Duration,
    /// The most deliveries to give.
    pub limit: usize,
    /// The most to give of one endpoint.
    pub per_endpoint: usize,
    /// Endpoints with a quota of their own, which takes the place of `per_endpoint`; 0 to skip one.
    /// In the order of their keys, each once.
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
    /// request one. The claim's limit holds for all of them together, and the first get theirs
    /// first.
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
    /// everything was given that is due; told by a claim of endpoints if fewer were given than
    /// asked for.
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
    /// Another worker holds the lease, or held it and is done. Nothing changed, and nothing is
    /// lost.
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
