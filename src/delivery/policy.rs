//! How a trigger's deliveries are tried, and the one decision after each attempt.

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{
    Batch, Coalesce, DeadReason, Jitter, OnDead, Order, Outcome, RetrySchedule, Settlement,
    WhileSuspended,
};
use crate::clock::Timestamp;
use crate::document::{Field, Object, Problems, or_mismatch, span};

/// How deliveries are tried.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeliveryPolicy {
    /// The pauses between attempts.
    pub retry: RetrySchedule,
    /// How the pauses are spread.
    pub jitter: Jitter,
    /// How long one attempt may take in all.
    pub timeout: Duration,
    /// How old a delivery may grow before it is dead; no limit but the schedule's if `None`.
    pub max_age: Option<Duration>,
    /// Status codes that are final: a delivery that gets one is dead at once.
    pub final_statuses: Vec<u16>,
    /// Which deliveries go one after the other.
    pub order: Order,
    /// What a dead letter is to those behind it in the order.
    pub on_dead: OnDead,
    /// After how long a span of failure without a break the trigger is suspended; never if `None`.
    pub disable_after: Option<Duration>,
    /// What becomes of what is published while the trigger is suspended.
    pub while_suspended: WhileSuspended,
    /// How events are gathered to go in one request; each goes alone if `None`.
    pub batch: Option<Batch>,
    /// Which deliveries stand for others; each for itself if `None`.
    pub coalesce: Option<Box<Coalesce>>,
}

impl Default for DeliveryPolicy {
    /// [`RetrySchedule::standard`] with [`Jitter::Added`], 20 s for an attempt, no status final, no
    /// order, each event alone, and suspended after [`DISABLE_AFTER`](Self::DISABLE_AFTER).
    fn default() -> Self {
        Self {
            retry: RetrySchedule::standard(),
            jitter: Jitter::default(),
            timeout: Duration::from_secs(20),
            max_age: None,
            final_statuses: Vec::new(),
            order: Order::None,
            on_dead: OnDead::Skip,
            disable_after: Some(Self::DISABLE_AFTER),
            while_suspended: WhileSuspended::Park,
            batch: None,
            coalesce: None,
        }
    }
}

impl DeliveryPolicy {
    /// After how long a span of failure a trigger is suspended unless its policy says otherwise.
    pub const DISABLE_AFTER: Duration = Duration::from_secs(5 * 24 * 3600);
    /// The shortest span of failure after which a trigger is suspended.
    pub const MIN_DISABLE_AFTER: Duration = Duration::from_secs(60);
    /// The longest that `Retry-After` is followed.
    pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
    /// The most status codes that are final.
    pub const MAX_FINAL_STATUSES: usize = 64;
    /// The shortest time-out of an attempt: spans of time are written in milliseconds.
    pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
    /// The longest time-out of an attempt of a webhook.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(300);
    /// The longest time-out of an attempt of an action.
    pub const MAX_ACTION_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

    /// Sets the pauses between attempts.
    pub fn with_retry(mut self, retry: RetrySchedule) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how the pauses are spread.
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets how long one attempt may take.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how old a delivery may grow.
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Adds a status code that is final.
    pub fn with_final_status(mut self, status: u16) -> Self {
        self.final_statuses.push(status);
        self
    }

    /// Sets which deliveries go one after the other.
    pub fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets after how long a span of failure the trigger is suspended; `None` for never.
    pub fn with_disable_after(mut self, span: Option<Duration>) -> Self {
        self.disable_after = span;
        self
    }

    /// Sets what becomes of what is published while the trigger is suspended.
    pub fn with_while_suspended(mut self, what: WhileSuspended) -> Self {
        self.while_suspended = what;
        self
    }

    /// Sets what a dead letter is to those behind it in the order.
    pub fn with_on_dead(mut self, on_dead: OnDead) -> Self {
        self.on_dead = on_dead;
        self
    }

    /// Lets events be gathered to go in one request.
    pub fn with_batch(mut self, batch: Batch) -> Self {
        self.batch = Some(batch);
        self
    }

    /// Lets deliveries stand for others.
    pub fn with_coalesce(mut self, coalesce: Coalesce) -> Self {
        self.coalesce = Some(Box::new(coalesce));
        self
    }

