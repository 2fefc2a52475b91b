//! Stats: what an engine has done since it was built, by stage, and what it is doing now.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::Engine;
use crate::delivery::{Outcome, Settlement};
use crate::observer::{Publisher, Transition};
use crate::storage::Recorded;

/// What an engine has done since it was built, and what it is doing now.
///
/// The first five are the stages that events and deliveries go through. They are counted one after
/// the other, so that a look in between may find one that is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct EngineStats {
    /// Events that were good and went to the storage, from callers and receivers.
    pub accepted: u64,
    /// Events that were stored; those of a known id and those of the engine's own are not among
    /// them.
    pub durable: u64,
    /// Deliveries that were made, one for each trigger that an event concerns; also of the engine's
    /// own events.
    pub matched: u64,
    /// Attempts that were begun.
    pub sent: u64,
    /// Attempts that their target took.
    pub acknowledged: u64,
    /// Events that were known by their id, from callers and receivers.
    pub duplicates: u64,
    /// Deliveries of which it is written down that they are delivered.
    pub delivered: u64,
    /// Deliveries that were put off to be tried again.
    pub retried: u64,
    /// Deliveries that became dead letters.
    pub dead: u64,
    /// Deliveries that were cancelled.
    pub cancelled: u64,
    /// Deliveries that were parked when they came due.
    pub parked: u64,
    /// Deliveries that were given back untried.
    pub released: u64,
    /// Results that were dropped, the lease being another's.
    pub leases_lost: u64,
    /// Calls to the storage that failed.
    pub storage_failures: u64,
    /// Attempts that are under way now.
    pub in_flight: u64,
    /// How many `run`s there are now.
    pub runs: usize,
}

impl Engine {
    /// What this engine has done since it was built, and what it is doing now. Its clones share it;
    /// other engines on the same storage count for themselves. It costs a few reads of memory.
    pub fn stats(&self) -> EngineStats {
        let runs = *self.core.runs.borrow();
        EngineStats { runs, ..self.core.observers.tally.stats() }
    }
}

/// Counts transitions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    accepted: AtomicU64,
    durable: AtomicU64,
    matched: AtomicU64,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    duplicates: AtomicU64,
    delivered: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
    cancelled: AtomicU64,
    parked: AtomicU64,
    released: AtomicU64,
    leases_lost: AtomicU64,
    storage_failures: AtomicU64,
    /// Attempts that ended or were abandoned.
    over: AtomicU64,
}

impl Tally {
    /// Counts a record that was stored or not, with its deliveries.
    pub(super) fn count_recorded(&self, by: Publisher, recorded: Recorded, deliveries: usize) {
        match recorded {
            Recorded::Stored => {
                self.matched.fetch_add(deliveries as u64, Ordering::Relaxed);
                if by != Publisher::Engine {
                    add(&self.durable);
                }
            }
            Recorded::Duplicate => add(&self.duplicates),
            Recorded::CursorMoved => {}
        }
    }

    /// Counts a transition that is not of a record.
    pub(super) fn count(&self, transition: &Transition<'_>) {
        match transition {
            Transition::Accepted { .. } => add(&self.accepted),
            Transition::AttemptBegun { .. } => add(&self.sent),
            Transition::AttemptEnded { outcome, .. } => {
                add(&self.over);
                if **outcome == Outcome::Accepted {
                    add(&self.acknowledged);
                }
            }
            Transition::AttemptAbandoned { .. } => add(&self.over),
            Transition::Settled { settlement, .. } => {
                if let Some(counter) = self.of_settlement(settlement) {
                    add(counter);
                }
            }
            Transition::LeaseLost { .. } => add(&self.leases_lost),
            Transition::StorageFailed { .. } => add(&self.storage_failures),
            _ => {}
        }
    }

    /// What counts a settlement; none one that leaves a delivery leased.
    fn of_settlement(&self, settlement: &Settlement) -> Option<&AtomicU64> {
        Some(match settlement {
            Settlement::Delivered => &self.delivered,
            Settlement::Retry { .. } => &self.retried,
            Settlement::Dead(_) => &self.dead,
            Settlement::Cancelled(_) => &self.cancelled,
            Settlement::Parked => &self.parked,
            Settlement::Released { .. } => &self.released,
            Settlement::Extended { .. } => return None,
        })
    }

    /// How many attempts are under way.
    pub(super) fn in_flight(&self) -> u64 {
        self.stats().in_flight
    }

    fn stats(&self) -> EngineStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Before what was begun: else one that begins and ends in between would count as less than
        // none under way.
        let over = read(&self.over);
        let sent = read(&self.sent);
        EngineStats {
            accepted: read(&self.accepted),
            durable: read(&self.durable),
            matched: read(&self.matched),
            sent,
            acknowledged: read(&self.acknowledged),
            duplicates: read(&self.duplicates),
            delivered: read(&self.delivered),
            retried: read(&self.retried),
            dead: read(&self.dead),
            cancelled: read(&self.cancelled),
            parked: read(&self.parked),
            released: read(&self.released),
            leases_lost: read(&self.leases_lost),
            storage_failures: read(&self.storage_failures),
            in_flight: sent.saturating_sub(over),
            runs: 0,
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
