//! Health: since when a trigger's deliveries have failed without a break, and what follows.
//!
//! In: what was known, and whether an attempt succeeded. Out: a [`Diagnosis`]. Nothing here reads a
//! clock or a storage.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DeliveryPolicy;
use crate::clock::Timestamp;
use crate::document::{Field, Problems, or_mismatch};

/// A span of failure without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// Whether it was told that the trigger will be suspended.
    #[serde(default)]
    pub warned: bool,
}

/// What follows from an attempt for its trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Diagnosis {
    /// Nothing that was not known.
    Unchanged,
    /// A span of failure begins.
    Began(Failing),
    /// The span of failure ended: an attempt succeeded.
    Recovered,
    /// Half of the span has passed after which the trigger is suspended, or all of it and nobody
    /// was warned: told as `trigger.failing`.
    Warn(Failing),
    /// The span has passed and it was warned of: the trigger is suspended, told as
    /// `trigger.disabled`.
    Disable(Failing),
}

impl DeliveryPolicy {
    /// What follows for a trigger from an attempt of one of its deliveries.
    ///
    /// `changed_at` is when the trigger was last changed: who changed it may have mended it, so
    /// that a span of failure begins anew with it.
    pub fn diagnose(
        &self,
        known: Option<Failing>,
        succeeded: bool,
        changed_at: Timestamp,
        now: Timestamp,
    ) -> Diagnosis {
        let Some(limit) = self.disable_after else { return Diagnosis::Unchanged };
        let current = known.filter(|failing| failing.since >= changed_at);
        match current {
            _ if succeeded && known.is_some() => Diagnosis::Recovered,
            _ if succeeded => Diagnosis::Unchanged,
            None => Diagnosis::Began(Failing { since: now, warned: false }),
            Some(failing) if !failing.warned && now.since(failing.since) >= limit / 2 => {
                Diagnosis::Warn(Failing { warned: true, ..failing })
            }
            Some(failing) if now.since(failing.since) >= limit => Diagnosis::Disable(failing),
            Some(_) => Diagnosis::Unchanged,
        }
    }
}

/// What becomes of what is published while the engine has a trigger suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WhileSuspended {
    /// Its deliveries are [parked](super::State::Parked), and can be replayed.
    #[default]
    Park,
    /// Its deliveries are [cancelled](super::State::Cancelled), and nobody is told.
    Drop,
}

impl Field for WhileSuspended {
    const EXPECTED: &'static str = "park or drop";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        or_mismatch(Self::deserialize(&value).ok(), &value, Self::EXPECTED, path, problems)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const MADE: Timestamp = Timestamp::UNIX_EPOCH;

    fn after(days: u32) -> Timestamp {
        MADE + DAY * days
    }

    fn failed(known: Option<Failing>, now: Timestamp) -> Diagnosis {
        DeliveryPolicy::default().diagnose(known, false, MADE, now)
    }

    #[test]
    fn five_days_of_failure_disable_and_half_of_them_warn_once() {
        let Diagnosis::Began(failing) = failed(None, after(1)) else { panic!() };
        assert_eq!(failed(Some(failing), after(2)), Diagnosis::Unchanged);
        let Diagnosis::Warn(warned) = failed(Some(failing), after(4)) else { panic!() };
        assert_eq!(failed(Some(warned), after(5)), Diagnosis::Unchanged);
        assert_eq!(failed(Some(warned), after(6)), Diagnosis::Disable(warned));
    }

    #[test]
    fn a_trigger_that_is_seldom_tried_is_warned_of_first_and_disabled_at_the_next_failure() {
        let failing = Failing { since: after(1), warned: false };
        let Diagnosis::Warn(warned) = failed(Some(failing), after(9)) else { panic!() };
        assert_eq!(failed(Some(warned), after(9)), Diagnosis::Disable(warned));
    }

    #[test]
    fn a_success_or_a_change_of_the_trigger_begins_anew() {
        let failing = Failing { since: after(1), warned: true };
        let policy = DeliveryPolicy::default();
        assert_eq!(policy.diagnose(Some(failing), true, MADE, after(9)), Diagnosis::Recovered);
        assert_eq!(policy.diagnose(None, true, MADE, after(9)), Diagnosis::Unchanged);
        let anew = Failing { since: after(9), warned: false };
        let since_change = policy.diagnose(Some(failing), false, after(8), after(9));
        assert_eq!(since_change, Diagnosis::Began(anew));
    }

    #[test]
    fn a_policy_that_never_disables_follows_nothing() {
        let policy = DeliveryPolicy::default().with_disable_after(None);
        let failing = Failing { since: after(1), warned: false };
        for known in [None, Some(failing)] {
            assert_eq!(policy.diagnose(known, false, MADE, after(99)), Diagnosis::Unchanged);
        }
    }
}
