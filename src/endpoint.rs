//! Endpoints: how much each may be given now, and when it may be given more.
//!
//! In: an [`EndpointPolicy`], what was begun and what came of it. Out: [room](EndpointState::room).
//! Nothing here sleeps, reads a clock or rolls dice; callers pass both. Deliveries that find no
//! room wait, and use up no attempt.

mod breaker;
mod policy;
mod rate;
mod steady;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use breaker::BreakerState;
pub use policy::{BreakerPolicy, EndpointPolicy};
pub use rate::Rate;

use crate::clock::Timestamp;
use crate::delivery::{DeliveryPolicy, EndpointKey, Jitter, Outcome};
use breaker::{Breaker, Ticket, Verdict};
use rate::Bucket;
use steady::{Steady, micros};

/// After how long without anything in flight an endpoint's failures are forgotten, so that memory
/// is bounded by the endpoints in use.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// What is known of one endpoint.
///
/// All times are the caller's. A clock that goes back makes nothing last longer: a step back counts
/// as no time at all.
#[derive(Debug, Clone)]
pub struct EndpointState {
    policy: Arc<EndpointPolicy>,
    steady: Steady,
    in_flight: usize,
    /// How many may be in flight; never more than the policy's, and at least one.
    allowed: usize,
    /// How often `allowed` was halved: what began before the last time changes it no more.
    round: u32,
    rests_until: u64,
    /// When something was in flight last.
    busy_at: u64,
    bucket: Bucket,
    breaker: Breaker,
}

/// One delivery that was begun. It has to be given back by [`EndpointState::end`] or
/// [`EndpointState::give_back`].
#[derive(Debug)]
#[must_use = "the endpoint counts it as in flight until it is given back"]
pub struct Permit {
    begun_at: u64,
    round: u32,
    ticket: Ticket,
}

impl EndpointState {
    /// An endpoint of which nothing is known.
    pub fn new(policy: Arc<EndpointPolicy>) -> Self {
        Self {
            steady: Steady::default(),
            in_flight: 0,
            allowed: policy.concurrency,
            round: 0,
            rests_until: 0,
            busy_at: 0,
            bucket: Bucket::default(),
            breaker: Breaker::default(),
            policy,
        }
    }

    /// How many deliveries may be begun now.
    pub fn room(&mut self, now: Timestamp) -> usize {
        let at = self.advance(now);
        if at < self.rests_until {
            return 0;
        }
        let free = self.allowed.saturating_sub(self.in_flight);
        free.min(self.breaker.room()).min(self.tokens().unwrap_or(usize::MAX))
    }

