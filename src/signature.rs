//! Signing what is sent and verifying what is received.
//!
//! In: a message id, a time and the bytes of the body. Out: header fields ([`Scheme::sign`], a
//! [`Signer`]) or the witness that they fit ([`Verified`]). Signatures cover exactly the bytes that
//! are sent. What each scheme covers, and what not, the [manual](crate::manual::signing) tells.

pub mod gitea;
pub mod github;
pub mod harness;
pub mod http_message;
#[cfg(feature = "sha1")]
pub mod hub_sha1;
#[cfg(feature = "oidc")]
pub mod oidc;
pub mod standard_webhooks;
pub mod timestamped;

mod header_token;
mod hex_mac;
mod key;
#[cfg(feature = "ed25519")]
mod public_key;
mod scheme;
mod time;
mod verifier;

use std::fmt;

use async_trait::async_trait;
use url::Url;

#[cfg(feature = "ed25519")]
pub use key::PairError;
pub use key::{ParseSecretError, SigningSecret};
#[cfg(feature = "ed25519")]
pub use public_key::{ParsePublicKeyError, PublicKey};
pub use scheme::Scheme;
pub use verifier::{Fingerprint, Verified, Verifier, VerifyError};

use crate::clock::Timestamp;
use crate::event::Scope;
use crate::request::{Headers, Method};

/// What a signature covers.
///
/// ```
/// use artifact_triggers::clock::Timestamp;
/// use artifact_triggers::signature::{Message, Scheme};
///
/// let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// let sent = Timestamp::from_unix_seconds(1_614_265_330);
/// let message =
///     Message::new("msg_p5jXN8AQM9LWM0D4loKWxJek", sent, br#"{"test": 2432232314}"#);
/// let fields = Scheme::StandardWebhooks.sign(&[secret], &message)?;
/// assert_eq!(
///     fields.only("webhook-signature"),
///     Some(&b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="[..])
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Message<'a> {
    /// The message's id: the same on every attempt. Without a full stop, which no
    /// [`MessageId`](crate::id::MessageId) has: receivers refuse it.
    pub id: &'a str,
    /// The time of the attempt.
    pub timestamp: Timestamp,
    /// The body as it is sent.
    pub body: &'a [u8],
    /// What it asks for, for schemes that cover that.
    pub method: Method,
    /// Where it is sent to, for schemes that cover that.
    pub url: Option<&'a Url>,
    /// Its media type as it is sent, for schemes that cover that.
    pub content_type: Option<&'a str>,
}

impl<'a> Message<'a> {
    /// A message that is posted, of which neither address nor media type is told.
    pub fn new(id: &'a str, timestamp: Timestamp, body: &'a [u8]) -> Self {
        Self { id, timestamp, body, method: Method::Post, url: None, content_type: None }
    }

    /// Sets what it asks for.
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sets where it is sent to.
    pub fn with_url(mut self, url: &'a Url) -> Self {
        self.url = Some(url);
        self
    }

    /// Sets its media type.
    pub fn with_content_type(mut self, content_type: &'a str) -> Self {
        self.content_type = Some(content_type);
        self
    }
}

/// Signs messages by keys that never leave a vault. Endpoints name it, as
/// [`Scheme::Signer`], by the name that it was
/// [registered](crate::engine::EngineBuilder::signer) under.
///
/// # Contract
/// 1. `sign` gives the header fields that carry the signature, each name once; they come first in
///    the request, and no other field of their names goes with them. `webhook-id` and
///    `webhook-timestamp` are added where it gives none.
/// 2. `sign` may take as long as an attempt may, but no longer than a quarter of a
///    [lease](crate::engine::EngineOptions::lease), and be dropped before it ends. A panic counts
///    as that it failed.
/// 3. **A scope signs by what is its own.** Whoever may write a trigger chooses the signer's name
///    in it and has a part in what is signed, so `check` refuses scopes that the key is not for. It
///    is asked when a trigger is stored, and again before each message.
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync + 'static {
    /// The header fields that carry the signature, its id and its time.
    ///
    /// # Errors
    /// [`SignError`], whichever: nothing is sent, no attempt is used up, and the delivery is tried
    /// again a little later.
    async fn sign(&self, message: &Message<'_>) -> Result<Headers, SignError>;

    /// Says whether triggers of a scope may have their messages signed.
    ///
    /// # Errors
    /// Why not, for a person.
    fn check(&self, scope: &Scope) -> Result<(), String>;
}

/// Why a message was not signed. Nothing of it was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The endpoint names a signer that this engine does not have.
    #[error("no signer {name:?} is registered here")]
    NoSigner {
        /// The name.
        name: String,
    },
    /// The signer cannot sign now: its vault does not answer, or refuses.
    #[error("the signer failed: {reason}")]
    Unavailable {
        /// Why, without anything secret.
        reason: String,
    },
    /// The scheme covers what the message does not tell.
    #[error("the message does not tell its {what}")]
    Incomplete {
        /// What is missing.
        what: &'static str,
    },
}
