//! HMAC-SHA1 over the body, in `X-Hub-Signature: sha1=<hex>`: verified only, for senders that have
//! nothing better.
//!
//! Nothing that expects HMAC-SHA256 takes it. Nexus sends the bare hex digits in
//! `X-Nexus-Webhook-Signature`.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::hex_mac::HexField;
use super::key::SigningSecret;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-hub-signature";

/// How many bytes a MAC has.
pub(super) const BYTES: usize = 20;

pub(super) fn field() -> HexField {
    HexField { name: SIGNATURE_HEADER.to_owned(), prefix: "sha1=" }
}

pub(super) fn bare(name: String) -> HexField {
    HexField { name, prefix: "" }
}

/// The first secret that made one of these signatures; every pair is tried.
pub(super) fn fitting<'a>(
    secrets: &'a [SigningSecret],
    body: &[u8],
    signatures: &[Vec<u8>],
) -> Option<&'a SigningSecret> {
    let mut fitting = None;
    for secret in secrets {
        let Some(key) = secret.shared_bytes() else { continue };
        let mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
        let mac = mac.chain_update(body);
        for signature in signatures {
            let fits = mac.clone().verify_slice(signature).is_ok();
            fitting = fitting.or(fits.then_some(secret));
        }
    }
    fitting
}
