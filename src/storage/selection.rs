//! Selections: which events and deliveries to tell, and which to try again.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::delivery::{CancelReason, Delivery, State, StateName};
use crate::event::{Event, Scope};
use crate::id::{DeliveryId, EventId, TriggerId};

/// Which events to tell.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EventQuery {
    /// At or below this scope.
    pub scope: Scope,
    /// With this id.
    pub id: Option<EventId>,
    /// Received at this time or later.
    pub from: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// Behind this id.
    pub after: Option<EventId>,
    /// The most to tell.
    pub limit: usize,
}

impl EventQuery {
    /// The most that a page holds unless more is asked for.
    pub const DEFAULT_LIMIT: usize = 100;

    /// The events of a scope.
    pub fn of_scope(scope: Scope) -> Self {
        let limit = Self::DEFAULT_LIMIT;
        Self { scope, id: None, from: None, until: None, after: None, limit }
    }

    /// Only the one of an id.
    pub fn with_id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// Only those received at a time or later.
    pub fn with_from(mut self, time: Timestamp) -> Self {
        self.from = Some(time);
        self
    }

    /// Only those received before a time.
    pub fn with_until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// Only those behind an id: the last one of the page before.
    pub fn with_after(mut self, id: EventId) -> Self {
        self.after = Some(id);
        self
    }

    /// The query for what is behind a page of this one, if there may be more.
    #[cfg(feature = "engine")]
    pub(crate) fn behind(self, page: &[Event]) -> Option<Self> {
        let last = page.last().filter(|_| page.len() == self.limit)?;
        Some(self.with_after(last.id))
    }

    /// Sets the most to tell.
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Whether an event is one of those, leaving `after` and `limit` aside.
    pub fn selects(&self, event: &Event) -> bool {
        self.scope.contains(&event.scope)
            && self.id.is_none_or(|id| id == event.id)
            && self.from.is_none_or(|from| from <= event.received_at)
            && self.until.is_none_or(|until| event.received_at < until)
    }
}

/// Which deliveries to tell or replay.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeliveryQuery {
    /// At or below this scope.
    pub scope: Scope,
    /// With this id.
    pub id: Option<DeliveryId>,
    /// Of this event.
    pub event: Option<EventId>,
    /// To this trigger.
    pub trigger: Option<TriggerId>,
    /// In this state.
    pub state: Option<StateName>,
    /// Made at this time or later.
    pub from: Option<Timestamp>,
    /// Made before this time.
    pub until: Option<Timestamp>,
    /// Behind this id.
    pub after: Option<DeliveryId>,
    /// The most to tell.
    pub limit: usize,
}

impl DeliveryQuery {
    /// The most that a page holds unless more is asked for.
    pub const DEFAULT_LIMIT: usize = 100;

    /// The deliveries of a scope's triggers.
    pub fn of_scope(scope: Scope) -> Self {
        let limit = Self::DEFAULT_LIMIT;
        Self {
            scope,
            id: None,
            event: None,
            trigger: None,
            state: None,
            from: None,
            until: None,
            after: None,
            limit,
        }
    }

    /// Only the one of an id.
    pub fn with_id(mut self, id: DeliveryId) -> Self {
        self.id = Some(id);
        self
    }

    /// Only those of an event.
    pub fn with_event(mut self, event: EventId) -> Self {
        self.event = Some(event);
        self
    }

    /// Only those to a trigger.
    pub fn with_trigger(mut self, trigger: TriggerId) -> Self {
        self.trigger = Some(trigger);
        self
    }

    /// Only those in a state.
    pub fn with_state(mut self, state: StateName) -> Self {
        self.state = Some(state);
        self
    }

    /// Only those made at a time or later.
    pub fn with_from(mut self, time: Timestamp) -> Self {
        self.from = Some(time);
        self
    }

    /// Only those made before a time.
    pub fn with_until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// Only those behind an id: the last one of the page before.
    pub fn with_after(mut self, id: DeliveryId) -> Self {
        self.after = Some(id);
        self
    }

    /// The query for what is behind a page of this one, if there may be more.
    #[cfg(feature = "engine")]
    pub(crate) fn behind(self, page: &[Delivery]) -> Option<Self> {
        let last = page.last().filter(|_| page.len() == self.limit)?;
        Some(self.with_after(last.id))
    }

    /// Sets the most to tell.
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Whether a delivery is one of those, leaving `after` and `limit` aside.
    pub fn selects(&self, delivery: &Delivery) -> bool {
        self.scope.contains(&delivery.scope)
            && self.id.is_none_or(|id| id == delivery.id)
            && self.event.is_none_or(|event| event == delivery.event)
            && self.trigger.is_none_or(|trigger| trigger == delivery.trigger)
            && self.state.is_none_or(|state| state == delivery.state.name())
            && self.from.is_none_or(|from| from <= delivery.created_at)
            && self.until.is_none_or(|until| delivery.created_at < until)
    }
}

/// What was asked for, and what of it cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// What can be read, in the order of ids, at most as many as were asked for.
    pub items: Vec<T>,
    /// What was found among them and cannot be read: which it is, if that is known, and what is
    /// wrong, for an operator.
    pub unreadable: Vec<String>,
}

/// All of it can be read, as of a storage that keeps it in memory.
impl<T> From<Vec<T>> for Page<T> {
    fn from(items: Vec<T>) -> Self {
        Self { items, unreadable: Vec::new() }
    }
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

/// Which deliveries to try again, and how.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Which ones.
    pub query: DeliveryQuery,
    /// Only those that have been as they are since this time or before.
    pub unchanged_since: Option<Timestamp>,
    /// The time now.
    pub now: Timestamp,
    /// What becomes of them.
    pub fate: Fate,
}

/// What becomes of deliveries that are replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// They become [`Waiting`](crate::delivery::State::Waiting).
    Again {
        /// When the first of them is due.
        due: Timestamp,
        /// How much later each further one is due.
        spacing: Duration,
        /// Whether receivers see them as [new messages](crate::id::MessageId::next).
        new_message_ids: bool,
    },
    /// They become [`Cancelled`](crate::delivery::State::Cancelled), as
    /// [`Discarded`](crate::delivery::CancelReason::Discarded).
    Discarded,
}

impl Replay {
    /// Whether a delivery that was changed at a time, as [`apply`](Self::apply) has it, or settled,
    /// has been as it is for long enough.
    pub fn allows(&self, changed_at: Timestamp) -> bool {
        self.unchanged_since.is_none_or(|since| changed_at <= since)
    }

    /// Whether it is for a delivery as that stands: dead or parked, and still with what it sends
    /// unless it is discarded.
    pub fn is_for(&self, delivery: &Delivery) -> bool {
        matches!(delivery.state, State::Dead { .. } | State::Parked)
            && (!delivery.contents_dropped || self.fate == Fate::Discarded)
    }

    /// Makes of a delivery what it is once it is replayed, as the one of this place in the
    /// selection; if it has an order, before its turn is given to it. Tells what to write down as
    /// the time of its change: of one that is queued, when it is to be due.
    pub fn apply(&self, delivery: &mut Delivery, place: u32) -> Timestamp {
        let Fate::Again { due, spacing, new_message_ids } = &self.fate else {
            delivery.state = State::Cancelled { reason: CancelReason::Discarded };
            return self.now;
        };
        let due = *due + spacing.saturating_mul(place);
        delivery.state = State::Waiting { due };
        delivery.attempts = 0;
        delivery.queue();
        if *new_message_ids {
            delivery.message_id = delivery.message_id.next();
        }
        if delivery.state == State::Queued { due } else { self.now }
    }
}
