//! The inbox: named endpoints that incoming webhooks are sent to, whatever serves HTTP.
//!
//! In: method, path, header fields and body of a request. Out: the [`Answer`] to it. A request is
//! answered with success only after all that it tells is stored; the
//! [manual](crate::manual::receivers) lists the statuses. With feature `web`, `Inbox::router`
//! serves one with axum.
//!
//! ```
//! use artifact_triggers::engine::Engine;
//! use artifact_triggers::engine::inbox::{Inbox, IncomingEndpoint};
//! use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
//! use artifact_triggers::request::Headers;
//! use artifact_triggers::secret::Secret;
//! use artifact_triggers::signature::Verifier;
//! use artifact_triggers::storage::MemoryStorage;
//!
//! # #[cfg(not(feature = "tokio"))] fn main() {}
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::builder(MemoryStorage::new()).build().await?;
//! let verifier = Verifier::accept_unverified();
//! let receiver = ProviderReceiver::new(Provider::Quay, "acme/platform".parse()?, verifier);
//! let inbox = Inbox::new();
//! // Quay signs nothing, so its URL has to be one that nobody guesses.
//! let token = Secret::new("Vb2mV3ZxK0yqTtG7c1uJ");
//! inbox.insert("quay", IncomingEndpoint::new(receiver).with_token(token))?;
//!
//! let body = br#"{"name": "app", "repository": "acme/app", "namespace": "acme",
//!                 "docker_url": "quay.io/acme/app", "updated_tags": ["1.2"]}"#;
//! let path = "/quay/Vb2mV3ZxK0yqTtG7c1uJ";
//! let answer = inbox.answer(&engine, "POST", path, &Headers::new(), body).await;
//! assert_eq!(answer.status, 202);
//! let answer = inbox.answer(&engine, "POST", "/quay", &Headers::new(), body).await;
//! assert_eq!(answer.status, 404);
//! # Ok(())
//! # }
//! ```

mod endpoint;
mod handshake;
mod refusal;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

pub use endpoint::{IncomingEndpoint, new_token};

use super::Engine;
use crate::document::Problems;
use crate::incoming::{Answer, Incoming};
use crate::observer::Transition;
use crate::request::Headers;
use crate::secret::Secret;
use endpoint::{Entry, check_name};
pub(super) use refusal::of as refusal;
pub(crate) use refusal::problem;

/// The most header fields of a request that is looked at.
pub const MAX_HEADERS: usize = 100;

/// Named endpoints that incoming webhooks are sent to.
///
/// Clones share one inbox; endpoints come and go while it is in use.
#[derive(Debug, Clone, Default)]
pub struct Inbox {
    endpoints: Arc<RwLock<HashMap<String, Arc<Entry>>>>,
}

/// A request that an endpoint wants to see the body of.
#[derive(Debug)]
pub struct Admitted {
    entry: Arc<Entry>,
    /// Whether its token stood in the query, where caches may see it.
    is_by_query: bool,
}

impl Admitted {
    /// Tells of an answer that refuses the request.
    pub(crate) fn refused(&self, engine: &Engine, answer: Answer) -> Answer {
        told(engine, Some(&self.entry.name), answer)
    }

    /// The largest body that the endpoint takes, in bytes. Nobody needs to read on behind it.
    pub fn max_body_bytes(&self) -> usize {
        self.entry.endpoint.receiver.max_body_bytes()
    }
}

impl Inbox {
    /// An inbox without endpoints.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an endpoint, or puts it in the place of the one of its name.
    ///
    /// Its requests go to its name, such as `/quay` or `/acme/harbor`, followed by its token if it
    /// has one: `/quay/TOKEN`, or `/quay?access_token=TOKEN`.
    ///
    /// # Errors
    /// Every problem at once, of `name`, `token`, `rate` and `origins`.
    pub fn insert(
        &self,
        name: impl Into<String>,
        endpoint: IncomingEndpoint,
    ) -> Result<(), Problems> {
        let name = name.into();
        Problems::gather(|problems| {
            check_name(&name, problems);
            endpoint.check(problems);
            Some(())
        })?;
        let entry = Arc::new(Entry::new(name.clone(), endpoint));
        self.endpoints.write().unwrap_or_else(PoisonError::into_inner).insert(name, entry);
        Ok(())
    }

