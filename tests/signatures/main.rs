//! Signature schemes: published vectors, what is nearly right, and a million mutations.

#[cfg(feature = "ed25519")]
mod ed25519;
mod http_message;
mod keys;
mod mutations;
#[cfg(feature = "oidc")]
mod oidc;
mod one_header;
mod standard_webhooks;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::request::Headers;
use artifact_triggers::signature::{Message, Scheme, SigningSecret};
use serde::Deserialize;

pub(crate) const BODY: &[u8] = b"{\"test\": 2432232314}";
pub(crate) const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
pub(crate) const SENT: i64 = 1_614_265_330;

/// Published vectors, each with its source.
#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) standard_webhooks_v1: Vec<Vector>,
    pub(crate) standard_webhooks_v1a: Vec<Vector>,
    pub(crate) github_sha256: Vec<BodyVector>,
    pub(crate) harness_sha256_hex: Vec<BodyVector>,
    pub(crate) timestamped: Vec<BodyVector>,
    #[cfg_attr(not(feature = "sha1"), expect(dead_code, reason = "read where it is verified"))]
    pub(crate) hub_sha1: Vec<BodyVector>,
}

#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) source: String,
    pub(crate) secret: String,
    #[cfg_attr(not(feature = "ed25519"), expect(dead_code, reason = "read where it is verified"))]
    pub(crate) public: Option<String>,
    pub(crate) id: String,
    pub(crate) timestamp: i64,
    pub(crate) body: String,
    pub(crate) signature: String,
}

/// A vector of a scheme that has one header.
#[derive(Deserialize)]
pub(crate) struct BodyVector {
    pub(crate) source: String,
    pub(crate) secret: String,
    pub(crate) timestamp: Option<i64>,
    pub(crate) body: String,
    pub(crate) header: String,
}

pub(crate) fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../data/signatures.json")).unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

pub(crate) fn secret(fill: u8) -> SigningSecret {
    SigningSecret::from_bytes(&[fill; 32]).unwrap()
}

pub(crate) fn text(secret: &str) -> SigningSecret {
    SigningSecret::from_text(secret).unwrap()
}

pub(crate) fn signed_by(
    scheme: &Scheme,
    secrets: &[SigningSecret],
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Headers {
    scheme.sign(secrets, &Message::new(id, at(timestamp), body)).unwrap()
}

/// The headers with one of them replaced.
pub(crate) fn with(headers: &Headers, name: &str, value: impl Into<Vec<u8>>) -> Headers {
    let mut value = Some(value.into());
    let fields = headers.iter().map(|(field, old)| {
        let new = if field == name { value.take() } else { None };
        (field.to_owned(), new.unwrap_or_else(|| old.to_vec()))
    });
    fields.collect()
}
