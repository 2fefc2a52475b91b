//! The receiver for whoever sends JSON: a small document says what of it becomes what.
//!
//! In: a [`Mapping`], and verified bodies that are JSON. Out: notices, one a body or, with `each`,
//! one a part of it. No code runs and nothing is fetched: a mapping has pointers, texts and tables.
//! The [manual](crate::manual::mapping) tells all of its members, and what to paste into a build
//! system.

mod document;
mod read;
pub mod ready;
mod template;

use super::told::{self, Telling};
use super::{KeptHeaders, Notice, ParseError, Receiver};
use crate::clock::Timestamp;
use crate::document as json;
use crate::event::Scope;
use crate::request::Headers;
use crate::signature::{Fingerprint, Verified, Verifier};

pub use document::Mapping;

/// The most events that a body may hold.
pub const MAX_EVENTS: usize = 1_000;

/// Receives any JSON, by a [`Mapping`].
///
/// ```
/// use artifact_triggers::clock::Timestamp;
/// use artifact_triggers::incoming::mapping::{Mapping, MappingReceiver};
/// use artifact_triggers::incoming::{Incoming, Receiver};
/// use artifact_triggers::{request::Headers, signature::Verifier};
///
/// let mapping = Mapping::from_json(br#"{
///     "source": "nightly-build",
///     "kind": {"at": "/outcome", "table": {"pushed": "artifact.ingested"}},
///     "artifact": {
///         "package_type": "oci", "registry": "registry.acme.example",
///         "repository": "{/project}/{/image}", "name": "{/image}", "tags": ["{/tag|latest}"]
///     }
/// }"#)?;
/// // Who else can reach the endpoint? Otherwise take a verifier that checks something.
/// let verifier = Verifier::accept_unverified();
/// let receiver = MappingReceiver::new(mapping, "acme/platform".parse()?, verifier);
/// let body = br#"{"outcome": "pushed", "project": "acme", "image": "app", "tag": "1.2"}"#;
/// let notices = receiver.open(Incoming { headers: &Headers::new(), body }, Timestamp::now())?;
/// let event = &notices[0].event;
/// assert_eq!(event.kind.as_str(), "artifact.ingested");
/// assert_eq!(event.artifact.as_ref().unwrap().repository.as_deref(), Some("acme/app"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct MappingReceiver {
    mapping: Mapping,
    scope: Scope,
    verifier: Verifier,
    max_body_bytes: usize,
    kept: KeptHeaders,
}

impl MappingReceiver {
    /// A receiver whose events belong to a scope.
    pub fn new(mapping: Mapping, scope: Scope, verifier: Verifier) -> Self {
        let (max_body_bytes, kept) = (super::MAX_BODY_BYTES, KeptHeaders::default());
        Self { mapping, scope, verifier, max_body_bytes, kept }
    }

    /// Sets which header fields stay with the events, in `data.headers`; none if it is not set.
    pub fn with_kept_headers(mut self, kept: KeptHeaders) -> Self {
        self.kept = kept;
        self
    }

    /// Sets the largest body taken, in bytes; [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES) if it is
    /// not set.
    pub fn with_max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body_bytes = limit;
        self
    }
}

impl Receiver for MappingReceiver {
    fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    fn fingerprint(&self, body: Verified<'_>) -> Option<Fingerprint> {
        if !self.mapping.is_anonymous() {
            return body.fingerprint();
        }
        Some(told::fingerprint(self.mapping.source(), None, body))
    }

    fn parse(
        &self,
        body: Verified<'_>,
        headers: &Headers,
        now: Timestamp,
    ) -> Result<Vec<Notice>, ParseError> {
        let value = json::parse_foreign(body.body(), self.max_body_bytes)?;
        let telling = Telling {
            provider: self.mapping.source(),
            scope: &self.scope,
            registry: None,
            body: body.body(),
            now,
        };
        let mut notices = self.mapping.read(&value, &telling)?;
        self.kept.keep(headers, &self.verifier, &mut notices);
        Ok(notices)
    }
}

#[cfg(test)]
mod tests;
