//! Settle: writes down what came of attempts, with all that follows, in one.
//!
//! In: attempts that ended, each with the settlement that the
//! [policy](crate::delivery::DeliveryPolicy::settle) decided. Out: what the
//! [storage](crate::storage::Storage::settle) wrote. Beside the settlement go the events that a dead
//! letter causes.

use serde_json::json;

use super::Core;
use super::attempt::Finished;
use super::observe::Recording;
use crate::clock::Timestamp;
use crate::delivery::{DeadReason, Settlement};
use crate::event::{Correlation, Event, EventBuilder, EventKind, MAX_EVENT_BYTES, Scope, Source};
use crate::id::{DeliveryId, EventId};
use crate::storage::{DeliveryQuery, EventQuery, NewEvent, Record, StorageError};
use crate::trigger::{SuspendReason, Trigger};

/// What a dead letter is not told of: nobody listens where nobody answers.
const UNTOLD: [EventKind; 4] = [
    EventKind::DELIVERY_DEAD,
    EventKind::TRIGGER_DISABLED,
    EventKind::TRIGGER_FAILING,
    EventKind::PING,
];
/// The most hops that an event of the engine's own is told to have gone through.
const MAX_HOPS: usize = 64;

impl Core {
    /// Writes down a batch and tells when the first of it is due again. Gives it back if the storage
    /// did not take it, to try again.
    pub(super) async fn settle(
        &self,
        batch: Vec<Finished>,
    ) -> Result<Option<Timestamp>, Vec<Finished>> {
        match self.write(&batch).await {
            Ok(()) => {
                let now = self.clock.now();
                Ok(batch.iter().filter_map(|finished| due_again(finished, now)).min())
            }
            Err(_) => Err(batch),
        }
    }

    async fn write(&self, batch: &[Finished]) -> Result<(), StorageError> {
        match self.follow_health(batch).await {
            // What is damaged stays so. It must not keep what is settled waiting.
            Ok(()) | Err(StorageError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut settlements = Vec::with_capacity(batch.len());
        for finished in batch {
            let mut settle = finished.settle.clone();
            if let (Some(trigger), Settlement::Dead(reason)) =
                (&finished.trigger, &settle.settlement)
            {
                let told = self.consequences(settle.lease.delivery, trigger, *reason).await;
                settle.records = match told {
                    // What is damaged stays so. It must not keep what is settled with it waiting.
                    Err(StorageError::Corrupt { .. }) => Vec::new(),
                    told => told?,
                };
            }
            settlements.push(settle);
        }
        let followed = settlements.iter().any(|settle| !settle.records.is_empty());
        let told: Vec<Recording> =
            settlements.iter().map(|settle| self.observers.keep(&settle.records)).collect();
        let now = self.clock.now();
        // A lease that was lost meanwhile is not ours to settle: whoever has it will.
        let settled = self.storage.settle(settlements, now).await?;
        self.tell_settled(batch, &told, now, &settled);
        if followed {
            self.wake();
        }
        Ok(())
    }

    /// The events that a dead letter causes.
    async fn consequences(
        &self,
        delivery: DeliveryId,
        trigger: &Trigger,
        reason: DeadReason,
    ) -> Result<Vec<Record>, StorageError> {
        // Also if the lease turns out to be lost: the endpoint has said that it is gone.
        let suspended = reason == DeadReason::Gone
            && self.suspend(trigger, SuspendReason::EndpointGone).await?;
        let Some(cause) = self.event_of(delivery).await? else { return Ok(Vec::new()) };
        if UNTOLD.contains(&cause.kind) {
            return Ok(Vec::new());
        }
        let mut kinds = vec![EventKind::DELIVERY_DEAD];
        if suspended {
            kinds.push(EventKind::TRIGGER_DISABLED);
        }
        let tell = |kind| self.tell(kind, delivery, trigger, reason, &cause);
        Ok(kinds.iter().map(tell).collect())
    }

    async fn event_of(&self, delivery: DeliveryId) -> Result<Option<Event>, StorageError> {
        let query = DeliveryQuery::of_scope(Scope::root()).with_id(delivery).with_limit(1);
        let Some(delivery) = self.storage.deliveries(query).await?.pop() else { return Ok(None) };
        let query = EventQuery::of_scope(Scope::root()).with_id(delivery.event).with_limit(1);
        Ok(self.storage.events(query).await?.pop())
    }

    /// The record of an event that the engine itself tells, of a dead letter. An artifact that is too
    /// large to be told again is left to the event that caused it.
    fn tell(
        &self,
        kind: &EventKind,
        delivery: DeliveryId,
        trigger: &Trigger,
        reason: DeadReason,
        cause: &Event,
    ) -> Record {
        let now = self.clock.now();
        let build = |event: EventBuilder| event.build_at(now, &*self.entropy);
        let bare = || own_event(kind.clone(), now, delivery, trigger, reason, cause);
        let whole = cause.artifact.clone().and_then(|artifact| {
            let new = NewEvent::of(build(bare().artifact(artifact)).ok()?);
            (new.json.len() <= MAX_EVENT_BYTES).then(|| self.prepare(new))
        });
        whole.unwrap_or_else(|| {
            let event = build(bare()).expect("what is told of a trigger is short");
            self.prepare(NewEvent::of(event))
        })
    }
}

/// An event that the engine itself tells, of a dead letter.
fn own_event(
    kind: EventKind,
    now: Timestamp,
    delivery: DeliveryId,
    trigger: &Trigger,
    reason: DeadReason,
    cause: &Event,
) -> EventBuilder {
    let hops = cause.correlation.hops.iter().take(MAX_HOPS).cloned().collect();
    let correlation = Correlation { cause: Some(cause.id), hops, ..Correlation::default() };
    let id = EventId::derived(now, &[kind.as_str().as_bytes(), delivery.as_bytes()]);
    Event::builder(kind)
        .id(id)
        .scope(trigger.spec.scope.clone())
        .source(Source::new("engine"))
        .correlation(correlation)
        .attribute("trigger", trigger.id.to_string())
        .attribute("trigger_name", &trigger.spec.name)
        .attribute("delivery", delivery.to_string())
        .attribute("endpoint", trigger.spec.target.key().as_str())
        .attribute("reason", reason.as_str())
        .data(json!({"kind": cause.kind}))
}

/// When the delivery is due again, or the one behind it in its order.
fn due_again(finished: &Finished, now: Timestamp) -> Option<Timestamp> {
    match finished.settle.settlement {
        Settlement::Retry { at } | Settlement::Released { at } => Some(at),
        _ => finished.delivery.turn.map(|_| now),
    }
}
