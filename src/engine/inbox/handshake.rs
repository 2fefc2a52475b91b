//! The web-hook handshake: whether a sender may send here, and how often (CloudEvents, HTTP 1.1 Web
//! Hooks 1.0, section 4).
//!
//! Consent is told in the answer. The URL of `WebHook-Request-Callback`, by which it could be told
//! later, is never called: whoever asks chooses it.

use super::endpoint::IncomingEndpoint;
use super::refusal::problem;
use crate::endpoint::Rate;
use crate::incoming::Answer;
use crate::request::Headers;

pub(super) fn answer(endpoint: &IncomingEndpoint, headers: &Headers) -> Answer {
    let Some(origin) = text(headers, "webhook-request-origin") else {
        return problem(400, "webhook-request-origin: expected it once and not empty");
    };
    let rate = match headers.all("webhook-request-rate").next() {
        None => None,
        Some(_) => match text(headers, "webhook-request-rate").and_then(|rate| rate.parse().ok()) {
            Some(0) | None => {
                let expected = "expected a whole number of requests a minute, of 1 or more";
                return problem(400, format!("webhook-request-rate: {expected}"));
            }
            Some(asked) => Some(asked),
        },
    };
    let Some(allowed) = allowed(endpoint, origin) else {
        return problem(403, "webhook-request-origin: this endpoint takes nothing of it");
    };
    Answer::new(200)
        .with_header("allow", endpoint.methods())
        .with_header("webhook-allowed-origin", allowed)
        .with_header("webhook-allowed-rate", allowed_rate(endpoint.rate.as_ref(), rate))
}

fn text<'a>(headers: &'a Headers, name: &'a str) -> Option<&'a str> {
    let text = std::str::from_utf8(headers.only(name)?).ok()?.trim();
    (!text.is_empty()).then_some(text)
}

/// What is told of an origin that may send: itself, or that any may.
fn allowed<'a>(endpoint: &'a IncomingEndpoint, origin: &str) -> Option<&'a str> {
    let is_it = |ours: &&String| ours.eq_ignore_ascii_case(origin) && *ours != "*";
    let any = || endpoint.origins.iter().find(|ours| *ours == "*");
    endpoint.origins.iter().find(is_it).or_else(any).map(String::as_str)
}

/// How many requests a minute are taken of those asked for; an asterisk is as many as come.
fn allowed_rate(rate: Option<&Rate>, asked: Option<u64>) -> String {
    let ours = rate.map(|rate| {
        let minute = u128::from(rate.events) * 60_000_000 / rate.per.as_micros().max(1);
        u64::try_from(minute).unwrap_or(u64::MAX).max(1)
    });
    match (ours, asked) {
        (Some(ours), Some(asked)) => ours.min(asked).to_string(),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (None, None) => "*".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_rate_told_is_what_is_asked_for_and_no_more_than_is_taken() {
        let rate = |events, seconds| Rate::new(events, Duration::from_secs(seconds));
        assert_eq!(allowed_rate(None, None), "*");
        assert_eq!(allowed_rate(None, Some(120)), "120");
        assert_eq!(allowed_rate(Some(&rate(2, 1)), None), "120");
        assert_eq!(allowed_rate(Some(&rate(2, 1)), Some(7)), "7");
        assert_eq!(allowed_rate(Some(&rate(2, 1)), Some(u64::MAX)), "120");
        assert_eq!(allowed_rate(Some(&rate(1, 3600)), Some(7)), "1");
    }
}
