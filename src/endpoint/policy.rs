//! What an endpoint may be given.

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::Rate;
use crate::document::{self, Field, Object, Problems, span};

/// The largest policy as JSON, in bytes.
const MAX_POLICY_BYTES: usize = 4096;

/// What an endpoint may be given.
///
/// ```
/// use artifact_triggers::endpoint::{EndpointPolicy, Rate};
///
/// let policy = EndpointPolicy::from_json(
///     br#"{"concurrency": 8, "rate": {"events": 100, "per": "1m"}, "breaker": {"pause": "10s"}}"#,
/// );
/// assert_eq!(policy.unwrap().concurrency, 8);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EndpointPolicy {
    /// How many deliveries are attempted at once.
    pub concurrency: usize,
    /// How many deliveries are begun in a span of time; without limit if `None`.
    pub rate: Option<Rate>,
    /// When it is left alone because it fails.
    pub breaker: BreakerPolicy,
}

impl Default for EndpointPolicy {
    /// 64 at once, without a limit in time, and the default [`BreakerPolicy`].
    fn default() -> Self {
        Self { concurrency: 64, rate: None, breaker: BreakerPolicy::default() }
    }
}

impl EndpointPolicy {
    /// The most deliveries that are attempted at once.
    pub const MAX_CONCURRENCY: usize = 1_000_000;

    /// Parses a policy from JSON. What is not given is as it is by default.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        let value = document::parse(json, MAX_POLICY_BYTES)?;
        let policy = Problems::gather(|problems| Self::read(value, "", problems))?;
        policy.validate()?;
        Ok(policy)
    }

    /// Sets how many deliveries are attempted at once.
    pub fn with_concurrency(mut self, deliveries: usize) -> Self {
        self.concurrency = deliveries;
        self
    }

    /// Sets how many deliveries are begun in a span of time.
    pub fn with_rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Sets when it is left alone because it fails.
    pub fn with_breaker(mut self, breaker: BreakerPolicy) -> Self {
        self.breaker = breaker;
        self
    }

    /// Checks it against every rule.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn validate(&self) -> Result<(), Problems> {
        Problems::gather(|problems| {
            let most = Self::MAX_CONCURRENCY;
            if self.concurrency == 0 || self.concurrency > most {
                let found = self.concurrency;
                problems.add("concurrency", format!("expected 1 to {most}, found {found}"));
            }
            if let Some(rate) = &self.rate {
                rate.check("rate", problems);
            }
            self.breaker.check("breaker", problems);
            Some(())
        })
    }

    fn to_value(&self) -> Value {
        let mut value =
            json!({"concurrency": self.concurrency, "breaker": self.breaker.to_value()});
        if let Some(rate) = self.rate {
            value["rate"] = rate.to_value();
        }
        value
    }
}

impl Serialize for EndpointPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl Field for EndpointPolicy {
    const EXPECTED: &'static str = "an endpoint policy (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let default = Self::default();
        let concurrency: Option<u64> = object.optional("concurrency", problems);
        let policy = Self {
            concurrency: concurrency.map_or(default.concurrency, |deliveries| {
                usize::try_from(deliveries).unwrap_or(usize::MAX)
            }),
            rate: object.optional("rate", problems),
            breaker: object.optional("breaker", problems).unwrap_or_default(),
        };
        object.finish(problems);
        Some(policy)
    }
}

/// When an endpoint is left alone because it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerPolicy {
    /// Whether it ever is.
    pub enabled: bool,
    /// After how many failures in a row.
    pub failures: u32,
    /// Or once so many of a hundred outcomes within the window are failures.
    pub percent: u32,
    /// How many outcomes there must be within the window for that.
    pub outcomes: u32,
    /// How long an outcome counts; in steps of a twelfth, so up to a twelfth less.
    pub window: Duration,
    /// How long it is left alone at first.
    pub pause: Duration,
    /// How long it is left alone at most, as the pause doubles each time it fails again.
    pub longest_pause: Duration,
}

impl Default for BreakerPolicy {
    /// After 10 failures in a row, or once 50 % of at least 20 outcomes in 60 s are; for 30 s, and
    /// up to 10 minutes.
    fn default() -> Self {
        Self {
            enabled: true,
            failures: 10,
            percent: 50,
            outcomes: 20,
            window: Duration::from_secs(60),
            pause: Duration::from_secs(30),
            longest_pause: Duration::from_secs(600),
        }
    }
}

impl BreakerPolicy {
    /// The longest window and the longest pause.
    pub const MAX_SPAN: Duration = Duration::from_secs(24 * 3600);

    /// Never leaves an endpoint alone.
    pub fn off() -> Self {
        Self { enabled: false, ..Self::default() }
    }

    /// Sets after how many failures in a row the endpoint is left alone.
    pub fn with_failures(mut self, failures: u32) -> Self {
        self.failures = failures;
        self
    }

    /// Sets of how many outcomes at least, within which window, how many of a hundred must be
    /// failures for the endpoint to be left alone.
    pub fn with_ratio(mut self, percent: u32, outcomes: u32, window: Duration) -> Self {
        (self.percent, self.outcomes, self.window) = (percent, outcomes, window);
        self
    }

    /// Sets how long the endpoint is left alone, at first and at most.
    pub fn with_pauses(mut self, first: Duration, longest: Duration) -> Self {
        (self.pause, self.longest_pause) = (first, longest);
        self
    }

    fn to_value(&self) -> Value {
        json!({
            "enabled": self.enabled,
            "failures": self.failures,
            "percent": self.percent,
            "outcomes": self.outcomes,
            "window": span::print(self.window),
            "pause": span::print(self.pause),
            "longest_pause": span::print(self.longest_pause),
        })
    }

    fn check(&self, path: &str, problems: &mut Problems) {
        let mut check = |name, found: u32, most: u32| {
            if found == 0 || found > most {
                problems
                    .add(format!("{path}.{name}"), format!("expected 1 to {most}, found {found}"));
            }
        };
        check("failures", self.failures, 1_000_000);
        check("percent", self.percent, 100);
        check("outcomes", self.outcomes, 1_000_000);
        for (name, found) in [("window", self.window), ("pause", self.pause)] {
            if found < Duration::from_millis(1) || found > Self::MAX_SPAN {
                let found = span::print(found);
                problems
                    .add(format!("{path}.{name}"), format!("expected 1ms to 1d, found {found}"));
            }
        }
        if self.longest_pause < self.pause || self.longest_pause > Self::MAX_SPAN {
            let (least, found) = (span::print(self.pause), span::print(self.longest_pause));
            let message = format!("expected {least} (the first pause) to 1d, found {found}");
            problems.add(format!("{path}.longest_pause"), message);
        }
    }
}

impl Field for BreakerPolicy {
    const EXPECTED: &'static str = "a breaker policy (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let default = Self::default();
        let mut number = |name, default| object.optional(name, problems).map_or(default, cut);
        let failures = number("failures", default.failures);
        let percent = number("percent", default.percent);
        let outcomes = number("outcomes", default.outcomes);
        let pause = object.optional("pause", problems).unwrap_or(default.pause);
        let policy = Self {
            enabled: object.optional("enabled", problems).unwrap_or(default.enabled),
            failures,
            percent,
            outcomes,
            window: object.optional("window", problems).unwrap_or(default.window),
            pause,
            longest_pause: object
                .optional("longest_pause", problems)
                .unwrap_or(default.longest_pause.max(pause)),
        };
        object.finish(problems);
        Some(policy)
    }
}

/// A number that is cut to what fits; its range is checked with the policy.
pub(super) fn cut(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
