//! Settle: writes down what came of attempts, with all that follows, in one.
//!
//! In: attempts that ended, each with the settlement that the
//! [policy](crate::delivery::DeliveryPolicy::settle) decided. Out: what the
//! [storage](crate::storage::Storage::settle) wrote. Beside the settlement go the events that a
//! dead letter causes, and those that an action told. What follows for the trigger comes after it,
//! from what is written down alone.

use serde_json::json;

use super::Core;
use super::attempt::Finished;
use super::observe::{Publishing, Recording};
use crate::clock::Timestamp;
use crate::delivery::{CancelReason, DeadReason, OnDead, Settlement};
use crate::event::{Correlation, Event, EventBuilder, EventKind, MAX_EVENT_BYTES, Scope, Source};
use crate::id::{DeliveryId, EventId};
use crate::observer::Publisher;
use crate::storage::{DeliveryQuery, EventQuery, NewEvent, Record, Settled, StorageError};
use crate::trigger::{SuspendReason, Trigger};

/// What a dead letter is not told of: nobody listens where nobody answers.
pub(super) const UNTOLD: [EventKind; 4] = [
    EventKind::DELIVERY_DEAD,
    EventKind::TRIGGER_DISABLED,
    EventKind::TRIGGER_FAILING,
    EventKind::PING,
];
/// The most hops that an event of the engine's own is told to have gone through.
const MAX_HOPS: usize = 64;

impl Core {
    /// Writes down a batch, then what follows for its triggers, and tells when the first of it is
    /// due again. Gives back what the storage did not take, to try again.
    pub(super) async fn settle(
        &self,
        mut batch: Vec<Finished>,
    ) -> Result<Option<Timestamp>, Vec<Finished>> {
        let followed = match self.write(&mut batch).await {
            Ok(()) => self.follow_settled(&batch).await,
            failed => failed,
        };
        match followed {
            Ok(()) => {
                let now = self.clock.now();
                Ok(batch.iter().filter_map(|finished| due_again(finished, now)).min())
            }
            Err(_) => Err(batch),
        }
    }

    /// Writes down what is not written down yet. A lease that was lost meanwhile is not ours to
    /// settle, and nothing follows from it: whoever has it will.
    async fn write(&self, batch: &mut Vec<Finished>) -> Result<(), StorageError> {
        let mut ended: Vec<Finished> = batch.extract_if(.., |one| !one.is_settled).collect();
        let settled = self.write_ended(&mut ended).await;
        if let Ok(settled) = &settled {
            let mut settled = settled.iter();
            ended.retain_mut(|finished| {
                finished.is_settled = true;
                settled.next() == Some(&Settled::Done)
            });
        }
        batch.append(&mut ended);
        settled.map(drop)
    }

    async fn write_ended(&self, ended: &mut [Finished]) -> Result<Vec<Settled>, StorageError> {
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        self.end_outdated(ended).await?;
        let ended = &*ended;
        damaged_aside(self.follow_successes(ended).await)?;
        let mut settlements = Vec::with_capacity(ended.len());
        for finished in ended {
            let mut settle = finished.settle.clone();
            let told = finished.events.iter().cloned();
            settle.records = told.map(|new| self.prepare(new)).collect();
            if let (Some(trigger), Settlement::Dead(reason)) =
                (&finished.trigger, &settle.settlement)
            {
                let caused = self.consequences(settle.lease.delivery, trigger, *reason).await?;
                settle.records.extend(caused);
            }
            settlements.push(settle);
        }
        let followed = settlements.iter().any(|settle| !settle.records.is_empty());
        let told: Vec<Recording> =
            settlements.iter().map(|settle| self.observers.keep(&settle.records)).collect();
        let now = self.clock.now();
        let settled = self.storage.settle(settlements, now).await?;
        self.tell_settled(ended, &told, now, &settled);
        if followed {
            self.wake();
        }
        Ok(settled)
    }

    /// Lets what others stand for meanwhile end, in the place of being tried again.
    async fn end_outdated(&self, ended: &mut [Finished]) -> Result<(), StorageError> {
        for Finished { settle, delivery, trigger, .. } in ended {
            if let (Some(trigger), Settlement::Retry { .. }) = (trigger, &settle.settlement)
                && self.is_outdated(trigger, delivery).await?
            {
                settle.settlement = Settlement::Cancelled(CancelReason::Superseded);
            }
        }
        Ok(())
    }

    /// What follows for the triggers of a batch that is written down.
    async fn follow_settled(&self, batch: &[Finished]) -> Result<(), StorageError> {
        damaged_aside(self.follow_failures(batch).await)?;
        for finished in batch {
            self.note_remains(finished);
            if let (Some(trigger), Settlement::Dead(DeadReason::Gone)) =
                (&finished.trigger, &finished.settle.settlement)
            {
                let delivery = finished.settle.lease.delivery;
                damaged_aside(self.suspend_gone(delivery, trigger).await)?;
            }
        }
        Ok(())
    }

    /// Notes a trigger that was deleted while an attempt of it was under way, if what came of that
    /// holds up others in their order.
    fn note_remains(&self, finished: &Finished) {
        let holds_up =
            matches!(finished.settle.settlement, Settlement::Dead(_) | Settlement::Parked)
                && finished.delivery.turn.is_some_and(|turn| turn.on_dead == OnDead::Block);
        self.note_gone(holds_up.then_some(finished.delivery.trigger));
    }

