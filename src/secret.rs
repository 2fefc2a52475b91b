//! Secrets: wiped from memory when dropped, shown by nothing, sealed where they are stored.

mod seal;
#[cfg(feature = "encryption")]
mod xchacha;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

#[cfg(feature = "encryption")]
use seal::is_key_id;
pub use seal::{SealError, Sealed, SecretSealer};
#[cfg(feature = "encryption")]
pub use xchacha::{SealingKeyError, XChaChaSealer};

/// Bytes that must not be seen: wiped when dropped, absent from `Debug`, compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes into custody.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether these bytes are the secret; takes the same time whatever they hold.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        let mac = |message: &[u8]| {
            Hmac::<Sha256>::new_from_slice(self.expose())
                .expect("HMAC takes keys of any length")
                .chain_update(message)
        };
        mac(candidate).verify(&mac(self.expose()).finalize().into_bytes()).is_ok()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.expose())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_alone() {
        let secret = Secret::new("s3cret");
        assert!(secret.matches(b"s3cret"));
        for other in [&b""[..], b"s3cre", b"s3cret ", b"S3cret"] {
            assert!(!secret.matches(other));
        }
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(redacted)");
    }
}
