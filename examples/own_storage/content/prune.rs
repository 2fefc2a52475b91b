//! Pruning: rule 17. A look at everything; a storage for millions would keep its lines in order.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use artifact_triggers::delivery::StateName;
use artifact_triggers::event::Event;
use artifact_triggers::id::{DeliveryId, EventId};
use artifact_triggers::storage::{Prune, Pruned};

use super::{Change, Content, Row};

impl Content {
    pub(crate) fn prune(&mut self, prune: &Prune) -> Pruned {
        let mut pruned = Pruned::default();
        for id in self.too_old_or_many(prune) {
            let turn = self.deliveries[&id].delivery.turn;
            self.make(Change::ForgetDelivery(id));
            // Rule 15: it may have held somebody up.
            self.next_of(turn, prune.now);
            pruned.deliveries += 1;
        }
        for id in self.with_old_contents(prune) {
            self.make(Change::ForgetContents(id));
            pruned.contents += 1;
        }
        for id in self.unheard(prune) {
            self.make(Change::ForgetEvent(id));
            pruned.events += 1;
        }
        pruned
    }

    /// What is final and not held, the oldest first, with how many of its state are newer.
    fn done(&self, prune: &Prune) -> Vec<(&Row, usize)> {
        let is_final = |row: &&Row| row.delivery.state.is_final();
        let mut rows: Vec<&Row> = self.deliveries.values().filter(is_final).collect();
        rows.sort_by_key(|row| Reverse((row.settled_at, row.place)));
        let mut counts: HashMap<StateName, usize> = HashMap::new();
        let mut done = Vec::new();
        for row in rows {
            let count = counts.entry(row.delivery.state.name()).or_default();
            if !self.is_held(row, prune) {
                done.push((row, *count));
            }
            *count += 1;
        }
        done.reverse();
        done
    }

    fn is_held(&self, row: &Row, prune: &Prune) -> bool {
        let event = self.events.get(&row.delivery.event).map(|event| &event.scope);
        let mut scopes = event.into_iter().chain([&row.delivery.scope]);
        scopes.any(|scope| prune.holder(scope).is_some())
    }

    fn too_old_or_many(&self, prune: &Prune) -> Vec<DeliveryId> {
        let goes = |(row, newer): &(&Row, usize)| {
            prune.cutoff(row.delivery.state.name()).takes(row.settled_at, *newer)
        };
        let going = self.done(prune).into_iter().filter(goes).take(prune.limit);
        going.map(|(row, _)| row.delivery.id).collect()
    }

    fn with_old_contents(&self, prune: &Prune) -> Vec<DeliveryId> {
        let Some(before) = prune.contents_before else { return Vec::new() };
        let is_whole =
            |(row, _): &(&Row, usize)| row.settled_at < before && !row.delivery.contents_dropped;
        let old = self.done(prune).into_iter().filter(is_whole).take(prune.limit);
        old.map(|(row, _)| row.delivery.id).collect()
    }

    /// Events without deliveries, the oldest first.
    fn unheard(&self, prune: &Prune) -> Vec<EventId> {
        let heard: BTreeSet<EventId> =
            self.deliveries.values().map(|row| row.delivery.event).collect();
        let mut events: Vec<&Event> = self.events.values().map(AsRef::as_ref).collect();
        events.sort_by_key(|event| (event.received_at, event.id));
        let newer = (0..events.len()).rev();
        let goes = |(event, newer): &(&Event, usize)| {
            prune.events.takes(event.received_at, *newer)
                && prune.holder(&event.scope).is_none()
                && !heard.contains(&event.id)
        };
        let going = events.into_iter().zip(newer).filter(goes).take(prune.limit);
        going.map(|(event, _)| event.id).collect()
    }
}
