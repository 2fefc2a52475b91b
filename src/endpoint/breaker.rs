//! The circuit breaker of an endpoint: leaves it alone while it fails, and asks with one delivery
//! at a time whether it is well again.
//!
//! In: what came of attempts. Out: whether another may be begun. Times are those of the endpoint's
//! own [`Steady`](super::steady::Steady) clock.

use serde::Serialize;

use super::BreakerPolicy;
use super::steady::micros;
use crate::delivery::{Jitter, Outcome};

/// Where a breaker stands.
///
/// ```text
///            a limit of failures is reached           the pause ends
///  closed ────────────────────────────────▶ open ───────────────────▶ half-open
///     ▲                                      ▲                         │     ▲
///     │                                      │          a delivery is  │     │ no answer
///     │                                      │ failure      begun      ▼     │ to be had
///     │                                      └─────────────────────── probing┘
///     └─────────────────────────────────────────────────────────────────┘ success
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Deliveries are begun.
    Closed,
    /// None is begun: they wait.
    Open,
    /// One may be begun, to see.
    HalfOpen,
    /// That one is under way; no other is begun.
    Probing,
}

impl BreakerState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Open, Self::HalfOpen, Self::Probing];
}

/// What an outcome says of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answers, be it with a no.
    Success,
    /// It does not, or asks for less.
    Failure,
    /// Nothing.
    Nothing,
}

impl Verdict {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted | Outcome::Rejected | Outcome::Gone => Self::Success,
            Outcome::Throttled { .. } | Outcome::Transient => Self::Failure,
            Outcome::Blocked | Outcome::Invalid => Self::Nothing,
        }
    }
}

/// The right of an attempt to be heard: its outcome counts as long as the breaker is where it was.
/// `None` for one that was begun although none may be.
pub(super) type Ticket = Option<u32>;

#[derive(Debug, Clone, Default)]
pub(super) struct Breaker {
    phase: Phase,
    /// When it came to where it stands; `None` if it never was anywhere else.
    since: Option<u64>,
    /// How often it opened or closed: outcomes of attempts from before do not count.
    epoch: u32,
    /// How many probes failed since it was closed.
    probes_failed: u32,
    window: Window,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed { in_a_row: u32 },
    Open { until: u64 },
    HalfOpen,
    Probing,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Closed { in_a_row: 0 }
    }
}

impl Breaker {
    /// Lets time pass.
    pub(super) fn advance(&mut self, at: u64) {
        if let Phase::Open { until } = self.phase
            && until <= at
        {
            self.phase = Phase::HalfOpen;
            self.since = Some(until);
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen => BreakerState::HalfOpen,
            Phase::Probing => BreakerState::Probing,
        }
    }

    pub(super) fn since(&self) -> Option<u64> {
        self.since
    }

    /// When its pause ends, if it is open.
    pub(super) fn open_until(&self) -> Option<u64> {
        match self.phase {
            Phase::Open { until } => Some(until),
            _ => None,
        }
    }

    /// How many may be begun now.
    pub(super) fn room(&self) -> usize {
        match self.phase {
            Phase::Closed { .. } => usize::MAX,
            Phase::HalfOpen => 1,
            Phase::Open { .. } | Phase::Probing => 0,
        }
    }

    /// Counts an attempt.
    pub(super) fn begin(&mut self, at: u64) -> Ticket {
        match self.phase {
            Phase::Closed { .. } => Some(self.epoch),
            Phase::HalfOpen => {
                self.phase = Phase::Probing;
                self.since = Some(at);
                Some(self.epoch)
            }
            Phase::Open { .. } | Phase::Probing => None,
        }
    }

