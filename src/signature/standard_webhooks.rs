//! Standard Webhooks 1.0 over `id.timestamp.body`: `v1` by HMAC-SHA256, `v1a` by Ed25519.
//!
//! Source: the Standard Webhooks specification 1.0.0, "Verifying webhook authenticity".

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose;

use super::key::Algorithm;
use super::{Message, VerifyError, time, verifier};
use crate::clock::Timestamp;
use crate::request::Headers;

pub use super::key::{ParseSecretError, SigningSecret};

/// The header that carries the message's id.
pub const ID_HEADER: &str = "webhook-id";
/// The header that carries the attempt's time, in seconds since the Unix epoch.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header that carries the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

const SHARED_PREFIX: &str = "v1,";
const PAIR_PREFIX: &str = "v1a,";

/// The id and the time of a message, as they are told in any scheme.
pub(crate) fn id_and_time(message: &Message<'_>) -> [(String, String); 2] {
    let timestamp = message.timestamp.unix_seconds().to_string();
    [(ID_HEADER.to_owned(), message.id.to_owned()), (TIMESTAMP_HEADER.to_owned(), timestamp)]
}

/// By each secret, so that receivers can change over one at a time; nothing without one.
pub(super) fn sign(secrets: &[SigningSecret], message: &Message<'_>) -> Option<(String, String)> {
    let timestamp = message.timestamp.unix_seconds().to_string();
    let signed = [message.id.as_bytes(), b".", timestamp.as_bytes(), b".", message.body];
    let mut signatures = String::with_capacity(secrets.len() * 48);
    for secret in secrets {
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        signatures.push_str(match secret.algorithm() {
            Algorithm::HmacSha256 => SHARED_PREFIX,
            #[cfg(feature = "ed25519")]
            Algorithm::Ed25519 => PAIR_PREFIX,
        });
        general_purpose::STANDARD.encode_string(secret.sign(&signed), &mut signatures);
    }
    (!signatures.is_empty()).then(|| (SIGNATURE_HEADER.to_owned(), signatures))
}

/// What the fields say.
pub(super) struct Told<'a> {
    pub(super) id: &'a [u8],
    /// The time as it is written, which is what was signed.
    pub(super) time: &'a [u8],
    pub(super) shared: Vec<Vec<u8>>,
    pub(super) pairs: Vec<Vec<u8>>,
}

pub(super) fn read(
    tolerance: Duration,
    headers: &Headers,
    now: Timestamp,
) -> Result<Told<'_>, VerifyError> {
    let id = verifier::required(headers, ID_HEADER)?;
    let time = verifier::required(headers, TIMESTAMP_HEADER)?;
    let signatures = verifier::required(headers, SIGNATURE_HEADER)?;
    if id.contains(&b'.') {
        return Err(VerifyError::Id { name: ID_HEADER });
    }
    time::check(time, TIMESTAMP_HEADER, tolerance, now)?;
    let of_version = |prefix: &str, bytes: usize| -> Vec<Vec<u8>> {
        signatures
            .split(|byte| *byte == b' ')
            .filter_map(|entry| entry.strip_prefix(prefix.as_bytes()))
            .filter_map(|base64| general_purpose::STANDARD.decode(base64).ok())
            .filter(|signature| signature.len() == bytes)
            .take(verifier::MAX_SIGNATURES)
            .collect()
    };
    let (shared, pairs) = (of_version(SHARED_PREFIX, 32), of_version(PAIR_PREFIX, 64));
    Ok(Told { id, time, shared, pairs })
}
