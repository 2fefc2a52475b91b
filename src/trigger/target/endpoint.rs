//! An HTTP endpoint: where to, in which form, signed with what, and the fields that go with it.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value, json};
use url::Url;

use super::Secrets;
use super::auth::EndpointAuth;
use super::credential::EndpointSecret;
use crate::document::{Field, Object, Problems, cut, join};
use crate::payload::PayloadFormat;
use crate::request::{
    Headers, MAX_URL_BYTES, check_spelling, frames_the_message, is_field_name, is_field_text,
};
use crate::secret::Sealed;
use crate::signature::Scheme;
use crate::trigger::{MAX_ENTRIES, check_name};

/// What stands for a secret where it is shown.
pub(in crate::trigger) const REDACTED: &str = "[redacted]";
/// What stands for the path and query of a URL where it is shown, since they may hold a token.
const REDACTED_PATH: &str = "/[redacted]";

/// An HTTP endpoint.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Endpoint {
    /// Where to.
    pub url: Url,
    /// The form in which events are sent.
    pub format: PayloadFormat,
    /// How messages are signed.
    pub scheme: Scheme,
    /// What messages are signed with, the newest first: by all that are active at the time, where
    /// the scheme has room; not signed if there are none in the list.
    pub secrets: Vec<EndpointSecret>,
    /// Header fields to send besides; their values are treated as secrets.
    pub headers: Headers,
    /// How the engine proves to it who it is, beside the signature.
    pub auth: Option<EndpointAuth>,
    /// All of the above as it is stored where secrets are sealed. The URL is of its origin alone
    /// then, and the rest is empty.
    pub(in crate::trigger) sealed: Option<Sealed>,
}

/// Header fields that describe the message, its sender or its way, beside those that frame it: a
/// custom field must not take their place.
const RESERVED: [&str; 5] = ["content-encoding", "content-type", "forwarded", "user-agent", "via"];

/// Prefixes of header names that are the crate's to set.
const RESERVED_PREFIXES: [&str; 3] = ["webhook-", "ce-", "artifact-triggers-"];

impl Endpoint {
    /// The most custom header fields.
    pub const MAX_HEADERS: usize = 32;
    /// The longest value of a custom header field, in bytes.
    pub const MAX_HEADER_BYTES: usize = 4096;
    /// The longest URL, in bytes.
    pub const MAX_URL_BYTES: usize = MAX_URL_BYTES;

