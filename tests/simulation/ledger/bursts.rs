//! Triggers that coalesce, as they must: which delivery may stand for which, and that one does.

use std::collections::BTreeMap;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{CancelReason, Coalesce, Delivery, State};
use artifact_triggers::event::Event;
use artifact_triggers::id::{DeliveryId, TriggerId};
use artifact_triggers::storage::Record;

use super::{Account, Books};
use crate::invariants::Invariant;

/// What a delivery is coalesced by.
#[derive(Debug, Clone)]
pub(super) struct Told {
    artifact: String,
    occurred_at: Timestamp,
    /// When it was to be due when it was made; `None` if it did not wait.
    due: Option<Timestamp>,
    /// Its place in the order of recording.
    number: usize,
}

impl Books {
    /// What a delivery of an event that was published is coalesced by.
    pub(super) fn told(&self, event: &Event, delivery: &Delivery) -> Option<Told> {
        let promise = self.promises.get(&delivery.trigger)?;
        let is_own = self.own.contains(&event.id);
        let artifact = event.artifact.as_ref().filter(|_| !is_own && promise.coalesce.is_some())?;
        Some(Told {
            artifact: artifact.name.clone()?,
            occurred_at: event.occurred_at,
            due: match delivery.state {
                State::Waiting { due } => Some(due),
                _ => None,
            },
            number: self.counts.deliveries,
        })
    }

    /// Takes in what the deliveries of a record take the place of.
    pub(super) fn supersede(&mut self, record: &Record, now: Timestamp) {
        for id in &record.supersedes {
            let stands = record.deliveries.iter().any(|(delivery, _)| {
                matches!(delivery.state, State::Waiting { .. })
                    && self.are_of_one_burst(delivery.id, *id)
            });
            if !stands {
                let what = format!("{id} is superseded by nothing that stands for it");
                self.violate(now, Invariant::BurstsGoOnce, what);
            }
            let Some(account) = self.accounts.get_mut(id) else { continue };
            if matches!(account.delivery.state, State::Waiting { .. } | State::Queued) {
                account.delivery.state = State::Cancelled { reason: CancelReason::Superseded };
                account.settled_at = record.deliveries[0].0.created_at;
                self.open -= 1;
                self.counts.superseded += 1;
            }
        }
        // What is sent of events that are there already, a backfill, is not coalesced.
        let of_event = record.deliveries.iter().filter(|_| record.event.is_some());
        for (delivery, _) in of_event {
            if let Some(what) = self.beside(delivery.id, now) {
                self.violate(now, Invariant::BurstsGoOnce, format!("{}: {what}", delivery.id));
            }
        }
    }

    fn burst<'a>(&'a self, of: &'a Account) -> impl Iterator<Item = (&'a Account, &'a Told)> {
        let key = |account: &Account| {
            Some((account.delivery.trigger, account.told.as_ref()?.artifact.clone()))
        };
        let own = key(of);
        let others = self.accounts.values().filter(move |other| {
            own.is_some() && other.delivery.id != of.delivery.id && key(other) == own
        });
        others.filter_map(|other| Some((other, other.told.as_ref()?)))
    }

    fn are_of_one_burst(&self, one: DeliveryId, other: DeliveryId) -> bool {
        self.accounts
            .get(&one)
            .is_some_and(|one| self.burst(one).any(|(account, _)| account.delivery.id == other))
    }

    /// What is wrong with a delivery that is made beside others of its artifact.
    fn beside(&self, id: DeliveryId, now: Timestamp) -> Option<String> {
        let account = self.accounts.get(&id)?;
        let due = account.told.as_ref()?.due?;
        let slack = self.rules.slack();
        let is_new = |other: &Account| {
            let is_untouched = other.visits.is_empty() && other.replays == 0 && other.token == 0;
            is_untouched && !other.is_late && matches!(other.delivery.state, State::Waiting { .. })
        };
        match self.promises[&account.delivery.trigger].coalesce {
            Some(Coalesce::Newest { .. }) => {
                let (other, _) = self.burst(account).find(|(other, _)| is_new(other))?;
                Some(format!("{} waits beside it", other.delivery.id))
            }
            Some(Coalesce::Quiet { .. }) => {
                let waits = |told: &Told| told.due.is_some_and(|at| at > now + slack);
                let mut others = self.burst(account);
                let (other, _) = others.find(|(other, told)| is_new(other) && waits(told))?;
                Some(format!("{} waits beside it", other.delivery.id))
            }
            Some(Coalesce::AtMostEvery { span, .. }) => {
                let superseded = State::Cancelled { reason: CancelReason::Superseded };
                let near = |told: &Told| {
                    told.due.is_some_and(|at| due.since(at).max(at.since(due)) + slack * 2 < span)
                };
                let mut others = self.burst(account);
                let (other, told) = others
                    .find(|(other, told)| other.delivery.state != superseded && near(told))?;
                Some(format!("due at {due}, {} at {:?}", other.delivery.id, told.due))
            }
            _ => None,
        }
    }

    /// Whether there is a newer event of a delivery's artifact.
    pub(super) fn is_outdated(&self, account: &Account) -> bool {
        let promise = &self.promises[&account.delivery.trigger];
        let Some(own) = account.told.as_ref() else { return false };
        matches!(promise.coalesce, Some(Coalesce::Newest { .. }))
            && self.burst(account).any(|(_, other)| other.occurred_at >= own.occurred_at)
    }

    /// Artifacts whose last event nothing goes for.
    pub(super) fn unstood(&self) -> Vec<(Invariant, String)> {
        let mut last: BTreeMap<(TriggerId, &str), (&Account, &Told)> = BTreeMap::new();
        for account in self.accounts.values() {
            let Some(told) = account.told.as_ref() else { continue };
            let trigger = account.delivery.trigger;
            let is_newest =
                matches!(self.promises[&trigger].coalesce, Some(Coalesce::Newest { .. }));
            let place = |told: &Told| (is_newest.then_some(told.occurred_at), told.number);
            let known = last.entry((trigger, &told.artifact)).or_insert((account, told));
            if place(known.1) < place(told) {
                *known = (account, told);
            }
        }
        let is_superseded = |account: &Account| {
            account.delivery.state == State::Cancelled { reason: CancelReason::Superseded }
        };
        let without = last.into_values().filter(|(account, _)| is_superseded(account));
        let what = |(account, told): (&Account, &Told)| {
            format!("{} is superseded, and the last of {}", account.delivery.id, told.artifact)
        };
        without.map(|one| (Invariant::NothingIsLost, what(one))).collect()
    }
}
