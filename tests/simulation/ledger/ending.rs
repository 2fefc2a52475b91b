//! What must hold when a run has ended.

use std::collections::BTreeMap;

use artifact_triggers::delivery::{Delivery, State};
use artifact_triggers::id::{DeliveryId, TriggerId};

use super::{Account, Books, Ledger};
use crate::invariants::Invariant;
use crate::network::Network;
use crate::plan::TriggerPlan;

impl Ledger {
    /// Checks what is left: `stored` is all that the storage has.
    pub(crate) fn close(
        &self,
        stored: &[Delivery],
        triggers: &[(TriggerId, TriggerPlan)],
        network: &Network,
    ) {
        let now = self.time.now();
        let mut books = self.lock();
        let mut problems = books.missing(triggers);
        problems.extend(books.unlike(stored));
        problems.extend(books.unended());
        let left = books.not_fired(now);
        if left > 0 {
            let what = format!("{left} due times have come and are not fired");
            problems.push((Invariant::SchedulesFireOnce, what));
        }
        problems.extend(books.unstood());
        for (invariant, what) in problems {
            books.violate(now, invariant, what);
        }
        let ends: Vec<_> =
            books.accounts.values().filter_map(|account| books.end(account, network)).collect();
        for (invariant, what) in ends {
            books.violate(now, invariant, what);
        }
    }
}

impl Books {
    /// Deliveries of acknowledged events that were not made.
    fn missing(&self, triggers: &[(TriggerId, TriggerPlan)]) -> Vec<(Invariant, String)> {
        let mut missing = Vec::new();
        for (event, plan) in &self.acknowledged {
            for (trigger, wants) in triggers {
                let story = self.stories[trigger];
                let is_excused = story.was_disabled || story.was_deleted;
                let delivery = DeliveryId::of(*event, *trigger);
                let is_there = self.accounts.contains_key(&delivery);
                let is_right = wants.wants(plan) == is_there || (is_excused && !is_there);
                if !is_right {
                    let what = format!("{event} for {trigger}: the delivery is there: {is_there}");
                    missing.push((Invariant::NothingIsLost, what));
                }
            }
        }
        missing
    }

    /// Deliveries that the storage has otherwise than it was told.
    fn unlike(&self, stored: &[Delivery]) -> Vec<(Invariant, String)> {
        let mut problems = Vec::new();
        let stored: BTreeMap<_, _> = stored.iter().map(|one| (one.id, one)).collect();
        for account in self.accounts.values() {
            let found = stored.get(&account.delivery.id);
            let is_right = match found {
                Some(found) => **found == account.delivery && !account.is_gone,
                None => account.is_gone,
            };
            if !is_right {
                let what = format!("{:?} is stored as {found:?}", account.delivery);
                problems.push((Invariant::NothingIsLost, what));
            }
        }
        problems
    }

    /// What is wrong with how a delivery ended. Why it is dead was checked when it was settled.
    fn end(&self, account: &Account, network: &Network) -> Option<(Invariant, String)> {
        let id = account.delivery.id;
        let promise = &self.promises[&account.delivery.trigger];
        let story = self.stories[&account.delivery.trigger];
        match &account.delivery.state {
            State::Delivered => {
                let has_got = network.has_got(promise.receiver, account.delivery.message_id);
                let what = format!("{id} counts as delivered, and receiver has not got it");
                (!has_got).then_some((Invariant::NothingIsLost, what))
            }
            State::Parked => {
                let what = format!("{id} is parked without reason");
                let is_justified = story.was_disabled || story.was_suspended;
                (!is_justified).then_some((Invariant::NothingIsLost, what))
            }
            state if state.is_final() => None,
            State::Queued if self.is_stuck(account) => None,
            state => {
                let what = format!("{id} is still {state:?}, recorded {}", account.recorded_at);
                Some((Invariant::EverythingEnds, what))
            }
        }
    }
}