    /// An endpoint that gets the native format, not signed.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            format: PayloadFormat::Native,
            scheme: Scheme::default(),
            secrets: Vec::new(),
            headers: Headers::new(),
            auth: None,
            sealed: None,
        }
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        check_url(&self.url, &format!("{path}.url"), problems);
        if self.secrets.len() > MAX_ENTRIES {
            let found = self.secrets.len();
            let message = format!("expected at most {MAX_ENTRIES} secrets, found {found}");
            problems.add(format!("{path}.secrets"), message);
        }
        for (n, secret) in self.secrets.iter().enumerate() {
            secret.check(&format!("{path}.secrets[{n}]"), problems);
        }
        self.check_scheme(path, problems);
        self.format.check(&format!("{path}.format"), problems);
        if let Some(auth) = &self.auth {
            auth.check(&format!("{path}.auth"), problems);
        }
        self.check_headers(path, problems);
    }

    fn check_scheme(&self, path: &str, problems: &mut Problems) {
        self.scheme.check(path, self.secrets.iter().map(EndpointSecret::held), problems);
        let path = format!("{path}.scheme");
        match &self.scheme {
            Scheme::HexSha256 { header, .. } => {
                check_signing_name(&format!("{path}.hex-sha256.header"), header, problems);
            }
            Scheme::Timestamped { header } => {
                check_signing_name(&format!("{path}.timestamped.header"), header, problems);
            }
            Scheme::Signer { name } => check_name(&format!("{path}.signer"), name, problems),
            _ => {}
        }
    }

    fn check_headers(&self, path: &str, problems: &mut Problems) {
        if self.headers.len() > Self::MAX_HEADERS {
            let (most, found) = (Self::MAX_HEADERS, self.headers.len());
            let message = format!("expected at most {most} fields, found {found}");
            problems.add(format!("{path}.headers"), message);
        }
        self.check_overlaps(path, problems);
        #[cfg(feature = "template")]
        self.check_template_headers(path, problems);
        let by_auth = self.auth.as_ref().map(EndpointAuth::header);
        let (signing, set_by_format) = (self.scheme.header_names(), self.format.header_names());
        let is_in = |names: &[String], name: &str| {
            names.iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        let mut names = BTreeSet::new();
        let path = format!("{path}.headers");
        for (name, value) in self.headers.iter() {
            check_header(&path, name, value, problems);
            if by_auth.as_ref().is_some_and(|field| field.eq_ignore_ascii_case(name)) {
                problems.add(join(&path, name), "is set by auth; expected one of the two");
            }
            if is_in(&signing, name) {
                problems.add(join(&path, name), "carries the signature and cannot be overridden");
            }
            if is_in(&set_by_format, name) {
                problems.add(join(&path, name), "is set by the format and cannot be overridden");
            }
            if !names.insert(name.to_ascii_lowercase()) {
                problems
                    .add(join(&path, name), "expected once, found again in this or another case");
            }
        }
    }

    #[cfg(feature = "template")]
    fn check_template_headers(&self, path: &str, problems: &mut Problems) {
        let PayloadFormat::Template(template) = &self.format else { return };
        let path = format!("{path}.format.template.headers");
        for name in template.headers.keys() {
            check_header_name(&path, name, problems);
        }
    }

    /// Reports a field that two of scheme, format and authentication would set. All three know
    /// their names in lower case.
    fn check_overlaps(&self, path: &str, problems: &mut Problems) {
        let (signing, set_by_format) = (self.scheme.header_names(), self.format.header_names());
        if let Some(field) = self.auth.as_ref().map(EndpointAuth::header) {
            let path = format!("{path}.auth");
            if signing.contains(&field) {
                problems.add(&path, "names a field that carries the signature");
            }
            if set_by_format.contains(&field) {
                problems.add(&path, "names a field that the format sets");
            }
        }
        if signing.iter().any(|field| set_by_format.contains(field)) {
            problems.add(format!("{path}.scheme"), "names a field that the format sets");
        }
    }

    /// The order that their JSON has. Between fields of different names it means nothing.
    pub(in crate::trigger) fn sort_headers(&mut self) {
        let mut fields: Vec<_> = std::mem::take(&mut self.headers).into_iter().collect();
        fields.sort();
        self.headers = fields.into_iter().collect();
    }

    pub(in crate::trigger) fn to_value(&self, secrets: Secrets) -> Value {
        let exposed = secrets == Secrets::Exposed;
        let shown: Vec<Value> =
            self.secrets.iter().map(|secret| secret.to_value(secrets)).collect();
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| {
                let text = String::from_utf8_lossy(value);
                (name.to_owned(), json!(if exposed { text.as_ref() } else { REDACTED }))
            })
            .collect();
        let mut value = json!({
            "url": shown_url(&self.url, secrets),
            "format": self.format,
            "secrets": shown,
            "headers": headers,
        });
        // Left out where it says nothing new: versions that know no schemes read it too.
        if self.scheme != Scheme::default() {
            value["scheme"] = self.scheme.to_value();
        }
        if let Some(auth) = &self.auth {
            value["auth"] = auth.to_value(secrets);
        }
        if let Some(sealed) = &self.sealed {
            value["sealed"] = json!({"key": sealed.key_id(), "text": sealed.to_base64()});
        }
        value
    }
}

/// Shows the origin only: the path and query may hold a token.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("origin", &self.url.origin().ascii_serialization())
            .field("format", &self.format)
            .field("scheme", &self.scheme)
            .field("secrets", &self.secrets.len())
            .field("headers", &self.headers)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// A URL as it is shown: of the path and the query, only that there is more than a slash.
pub(super) fn shown_url(url: &Url, secrets: Secrets) -> Value {
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match secrets {
        Secrets::Redacted if !is_bare => {
            json!(format!("{}{REDACTED_PATH}", url.origin().ascii_serialization()))
        }
        _ => json!(url.as_str()),
    }
}

/// Stands for an address that could not be read, or was not given yet.
pub(in crate::trigger) fn no_url() -> Url {
    Url::parse("https://invalid.").expect("it is a URL")
}

pub(in crate::trigger) fn parse_url(
    text: &str,
    path: &str,
    problems: &mut Problems,
) -> Option<Url> {
    // The text itself is not repeated: it may hold a token.
    if let Err(spelling) = check_spelling(text) {
        problems.add(path, format!("expected an absolute URL: {spelling}"));
        return None;
    }
    Url::parse(text)
        .map_err(|error| problems.add(path, format!("expected an absolute URL: {error}")))
        .ok()
}

