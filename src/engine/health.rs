//! Health: follows for each trigger since when it fails, across restarts and nodes.
//!
//! In: attempts. Out: a cursor for each trigger that fails, and what
//! [`diagnose`](crate::delivery::DeliveryPolicy::diagnose) says should follow. A success is written
//! before it is settled: one that could not be settled is made again, and a span of failure that
//! nobody could end would disable a trigger that works. A failure counts once it is settled: one of
//! a lost lease is another worker's to tell.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::Core;
use super::attempt::Finished;
use super::observe::Publishing;
use crate::clock::Timestamp;
use crate::delivery::{Diagnosis, Failing, Outcome};
use crate::event::{Event, EventKind, Source};
use crate::id::{EventId, TriggerId};
use crate::observer::Publisher;
use crate::storage::{CursorMove, NewEvent, Record, Recorded, StorageError};
use crate::trigger::{SuspendReason, Trigger};

/// How long what is known of a trigger is taken to be so: another node may have seen it fail.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// How often what follows is decided anew when another node writes in between.
const TRIES: usize = 8;
/// The most triggers that something is remembered of.
const MAX_KNOWN: usize = 100_000;

/// What this node knows of the health of triggers.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<HashMap<TriggerId, Known>>);

#[derive(Debug, Clone)]
struct Known {
    /// The cursor as it was read or written.
    cursor: Option<String>,
    at: Timestamp,
}

impl Known {
    /// What the cursor says. One that nobody can read says nothing, and is written anew.
    fn failing(&self) -> Option<Failing> {
        serde_json::from_str(self.cursor.as_deref()?).ok()
    }
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, HashMap<TriggerId, Known>> {
        self.0.lock().expect("no code panics while it holds what is known")
    }

    fn known(&self, trigger: TriggerId, now: Timestamp) -> Option<Known> {
        let known = self.lock().get(&trigger).cloned();
        known.filter(|known| known.at + KNOWN_FOR > now)
    }

    fn learn(&self, trigger: TriggerId, cursor: Option<String>, now: Timestamp) -> Known {
        let known = Known { cursor, at: now };
        let mut all = self.lock();
        if all.len() >= MAX_KNOWN {
            all.clear();
        }
        all.insert(trigger, known.clone());
        known
    }

    fn forget(&self, trigger: TriggerId) {
        self.lock().remove(&trigger);
    }
}

/// Whether any attempt of a trigger in a batch succeeded.
type Seen = BTreeMap<TriggerId, (Arc<Trigger>, bool)>;

impl Core {
    /// Takes in which triggers have succeeded, of attempts that are to be settled.
    pub(super) async fn follow_successes(&self, ended: &[Finished]) -> Result<(), StorageError> {
        let mut seen = seen(ended);
        seen.retain(|_, (_, succeeded)| *succeeded);
        self.follow_health(seen).await
    }

    /// Takes in which triggers have failed, of attempts that are settled.
    pub(super) async fn follow_failures(&self, settled: &[Finished]) -> Result<(), StorageError> {
        let mut seen = seen(settled);
        seen.retain(|_, (_, succeeded)| !*succeeded);
        self.follow_health(seen).await
    }