    /// Suspends a trigger whose endpoint is gone, if it is as it was attempted: who changed it
    /// since knows better. Told first, and by an id of its revision: if it is not suspended after
    /// all, the next answer does that, and it is told once, however many attempts got it.
    async fn suspend_gone(
        &self,
        delivery: DeliveryId,
        trigger: &Trigger,
    ) -> Result<(), StorageError> {
        let current = match self.fresh(trigger.id).await {
            Err(StorageError::NotFound { .. }) => return Ok(()),
            current => current?,
        };
        if current.revision != trigger.revision || current.suspended.is_some() {
            return Ok(());
        }
        let kind = EventKind::TRIGGER_DISABLED;
        let revision = trigger.revision.to_be_bytes();
        let parts = [kind.as_str().as_bytes(), trigger.id.as_bytes(), &revision];
        let id = EventId::derived(trigger.updated_at, &parts);
        let cause = self.event_of(delivery).await?;
        let record = self.tell(&kind, id, delivery, trigger, DeadReason::Gone, cause.as_ref());
        let by = Publishing { by: Publisher::Engine, since: self.clock.now() };
        self.record(vec![record], by).await?;
        self.suspend(trigger, SuspendReason::EndpointGone).await
    }

    /// The events that a dead letter causes.
    async fn consequences(
        &self,
        delivery: DeliveryId,
        trigger: &Trigger,
        reason: DeadReason,
    ) -> Result<Vec<Record>, StorageError> {
        let Some(cause) = self.event_of(delivery).await? else { return Ok(Vec::new()) };
        if UNTOLD.contains(&cause.kind) {
            return Ok(Vec::new());
        }
        let kind = EventKind::DELIVERY_DEAD;
        let parts = [kind.as_str().as_bytes(), delivery.as_bytes()];
        let id = EventId::derived(self.clock.now(), &parts);
        Ok(vec![self.tell(&kind, id, delivery, trigger, reason, Some(&cause))])
    }

    /// The event of a delivery; `None` if it is gone or damaged.
    async fn event_of(&self, delivery: DeliveryId) -> Result<Option<Event>, StorageError> {
        let query = DeliveryQuery::of_scope(Scope::root()).with_id(delivery).with_limit(1);
        let found = damaged_aside(self.storage.deliveries(query).await)?.items.pop();
        let Some(delivery) = found else { return Ok(None) };
        let query = EventQuery::of_scope(Scope::root()).with_id(delivery.event).with_limit(1);
        Ok(damaged_aside(self.storage.events(query).await)?.items.pop())
    }

    /// The record of an event that the engine itself tells, of a dead letter. An artifact that is
    /// too large to be told again is left to the event that caused it.
    fn tell(
        &self,
        kind: &EventKind,
        id: EventId,
        delivery: DeliveryId,
        trigger: &Trigger,
        reason: DeadReason,
        cause: Option<&Event>,
    ) -> Record {
        let now = self.clock.now();
        let build = |event: EventBuilder| event.build_at(now, &*self.entropy);
        let bare = || own_event(kind.clone(), delivery, trigger, reason, cause).id(id);
        let artifact = cause.and_then(|cause| cause.artifact.clone());
        let whole = artifact.and_then(|artifact| {
            let new = NewEvent::of(build(bare().artifact(artifact)).ok()?);
            (new.json().len() <= MAX_EVENT_BYTES).then(|| self.prepare(new))
        });
        whole.unwrap_or_else(|| {
            let event = build(bare()).expect("what is told of a trigger is short");
            self.prepare(NewEvent::of(event))
        })
    }
}

/// What is damaged stays so. It must not keep what is settled with it waiting.
fn damaged_aside<T: Default>(result: Result<T, StorageError>) -> Result<T, StorageError> {
    match result {
        Err(StorageError::Corrupt { .. }) => Ok(T::default()),
        result => result,
    }
}

/// An event that the engine itself tells, of a dead letter.
fn own_event(
    kind: EventKind,
    delivery: DeliveryId,
    trigger: &Trigger,
    reason: DeadReason,
    cause: Option<&Event>,
) -> EventBuilder {
    let event = Event::builder(kind)
        .scope(trigger.spec.scope.clone())
        .source(Source::new("engine"))
        .attribute("trigger", trigger.id.to_string())
        .attribute("trigger_name", &trigger.spec.name)
        .attribute("delivery", delivery.to_string())
        .attribute("endpoint", trigger.spec.target.key().as_str())
        .attribute("reason", reason.as_str());
    let Some(cause) = cause else { return event };
    let hops = cause.correlation.hops.iter().take(MAX_HOPS).cloned().collect();
    let correlation = Correlation { cause: Some(cause.id), hops, ..Correlation::default() };
    event.correlation(correlation).data(json!({"kind": cause.kind}))
}

/// When the delivery is due again, or the one behind it in its order.
fn due_again(finished: &Finished, now: Timestamp) -> Option<Timestamp> {
    match finished.settle.settlement {
        Settlement::Retry { at } | Settlement::Released { at } => Some(at),
        _ => finished.delivery.turn.map(|_| now),
    }
}
