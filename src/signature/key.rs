//! The keys that messages are signed with.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
#[cfg(feature = "ed25519")]
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::digest::{CtOutput, Output};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

#[cfg(feature = "ed25519")]
use super::public_key::PublicKey;
use crate::entropy::{Entropy, OsEntropy};
use crate::secret::Secret;

const SHARED_PREFIX: &str = "whsec_";
const TEXT_PREFIX: &str = "text:";
#[cfg(feature = "ed25519")]
const PAIR_PREFIX: &str = "whsk_";

/// Keys come with and without padding.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret for signing, in one of its forms:
///
/// | form | is | for |
/// |---|---|---|
/// | `whsec_…` | the base64 of 24 to 64 bytes | Standard Webhooks `v1`, HTTP message signatures |
/// | `text:…` | a text that was agreed on, of 1 to 256 bytes, taken as it is behind the colon | GitHub, Harness, timestamped, HTTP message signatures |
/// | `whsk_…` | with feature `ed25519`: the base64 of an Ed25519 key, 32 bytes, or 64 with its public key | Standard Webhooks `v1a`, HTTP message signatures |
///
/// A text needs its prefix, so that one that was meant to be a `whsec_` and is mistyped is no
/// secret of another kind. Nothing makes a short text safe: whoever has one signed message can try
/// them all.
#[derive(Clone)]
pub struct SigningSecret(Key);

#[derive(Clone)]
enum Key {
    Shared(Shared),
    #[cfg(feature = "ed25519")]
    Pair(Box<SigningKey>),
}

#[derive(Clone)]
struct Shared {
    form: Form,
    bytes: Secret,
    /// HMAC with the key already taken in: half the work of a short message.
    keyed: Hmac<Sha256>,
}

impl Shared {
    fn new(form: Form, bytes: &[u8]) -> Self {
        let keyed = Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length");
        Self { form, bytes: Secret::new(bytes), keyed }
    }
}

/// In which form a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `whsec_…`
    Shared,
    /// `text:…`
    Text,
    /// `whsk_…`
    #[cfg(feature = "ed25519")]
    Pair,
}

/// A text that is no signing secret; shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseSecretError {
    /// It has none of the prefixes, or what follows `whsec_` is not what it should be.
    #[error("expected a secret of the form whsec_ and the base64 of 24 to 64 bytes")]
    Shared,
    /// What follows `text:` cannot be a secret.
    #[error(
        "expected a secret of 1 to 256 bytes without control characters and white space around it"
    )]
    Text,
    /// What follows `whsk_` is no key.
    #[cfg(feature = "ed25519")]
    #[error("expected a secret of the form whsk_ and the base64 of an Ed25519 key: {0}")]
    Pair(PairError),
}

/// Why bytes are no Ed25519 key.
#[cfg(feature = "ed25519")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// It is not base64 of as many bytes.
    #[error("32 bytes, or 64 with its public key")]
    Length,
    /// The public key is another one's.
    #[error("the second 32 bytes are not the public key of the first")]
    Mismatch,
}

impl SigningSecret {
    /// The fewest bytes of a `whsec_` secret.
    pub const MIN_BYTES: usize = 24;
    /// The most bytes of a `whsec_` secret.
    pub const MAX_BYTES: usize = 64;
    /// The most bytes of a text.
    pub const MAX_TEXT_BYTES: usize = 256;

    /// Makes a new `whsec_` secret of 32 bytes from the operating system's randomness.
    pub fn generate() -> Self {
        Self::generate_with(&OsEntropy)
    }

    /// Makes a new `whsec_` secret of 32 bytes.
    pub fn generate_with(entropy: &dyn Entropy) -> Self {
        Self(Key::Shared(Shared::new(Form::Shared, random(entropy).as_slice())))
    }

    /// Makes a new Ed25519 key from the operating system's randomness.
    #[cfg(feature = "ed25519")]
    pub fn generate_ed25519() -> Self {
        Self::generate_ed25519_with(&OsEntropy)
    }

    /// Makes a new Ed25519 key.
    #[cfg(feature = "ed25519")]
    pub fn generate_ed25519_with(entropy: &dyn Entropy) -> Self {
        Self(Key::Pair(Box::new(SigningKey::from_bytes(&random(entropy)))))
    }

