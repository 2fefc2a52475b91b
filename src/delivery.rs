//! Deliveries: one event each on its way to one trigger's target.
//!
//! In: an [`Outcome`] of an attempt. Out: a [`Settlement`]. The one function that decides is
//! [`DeliveryPolicy::settle`]; storages write down what it says.

mod attempt;
mod batch;
mod coalesce;
mod health;
mod policy;
mod retry;
#[cfg(feature = "engine")]
pub(crate) mod run;
mod turn;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Url;

pub use attempt::{Attempt, Outcome};
pub use batch::Batch;
pub use coalesce::{Coalesce, Decision, Fate, Per, PlaceOf, Places};
pub use health::{Diagnosis, Failing, WhileSuspended};
pub use policy::{DeliveryPolicy, Settling};
pub use retry::{Jitter, RetrySchedule};
pub use turn::{OnDead, Order, Turn};

use crate::clock::Timestamp;
use crate::document;
use crate::event::Scope;
use crate::id::{DeliveryId, EventId, MessageId, TriggerId};
use crate::payload::Payload;

/// What shares limits and fate with others: an endpoint's origin, or an action's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointKey(Arc<str>);

impl EndpointKey {
    /// A key from its text.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// The key of whatever is at a URL: its origin.
    pub(crate) fn of_url(url: &Url) -> Self {
        Self::new(url.origin().ascii_serialization())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One event on its way to one trigger's target.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Delivery {
    /// The delivery's id.
    pub id: DeliveryId,
    /// The id that the receiver sees, the same on every attempt.
    pub message_id: MessageId,
    /// The event.
    pub event: EventId,
    /// The trigger.
    pub trigger: TriggerId,
    /// The trigger's scope.
    pub scope: Scope,
    /// What it shares limits with.
    pub endpoint: EndpointKey,
    /// Where it stands.
    pub state: State,
    /// How many attempts were begun since it was made or last replayed.
    pub attempts: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its place in an order, if its trigger has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// Whether it may go in one request with others of its trigger that may.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub batched: bool,
    /// Whether what it sent, and what was answered, is no longer there: it cannot be replayed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub contents_dropped: bool,
}

impl Delivery {
    /// A delivery of an event to a trigger that has not been tried.
    pub fn new(
        event: EventId,
        trigger: TriggerId,
        scope: Scope,
        endpoint: EndpointKey,
        now: Timestamp,
    ) -> Self {
        let id = DeliveryId::of(event, trigger);
        Self {
            id,
            message_id: MessageId::of(id),
            event,
            trigger,
            scope,
            endpoint,
            state: State::Waiting { due: now },
            attempts: 0,
            created_at: now,
            turn: None,
            batched: false,
            contents_dropped: false,
        }
    }

    /// Sets where it stands.
    pub fn with_state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// Sets its place in an order.
    pub fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = Some(turn);
        self
    }

    /// Sets whether it may go in one request with others of its trigger.
    pub fn with_batched(mut self, batched: bool) -> Self {
        self.batched = batched;
        self
    }

    /// Sets whether its contents are no longer there.
    pub fn with_contents_dropped(mut self, dropped: bool) -> Self {
        self.contents_dropped = dropped;
        self
    }

    /// Sets how many attempts were begun.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the id that the receiver sees.
    pub fn with_message_id(mut self, id: MessageId) -> Self {
        self.message_id = id;
        self
    }
}

/// Where a delivery stands.
///
/// ```text
///            claim              settle
///  Waiting ────────▶ Leased ─┬────────▶ Delivered
///   ▲   ▲               │    ├────────▶ Cancelled ◀─┐ discard
///   │   │ Retry, Release│    ├────────▶ Dead ───────┤
///   │   ├───────────────┘    └────────▶ Parked ─────┤
///   │   └───────────────────────────────────────────┘ replay
///   │ its turn
///  Queued
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "name", rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// It will be tried.
    Waiting {
        /// Not before this.
        due: Timestamp,
    },
    /// It will be tried once it is its turn: one before it in its [order](Turn) is not done.
    Queued,
    /// A worker has the right to try it.
    Leased {
        /// Until this; then another may.
        until: Timestamp,
    },
    /// The target took it.
    Delivered,
    /// It will not be tried again by itself; it can be replayed.
    Dead {
        /// Why.
        reason: DeadReason,
    },
    /// It will never be tried.
    Cancelled {
        /// Why.
        reason: CancelReason,
    },
    /// It waits for somebody to replay it: its trigger is suspended, was disabled or cannot be
    /// read, or its endpoint had too much waiting.
    Parked,
}

/// The name of a [`State`], to select by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StateName {
    /// [`State::Waiting`].
    Waiting,
    /// [`State::Queued`].
    Queued,
    /// [`State::Leased`].
    Leased,
    /// [`State::Delivered`].
    Delivered,
    /// [`State::Dead`].
    Dead,
    /// [`State::Cancelled`].
    Cancelled,
    /// [`State::Parked`].
    Parked,
}

impl State {
    /// The state's name.
    pub fn name(&self) -> StateName {
        match self {
            Self::Waiting { .. } => StateName::Waiting,
            Self::Queued => StateName::Queued,
            Self::Leased { .. } => StateName::Leased,
            Self::Delivered => StateName::Delivered,
            Self::Dead { .. } => StateName::Dead,
            Self::Cancelled { .. } => StateName::Cancelled,
            Self::Parked => StateName::Parked,
        }
    }

