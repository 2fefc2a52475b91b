//! Receivers of the webhooks that registries and their kin send, by the provider's name.
//!
//! In: a verified body and its header fields. Out: notices. Each provider's module says what of its
//! body becomes what; what no place of an event fits is kept in its data, under the provider's
//! names. How each can be verified, and where each field comes from, tells the
//! [manual](crate::manual::receivers).

mod acr;
mod angos;
mod artifact_hub;
mod artifact_registry;
mod cdevents;
mod cloudevents;
mod docker_hub;
mod ecr;
mod forge;
mod gitea;
mod github;
mod gitlab;
mod harbor;
mod harness;
mod jfrog;
mod kellnr;
mod nexus;
mod npm;
mod package;
mod quay;
mod recognise;
mod verdaccio;
mod verifying;
mod zot;

use std::fmt;

pub use verifying::NoVerifier;

use super::told::{self, Telling};
use super::{Answer, KeptHeaders, Notice, ParseError, Receiver};
use crate::clock::Timestamp;
use crate::event::Scope;
use crate::request::Headers;
use crate::secret::Secret;
use crate::signature::{Fingerprint, Verified, Verifier};

/// Who sends webhooks that a [`ProviderReceiver`] understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// Azure Container Registry: its webhooks, and what it tells by Event Grid, in Event Grid's own
    /// schema or as CloudEvents.
    Acr,
    /// angos: events of manifests, blobs and tags, signed.
    Angos,
    /// Artifact Hub: new releases of packages, with a secret in a header field.
    ArtifactHub,
    /// Google Artifact Registry: its notifications, as a push subscription of Pub/Sub posts them.
    /// They are verified by a token of Google's.
    ArtifactRegistry,
    /// CDEvents, as CloudEvents in any mode: those about artifacts become the events that they tell
    /// of, any other becomes `webhook.received`.
    CdEvents,
    /// CloudEvents 1.0 of any type, binary, structured or batched. Those that an engine of this
    /// crate sent become the events that they were; any other becomes `webhook.received`, with all
    /// of it in the event's data.
    CloudEvents,
    /// Docker Hub: pushes. They cannot be verified, so the endpoint's URL has to be one that nobody
    /// guesses.
    DockerHub,
    /// Amazon ECR: its EventBridge events, as an API destination posts them.
    Ecr,
    /// Gitea and Forgejo: packages, signed.
    Gitea,
    /// GitHub: packages, signed.
    GitHub,
    /// GitLab: tags, releases and pipelines of code, signed or with a token.
    GitLab,
    /// Harbor: its webhooks, in the default payload or as CloudEvents.
    Harbor,
    /// Harness and Gitness: artifacts of a registry, signed.
    Harness,
    /// Artifactory, by `JFrog`: artifacts, images and what becomes of them, signed or with a token.
    JFrog,
    /// kellnr: crates, signed from its version 6.11 on.
    Kellnr,
    /// Sonatype Nexus Repository: components and repositories, signed by HMAC-SHA1.
    Nexus,
    /// The hooks of npm and of those that have the same: packages, signed.
    Npm,
    /// Quay: repository notifications. They cannot be verified, so the endpoint's URL has to be one
    /// that nobody guesses.
    Quay,
    /// Verdaccio: packages, with a header field that its configuration names.
    Verdaccio,
    /// zot: its events, which are CloudEvents.
    Zot,
}

