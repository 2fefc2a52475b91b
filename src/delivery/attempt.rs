//! Attempts: one try of a delivery each, and what came of it.
//!
//! In: what a [`Deliverer`](crate::deliverer::Deliverer) answered. Out: an [`Outcome`] of a class
//! that says what follows. An attempt is kept as a log entry.

use std::time::Duration;

use serde::Serialize;

use crate::action::RunRef;
use crate::clock::Timestamp;
use crate::request::{DeliverError, Response, retry_after};

/// What came of an attempt, by what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "class", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Outcome {
    /// The target took it: 2xx, or an action that succeeded. The delivery is done.
    Accepted,
    /// The endpoint is gone: 410. The delivery is dead and its trigger is suspended.
    Gone,
    /// The endpoint asks for less: 429, 502, 503, 504. Tried again, not before it says.
    Throttled {
        /// How long the endpoint wants to be left alone.
        #[serde(skip)]
        retry_after: Option<Duration>,
    },
    /// It failed in a way that may pass: no connection, a time-out, 408, 425, 5xx. Tried again.
    Transient,
    /// The endpoint said no: any other status, redirects included. Tried again, unless the policy
    /// calls the status final.
    Rejected,
    /// The address may not be dialled. The delivery is dead.
    Blocked,
    /// It can never succeed: the request cannot be made, or an action said so. The delivery is
    /// dead.
    Invalid,
}

impl Outcome {
    /// The name of the class, as in JSON, for backends that store it.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Gone => "gone",
            Self::Throttled { .. } => "throttled",
            Self::Transient => "transient",
            Self::Rejected => "rejected",
            Self::Blocked => "blocked",
            Self::Invalid => "invalid",
        }
    }

    /// The outcome of a class by its name; `retry_after` counts for `throttled` alone.
    pub fn of_class(class: &str, retry_after: Option<Duration>) -> Option<Self> {
        let all = [
            Self::Accepted,
            Self::Gone,
            Self::Throttled { retry_after },
            Self::Transient,
            Self::Rejected,
            Self::Blocked,
            Self::Invalid,
        ];
        all.into_iter().find(|outcome| outcome.class() == class)
    }

    /// The class of an answer.
    ///
    /// `now` is what a `Retry-After` with a date is measured from.
    pub fn of(answer: &Result<Response, DeliverError>, now: Timestamp) -> Self {
        match answer {
            Ok(response) => match response.status {
                200..=299 => Self::Accepted,
                410 => Self::Gone,
                429 | 502..=504 => {
                    Self::Throttled { retry_after: retry_after(&response.headers, now) }
                }
                408 | 425 | 500..=599 => Self::Transient,
                _ => Self::Rejected,
            },
            Err(DeliverError::Blocked { .. }) => Self::Blocked,
            Err(DeliverError::Invalid { .. }) => Self::Invalid,
            Err(_) => Self::Transient,
        }
    }
}

/// One try of a delivery, as it is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// Which attempt of the delivery it was, from 1 on; a replay begins at 1 again. A number that
    /// is missing in the log is of an attempt whose outcome nobody could write down.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When its outcome was known.
    pub ended_at: Timestamp,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The status code, if the endpoint answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong, for people; holds no secret and no internal address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The beginning of what the endpoint answered, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// What was started elsewhere, if the target said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunRef>,
}

impl Attempt {
    /// The most of a response that is kept, in bytes.
    pub const MAX_RESPONSE_BYTES: usize = 1024;

    /// An attempt by its number and outcome.
    pub fn new(number: u32, started_at: Timestamp, ended_at: Timestamp, outcome: Outcome) -> Self {
        let (status, error, response, run) = (None, None, None, None);
        Self { number, started_at, ended_at, outcome, status, error, response, run }
    }

    /// Sets the status code.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Sets what went wrong, of which at most [`MAX_RESPONSE_BYTES`](Self::MAX_RESPONSE_BYTES) are
    /// kept.
    pub fn with_error(mut self, error: impl Into<String>) -> Self {
        let mut error = error.into().replace('\0', "\u{fffd}");
        let whole = |at: &usize| error.is_char_boundary(*at);
        let end = (0..=Self::MAX_RESPONSE_BYTES.min(error.len())).rev().find(whole);
        error.truncate(end.unwrap_or_default());
        self.error = Some(error);
        self
    }

