//! Timestamped: HMAC-SHA256 over `time.body`, in a field such as
//! `Stripe-Signature: t=1492774577,v1=<hex>,v1=<hex>`.
//!
//! Source: Stripe's documentation, "Verify webhook signatures manually". The name of the field is
//! each sender's own. Parts that are neither `t` nor `v1` are skipped, as that documentation has
//! it.

use std::time::Duration;

use super::hex_mac::{from_hex, to_hex};
use super::key::SigningSecret;
use super::{Message, VerifyError, time, verifier};
use crate::clock::Timestamp;
use crate::request::Headers;

pub(super) fn sign(
    header: &str,
    secrets: &[SigningSecret],
    message: &Message<'_>,
) -> (String, String) {
    let time = message.timestamp.unix_seconds().to_string();
    let mut value = format!("t={time}");
    for secret in secrets {
        let mac = secret.sign(&[time.as_bytes(), b".", message.body]);
        value.push_str(",v1=");
        value.push_str(&to_hex(&mac));
    }
    (header.to_ascii_lowercase(), value)
}

/// What a field says.
pub(super) struct Told<'a> {
    /// The time as it is written, which is what was signed.
    pub(super) time: &'a [u8],
    pub(super) signatures: Vec<Vec<u8>>,
}

pub(super) fn read<'a>(
    header: &'a str,
    tolerance: Duration,
    headers: &'a Headers,
    now: Timestamp,
) -> Result<Told<'a>, VerifyError> {
    let value = verifier::required(headers, header)?;
    let parts = || value.split(|byte| *byte == b',');
    let mut times = parts().filter_map(|part| part.strip_prefix(b"t="));
    let (time, None) = (times.next().unwrap_or_default(), times.next()) else {
        return Err(VerifyError::Timestamp { name: "t" });
    };
    time::check(time, "t", tolerance, now)?;
    let signatures = parts()
        .filter_map(|part| part.strip_prefix(b"v1="))
        .filter_map(|hex| from_hex(hex, 32))
        .take(verifier::MAX_SIGNATURES)
        .collect();
    Ok(Told { time, signatures })
}
