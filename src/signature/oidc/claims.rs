//! What a token says (RFC 7519, section 4.1; OpenID Connect Core 1.0, section 5.1).

use std::time::Duration;

use serde_json::{Map, Value};

use super::Oidc;
use crate::clock::Timestamp;
use crate::signature::{VerifyError, time};

/// Checks the claims of a token whose signature fits.
pub(super) fn check(
    claims: &Map<String, Value>,
    expected: &Oidc,
    tolerance: Duration,
    now: Timestamp,
) -> Result<(), VerifyError> {
    let unless = |fits: bool, name| if fits { Ok(()) } else { Err(VerifyError::Claim { name }) };
    let is_issuer = |found: &str| expected.issuers.iter().any(|issuer| issuer == found);
    unless(text(claims, "iss").is_some_and(is_issuer), "iss")?;
    unless(is_for(claims.get("aud"), &expected.audience), "aud")?;
    if !expected.emails.is_empty() {
        let is_known = |found: &str| expected.emails.iter().any(|email| email == found);
        unless(text(claims, "email").is_some_and(is_known), "email")?;
        unless(claims.get("email_verified") == Some(&Value::Bool(true)), "email_verified")?;
    }
    let expires = seconds(claims, "exp")?.ok_or(VerifyError::Claim { name: "exp" })?;
    if now > expires {
        time::within(expires, tolerance, now)?;
    }
    for name in ["iat", "nbf"] {
        if let Some(since) = seconds(claims, name)?.filter(|since| now < *since) {
            time::within(since, tolerance, now)?;
        }
    }
    Ok(())
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// One audience, or several of which one is meant.
fn is_for(found: Option<&Value>, audience: &str) -> bool {
    match found {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one == audience),
        _ => false,
    }
}

/// Seconds since 1970, whole or not.
fn seconds(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<Timestamp>, VerifyError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..1e11).contains(seconds));
    #[allow(clippy::cast_possible_truncation)]
    let at = seconds.map(|seconds| Timestamp::from_unix_seconds(seconds as i64));
    at.map(Some).ok_or(VerifyError::Claim { name })
}
