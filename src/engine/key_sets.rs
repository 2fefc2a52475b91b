//! Key sets: the keys that issuers sign tokens with, fetched through the deliverer and kept for a
//! while.
//!
//! In: the verifier of a receiver and a request's header fields. Out: the verifier with the
//! issuer's keys. They are kept as long as the answer's `cache-control` says, within limits. A
//! token that names a key that they lack has them fetched anew, but not within [`REFRESH`] of the
//! last time, since nobody has checked the token yet. When they cannot be fetched, those that were
//! are used on, for a day at most.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use url::Url;

use super::fetched::{Answer, Fetched};
use super::{Core, IncomingError};
use crate::clock::Timestamp;
use crate::deliverer::DeliverError;
use crate::event::Scope;
use crate::request::{Headers, Method, Request, Response};
use crate::signature::Verifier;
use crate::signature::oidc::KeySet;

/// How long an issuer may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long keys are kept of which it is not said.
const UNSAID: Duration = Duration::from_secs(300);
/// The shortest and the longest that they are kept, whatever is said.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How soon at the earliest they are fetched anew for a key that they lack.
const REFRESH: Duration = Duration::from_secs(60);
/// How long an issuer that gave none is left alone.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// The keys of each issuer, by where they are.
#[derive(Debug, Default)]
pub(super) struct KeySets {
    fetched: Fetched<Url, Kept>,
    /// The last that were good, and when they were fetched.
    last: Mutex<HashMap<Url, (KeySet, Timestamp)>>,
}

#[derive(Debug, Clone)]
struct Kept {
    /// Or why there are none.
    keys: Result<KeySet, String>,
    asked_at: Timestamp,
}

impl Core {
    /// The verifier with the keys that it needs for a request; `None` if it needs none.
    pub(super) async fn with_keys(
        &self,
        verifier: &Verifier,
        headers: &Headers,
    ) -> Result<Option<Verifier>, IncomingError> {
        let Some(missing) = verifier.missing_keys(headers) else { return Ok(None) };
        let (url, claimed) = (missing.url, missing.key_id);
        let will_do = |kept: &Kept| {
            let lacks = |keys: &KeySet| claimed.as_ref().is_some_and(|key| !keys.has(key));
            let is_fresh = self.clock.now().since(kept.asked_at) < REFRESH;
            is_fresh || !kept.keys.as_ref().is_ok_and(lacks)
        };
        let fetch = self.fetch_keys(url);
        let (kept, _) = self.key_sets.fetched.get(url.clone(), &*self.clock, will_do, fetch).await;
        match kept.keys {
            Ok(keys) => Ok(Some(verifier.clone().with_key_set(keys))),
            Err(reason) => Err(IncomingError::NoKeys { reason }),
        }
    }

    async fn fetch_keys(&self, url: &Url) -> Answer<Kept> {
        let mut headers = Headers::new();
        headers.push("accept", "application/json");
        let request = Request {
            method: Method::Get,
            url: url.clone(),
            headers,
            body: [].into(),
            timeout: TIMEOUT,
            scope: Scope::root(),
            response_bytes: KeySet::MAX_BYTES + 1,
        };
        let answer = self.deliverer.deliver(request).await;
        let asked_at = self.clock.now();
        let (keys, lasts) = match read(answer) {
            Ok((keys, lasts)) => (Ok(self.key_sets.remember(url, keys, asked_at)), lasts),
            Err(reason) => (self.key_sets.recall(url, asked_at).ok_or(reason), PAUSE),
        };
        Answer { value: Kept { keys, asked_at }, until: asked_at + lasts }
    }
}

impl KeySets {
    fn remember(&self, url: &Url, keys: KeySet, now: Timestamp) -> KeySet {
        let mut last = self.last.lock().expect("no code panics while it looks");
        last.insert(url.clone(), (keys.clone(), now));
        keys
    }

    fn recall(&self, url: &Url, now: Timestamp) -> Option<KeySet> {
        let last = self.last.lock().expect("no code panics while it looks");
        let (keys, at) = last.get(url)?;
        (now.since(*at) < LONGEST).then(|| keys.clone())
    }
}

/// The keys in an answer, and how long they last.
fn read(answer: Result<Response, DeliverError>) -> Result<(KeySet, Duration), String> {
    let response = answer.map_err(|error| error.to_string())?;
    if response.status != 200 {
        return Err(format!("it answered {}", response.status));
    }
    let keys = KeySet::from_json(&response.body)
        .map_err(|problems| format!("it answered with no key set: {problems}"))?;
    Ok((keys, lasts(&response.headers)))
}

/// How long an answer may be kept (RFC 9111, sections 4.2.1 and 5.2.2).
fn lasts(headers: &Headers) -> Duration {
    let fields = headers.all("cache-control").map(String::from_utf8_lossy);
    let fields = fields.collect::<Vec<_>>().join(",").to_ascii_lowercase();
    let mut directives = fields.split(',').map(str::trim);
    let max_age = directives.find_map(|directive| directive.strip_prefix("max-age=")?.parse().ok());
    let age =
        headers.only("age").and_then(|age| std::str::from_utf8(age).ok()?.trim().parse().ok());
    let left = |age: Option<u64>| {
        let seconds: u64 = max_age?;
        Some(Duration::from_secs(seconds.saturating_sub(age.unwrap_or_default())))
    };
    let may_be_kept = !fields.contains("no-store") && !fields.contains("no-cache");
    left(age).filter(|_| may_be_kept).unwrap_or(UNSAID).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_as_long_as_is_said_within_limits() {
        let seconds = |fields: &[(&str, &str)]| lasts(&fields.iter().copied().collect()).as_secs();
        assert_eq!(seconds(&[]), 300);
        let google = ("Cache-Control", "public, max-age=21600, must-revalidate, no-transform");
        assert_eq!(seconds(&[google]), 21_600);
        assert_eq!(seconds(&[google, ("age", "600")]), 21_000);
        assert_eq!(seconds(&[google, ("age", "99999")]), 60);
        assert_eq!(seconds(&[("cache-control", "max-age=99999999")]), 86_400);
        assert_eq!(seconds(&[("cache-control", "max-age=0")]), 60);
        assert_eq!(seconds(&[("cache-control", "no-store, max-age=9000")]), 300);
        assert_eq!(seconds(&[("cache-control", "max-age=soon")]), 300);
    }
}
