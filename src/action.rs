//! Actions: in-process handlers that take deliveries as endpoints do.
//!
//! In: an [`ActionCall`]. Out: success, or an [`ActionError`] that says what follows. Retry, leases,
//! dead letters and replay apply as they do to webhooks.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::event::{Correlation, Event};
use crate::id::{DeliveryId, MessageId, TriggerId};

/// Does something in-process with an event.
///
/// # Contract
/// 1. `run` may be called more than once for a delivery: it is delivered at least once. The message
///    id is the same each time.
/// 2. It ends within the trigger's time-out; the engine stops waiting then and drops the future.
/// 3. A panic counts as a failure that may pass.
#[async_trait]
pub trait Action: fmt::Debug + Send + Sync + 'static {
    /// Handles one delivery. The text is kept in the delivery's log.
    ///
    /// # Errors
    /// [`ActionError`], which says whether it is tried again.
    async fn run(&self, call: ActionCall) -> Result<String, ActionError>;
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

    /// What an event is to say of its cause that the action publishes, so that loops can be cut.
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