    /// Takes in what came of an attempt.
    pub(super) fn end(
        &mut self,
        ticket: Ticket,
        verdict: Verdict,
        policy: &BreakerPolicy,
        at: u64,
        fraction: f64,
    ) {
        if ticket != Some(self.epoch) {
            return;
        }
        match (self.phase, verdict) {
            (Phase::Closed { .. }, Verdict::Success) => {
                self.window.add(at, policy, false);
                self.phase = Phase::default();
            }
            (Phase::Closed { in_a_row }, Verdict::Failure) => {
                self.window.add(at, policy, true);
                let in_a_row = in_a_row.saturating_add(1);
                self.phase = Phase::Closed { in_a_row };
                if in_a_row >= policy.failures || self.window.is_too_bad(policy) {
                    self.open(policy, at, fraction);
                }
            }
            (Phase::Probing, Verdict::Success) => self.turn(Phase::default(), at),
            (Phase::Probing, Verdict::Failure) => {
                self.probes_failed = self.probes_failed.saturating_add(1);
                self.open(policy, at, fraction);
            }
            (Phase::Probing, Verdict::Nothing) => {
                self.phase = Phase::HalfOpen;
                self.since = Some(at);
            }
            _ => {}
        }
    }

    fn open(&mut self, policy: &BreakerPolicy, at: u64, fraction: f64) {
        if !policy.enabled {
            return;
        }
        let failed = self.probes_failed;
        let doubled = policy.pause.saturating_mul(2_u32.saturating_pow(failed));
        let pause = Jitter::Added.apply(doubled.min(policy.longest_pause), fraction);
        self.turn(Phase::Open { until: at.saturating_add(micros(pause)) }, at);
        self.probes_failed = failed;
    }

    /// Goes where nothing that began before counts.
    fn turn(&mut self, phase: Phase, at: u64) {
        let epoch = self.epoch.wrapping_add(1);
        *self = Self { phase, since: Some(at), epoch, ..Self::default() };
    }

    /// Whether nothing is remembered.
    pub(super) fn is_fresh(&mut self, policy: &BreakerPolicy, at: u64) -> bool {
        matches!(self.phase, Phase::Closed { in_a_row: 0 }) && self.window.is_empty(policy, at)
    }

    /// Whether nothing has happened in it for a while.
    pub(super) fn is_stale(&self, at: u64, after: u64) -> bool {
        let since = self.since.unwrap_or(0);
        self.open_until().is_none() && at.saturating_sub(since) >= after
    }

    /// Forgets all but what keeps late outcomes from counting.
    pub(super) fn forget(&mut self) {
        *self = Self { epoch: self.epoch.wrapping_add(1), ..Self::default() };
    }
}

/// How many slices a window has.
const SLICES: usize = 12;

/// The outcomes of the last span of time, by slices of it.
#[derive(Debug, Clone, Default)]
struct Window {
    /// How many outcomes each slice has, and how many of them are failures; by their number modulo
    /// their count.
    slices: [(u32, u32); SLICES],
    /// The number of the newest slice.
    newest: u64,
}

impl Window {
    fn add(&mut self, at: u64, policy: &BreakerPolicy, failed: bool) {
        self.advance(at, policy);
        let slice = &mut self.slices[place(self.newest)];
        slice.0 = slice.0.saturating_add(1);
        slice.1 = slice.1.saturating_add(u32::from(failed));
    }

    /// Drops what is older than the window.
    fn advance(&mut self, at: u64, policy: &BreakerPolicy) {
        let number = at / (micros(policy.window) / SLICES as u64).max(1);
        let passed = number.saturating_sub(self.newest);
        for ahead in 1..=passed.min(SLICES as u64) {
            self.slices[place(number - passed + ahead)] = (0, 0);
        }
        self.newest = self.newest.max(number);
    }

    fn is_too_bad(&self, policy: &BreakerPolicy) -> bool {
        let (all, failed) = self.slices.iter().fold((0_u64, 0_u64), |(all, failed), slice| {
            (all + u64::from(slice.0), failed + u64::from(slice.1))
        });
        all >= u64::from(policy.outcomes) && failed * 100 >= all * u64::from(policy.percent)
    }

    fn is_empty(&mut self, policy: &BreakerPolicy, at: u64) -> bool {
        self.advance(at, policy);
        self.slices.iter().all(|slice| slice.0 == 0)
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % SLICES as u64).expect("it is less than the number of slices")
}