/// What is known of a provider.
struct Entry {
    provider: Provider,
    name: &'static str,
    /// What verifies its requests by a secret that was agreed on with it.
    verify: fn(&Secret) -> Result<Verifier, NoVerifier>,
    /// Understands a verified body.
    read: fn(&Headers, &Telling<'_>) -> Result<Vec<Notice>, ParseError>,
    /// What to answer to a verified body that tells no event but asks whether anybody is there.
    handshake: fn(&Headers, &[u8]) -> Option<Answer>,
    /// Whether its bodies tell neither an id nor a time.
    is_anonymous: bool,
}

const NO_HANDSHAKE: fn(&Headers, &[u8]) -> Option<Answer> = |_, _| None;

/// By their names.
const ENTRIES: &[Entry] = &[
    Entry {
        provider: Provider::Acr,
        name: "acr",
        verify: verifying::authorization,
        read: acr::read,
        handshake: acr::handshake,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::Angos,
        name: "angos",
        verify: verifying::angos,
        read: angos::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::ArtifactHub,
        name: "artifact-hub",
        verify: verifying::artifact_hub,
        read: artifact_hub::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::ArtifactRegistry,
        name: "artifact-registry",
        verify: verifying::by_token,
        read: artifact_registry::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::CdEvents,
        name: "cdevents",
        verify: verifying::bearer,
        read: cdevents::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::CloudEvents,
        name: "cloudevents",
        verify: verifying::bearer,
        read: cloudevents::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::DockerHub,
        name: "docker-hub",
        verify: verifying::by_nothing,
        read: docker_hub::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::Ecr,
        name: "ecr",
        verify: verifying::authorization,
        read: ecr::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::Gitea,
        name: "gitea",
        verify: verifying::gitea,
        read: gitea::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::GitHub,
        name: "github",
        verify: verifying::github,
        read: github::read,
        handshake: github::handshake,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::GitLab,
        name: "gitlab",
        verify: verifying::gitlab,
        read: gitlab::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::Harbor,
        name: "harbor",
        verify: verifying::authorization,
        read: harbor::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::Harness,
        name: "harness",
        verify: verifying::harness,
        read: harness::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: true,
    },
    Entry {
        provider: Provider::JFrog,
        name: "jfrog",
        verify: verifying::jfrog,
        read: jfrog::read,
        handshake: jfrog::handshake,
        is_anonymous: true,
    },
    Entry {
        provider: Provider::Kellnr,
        name: "kellnr",
        verify: verifying::kellnr,
        read: kellnr::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::Nexus,
        name: "nexus",
        verify: verifying::nexus,
        read: nexus::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::Npm,
        name: "npm",
        verify: verifying::npm,
        read: npm::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
    Entry {
        provider: Provider::Quay,
        name: "quay",
        verify: verifying::by_nothing,
        read: quay::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: true,
    },
    Entry {
        provider: Provider::Verdaccio,
        name: "verdaccio",
        verify: verifying::authorization,
        read: verdaccio::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: true,
    },
    Entry {
        provider: Provider::Zot,
        name: "zot",
        verify: verifying::authorization,
        read: zot::read,
        handshake: NO_HANDSHAKE,
        is_anonymous: false,
    },
];

impl Provider {
    /// All providers.
    pub fn all() -> impl Iterator<Item = Self> {
        ENTRIES.iter().map(|entry| entry.provider)
    }

    /// Its name: that of the source of its events.
    pub fn as_str(self) -> &'static str {
        self.entry().name
    }

    /// What verifies its requests by a secret that was agreed on with it, in the provider's own
    /// way: [the manual](crate::manual::receivers) tells which, and what the secret is. Where it
    /// can be set up in other ways too, take the [`Verifier`] that fits.
    ///
    /// ```
    /// use artifact_triggers::incoming::provider::{NoVerifier, Provider};
    /// use artifact_triggers::secret::Secret;
    ///
    /// let refused = Provider::Quay.verifier(&Secret::new("s3cret")).unwrap_err();
    /// assert_eq!(refused, NoVerifier::Unable);
    /// ```
    ///
    /// # Errors
    /// [`NoVerifier`]: it proves nothing by a secret, or not by this one.
    pub fn verifier(self, secret: &Secret) -> Result<Verifier, NoVerifier> {
        (self.entry().verify)(secret)
    }

    /// Who seems to have sent a request, for diagnosis: nothing is verified by it, and what is
    /// received is read by the provider that its endpoint was made for.
    pub fn recognise(headers: &Headers, body: &[u8]) -> Option<Self> {
        recognise::recognise(headers, body)
    }

    fn entry(self) -> &'static Entry {
        ENTRIES.iter().find(|entry| entry.provider == self).expect("each has an entry")
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Receives the webhooks of one provider.
///
/// ```
/// use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
/// use artifact_triggers::incoming::{Incoming, Receiver};
/// use artifact_triggers::{clock::Timestamp, request::Headers, signature::Verifier};
///
/// let scope = "acme/platform".parse()?;
/// let receiver = ProviderReceiver::new(Provider::Quay, scope, Verifier::accept_unverified());
/// let body = br#"{
///     "repository": "acme/app", "namespace": "acme", "name": "app",
///     "docker_url": "quay.io/acme/app", "homepage": "https://quay.io/repository/acme/app",
///     "updated_tags": ["1.2"]
/// }"#;
/// let notices = receiver.open(Incoming { headers: &Headers::new(), body }, Timestamp::now())?;
/// assert_eq!(notices[0].event.artifact.as_ref().unwrap().tags, ["1.2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ProviderReceiver {
    provider: Provider,
    scope: Scope,
    verifier: Verifier,
    registry: Option<String>,
    max_body_bytes: usize,
    kept: KeptHeaders,
}

impl ProviderReceiver {
    /// A receiver of a provider's webhooks, whose events belong to a scope.
    pub fn new(provider: Provider, scope: Scope, verifier: Verifier) -> Self {
        let max_body_bytes = super::MAX_BODY_BYTES;
        let kept = KeptHeaders::default();
        Self { provider, scope, verifier, registry: None, max_body_bytes, kept }
    }

