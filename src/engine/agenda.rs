//! Agenda: which triggers have something to be done for them by the clock, and when.
//!
//! In: triggers as they change, and when to look at each again. Out: those whose time has come. It
//! knows only the triggers that are on it, so that a million others cost nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::select;
use tokio::sync::Notify;

use super::Core;
use crate::clock::Timestamp;
use crate::id::TriggerId;
use crate::trigger::Trigger;

/// How far ahead of this node's clock another one's may be. What was done at a later time was done
/// by a clock that is wrong, and is not waited for.
pub(super) const MOST_AHEAD: Duration = Duration::from_secs(300);

/// The triggers that are to be looked at.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: Mutex<Entries>,
    /// Told when a trigger comes in.
    hint: Notify,
    /// Held by the one `run` that works at it.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: BTreeMap<TriggerId, Entry>,
    /// When each is to be looked at, except those that are not any more.
    queue: BTreeSet<(Timestamp, TriggerId)>,
}

#[derive(Debug)]
struct Entry {
    trigger: Arc<Trigger>,
    at: Option<Timestamp>,
}

impl Agenda {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().expect("no code panics while it holds the agenda")
    }

    /// Takes in what a trigger is now; `None` if it has no place here. A changed one is looked at
    /// at once.
    pub(super) fn note(&self, id: TriggerId, trigger: Option<&Arc<Trigger>>) {
        let mut entries = self.lock();
        let known = entries.by_id.get(&id).map(|entry| &entry.trigger);
        match (known, trigger) {
            (None, None) => return,
            (Some(known), Some(now)) if Arc::ptr_eq(known, now) => return,
            _ => entries.remove(id),
        }
        if let Some(trigger) = trigger {
            entries.insert(trigger.clone(), Some(Timestamp::MIN));
            self.hint.notify_one();
        }
    }

    /// Sets when to look at a trigger next; not again if `None`. One that was changed meanwhile is
    /// looked at at once as it is.
    pub(super) fn look_again(&self, trigger: &Arc<Trigger>, at: Option<Timestamp>) {
        let mut entries = self.lock();
        let known = entries.by_id.get(&trigger.id).map(|entry| entry.trigger.clone());
        let Some(known) = known else { return };
        // It may have been looked at since, and been left to who has just done with it.
        let at = if Arc::ptr_eq(&known, trigger) { at } else { Some(Timestamp::MIN) };
        entries.remove(known.id);
        entries.insert(known, at);
    }

    /// The triggers whose time has come, those first whose time came first.
    #[cfg(feature = "schedule")]
    pub(super) fn due(&self, now: Timestamp, most: usize) -> Vec<Arc<Trigger>> {
        self.due_where(now, most, |_| true)
    }

    /// The triggers whose time has come and that have their turn, those first whose time came
    /// first.
    pub(super) fn due_where(
        &self,
        now: Timestamp,
        most: usize,
        mut has_turn: impl FnMut(&Trigger) -> bool,
    ) -> Vec<Arc<Trigger>> {
        let entries = self.lock();
        let due = entries.queue.iter().take_while(|(at, _)| *at <= now);
        let due = due.map(|(_, id)| &entries.by_id[id].trigger);
        due.filter(|trigger| has_turn(trigger)).take(most).cloned().collect()
    }

    /// When the next trigger is to be looked at.
    #[cfg(feature = "schedule")]
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.next_at_where(|_| true)
    }

    /// When the next trigger is to be looked at, of those that have their turn.
    pub(super) fn next_at_where(
        &self,
        mut has_turn: impl FnMut(&Trigger) -> bool,
    ) -> Option<Timestamp> {
        let entries = self.lock();
        let mut next = entries.queue.iter();
        next.find(|(_, id)| has_turn(&entries.by_id[id].trigger)).map(|(at, _)| *at)
    }

    /// Waits until a time, or until there is reason to look sooner: a trigger comes in, or has
    /// since it was waited for last. Never for longer than a refresh, since somebody may set the
    /// clock.
    pub(super) async fn until(&self, next: Option<Timestamp>, now: Timestamp, core: &Core) {
        let changed = pin!(self.hint.notified());
        let Some(at) = next else { return changed.await };
        let refresh = core.options.refresh;
        let span = if at > now { at.since(now) } else { refresh };
        select(core.clock.sleep(span.min(refresh)), changed).await;
    }
}

impl Entries {
    fn remove(&mut self, id: TriggerId) {
        if let Some(Entry { at: Some(at), .. }) = self.by_id.remove(&id) {
            self.queue.remove(&(at, id));
        }
    }

    fn insert(&mut self, trigger: Arc<Trigger>, at: Option<Timestamp>) {
        let id = trigger.id;
        self.queue.extend(at.map(|at| (at, id)));
        self.by_id.insert(id, Entry { trigger, at });
    }
}
