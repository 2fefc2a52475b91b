//! Harness: HMAC-SHA256 over the body, in `X-Gitness-Signature: <hex>`.
//!
//! Source: what a Harness registry sends. The word in the middle of the field's name is
//! configurable there, so it is here.

use super::hex_mac::{self, HexField};
use super::key::SigningSecret;

/// What stands in the middle of the header's name unless it is set.
pub const DEFAULT_PREFIX: &str = "Gitness";

/// The name of the header that carries the signature.
pub(super) fn header(prefix: &str) -> String {
    format!("x-{}-signature", prefix.to_ascii_lowercase())
}

pub(super) fn field(prefix: &str) -> HexField {
    HexField { name: header(prefix), prefix: "" }
}

/// By the first secret: there is room for one signature.
pub(super) fn sign(
    prefix: &str,
    secrets: &[SigningSecret],
    body: &[u8],
) -> Option<(String, String)> {
    hex_mac::sign(&header(prefix), "", secrets, body)
}
