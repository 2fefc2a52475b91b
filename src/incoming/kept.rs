//! Kept: which header fields of a request stay with its events, for filters and templates.
//!
//! In: the names that the receiver was told to keep. Out: their values in the events'
//! `data.headers`, by their names in lower case. Whatever is asked for, no field is kept that
//! carries a secret.

use serde_json::{Map, Value, json};

use super::Notice;
use crate::document::{Problems, cut};
use crate::event::MAX_EVENT_BYTES;
use crate::request::{Headers, is_field_name};
use crate::signature::Verifier;

/// Words in the names of fields that carry secrets: credentials, and what proves who sent a
/// message.
const SECRET: [&str; 16] = [
    "auth",
    "cert",
    "cookie",
    "credential",
    "hmac",
    "jwt",
    "key",
    "passw",
    "secret",
    "session",
    "sign",
    "token",
    "signature",
    "bearer",
    "digest",
    "assertion",
];

/// The header fields of a request that stay with its events, in `data.headers`.
///
/// ```
/// use artifact_triggers::incoming::KeptHeaders;
///
/// let kept = KeptHeaders::new(["X-GitHub-Event", "X-Team"])?;
/// assert_eq!(kept.names(), ["x-github-event", "x-team"]);
/// let refused = KeptHeaders::new(["Authorization"]).unwrap_err();
/// assert!(refused.to_string().contains("carries a secret"));
/// # Ok::<(), artifact_triggers::document::Problems>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptHeaders {
    names: Vec<String>,
}

impl KeptHeaders {
    /// The most fields that are kept.
    pub const MAX_NAMES: usize = 32;
    /// The longest value that is kept, in bytes; a longer one is left out.
    pub const MAX_VALUE_BYTES: usize = 1024;

    /// Keeps the fields of these names, in whatever case. Of several fields of one name the values
    /// are joined by a comma and a space.
    ///
    /// # Errors
    /// Every problem at once, with paths such as `[1]`: no name of a field, one that carries a
    /// secret (whose name has `auth`, `cert`, `cookie`, `key`, `secret`, `sign`, `token` or the
    /// like in it), or more than [`MAX_NAMES`](Self::MAX_NAMES).
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, Problems> {
        Problems::gather(|problems| {
            let mut kept = Vec::new();
            for (n, name) in names.into_iter().enumerate() {
                let name = name.as_ref().to_ascii_lowercase();
                let shown = cut(&name);
                let path = format!("[{n}]");
                if name.len() > 128 || !is_field_name(&name) {
                    problems.add(path, format!("expected the name of a field, found {shown:?}"));
                } else if is_secret(&name) {
                    problems.add(path, format!("{shown:?} carries a secret, and is never kept"));
                } else if !kept.contains(&name) {
                    kept.push(name);
                }
            }
            let (most, found) = (Self::MAX_NAMES, kept.len());
            if found > most {
                problems.add("", format!("expected at most {most} names, found {found}"));
            }
            Some(Self { names: kept })
        })
    }

    /// The names, in lower case.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Keeps the fields with the events of a request: an event whose data has such a member of its
    /// own, is no object, or would grow too large, stays as it is.
    pub(super) fn keep(&self, headers: &Headers, by: &Verifier, notices: &mut [Notice]) {
        let names = self.names.iter().filter(|name| !by.reads(name));
        let found: Map<String, Value> = names
            .filter_map(|name| Some((name.clone(), Value::from(value(headers, name)?))))
            .collect();
        if found.is_empty() {
            return;
        }
        let size = Value::Object(found.clone()).to_string().len() + r#","data":{"headers":}"#.len();
        for notice in notices {
            let event = &mut notice.event;
            if event.to_json().len() + size > MAX_EVENT_BYTES {
                continue;
            }
            if let Value::Object(data) = event.data.get_or_insert_with(|| json!({})) {
                data.entry("headers").or_insert_with(|| Value::Object(found.clone()));
            }
        }
    }
}