    /// Takes the bytes of a `whsec_` secret.
    ///
    /// # Errors
    /// Fewer than 24 or more than 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseSecretError> {
        if !(Self::MIN_BYTES..=Self::MAX_BYTES).contains(&bytes.len()) {
            return Err(ParseSecretError::Shared);
        }
        Ok(Self(Key::Shared(Shared::new(Form::Shared, bytes))))
    }

    /// Takes a text that was agreed on with the other side, as it is.
    ///
    /// # Errors
    /// It is empty or has more than 256 bytes, holds a control character, or has white space around
    /// it: a line break that was copied along is no part of it.
    pub fn from_text(text: &str) -> Result<Self, ParseSecretError> {
        let is_clean = text.trim() == text && !text.chars().any(char::is_control);
        if text.is_empty() || text.len() > Self::MAX_TEXT_BYTES || !is_clean {
            return Err(ParseSecretError::Text);
        }
        Ok(Self(Key::Shared(Shared::new(Form::Text, text.as_bytes()))))
    }

    /// Takes an Ed25519 key: its 32 bytes, or 64 with its public key behind them.
    ///
    /// # Errors
    /// Another number of bytes, or a public key that is not this key's.
    #[cfg(feature = "ed25519")]
    pub fn from_ed25519_bytes(bytes: &[u8]) -> Result<Self, PairError> {
        let (seed, public) = bytes.split_at_checked(32).ok_or(PairError::Length)?;
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).expect("it was split there"));
        let key = SigningKey::from_bytes(&seed);
        match public.len() {
            0 => {}
            32 if public == key.verifying_key().as_bytes() => {}
            32 => return Err(PairError::Mismatch),
            _ => return Err(PairError::Length),
        }
        Ok(Self(Key::Pair(Box::new(key))))
    }

    /// The secret as text, with its prefix. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> Zeroizing<String> {
        let encoded = |prefix: &str, bytes: &[u8]| {
            let base64 = Zeroizing::new(general_purpose::STANDARD.encode(bytes));
            Zeroizing::new(format!("{prefix}{}", *base64))
        };
        match &self.0 {
            Key::Shared(Shared { form: Form::Text, bytes, .. }) => {
                let text = std::str::from_utf8(bytes.expose()).expect("it was made of a text");
                Zeroizing::new(format!("{TEXT_PREFIX}{text}"))
            }
            Key::Shared(Shared { bytes, .. }) => encoded(SHARED_PREFIX, bytes.expose()),
            #[cfg(feature = "ed25519")]
            Key::Pair(key) => {
                encoded(PAIR_PREFIX, Zeroizing::new(key.to_keypair_bytes()).as_slice())
            }
        }
    }

    /// The public key that receivers verify with, if it has one.
    #[cfg(feature = "ed25519")]
    pub fn public_key(&self) -> Option<PublicKey> {
        match &self.0 {
            Key::Shared(_) => None,
            Key::Pair(key) => Some(PublicKey::of(key)),
        }
    }

    /// What tells this key from others in a signature that names its key: 16 hex digits that tell
    /// nothing of the key itself.
    pub fn key_id(&self) -> String {
        super::hex_mac::to_hex(&self.fingerprint(&[b"key id"])[..8])
    }

    /// Whether it is written `whsec_`.
    #[cfg(feature = "engine")]
    pub(crate) fn is_shared(&self) -> bool {
        self.form() == Form::Shared
    }

    pub(super) fn form(&self) -> Form {
        match &self.0 {
            Key::Shared(shared) => shared.form,
            #[cfg(feature = "ed25519")]
            Key::Pair(_) => Form::Pair,
        }
    }

    /// By which algorithm it signs.
    pub(super) fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Key::Shared(_) => Algorithm::HmacSha256,
            #[cfg(feature = "ed25519")]
            Key::Pair(_) => Algorithm::Ed25519,
        }
    }

    /// The HMAC of a message, if it is a shared secret.
    #[cfg_attr(not(feature = "ed25519"), expect(clippy::unnecessary_wraps, reason = "all are"))]
    fn mac(&self, message: &[&[u8]]) -> Option<MessageMac> {
        match &self.0 {
            Key::Shared(shared) => {
                Some(message.iter().fold(shared.keyed.clone(), Mac::chain_update).finalize())
            }
            #[cfg(feature = "ed25519")]
            Key::Pair(_) => None,
        }
    }

    /// The bytes of a shared secret.
    #[cfg(feature = "sha1")]
    #[cfg_attr(not(feature = "ed25519"), expect(clippy::unnecessary_wraps, reason = "all are"))]
    pub(super) fn shared_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Key::Shared(shared) => Some(shared.bytes.expose()),
            #[cfg(feature = "ed25519")]
            Key::Pair(_) => None,
        }
    }

    /// The signature of a message.
    pub(super) fn sign(&self, message: &[&[u8]]) -> Vec<u8> {
        match &self.0 {
            Key::Shared(shared) => {
                let mac = message.iter().fold(shared.keyed.clone(), Mac::chain_update);
                mac.finalize().into_bytes().to_vec()
            }
            #[cfg(feature = "ed25519")]
            Key::Pair(key) => key.sign(&message.concat()).to_bytes().to_vec(),
        }
    }

    /// What tells a message that this key signed from all others, whichever key signed them; tells
    /// nothing of either.
    pub(super) fn fingerprint(&self, message: &[&[u8]]) -> [u8; 32] {
        match &self.0 {
            Key::Shared(shared) => {
                let begun = shared.keyed.clone().chain_update(b"artifact-triggers fingerprint\0");
                let mac = message.iter().fold(begun, Mac::chain_update).finalize().into_bytes();
                // It is stored: the MAC itself might pass for a signature somewhere.
                Sha256::digest(mac).into()
            }
            #[cfg(feature = "ed25519")]
            Key::Pair(key) => PublicKey::of(key).fingerprint(message),
        }
    }
}