    /// Decides what follows an attempt.
    ///
    /// `fraction` is drawn evenly from `0.0..1.0` for the jitter. Nothing here sleeps, reads a
    /// clock or rolls dice. `Retry-After` is a floor, capped at
    /// [`MAX_RETRY_AFTER`](Self::MAX_RETRY_AFTER); jitter only adds to it.
    pub fn settle(&self, attempt: &Settling<'_>, now: Timestamp, fraction: f64) -> Settlement {
        let refused = attempt.status.is_some_and(|status| self.final_statuses.contains(&status));
        match attempt.outcome {
            Outcome::Accepted => return Settlement::Delivered,
            Outcome::Gone => return Settlement::Dead(DeadReason::Gone),
            Outcome::Blocked => return Settlement::Dead(DeadReason::Blocked),
            Outcome::Invalid => return Settlement::Dead(DeadReason::Invalid),
            _ if refused => return Settlement::Dead(DeadReason::Refused),
            _ => {}
        }
        let Some(pause) = self.retry.pause_after(attempt.number) else {
            return Settlement::Dead(DeadReason::Exhausted);
        };
        let at = now + self.jitter.apply(pause, fraction).max(floor(attempt.outcome, fraction));
        match self.max_age {
            Some(age) if at > attempt.created_at + age => Settlement::Dead(DeadReason::TooOld),
            _ => Settlement::Retry { at },
        }
    }

    /// Whether a delivery made at a time has grown too old to be tried.
    pub fn is_too_old(&self, created_at: Timestamp, now: Timestamp) -> bool {
        self.max_age.is_some_and(|age| now > created_at + age)
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut value = json!({
            "retry": self.retry.to_value(),
            "jitter": self.jitter.as_str(),
            "timeout": span::print(self.timeout),
        });
        if let Some(age) = self.max_age {
            value["max_age"] = json!(span::print(age));
        }
        if !self.final_statuses.is_empty() {
            value["final_statuses"] = json!(self.final_statuses);
        }
        if self.order != Order::None || self.on_dead != OnDead::Skip {
            value["order"] = json!(self.order.as_str());
            value["on_dead"] = json!(self.on_dead);
        }
        if self.disable_after != Some(Self::DISABLE_AFTER) {
            value["disable_after"] = json!(DisableAfter(self.disable_after));
        }
        if self.while_suspended != WhileSuspended::Park {
            value["while_suspended"] = json!(self.while_suspended);
        }
        if let Some(batch) = self.batch {
            value["batch"] = batch.to_value();
        }
        if let Some(coalesce) = &self.coalesce {
            value["coalesce"] = coalesce.to_value();
        }
        value
    }

    pub(crate) fn check(&self, path: &str, longest: Duration, problems: &mut Problems) {
        self.retry.check(&format!("{path}.retry"), problems);
        if self.timeout < Self::MIN_TIMEOUT || self.timeout > longest {
            let (longest, found) = (span::print(longest), span::print(self.timeout));
            let message = format!("expected 1ms to {longest}, found {found}");
            problems.add(format!("{path}.timeout"), message);
        }
        if self.disable_after.is_some_and(|span| span < Self::MIN_DISABLE_AFTER) {
            let message = "expected 1m or more, or never";
            problems.add(format!("{path}.disable_after"), message);
        }
        if let Some(batch) = self.batch {
            let path = format!("{path}.batch");
            batch.check(&path, problems);
            if self.order != Order::None {
                let found = self.order.as_str();
                problems.add(path, format!("expected no order beside it, found {found}"));
            }
        }
        if let Some(coalesce) = &self.coalesce {
            self.check_coalesce(coalesce, &format!("{path}.coalesce"), problems);
        }
        let path = format!("{path}.final_statuses");
        let found = self.final_statuses.len();
        if found > Self::MAX_FINAL_STATUSES {
            let most = Self::MAX_FINAL_STATUSES;
            problems.add(&path, format!("expected at most {most} statuses, found {found}"));
        }
        for (n, status) in self.final_statuses.iter().enumerate() {
            if !(300..=599).contains(status) {
                let path = format!("{path}[{n}]");
                problems.add(path, format!("expected {}, found {status}", Status::EXPECTED));
            }
        }
    }
}

