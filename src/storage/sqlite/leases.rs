//! Leases: which deliveries are given to whom, in memory alone.
//!
//! One process owns the file, so no worker outlives a crash that could hold a lease, and nothing is
//! written when one is given: what is stored of a leased delivery is what it was before. With the
//! process the leases go, and what they counted. But if the process before this one ended with
//! leases, one of them may be what ended it: of all that was stored by then, the count is written
//! first.
//!
//! The writer changes them as it carries out calls. Others are told of it in the moment in which
//! what was written with it is committed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use super::due::Due;
use super::schema::Opening;
use crate::clock::Timestamp;
use crate::delivery::{Claimed, Delivery, Lease, State};
use crate::id::{DeliveryId, OrderingKey, TriggerId};
use crate::storage::Claim;

/// The part of a token that counts leases; the part above it counts openings of the file.
const COUNT_BITS: u32 = 40;

/// A lease, and what is known of its delivery.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) seq: i64,
    pub(super) endpoint: i64,
    token: u64,
    pub(super) until: Timestamp,
    /// How many attempts were begun, this one too.
    pub(super) attempts: u32,
    /// How many attempts are in its log.
    pub(super) logged: i64,
    pub(super) ordering: Option<OrderingKey>,
    /// Its trigger, if it may go in one request with others of that.
    batched: Option<TriggerId>,
}

impl Held {
    /// Says of a delivery as it is stored what it is by its lease.
    pub(super) fn show(&self, delivery: &mut Delivery) {
        delivery.state = State::Leased { until: self.until };
        delivery.attempts = self.attempts;
    }
}

/// The leases that were given and not settled, whether they ran out or not.
pub(super) type ById = HashMap<DeliveryId, Held>;

/// The leases as others may see them: those whose transaction is committed.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(Arc<Mutex<ById>>);

impl Told {
    pub(super) fn lock(&self) -> MutexGuard<'_, ById> {
        self.0.lock().expect("no code panics while it holds the leases")
    }
}

/// The leases as the writer sees them.
#[derive(Debug)]
pub(super) struct Leases {
    held: ById,
    /// Of each endpoint, when its leases run out.
    ends: BTreeSet<(i64, Timestamp, DeliveryId)>,
    last_token: u64,
    /// The last delivery that may have ended the process before this one; 0 for none.
    suspect: i64,
    /// What was there before each change of this transaction.
    changes: Vec<(DeliveryId, Option<Held>)>,
}

impl Leases {
    /// None yet.
    pub(super) fn new(opening: &Opening) -> Self {
        Self {
            held: ById::new(),
            ends: BTreeSet::new(),
            last_token: opening.number << COUNT_BITS,
            suspect: opening.suspect,
            changes: Vec::new(),
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes in that a delivery is new. Its place may be that of one that was pruned.
    pub(super) fn note_new(&mut self, seq: i64) {
        self.suspect = self.suspect.min(seq - 1);
    }

    /// Whether a delivery may have ended the process before this one.
    pub(super) fn is_suspect(&self, seq: i64) -> bool {
        seq <= self.suspect
    }

    pub(super) fn get(&self, id: DeliveryId) -> Option<&Held> {
        self.held.get(&id)
    }

    /// A lease, if it is the latest of its delivery and not settled.
    pub(super) fn held(&self, lease: Lease) -> Option<Held> {
        self.get(lease.delivery).filter(|held| held.token == lease.token).copied()
    }

    /// The leases of an endpoint, the first to end before the others.
    pub(super) fn of_endpoint(&self, endpoint: i64) -> impl Iterator<Item = Due> {
        let first = (endpoint, Timestamp::MIN, DeliveryId::from_bytes([0; 16]));
        let of = self.ends.range(first..).take_while(move |(of, ..)| *of == endpoint);
        of.map(|(_, at, id)| Due { at: *at, id: *id, seq: self.held[id].seq })
    }

    /// The same, of those that may go in one request with others of a trigger.
    pub(super) fn of_batch(&self, endpoint: i64, trigger: TriggerId) -> impl Iterator<Item = Due> {
        let of = self.of_endpoint(endpoint);
        of.filter(move |due| self.held[&due.id].batched == Some(trigger))
    }

    /// Gives a delivery, found at a place with so many attempts in its log, and counts the attempt.
    pub(super) fn give(
        &mut self,
        claimed: &mut Claimed,
        (seq, endpoint, logged): (i64, i64, i64),
        claim: &Claim,
    ) {
        self.last_token += 1;
        claimed.lease.token = self.last_token;
        let delivery = &mut claimed.delivery;
        let held = Held {
            seq,
            endpoint,
            token: self.last_token,
            until: claim.now + claim.lease,
            attempts: delivery.attempts.saturating_add(1),
            logged,
            ordering: delivery.turn.map(|turn| turn.key),
            batched: delivery.batched.then_some(delivery.trigger),
        };
        held.show(delivery);
        self.set(delivery.id, Some(held));
    }

    /// Makes a lease last until another time, with as many attempts in the log as it says.
    pub(super) fn extend(&mut self, id: DeliveryId, held: Held, until: Timestamp) {
        self.set(id, Some(Held { until, ..held }));
    }

    /// Ends a lease, if there is one.
    pub(super) fn end(&mut self, id: DeliveryId) {
        self.set(id, None);
    }

    fn set(&mut self, id: DeliveryId, to: Option<Held>) {
        let before = self.put(id, to);
        self.changes.push((id, before));
    }

    /// Puts a lease in the place of another and tells which that was.
    fn put(&mut self, id: DeliveryId, to: Option<Held>) -> Option<Held> {
        let before = match to {
            Some(held) => {
                self.ends.insert((held.endpoint, held.until, id));
                self.held.insert(id, held)
            }
            None => self.held.remove(&id),
        };
        if let Some(held) = before
            && to.is_none_or(|to| (to.endpoint, to.until) != (held.endpoint, held.until))
        {
            self.ends.remove(&(held.endpoint, held.until, id));
        }
        before
    }

    /// How much has changed so far, to [`undo`](Self::undo) what follows.
    pub(super) fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Takes back what has changed since.
    pub(super) fn undo(&mut self, changes: usize) {
        for (id, before) in self.changes.split_off(changes).into_iter().rev() {
            self.put(id, before);
        }
    }

    /// Tells others what has changed.
    pub(super) fn tell(&mut self, told: &mut ById) {
        for (id, _) in self.changes.drain(..) {
            match self.held.get(&id) {
                Some(held) => told.insert(id, *held),
                None => told.remove(&id),
            };
        }
    }
}
