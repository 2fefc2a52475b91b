//! Coalesce: decides of deliveries whose trigger [coalesces](Coalesce) what becomes of them.
//!
//! In: records as they would be without. Out: the same as is decided from what is remembered, with
//! what is remembered from then on. It moves in the write that records the event, so whoever
//! decided from what is no longer so decides anew. Triggers that do not coalesce have no part in
//! any of this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};

use super::Core;
use super::observe::Publishing;
use super::publish::{PublishError, Published};
use super::settle::UNTOLD;
use crate::clock::Timestamp;
use crate::delivery::{CancelReason, Coalesce, Delivery, Fate, Places, State};
use crate::event::{Event, Scope};
use crate::storage::{CursorMove, EventQuery, Record, Recorded, StorageError};
use crate::trigger::Trigger;

/// How often it is decided anew when others come in between all the time.
const TRIES: usize = 32;
/// How many may decide side by side.
const STRIPES: usize = 64;

/// Lets those of one node decide one after the other who decide from the same, so that none has to
/// decide anew but for other nodes.
#[derive(Debug)]
pub(super) struct Deciding([Mutex<()>; STRIPES]);

impl Default for Deciding {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Deciding {
    /// Waits until nobody else decides from the same. All wait in the same order.
    pub(super) async fn alone(&self, all: &[Undecided]) -> Vec<MutexGuard<'_, ()>> {
        let questions = all.iter().flat_map(|undecided| &undecided.questions);
        let names = questions.flat_map(|question| question.places.names());
        let stripes: BTreeSet<usize> =
            names.map(|name| usize::from(name.as_bytes()[15]) % STRIPES).collect();
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            guards.push(self.0[stripe].lock().await);
        }
        guards
    }
}

/// A record with deliveries of which something has to be decided.
#[derive(Debug)]
pub(super) struct Undecided {
    record: Record,
    questions: Vec<Question>,
}

/// Which delivery of a record is to be decided of, and by what.
#[derive(Debug)]
struct Question {
    place: usize,
    trigger: Arc<Trigger>,
    places: Places,
}

/// What is remembered, as it was read and then decided.
type Texts = BTreeMap<String, Option<String>>;

impl Undecided {
    /// Of a record with a delivery to each of some triggers. One that does not wait stands for
    /// nothing, nor does anything for it; but where a version was seen is seen all the same.
    pub(super) fn new(record: Record, triggers: &[Arc<Trigger>], now: Timestamp) -> Self {
        let event = record.event.as_ref().map(|new| &new.event);
        let question = |(place, trigger): (usize, &Arc<Trigger>)| {
            let coalesce = trigger.spec.policy.coalesce.as_deref()?;
            let waits = matches!(record.deliveries[place].0.state, State::Waiting { .. });
            let is_asked = waits || matches!(coalesce, Coalesce::AllOf { .. });
            let places = Places::of(coalesce, trigger.id, event.filter(|_| is_asked)?, now);
            Some(Question { place, trigger: trigger.clone(), places })
        };
        let questions = triggers.iter().enumerate().filter_map(question).collect();
        Self { record, questions }
    }

    /// The record as it is decided; what is decided is taken into the texts.
    fn decided(&self, texts: &mut Texts, now: Timestamp) -> Record {
        let mut record = self.record.clone();
        let Some(event) = record.event.as_ref().map(|new| new.event.clone()) else {
            return record;
        };
        let mut not_made = BTreeSet::new();
        for question in &self.questions {
            let Some(coalesce) = question.trigger.spec.policy.coalesce.as_deref() else { continue };
            let keys = question.places.keys();
            let values: Vec<Option<String>> =
                keys.iter().map(|key| texts.get(key).cloned().flatten()).collect();
            let delivery = &mut record.deliveries[question.place].0;
            let decision = coalesce.decide(&event, delivery.id, &question.places, &values, now);
            match decision.fate {
                Fate::NotMade => drop(not_made.insert(question.place)),
                fate => become_of(delivery, fate),
            }
            record.supersedes.extend(decision.supersedes);
            if let Some(prefix) = decision.forgotten {
                texts.retain(|key, _| !key.starts_with(&prefix));
                record.cursors.push(CursorMove::RemoveBelow { prefix });
            }
            for (key, expected, value) in decision.moves {
                texts.insert(key.clone(), value.clone());
                record.cursors.push(CursorMove::Set { key, expected, value });
            }
        }
        let mut place = 0..;
        record.deliveries.retain(|_| !place.next().is_some_and(|n| not_made.contains(&n)));
        record
    }
}

