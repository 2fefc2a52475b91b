//! How many deliveries an endpoint gets in a span of time: a token bucket in whole numbers.
//!
//! It counts in units of a microsecond divided by the number of events, so that nothing is ever
//! rounded: each event costs as many units as the span has microseconds, and each microsecond pays
//! as many as there are events.

use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::document::{Field, Object, Problems, span};

/// So many deliveries in a span of time.
///
/// In any window of length `w`, wherever it begins and both ends included, at most
/// `burst + w × events / per` deliveries are begun, rounded down. With 100 per second and a burst
/// of 10 these are 110 in any second, and in the long run 100 per second.
///
/// ```
/// use artifact_triggers::endpoint::Rate;
///
/// let rate = Rate::per_second(100).with_burst(1);
/// assert_eq!(serde_json::to_string(&rate).unwrap(), r#"{"burst":1,"events":100,"per":"1s"}"#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// How many deliveries.
    pub events: u32,
    /// In which span of time.
    pub per: Duration,
    /// How many at once, after a time without any.
    pub burst: u32,
}

impl Rate {
    /// The most deliveries in a span, and the most at once.
    pub const MAX_EVENTS: u32 = 1_000_000;
    /// The shortest span.
    pub const MIN_PER: Duration = Duration::from_millis(1);
    /// The longest span.
    pub const MAX_PER: Duration = Duration::from_secs(24 * 3600);

    /// So many deliveries in a span of time, at most a tenth of them at once, and at least one.
    pub fn new(events: u32, per: Duration) -> Self {
        Self { events, per, burst: default_burst(events) }
    }

    /// So many deliveries a second, at most a tenth of them at once, and at least one.
    pub fn per_second(events: u32) -> Self {
        Self::new(events, Duration::from_secs(1))
    }

    /// Sets how many deliveries may be begun at once.
    pub fn with_burst(mut self, deliveries: u32) -> Self {
        self.burst = deliveries;
        self
    }

    /// When something is due that comes now, so that at most the burst is due at once and then as
    /// much as the rate says; and from when on nothing is owed any more, to be given the next time.
    pub fn due(&self, free: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
        let each = self.per / self.events.max(1);
        let free = free.max(now) + each;
        (free.before(each * self.burst.max(1)).max(now), free)
    }

    pub(super) fn to_value(self) -> Value {
        json!({"events": self.events, "per": span::print(self.per), "burst": self.burst})
    }

    pub(crate) fn check(&self, path: &str, problems: &mut Problems) {
        for (name, found) in [("events", self.events), ("burst", self.burst)] {
            if found == 0 || found > Self::MAX_EVENTS {
                let message = format!("expected 1 to {}, found {found}", Self::MAX_EVENTS);
                problems.add(format!("{path}.{name}"), message);
            }
        }
        if self.per < Self::MIN_PER || self.per > Self::MAX_PER {
            let found = span::print(self.per);
            problems.add(format!("{path}.per"), format!("expected 1ms to 1d, found {found}"));
        }
    }

    /// What one event costs.
    fn cost(&self) -> u128 {
        self.per.as_micros().max(1)
    }

    /// What may be owed at most.
    fn most(&self) -> u128 {
        self.cost() * u128::from(self.burst)
    }

    /// What time pays.
    fn paid(&self, micros: u64) -> u128 {
        u128::from(micros) * u128::from(self.events)
    }
}

fn default_burst(events: u32) -> u32 {
    (events / 10).max(1)
}

impl serde::Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl Field for Rate {
    const EXPECTED: &'static str = "a rate (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let events = object.required("events", problems).map(super::policy::cut);
        let per = object.required("per", problems);
        let burst = object.optional("burst", problems).map(super::policy::cut);
        object.finish(problems);
        let (events, per) = (events?, per?);
        Some(Self { events, per, burst: burst.unwrap_or_else(|| default_burst(events)) })
    }
}

/// What an endpoint owes for the deliveries that it got. Times are those of the endpoint's own
/// [`Steady`](super::steady::Steady) clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bucket {
    debt: u128,
    as_of: u64,
}

impl Bucket {
    /// Lets time pay.
    pub(super) fn advance(&mut self, rate: &Rate, at: u64) {
        self.debt = self.debt.saturating_sub(rate.paid(at.saturating_sub(self.as_of)));
        self.as_of = self.as_of.max(at);
    }

    /// How many deliveries may be begun.
    pub(super) fn tokens(&self, rate: &Rate) -> u32 {
        let left = rate.most().saturating_sub(self.debt) / rate.cost();
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// Counts a delivery.
    pub(super) fn take(&mut self, rate: &Rate) {
        self.debt = self.debt.saturating_add(rate.cost());
    }

    /// Counts a delivery no longer that was counted at a time and never sent. What that time has
    /// paid since may have been paid for it, so it is kept: then the limit holds for the others.
    pub(super) fn give_back(&mut self, rate: &Rate, taken_at: u64) {
        let paid = rate.paid(self.as_of.saturating_sub(taken_at));
        self.debt = self.debt.saturating_sub(rate.cost().saturating_sub(paid));
    }

    /// When a delivery may be begun.
    pub(super) fn opens_at(&self, rate: &Rate) -> u64 {
        let owed = (self.debt + rate.cost()).saturating_sub(rate.most());
        let micros = owed.div_ceil(u128::from(rate.events.max(1)));
        self.as_of.saturating_add(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Whether nothing is owed.
    pub(super) fn is_full(&self) -> bool {
        self.debt == 0
    }
}
