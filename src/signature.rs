//! Signing what is sent and verifying what is received.
//!
//! In: a message id, a time and the bytes of the body. Out: header fields ([`Signer`]) or the
//! witness that they fit ([`Verified`]). Signatures cover exactly the bytes that are sent.

pub mod standard_webhooks;

mod header_token;

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::request::Headers;
use crate::secret::Secret;
use standard_webhooks::SigningSecret;

/// What a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The message's id: the same on every attempt. Without a full stop, which no
    /// [`MessageId`](crate::id::MessageId) has: receivers refuse it.
    pub id: &'a str,
    /// The time of the attempt.
    pub timestamp: Timestamp,
    /// The body as it is sent.
    pub body: &'a [u8],
}

/// Signs messages. Implement it for keys that never leave a vault.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The header fields that carry the signature, its id and its time.
    fn sign(&self, message: &Message<'_>) -> Vec<(&'static str, String)>;
}

/// A body that was verified. Only [`Verifier::verify`] makes one, so bytes that nobody checked
/// cannot become events.
#[derive(Debug, Clone, Copy)]
pub struct Verified<'a> {
    body: &'a [u8],
}

impl<'a> Verified<'a> {
    /// The bytes that were verified.
    pub fn body(&self) -> &'a [u8] {
        self.body
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
        /// The field's name.
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
    /// No signature fits: another secret, or a body that was changed on its way.
    #[error("no signature fits")]
    Mismatch,
}

/// Verifies what comes in, over its raw bytes, in constant time.
#[derive(Debug, Clone)]
pub struct Verifier {
    scheme: Scheme,
}

#[derive(Debug, Clone)]
enum Scheme {
    StandardWebhooks { secrets: Vec<SigningSecret>, tolerance: Duration },
    HeaderToken { name: String, value: Secret },
    Unverified,
}

impl Verifier {
    /// The tolerance that Standard Webhooks recommends, either way.
    pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(5 * 60);

    /// Standard Webhooks 1.0, symmetric: any of the secrets may have signed, within
    /// [`DEFAULT_TOLERANCE`](Self::DEFAULT_TOLERANCE).
    pub fn standard_webhooks(secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        let secrets = secrets.into_iter().collect();
        let tolerance = Self::DEFAULT_TOLERANCE;
        Self { scheme: Scheme::StandardWebhooks { secrets, tolerance } }
    }

    /// Sets how far the message's time may be off, either way, where the scheme carries one.
    pub fn with_tolerance(mut self, span: Duration) -> Self {
        if let Scheme::StandardWebhooks { tolerance, .. } = &mut self.scheme {
            *tolerance = span;
        }
        self
    }

    /// A header field that holds a value agreed on, such as `authorization`: `Bearer …`.
    pub fn header_token(name: impl Into<String>, value: Secret) -> Self {
        Self { scheme: Scheme::HeaderToken { name: name.into(), value } }
    }

    /// Accepts everything. For receivers that nobody else can reach, and for senders that have no
    /// way to prove who they are.
    pub fn accept_unverified() -> Self {
        Self { scheme: Scheme::Unverified }
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
        match &self.scheme {
            Scheme::StandardWebhooks { secrets, tolerance } => {
                standard_webhooks::verify(secrets, *tolerance, headers, body, now)?;
            }
            Scheme::HeaderToken { name, value } => header_token::verify(name, value, headers)?,
            Scheme::Unverified => {}
        }
        Ok(Verified { body })
    }
}

/// The only field of a name, not empty.
fn required<'a>(headers: &'a Headers, name: &'a str) -> Result<&'a [u8], VerifyError> {
    headers
        .only(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| VerifyError::Header { name: name.to_owned() })
}
