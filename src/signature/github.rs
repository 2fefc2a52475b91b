//! GitHub: HMAC-SHA256 over the body, in `X-Hub-Signature-256: sha256=<hex>`.
//!
//! Source: GitHub's documentation, "Validating webhook deliveries". Gitea, Forgejo and others send the
//! same field.

use super::hex_mac::{HexField, to_hex};
use super::key::SigningSecret;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-hub-signature-256";

const PREFIX: &str = "sha256=";

pub(super) fn field() -> HexField {
    HexField { name: SIGNATURE_HEADER.to_owned(), prefix: PREFIX }
}

/// By the first secret: there is room for one signature.
pub(super) fn sign(secrets: &[SigningSecret], body: &[u8]) -> Option<(String, String)> {
    let mac = secrets.first()?.sign(&[body]);
    Some((SIGNATURE_HEADER.to_owned(), format!("{PREFIX}{}", to_hex(&mac))))
}
