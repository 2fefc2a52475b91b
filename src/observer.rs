//! Observers: who is told of each step that events and deliveries take.
//!
//! In: a [`Transition`] as it happens. Out: whatever an observer makes of it: a line in a log, a
//! count, a test's assertion. Nothing here changes what happens.

mod emission;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tracing")]
pub mod tracing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use emission::EmissionLog;

use crate::delivery::{Delivery, Outcome, Settlement};
use crate::document::Problems;
use crate::event::{Event, Scope};
use crate::id::{DeliveryId, EventId, TriggerId};
use crate::incoming::ReceiveError;
use crate::incoming::known::SkipReason;
use crate::signature::SignError;
use crate::storage::{Pruned, StorageError};
use crate::trigger::SuspendReason;
use crate::watch::UpstreamError;

/// Is told of what an engine does, as it does it.
///
/// # Contract
/// 1. `observe` returns soon and waits for nothing: it is called in the midst of publishing and
///    delivering, by any thread, by several at once.
/// 2. What it is told has happened. It can neither change nor prevent it.
/// 3. A panic is caught and has no consequence; the next transition is told again.
/// 4. Transitions of one delivery are told in the order in which they happen in this engine. What
///    other engines do on the same storage is told to their observers, not here.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Takes note of a transition.
    fn observe(&self, transition: &Transition<'_>);
}

/// An observer that somebody else looks at too.
impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, transition: &Transition<'_>) {
        O::observe(self, transition);
    }
}

/// A step that an event, a delivery, a trigger or the engine itself took.
///
/// Holds no secret, no header, and of a URL only the origin or the name of an inbox's endpoint. An
/// event is there as it was published.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Transition<'a> {
    /// An incoming webhook was verified and understood.
    Received {
        /// The endpoint of an inbox that it came to; `None` if it came without one.
        endpoint: Option<&'a str>,
        /// How many events it tells of; what becomes of each is told next.
        events: usize,
    },
    /// An incoming webhook was refused by its receiver. Nothing was stored.
    ReceiveRefused {
        /// The endpoint of an inbox that it came to; `None` if it came without one.
        endpoint: Option<&'a str>,
        /// Why.
        error: &'a ReceiveError,
    },
    /// An inbox refused a request, whatever its receiver would have said: there is no such endpoint
    /// or it takes no more now, the body is too large or late, or it could not be stored in time.
    RequestRefused {
        /// The endpoint; `None` if none was found: there is no such one, its token did not fit, or
        /// there were too many header fields to look for it.
        endpoint: Option<&'a str>,
        /// The HTTP status of the answer.
        status: u16,
    },
    /// An event of an incoming webhook is not told to anyone.
    Skipped {
        /// The id that it would have had.
        event: EventId,
        /// Why.
        reason: SkipReason,
    },
    /// An event breaks a limit or a rule. Nothing was stored.
    EventRefused {
        /// Its id.
        event: EventId,
        /// Who told it.
        by: Publisher,
        /// What is wrong with it.
        problems: &'a Problems,
    },
    /// An event is good, its triggers are found, and it goes to the storage.
    Accepted {
        /// The event.
        event: &'a Event,
        /// Who told it.
        by: Publisher,
    },
    /// An event is stored, with all its deliveries, which are told next.
    Published {
        /// The event.
        event: &'a Event,
        /// Who told it.
        by: Publisher,
        /// Whether an event of its id was stored before; then nothing was done.
        duplicate: bool,
        /// How many deliveries were made.
        deliveries: usize,
        /// How long it took, from the call until it was durable.
        took: Duration,
    },
    /// A delivery was made: [waiting](crate::delivery::State::Waiting), or
    /// [parked](crate::delivery::State::Parked) since its trigger is suspended or its endpoint has
    /// as much [waiting](crate::engine::EngineOptions::max_backlog) as may be.
    DeliveryMade {
        /// The delivery.
        delivery: &'a Delivery,
    },
    /// A delivery is leased to this engine.
    Claimed {
        /// The delivery.
        delivery: &'a Delivery,
    },
    /// A request could not be signed. Nothing was sent and no attempt used up; its deliveries are
    /// tried again a little later.
    NotSigned {
        /// The trigger.
        trigger: TriggerId,
        /// Why.
        error: &'a SignError,
    },
    /// An attempt begins. Its number is the delivery's `attempts`.
    AttemptBegun {
        /// The delivery.
        delivery: &'a Delivery,
        /// How long after it was due; `None` if that is not known, as of what a crash left behind.
        overdue: Option<Duration>,
    },
    /// The outcome of an attempt is known, and nothing of it is written down yet.
    AttemptEnded {
        /// The delivery.
        delivery: &'a Delivery,
        /// What came of it.
        outcome: &'a Outcome,
        /// The status code, if the endpoint answered.
        status: Option<u16>,
        /// How long it took.
        took: Duration,
        /// How long after the delivery was due; `None` if that is not known.
        since_due: Option<Duration>,
        /// How long after the delivery was made.
        since_published: Duration,
    },
    /// An attempt was dropped before its outcome was known, by a shutdown or with its `run`.
    AttemptAbandoned {
        /// The delivery.
        delivery: &'a Delivery,
    },
    /// What follows is written down.
    Settled {
        /// The delivery as it stands now.
        delivery: &'a Delivery,
        /// What followed.
        settlement: &'a Settlement,
        /// How long after the delivery was made.
        since_published: Duration,
    },
    /// What should have followed was dropped: another worker has the lease, or it was written down
    /// already and only the answer was lost.
    LeaseLost {
        /// The delivery as it was claimed.
        delivery: &'a Delivery,
        /// What would have followed.
        settlement: &'a Settlement,
    },
    /// Dead and parked deliveries wait again.
    Replayed {
        /// Which ones.
        deliveries: &'a [DeliveryId],
    },
    /// A trigger was stored, changed or deleted through this engine.
    TriggerChanged {
        /// Its id.
        trigger: TriggerId,
        /// Its scope.
        scope: &'a Scope,
        /// Its name.
        name: &'a str,
        /// What was done.
        change: TriggerStep,
    },
    /// What was left in the outbox cannot be published. It is set aside there, or will be once the
    /// outbox answers.
    OutboxRefused {
        /// Its position.
        position: u64,
        /// Why.
        problems: &'a Problems,
    },
    /// An attempt could not be made for want of a credential that this side has to have: the
    /// [secret provider](crate::provider::SecretProvider) did not give it. What was to be sent
    /// waits, and no attempt is used up.
    CredentialsMissing {
        /// The trigger.
        trigger: TriggerId,
        /// Which one and why, for an operator.
        reason: &'a str,
    },
    /// A poll of what a trigger watches failed. It is made again, less often the longer that lasts.
    PollFailed {
        /// The trigger.
        trigger: TriggerId,
        /// Why.
        error: &'a UpstreamError,
        /// How many failed without a break until now.
        failures: u32,
    },
    /// A call to the storage or the outbox failed: it did not answer, or what it has cannot be
    /// read. That something is in conflict or not there is an answer, and is not told.
    StorageFailed {
        /// Which call.
        call: StorageCall,
        /// The error.
        error: &'a StorageError,
    },
    /// A `run` leaves the storage alone for a while, since it failed.
    BackedOff {
        /// For how long.
        pause: Duration,
    },
    /// A [`run`](crate::engine::Engine::run) began.
    RunBegun {
        /// How many there are now.
        runs: usize,
    },
    /// A `run` ended or was dropped.
    RunEnded {
        /// How many are left.
        runs: usize,
    },
    /// History was deleted.
    Pruned {
        /// How much.
        pruned: Pruned,
    },
}

