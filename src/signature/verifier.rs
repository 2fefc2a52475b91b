//! Verifies what comes in, over its raw bytes, in constant time.

use std::fmt;
use std::time::Duration;

use super::hex_mac::{HexField, to_hex};
use super::http_message::{self, Target};
#[cfg(feature = "sha1")]
use super::hub_sha1;
use super::key::{self, SigningSecret};
#[cfg(feature = "oidc")]
use super::oidc::{KeySet, KeySource, MissingKeys, Oidc};
#[cfg(feature = "ed25519")]
use super::public_key::{self, PublicKey};
use super::{gitea, github, harness, header_token, standard_webhooks, timestamped};
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::request::{Headers, Method};
use crate::secret::Secret;
use url::Url;

/// How many signatures of a message are looked at; more than a rotation ever needs.
pub(super) const MAX_SIGNATURES: usize = 16;

/// A body that was verified. Only [`Verifier::verify`] makes one, so bytes that nobody checked
/// cannot become events.
#[derive(Debug, Clone, Copy)]
pub struct Verified<'a> {
    body: &'a [u8],
    fingerprint: Option<Fingerprint>,
}

impl<'a> Verified<'a> {
    /// The bytes that were verified.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// What tells the message from all others when it comes again, so that a replay is known;
    /// `None` if it was not signed.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }
}

/// What tells a message from all others that are signed by the same or another key, however its
/// signature was written. It tells nothing of either.
///
/// It is made of the message's id where the signature covers one, so that every attempt of it has
/// the same, and else of all that the signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    bytes: [u8; 32],
    span: Duration,
}

impl Fingerprint {
    /// Of what nobody signed, for senders that give what they tell neither id nor time: known again
    /// for a span.
    pub(crate) fn of_unsigned(parts: &[&[u8]], span: Duration) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self { bytes: hash.finalize().into(), span }
    }

    /// Its bytes, which look random.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// How long after the message's arrival it must be remembered, for no replay to be taken for
    /// new: twice the tolerance, since a message that came from the future by as much as it may is
    /// taken until it is as old as it may be. Where the message tells no time, nothing refuses it
    /// later, and this is only how long it is remembered.
    pub fn span(&self) -> Duration {
        self.span
    }
}

/// As hex digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.bytes))
    }
}

/// Why a message was not accepted. The display tells the sender's developer what to mend and holds
/// nothing of any secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A header field that the scheme needs is absent, empty or there twice. Nothing was accepted.
    #[error("expected the header {name} exactly once and not empty")]
    Header {
        /// The field's name.
        name: String,
    },
    /// The message's id holds a full stop. Nothing was accepted: the signature covers id, time and
    /// body joined by full stops, so the end of such an id could be taken for the time.
    #[error("expected {name} without a full stop")]
    Id {
        /// The field's name.
        name: &'static str,
    },
    /// The time is no whole number of seconds since the Unix epoch. Nothing was accepted.
    #[error("expected {name} in whole seconds since 1970")]
    Timestamp {
        /// Where it should be.
        name: &'static str,
    },
    /// The message is too old or from the future: a replay, or a clock that is off.
    #[error(
        "the message's time is {off_seconds} s off, more than the {tolerance_seconds} s allowed"
    )]
    Time {
        /// How far off it is, in seconds, either way.
        off_seconds: u64,
        /// How far off it may be, in seconds.
        tolerance_seconds: u64,
    },
    /// A header field is not written as its specification has it. Nothing was accepted.
    #[error("expected {name} as {specification} has it")]
    Malformed {
        /// The field's name.
        name: &'static str,
        /// Where its form is specified.
        specification: &'static str,
    },
    /// The signature does not cover what it must. Nothing was accepted: that part could be
    /// anything.
    #[error("expected a signature that covers {component}")]
    NotCovered {
        /// What is not covered.
        component: &'static str,
    },
    /// The digest of the body is another one. Nothing was accepted.
    #[error("expected a content-digest that is the body's")]
    Digest,
    /// The token does not say what it must. Nothing was accepted: it is for another receiver, or of
    /// another sender.
    #[cfg(feature = "oidc")]
    #[error("expected another {name} in the token")]
    Claim {
        /// The claim's name.
        name: &'static str,
    },
    /// There are no keys to verify a token with: they are to be fetched and were not. The message
    /// may be good.
    #[cfg(feature = "oidc")]
    #[error("the issuer's keys were not fetched")]
    NoKeySet,
    /// No signature fits: another secret, or a body that was changed on its way.
    #[error("no signature fits")]
    Mismatch,
}

