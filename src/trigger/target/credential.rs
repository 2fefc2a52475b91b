//! Credentials of an endpoint: held with the trigger or by a provider, and for how long they count.

use std::fmt;

use serde_json::{Map, Value, json};

use super::Secrets;
use super::endpoint::REDACTED;
use crate::clock::Timestamp;
use crate::document::{Field, Object, Problems};
use crate::secret::Secret;
use crate::signature::{ParseSecretError, SigningSecret};

/// The longest reference to a credential that a provider keeps, in bytes.
pub(super) const MAX_REFERENCE_BYTES: usize = 512;

/// A credential: the thing itself, or the name by which a
/// [`SecretProvider`](crate::provider::SecretProvider) knows it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential<T = Secret> {
    /// The trigger holds it.
    Held(T),
    /// The engine's provider holds it, under this name; it is asked for at each attempt. The name
    /// is shown, so it must not be secret itself.
    Provided(String),
}

impl<T> Credential<T> {
    /// The name by which a provider knows it.
    #[cfg(feature = "engine")]
    pub(crate) fn reference(&self) -> Option<&str> {
        match self {
            Self::Held(_) => None,
            Self::Provided(reference) => Some(reference),
        }
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        let Self::Provided(reference) = self else { return };
        let is_name = |byte: u8| (0x21..=0x7e).contains(&byte);
        if reference.is_empty()
            || reference.len() > MAX_REFERENCE_BYTES
            || !reference.bytes().all(is_name)
        {
            let expected =
                format!("expected 1 to {MAX_REFERENCE_BYTES} printable ASCII characters");
            problems.add(format!("{path}.provider"), format!("{expected} without spaces"));
        }
    }

    /// What a provider's credential is written as.
    fn reference_value(reference: &str) -> Value {
        json!({"provider": reference})
    }
}

/// Shows the name that a provider knows it by, and nothing of what is held.
impl<T> fmt::Debug for Credential<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(_) => f.write_str("Held(redacted)"),
            Self::Provided(reference) => f.debug_tuple("Provided").field(reference).finish(),
        }
    }
}

impl Credential {
    /// A credential that the trigger holds.
    pub fn held(text: impl AsRef<str>) -> Self {
        Self::Held(Secret::new(text.as_ref()))
    }

    /// A credential that the engine's provider holds.
    pub fn provided(reference: impl Into<String>) -> Self {
        Self::Provided(reference.into())
    }

    /// Reports what no header field could carry.
    pub(super) fn check_text(&self, most: usize, path: &str, problems: &mut Problems) {
        self.check(path, problems);
        let Self::Held(secret) = self else { return };
        let is_text = |byte: u8| (0x20..=0x7e).contains(&byte);
        let bytes = secret.expose();
        if bytes.is_empty() || bytes.len() > most || !bytes.iter().copied().all(is_text) {
            problems.add(path, format!("expected printable ASCII of 1 to {most} bytes"));
        }
        if bytes == REDACTED.as_bytes() {
            problems.add(path, super::endpoint::REDACTED_VALUE);
        }
    }

    pub(super) fn to_value(&self, secrets: Secrets) -> Value {
        match self {
            Self::Provided(reference) => Self::reference_value(reference),
            Self::Held(_) if secrets == Secrets::Redacted => json!(REDACTED),
            Self::Held(secret) => json!(String::from_utf8_lossy(secret.expose())),
        }
    }
}

impl Field for Credential {
    const EXPECTED: &'static str = "a string, or an object with provider";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::held(text)),
            Value::Object(_) => {
                let mut object = Object::read(value, path, problems)?;
                let reference = object.required("provider", problems);
                object.finish(problems);
                Some(Self::Provided(reference?))
            }
            // The value is not repeated, whatever it is.
            _ => {
                problems.add(path, format!("expected {}", Self::EXPECTED));
                None
            }
        }
    }
}

/// What messages to an endpoint are signed with, and when.
///
/// Several may be active at once: messages carry a signature by each, so that receivers can change
/// over one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointSecret {
    /// The secret.
    pub value: Credential<SigningSecret>,
    /// It signs from this time on; at once if `None`.
    pub active_from: Option<Timestamp>,
    /// It signs no more from this time on; never ends if `None`.
    pub expires_at: Option<Timestamp>,
}