impl DeliveryPolicy {
    fn check_coalesce(&self, coalesce: &Coalesce, path: &str, problems: &mut Problems) {
        coalesce.check(path, problems);
        if self.batch.is_some() {
            problems.add(path, "expected no batch beside it, found one");
        }
        let wait = coalesce.longest_wait();
        if let Some(age) = self.max_age.filter(|age| *age <= wait) {
            let [wait, age] = [wait, age].map(span::print);
            let message =
                format!("expected a wait that is shorter than max_age, {age}, found {wait}");
            problems.add(path, message);
        }
    }
}

/// The attempt that [`DeliveryPolicy::settle`] decides about.
#[derive(Debug, Clone, Copy)]
pub struct Settling<'a> {
    /// Which attempt of the delivery it was, from 1 on.
    pub number: u32,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// The status code, if the endpoint answered.
    pub status: Option<u16>,
    /// When the delivery was made.
    pub created_at: Timestamp,
}

/// What the endpoint asked for at least, and a little more so that not all come back at once.
fn floor(outcome: &Outcome, fraction: f64) -> Duration {
    match outcome {
        Outcome::Throttled { retry_after: Some(wanted) } => {
            Jitter::Added.apply((*wanted).min(DeliveryPolicy::MAX_RETRY_AFTER), fraction)
        }
        _ => Duration::ZERO,
    }
}

impl Serialize for DeliveryPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl Field for DeliveryPolicy {
    const EXPECTED: &'static str = "a delivery policy (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let default = Self::default();
        let statuses: Option<Vec<Status>> = object.optional("final_statuses", problems);
        let policy = Self {
            retry: object.optional("retry", problems).unwrap_or(default.retry),
            jitter: object.optional("jitter", problems).unwrap_or_default(),
            timeout: object.optional("timeout", problems).unwrap_or(default.timeout),
            max_age: object.optional("max_age", problems),
            final_statuses: statuses.into_iter().flatten().map(|Status(code)| code).collect(),
            order: object.optional("order", problems).unwrap_or_default(),
            on_dead: object.optional("on_dead", problems).unwrap_or_default(),
            disable_after: object
                .optional("disable_after", problems)
                .map_or(default.disable_after, |DisableAfter(span)| span),
            while_suspended: object.optional("while_suspended", problems).unwrap_or_default(),
            batch: object.optional("batch", problems),
            coalesce: object.optional("coalesce", problems).map(Box::new),
        };
        object.finish(problems);
        Some(policy)
    }
}

/// A span after which a trigger is suspended, as JSON has it: `never` if there is none.
struct DisableAfter(Option<Duration>);

impl Serialize for DisableAfter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.map_or_else(|| "never".to_owned(), span::print))
    }
}

impl Field for DisableAfter {
    const EXPECTED: &'static str = "a span of time such as 5d, or never";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        if value.as_str() == Some("never") {
            return Some(Self(None));
        }
        Duration::read(value, path, problems).map(|span| Self(Some(span)))
    }
}

/// A status code as JSON has it; its range is checked with the policy.
struct Status(u16);

