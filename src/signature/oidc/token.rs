//! A token in its compact form (RFC 7515, section 7.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::request::Headers;
use crate::signature::VerifyError;
use crate::signature::verifier::required;

const HEADER: &str = "authorization";
/// The longest token, in bytes; those of known issuers have one or two thousand.
const MAX_BYTES: usize = 16 * 1024;

/// By what a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA by P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// That of a name, in the case that it has (RFC 7518, section 3.1).
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// What a request brings. Nothing of it is checked.
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) claims: Map<String, Value>,
    /// What the signature covers.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    pub(super) fn read(headers: &'a Headers) -> Result<Self, VerifyError> {
        Self::parse(required(headers, HEADER)?).ok_or(VerifyError::Malformed {
            name: HEADER,
            specification: "a bearer token of RFC 7519, by RS256 or ES256,",
        })
    }

    fn parse(value: &'a [u8]) -> Option<Self> {
        // The scheme has no case (RFC 9110, section 11.1).
        let (scheme, token) = value.split_at_checked("Bearer ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Bearer ") || token.len() > MAX_BYTES {
            return None;
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let [header, claims, signature] = [parts.next()?, parts.next()?, parts.next()?];
        if parts.next().is_some() {
            return None;
        }
        let header_members = object(header)?;
        // What must be understood is not (RFC 7515, section 4.1.11), and `b64` changes what is
        // signed.
        if header_members.contains_key("crit") || header_members.contains_key("b64") {
            return None;
        }
        let key_id = match header_members.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str()?.to_owned()),
        };
        Some(Self {
            algorithm: Algorithm::of_name(header_members.get("alg")?.as_str()?)?,
            key_id,
            claims: object(claims)?,
            signed: &token[..=header.len() + claims.len()],
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }
}

fn object(part: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