/// By which algorithm a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    HmacSha256,
    #[cfg(feature = "ed25519")]
    Ed25519,
}

fn random(entropy: &dyn Entropy) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    bytes
}

/// The MAC of a message; compared in constant time.
pub(super) type MessageMac = CtOutput<Hmac<Sha256>>;

/// The first secret that made one of these signatures, with the MAC that it makes. Every pair is
/// tried, so that the time tells neither which secret fitted nor which signature.
pub(super) fn fitting<'a>(
    secrets: &'a [SigningSecret],
    message: &[&[u8]],
    signatures: &[Vec<u8>],
) -> Option<(&'a SigningSecret, MessageMac)> {
    let mut fitting = None;
    for secret in secrets {
        let Some(mac) = secret.mac(message) else { continue };
        let mut fits = false;
        for signature in signatures {
            let told = Output::<Hmac<Sha256>>::try_from(signature.as_slice());
            fits |= told.is_ok_and(|told| CtOutput::from(told) == mac);
        }
        fitting = fitting.or(fits.then_some((secret, mac)));
    }
    fitting
}

/// What tells a message from all others by its MAC, which is of the key and of all that is signed;
/// `what` says how that is put together. It is stored: the MAC itself might pass for a signature
/// somewhere.
pub(super) fn fingerprint_of_mac(what: &[u8], mac: &MessageMac) -> [u8; 32] {
    let begun = Sha256::new_with_prefix(b"artifact-triggers fingerprint\0").chain_update(what);
    begun.chain_update(mac.as_bytes()).finalize().into()
}

impl FromStr for SigningSecret {
    type Err = ParseSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(text) = text.strip_prefix(TEXT_PREFIX) {
            return Self::from_text(text);
        }
        #[cfg(feature = "ed25519")]
        if let Some(base64) = text.strip_prefix(PAIR_PREFIX) {
            let bytes = LENIENT.decode(base64).map(Zeroizing::new);
            let pair = bytes.map_err(|_| PairError::Length);
            return pair
                .and_then(|bytes| Self::from_ed25519_bytes(&bytes))
                .map_err(ParseSecretError::Pair);
        }
        let base64 = text.strip_prefix(SHARED_PREFIX).ok_or(ParseSecretError::Shared)?;
        let bytes = Zeroizing::new(LENIENT.decode(base64).map_err(|_| ParseSecretError::Shared)?);
        Self::from_bytes(&bytes)
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Key::Shared(own), Key::Shared(other)) => {
                own.form == other.form && own.bytes == other.bytes
            }
            #[cfg(feature = "ed25519")]
            (Key::Pair(own), Key::Pair(other)) => own == other,
            #[cfg(feature = "ed25519")]
            _ => false,
        }
    }
}

impl Eq for SigningSecret {}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(redacted)")
    }
}
