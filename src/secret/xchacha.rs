//! Sealing by XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03).
//!
//! A nonce of 192 bits is drawn anew each time: so many cannot meet by chance. What is sealed is
//! bound to the key's id and to its place.

use std::collections::BTreeMap;
use std::fmt;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::{SealError, Sealed, Secret, SecretSealer, is_key_id};
use crate::entropy::Entropy;

const NONCE_BYTES: usize = 24;

/// Seals with XChaCha20-Poly1305 under the newest of its keys, and opens with any of them.
///
/// ```
/// use artifact_triggers::entropy::OsEntropy;
/// use artifact_triggers::secret::{Secret, SecretSealer, XChaChaSealer};
///
/// let sealer = XChaChaSealer::new("2026-11", &Secret::new([7; 32]))?;
/// let sealed = sealer.seal(b"whsec_", "trg_1/target", &OsEntropy)?;
/// let rotated = XChaChaSealer::new("2026-12", &Secret::new([8; 32]))?
///     .with_old_key("2026-11", &Secret::new([7; 32]))?;
/// assert!(rotated.open(&sealed, "trg_1/target")?.matches(b"whsec_"));
/// assert!(rotated.open(&sealed, "trg_2/target").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct XChaChaSealer {
    newest: String,
    keys: BTreeMap<String, XChaCha20Poly1305>,
}

/// Why a key was not taken. Shows nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealingKeyError {
    /// The key has not its 32 bytes.
    #[error("key {key_id:?}: expected 32 bytes, found {found}")]
    Length {
        /// The key's id.
        key_id: String,
        /// How many bytes it has.
        found: usize,
    },
    /// The id cannot be one.
    #[error("expected a key id of 1 to 128 printable ASCII characters without spaces")]
    Id,
    /// Another key has that id.
    #[error("key {key_id:?}: the id is taken")]
    Taken {
        /// The key's id.
        key_id: String,
    },
}

impl XChaChaSealer {
    /// Seals and opens under a key of 32 bytes, known by an id that stands beside what it seals. A
    /// new key takes a new id.
    ///
    /// # Errors
    /// [`SealingKeyError`].
    pub fn new(key_id: impl Into<String>, key: &Secret) -> Result<Self, SealingKeyError> {
        let newest = key_id.into();
        Self { newest: newest.clone(), keys: BTreeMap::new() }.with_old_key(newest, key)
    }

    /// Opens what an older key sealed, too.
    ///
    /// # Errors
    /// [`SealingKeyError`].
    pub fn with_old_key(
        mut self,
        key_id: impl Into<String>,
        key: &Secret,
    ) -> Result<Self, SealingKeyError> {
        let key_id = key_id.into();
        if !is_key_id(&key_id) {
            return Err(SealingKeyError::Id);
        }
        if self.keys.contains_key(&key_id) {
            return Err(SealingKeyError::Taken { key_id });
        }
        let found = key.expose().len();
        let Ok(cipher) = XChaCha20Poly1305::new_from_slice(key.expose()) else {
            return Err(SealingKeyError::Length { key_id, found });
        };
        self.keys.insert(key_id, cipher);
        Ok(self)
    }
}

impl SecretSealer for XChaChaSealer {
    fn key_id(&self) -> &str {
        &self.newest
    }

    fn seal(&self, text: &[u8], place: &str, entropy: &dyn Entropy) -> Result<Sealed, SealError> {
        let mut bytes = vec![0; NONCE_BYTES];
        entropy.fill(&mut bytes);
        let aad = bound_to(&self.newest, place);
        let payload = Payload { msg: text, aad: &aad };
        let sealed = self.keys[&self.newest].encrypt(&nonce(&bytes), payload);
        let reason = || "the text is too long".to_owned();
        bytes.extend(sealed.map_err(|_| SealError::Failed { reason: reason() })?);
        Ok(Sealed::new(&self.newest, bytes).expect("the id was checked when the key was taken"))
    }

    fn open(&self, sealed: &Sealed, place: &str) -> Result<Secret, SealError> {
        let key_id = || sealed.key_id().to_owned();
        let cipher = self.keys.get(sealed.key_id());
        let cipher = cipher.ok_or_else(|| SealError::UnknownKey { key_id: key_id() })?;
        let refused = || SealError::Refused { key_id: key_id() };
        let (start, text) = sealed.bytes().split_at_checked(NONCE_BYTES).ok_or_else(refused)?;
        let aad = bound_to(sealed.key_id(), place);
        let opened = cipher.decrypt(&nonce(start), Payload { msg: text, aad: &aad });
        // Wrapped before anything else, so that no way out leaves it in memory.
        opened.map(Zeroizing::new).map(Secret).map_err(|_| refused())
    }
}

