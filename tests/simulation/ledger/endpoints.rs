//! Endpoints, as each life of an engine must treat them: how many attempts at once, how many in a
//! span of time, and when they are left alone.

use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::endpoint::{BreakerPolicy, EndpointPolicy};

use crate::plan::Rules;

/// After how long without an attempt an engine may forget what it knew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

/// What was given to an endpoint in one life.
#[derive(Debug, Default)]
pub(super) struct Endpoint {
    in_flight: usize,
    begun: Vec<Timestamp>,
    breaker: Breaker,
}

/// What must follow from failures in a row.
#[derive(Debug, Default)]
struct Breaker {
    in_a_row: u32,
    /// Since it opened; `None` while it is closed.
    open: Option<Open>,
    /// How often it opened or closed: attempts from before tell nothing.
    epoch: u32,
    last_end: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    since: Timestamp,
    until: Timestamp,
    probes_failed: u32,
    is_probed: bool,
}

/// What an attempt that began is remembered by: the epoch, if its end tells something.
pub(super) type Ticket = Option<u32>;

impl Endpoint {
    /// Takes in that an attempt begins that was asked for at a time; tells what is wrong with it.
    pub(super) fn begin(
        &mut self,
        policy: &EndpointPolicy,
        rules: &Rules,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> (Ticket, Option<String>) {
        if self.in_flight == 0 {
            self.breaker.forget(now);
        }
        self.in_flight += 1;
        self.begun.push(now);
        let (ticket, early) = self.breaker.begin(rules, asked_at, now);
        let crowded = (self.in_flight > policy.concurrency)
            .then(|| format!("{} attempts at once", self.in_flight));
        (ticket, crowded.or_else(|| self.too_many(policy, rules, now)).or(early))
    }

    /// Whether any span of time that ends now has more attempts than the rate allows.
    fn too_many(&self, policy: &EndpointPolicy, rules: &Rules, now: Timestamp) -> Option<String> {
        let rate = policy.rate?;
        let later = (1_u128..).zip(self.begun.iter().rev());
        later.into_iter().find_map(|(count, first)| {
            let span = now.since(*first) + rules.leaps();
            let paid = span.as_micros() * u128::from(rate.events) / rate.per.as_micros();
            let most = paid + u128::from(rate.burst);
            (count > most).then(|| format!("{count} attempts in {span:?}, more than {most}"))
        })
    }

    pub(super) fn end(
        &mut self,
        ticket: Ticket,
        class: &str,
        policy: &BreakerPolicy,
        now: Timestamp,
    ) {
        self.in_flight -= 1;
        self.breaker.end(ticket, class, policy, now);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl Breaker {
    /// Forgets what happened long ago, with nothing in flight since.
    fn forget(&mut self, now: Timestamp) {
        let busy_at = self.open.map(|open| open.until).max(self.last_end);
        if busy_at.is_some_and(|at| now.since(at) >= FORGOTTEN_AFTER) {
            self.turn(None);
        }
    }

    fn begin(
        &mut self,
        rules: &Rules,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> (Ticket, Option<String>) {
        let Some(open) = &mut self.open else { return (Some(self.epoch), None) };
        // What was asked for before it opened may still come.
        if asked_at <= open.since {
            return (None, None);
        }
        if open.is_probed {
            return (None, Some("a second attempt while another is to tell how it is".to_owned()));
        }
        let is_early = now + rules.leaps() < open.until;
        open.is_probed = true;
        let early = || format!("an attempt, although it is left alone until {}", open.until);
        (Some(self.epoch), is_early.then(early))
    }

    fn end(&mut self, ticket: Ticket, class: &str, policy: &BreakerPolicy, now: Timestamp) {
        self.last_end = Some(now);
        if ticket != Some(self.epoch) {
            return;
        }
        let failed = match class {
            "accepted" | "rejected" | "gone" => false,
            "throttled" | "transient" => true,
            _ => {
                if let Some(open) = &mut self.open {
                    open.is_probed = false;
                }
                return;
            }
        };
        match self.open {
            Some(open) if failed => self.open(policy, open.probes_failed.saturating_add(1), now),
            Some(_) => self.turn(None),
            None if failed => {
                self.in_a_row += 1;
                if policy.enabled && self.in_a_row >= policy.failures {
                    self.open(policy, 0, now);
                }
            }
            None => self.in_a_row = 0,
        }
    }

    fn open(&mut self, policy: &BreakerPolicy, probes_failed: u32, now: Timestamp) {
        let pause = policy.pause.saturating_mul(2_u32.saturating_pow(probes_failed));
        let until = now + pause.min(policy.longest_pause);
        self.turn(Some(Open { since: now, until, probes_failed, is_probed: false }));
    }

    fn turn(&mut self, open: Option<Open>) {
        self.open = open;
        self.in_a_row = 0;
        self.epoch += 1;
    }
}
