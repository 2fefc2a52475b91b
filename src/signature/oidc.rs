//! OpenID Connect: a JSON Web Token in `authorization: Bearer …`, signed by its issuer (RFC 7519).
//!
//! In: header fields, the keys of the issuer, and what the token must say. Out: nothing but that it
//! fits. Google Pub/Sub proves itself so. The token says who sends, to whom and until when; **of
//! the body it covers nothing**, and whoever gets hold of one can send anything until it expires.
//!
//! Taken are RS256 and ES256, each with the keys that are for it and no others, whatever else the
//! token claims to be signed by. The signature is checked first, so that nobody but the issuer
//! learns which claim is wrong. `exp` has to be there, `iat` and `nbf` must not lie ahead, all with
//! the verifier's tolerance.

mod claims;
mod keys;
mod token;

use std::time::Duration;

use url::Url;

pub use keys::KeySet;

use super::VerifyError;
use crate::clock::Timestamp;
use crate::request::Headers;
use token::Token;

/// Where the keys are that an issuer signs with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum KeySource {
    /// They are given.
    Given(KeySet),
    /// The issuer publishes them there (its `jwks_uri`). An engine
    /// [fetches](crate::engine::Engine::receive) them by its deliverer, whose address policy covers
    /// that too, and keeps them for as long as is said. Whoever verifies without one gives them to
    /// [`Verifier::with_key_set`](super::Verifier::with_key_set).
    At(Url),
}

/// Which tokens are taken.
///
/// ```
/// use artifact_triggers::signature::{Verifier, oidc::Oidc};
///
/// let oidc = Oidc::google(
///     "https://hooks.acme.example/incoming/gar",
///     "pubsub-push@acme.iam.gserviceaccount.com",
/// );
/// let verifier = Verifier::oidc(oidc);
/// assert_eq!(
///     verifier.key_set_url().unwrap().as_str(),
///     "https://www.googleapis.com/oauth2/v3/certs"
/// );
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Oidc {
    /// The issuers, any of which may have issued the token (`iss`).
    pub issuers: Vec<String>,
    /// Whom the token must be for (`aud`).
    pub audience: String,
    /// The e-mail addresses of which the token must have one (`email`), verified
    /// (`email_verified`); if there are none it need not have any.
    pub emails: Vec<String>,
    /// The issuer's keys.
    pub keys: KeySource,
}

impl Oidc {
    /// Tokens of an issuer for an audience. Where anybody gets tokens of that issuer, whatever the
    /// audience, say besides [who](Self::with_email) may send.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, keys: KeySource) -> Self {
        let (issuers, audience) = (vec![issuer.into()], audience.into());
        Self { issuers, audience, emails: Vec::new(), keys }
    }

    /// Tokens of Google for an audience, of a service account. Any account of Google's can get
    /// tokens for any audience, so that it is the e-mail address that counts.
    pub fn google(audience: impl Into<String>, email: impl Into<String>) -> Self {
        let url = "https://www.googleapis.com/oauth2/v3/certs".parse().expect("a URL");
        Self::new("https://accounts.google.com", audience, KeySource::At(url))
            .with_issuer("accounts.google.com")
            .with_email(email)
    }

    /// Adds an issuer, or another way in which it writes itself.
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Adds an e-mail address that may send.
    pub fn with_email(mut self, email: impl Into<String>) -> Self {
        self.emails.push(email.into());
        self
    }

    pub(super) fn url(&self) -> Option<&Url> {
        match &self.keys {
            KeySource::At(url) => Some(url),
            KeySource::Given(_) => None,
        }
    }

    /// What has to be fetched for the token of a request, if it has one.
    pub(super) fn missing_keys(&self, headers: &Headers) -> Option<MissingKeys<'_>> {
        let url = self.url()?;
        let key_id = Token::read(headers).ok()?.key_id;
        Some(MissingKeys { url, key_id })
    }

    pub(super) fn verify(
        &self,
        tolerance: Duration,
        headers: &Headers,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let token = Token::read(headers)?;
        let KeySource::Given(keys) = &self.keys else { return Err(VerifyError::NoKeySet) };
        if !keys.fit(&token) {
            return Err(VerifyError::Mismatch);
        }
        claims::check(&token.claims, self, tolerance, now)
    }
}

/// Keys that have to be fetched before a token can be verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MissingKeys<'a> {
    /// Where they are.
    pub url: &'a Url,
    /// The id of the one that the token claims to be signed by, if it claims one. Nobody has
    /// checked that: it says which keys to have, and nothing else.
    pub key_id: Option<String>,
}
