//! Remains: what a trigger that was deleted or changed leaves behind, and how that ends.
//!
//! In: which triggers are seen to be deleted, also before this process began, and which to coalesce
//! otherwise. Out: nothing of the former waits for ever, what was remembered of their health and
//! schedules is forgotten, and of the latter what was remembered for another span.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use super::observe::Publishing;
#[cfg(feature = "schedule")]
use super::tick;
use super::{Core, health, poll};
use crate::delivery::{OnDead, Places, StateName, Turn};
use crate::event::Scope;
use crate::id::TriggerId;
use crate::observer::Publisher;
use crate::storage::{CursorMove, DeliveryQuery, Fate, Record, Replay, StorageError};
use crate::trigger::Trigger;

/// How many triggers are looked at in a row: at a start it may be all that were ever deleted.
const AT_ONCE: usize = 100;
/// How many deliveries are read at once.
const PAGE: usize = 500;

/// What is not ended yet.
#[derive(Debug, Default)]
pub(super) struct Remains(Mutex<Left>);

#[derive(Debug, Default)]
struct Left {
    /// Triggers that are gone.
    deleted: BTreeSet<TriggerId>,
    /// Triggers that have coalesced otherwise, and what the keys of that begin with.
    outgrown: BTreeSet<(TriggerId, String)>,
}

impl Remains {
    pub(super) fn note(&self, trigger: TriggerId) {
        self.lock().deleted.insert(trigger);
    }

    /// Notes what a trigger, as it was known, has remembered and looks at no more.
    pub(super) fn note_changed(&self, before: Option<&Trigger>, after: &Trigger) {
        let Some(prefix) = before.and_then(places) else { return };
        if places(after).as_ref() != Some(&prefix) {
            self.lock().outgrown.insert((after.id, prefix));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().expect("no code panics while it holds the remains")
    }
}

impl Core {
    /// Ends the remains of some triggers.
    pub(super) async fn end_remains(&self) -> Result<(), StorageError> {
        let (some, outgrown): (Vec<_>, Vec<_>) = {
            let left = self.remains.lock();
            let outgrown = left.outgrown.iter().take(AT_ONCE).cloned();
            (left.deleted.iter().take(AT_ONCE).copied().collect(), outgrown.collect())
        };
        if some.is_empty() && outgrown.is_empty() {
            return Ok(());
        }
        for trigger in &some {
            self.free_queues_of(*trigger).await?;
        }
        let forget = |prefix| CursorMove::RemoveBelow { prefix };
        let unused = outgrown.iter().filter(|(trigger, prefix)| !self.uses(*trigger, prefix));
        let unused = unused.map(|(_, prefix)| prefix.clone());
        let moves = some.iter().flat_map(keys).chain(unused).map(forget).collect();
        let by = Publishing { by: Publisher::Engine, since: self.clock.now() };
        self.record(vec![Record::of_cursors(moves)], by).await?;
        let mut left = self.remains.lock();
        left.deleted.retain(|trigger| !some.contains(trigger));
        left.outgrown.retain(|one| !outgrown.contains(one));
        Ok(())
    }

    /// Whether a trigger was changed back to what looks at such keys.
    fn uses(&self, trigger: TriggerId, prefix: &str) -> bool {
        self.known().index.get(trigger).and_then(|trigger| places(trigger)).as_deref()
            == Some(prefix)
    }

    /// Discards what holds up deliveries of a trigger in their order, so that they come due, and
    /// are cancelled. Without any that are queued, dead letters stay what they are.
    async fn free_queues_of(&self, trigger: TriggerId) -> Result<(), StorageError> {
        let of_trigger = || DeliveryQuery::of_scope(Scope::root()).with_trigger(trigger);
        let queued = of_trigger().with_state(StateName::Queued).with_limit(1);
        if self.storage.deliveries(queued).await?.items.is_empty() {
            return Ok(());
        }
        for state in [StateName::Dead, StateName::Parked] {
            let mut next = Some(of_trigger().with_state(state).with_limit(PAGE));
            while let Some(query) = next {
                let page = self.storage.deliveries(query.clone()).await?.items;
                for delivery in &page {
                    if matches!(delivery.turn, Some(Turn { on_dead: OnDead::Block, .. })) {
                        let query = of_trigger().with_id(delivery.id);
                        let (now, fate) = (self.clock.now(), Fate::Discarded);
                        let unchanged_since = None;
                        self.replay(Replay { query, unchanged_since, now, fate }).await?;
                    }
                }
                next = query.behind(&page);
            }
        }
        Ok(())
    }
}

/// What the keys begin with under which a trigger that coalesces remembers.
fn places(trigger: &Trigger) -> Option<String> {
    let coalesce = trigger.spec.policy.coalesce.as_deref()?;
    Some(Places::prefix_of(coalesce, trigger.id))
}

/// The cursors of a trigger.
fn keys(trigger: &TriggerId) -> Vec<String> {
    vec![
        health::key(trigger),
        Places::prefix(*trigger),
        poll::key(trigger),
        #[cfg(feature = "schedule")]
        tick::key(trigger),
    ]
}
