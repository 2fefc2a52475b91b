//! Requests and responses as plain values, of no HTTP library.
//!
//! The engine makes a [`Request`] and a [`Deliverer`](crate::deliverer::Deliverer) answers with a
//! [`Response`]; a receiver reads the [`Headers`] of what comes in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

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

/// Whether a field frames the message or belongs to the connection (RFC 9110, section 7.6.1), so that
/// only the deliverer may set it: `connection`, `content-length`, `expect`, `host`, `keep-alive`,
/// `te`, `trailer`, `transfer-encoding`, `upgrade` and all that begin with `proxy-`.
pub fn frames_the_message(name: &str) -> bool {
    let starts_with_proxy = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("proxy-"));
    starts_with_proxy || FRAMING.iter().any(|field| field.eq_ignore_ascii_case(name))
}

/// One HTTP POST that a [`Deliverer`](crate::deliverer::Deliverer) has to make, complete and signed.
#[derive(Clone)]
pub struct Request {
    /// Where to.
    pub url: Url,
    /// The header fields to send. What [frames the message](frames_the_message) is the deliverer's to
    /// add.
    pub headers: Headers,
    /// The body to send, byte by byte: the signature covers it.
    pub body: Arc<[u8]>,
    /// How long the whole exchange may take, from the look-up of the name to the last byte read.
    pub timeout: Duration,
}

/// Shows origin and size only: path, query and headers may hold credentials.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("origin", &self.url.origin().ascii_serialization())
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .finish()
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
    fn debug_shows_no_value_path_or_query() {
        let request = Request {
            url: "https://user:hunter1@example.com/hunter2?q=hunter3".parse().unwrap(),
            headers: [("authorization", "hunter4")].into_iter().collect(),
            body: Arc::from(&b"hunter5"[..]),
            timeout: Duration::from_secs(1),
        };
        let shown = format!("{request:?}");
        assert!(shown.contains("example.com") && shown.contains("authorization"), "{shown}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