    /// Sets which header fields stay with the events, in `data.headers`; none if it is not set.
    pub fn with_kept_headers(mut self, kept: KeptHeaders) -> Self {
        self.kept = kept;
        self
    }

    /// Sets the registry's name for all events. Otherwise it is what the provider tells, if it
    /// does.
    pub fn with_registry(mut self, name: impl Into<String>) -> Self {
        self.registry = Some(name.into());
        self
    }

    /// Sets the largest body taken, in bytes; [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES) if it is
    /// not set.
    pub fn with_max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body_bytes = limit;
        self
    }
}

impl ProviderReceiver {
    /// The error, with a hint if another provider seems to have sent the body.
    fn with_hint(&self, error: ParseError, headers: &Headers, body: &[u8]) -> ParseError {
        let seems = Provider::recognise(headers, body).filter(|seems| *seems != self.provider);
        match (error, seems) {
            (ParseError::Document(mut problems), Some(seems)) => {
                let receiver = self.provider;
                problems
                    .add("", format!("it looks like {seems}'s, but the receiver is {receiver}'s"));
                ParseError::Document(problems)
            }
            (error, _) => error,
        }
    }
}

impl Receiver for ProviderReceiver {
    fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    fn handshake(&self, body: Verified<'_>, headers: &Headers) -> Option<Answer> {
        (self.provider.entry().handshake)(headers, body.body())
    }

    fn fingerprint(&self, body: Verified<'_>) -> Option<Fingerprint> {
        if !self.provider.entry().is_anonymous {
            return body.fingerprint();
        }
        let registry = self.registry.as_deref();
        Some(told::fingerprint(self.provider.as_str(), registry, body))
    }

    fn parse(
        &self,
        body: Verified<'_>,
        headers: &Headers,
        now: Timestamp,
    ) -> Result<Vec<Notice>, ParseError> {
        let telling = Telling {
            provider: self.provider.as_str(),
            scope: &self.scope,
            registry: self.registry.as_deref(),
            body: body.body(),
            now,
        };
        let read = (self.provider.entry().read)(headers, &telling);
        let read = read.map_err(|error| self.with_hint(error, headers, body.body()));
        let mut notices = read?;
        self.kept.keep(headers, &self.verifier, &mut notices);
        Ok(notices)
    }
}
