//! Stalled: which of a run's attempts have waited long for an answer.
//!
//! They hold no place among those that a run has for endpoints that answer, so that many endpoints
//! that hang do not keep the others waiting.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::delivery::Lease;

/// How long an attempt waits before it counts as stalled.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// The attempts in flight of a run, by how long they have waited.
#[derive(Debug, Default)]
pub(super) struct Stalled {
    /// Those that have not waited long, in the order in which they begin to.
    fresh: VecDeque<(Timestamp, Lease)>,
    /// Those that ended before they did.
    ended: HashSet<Lease>,
    waiting: HashSet<Lease>,
}

impl Stalled {
    pub(super) fn begin(&mut self, lease: Lease, now: Timestamp) {
        self.fresh.push_back((now + PATIENCE, lease));
    }

    pub(super) fn end(&mut self, lease: Lease) {
        if !self.waiting.remove(&lease) {
            self.ended.insert(lease);
        }
    }

    /// How many have waited long by now.
    pub(super) fn count(&mut self, now: Timestamp) -> usize {
        while let Some((at, lease)) = self.fresh.front().copied()
            && (at <= now || self.ended.contains(&lease))
        {
            self.fresh.pop_front();
            if !self.ended.remove(&lease) {
                self.waiting.insert(lease);
            }
        }
        self.waiting.len()
    }

    /// When the next one will have waited long.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.fresh.front().map(|(at, _)| *at)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DeliveryId;

    fn lease(n: u8) -> Lease {
        Lease { delivery: DeliveryId::from_bytes([n; 16]), token: 1 }
    }

    #[test]
    fn what_has_waited_long_counts_until_it_ends_and_what_was_quick_never_does() {
        let start = Timestamp::UNIX_EPOCH;
        let mut stalled = Stalled::default();
        (1..4).for_each(|n| stalled.begin(lease(n), start));
        stalled.end(lease(2));
        assert_eq!(stalled.count(start), 0);
        assert_eq!(stalled.next_at(), Some(start + PATIENCE));
        assert_eq!(stalled.count(start + PATIENCE), 2);
        stalled.end(lease(1));
        assert_eq!(stalled.count(start + PATIENCE), 1);
        stalled.end(lease(3));
        assert_eq!((stalled.count(start + PATIENCE), stalled.next_at()), (0, None));
        assert!(stalled.ended.is_empty() && stalled.waiting.is_empty());
    }
}
