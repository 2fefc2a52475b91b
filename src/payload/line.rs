//! The request line of a payload, and the payload of which nothing could be made.
//!
//! In: what a template says of method, path and query. Out: fields of the [`Payload`] that no
//! header field can have, as HTTP/2 writes them, so that whatever stores payloads stores these too,
//! and the request that follows from them, always of the endpoint's origin.

#[cfg(any(feature = "engine", all(test, feature = "template")))]
use url::Url;

use super::Payload;
#[cfg(any(feature = "engine", feature = "template"))]
use crate::request::Method;

#[cfg(any(feature = "engine", feature = "template"))]
const METHOD: &str = ":method";
#[cfg(any(feature = "engine", feature = "template"))]
const PATH: &str = ":path";
/// Why nothing could be made.
const UNMADE: &str = ":unmade";

impl Payload {
    /// Why a template could make no request of the event, if that is so. The body is the event's
    /// JSON then, of which it can be made once the template is mended.
    pub fn unmade(&self) -> Option<&str> {
        self.line(UNMADE)
    }

    /// What the request asks for.
    #[cfg(any(feature = "engine", all(test, feature = "template")))]
    pub(crate) fn method(&self) -> Method {
        self.line(METHOD).and_then(Method::of_name).unwrap_or_default()
    }

    /// Where the request goes, of an endpoint's URL.
    #[cfg(any(feature = "engine", all(test, feature = "template")))]
    pub(crate) fn url(&self, endpoint: &Url) -> Url {
        let mut url = endpoint.clone();
        let Some(appended) = self.line(PATH).filter(|appended| !appended.is_empty()) else {
            return url;
        };
        let (path, query) = match appended.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (appended, None),
        };
        if !path.is_empty() {
            url.set_path(&format!("{}{path}", endpoint.path().trim_end_matches('/')));
        }
        if let Some(query) = query {
            let whole = match endpoint.query().filter(|own| !own.is_empty()) {
                Some(own) => format!("{own}&{query}"),
                None => query.to_owned(),
            };
            url.set_query(Some(&whole));
        }
        url
    }

    /// The header fields that are sent.
    #[cfg(any(feature = "engine", all(test, feature = "template")))]
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let sent = self.headers.iter().filter(|(name, _)| !name.starts_with(':'));
        sent.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn line(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Says what the request asks for, and what is appended to the endpoint's URL.
    #[cfg(feature = "template")]
    pub(super) fn with_line(mut self, method: Method, appended: String) -> Self {
        self.headers.push((METHOD.to_owned(), method.to_string()));
        if !appended.is_empty() {
            self.headers.push((PATH.to_owned(), appended));
        }
        self
    }

    /// The payload of an event that a template made nothing of.
    #[cfg(any(feature = "engine", feature = "template"))]
    pub(crate) fn of_unmade(event_json: &[u8], why: impl Into<String>) -> Self {
        Self { headers: vec![(UNMADE.to_owned(), why.into())], body: event_json.into() }
    }
}
