//! Pace: how quickly the events of each scope are delivered.
//!
//! The backstop against loops whose hops somebody strips: beyond the rate nothing is lost or
//! refused, but what is published is due later and later, so that a loop goes round at the rate and
//! no faster.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::clock::Timestamp;
use crate::endpoint::Rate;
use crate::event::Scope;

/// The most scopes that are remembered; of more, those that are within their rate are forgotten.
const MAX_SCOPES: usize = 10_000;

/// From when on each scope is within its rate again.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<HashMap<Scope, Timestamp>>);

impl Pace {
    /// When the deliveries of an event of a scope are due that is published now.
    pub(super) fn due(&self, rate: Rate, scope: &Scope, now: Timestamp) -> Timestamp {
        let mut scopes = self.0.lock().expect("no code panics while it looks");
        if scopes.len() >= MAX_SCOPES && !scopes.contains_key(scope) {
            scopes.retain(|_, free| *free > now);
        }
        let free = scopes.entry(scope.clone()).or_insert(now);
        let (due, next) = rate.due(*free, now);
        *free = next;
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_scope_has_its_burst_and_then_its_rate() {
        let (pace, rate) = (Pace::default(), Rate::per_second(10).with_burst(3));
        let (one, other): (Scope, Scope) = ("one".parse().unwrap(), "other".parse().unwrap());
        let now = Timestamp::UNIX_EPOCH;
        let dues: Vec<u128> =
            (0..6).map(|_| pace.due(rate, &one, now).since(now).as_millis()).collect();
        assert_eq!(dues, [0, 0, 0, 100, 200, 300]);
        assert_eq!(pace.due(rate, &other, now), now);
        let later = now + Duration::from_secs(9);
        assert_eq!(pace.due(rate, &one, later), later);
    }

    #[test]
    fn scopes_that_are_within_their_rate_are_forgotten() {
        let (pace, rate) = (Pace::default(), Rate::per_second(10));
        for n in 0..3 * MAX_SCOPES {
            let now = Timestamp::UNIX_EPOCH + Duration::from_secs(n as u64);
            pace.due(rate, &format!("s{n}").parse().unwrap(), now);
        }
        assert!(pace.0.lock().unwrap().len() <= MAX_SCOPES);
    }
}