impl Field for Status {
    const EXPECTED: &'static str = "a status from 300 to 599";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let code = value.as_u64().and_then(|code| u16::try_from(code).ok()).map(Self);
        or_mismatch(code, &value, Self::EXPECTED, path, problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn settle(
        policy: &DeliveryPolicy,
        number: u32,
        outcome: &Outcome,
        status: Option<u16>,
    ) -> Settlement {
        policy.settle(&Settling { number, outcome, status, created_at: NOW }, NOW, 0.5)
    }

    fn seconds(n: u64) -> Settlement {
        Settlement::Retry { at: NOW + Duration::from_secs(n) }
    }

    #[test]
    fn each_outcome_leads_where_it_should() {
        let policy = DeliveryPolicy::default().with_jitter(Jitter::None).with_final_status(400);
        let cases = [
            (Outcome::Accepted, Some(200), Settlement::Delivered),
            (Outcome::Gone, Some(410), Settlement::Dead(DeadReason::Gone)),
            (Outcome::Blocked, None, Settlement::Dead(DeadReason::Blocked)),
            (Outcome::Invalid, None, Settlement::Dead(DeadReason::Invalid)),
            (Outcome::Rejected, Some(400), Settlement::Dead(DeadReason::Refused)),
            (Outcome::Rejected, Some(404), seconds(5)),
            (Outcome::Transient, None, seconds(5)),
            (Outcome::Throttled { retry_after: None }, Some(503), seconds(5)),
        ];
        for (outcome, status, expected) in cases {
            assert_eq!(settle(&policy, 1, &outcome, status), expected, "{outcome:?}");
        }
    }

    #[test]
    fn after_the_last_attempt_the_delivery_is_dead() {
        let policy = DeliveryPolicy::default();
        assert_eq!(
            settle(&policy, 10, &Outcome::Transient, None),
            Settlement::Dead(DeadReason::Exhausted)
        );
        assert_eq!(settle(&policy, 10, &Outcome::Accepted, None), Settlement::Delivered);
    }

    #[test]
    fn retry_after_is_a_capped_floor_that_jitter_only_adds_to() {
        let policy = DeliveryPolicy::default();
        for (wanted, least, most) in [(60, 60, 72), (1, 5, 6), (10_000_000, 86_400, 103_680)] {
            let outcome = Outcome::Throttled { retry_after: Some(Duration::from_secs(wanted)) };
            let Settlement::Retry { at } = settle(&policy, 1, &outcome, Some(429)) else {
                panic!()
            };
            let waited = at.since(NOW).as_secs();
            assert!((least..=most).contains(&waited), "{wanted} s gave {waited} s");
        }
    }

    #[test]
    fn a_span_of_failure_that_is_no_span_is_refused() {
        let problems_of = |span| {
            let policy = DeliveryPolicy::default().with_disable_after(Some(span));
            let mut problems = Problems::default();
            policy.check("policy", DeliveryPolicy::MAX_TIMEOUT, &mut problems);
            problems.to_string()
        };
        let expected = "policy.disable_after: expected 1m or more, or never";
        let too_short = problems_of(Duration::from_secs(59));
        assert!(too_short.contains(expected), "{too_short}");
        assert_eq!(problems_of(Duration::from_secs(60)), "");
    }

    #[test]
    fn a_retry_beyond_the_age_is_not_waited_for() {
        let policy = DeliveryPolicy::default().with_max_age(Duration::from_secs(4));
        assert_eq!(
            settle(&policy, 1, &Outcome::Transient, None),
            Settlement::Dead(DeadReason::TooOld)
        );
        let old_enough = policy.with_jitter(Jitter::None).with_max_age(Duration::from_secs(5));
        assert_eq!(settle(&old_enough, 1, &Outcome::Transient, None), seconds(5));
    }

    #[test]
    fn a_delivery_is_too_old_once_it_is_older_than_it_may_be() {
        let policy = DeliveryPolicy::default().with_max_age(Duration::from_secs(4));
        for (later, expected) in [(0, false), (3_999, false), (4_000, false), (4_001, true)] {
            let now = NOW + Duration::from_millis(later);
            assert_eq!(policy.is_too_old(NOW, now), expected, "{later} ms");
        }
        let long = NOW + Duration::from_secs(1_000_000_000);
        assert!(!DeliveryPolicy::default().is_too_old(NOW, long));
    }

    #[test]
    fn what_is_set_is_what_is_written() {
        let policy = DeliveryPolicy::default()
            .with_order(Order::Strict)
            .with_on_dead(OnDead::Block)
            .with_while_suspended(WhileSuspended::Drop)
            .with_batch(Batch::default().with_max_events(7))
            .with_disable_after(None);
        let written = policy.to_value();
        for (member, expected) in [
            ("order", json!("strict")),
            ("on_dead", json!("block")),
            ("while_suspended", json!("drop")),
            ("disable_after", json!("never")),
        ] {
            assert_eq!(written[member], expected, "{member}");
        }
        assert_eq!(written["batch"]["max_events"], 7);
        let ordered = DeliveryPolicy::default().with_order(Order::Strict).to_value();
        assert_eq!(ordered["order"], "strict");
        let read = Problems::gather(|problems| DeliveryPolicy::read(written, "", problems));
        assert_eq!(read, Ok(policy));
    }
}