fn nonce(bytes: &[u8]) -> XNonce {
    let bytes: [u8; NONCE_BYTES] = bytes.try_into().expect("callers cut 24 bytes");
    XNonce::from(bytes)
}

/// What the seal covers besides the text. An id has no NUL, so no other pair gives the same.
fn bound_to(key_id: &str, place: &str) -> Vec<u8> {
    format!("artifact-triggers 1\0{key_id}\0{place}").into_bytes()
}

/// Shows the ids of the keys alone.
impl fmt::Debug for XChaChaSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XChaChaSealer")
            .field("newest", &self.newest)
            .field("keys", &self.keys.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;

    fn sealer(id: &str, byte: u8) -> XChaChaSealer {
        XChaChaSealer::new(id, &Secret::new([byte; 32])).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_and_nowhere_else() {
        let one = sealer("k1", 1);
        let sealed = one.seal(b"hunter2", "trg_1/target", &OsEntropy).unwrap();
        assert!(one.open(&sealed, "trg_1/target").unwrap().matches(b"hunter2"));
        let refused = Err(SealError::Refused { key_id: "k1".to_owned() });
        for place in ["trg_2/target", "trg_1/targe", "", "trg_1/target\0"] {
            assert_eq!(one.open(&sealed, place), refused, "{place:?}");
        }
    }

    #[test]
    fn no_byte_of_it_can_be_changed_or_left_out() {
        let one = sealer("k1", 1);
        let sealed = one.seal(b"hunter2", "p", &OsEntropy).unwrap();
        let open = |bytes: &[u8]| one.open(&Sealed::new("k1", bytes).unwrap(), "p");
        assert!(open(sealed.bytes()).is_ok());
        for at in 0..sealed.bytes().len() {
            let mut changed = sealed.bytes().to_vec();
            changed[at] ^= 1;
            assert!(open(&changed).is_err(), "byte {at}");
            assert!(open(&sealed.bytes()[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn another_key_opens_nothing_whatever_its_id() {
        let sealed = sealer("k1", 1).seal(b"hunter2", "p", &OsEntropy).unwrap();
        let unknown = SealError::UnknownKey { key_id: "k1".to_owned() };
        assert_eq!(sealer("k2", 1).open(&sealed, "p"), Err(unknown));
        assert!(sealer("k1", 2).open(&sealed, "p").is_err());
        // The same bytes under another name: the id is covered.
        let renamed = Sealed::new("k2", sealed.bytes()).unwrap();
        assert!(sealer("k2", 1).open(&renamed, "p").is_err());
    }

    #[test]
    fn the_same_text_is_sealed_otherwise_each_time() {
        let one = sealer("k1", 1);
        let seal = || one.seal(b"hunter2", "p", &OsEntropy).unwrap();
        assert_ne!(seal(), seal());
    }

    /// The vector of draft-irtf-cfrg-xchacha-03, appendix A.3.1, so that it is this cipher and no
    /// other.
    #[test]
    fn the_cipher_is_the_one_of_the_draft() {
        let key: Vec<u8> = (0x80..=0x9f).collect();
        let nonce: Vec<u8> = (0x40..=0x57).collect();
        let cipher = XChaCha20Poly1305::new_from_slice(&key).unwrap();
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip \
                     for the future, sunscreen would be it.";
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let sealed = cipher.encrypt(&super::nonce(&nonce), Payload { msg: text, aad: &aad });
        let sealed = sealed.unwrap();
        assert_eq!(sealed[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
        let tag = [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79];
        assert_eq!(sealed[sealed.len() - 16..][..8], tag);
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_being_shown() {
        let refused = |id: &str, key: &[u8]| XChaChaSealer::new(id, &Secret::new(key)).unwrap_err();
        assert_eq!(refused("k", b"hunter2").to_string(), "key \"k\": expected 32 bytes, found 7");
        assert_eq!(refused("a b", &[1; 32]), SealingKeyError::Id);
        let taken = sealer("k", 1).with_old_key("k", &Secret::new([2; 32])).unwrap_err();
        assert_eq!(taken, SealingKeyError::Taken { key_id: "k".to_owned() });
    }
}