    /// Keeps the beginning of what the endpoint answered, at most
    /// [`MAX_RESPONSE_BYTES`](Self::MAX_RESPONSE_BYTES) of it.
    pub fn with_response(mut self, body: &[u8]) -> Self {
        let kept = &body[..body.len().min(Self::MAX_RESPONSE_BYTES)];
        if !kept.is_empty() {
            let text = String::from_utf8_lossy(kept);
            self.response = Some(text.replace('\0', "\u{fffd}"));
        }
        self
    }

    /// Sets what was started elsewhere.
    pub fn with_run(mut self, run: RunRef) -> Self {
        self.run = Some(run);
        self
    }

    /// The attempt that an answer ends.
    pub fn answered(
        number: u32,
        started_at: Timestamp,
        ended_at: Timestamp,
        answer: &Result<Response, DeliverError>,
    ) -> Self {
        let attempt = Self::new(number, started_at, ended_at, Outcome::of(answer, ended_at));
        match answer {
            Ok(response) => attempt.with_status(response.status).with_response(&response.body),
            Err(error) => attempt.with_error(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000)
    }

    #[test]
    fn each_status_is_of_its_class() {
        let throttled = || Outcome::Throttled { retry_after: None };
        for (statuses, expected) in [
            (vec![200, 202, 204, 299], Outcome::Accepted),
            (vec![410], Outcome::Gone),
            (vec![429, 502, 503, 504], throttled()),
            (vec![408, 425, 500, 501, 505, 599], Outcome::Transient),
            (vec![199, 300, 301, 304, 399, 400, 401, 404, 409, 411, 499, 600], Outcome::Rejected),
        ] {
            for status in statuses {
                let answer = Ok(Response { status, ..Response::default() });
                assert_eq!(Outcome::of(&answer, now()), expected, "{status}");
            }
        }
        for (error, expected) in [
            (DeliverError::Blocked { reason: String::new() }, Outcome::Blocked),
            (DeliverError::Invalid { reason: String::new() }, Outcome::Invalid),
            (DeliverError::Connect { reason: String::new() }, Outcome::Transient),
        ] {
            assert_eq!(Outcome::of(&Err(error), now()), expected);
        }
    }

    #[test]
    fn a_class_is_read_by_the_name_that_it_is_written_by() {
        let retry_after = Some(Duration::from_secs(7));
        let throttled = Outcome::Throttled { retry_after };
        for (class, outcome) in [
            ("accepted", Outcome::Accepted),
            ("gone", Outcome::Gone),
            ("throttled", throttled),
            ("transient", Outcome::Transient),
            ("rejected", Outcome::Rejected),
            ("blocked", Outcome::Blocked),
            ("invalid", Outcome::Invalid),
        ] {
            assert_eq!(outcome.class(), class);
            assert_eq!(Outcome::of_class(class, retry_after), Some(outcome.clone()));
            assert_eq!(serde_json::json!(outcome)["class"], class);
        }
        assert_eq!(Outcome::of_class("lost", None), None);
    }

    #[test]
    fn of_what_is_answered_the_beginning_is_kept_and_of_nothing_nothing() {
        let attempt = Attempt::new(1, now(), now(), Outcome::Accepted);
        assert_eq!(attempt.clone().with_response(b"").response, None);
        assert_eq!(attempt.clone().with_response(b"a\0b").response.unwrap(), "a\u{fffd}b");
        let long = vec![b'x'; Attempt::MAX_RESPONSE_BYTES + 1];
        let kept = attempt.clone().with_response(&long).response.unwrap();
        assert_eq!(kept.len(), Attempt::MAX_RESPONSE_BYTES);
        let error = attempt.with_error("é".repeat(Attempt::MAX_RESPONSE_BYTES)).error.unwrap();
        assert_eq!(error.len(), Attempt::MAX_RESPONSE_BYTES);
    }
}
