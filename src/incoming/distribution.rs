//! The receiver for the notifications of the Docker / OCI distribution registry.
//!
//! In: the envelope that versions 2 and 3 of the registry post, as it is. Out: one notice an event.
//! The registry says "push", "pull", "mount" and "delete"; of what, only the rest of an event
//! tells:
//!
//! | action | of | kind |
//! |---|---|---|
//! | push | a manifest or index | `artifact.ingested`, or `artifact.updated` if the tag had another digest; nothing if it had this one |
//! | push | a tag of cosign, `sha256-….sig`, `.att`, `.sbom` | `artifact.signed`, `artifact.attested`, `sbom.attached` |
//! | push | a blob | `blob.ingested` |
//! | mount | a blob | `blob.mounted`, with its other repository in `from` |
//! | pull | a manifest or index | `artifact.downloaded` |
//! | pull | a blob | `blob.downloaded` |
//! | delete | a digest | `artifact.deleted`, or `blob.deleted` if it was seen as a blob |
//! | delete | a tag | `tag.deleted` |
//! | delete | neither | `repository.deleted` |
//! | another one | anything | `distribution.` and the action |
//!
//! # What to know about the sender
//! - It sends an envelope again and again until it is accepted, and holds later ones back
//!   meanwhile. An envelope that is refused for what it says needs an operator; its problems are in
//!   the answer.
//! - A `HEAD` is a pull too. Its method is kept in `data.request.method`.
//! - It does not say what a manifest is a child of or refers to. One pushed by its digest alone has
//!   the role `child`, also if it stands for itself or is a referrer; a subject is known only from
//!   a tag that names it, cosign's or that of the referrers tag schema (`sha256-…`).
//! - A deletion by digest does not say whether the digest is a blob's. One whose push was never
//!   seen is taken for an artifact.
//! - The host of a request is what its client asked for. Where a registry has several names, or
//!   clients are not trusted to tell it, give it one: [`DistributionReceiver::with_registry`].

mod envelope;
mod mapping;

use super::{Change, Notice, ParseError, Receiver};
use crate::clock::Timestamp;
use crate::document::{self, Field, Problems};
use crate::event::Scope;
use crate::request::Headers;
use crate::signature::{Verified, Verifier};
use envelope::{Envelope, Notification};

/// The most events that an envelope may hold.
pub const MAX_EVENTS: usize = 1_000;
/// From this many problems on, further events are not looked at.
const MAX_PROBLEMS: usize = 100;
/// What the registry calls its envelopes: version 2 and version 3.
const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.docker.distribution.events.v1+json",
    "application/vnd.docker.distribution.events.v2+json",
];

/// Receives the notifications of a distribution registry.
///
/// ```
/// use artifact_triggers::incoming::{Incoming, Receiver, distribution::DistributionReceiver};
/// use artifact_triggers::{clock::Timestamp, secret::Secret, signature::Verifier};
///
/// // The registry's configuration has `headers: {Authorization: [Bearer s3cret]}`.
/// let verifier = Verifier::header_token("authorization", Secret::new("Bearer s3cret"));
/// let receiver = DistributionReceiver::new("acme/platform".parse()?, verifier)
///     .with_registry("registry.acme.example");
/// let headers = [
///     ("authorization", "Bearer s3cret"),
///     ("content-type", "application/vnd.docker.distribution.events.v1+json"),
/// ];
/// let body = br#"{"events": [{
///     "id": "320678d8-ca14-430f-8bb6-4ca139cd83f7",
///     "timestamp": "2026-11-23T14:42:23.514977024Z",
///     "action": "delete",
///     "target": {"repository": "library/hello", "tag": "latest"}
/// }]}"#;
/// let incoming = Incoming { headers: &headers.into_iter().collect(), body };
/// let notices = receiver.open(incoming, Timestamp::now())?;
/// assert_eq!(notices[0].event.kind.as_str(), "tag.deleted");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct DistributionReceiver {
    scope: Scope,
    verifier: Verifier,
    registry: Option<String>,
    blobs: bool,
    downloads: bool,
    max_body_bytes: usize,
}

impl DistributionReceiver {
    /// A receiver whose events belong to a scope.
    pub fn new(scope: Scope, verifier: Verifier) -> Self {
        let max_body_bytes = super::MAX_BODY_BYTES;
        Self { scope, verifier, registry: None, blobs: true, downloads: true, max_body_bytes }
    }

    /// Sets the registry's name for all events. Otherwise it is the host that the request asked
    /// for, that of the artifact's URL, or the node's own address, whichever is told first.
    pub fn with_registry(mut self, name: impl Into<String>) -> Self {
        self.registry = Some(name.into());
        self
    }

    /// Sets whether pushes, mounts and pulls of blobs are told; they are unless this is set.
    ///
    /// They have kinds of their own, `blob.*`, so that a trigger for artifacts never fires on a
    /// layer, and a blob whose push was seen is known as one when it is deleted. Without them its
    /// deletion is told as `artifact.deleted`. What is left out is a
    /// [`SkipReason::LeftOut`](super::known::SkipReason::LeftOut).
    pub fn with_blobs(mut self, told: bool) -> Self {
        self.blobs = told;
        self
    }

    /// Sets whether pulls are told; they are unless this is set. What is left out is a
    /// [`SkipReason::LeftOut`](super::known::SkipReason::LeftOut).
    pub fn with_downloads(mut self, told: bool) -> Self {
        self.downloads = told;
        self
    }

    /// Sets the largest body taken, in bytes; [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES) if it is
    /// not set. An event lists what its manifest refers to, so an index of many thousands needs
    /// more.
    pub fn with_max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body_bytes = limit;
        self
    }

    fn notices(
        &self,
        events: Vec<serde_json::Value>,
        now: Timestamp,
    ) -> Result<Vec<Notice>, Problems> {
        Problems::gather(|problems| {
            let mut notices = Vec::with_capacity(events.len());
            for (n, event) in events.into_iter().enumerate() {
                if problems.len() >= MAX_PROBLEMS {
                    problems.add(format!("events[{n}]"), "was not looked at, nor what follows it");
                    break;
                }
                let path = format!("events[{n}]");
                notices.extend(
                    Notification::read(event, &path, problems)
                        .and_then(|told| mapping::notice(told, self, now, &path, problems)),
                );
            }
            Some(notices)
        })
    }
}

impl Receiver for DistributionReceiver {
    fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    fn parse(
        &self,
        body: Verified<'_>,
        headers: &Headers,
        now: Timestamp,
    ) -> Result<Vec<Notice>, ParseError> {
        check_media_type(headers)?;
        let value = document::parse_foreign(body.body(), self.max_body_bytes)?;
        let events = Problems::gather(|problems| Envelope::read(value, "", problems))?.events;
        Ok(self.notices(events, now)?)
    }
}

/// One of ours, whatever its parameters (RFC 9110, section 8.3.1).
fn check_media_type(headers: &Headers) -> Result<(), ParseError> {
    let found = headers.only("content-type").map(String::from_utf8_lossy);
    let essence = found.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if MEDIA_TYPES.iter().any(|ours| ours.eq_ignore_ascii_case(essence)) {
        return Ok(());
    }
    Err(ParseError::MediaType {
        expected: "application/vnd.docker.distribution.events.v1+json or …v2+json",
        found: match found {
            Some(text) => format!("{:?}", text.chars().take(80).collect::<String>()),
            None => "none, or more than one".to_owned(),
        },
    })
}

#[cfg(test)]
mod tests;