    /// Removes an endpoint. Says whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        self.endpoints.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    /// Answers a request. The path is what the inbox is told of it, below where it is mounted, with
    /// the query if there is one.
    ///
    /// # Cancel safety
    /// As [`Engine::receive`].
    pub async fn answer(
        &self,
        engine: &Engine,
        method: &str,
        path: &str,
        headers: &Headers,
        body: &[u8],
    ) -> Answer {
        match self.admit(engine, method, path, headers) {
            Ok(admitted) => self.take(engine, &admitted, headers, body).await,
            Err(answer) => answer,
        }
    }

    /// Looks at a request before its body is read. It counts for the endpoint's rate, whoever sent
    /// it: reading and verifying are what costs.
    ///
    /// # Errors
    /// The answer, if there is nothing to read: the request is refused, or is a handshake.
    pub fn admit(
        &self,
        engine: &Engine,
        method: &str,
        path: &str,
        headers: &Headers,
    ) -> Result<Admitted, Answer> {
        if headers.len() > MAX_HEADERS {
            let detail = format!("expected at most {MAX_HEADERS} header fields");
            return Err(told(engine, None, problem(431, detail)));
        }
        let Some(admitted) = self.find(path) else {
            return Err(told(engine, None, problem(404, "there is no such endpoint")));
        };
        let endpoint = &admitted.entry.endpoint;
        let is_handshake = method == "OPTIONS" && !endpoint.origins.is_empty();
        if method != "POST" && !is_handshake {
            let detail = format!("expected one of {}", endpoint.methods());
            let answer = problem(405, detail).with_header("allow", endpoint.methods());
            return Err(admitted.refused(engine, answer));
        }
        if let Some(wait) = admitted.entry.wait(engine.core.clock.now()) {
            let detail = "more requests than this endpoint takes";
            return Err(admitted.refused(engine, later(problem(429, detail), wait)));
        }
        if is_handshake {
            let answer = handshake::answer(endpoint, headers);
            let is_refused = answer.status >= 400;
            return Err(if is_refused { admitted.refused(engine, answer) } else { answer });
        }
        Ok(admitted)
    }

    /// Answers a request that was [admitted](Self::admit), by its body.
    ///
    /// # Cancel safety
    /// As [`Engine::receive`].
    pub async fn take(
        &self,
        engine: &Engine,
        admitted: &Admitted,
        headers: &Headers,
        body: &[u8],
    ) -> Answer {
        let receiver = &*admitted.entry.endpoint.receiver;
        let endpoint = Some(admitted.entry.name.as_str());
        let answer = engine.answer_at(endpoint, receiver, Incoming { headers, body }).await;
        if admitted.is_by_query && (200..300).contains(&answer.status) {
            return answer.with_header("cache-control", "private");
        }
        answer
    }

    /// The endpoint that a path leads to, if its token fits.
    fn find(&self, path: &str) -> Option<Admitted> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = path.strip_prefix('/').unwrap_or(path);
        let by_query = query.split('&').find_map(|pair| pair.strip_prefix("access_token="));
        let by_path = path.rsplit_once('/').unwrap_or((path, ""));
        let named = |name: &str, token: &str| {
            let endpoints = self.endpoints.read().unwrap_or_else(PoisonError::into_inner);
            let entry = endpoints.get(name).cloned();
            drop(endpoints);
            // A token is compared whether or not there is one, so that time does not tell.
            let nothing = Secret::new(Vec::new());
            let expected = entry.as_ref().and_then(|entry| entry.endpoint.token.as_ref());
            let fits = expected.unwrap_or(&nothing).matches(token.as_bytes());
            entry.filter(|entry| entry.endpoint.token.is_none() || fits)
        };
        let whole = named(path, by_query.unwrap_or_default());
        let below = named(by_path.0, by_path.1).filter(|entry| entry.endpoint.token.is_some());
        let is_by_query = whole.is_some() && by_query.is_some();
        Some(Admitted { entry: whole.or(below)?, is_by_query })
    }
}

/// Tells observers of an answer that refuses a request.
fn told(engine: &Engine, endpoint: Option<&str>, answer: Answer) -> Answer {
    let status = answer.status;
    engine.core.observers.tell(&Transition::RequestRefused { endpoint, status });
    answer
}

/// An answer that asks to come again.
pub(crate) fn later(answer: Answer, wait: Duration) -> Answer {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    answer.with_header("retry-after", seconds.max(1).to_string())
}
