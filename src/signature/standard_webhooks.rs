//! Standard Webhooks 1.0, symmetric: HMAC-SHA256 over `id.timestamp.body`.
//!
//! Source: the Standard Webhooks specification 1.0.0, "Verifying webhook authenticity".

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Message, Signer, VerifyError, required};
use crate::clock::Timestamp;
use crate::entropy::{Entropy, OsEntropy};
use crate::request::Headers;
use crate::secret::Secret;

/// The header that carries the message's id.
pub const ID_HEADER: &str = "webhook-id";
/// The header that carries the attempt's time, in seconds since the Unix epoch.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header that carries the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

const SECRET_PREFIX: &str = "whsec_";
const SCHEME_PREFIX: &str = "v1,";

/// Secrets come with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret for signing: 24 to 64 bytes, written `whsec_` and base64.
#[derive(Clone)]
pub struct SigningSecret {
    bytes: Secret,
    /// HMAC with the key already taken in: half the work of a short message.
    keyed: Hmac<Sha256>,
}

/// A text that is no signing secret; shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a secret of the form whsec_ and the base64 of 24 to 64 bytes")]
pub struct ParseSecretError;

impl SigningSecret {
    /// The fewest bytes of a secret.
    pub const MIN_BYTES: usize = 24;
    /// The most bytes of a secret.
    pub const MAX_BYTES: usize = 64;

    /// Makes a new secret of 32 bytes from the operating system's randomness.
    pub fn generate() -> Self {
        Self::generate_with(&OsEntropy)
    }

    /// Makes a new secret of 32 bytes.
    pub fn generate_with(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(&mut *bytes);
        Self::from_bytes(bytes.as_slice()).expect("32 bytes are enough and not too many")
    }

    /// Takes a secret's bytes.
    ///
    /// # Errors
    /// Fewer than 24 or more than 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseSecretError> {
        if !(Self::MIN_BYTES..=Self::MAX_BYTES).contains(&bytes.len()) {
            return Err(ParseSecretError);
        }
        let keyed = Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length");
        Ok(Self { bytes: Secret::new(bytes), keyed })
    }

    /// The secret as `whsec_…`. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> Zeroizing<String> {
        let base64 = Zeroizing::new(general_purpose::STANDARD.encode(self.bytes.expose()));
        Zeroizing::new(format!("{SECRET_PREFIX}{}", *base64))
    }

    fn mac(&self, id: &[u8], timestamp: &[u8], body: &[u8]) -> Hmac<Sha256> {
        let mac = self.keyed.clone().chain_update(id).chain_update(b".");
        mac.chain_update(timestamp).chain_update(b".").chain_update(body)
    }
}

impl FromStr for SigningSecret {
    type Err = ParseSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let base64 = text.strip_prefix(SECRET_PREFIX).ok_or(ParseSecretError)?;
        let bytes = Zeroizing::new(LENIENT.decode(base64).map_err(|_| ParseSecretError)?);
        Self::from_bytes(&bytes)
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for SigningSecret {}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(redacted)")
    }
}

/// Signs with each of its secrets, so that receivers can change over one at a time.
///
/// ```
/// use artifact_triggers::clock::Timestamp;
/// use artifact_triggers::signature::{Message, Signer, standard_webhooks};
///
/// let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// let signer = standard_webhooks::StandardWebhooks::new([secret]);
/// let message = Message {
///     id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
///     timestamp: Timestamp::from_unix_seconds(1_614_265_330),
///     body: br#"{"test": 2432232314}"#,
/// };
/// let fields = signer.sign(&message);
/// assert_eq!(fields[2].0, "webhook-signature");
/// assert_eq!(fields[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
/// # Ok::<(), standard_webhooks::ParseSecretError>(())
/// ```
#[derive(Debug, Clone)]
pub struct StandardWebhooks {
    secrets: Vec<SigningSecret>,
}

impl StandardWebhooks {
    /// Signs with these secrets; the newest should come first.
    pub fn new(secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        Self { secrets: secrets.into_iter().collect() }
    }
}

impl Signer for StandardWebhooks {
    fn sign(&self, message: &Message<'_>) -> Vec<(&'static str, String)> {
        sign(&self.secrets, message)
    }
}

pub(crate) fn sign(
    secrets: &[SigningSecret],
    message: &Message<'_>,
) -> Vec<(&'static str, String)> {
    let timestamp = message.timestamp.unix_seconds().to_string();
    let mut signatures = String::with_capacity(secrets.len() * 48);
    for secret in secrets {
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        let mac = secret.mac(message.id.as_bytes(), timestamp.as_bytes(), message.body);
        signatures.push_str(SCHEME_PREFIX);
        general_purpose::STANDARD.encode_string(mac.finalize().into_bytes(), &mut signatures);
    }
    let mut fields = vec![(ID_HEADER, message.id.to_owned()), (TIMESTAMP_HEADER, timestamp)];
    if !signatures.is_empty() {
        fields.push((SIGNATURE_HEADER, signatures));
    }
    fields
}

/// How many signatures of a message are looked at; more than a rotation ever needs.
const MAX_SIGNATURES: usize = 16;

pub(super) fn verify(
    secrets: &[SigningSecret],
    tolerance: Duration,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<(), VerifyError> {
    let id = required(headers, ID_HEADER)?;
    let timestamp = required(headers, TIMESTAMP_HEADER)?;
    let signatures = required(headers, SIGNATURE_HEADER)?;
    if id.contains(&b'.') {
        return Err(VerifyError::Id { name: ID_HEADER });
    }
    check_time(timestamp, tolerance, now)?;
    let candidates: Vec<Vec<u8>> = signatures
        .split(|byte| *byte == b' ')
        .filter_map(|entry| entry.strip_prefix(SCHEME_PREFIX.as_bytes()))
        .filter_map(|base64| general_purpose::STANDARD.decode(base64).ok())
        .filter(|signature| signature.len() == 32)
        .take(MAX_SIGNATURES)
        .collect();
    // Every pair is tried, so that the time tells neither which secret fitted nor which signature.
    let mut fits = false;
    for secret in secrets {
        let mac = secret.mac(id, timestamp, body);
        for candidate in &candidates {
            fits |= mac.clone().verify_slice(candidate).is_ok();
        }
    }
    if fits { Ok(()) } else { Err(VerifyError::Mismatch) }
}

fn check_time(timestamp: &[u8], tolerance: Duration, now: Timestamp) -> Result<(), VerifyError> {
    let malformed = VerifyError::Timestamp { name: TIMESTAMP_HEADER };
    // Digits alone: a sign or a space would be signed text that another reader takes differently.
    if timestamp.len() > 12 || !timestamp.iter().all(u8::is_ascii_digit) {
        return Err(malformed);
    }
    let text = std::str::from_utf8(timestamp).map_err(|_| malformed.clone())?;
    let seconds: i64 = text.parse().map_err(|_| malformed)?;
    let off_seconds = seconds.abs_diff(now.unix_seconds());
    let tolerance_seconds = tolerance.as_secs();
    if off_seconds > tolerance_seconds {
        return Err(VerifyError::Time { off_seconds, tolerance_seconds });
    }
    Ok(())
}
