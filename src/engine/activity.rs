//! Activity: the fate of one event, in one answer.
//!
//! In: an event's id. Out: the event, what it was delivered to and what came of each attempt, and
//! on demand which triggers it did not concern, and why. Bounded, and without what is secret.

use serde::Serialize;

use super::Engine;
use crate::delivery::Delivery;
use crate::event::{Event, Scope};
use crate::id::{EventId, TriggerId};
use crate::storage::{DeliveryQuery, LoggedAttempt, StorageError};
use crate::trigger::explain::Explanation;

/// How much is told of an event's fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActivityOptions {
    /// The most deliveries, the oldest id first; no more than
    /// [`MAX_DELIVERIES`](Self::MAX_DELIVERIES).
    pub deliveries: usize,
    /// The most attempts of each, the last ones; no more than [`MAX_ATTEMPTS`](Self::MAX_ATTEMPTS).
    pub attempts: usize,
    /// The most triggers that did not match, the nearest first; no more than
    /// [`MAX_MISSES`](Self::MAX_MISSES). To explain them [takes time](Engine::nearest_misses).
    pub misses: usize,
}

impl Default for ActivityOptions {
    /// 100 deliveries, 20 attempts of each, and no triggers that did not match.
    fn default() -> Self {
        Self { deliveries: 100, attempts: 20, misses: 0 }
    }
}

impl ActivityOptions {
    /// The most deliveries of one answer.
    pub const MAX_DELIVERIES: usize = 1_000;
    /// The most attempts of a delivery.
    pub const MAX_ATTEMPTS: usize = 100;
    /// The most triggers that did not match.
    pub const MAX_MISSES: usize = 100;

    /// Sets the most deliveries.
    pub fn with_deliveries(mut self, most: usize) -> Self {
        self.deliveries = most;
        self
    }

    /// Sets the most attempts of each delivery.
    pub fn with_attempts(mut self, most: usize) -> Self {
        self.attempts = most;
        self
    }

    /// Sets the most triggers that did not match.
    pub fn with_misses(mut self, most: usize) -> Self {
        self.misses = most;
        self
    }
}

/// What became of an event.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Activity {
    /// The event.
    pub event: Event,
    /// Where it went, in the order of ids.
    pub deliveries: Vec<DeliveryActivity>,
    /// Whether there are more deliveries than are told.
    pub has_more_deliveries: bool,
    /// Triggers that it does not concern now, the nearest first, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub misses: Vec<Miss>,
}

/// What became of one of an event's deliveries.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DeliveryActivity {
    /// The name of its trigger, if that is there still.
    pub trigger_name: Option<String>,
    /// The delivery, with its state.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// Its last attempts, oldest first.
    pub log: Vec<LoggedAttempt>,
    /// How many before those are left out.
    pub attempts_left_out: usize,
}

/// A trigger that an event does not concern.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Miss {
    /// The trigger.
    pub trigger: TriggerId,
    /// Its name.
    pub trigger_name: String,
    /// Why.
    pub explanation: Explanation,
}

impl Engine {
    /// What became of an event that is at or below a scope: what it was delivered to by triggers
    /// there, with the log, and on demand the triggers there that it does not concern, and why.
    /// `None` if there is no such event.
    ///
    /// Its JSON can be shown to who may read the scope: it has no secret, no header of a request
    /// and no URL of an endpoint, of which only the origin is told.
    ///
    /// # Errors
    /// The storage's.
    pub async fn activity(
        &self,
        scope: &Scope,
        id: EventId,
        options: ActivityOptions,
    ) -> Result<Option<Activity>, StorageError> {
        let Some(event) = self.event(scope, id).await? else { return Ok(None) };
        let most = options.deliveries.min(ActivityOptions::MAX_DELIVERIES);
        let query = DeliveryQuery::of_scope(scope.clone()).with_event(id).with_limit(most + 1);
        let mut found = self.deliveries(query).await?;
        let has_more_deliveries = found.len() > most;
        found.truncate(most);
        let mut deliveries = Vec::with_capacity(found.len());
        for delivery in found {
            deliveries.push(self.delivery_activity(scope, delivery, options.attempts).await?);
        }
        let misses = self.misses(scope, &event, options.misses, &deliveries);
        Ok(Some(Activity { event, deliveries, has_more_deliveries, misses }))
    }

    async fn delivery_activity(
        &self,
        scope: &Scope,
        delivery: Delivery,
        most: usize,
    ) -> Result<DeliveryActivity, StorageError> {
        let mut log = match self.core.storage.attempts(delivery.id).await {
            // What is damaged says nothing; the others are told nevertheless.
            Err(StorageError::Corrupt { .. }) => Vec::new(),
            log => log?,
        };
        let attempts_left_out = log.len().saturating_sub(most.min(ActivityOptions::MAX_ATTEMPTS));
        log.drain(..attempts_left_out);
        let trigger_name = self.trigger(scope, delivery.trigger);
        let trigger_name = trigger_name.map(|trigger| trigger.spec.name.clone());
        Ok(DeliveryActivity { trigger_name, delivery, log, attempts_left_out })
    }

    /// The triggers of a scope that an event does not concern, but those that it was delivered to.
    fn misses(
        &self,
        scope: &Scope,
        event: &Event,
        most: usize,
        deliveries: &[DeliveryActivity],
    ) -> Vec<Miss> {
        if most == 0 {
            return Vec::new();
        }
        let most = most.min(ActivityOptions::MAX_MISSES);
        let misses = self.nearest_misses_within(scope, event, most, |trigger| {
            deliveries.iter().all(|one| one.delivery.trigger != trigger.id)
        });
        let named = misses.into_iter().map(|(trigger, explanation)| Miss {
            trigger: trigger.id,
            trigger_name: trigger.spec.name.clone(),
            explanation,
        });
        named.collect()
    }
}