impl Transition<'_> {
    /// The transition's name, as the [manual](crate::manual::observing) has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Received { .. } => "received",
            Self::ReceiveRefused { .. } => "receive_refused",
            Self::RequestRefused { .. } => "request_refused",
            Self::Skipped { .. } => "skipped",
            Self::EventRefused { .. } => "event_refused",
            Self::Accepted { .. } => "accepted",
            Self::Published { .. } => "published",
            Self::DeliveryMade { .. } => "delivery_made",
            Self::Claimed { .. } => "claimed",
            Self::NotSigned { .. } => "not_signed",
            Self::AttemptBegun { .. } => "attempt_begun",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::AttemptAbandoned { .. } => "attempt_abandoned",
            Self::Settled { .. } => "settled",
            Self::LeaseLost { .. } => "lease_lost",
            Self::Replayed { .. } => "replayed",
            Self::TriggerChanged { .. } => "trigger_changed",
            Self::OutboxRefused { .. } => "outbox_refused",
            Self::CredentialsMissing { .. } => "credentials_missing",
            Self::PollFailed { .. } => "poll_failed",
            Self::StorageFailed { .. } => "storage_failed",
            Self::BackedOff { .. } => "backed_off",
            Self::RunBegun { .. } => "run_begun",
            Self::RunEnded { .. } => "run_ended",
            Self::Pruned { .. } => "pruned",
        }
    }
}

/// Who told an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Publisher {
    /// Who called [`publish`](crate::engine::Engine::publish): the registry.
    Caller,
    /// A [receiver](crate::incoming::Receiver) of incoming webhooks.
    Receiver,
    /// Who left it in the [outbox](crate::outbox::Outbox).
    Outbox,
    /// The engine itself: of a dead letter, or what an action told.
    Engine,
}

impl Publisher {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Receiver => "receiver",
            Self::Outbox => "outbox",
            Self::Engine => "engine",
        }
    }
}

/// What was done to a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TriggerStep {
    /// It is new.
    Created,
    /// It was changed otherwise than below.
    Changed,
    /// It is at work again: enabled, and not suspended any more.
    Enabled,
    /// Somebody took it from work.
    Disabled,
    /// The engine took it from work.
    Suspended(SuspendReason),
    /// It is gone.
    Deleted,
}

impl TriggerStep {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Suspended(_) => "suspended",
            Self::Deleted => "deleted",
        }
    }
}

/// A method of [`Storage`](crate::storage::Storage), or behind `Outbox` of
/// [`Outbox`](crate::outbox::Outbox).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum StorageCall {
    WriteTrigger,
    TriggerChanges,
    Record,
    Cursors,
    Claim,
    Settle,
    Events,
    Deliveries,
    Attempts,
    Replay,
    Backlog,
    Prune,
    OutboxTake,
    OutboxDone,
}

impl StorageCall {
    /// The method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WriteTrigger => "write_trigger",
            Self::TriggerChanges => "trigger_changes",
            Self::Record => "record",
            Self::Cursors => "cursors",
            Self::Claim => "claim",
            Self::Settle => "settle",
            Self::Events => "events",
            Self::Deliveries => "deliveries",
            Self::Attempts => "attempts",
            Self::Replay => "replay",
            Self::Backlog => "backlog",
            Self::Prune => "prune",
            Self::OutboxTake => "outbox_take",
            Self::OutboxDone => "outbox_done",
        }
    }
}