/// How a trigger coalesces that sends the newest event only.
pub(super) fn newest_of(trigger: &Trigger) -> Option<&Coalesce> {
    let coalesce = trigger.spec.policy.coalesce.as_deref();
    coalesce.filter(|coalesce| matches!(coalesce, Coalesce::Newest { .. }))
}

fn become_of(delivery: &mut Delivery, fate: Fate) {
    let State::Waiting { due } = &mut delivery.state else { return };
    match fate {
        Fate::Goes { due: at } => *due = at.max(*due),
        Fate::Superseded | Fate::NotMade => {
            delivery.state = State::Cancelled { reason: CancelReason::Superseded };
        }
    }
}

impl Core {
    /// Stores events some of whose triggers coalesce, in their order, and tells of each what became
    /// of it.
    pub(super) async fn publish_coalesced(
        &self,
        all: Vec<Undecided>,
        by: Publishing,
    ) -> Result<Vec<Published>, PublishError> {
        for undecided in &all {
            self.tell_accepted(std::slice::from_ref(&undecided.record), by);
        }
        let _alone = self.deciding.alone(&all).await;
        let mut published: Vec<Option<Published>> = vec![None; all.len()];
        let mut tries = 0;
        while tries < TRIES {
            let left: Vec<usize> =
                (0..all.len()).filter(|place| published[*place].is_none()).collect();
            if left.is_empty() {
                return Ok(published.into_iter().flatten().collect());
            }
            let records = self.decided(left.iter().map(|place| &all[*place])).await?;
            let answers: Vec<_> = records.iter().map(Published::of).collect();
            let recorded = self.record(records, by).await?;
            // What follows on what was not stored is decided anew with it.
            let mut is_stuck = true;
            for ((place, answer), recorded) in left.into_iter().zip(answers).zip(recorded) {
                if recorded != Recorded::CursorMoved {
                    published[place] = answer.map(|answer| answer.after(recorded));
                    is_stuck = false;
                }
            }
            tries = if is_stuck { tries + 1 } else { 0 };
        }
        let reason = format!("what is remembered of a trigger changed {TRIES} times in between");
        Err(StorageError::Conflict { reason }.into())
    }

    /// Records as they are decided now, each from what is remembered and those before it.
    pub(super) async fn decided(
        &self,
        all: impl Iterator<Item = &Undecided> + Clone + Send,
    ) -> Result<Vec<Record>, StorageError> {
        let questions = all.clone().flat_map(|undecided| &undecided.questions);
        let keys: BTreeSet<String> =
            questions.flat_map(|question| question.places.keys()).collect();
        let keys: Vec<String> = keys.into_iter().collect();
        let values =
            if keys.is_empty() { Vec::new() } else { self.storage.cursors(keys.clone()).await? };
        let mut texts: Texts = keys.into_iter().zip(values).collect();
        let now = self.clock.now();
        Ok(all.map(|undecided| undecided.decided(&mut texts, now)).collect())
    }

    /// Whether a delivery is not of the newest event, of a trigger that sends that only.
    pub(super) async fn is_outdated(
        &self,
        trigger: &Trigger,
        delivery: &Delivery,
    ) -> Result<bool, StorageError> {
        let Some(newest) = newest_of(trigger) else { return Ok(false) };
        let query = EventQuery::of_scope(Scope::root()).with_id(delivery.event).with_limit(1);
        let found: Vec<Event> = match self.storage.events(query).await {
            Err(StorageError::Corrupt { .. }) => Vec::new(),
            found => found?.items,
        };
        // What the engine itself tells of an artifact is no newer or older state of it.
        let Some(event) = found.first().filter(|event| !UNTOLD.contains(&event.kind)) else {
            return Ok(false);
        };
        let places = Places::of(newest, trigger.id, event, self.clock.now());
        let values = self.storage.cursors(places.keys()).await?;
        Ok(newest.is_outdated(event, delivery.id, &places, &values))
    }
}
