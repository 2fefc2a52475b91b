//! An endpoint's own time: the clock's, without its steps back.

use std::time::Duration;

use crate::clock::Timestamp;

/// A step back up to this is waited out: clocks tremble, and callers on several threads may read
/// one before they take their turn.
const TREMBLE: Duration = Duration::from_secs(1);

/// Counts the microseconds that have passed, by a clock that may go back or jump.
///
/// A step back is no time at all: what was to last a minute still lasts a minute.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steady {
    seen: Option<Timestamp>,
    passed: u64,
}

impl Steady {
    /// The time now, never before an earlier answer.
    pub(super) fn at(&mut self, now: Timestamp) -> u64 {
        let seen = *self.seen.get_or_insert(now);
        if now > seen {
            self.passed = self.passed.saturating_add(micros(now.since(seen)));
            self.seen = Some(now);
        } else if seen.since(now) > TREMBLE {
            self.seen = Some(now);
        }
        self.passed
    }

    /// What the clock will show at a time, or has shown.
    pub(super) fn on_clock(&self, at: u64) -> Timestamp {
        let seen = self.seen.unwrap_or(Timestamp::UNIX_EPOCH);
        match at.checked_sub(self.passed) {
            Some(ahead) => seen + Duration::from_micros(ahead),
            None => seen.before(Duration::from_micros(self.passed - at)),
        }
    }
}

/// A span in microseconds, rounded up: what is to last must not end early.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}