/// Verifies what comes in, over its raw bytes, in constant time.
///
/// Any of its secrets may have signed, so that senders can change over one at a time; without any,
/// nothing verifies.
#[derive(Debug, Clone)]
pub struct Verifier {
    scheme: Known,
    keys: Keys,
    tolerance: Duration,
}

/// What may have signed.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    pub(super) secrets: Vec<SigningSecret>,
    #[cfg(feature = "ed25519")]
    pub(super) public: Vec<PublicKey>,
}

/// What tells a message from the others of its key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Identity<'a> {
    /// Its id, which the signature covers.
    Id(&'a [u8]),
    /// All that the signature covers, which is put together in a way of this name.
    Signed(&'static [u8]),
}

impl Verifier {
    /// Whether who sent a message is told by a header field of this name, in lower case, that its
    /// owner named. Those that a specification names say so themselves.
    pub(crate) fn reads(&self, name: &str) -> bool {
        let own = match &self.scheme {
            Known::Timestamped { header } => header,
            Known::HeaderToken { name, .. } => name,
            Known::HexSha256(field) => &field.name,
            #[cfg(feature = "sha1")]
            Known::HexSha1(field) => &field.name,
            _ => return false,
        };
        own.eq_ignore_ascii_case(name)
    }
}

#[derive(Debug, Clone)]
enum Known {
    StandardWebhooks,
    HexSha256(HexField),
    Gitea,
    #[cfg(feature = "sha1")]
    HexSha1(HexField),
    Timestamped {
        header: String,
    },
    HttpMessage(Target),
    HeaderToken {
        name: String,
        value: Secret,
    },
    #[cfg(feature = "oidc")]
    Oidc(Box<Oidc>),
    Unverified,
}

impl Verifier {
    /// The tolerance that Standard Webhooks recommends, either way.
    pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(5 * 60);

    /// [Standard Webhooks](standard_webhooks) 1.0: any of the secrets may have signed, within
    /// [`DEFAULT_TOLERANCE`](Self::DEFAULT_TOLERANCE).
    pub fn standard_webhooks(secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        Self::new(Known::StandardWebhooks, secrets)
    }

    /// [GitHub's scheme](github): the body alone is covered.
    pub fn github(secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        Self::new(Known::HexSha256(github::field()), secrets)
    }

    /// [Harness' scheme](harness), with what stands in the middle of the header's name, such as
    /// [`harness::DEFAULT_PREFIX`]: the body alone is covered.
    pub fn harness(prefix: &str, secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        Self::new(Known::HexSha256(harness::field(prefix)), secrets)
    }

    /// HMAC-SHA256 as hex digits in a header of this name, behind a prefix such as `sha256=` or
    /// behind none: the body alone is covered.
    pub fn hex_sha256(
        header: impl Into<String>,
        prefix: &'static str,
        secrets: impl IntoIterator<Item = SigningSecret>,
    ) -> Self {
        Self::new(Known::HexSha256(HexField { name: header.into(), prefix }), secrets)
    }

    /// [Gitea's scheme](gitea): what is posted is covered, whether as JSON or in a form.
    pub fn gitea(secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        Self::new(Known::Gitea, secrets)
    }

    /// A [time and signatures](timestamped) in one header of this name, within
    /// [`DEFAULT_TOLERANCE`](Self::DEFAULT_TOLERANCE).
    pub fn timestamped(
        header: impl Into<String>,
        secrets: impl IntoIterator<Item = SigningSecret>,
    ) -> Self {
        Self::new(Known::Timestamped { header: header.into() }, secrets)
    }

    /// [HTTP Message Signatures](http_message), of a POST to the URL that senders were given,
    /// within [`DEFAULT_TOLERANCE`](Self::DEFAULT_TOLERANCE). Whatever proxies make of the request
    /// on its way, the URL is the one that its sender knows.
    pub fn http_message(url: &Url, secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        Self::new(Known::HttpMessage(Target::of(Method::Post, url)), secrets)
    }

    /// [HMAC-SHA1](hub_sha1) in `X-Hub-Signature: sha1=<hex>`: the body alone is covered.
    #[cfg(feature = "sha1")]
    pub fn hub_sha1(secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        Self::new(Known::HexSha1(hub_sha1::field()), secrets)
    }

    /// [HMAC-SHA1](hub_sha1) as bare hex digits in a header of this name, such as
    /// `X-Nexus-Webhook-Signature`: the body alone is covered.
    #[cfg(feature = "sha1")]
    pub fn bare_sha1(
        header: impl Into<String>,
        secrets: impl IntoIterator<Item = SigningSecret>,
    ) -> Self {
        Self::new(Known::HexSha1(hub_sha1::bare(header.into())), secrets)
    }

    /// A header field that holds a value agreed on, such as `authorization`: `Bearer …`. Nothing of
    /// the message is signed.
    pub fn header_token(name: impl Into<String>, value: Secret) -> Self {
        Self::new(Known::HeaderToken { name: name.into(), value }, [])
    }

    /// [OpenID Connect](super::oidc): a token in `authorization`, signed by an issuer, within
    /// [`DEFAULT_TOLERANCE`](Self::DEFAULT_TOLERANCE). Nothing of the message is signed.
    #[cfg(feature = "oidc")]
    pub fn oidc(oidc: Oidc) -> Self {
        Self::new(Known::Oidc(Box::new(oidc)), [])
    }

    /// Where the keys are that have to be fetched before anything verifies, if they are not given.
    #[cfg(feature = "oidc")]
    pub fn key_set_url(&self) -> Option<&Url> {
        match &self.scheme {
            Known::Oidc(oidc) => oidc.url(),
            _ => None,
        }
    }

    /// The keys that have to be fetched before a request can be verified; `None` if it needs none,
    /// or brings nothing that could be verified by any.
    #[cfg(feature = "oidc")]
    pub fn missing_keys(&self, headers: &Headers) -> Option<MissingKeys<'_>> {
        match &self.scheme {
            Known::Oidc(oidc) => oidc.missing_keys(headers),
            _ => None,
        }
    }

    /// The same verifier with the issuer's keys as they were fetched.
    #[cfg(feature = "oidc")]
    pub fn with_key_set(mut self, keys: KeySet) -> Self {
        if let Known::Oidc(oidc) = &mut self.scheme {
            oidc.keys = KeySource::Given(keys);
        }
        self
    }

    /// Accepts everything. For receivers that nobody else can reach, and for senders that have no
    /// way to prove who they are.
    pub fn accept_unverified() -> Self {
        Self::new(Known::Unverified, [])
    }

    fn new(scheme: Known, secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        let mut keys = Keys::default();
        keys.secrets.extend(secrets);
        #[cfg(feature = "ed25519")]
        let keys = keys.with_own_public();
        Self { scheme, keys, tolerance: Self::DEFAULT_TOLERANCE }
    }

    /// Sets how far the message's time may be off, either way, where the scheme carries one, and by
    /// twice of it how long messages are [to be remembered](Fingerprint::span).
    pub fn with_tolerance(mut self, span: Duration) -> Self {
        self.tolerance = span;
        self
    }

    /// Adds public keys that may have signed, where the scheme knows Ed25519: Standard Webhooks
    /// `v1a` and HTTP message signatures.
    #[cfg(feature = "ed25519")]
    pub fn with_public_keys(mut self, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        self.keys.public.extend(keys);
        self
    }

    /// Checks a message as it came in.
    ///
    /// # Errors
    /// [`VerifyError`], without a word on which secret or how much of it fitted.
    pub fn verify<'a>(
        &self,
        headers: &Headers,
        body: &'a [u8],
        now: Timestamp,
    ) -> Result<Verified<'a>, VerifyError> {
        let fingerprint = self.check(headers, body, now)?;
        let span = self.tolerance.saturating_mul(2);
        let fingerprint = fingerprint.map(|bytes| Fingerprint { bytes, span });
        Ok(Verified { body, fingerprint })
    }

    /// The fingerprint of a message that fits, if it is signed.
    fn check(
        &self,
        headers: &Headers,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Option<[u8; 32]>, VerifyError> {
        let (keys, tolerance) = (&self.keys, self.tolerance);
        let found = match &self.scheme {
            Known::StandardWebhooks => {
                let told = standard_webhooks::read(tolerance, headers, now)?;
                let signed = [told.id, b".", told.time, b".", body];
                keys.fitting(&signed, &told.shared, &told.pairs, Identity::Id(told.id))
            }
            Known::HexSha256(field) => {
                keys.fitting(&[body], &field.read(headers, 32)?, &[], Identity::Signed(b"body"))
            }
            Known::Gitea => {
                let signatures = gitea::field().read(headers, 32)?;
                let posted = gitea::posted(headers, body).ok_or(VerifyError::Mismatch)?;
                keys.fitting(&[&posted], &signatures, &[], Identity::Signed(b"body"))
            }
            #[cfg(feature = "sha1")]
            Known::HexSha1(field) => {
                let signatures = field.read(headers, hub_sha1::BYTES)?;
                hub_sha1::fitting(&keys.secrets, body, &signatures)
                    .map(|secret| secret.fingerprint(&[b"body", body]))
            }
            Known::Timestamped { header } => {
                let told = timestamped::read(header, tolerance, headers, now)?;
                let signed = [told.time, b".", body];
                keys.fitting(&signed, &told.signatures, &[], Identity::Signed(b"time"))
            }
            Known::HttpMessage(target) => {
                Some(http_message::verify(target, keys, tolerance, headers, body, now)?)
            }
            Known::HeaderToken { name, value } => {
                return header_token::verify(name, value, headers).map(|()| None);
            }
            #[cfg(feature = "oidc")]
            Known::Oidc(oidc) => return oidc.verify(tolerance, headers, now).map(|()| None),
            Known::Unverified => return Ok(None),
        };
        found.map(Some).ok_or(VerifyError::Mismatch)
    }
}