    /// From when on it can be claimed: once it is due, or its lease has run out. `None` if it has
    /// to wait for its turn, or nothing more happens by itself.
    pub fn claimable_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { due: at } | Self::Leased { until: at } => Some(*at),
            _ => None,
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Waiting { .. } | Self::Queued | Self::Leased { .. })
    }
}

/// Why a delivery is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadReason {
    /// Every attempt of its schedule failed.
    Exhausted,
    /// It grew older than its policy allows.
    TooOld,
    /// The endpoint said that it is gone (410).
    Gone,
    /// The endpoint refused it by a status that the policy calls final.
    Refused,
    /// The address may not be dialled.
    Blocked,
    /// It can never succeed: the request cannot be made, or an action said so.
    Invalid,
    /// What the storage has of it is damaged, so that it cannot be tried.
    Unreadable,
}

impl DeadReason {
    /// All reasons, for backends that store them by name.
    pub const ALL: [Self; 7] = [
        Self::Exhausted,
        Self::TooOld,
        Self::Gone,
        Self::Refused,
        Self::Blocked,
        Self::Invalid,
        Self::Unreadable,
    ];

    /// The reason's name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::TooOld => "too_old",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::Blocked => "blocked",
            Self::Invalid => "invalid",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a delivery was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CancelReason {
    /// Its trigger was deleted.
    TriggerDeleted,
    /// Its trigger was suspended and drops what comes meanwhile.
    Suspended,
    /// A newer one took its place, as its policy [coalesces](Coalesce).
    Superseded,
    /// Somebody discarded it.
    Discarded,
    /// It was a ping that could not be sent at once.
    NotSent,
    /// It was cancelled by a version of the crate that kept no reason.
    Unknown,
}

impl CancelReason {
    /// All reasons, for backends that store them by name.
    pub const ALL: [Self; 6] = [
        Self::TriggerDeleted,
        Self::Suspended,
        Self::Superseded,
        Self::Discarded,
        Self::NotSent,
        Self::Unknown,
    ];

    /// The reason's name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TriggerDeleted => "trigger_deleted",
            Self::Suspended => "suspended",
            Self::Superseded => "superseded",
            Self::Discarded => "discarded",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The right, until a time, to work on one delivery; fenced by a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Larger with each claim of that delivery: a lost lease has an older one.
    pub token: u64,
}

/// A delivery that a worker may try, with all it needs.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The right to try it.
    pub lease: Lease,
    /// The delivery, [`Leased`](State::Leased); `attempts` counts this attempt.
    pub delivery: Delivery,
    /// When it came due, or the lease before ran out. A time before the delivery was made if that
    /// is not known.
    pub due: Timestamp,
    /// What to send, fixed when the delivery was made.
    pub payload: Payload,
}

/// What follows an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// Becomes [`State::Delivered`].
    Delivered,
    /// Becomes [`State::Waiting`].
    Retry {
        /// Not before this.
        at: Timestamp,
    },
    /// Becomes [`State::Dead`].
    Dead(DeadReason),
    /// Becomes [`State::Cancelled`].
    Cancelled(CancelReason),
    /// Becomes [`State::Parked`]; the attempt does not count.
    Parked,
    /// Becomes [`State::Waiting`]; the attempt does not count, since it failed on our side or was
    /// never made.
    Released {
        /// Not before this.
        at: Timestamp,
    },
    /// Stays [`State::Leased`], for an attempt that takes long.
    Extended {
        /// Until this.
        until: Timestamp,
    },
}

impl Settlement {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry { .. } => "retry",
            Self::Dead(_) => "dead",
            Self::Cancelled(_) => "cancelled",
            Self::Parked => "parked",
            Self::Released { .. } => "released",
            Self::Extended { .. } => "extended",
        }
    }

    /// The state that it leads to.
    pub fn state(&self) -> State {
        match self {
            Self::Delivered => State::Delivered,
            Self::Retry { at } | Self::Released { at } => State::Waiting { due: *at },
            Self::Dead(reason) => State::Dead { reason: *reason },
            Self::Cancelled(reason) => State::Cancelled { reason: *reason },
            Self::Parked => State::Parked,
            Self::Extended { until } => State::Leased { until: *until },
        }
    }

    /// Whether the attempt stays counted that the claim has counted.
    pub fn counts_attempt(&self) -> bool {
        !matches!(self, Self::Parked | Self::Released { .. })
    }

    /// The delivery as it stands after this settlement: the one transition out of
    /// [`State::Leased`], and the one way to stay there.
    pub fn apply(&self, delivery: &mut Delivery) {
        delivery.state = self.state();
        if !self.counts_attempt() {
            delivery.attempts = delivery.attempts.saturating_sub(1);
        }
    }
}

impl std::str::FromStr for DeadReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        known.ok_or_else(|| format!("expected a reason for a dead letter, found {text:?}"))
    }
}

document::field_from_str!(DeadReason, "a reason for a dead letter");

impl std::str::FromStr for CancelReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        known.ok_or_else(|| format!("expected a reason for a cancelled delivery, found {text:?}"))
    }
}

document::field_from_str!(CancelReason, "a reason for a cancelled delivery");

#[cfg(test)]
mod tests;
