//! Actions: in-process handlers that take deliveries as endpoints do.
//!
//! In: an [`ActionCall`]. Out: what was [`Done`], or an [`ActionError`] that says what follows.
//! Retry, leases, dead letters and replay apply as they do to webhooks.

mod run_ref;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

pub use run_ref::RunRef;

use crate::event::{Correlation, Event, EventBuilder, EventKind, Source};
use crate::id::{DeliveryId, MessageId, TriggerId};

/// Does something in-process with an event.
///
/// # Contract
/// 1. `run` may be called more than once for a delivery: it is delivered at least once. The message
///    id is the same each time.
/// 2. It ends within the trigger's time-out; the engine stops waiting then and drops the future.
/// 3. A panic counts as a failure that may pass.
/// 4. The events of what it gives back are stored with the outcome of the attempt, in one write:
///    all of both, or neither. If a crash comes before, `run` is called again and nothing was told.
#[async_trait]
pub trait Action: fmt::Debug + Send + Sync + 'static {
    /// Handles one delivery. A text is enough of an answer: `Ok("scanned".into())`.
    ///
    /// # Errors
    /// [`ActionError`], which says whether it is tried again.
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError>;

    /// Says beforehand whether a trigger can tell the action this; anything, if it is not written.
    /// A trigger that was stored before may tell it nevertheless.
    ///
    /// # Errors
    /// What is wrong with it, for a person. A trigger with it is not stored.
    fn check_config(&self, _config: &Value) -> Result<(), String> {
        Ok(())
    }
}

/// What an action gives back.
///
/// ```
/// use artifact_triggers::action::{ActionCall, Done, RunRef};
/// use artifact_triggers::event::EventKind;
///
/// fn started(call: &ActionCall) -> Done {
///     let run = RunRef::of_id("4711").with_url("https://ci.example/runs/4711");
///     let scanned = call.tell(EventKind::SCAN_COMPLETED).attribute("verdict", "passed");
///     Done::new("scanned").with_run(run).with_event(scanned)
/// }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Done {
    /// Kept in the delivery's log, for tenants to read.
    pub text: String,
    /// Events that are published with the outcome. One without an id of its own has one that
    /// follows from the delivery's message and its place in this list, so that it is one event
    /// however often the action runs. Each tells of the action's event as its
    /// [cause](ActionCall::correlation). At most [`MAX_EVENTS`](Self::MAX_EVENTS), together no
    /// larger than [one may be](crate::event::MAX_EVENT_BYTES): beyond that, or with one that is
    /// wrong, none is published and the delivery is dead.
    pub events: Vec<EventBuilder>,
    /// What was started elsewhere; kept in the delivery's log.
    pub run: Option<RunRef>,
}

impl Done {
    /// The most events that an action gives back.
    pub const MAX_EVENTS: usize = 100;

    /// What was done, as a text for the log.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Adds an event to be published; mostly begun by [`ActionCall::tell`].
    pub fn with_event(mut self, event: EventBuilder) -> Self {
        self.events.push(event);
        self
    }

    /// Sets what was started elsewhere.
    pub fn with_run(mut self, run: RunRef) -> Self {
        self.run = Some(run);
        self
    }
}

impl From<String> for Done {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Done {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// One attempt of a delivery to an action.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ActionCall {
    /// The event.
    pub event: Event,
    /// The trigger that matched it.
    pub trigger: TriggerId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The same on every attempt.
    pub message_id: MessageId,
    /// Which attempt it is, from 1 on.
    pub attempt: u32,
    /// What the trigger tells the action.
    pub config: Value,
}

impl ActionCall {
    /// The first attempt to handle an event.
    pub fn new(event: Event, trigger: TriggerId) -> Self {
        let delivery = DeliveryId::of(event.id, trigger);
        let message_id = MessageId::of(delivery);
        Self { event, trigger, delivery, message_id, attempt: 1, config: Value::Null }
    }

    /// Begins an event for [`Done`], in the scope of the event that is handled and with that as its
    /// cause.
    pub fn tell(&self, kind: EventKind) -> EventBuilder {
        Event::builder(kind)
            .scope(self.event.scope.clone())
            .source(Source::new("action"))
            .correlation(self.correlation())
    }

    /// What an event is to say of its cause that the action publishes, so that loops can be cut.
    /// The events of [`Done`] are told to say it.
    pub fn correlation(&self) -> Correlation {
        let mut hops = self.event.correlation.hops.clone();
        hops.push(self.trigger.to_string());
        Correlation { cause: Some(self.event.id), hops, ..Correlation::default() }
    }

    /// Sets what the trigger tells the action.
    pub fn with_config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }
}

/// Why an action did not succeed. The text is kept in the delivery's log, for tenants to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// It may succeed later. Tried again by the trigger's policy.
    #[error("{0}")]
    Transient(String),
    /// It may succeed later, but not before a while. Tried again then.
    #[error("{reason}")]
    Throttled {
        /// Why.
        reason: String,
        /// How long to wait at least.
        retry_after: Duration,
    },
    /// It can never succeed. The delivery is dead.
    #[error("{0}")]
    Permanent(String),
}
