//! The public keys of Ed25519 that signatures are verified with.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::key::LENIENT;

const PREFIX: &str = "whpk_";

/// An Ed25519 public key, written `whpk_` and the base64 of its 32 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a public key of the form whpk_ and the base64 of the 32 bytes of an Ed25519 key")]
pub struct ParsePublicKeyError;

impl PublicKey {
    /// Takes a key's bytes.
    ///
    /// # Errors
    /// They are no point of the curve, or one of the few that fit any signature.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParsePublicKeyError> {
        let bytes = bytes.try_into().map_err(|_| ParsePublicKeyError)?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| ParsePublicKeyError)?;
        if key.is_weak() { Err(ParsePublicKeyError) } else { Ok(Self(key)) }
    }

    pub(super) fn of(key: &SigningKey) -> Self {
        Self(key.verifying_key())
    }

    /// Whether it signed the message; strictly, so that there is one signature alone that fits.
    fn fits(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }

    /// As that of a [`SigningSecret`](super::SigningSecret).
    pub(super) fn fingerprint(&self, message: &[&[u8]]) -> [u8; 32] {
        let begun = Sha256::new_with_prefix(b"artifact-triggers fingerprint\0");
        let begun = begun.chain_update(self.0.as_bytes());
        message.iter().fold(begun, Digest::chain_update).finalize().into()
    }
}

/// The first key that made one of these signatures; every pair is tried.
pub(super) fn fitting<'a>(
    keys: &'a [PublicKey],
    message: &[&[u8]],
    signatures: &[Vec<u8>],
) -> Option<&'a PublicKey> {
    if keys.is_empty() {
        return None;
    }
    let message = message.concat();
    let mut fitting = None;
    for key in keys {
        for signature in signatures {
            let fits = key.fits(&message, signature);
            fitting = fitting.or(fits.then_some(key));
        }
    }
    fitting
}

impl FromStr for PublicKey {
    type Err = ParsePublicKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let base64 = text.strip_prefix(PREFIX).ok_or(ParsePublicKeyError)?;
        Self::from_bytes(&LENIENT.decode(base64).map_err(|_| ParsePublicKeyError)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", general_purpose::STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
