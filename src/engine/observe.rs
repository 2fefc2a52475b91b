//! Observe: tells observers what happens, in the one place that calls them.
//!
//! In: a [`Transition`]. Out: nothing; whatever an observer does, the engine goes on as it would
//! without.

mod storage;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

pub(super) use storage::{Overseen, oversee};

use super::Core;
use super::attempt::Finished;
use super::stats::Tally;
use crate::clock::Timestamp;
use crate::delivery::{Attempt, Claimed, Delivery};
use crate::event::Event;
use crate::observer::{Observer, Publisher, Transition, TriggerStep};
use crate::storage::{Record, Recorded, Settled, TriggerWrite};
use crate::trigger::Trigger;

/// Who is told of what an engine does.
#[derive(Debug, Default)]
pub(super) struct Observers {
    pub(super) tally: Tally,
    others: Vec<Arc<dyn Observer>>,
}

impl Observers {
    pub(super) fn add(&mut self, observer: impl Observer) {
        self.others.push(Arc::new(observer));
    }

    /// Keeps of records what is told of them once they are stored.
    pub(super) fn keep(&self, records: &[Record]) -> Recording {
        let counts = records.iter().map(|record| record.deliveries.len()).collect();
        let kept = |record: &Record| {
            let deliveries = record.deliveries.iter().map(|(delivery, _)| delivery.clone());
            let event = record.event.as_ref()?.event.clone();
            Some((event, deliveries.collect()))
        };
        let told =
            if self.others.is_empty() { Vec::new() } else { records.iter().map(kept).collect() };
        Recording { counts, told }
    }

    pub(super) fn tell(&self, transition: &Transition<'_>) {
        self.tally.count(transition);
        for observer in &self.others {
            // What a panic leaves behind in the observer is its own affair, and its message has
            // gone through the panic hook: there is nothing to do with it here.
            let _ = catch_unwind(AssertUnwindSafe(|| observer.observe(transition)));
        }
    }
}

/// Who publishes, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Publishing {
    pub(super) by: Publisher,
    pub(super) since: Timestamp,
}

/// What is on its way into the storage, kept to be told of once it is there.
#[derive(Debug)]
pub(super) struct Recording {
    /// How many deliveries each record has.
    counts: Vec<usize>,
    /// The events and deliveries, of records that have an event; empty if nobody is told.
    told: Vec<Option<(Arc<Event>, Vec<Delivery>)>>,
}

/// An attempt under way. If it is dropped before it [ended](Self::ended), it was abandoned.
#[derive(Debug)]
pub(super) struct ObservedAttempt<'a> {
    observers: &'a Observers,
    delivery: &'a Delivery,
    /// When it came due, if that is known.
    due: Option<Timestamp>,
    has_ended: bool,
}

impl ObservedAttempt<'_> {
    pub(super) fn ended(mut self, attempt: &Attempt) {
        self.has_ended = true;
        self.observers.tell(&Transition::AttemptEnded {
            delivery: self.delivery,
            outcome: &attempt.outcome,
            status: attempt.status,
            took: attempt.ended_at.since(attempt.started_at),
            since_due: self.due.map(|due| attempt.ended_at.since(due)),
            since_published: attempt.ended_at.since(self.delivery.created_at),
        });
    }
}

impl Drop for ObservedAttempt<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.observers.tell(&Transition::AttemptAbandoned { delivery: self.delivery });
        }
    }
}

impl Core {
    pub(super) fn tell_accepted(&self, records: &[Record], publishing: Publishing) {
        for new in records.iter().filter_map(|record| record.event.as_ref()) {
            self.observers.tell(&Transition::Accepted { event: &new.event, by: publishing.by });
        }
    }

    pub(super) fn tell_recorded(
        &self,
        recording: &Recording,
        publishing: Publishing,
        recorded: &[Recorded],
    ) {
        for (count, recorded) in recording.counts.iter().zip(recorded) {
            self.observers.tally.count_recorded(publishing.by, *recorded, *count);
        }
        if recording.told.is_empty() {
            return;
        }
        let took = self.clock.now().since(publishing.since);
        for (told, recorded) in recording.told.iter().zip(recorded) {
            if let Some(told) = told {
                self.tell_one_recorded(told, publishing.by, took, *recorded);
            }
        }
    }