/// The value of all fields of a name, if it is a text that may be kept.
fn value(headers: &Headers, name: &str) -> Option<String> {
    let all: Option<Vec<&str>> =
        headers.all(name).map(|value| std::str::from_utf8(value).ok()).collect();
    let all = all.filter(|all| !all.is_empty())?.join(", ");
    let is_plain = all.len() <= KeptHeaders::MAX_VALUE_BYTES && !all.contains(char::is_control);
    is_plain.then_some(all)
}

/// Whether fields of a name, in lower case, carry secrets.
fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::document::Problem;
    use crate::incoming::provider::{Provider, ProviderReceiver};
    use crate::incoming::{Incoming, Receiver as _};
    use crate::secret::Secret;

    const BODY: &[u8] = br#"{"repository": "acme/app", "namespace": "acme", "name": "app",
        "docker_url": "quay.io/acme/app", "updated_tags": ["1.2"], "note": "x"}"#;

    fn data(kept: &[&str], by: Verifier, fields: &[(&str, &str)]) -> Value {
        let receiver = ProviderReceiver::new(Provider::Quay, "acme".parse().unwrap(), by)
            .with_kept_headers(KeptHeaders::new(kept).unwrap());
        let headers: Headers = fields.iter().map(|(name, value)| (*name, *value)).collect();
        let incoming = Incoming { headers: &headers, body: BODY };
        let notices = receiver.open(incoming, Timestamp::UNIX_EPOCH).unwrap();
        notices[0].event.data.clone().unwrap_or_default()
    }

    #[test]
    fn what_was_asked_for_is_kept_in_lower_case_and_nothing_else() {
        let fields = [("X-Team", "a"), ("x-team", "b"), ("X-Other", "c"), ("x-empty", "")];
        let found =
            data(&["X-Team", "X-Empty", "X-Absent"], Verifier::accept_unverified(), &fields);
        assert_eq!(found["headers"], json!({"x-team": "a, b", "x-empty": ""}));
        assert_eq!(found["note"], "x", "what was there stays");
        let none = data(&[], Verifier::accept_unverified(), &fields);
        assert_eq!(none.get("headers"), None);
    }

    #[test]
    fn no_name_of_a_secret_can_be_kept() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "X-Gitlab-Token",
            "X-Hub-Signature-256",
            "webhook-signature",
            "X-Gitness-Signature",
            "Signature-Input",
            "X-Forwarded-Client-Cert",
            "X-Amz-Security-Token",
            "X-Goog-Iap-Jwt-Assertion",
            "X-ArtifactHub-Secret",
            "X-Session-Id",
            "X-Password",
        ] {
            let refused = KeptHeaders::new([name]).unwrap_err().to_string();
            let name = name.to_ascii_lowercase();
            assert_eq!(refused, format!("[0]: {name:?} carries a secret, and is never kept"));
        }
        let refused = KeptHeaders::new(["x-a", "a b", ""]).unwrap_err();
        let paths: Vec<&str> = refused.iter().map(Problem::path).collect();
        assert_eq!(paths, ["[1]", "[2]"]);
        let many = (0..33).map(|n| format!("x-{n}"));
        assert_eq!(
            KeptHeaders::new(many).unwrap_err().to_string(),
            "expected at most 32 names, found 33"
        );
    }

    #[test]
    fn what_the_verifier_reads_is_not_kept_whatever_it_is_called() {
        let by = Verifier::header_token("X-Team", Secret::new("canary"));
        let found = data(&["X-Team", "x-other"], by, &[("x-team", "canary"), ("x-other", "a")]);
        assert_eq!(found["headers"], json!({"x-other": "a"}));
    }

    #[test]
    fn a_value_that_is_long_or_no_text_is_left_out() {
        let long = "x".repeat(KeptHeaders::MAX_VALUE_BYTES + 1);
        let fields = [("x-long", long.as_str()), ("x-tab", "a\tb"), ("x-good", "é")];
        let found = data(&["x-long", "x-tab", "x-good"], Verifier::accept_unverified(), &fields);
        assert_eq!(found["headers"], json!({"x-good": "é"}));
    }
}
