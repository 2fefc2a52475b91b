//! The ways in which providers prove who they are by a secret.

use crate::request::is_field_text;
use crate::secret::Secret;
use crate::signature::{ParseSecretError, SigningSecret, Verifier};

/// Why a provider's requests cannot be verified by a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoVerifier {
    /// It sends nothing that proves anything. Give it a URL that nobody guesses, and take
    /// [`Verifier::accept_unverified`].
    #[error("this provider proves nothing; give it a URL that nobody guesses")]
    Unable,
    /// It proves itself by tokens that its issuer signs, not by a secret: take `Verifier::oidc`, of
    /// feature `oidc`.
    #[error("this provider proves itself by a token of OpenID Connect, not by a secret")]
    Token,
    /// It sends this secret in a header field, which cannot hold it.
    #[error("expected a secret of printable ASCII that is not empty")]
    Value,
    /// It signs with this secret, which is none to sign with.
    #[error(transparent)]
    Secret(#[from] ParseSecretError),
    /// It signs in a way that this build cannot verify.
    #[error("this provider's signatures are verified with the feature {name}")]
    Feature {
        /// The feature that it takes.
        name: &'static str,
    },
}

/// It has no way to prove anything.
pub(super) fn by_nothing(_: &Secret) -> Result<Verifier, NoVerifier> {
    Err(NoVerifier::Unable)
}

/// It has a token that its issuer signs.
pub(super) fn by_token(_: &Secret) -> Result<Verifier, NoVerifier> {
    Err(NoVerifier::Token)
}

/// The secret as a text that MACs are made with.
fn signing(secret: &Secret) -> Result<[SigningSecret; 1], NoVerifier> {
    let text = std::str::from_utf8(secret.expose()).map_err(|_| ParseSecretError::Text)?;
    Ok([SigningSecret::from_text(text)?])
}

/// A MAC of the body, made with the token that is configured.
pub(super) fn angos(secret: &Secret) -> Result<Verifier, NoVerifier> {
    Ok(Verifier::hex_sha256("x-registry-signature-256", "sha256=", signing(secret)?))
}

/// The secret, if a header field can hold it.
fn sendable(secret: &Secret) -> Result<&Secret, NoVerifier> {
    let value = secret.expose();
    if value.is_empty() || !is_field_text(value) { Err(NoVerifier::Value) } else { Ok(secret) }
}

/// The whole value of `authorization`, as it is configured.
pub(super) fn authorization(secret: &Secret) -> Result<Verifier, NoVerifier> {
    Ok(Verifier::header_token("authorization", sendable(secret)?.clone()))
}

/// The token as a bearer (CloudEvents, HTTP 1.1 Web Hooks 1.0, section 3.1).
pub(super) fn bearer(secret: &Secret) -> Result<Verifier, NoVerifier> {
    let value = [b"Bearer ", sendable(secret)?.expose()].concat();
    Ok(Verifier::header_token("authorization", Secret::new(value)))
}

/// The secret itself, in a header field.
pub(super) fn artifact_hub(secret: &Secret) -> Result<Verifier, NoVerifier> {
    Ok(Verifier::header_token("x-artifacthub-secret", sendable(secret)?.clone()))
}

/// A MAC of what is posted.
pub(super) fn gitea(secret: &Secret) -> Result<Verifier, NoVerifier> {
    Ok(Verifier::gitea(signing(secret)?))
}

/// A MAC of the body.
pub(super) fn github(secret: &Secret) -> Result<Verifier, NoVerifier> {
    Ok(Verifier::github(signing(secret)?))
}

/// Standard Webhooks if the secret is a signing token, `whsec_…`; the secret token itself
/// otherwise.
pub(super) fn gitlab(secret: &Secret) -> Result<Verifier, NoVerifier> {
    if secret.expose().starts_with(b"whsec_") {
        return kellnr(secret);
    }
    Ok(Verifier::header_token("x-gitlab-token", sendable(secret)?.clone()))
}

/// A MAC of the body.
pub(super) fn harness(secret: &Secret) -> Result<Verifier, NoVerifier> {
    Ok(Verifier::harness(crate::signature::harness::DEFAULT_PREFIX, signing(secret)?))
}

/// A MAC of the body: the webhook's secret is set to be used for payload signing.
pub(super) fn jfrog(secret: &Secret) -> Result<Verifier, NoVerifier> {
    Ok(Verifier::hex_sha256("x-jfrog-event-auth", "", signing(secret)?))
}

/// Standard Webhooks, by a secret `whsec_…`.
pub(super) fn kellnr(secret: &Secret) -> Result<Verifier, NoVerifier> {
    let text = std::str::from_utf8(secret.expose()).map_err(|_| ParseSecretError::Text)?;
    Ok(Verifier::standard_webhooks([text.parse::<SigningSecret>()?]))
}

/// A MAC of the body, by SHA-1.
#[cfg(feature = "sha1")]
pub(super) fn nexus(secret: &Secret) -> Result<Verifier, NoVerifier> {
    Ok(Verifier::bare_sha1("x-nexus-webhook-signature", signing(secret)?))
}

/// A MAC of the body, by SHA-1, of which this build knows nothing.
#[cfg(not(feature = "sha1"))]
pub(super) fn nexus(_: &Secret) -> Result<Verifier, NoVerifier> {
    Err(NoVerifier::Feature { name: "sha1" })
}

/// A MAC of the body.
pub(super) fn npm(secret: &Secret) -> Result<Verifier, NoVerifier> {
    Ok(Verifier::hex_sha256("x-npm-signature", "sha256=", signing(secret)?))
}
