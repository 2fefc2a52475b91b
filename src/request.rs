//! Requests and responses as plain values, of no HTTP library.
//!
//! The engine makes a [`Request`] and a [`Deliverer`](crate::deliverer::Deliverer) answers with a
//! [`Response`] or a [`DeliverError`]; a receiver reads the [`Headers`] of what comes in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::Datelike as _;
use url::Url;

use crate::clock::Timestamp;
use crate::document::span;
use crate::event::Scope;

/// Header fields in order, names compared without case (RFC 9110, section 5.1).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field behind those that are there.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.push((name.into(), value.into()));
    }

    /// The values of all fields of a name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_slice())
    }

    /// The value of the only field of a name; `None` if there is none or more than one.
    pub fn only<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl<N: Into<String>, V: Into<Vec<u8>>> Extend<(N, V)> for Headers {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, fields: I) {
        self.0.extend(fields.into_iter().map(|(name, value)| (name.into(), value.into())));
    }
}

impl IntoIterator for Headers {
    type Item = (String, Vec<u8>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Shows the names only: values may hold credentials.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Fields that frame a message or belong to one connection.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a field frames the message or belongs to the connection (RFC 9110, section 7.6.1), so
/// that only the deliverer may set it: `connection`, `content-length`, `expect`, `host`,
/// `keep-alive`, `te`, `trailer`, `transfer-encoding`, `upgrade` and all that begin with `proxy-`.
pub fn frames_the_message(name: &str) -> bool {
    let starts_with_proxy = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("proxy-"));
    starts_with_proxy || FRAMING.iter().any(|field| field.eq_ignore_ascii_case(name))
}

/// Whether a header field may have a name, of whatever length (RFC 9110, section 5.6.2).
pub(crate) fn is_field_name(name: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(is_token)
}

/// Whether a value is printable ASCII, which any header field may have.
pub(crate) fn is_field_text(value: &[u8]) -> bool {
    value.iter().all(|b| *b == b'\t' || (0x20..=0x7e).contains(b))
}

/// The longest URL, in bytes.
pub(crate) const MAX_URL_BYTES: usize = 2048;

/// What is wrong with how a URL is written. Nothing of it is repeated: it may hold a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Spelling {
    #[error("it has {found} bytes, more than {MAX_URL_BYTES}")]
    Length { found: usize },
    #[error("it holds a backslash, white space or a control character")]
    Ambiguous,
    #[error("it does not have two slashes before the host")]
    Slashes,
    #[error("it holds a user or a password")]
    UserInfo,
}

/// Checks how a URL is written, which parsing forgets: spellings that parsers read differently are
/// no URLs to us.
pub(crate) fn check_spelling(text: &str) -> Result<(), Spelling> {
    if text.len() > MAX_URL_BYTES {
        return Err(Spelling::Length { found: text.len() });
    }
    if text.contains(|c: char| c == '\\' || c.is_control() || c.is_whitespace()) {
        return Err(Spelling::Ambiguous);
    }
    let Some((scheme, rest)) = text.split_once(':') else { return Ok(()) };
    if !["http", "https"].iter().any(|http| http.eq_ignore_ascii_case(scheme)) {
        return Ok(());
    }
    let rest = rest.strip_prefix("//").filter(|rest| !rest.starts_with('/'));
    let rest = rest.ok_or(Spelling::Slashes)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user_info = authority.rsplit_once('@').map(|(user_info, _)| user_info);
    // Any other is still there after parsing.
    if matches!(user_info, Some("" | ":")) { Err(Spelling::UserInfo) } else { Ok(()) }
}

/// What a request asks for (RFC 9110, section 9.3). A webhook is a POST, unless a template says
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Method {
    /// `POST`.
    #[default]
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
    /// `GET`, without a body.
    Get,
    /// `HEAD`, without a body, and without one in the answer.
    Head,
}

impl Method {
    /// Those that a template may name.
    #[cfg(any(feature = "engine", feature = "template"))]
    const ALL: [Self; 5] = [Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Get];

    /// The method's name, as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }

