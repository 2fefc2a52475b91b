//! Deliverers: what carries a request to its endpoint.

pub mod address;
#[cfg(feature = "http")]
pub mod http;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::request::{Headers, Request, Response};

/// Carries requests to endpoints: HTTP, or whatever stands for it.
///
/// # Contract
/// 1. `deliver` sends the body byte by byte as it was given, since the signature covers it, and every
///    header field once, those of one name in their order. A field that [frames the
///    message](crate::request::frames_the_message) is refused as [`DeliverError::Invalid`] before
///    anything is dialled.
/// 2. It follows no redirect, retries nothing and makes no decision: it answers with what the
///    endpoint said, whatever the status.
/// 3. It ends within `request.timeout`, with [`DeliverError::Timeout`] if need be. The engine stops
///    waiting a little later anyway.
/// 4. It answers with the status as soon as the head of the response is complete: a body that
///    breaks off, drips or is too large costs its rest, not the status.
/// 5. An error tells what happened in words that a tenant may read: no secret, no internal address.
/// 6. Dropping the future abandons the request; nothing is left running for it, except what the
///    system has begun and cannot cancel (a name's look-up by `getaddrinfo`), which is bounded.
/// 7. Any number of calls run side by side.
#[async_trait]
pub trait Deliverer: fmt::Debug + Send + Sync + 'static {
    /// Makes the request.
    ///
    /// # Errors
    /// [`DeliverError`], where there is no status to answer with.
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError>;

    /// Says beforehand whether a URL could be dialled at all, for the comfort of who enters it. The
    /// check that counts is made when the connection is.
    ///
    /// # Errors
    /// What is wrong with the URL, for a person.
    fn check_url(&self, url: &url::Url) -> Result<(), String>;
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverError {
    /// The address may not be dialled. The delivery is dead.
    #[error("blocked: {reason}")]
    Blocked {
        /// Why, for a tenant to read.
        reason: String,
    },
    /// The request cannot be made: a header that is none, a URL without a host. The delivery is
    /// dead.
    #[error("the request cannot be made: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// The endpoint did not answer in time. Tried again.
    #[error("no answer within {}", span(.after))]
    Timeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// No connection: the name is unknown, the port closed, TLS failed, or it took too long. Tried
    /// again.
    #[error("no connection: {reason}")]
    Connect {
        /// Why.
        reason: String,
    },
    /// The connection broke before the response's head was complete. Tried again.
    #[error("the exchange broke off: {reason}")]
    Broken {
        /// Why.
        reason: String,
    },
}

fn span(span: &Duration) -> String {
    crate::delivery::print_span(*span)
}

/// How long an endpoint asks to be left alone: `Retry-After` in seconds or as an HTTP date (RFC
/// 9110, section 10.2.3). `None` if it does not, or not understandably.
pub fn retry_after(headers: &Headers, now: Timestamp) -> Option<Duration> {
    let text = std::str::from_utf8(headers.only("retry-after")?).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are as good as forever; the policy caps it.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = chrono::NaiveDateTime::parse_from_str(text, "%a, %d %b %Y %H:%M:%S GMT").ok()?;
    Some(Timestamp::from_datetime(date.and_utc()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Option<Duration> {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        retry_after(&[("Retry-After", text)].into_iter().collect(), now)
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(wanted("120"), Some(Duration::from_secs(120)));
        assert_eq!(wanted(" 0 "), Some(Duration::ZERO));
        assert_eq!(wanted("Mon, 23 Nov 2026 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wanted("Mon, 23 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wanted("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn anything_else_is_as_if_it_were_not_there() {
        for text in ["", "-5", "1.5", "soon", "Mon, 23 Nov 2026", "5 s"] {
            assert_eq!(wanted(text), None, "{text}");
        }
    }
}
