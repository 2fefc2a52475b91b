//! Pruning, by a look at everything there is: the model.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Content, Row};
use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::event::Event;
use crate::id::{DeliveryId, EventId};
use crate::payload::Payload;
use crate::storage::{Prune, Pruned};

impl Content {
    pub(super) fn prune(&mut self, prune: &Prune) -> Pruned {
        let deliveries = self.deliveries_to_prune(prune);
        for id in &deliveries {
            self.forget(*id, prune.now);
        }
        let contents = self.contents_to_drop(prune);
        for id in &contents {
            self.drop_contents(*id);
        }
        let events = self.events_to_prune(prune);
        for id in &events {
            self.events.remove(id);
        }
        let (deliveries, events) = (deliveries.len(), events.len());
        Pruned { deliveries, events, contents: contents.len(), passed: 0 }
    }

    /// The oldest first.
    fn deliveries_to_prune(&self, prune: &Prune) -> Vec<DeliveryId> {
        let mut newest_first: Vec<&Row> = self.final_rows().collect();
        newest_first.sort_by_key(|row| Reverse((row.settled_at, row.place)));
        let mut newer: HashMap<StateName, usize> = HashMap::new();
        newest_first.retain(|row| {
            let state = row.delivery.state.name();
            let newer = newer.entry(state).or_default();
            *newer += 1;
            prune.cutoff(state).takes(row.settled_at, *newer - 1) && !self.is_held(row, prune)
        });
        newest_first.iter().rev().take(prune.limit).map(|row| row.delivery.id).collect()
    }

    fn contents_to_drop(&self, prune: &Prune) -> Vec<DeliveryId> {
        let mut old: Vec<&Row> = self
            .final_rows()
            .filter(|row| prune.contents_before.is_some_and(|before| row.settled_at < before))
            .filter(|row| !row.delivery.contents_dropped && !self.is_held(row, prune))
            .collect();
        old.sort_by_key(|row| (row.settled_at, row.place));
        old.iter().take(prune.limit).map(|row| row.delivery.id).collect()
    }

    fn events_to_prune(&self, prune: &Prune) -> Vec<EventId> {
        let mut newest_first: Vec<&Event> = self.events.values().map(AsRef::as_ref).collect();
        newest_first.sort_by_key(|event| Reverse((event.received_at, event.id)));
        let goes = |(newer, event): &(usize, &Event)| {
            prune.events.takes(event.received_at, *newer)
                && prune.holder(&event.scope).is_none()
                && !self.has_delivery(event.id)
        };
        let going: Vec<_> =
            (0..).zip(newest_first).filter(goes).map(|(_, event)| event.id).collect();
        going.into_iter().rev().take(prune.limit).collect()
    }

    fn final_rows(&self) -> impl Iterator<Item = &Row> {
        self.deliveries.values().filter(|row| row.delivery.state.is_final())
    }

    fn is_held(&self, row: &Row, prune: &Prune) -> bool {
        let event = self.events.get(&row.delivery.event);
        prune.holder(&row.delivery.scope).is_some()
            || event.is_some_and(|event| prune.holder(&event.scope).is_some())
    }

    fn has_delivery(&self, event: EventId) -> bool {
        let first = (event, DeliveryId::from_bytes([0; 16]));
        self.by_event.range(first..).next().is_some_and(|(of, _)| *of == event)
    }

    fn forget(&mut self, id: DeliveryId, now: Timestamp) {
        self.unindex(id);
        let Some(row) = self.deliveries.remove(&id) else { return };
        self.by_event.remove(&(row.delivery.event, id));
        if let Some(turn) = row.delivery.turn {
            self.next_of(turn.key, now);
        }
    }

    fn drop_contents(&mut self, id: DeliveryId) {
        let Some(row) = self.deliveries.get_mut(&id) else { return };
        row.delivery.contents_dropped = true;
        row.payload = Payload { headers: Vec::new(), body: [].into() };
        for logged in &mut row.log {
            logged.attempt.response = None;
        }
    }
}
