//! Batched: what may go in one request with others, found without a look at anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::Content;
use crate::clock::Timestamp;
use crate::delivery::{Claimed, Delivery, EndpointKey};
use crate::id::{DeliveryId, TriggerId};
use crate::storage::{Claim, Companions};

/// Batched deliveries that can be claimed from a time on, by trigger and endpoint; those that were
/// attempted before the others.
#[derive(Debug, Default)]
pub(super) struct Batched(BTreeMap<Group, BTreeSet<Place>>);

type Group = (TriggerId, EndpointKey);

/// Whether it was not attempted, from when on it can be claimed, and which one it is.
type Place = (bool, Timestamp, DeliveryId);

impl Batched {
    pub(super) fn insert(&mut self, delivery: &Delivery, at: Timestamp) {
        if delivery.batched {
            self.0.entry(group(delivery)).or_default().insert(place(delivery, at));
        }
    }

    pub(super) fn remove(&mut self, delivery: &Delivery, at: Timestamp) {
        if !delivery.batched {
            return;
        }
        let group = group(delivery);
        if let Some(members) = self.0.get_mut(&group) {
            members.remove(&place(delivery, at));
            if members.is_empty() {
                self.0.remove(&group);
            }
        }
    }

    /// What may be given of a group by a time, in the order in which it is.
    fn due(&self, asked: &Companions, now: Timestamp) -> impl Iterator<Item = DeliveryId> {
        let group = self.0.get(&(asked.trigger, asked.endpoint.clone()));
        let of = move |is_new: bool, after: Timestamp, until: Timestamp| {
            let last = DeliveryId::from_bytes([u8::MAX; 16]);
            let behind = (Bound::Excluded((is_new, after, last)), Bound::Unbounded);
            let members = group.into_iter().flat_map(move |members| members.range(behind));
            members.take_while(move |(other, at, _)| *other == is_new && *at <= until)
        };
        let due = of(false, Timestamp::MIN, now).chain(of(true, Timestamp::MIN, now));
        of(true, now, asked.until).chain(due).map(|(_, _, id)| *id)
    }
}

fn group(delivery: &Delivery) -> Group {
    (delivery.trigger, delivery.endpoint.clone())
}

fn place(delivery: &Delivery, at: Timestamp) -> Place {
    (delivery.attempts == 0, at, delivery.id)
}

impl Content {
    pub(super) fn claim_companions(&mut self, all: &[Companions], claim: &Claim) -> Vec<Claimed> {
        let mut given = Vec::new();
        for asked in all {
            let limit = asked.limit.min(claim.limit - given.len());
            let mut room = asked.max_bytes;
            let mut fits = |id: &DeliveryId| {
                let left = room.checked_sub(self.deliveries[id].payload.body.len());
                room = left.unwrap_or_default();
                left.is_some()
            };
            let due = self.batched.due(asked, claim.due_by).take(limit);
            let ids: Vec<DeliveryId> = due.take_while(|id| fits(id)).collect();
            given.extend(ids.into_iter().map(|id| self.lease(id, claim)));
        }
        given
    }
}