impl EndpointSecret {
    /// A secret that the engine's [provider](crate::provider::SecretProvider) holds, active at once
    /// and until it is taken away.
    pub fn provided(reference: impl Into<String>) -> Self {
        let value = Credential::Provided(reference.into());
        Self { value, active_from: None, expires_at: None }
    }

    /// Sets when it begins to sign.
    pub fn with_active_from(mut self, time: Timestamp) -> Self {
        self.active_from = Some(time);
        self
    }

    /// Sets when it ends to sign.
    pub fn with_expires_at(mut self, time: Timestamp) -> Self {
        self.expires_at = Some(time);
        self
    }

    /// Whether it signs what is sent at a time.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.active_from.is_none_or(|from| from <= now) && !self.has_expired(now)
    }

    /// The secret, unless a provider holds it.
    pub(crate) fn held(&self) -> Option<&SigningSecret> {
        match &self.value {
            Credential::Held(secret) => Some(secret),
            Credential::Provided(_) => None,
        }
    }

    pub(in crate::trigger) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        self.value.check(path, problems);
        if let (Some(from), Some(end)) = (self.active_from, self.expires_at)
            && end <= from
        {
            let expected = format!("expected a time after active_from ({from})");
            problems.add(format!("{path}.expires_at"), format!("{expected}, found {end}"));
        }
    }

    pub(super) fn to_value(&self, secrets: Secrets) -> Value {
        let (name, value) = match &self.value {
            Credential::Provided(reference) => ("provider", reference.clone()),
            Credential::Held(_) if secrets == Secrets::Redacted => ("secret", REDACTED.to_owned()),
            Credential::Held(secret) => ("secret", secret.expose().to_string()),
        };
        let times = [("active_from", self.active_from), ("expires_at", self.expires_at)];
        let times = times.into_iter().filter_map(|(name, time)| Some((name, json!(time?))));
        let mut members: Map<String, Value> =
            times.map(|(name, time)| (name.to_owned(), time)).collect();
        if members.is_empty() && name == "secret" {
            return json!(value);
        }
        members.insert(name.to_owned(), json!(value));
        Value::Object(members)
    }
}

impl From<SigningSecret> for EndpointSecret {
    /// Active at once and until it is taken away.
    fn from(secret: SigningSecret) -> Self {
        Self { value: Credential::Held(secret), active_from: None, expires_at: None }
    }
}

impl Field for EndpointSecret {
    const EXPECTED: &'static str =
        "a secret (whsec_…, whsk_… or text:…), or an object with secret or provider";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        if !value.is_object() {
            return SigningSecret::read(value, path, problems).map(Self::from);
        }
        let mut object = Object::read(value, path, problems)?;
        let before = problems.len();
        let held = object.optional("secret", problems).map(Credential::Held);
        let provided = object.optional("provider", problems).map(Credential::Provided);
        let active_from = object.optional("active_from", problems);
        let expires_at = object.optional("expires_at", problems);
        object.finish(problems);
        match (held, provided) {
            (Some(value), None) | (None, Some(value)) => {
                Some(Self { value, active_from, expires_at })
            }
            (None, None) if problems.len() > before => None,
            _ => {
                problems.add(path, "expected secret or provider, exactly one of them");
                None
            }
        }
    }
}

impl Field for SigningSecret {
    const EXPECTED: &'static str = "a secret (whsec_…, whsk_… or text:…)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        // The value is not repeated, whatever it is.
        let parsed = value.as_str().ok_or(ParseSecretError::Shared).and_then(str::parse);
        parsed.map_err(|error| problems.add(path, error.to_string())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn secret(from: Option<i64>, end: Option<i64>) -> EndpointSecret {
        let mut secret = EndpointSecret::provided("a");
        (secret.active_from, secret.expires_at) = (from.map(at), end.map(at));
        secret
    }

    #[test]
    fn a_secret_signs_from_its_first_instant_to_before_its_last() {
        let one = secret(Some(10), Some(20));
        assert_eq!([9, 10, 19, 20].map(|now| one.is_active(at(now))), [false, true, true, false]);
        assert!(secret(None, None).is_active(at(0)));
    }

    #[test]
    fn debug_shows_names_and_nothing_that_is_held() {
        let shown = format!("{:?} {:?}", Credential::held("hunter2"), Credential::provided("kv/a"));
        assert_eq!(shown, r#"Held(redacted) Provided("kv/a")"#);
    }
}