    async fn follow_health(&self, seen: Seen) -> Result<(), StorageError> {
        self.read_health(&seen, self.clock.now()).await?;
        for (trigger, succeeded) in seen.into_values() {
            for _ in 0..TRIES {
                if self.follow_health_of(&trigger, succeeded).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes in what attempts say of the health of a trigger. False if another node wrote it
    /// meanwhile: then something else may follow.
    async fn follow_health_of(
        &self,
        trigger: &Trigger,
        succeeded: bool,
    ) -> Result<bool, StorageError> {
        // What is deleted leaves nothing behind that nobody would forget.
        if self.known().index.get(trigger.id).is_none() {
            return Ok(true);
        }
        let now = self.clock.now();
        let known = if let Some(known) = self.health.known(trigger.id, now) {
            known
        } else {
            let cursors = self.storage.cursors(vec![key(&trigger.id)]).await?;
            self.health.learn(trigger.id, cursors.into_iter().next().flatten(), now)
        };
        let policy = &trigger.spec.policy;
        match policy.diagnose(known.failing(), succeeded, trigger.updated_at, now) {
            Diagnosis::Unchanged => Ok(true),
            Diagnosis::Began(failing) => {
                self.write_health(trigger, &known, Some(failing), Record::default()).await
            }
            Diagnosis::Recovered => {
                self.write_health(trigger, &known, None, Record::default()).await
            }
            Diagnosis::Warn(failing) => {
                let told = self.tell_of(trigger, &EventKind::TRIGGER_FAILING, failing);
                self.write_health(trigger, &known, Some(failing), told).await
            }
            Diagnosis::Disable(failing) => {
                // Told first, and the span kept: if it is not suspended after all, it is next time,
                // and told once.
                let told = self.tell_of(trigger, &EventKind::TRIGGER_DISABLED, failing);
                let is_written = self.write_health(trigger, &known, Some(failing), told).await?;
                if is_written {
                    self.suspend(trigger, SuspendReason::Failing).await?;
                }
                Ok(is_written)
            }
        }
    }

    /// Reads the cursors of triggers of which nothing is known, or nothing new.
    async fn read_health(&self, seen: &Seen, now: Timestamp) -> Result<(), StorageError> {
        let unknown: Vec<TriggerId> =
            seen.keys().filter(|id| self.health.known(**id, now).is_none()).copied().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let cursors = self.storage.cursors(unknown.iter().map(key).collect()).await?;
        for (id, cursor) in unknown.into_iter().zip(cursors) {
            self.health.learn(id, cursor, now);
        }
        Ok(())
    }

    /// Writes a trigger's cursor, with an event that follows. False if another node wrote it
    /// meanwhile: then it is to be read anew.
    async fn write_health(
        &self,
        trigger: &Trigger,
        known: &Known,
        failing: Option<Failing>,
        told: Record,
    ) -> Result<bool, StorageError> {
        let value = failing.map(|failing| {
            serde_json::to_string(&failing).expect("a time and a truth value are JSON")
        });
        let (key, expected) = (key(&trigger.id), known.cursor.clone());
        let moved = CursorMove::Set { key, expected, value: value.clone() };
        let record = Record { cursors: vec![moved], ..told };
        let by = Publishing { by: Publisher::Engine, since: self.clock.now() };
        let recorded = self.record(vec![record], by).await?;
        if recorded == [Recorded::Stored] {
            self.health.learn(trigger.id, value, self.clock.now());
            return Ok(true);
        }
        self.health.forget(trigger.id);
        // The event was told before, together with the cursor.
        Ok(recorded == [Recorded::Duplicate])
    }

    /// The record of an event that tells of a trigger that fails.
    fn tell_of(&self, trigger: &Trigger, kind: &EventKind, failing: Failing) -> Record {
        let now = self.clock.now();
        let since = failing.since.to_string();
        let parts = [kind.as_str().as_bytes(), trigger.id.as_bytes(), since.as_bytes()];
        let event = Event::builder(kind.clone())
            .id(EventId::derived(failing.since, &parts))
            .scope(trigger.spec.scope.clone())
            .source(Source::new("engine"))
            .attribute("trigger", trigger.id.to_string())
            .attribute("trigger_name", &trigger.spec.name)
            .attribute("endpoint", trigger.spec.target.key().as_str())
            .attribute("reason", SuspendReason::Failing.as_str())
            .attribute("failing_since", since)
            .build_at(now, &*self.entropy);
        self.prepare(NewEvent::of(event.expect("what is told of a trigger is short")))
    }
}

/// Where it stands since when a trigger fails.
pub(super) fn key(trigger: &TriggerId) -> String {
    format!("failing/{trigger}")
}

fn seen(batch: &[Finished]) -> Seen {
    let mut seen = Seen::new();
    for finished in batch {
        let Some(trigger) = &finished.trigger else { continue };
        for attempt in &finished.settle.attempts {
            let of_trigger = seen.entry(trigger.id).or_insert_with(|| (trigger.clone(), false));
            of_trigger.1 |= attempt.outcome == Outcome::Accepted;
        }
    }
    seen
}
