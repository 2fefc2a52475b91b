//! An endpoint: who understands what comes, and how much of it is let in.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::document::{Problems, cut};
use crate::endpoint::Rate;
use crate::entropy::Entropy;
use crate::incoming::Receiver;
use crate::secret::Secret;

/// The longest name of an endpoint, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// How many characters a token has that nobody guesses.
const TOKEN_CHARACTERS: std::ops::RangeInclusive<usize> = 16..=256;

/// An endpoint that a sender of webhooks is given.
#[derive(Debug, Clone)]
pub struct IncomingEndpoint {
    pub(super) receiver: Arc<dyn Receiver>,
    pub(super) token: Option<Secret>,
    pub(super) rate: Option<Rate>,
    pub(super) origins: Vec<String>,
}

impl IncomingEndpoint {
    /// An endpoint whose requests a receiver verifies and understands.
    pub fn new(receiver: impl Receiver + 'static) -> Self {
        Self { receiver: Arc::new(receiver), token: None, rate: None, origins: Vec::new() }
    }

    /// Sets a token that has to stand in the URL, for senders that cannot prove who they are: 16 to
    /// 256 letters, digits, `-`, `.`, `_` and `~`. A wrong one is answered as an unknown endpoint
    /// is.
    pub fn with_token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// Sets how many requests are taken, by each process; as many as come if it is not set.
    pub fn with_rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Adds an origin whose web-hook handshake is answered with consent (CloudEvents, HTTP 1.1 Web
    /// Hooks 1.0, section 4): a name such as `eventgrid.azure.net`, or `*` for any. Without any
    /// there is no handshake. It protects others from being sent to, and says nothing of who sends.
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// The methods that it takes.
    pub(super) fn methods(&self) -> &'static str {
        if self.origins.is_empty() { "POST" } else { "POST, OPTIONS" }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        if let Some(token) = &self.token {
            let token = token.expose();
            let fits = TOKEN_CHARACTERS.contains(&token.len());
            if !fits || !token.iter().copied().all(is_unreserved) {
                let (least, most) = (TOKEN_CHARACTERS.start(), TOKEN_CHARACTERS.end());
                let expected = "letters, digits, -, ., _ or ~";
                problems.add("token", format!("expected {least} to {most} {expected}"));
            }
        }
        if let Some(rate) = &self.rate {
            rate.check("rate", problems);
        }
        for (n, origin) in self.origins.iter().enumerate() {
            let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
            if origin != "*" && (origin.is_empty() || !origin.bytes().all(is_host)) {
                let message = format!("expected the name of a host or *, found {:?}", cut(origin));
                problems.add(format!("origins[{n}]"), message);
            }
        }
    }
}

/// A token that nobody guesses: 32 random bytes as hex digits.
pub fn new_token(entropy: &dyn Entropy) -> Secret {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    let mut token = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(token, "{byte:02x}");
    }
    Secret::new(token)
}

/// Characters that mean themselves wherever they stand in a URL (RFC 3986, section 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

pub(super) fn check_name(name: &str, problems: &mut Problems) {
    let is_segment =
        |segment: &str| !["", ".", ".."].contains(&segment) && segment.bytes().all(is_unreserved);
    if name.len() > MAX_NAME_BYTES || !name.split('/').all(is_segment) {
        let expected = "segments of letters, digits, -, ., _ or ~, joined by /";
        let found = cut(name);
        problems.add("name", format!("expected {expected}, found {found:?}"));
    }
}

/// An endpoint in use.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) endpoint: IncomingEndpoint,
    /// From when on nothing is owed to the rate any more.
    free: Mutex<Timestamp>,
}

impl Entry {
    pub(super) fn new(name: String, endpoint: IncomingEndpoint) -> Self {
        Self { name, endpoint, free: Mutex::new(Timestamp::MIN) }
    }

    /// Counts a request; how long it would have to wait if it is one too many, and counts for
    /// nothing.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        let rate = self.endpoint.rate.as_ref()?;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, next) = rate.due(*free, now);
        if due > now {
            return Some(due.since(now));
        }
        *free = next;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;
    use crate::incoming::provider::{Provider, ProviderReceiver};
    use crate::signature::Verifier;

    fn endpoint() -> IncomingEndpoint {
        let verifier = Verifier::accept_unverified();
        let scope = "acme".parse().unwrap();
        IncomingEndpoint::new(ProviderReceiver::new(Provider::Quay, scope, verifier))
    }

    #[test]
    fn the_burst_is_let_in_and_then_as_much_as_the_rate_says() {
        let rate = Rate::per_second(10).with_burst(3);
        let entry = Entry::new("a".to_owned(), endpoint().with_rate(rate));
        let at = |millis: i64| Timestamp::from_unix_micros(1_000 * millis);
        assert_eq!([0, 0, 0].map(|millis| entry.wait(at(millis))), [None; 3]);
        assert_eq!(entry.wait(at(0)), Some(Duration::from_millis(100)));
        assert_eq!(entry.wait(at(60)), Some(Duration::from_millis(40)));
        assert_eq!(entry.wait(at(100)), None);
        assert_eq!(entry.wait(at(100)), Some(Duration::from_millis(100)));
        assert_eq!([10_000; 3].map(|millis| entry.wait(at(millis))), [None; 3]);
        assert!(entry.wait(at(10_000)).is_some());
    }

    #[test]
    fn a_new_token_is_one_that_an_endpoint_may_have_and_is_new_each_time() {
        let [one, other] = [new_token(&OsEntropy), new_token(&OsEntropy)];
        assert_eq!(one.expose().len(), 64);
        assert_ne!(one, other);
        let mut problems = Problems::default();
        endpoint().with_token(one).check(&mut problems);
        assert!(problems.is_empty(), "{problems}");
    }

    #[test]
    fn what_is_wrong_with_an_endpoint_is_told_all_at_once_without_its_token() {
        let mut problems = Problems::default();
        for name in ["", "/a", "a/", "a//b", "a/../b", "a b", "%41", &"a".repeat(257)] {
            let before = problems.len();
            check_name(name, &mut problems);
            assert_eq!(problems.len(), before + 1, "{name}");
        }
        for name in ["quay", "acme/harbor", "a.b-c_d~e"] {
            let before = problems.len();
            check_name(name, &mut problems);
            assert_eq!(problems.len(), before, "{name}");
        }
        let mut problems = Problems::default();
        let endpoint = endpoint()
            .with_token(Secret::new("short/one"))
            .with_rate(Rate::per_second(0))
            .with_origin("*")
            .with_origin("a b");
        endpoint.check(&mut problems);
        assert_eq!(
            problems.to_string(),
            "token: expected 16 to 256 letters, digits, -, ., _ or ~; \
             rate.events: expected 1 to 1000000, found 0; \
             origins[1]: expected the name of a host or *, found \"a b\""
        );
    }
}