pub(super) fn check_url(url: &Url, path: &str, problems: &mut Problems) {
    if !matches!(url.scheme(), "http" | "https") {
        problems.add(path, format!("expected https (or http), found {}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        problems.add(path, "expected no user and password; use a header instead");
    }
    if url.port() == Some(0) {
        problems.add(path, "expected a port from 1 to 65535, found 0");
    }
    if url.path() == REDACTED_PATH {
        problems.add(path, "expected the path itself, not [redacted]");
    }
    // What is stored must be readable: the same is asked of the text.
    if let Err(spelling) = check_spelling(url.as_str()) {
        problems.add(path, format!("expected an absolute URL: {spelling}"));
    }
}

fn check_header(path: &str, name: &str, value: &[u8], problems: &mut Problems) {
    if !check_header_name(path, name, problems) {
        return;
    }
    let path = join(path, name);
    if value.len() > Endpoint::MAX_HEADER_BYTES || !is_field_text(value) {
        let most = Endpoint::MAX_HEADER_BYTES;
        problems.add(&path, format!("expected printable ASCII of at most {most} bytes"));
    }
    // What is stored must be readable, and reading refuses it.
    if value == REDACTED.as_bytes() {
        problems.add(path, REDACTED_VALUE);
    }
}

/// Reports a name that no field has, or that is not the trigger's to set; tells whether it is a
/// name.
pub(super) fn check_header_name(path: &str, name: &str, problems: &mut Problems) -> bool {
    if !is_header_name(name) {
        let shown = cut(name);
        problems.add(path, format!("expected names of header fields, found {shown:?}"));
        return false;
    }
    if is_reserved(name) {
        problems.add(join(path, name), RESERVED_NAME);
    }
    true
}

/// Reports the name of a field that is to carry a signature and cannot.
fn check_signing_name(path: &str, header: &str, problems: &mut Problems) {
    if !is_header_name(header) {
        let found = cut(header);
        problems.add(path, format!("expected the name of a header field, found {found:?}"));
    } else if is_reserved(header) {
        problems.add(path, RESERVED_NAME);
    }
}

/// Whether a header field of a trigger may have the name.
fn is_header_name(name: &str) -> bool {
    name.len() <= MAX_ENTRIES && is_field_name(name)
}

/// Whether a header field of the name is not the trigger's to set.
fn is_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_prefixed = RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    frames_the_message(&lower) || RESERVED.contains(&lower.as_str()) || is_prefixed
}

const RESERVED_NAME: &str = "is set by the crate or the connection and cannot be overridden";

pub(super) const REDACTED_VALUE: &str = "expected the value itself, not [redacted]";

impl Field for Endpoint {
    const EXPECTED: &'static str = "an endpoint (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let url_path = object.path("url");
        let url = object.required::<String>("url", problems);
        let format = object.optional("format", problems).unwrap_or_default();
        let scheme = object.optional("scheme", problems).unwrap_or_default();
        let secrets = object.optional("secrets", problems).unwrap_or_default();
        let headers: Map<String, Value> = object.optional("headers", problems).unwrap_or_default();
        let headers_path = object.path("headers");
        let auth = object.optional("auth", problems);
        let sealed = object.optional("sealed", problems);
        object.finish(problems);
        let mut fields = Headers::new();
        for (name, value) in headers {
            match value {
                Value::String(value) if value == REDACTED => {
                    problems.add(join(&headers_path, &name), REDACTED_VALUE);
                }
                Value::String(value) => fields.push(name, value),
                // The value is not repeated: it may be a credential.
                _ => problems.add(join(&headers_path, &name), "expected a string"),
            }
        }
        let url = url.and_then(|url| parse_url(&url, &url_path, problems)).unwrap_or_else(no_url);
        Some(Self { url, format, scheme, secrets, headers: fields, auth, sealed })
    }
}

impl Field for Sealed {
    const EXPECTED: &'static str = "what was sealed (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let key = object.required::<String>("key", problems);
        let text = object.required::<String>("text", problems);
        object.finish(problems);
        let sealed = Self::from_base64(key?, &text?);
        if sealed.is_none() {
            problems.add(path, format!("expected {}", Self::EXPECTED));
        }
        sealed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(url: &str) -> String {
        let checked = Problems::gather(|problems| {
            let endpoint = Endpoint::new(parse_url(url, "url", problems)?);
            endpoint.check("target", problems);
            Some(endpoint)
        });
        checked.map_or_else(|problems| problems.to_string(), |_| "nothing".to_owned())
    }

    #[test]
    fn a_url_is_checked_as_it_is_written_and_as_it_is_read() {
        assert_eq!(found("https://example.com:8443/a?b=c#d"), "nothing");
        let long = format!("https://example.com/{}", "\u{e9}".repeat(1000));
        for (url, expected) in [
            ("https://@example.com/", "it holds a user or a password"),
            ("https://a@example.com/", "no user and password"),
            ("https:/example.com/", "two slashes"),
            ("https://example.com/ x", "it holds a backslash, white space"),
            ("https://example.com:0/", "a port from 1 to 65535"),
            ("gopher://example.com/", "https (or http)"),
            (&long, "it has 6020 bytes, more than 2048"),
        ] {
            assert!(found(url).contains(expected), "{url}: {}", found(url));
        }
    }

    #[test]
    fn a_url_that_could_not_be_read_back_is_refused() {
        let endpoint = Endpoint::new("https://example.com/?a\\b".parse().unwrap());
        let checked = Problems::gather(|problems| {
            endpoint.check("target", problems);
            Some(())
        });
        assert!(checked.unwrap_err().to_string().contains("it holds a backslash"));
    }
}