    /// The method of a name, which has a case.
    #[cfg(any(feature = "engine", feature = "template"))]
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One HTTP request that a [`Deliverer`](crate::deliverer::Deliverer) has to make, complete and
/// signed.
#[derive(Clone)]
pub struct Request {
    /// What it asks for.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The header fields to send. What [frames the message](frames_the_message) is the deliverer's
    /// to add.
    pub headers: Headers,
    /// The body to send, byte by byte: the signature covers it.
    pub body: Arc<[u8]>,
    /// How long the whole exchange may take, from the look-up of the name to the last byte read.
    pub timeout: Duration,
    /// For whom: the scope of the trigger, by which a deliverer may dial less than it otherwise
    /// does.
    pub scope: Scope,
    /// How much of the answer's body is wanted, in bytes, if that is more than the deliverer keeps
    /// by itself.
    pub response_bytes: usize,
}

/// Shows origin and size only: path, query and headers may hold credentials.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("origin", &self.url.origin().ascii_serialization())
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// What an endpoint answered.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The beginning of the body, as far as it was read; empty if it could not be.
    pub body: Vec<u8>,
    /// Whether the body is all that there was; `false` also where that is not known.
    pub complete: bool,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverError {
    /// The address may not be dialled. The delivery is dead.
    #[error("blocked: {reason}")]
    Blocked {
        /// Why, for a tenant to read.
        reason: String,
    },
    /// The request cannot be made: a header that is none, a URL without a host. The delivery is
    /// dead.
    #[error("the request cannot be made: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// The endpoint did not answer in time. Tried again.
    #[error("no answer within {}", span::print(*.after))]
    Timeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// No connection: the name is unknown, the port closed, TLS failed, or it took too long. Tried
    /// again.
    #[error("no connection: {reason}")]
    Connect {
        /// Why.
        reason: String,
    },
    /// The connection broke before the response's head was complete. Tried again.
    #[error("the exchange broke off: {reason}")]
    Broken {
        /// Why.
        reason: String,
    },
}

/// How long an endpoint asks to be left alone: `Retry-After` in seconds or as an HTTP date (RFC
/// 9110, section 10.2.3). `None` if it does not, or not understandably.
pub fn retry_after(headers: &Headers, now: Timestamp) -> Option<Duration> {
    let text = std::str::from_utf8(headers.only("retry-after")?).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are as good as forever; the policy caps it.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    Some(http_date(text, now)?.since(now))
}

/// A date in one of the forms of RFC 9110, section 5.6.7: today's, that of RFC 850, that of C.
/// Written as it is printed: chrono alone takes signs, years of any length and missing white space
/// as well.
fn http_date(text: &str, now: Timestamp) -> Option<Timestamp> {
    let read = |text: &str, form| {
        let date = chrono::NaiveDateTime::parse_from_str(text, form).ok()?;
        (date.format(form).to_string() == text).then_some(date)
    };
    let date = read(text, "%a, %d %b %Y %H:%M:%S GMT")
        .or_else(|| read(&with_century(text, now)?, "%A, %d-%b-%Y %H:%M:%S GMT"))
        .or_else(|| read(text, "%a %b %e %H:%M:%S %Y"))?;
    Some(Timestamp::from_datetime(date.and_utc()))
}

/// A date of RFC 850, `Sunday, 06-Nov-94 08:49:37 GMT`, with all digits of its year: the last one
/// that ends so and is not more than 50 years ahead.
fn with_century(text: &str, now: Timestamp) -> Option<String> {
    let (day, rest) = text.rsplit_once('-')?;
    let (digits, time) = rest.split_at_checked(2)?;
    let ending: i32 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let latest = now.to_datetime().year() + 50;
    Some(format!("{day}-{:04}{time}", latest - (latest - ending).rem_euclid(100)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_doubles_are_not_the_only_one() {
        let headers: Headers = [("A", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
        assert_eq!(headers.all("a").collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!(headers.only("a"), None);
        assert_eq!(headers.only("B"), Some(&b"2"[..]));
        assert_eq!(headers.only("c"), None);
    }

    #[test]
    fn what_frames_the_message_is_known_in_any_case() {
        for name in ["Host", "content-length", "TE", "proxy-authorization", "Proxy-Anything"] {
            assert!(frames_the_message(name), "{name}");
        }
        for name in ["", "x-host", "content-type", "proxy", "prox\u{e9}-x", "user-agent"] {
            assert!(!frames_the_message(name), "{name}");
        }
    }

    #[test]
    fn spellings_that_parsers_read_differently_are_refused() {
        for (text, expected) in [
            ("https://a.example\\@b.example/", Spelling::Ambiguous),
            ("https://a.example/?q=\\", Spelling::Ambiguous),
            (" https://a.example/", Spelling::Ambiguous),
            ("https://a.example/\u{3000}", Spelling::Ambiguous),
            ("ht\ntps://a.example/", Spelling::Ambiguous),
            ("https:a.example", Spelling::Slashes),
            ("HTTPS:///a.example", Spelling::Slashes),
            ("http:/a.example", Spelling::Slashes),
            ("https://@a.example/", Spelling::UserInfo),
            ("https://:@a.example/", Spelling::UserInfo),
        ] {
            assert_eq!(check_spelling(text), Err(expected), "{text:?}");
        }
        let long = format!("https://a.example/{}", "x".repeat(MAX_URL_BYTES));
        assert_eq!(check_spelling(&long), Err(Spelling::Length { found: long.len() }));
        for text in ["https://a.example/@b?c=@d#@", "ftp:a", "mailto:@a", "not-a-url", ""] {
            assert_eq!(check_spelling(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn debug_shows_no_value_path_or_query() {
        let request = Request {
            method: Method::Post,
            url: "https://user:hunter1@example.com/hunter2?q=hunter3".parse().unwrap(),
            headers: [("authorization", "hunter4")].into_iter().collect(),
            body: Arc::from(&b"hunter5"[..]),
            timeout: Duration::from_secs(1),
            scope: Scope::root(),
            response_bytes: 0,
        };
        let shown = format!("{request:?}");
        assert!(shown.contains("example.com") && shown.contains("authorization"), "{shown}");
        assert!(!shown.contains("hunter"), "{shown}");
    }

    fn wanted(text: &str) -> Option<Duration> {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        retry_after(&[("Retry-After", text)].into_iter().collect(), now)
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(wanted("120"), Some(Duration::from_secs(120)));
        assert_eq!(wanted(" 0 "), Some(Duration::ZERO));
        assert_eq!(wanted("Mon, 23 Nov 2026 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wanted("Mon, 23 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wanted("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn a_date_is_understood_in_each_form_that_http_knows() {
        for text in [
            "Mon, 23 Nov 2026 12:00:30 GMT",
            "Monday, 23-Nov-26 12:00:30 GMT",
            "Mon Nov 23 12:00:30 2026",
        ] {
            assert_eq!(wanted(text), Some(Duration::from_secs(30)), "{text}");
        }
        assert_eq!(wanted("Sun Nov  1 12:00:30 2026"), Some(Duration::ZERO));
        assert_eq!(wanted("Mon, 23 Nov 2026 12:00:60 GMT"), Some(Duration::from_secs(60)));
        let year = |text| wanted(text).map(|wait| wait.as_secs() / (365 * 86_400));
        // Two digits mean a year of the next fifty, or else one that has passed.
        assert_eq!(year("Sunday, 22-Nov-76 12:00:30 GMT"), Some(50));
        assert_eq!(year("Wednesday, 23-Nov-77 12:00:30 GMT"), Some(0));
        assert_eq!(year("Sunday, 06-Nov-94 08:49:37 GMT"), Some(0));
    }

    #[test]
    fn anything_else_is_as_if_it_were_not_there() {
        for text in [
            "",
            "-5",
            "1.5",
            "soon",
            "Mon, 23 Nov 2026",
            "5 s",
            "Tue, 23 Nov 2026 12:00:30 GMT",
            "Monday, 23-Nov-2026 12:00:30 GMT",
            "Monday, 23-Nov-\u{e9} 12:00:30 GMT",
            "Monday, 23-Nov-+6 12:00:30 GMT",
            // Found by fuzzing.
            "Mon Nov 6 1:0:3+064000",
            "Mon, 23-Nov-2600:03:0 GMT",
            "Mon,29Dec 2025 12:0:59 GMT",
        ] {
            assert_eq!(wanted(text), None, "{text}");
        }
    }
}
