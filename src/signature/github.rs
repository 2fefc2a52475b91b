//! GitHub: HMAC-SHA256 over the body, in `X-Hub-Signature-256: sha256=<hex>`.
//!
//! Source: GitHub's documentation, "Validating webhook deliveries". Gitea, Forgejo and others send
//! the same field.

use super::hex_mac::{self, HexField};
use super::key::SigningSecret;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-hub-signature-256";

const PREFIX: &str = "sha256=";

pub(super) fn field() -> HexField {
    HexField { name: SIGNATURE_HEADER.to_owned(), prefix: PREFIX }
}

/// By the first secret: there is room for one signature.
pub(super) fn sign(secrets: &[SigningSecret], body: &[u8]) -> Option<(String, String)> {
    hex_mac::sign(SIGNATURE_HEADER, PREFIX, secrets, body)
}