    /// When there is room again by the passing of time alone; `None` if there is some now, or if
    /// only the end of a delivery in flight can make it.
    pub fn opens_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        let at = self.advance(now);
        if self.in_flight >= self.allowed || self.breaker.state() == BreakerState::Probing {
            return None;
        }
        let rate = self.policy.rate.as_ref().map_or(at, |rate| self.bucket.opens_at(rate));
        let opens = self.rests_until.max(self.breaker.open_until().unwrap_or(at)).max(rate);
        (opens > at).then(|| self.steady.on_clock(opens))
    }

    /// Counts a delivery as in flight. One that is begun although there is no room is counted too,
    /// but the breaker learns nothing from it.
    pub fn begin(&mut self, now: Timestamp) -> Permit {
        let at = self.advance(now);
        self.in_flight += 1;
        if let Some(rate) = &self.policy.rate {
            self.bucket.take(rate);
        }
        Permit { begun_at: at, round: self.round, ticket: self.breaker.begin(at) }
    }

    /// Takes in what came of a delivery; `None` if that is not known. `fraction` is drawn evenly
    /// from `0.0..1.0` for the jitter.
    #[expect(clippy::needless_pass_by_value, reason = "a permit ends once")]
    pub fn end(
        &mut self,
        permit: Permit,
        outcome: Option<&Outcome>,
        now: Timestamp,
        fraction: f64,
    ) {
        let at = self.finish(now);
        let verdict = outcome.map_or(Verdict::Nothing, Verdict::of);
        let is_of_this_round = permit.round == self.round;
        match outcome {
            Some(Outcome::Throttled { retry_after: Some(wanted) }) => {
                let wanted = (*wanted).min(DeliveryPolicy::MAX_RETRY_AFTER);
                let rest = micros(Jitter::Added.apply(wanted, fraction));
                self.rests_until = self.rests_until.max(at.saturating_add(rest));
            }
            Some(Outcome::Throttled { retry_after: None }) if is_of_this_round => {
                self.allowed = (self.allowed / 2).max(1);
                self.round = self.round.wrapping_add(1);
            }
            _ if verdict == Verdict::Success && is_of_this_round => {
                self.allowed = (self.allowed + 1).min(self.policy.concurrency);
            }
            _ => {}
        }
        self.breaker.end(permit.ticket, verdict, &self.policy.breaker, at, fraction);
    }

    /// Takes back what was begun for a delivery of which no attempt was made: nothing was sent, so
    /// it does not count against the rate either.
    pub fn give_back(&mut self, permit: Permit, now: Timestamp) {
        if let Some(rate) = &self.policy.rate {
            self.bucket.give_back(rate, permit.begun_at);
        }
        self.end(permit, None, now, 0.0);
    }

    /// Whether it is as if nothing had ever happened, so that it can be forgotten.
    pub fn is_idle(&mut self, now: Timestamp) -> bool {
        let at = self.advance(now);
        self.in_flight == 0
            && self.allowed == self.policy.concurrency
            && self.rests_until <= at
            && self.bucket.is_full()
            && self.breaker.is_fresh(&self.policy.breaker, at)
    }

    /// How many may be in flight at once now.
    pub fn allowed(&self) -> usize {
        self.allowed
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What an operator wants to know.
    pub fn status(&mut self, key: EndpointKey, now: Timestamp) -> EndpointStatus {
        let at = self.advance(now);
        let shown = |at| self.steady.on_clock(at);
        EndpointStatus {
            key,
            in_flight: self.in_flight,
            allowed: self.allowed,
            breaker: self.breaker.state(),
            since: self.breaker.since().map(shown),
            open_until: self.breaker.open_until().map(shown),
            resting_until: (self.rests_until > at).then(|| shown(self.rests_until)),
            tokens: self.tokens(),
            paused: false,
        }
    }

    fn tokens(&self) -> Option<usize> {
        let rate = self.policy.rate.as_ref()?;
        Some(usize::try_from(self.bucket.tokens(rate)).unwrap_or(usize::MAX))
    }

    /// Lets time pass.
    fn advance(&mut self, now: Timestamp) -> u64 {
        let at = self.steady.at(now);
        self.breaker.advance(at);
        if let Some(rate) = &self.policy.rate {
            self.bucket.advance(rate, at);
        }
        if self.in_flight > 0 || at < self.rests_until {
            self.busy_at = at;
        } else if at.saturating_sub(self.busy_at) >= micros(FORGOTTEN_AFTER)
            && self.breaker.is_stale(at, micros(FORGOTTEN_AFTER))
        {
            self.allowed = self.policy.concurrency;
            self.breaker.forget();
            self.busy_at = at;
        }
        at
    }

    fn finish(&mut self, now: Timestamp) -> u64 {
        let at = self.advance(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        at
    }
}

/// What is known of an endpoint, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Which endpoint it is.
    pub key: EndpointKey,
    /// How many deliveries are attempted now.
    pub in_flight: usize,
    /// How many may be at once: fewer than the policy's after the endpoint asked for less.
    pub allowed: usize,
    /// Where its breaker stands.
    pub breaker: BreakerState,
    /// Since when it does; `None` if it never stood anywhere else, as far as is remembered.
    pub since: Option<Timestamp>,
    /// Until when it is left alone because it fails.
    pub open_until: Option<Timestamp>,
    /// Until when it is left alone because it asked for it (`Retry-After`).
    pub resting_until: Option<Timestamp>,
    /// How many deliveries its rate allows now; `None` without a rate.
    pub tokens: Option<usize>,
    /// Whether an operator has paused it.
    pub paused: bool,
}

impl EndpointStatus {
    /// Sets whether an operator has paused it.
    pub fn with_paused(mut self, paused: bool) -> Self {
        self.paused = paused;
        self
    }
}
