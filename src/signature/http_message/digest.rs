//! `Content-Digest` (RFC 9530).

use base64::Engine as _;
use base64::engine::general_purpose;
use sha2::{Digest as _, Sha256, Sha512};

use super::super::VerifyError;
use super::fields;

/// What is sent with a body.
pub(super) fn of(body: &[u8]) -> String {
    format!("sha-256=:{}:", general_purpose::STANDARD.encode(Sha256::digest(body)))
}

/// Whether every digest that is known here is the body's, and there is one. The signature covers
/// the field; so it is no secret, and is compared as it comes.
pub(super) fn check(field: &[u8], body: &[u8]) -> Result<(), VerifyError> {
    let specification = "RFC 9530";
    let malformed = VerifyError::Malformed { name: super::DIGEST_HEADER, specification };
    let told = fields::bytes(field).ok_or(malformed)?;
    let mut is_known = false;
    for (algorithm, found) in told {
        let is_right = match algorithm {
            "sha-256" => found == Sha256::digest(body)[..],
            "sha-512" => found == Sha512::digest(body)[..],
            _ => continue,
        };
        if !is_right {
            return Err(VerifyError::Digest);
        }
        is_known = true;
    }
    if is_known { Ok(()) } else { Err(VerifyError::Digest) }
}
