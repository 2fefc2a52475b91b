//! HTTP Message Signatures (RFC 9421) over method, address, `Content-Digest` (RFC 9530), media type
//! and message id, by HMAC-SHA256 or, with feature `ed25519`, by Ed25519.
//!
//! Two header fields carry it: `Signature-Input` says what is covered, when, and by which key;
//! `Signature` holds the signatures. What is sent has one of each secret, `sig1`, `sig2` and so on,
//! with [`key_id`](SigningSecret::key_id) as `keyid`.
//!
//! # What is verified
//! A signature is taken if it covers `@method`, the address (`@target-uri`, or `@authority`,
//! `@path` and, where there is one, `@query`), `content-digest`, and of `content-type` and
//! `webhook-id` those that the request has; if `created` is near enough and `expires` has not come;
//! and if the digest is the body's. Other fields may be covered too. Components with parameters,
//! such as `"@query-param";name="a"`, are not known, nor are other spellings than those that RFC
//! 8941 gives when it serialises: nothing that was signed may be read in two ways.

mod components;
mod digest;
mod fields;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose;

use super::key::{Algorithm, SigningSecret};
use super::standard_webhooks::{ID_HEADER, id_and_time};
use super::verifier::{self, Identity, Keys, VerifyError};
use super::{Message, SignError, time};
use crate::clock::Timestamp;
use crate::request::Headers;
pub(super) use components::Target;
use fields::Input;

/// The header that carries the digest of the body.
pub const DIGEST_HEADER: &str = "content-digest";
/// The header that says what is covered.
pub const INPUT_HEADER: &str = "signature-input";
/// The header that carries the signatures.
pub const SIGNATURE_HEADER: &str = "signature";

const CONTENT_TYPE: &str = "content-type";

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            #[cfg(feature = "ed25519")]
            Self::Ed25519 => "ed25519",
        }
    }
}

/// The fields to send, beside id and time.
pub(super) fn sign(
    secrets: &[SigningSecret],
    message: &Message<'_>,
) -> Result<[(String, String); 3], SignError> {
    let url = message.url.ok_or(SignError::Incomplete { what: "address" })?;
    let digest = digest::of(message.body);
    let mut covered = vec!["@method", "@target-uri", DIGEST_HEADER];
    let mut told: Headers = id_and_time(message).into_iter().collect();
    told.push(DIGEST_HEADER, digest.as_str());
    if let Some(content_type) = message.content_type {
        told.push(CONTENT_TYPE, content_type);
        covered.push(CONTENT_TYPE);
    }
    covered.extend([ID_HEADER, super::standard_webhooks::TIMESTAMP_HEADER]);
    let target = Target::of(message.method, url);
    let (mut inputs, mut signatures) = (Vec::new(), Vec::new());
    for (n, secret) in secrets.iter().enumerate() {
        let label = format!("sig{}", n + 1);
        let (created, key) = (message.timestamp.unix_seconds(), secret.key_id());
        let list = covered.join("\" \"");
        let algorithm = secret.algorithm().name();
        let input = format!("(\"{list}\");created={created};keyid=\"{key}\";alg=\"{algorithm}\"");
        let base = components::base(&covered, &input, &target, &told);
        let base = base.map_err(|_| SignError::Incomplete { what: "fields in one line each" })?;
        let signature = secret.sign(&[&base]);
        signatures.push(format!("{label}=:{}:", general_purpose::STANDARD.encode(signature)));
        inputs.push(format!("{label}={input}"));
    }
    Ok([
        (DIGEST_HEADER.to_owned(), digest),
        (INPUT_HEADER.to_owned(), inputs.join(", ")),
        (SIGNATURE_HEADER.to_owned(), signatures.join(", ")),
    ])
}

/// The fingerprint of a message that one of the keys signed.
pub(super) fn verify(
    target: &Target,
    keys: &Keys,
    tolerance: Duration,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<[u8; 32], VerifyError> {
    let inputs = fields::inputs(verifier::required(headers, INPUT_HEADER)?);
    let inputs = inputs.ok_or(malformed(INPUT_HEADER))?;
    let signatures = fields::bytes(verifier::required(headers, SIGNATURE_HEADER)?);
    let signatures = signatures.ok_or(malformed(SIGNATURE_HEADER))?;
    digest::check(verifier::required(headers, DIGEST_HEADER)?, body)?;
    let (mut found, mut refused) = (None, None);
    for input in inputs.iter().take(verifier::MAX_SIGNATURES) {
        let signature = signatures.iter().find(|(label, _)| *label == input.label);
        let signature = signature.map(|(_, bytes)| bytes);
        let checked = check(input, target, tolerance, headers, now)
            .and_then(|()| fit(input, signature, target, keys, headers));
        match checked {
            Ok(fingerprint) => found = found.or(Some(fingerprint)),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    found.ok_or(refused.unwrap_or(VerifyError::Mismatch))
}

/// Whether a signature covers what it must and is of now.
fn check(
    input: &Input<'_>,
    target: &Target,
    tolerance: Duration,
    headers: &Headers,
    now: Timestamp,
) -> Result<(), VerifyError> {
    let covers = |name: &str| input.components.contains(&name);
    let covers_path = covers("@authority") && covers("@path");
    let covers_target = covers_path && (covers("@query") || !target.has_query());
    for (component, is_covered) in [
        ("@method", covers("@method")),
        ("@target-uri", covers("@target-uri") || covers_target),
        (DIGEST_HEADER, covers(DIGEST_HEADER)),
        (CONTENT_TYPE, covers(CONTENT_TYPE) || headers.all(CONTENT_TYPE).next().is_none()),
        (ID_HEADER, covers(ID_HEADER) || headers.all(ID_HEADER).next().is_none()),
    ] {
        if !is_covered {
            return Err(VerifyError::NotCovered { component });
        }
    }
    let created = input.created.ok_or(VerifyError::Timestamp { name: "created" })?;
    time::check(created.as_bytes(), "created", tolerance, now)?;
    let Some(expires) = input.expires else { return Ok(()) };
    time::check_not_past(expires.as_bytes(), "expires", now)
}

/// Whether one of the keys made a signature.
fn fit(
    input: &Input<'_>,
    signature: Option<&Vec<u8>>,
    target: &Target,
    keys: &Keys,
    headers: &Headers,
) -> Result<[u8; 32], VerifyError> {
    let base = components::base(&input.components, input.text, target, headers)?;
    let of = |name: &str, bytes: usize| -> Vec<Vec<u8>> {
        let is_of = input.algorithm.is_none_or(|told| told == name);
        signature.into_iter().filter(|one| is_of && one.len() == bytes).cloned().collect()
    };
    let (shared, pairs) = (of("hmac-sha256", 32), of("ed25519", 64));
    let id = headers.only(ID_HEADER).filter(|_| input.components.contains(&ID_HEADER));
    let identity = id.map_or(Identity::Signed(b"base"), Identity::Id);
    keys.fitting(&[&base], &shared, &pairs, identity).ok_or(VerifyError::Mismatch)
}

fn malformed(name: &'static str) -> VerifyError {
    VerifyError::Malformed { name, specification: "RFC 9421" }
}

#[cfg(test)]
mod tests;