    fn tell_one_recorded(
        &self,
        (event, deliveries): &(Arc<Event>, Vec<Delivery>),
        by: Publisher,
        took: Duration,
        recorded: Recorded,
    ) {
        let (duplicate, deliveries) = match recorded {
            Recorded::Stored => (false, deliveries.as_slice()),
            Recorded::Duplicate => (true, [].as_slice()),
            Recorded::CursorMoved => return,
        };
        let count = deliveries.len();
        self.observers.tell(&Transition::Published {
            event,
            by,
            duplicate,
            deliveries: count,
            took,
        });
        for delivery in deliveries {
            self.observers.tell(&Transition::DeliveryMade { delivery });
        }
    }

    pub(super) fn observe_attempt<'a>(
        &'a self,
        claimed: &'a Claimed,
        now: Timestamp,
    ) -> ObservedAttempt<'a> {
        let delivery = &claimed.delivery;
        let due = Some(claimed.due).filter(|due| *due >= delivery.created_at);
        let overdue = due.map(|due| now.since(due));
        self.observers.tell(&Transition::AttemptBegun { delivery, overdue });
        ObservedAttempt { observers: &self.observers, delivery, due, has_ended: false }
    }

    /// Tells what a batch of settlements, begun at a time, has come to, with the events that were
    /// recorded beside.
    pub(super) fn tell_settled(
        &self,
        batch: &[Finished],
        recordings: &[Recording],
        begun: Timestamp,
        settled: &[Settled],
    ) {
        let now = self.clock.now();
        let publishing = Publishing { by: Publisher::Engine, since: begun };
        for ((finished, recording), settled) in batch.iter().zip(recordings).zip(settled) {
            let settlement = &finished.settle.settlement;
            if *settled == Settled::LeaseLost {
                let delivery = &finished.delivery;
                self.observers.tell(&Transition::LeaseLost { delivery, settlement });
                continue;
            }
            let mut delivery = finished.delivery.clone();
            settlement.apply(&mut delivery);
            let since_published = now.since(delivery.created_at);
            let delivery = &delivery;
            self.observers.tell(&Transition::Settled { delivery, settlement, since_published });
            // Whether one was known the storage does not say; none is, since each has an id of the
            // time at which it was made.
            let recorded = vec![Recorded::Stored; recording.counts.len()];
            self.tell_recorded(recording, publishing, &recorded);
        }
    }

    /// Tells what was written of a trigger, by what the index still has of it.
    pub(super) fn tell_written(&self, write: &TriggerWrite) {
        let known = self.known();
        let index = &known.index;
        let (trigger, change) = match write {
            TriggerWrite::Create(trigger) => (Some(trigger), TriggerStep::Created),
            TriggerWrite::Update(trigger) => (Some(trigger), step(index.get(trigger.id), trigger)),
            TriggerWrite::Delete(id) => (index.get(*id), TriggerStep::Deleted),
        };
        // One that this engine has not heard of was of another node.
        let Some(trigger) = trigger else { return };
        let (scope, name) = (&trigger.spec.scope, &trigger.spec.name);
        self.observers.tell(&Transition::TriggerChanged {
            trigger: trigger.id,
            scope,
            name,
            change,
        });
    }
}

/// What was done to a trigger.
fn step(before: Option<&Arc<Trigger>>, now: &Trigger) -> TriggerStep {
    let works = |trigger: &Trigger| trigger.spec.enabled && trigger.suspended.is_none();
    let Some(before) = before else { return TriggerStep::Changed };
    match now.suspended {
        Some(reason) if before.suspended.is_none() => TriggerStep::Suspended(reason),
        _ if works(now) && !works(before) => TriggerStep::Enabled,
        _ if before.spec.enabled && !now.spec.enabled => TriggerStep::Disabled,
        _ => TriggerStep::Changed,
    }
}
