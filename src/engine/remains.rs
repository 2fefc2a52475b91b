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

    /// Takes some out, to be ended. What is noted meanwhile is noted anew.
    fn take(&self) -> Ending<'_> {
        let mut left = self.lock();
        let (deleted, outgrown) = (first(&mut left.deleted), first(&mut left.outgrown));
        Ending { remains: self, taken: Left { deleted, outgrown } }
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().expect("no code panics while it holds the remains")
    }
}

/// What is being ended. If it is dropped before, it is left as it was.
struct Ending<'r> {
    remains: &'r Remains,
    taken: Left,
}

impl Ending<'_> {
    fn done(mut self) {
        self.taken = Left::default();
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut left = self.remains.lock();
        left.deleted.append(&mut self.taken.deleted);
        left.outgrown.append(&mut self.taken.outgrown);
    }
}

fn first<T: Ord>(all: &mut BTreeSet<T>) -> BTreeSet<T> {
    (0..AT_ONCE).map_while(|_| all.pop_first()).collect()
}

impl Core {
    /// Ends the remains of some triggers.
    pub(super) async fn end_remains(&self) -> Result<(), StorageError> {
        let ending = self.remains.take();
        let Left { deleted, outgrown } = &ending.taken;
        if deleted.is_empty() && outgrown.is_empty() {
            return Ok(());
        }
        for trigger in deleted {
            self.free_queues_of(*trigger).await?;
        }
        let forget = |prefix| CursorMove::RemoveBelow { prefix };
        let unused = outgrown.iter().filter(|(trigger, prefix)| !self.uses(*trigger, prefix));
        let unused = unused.map(|(_, prefix)| prefix.clone());
        let moves = deleted.iter().flat_map(keys).chain(unused).map(forget).collect();
        let by = Publishing { by: Publisher::Engine, since: self.clock.now() };
        self.record(vec![Record::of_cursors(moves)], by).await?;
        ending.done();
        Ok(())
    }

    /// Notes triggers that are gone, of deliveries that may be queued behind what holds them up.
    pub(super) fn note_gone(&self, triggers: impl IntoIterator<Item = TriggerId>) {
        for trigger in triggers {
            let known = self.known();
            if known.index.get(trigger).is_none() && !known.unreadable.contains_key(&trigger) {
                self.remains.note(trigger);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::entropy::OsEntropy;

    #[test]
    fn what_is_noted_while_it_is_ended_and_what_could_not_be_is_ended_later() {
        let remains = Remains::default();
        let [one, other] = [1, 2].map(|n| {
            let trigger = TriggerId::new(Timestamp::from_unix_micros(n), &OsEntropy);
            remains.note(trigger);
            trigger
        });
        let ending = remains.take();
        remains.note(one);
        assert_eq!(ending.taken.deleted, [one, other].into());
        ending.done();
        assert_eq!(remains.lock().deleted, [one].into());
        drop(remains.take());
        assert_eq!(remains.lock().deleted, [one].into());
        remains.take().done();
        assert!(remains.lock().deleted.is_empty());
    }
}