impl Keys {
    /// Who may sign by a key may be verified by it.
    #[cfg(feature = "ed25519")]
    fn with_own_public(mut self) -> Self {
        self.public.extend(self.secrets.iter().filter_map(SigningSecret::public_key));
        self
    }

    /// The fingerprint of a message that one of the keys signed: of its identity, and of that key.
    /// A MAC is compared with those of shared secrets alone, a signature with public keys alone.
    pub(super) fn fitting(
        &self,
        signed: &[&[u8]],
        shared: &[Vec<u8>],
        pairs: &[Vec<u8>],
        identity: Identity<'_>,
    ) -> Option<[u8; 32]> {
        let secret = key::fitting(&self.secrets, signed, shared);
        let of_secret = secret.map(|(secret, mac)| match identity {
            Identity::Id(id) => secret.fingerprint(&[b"id", id]),
            Identity::Signed(what) => key::fingerprint_of_mac(what, &mac),
        });
        #[cfg(feature = "ed25519")]
        let of_key =
            public_key::fitting(&self.public, signed, pairs).map(|public| match identity {
                Identity::Id(id) => public.fingerprint(&[b"id", id]),
                Identity::Signed(what) => public.fingerprint(&[&[what], signed].concat()),
            });
        #[cfg(not(feature = "ed25519"))]
        let of_key = {
            // Nobody here can have made one.
            let _ = pairs;
            None
        };
        of_secret.or(of_key)
    }
}

/// The only field of a name, not empty.
pub(super) fn required<'a>(headers: &'a Headers, name: &'a str) -> Result<&'a [u8], VerifyError> {
    headers
        .only(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| VerifyError::Header { name: name.to_owned() })
}
