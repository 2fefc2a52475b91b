//! Pruning, as it must be: nothing goes but what may.

use std::collections::{BTreeMap, BTreeSet};

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::Delivery;
use artifact_triggers::id::DeliveryId;
use artifact_triggers::storage::Prune;

use super::Books;
use crate::invariants::Invariant;

impl Books {
    /// The storage has pruned, and has this left.
    pub(super) fn prune(&mut self, left: &[Delivery], prune: &Prune, now: Timestamp) {
        let left: BTreeMap<DeliveryId, bool> =
            left.iter().map(|one| (one.id, one.contents_dropped)).collect();
        let all_final: Vec<_> = self
            .accounts
            .values()
            .filter(|account| account.delivery.state.is_final() && !account.is_gone)
            .map(|one| (one.delivery.state.name(), one.settled_at, one.delivery.id))
            .collect();
        let (mut lines, mut wrong) = (BTreeSet::new(), Vec::new());
        for (state, settled_at, id) in &all_final {
            let (state, settled_at, id) = (*state, *settled_at, *id);
            let account = self.accounts.get_mut(&id).expect("it was found there");
            // Of two that were settled at one time either may be the newer.
            let newer = all_final.iter().filter(|(of, at, _)| *of == state && settled_at <= *at);
            let newer = newer.count() - 1;
            let is_held = prune.holder(&account.delivery.scope).is_some();
            match left.get(&id) {
                None => {
                    account.is_gone = true;
                    lines.extend(account.delivery.turn.map(|turn| turn.key));
                    if is_held || !prune.cutoff(state).takes(settled_at, newer) {
                        wrong.push(format!("{id} is gone, settled {settled_at} as {state:?}"));
                    }
                }
                Some(true) if !account.delivery.contents_dropped => {
                    account.delivery.contents_dropped = true;
                    if is_held || prune.contents_before.is_none_or(|before| before <= settled_at) {
                        wrong.push(format!("{id} has lost its contents, settled {settled_at}"));
                    }
                }
                Some(_) => {}
            }
        }
        for what in wrong {
            self.violate(now, Invariant::NothingIsLost, what);
        }
        for key in lines {
            let line = self.lines.get_mut(&key).expect("it stood in it");
            line.retain(|id| !self.accounts[id].is_gone);
            self.next_of(key, prune.now);
        }
    }
}
