//! Remains: what a trigger that was deleted leaves behind, and how that ends.
//!
//! In: which triggers are seen to be deleted, also before this process began. Out: nothing of theirs
//! waits for ever, and what was remembered of their health is forgotten.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use super::observe::Publishing;
use super::{Core, health};
use crate::delivery::{OnDead, StateName, Turn};
use crate::event::Scope;
use crate::id::TriggerId;
use crate::observer::Publisher;
use crate::storage::{CursorMove, DeliveryQuery, Fate, Record, Replay, StorageError};

/// How many triggers are looked at in a row: at a start it may be all that were ever deleted.
const AT_ONCE: usize = 100;
/// How many deliveries are read at once.
const PAGE: usize = 500;

/// The triggers whose remains are not ended yet.
#[derive(Debug, Default)]
pub(super) struct Remains(Mutex<BTreeSet<TriggerId>>);

impl Remains {
    pub(super) fn note(&self, trigger: TriggerId) {
        self.lock().insert(trigger);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<TriggerId>> {
        self.0.lock().expect("no code panics while it holds the remains")
    }
}

impl Core {
    /// Ends the remains of some triggers.
    pub(super) async fn end_remains(&self) -> Result<(), StorageError> {
        let some: Vec<TriggerId> = self.remains.lock().iter().take(AT_ONCE).copied().collect();
        if some.is_empty() {
            return Ok(());
        }
        for trigger in &some {
            self.free_queues_of(*trigger).await?;
        }
        let forget = |id| CursorMove::RemoveBelow { prefix: health::key(id) };
        let record = Record::of_cursors(some.iter().map(forget).collect());
        let by = Publishing { by: Publisher::Engine, since: self.clock.now() };
        self.record(vec![record], by).await?;
        let mut remains = self.remains.lock();
        for trigger in &some {
            remains.remove(trigger);
        }
        Ok(())
    }

    /// Discards what holds up deliveries of a trigger in their order, so that they come due, and are
    /// cancelled. Without any that are queued, dead letters stay what they are.
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
