//! A registry as all upstreams know it: its address, who may ask, and how its answers are judged.
//!
//! In: a question. Out: an answer whose status says that there is one, whole, or the error that the
//! status says. Everything goes by the deliverer, whose address policy covers it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::credentials::{Credentials, UpstreamUrlError};
use super::{Ask, UpstreamError};
use crate::clock::Timestamp;
use crate::deliverer::Deliverer;
use crate::document::{Object, Problems, parse_foreign};
use crate::event::Scope;
use crate::request::{
    DeliverError, Headers, Method, Request, Response, check_spelling, is_field_text, retry_after,
};
use crate::secret::Secret;

/// How long one answer may take, unless it is said otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest `ETag` or `Last-Modified` that is kept, in bytes.
const MAX_VALIDATOR_BYTES: usize = 512;

/// A registry that is asked.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) deliverer: Arc<dyn Deliverer>,
    /// Its path ends with a slash.
    pub(super) base: Url,
    pub(super) name: Option<String>,
    pub(super) within: Scope,
    pub(super) timeout: Duration,
    pub(super) max_bytes: usize,
    pub(super) credentials: Credentials,
}

/// What a registry is asked.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'a [&'a str],
    /// What is sent to be told that nothing has changed.
    pub(super) validator: Option<&'a str>,
    pub(super) authorization: Option<Secret>,
    pub(super) scope: &'a Scope,
}

impl<'a> Question<'a> {
    pub(super) fn get(url: Url, scope: &'a Scope) -> Self {
        let method = Method::Get;
        Self { method, url, accept: &[], validator: None, authorization: None, scope }
    }
}

impl Site {
    pub(super) fn new(
        base: &str,
        deliverer: Arc<dyn Deliverer>,
        max_bytes: usize,
    ) -> Result<Self, UpstreamUrlError> {
        check_spelling(base).map_err(UpstreamUrlError::new)?;
        let mut base: Url = base.parse().map_err(UpstreamUrlError::new)?;
        let is_plain = base.query().is_none() && base.fragment().is_none();
        let is_anonymous = base.username().is_empty() && base.password().is_none();
        if !["http", "https"].contains(&base.scheme()) || !is_plain || !is_anonymous {
            return Err(UpstreamUrlError::new("it has something of these"));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let credentials = Credentials::Anonymous;
        let (name, within, timeout) = (None, Scope::root(), TIMEOUT);
        Ok(Self { deliverer, base, name, within, timeout, max_bytes, credentials })
    }

    /// The registry's name in events: its host, with the port if that is not the scheme's own.
    pub(super) fn registry(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        let own = self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        self.name.clone().unwrap_or(own)
    }

    /// An address below the base, of segments that are encoded.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Says beforehand whether a scope may ask.
    pub(super) fn check(&self, scope: &Scope) -> Result<(), String> {
        if !self.within.contains(scope) {
            return Err(format!("this upstream is not for the scope {:?}", scope.as_str()));
        }
        self.deliverer.check_url(scope, &self.base)
    }

    /// Refuses who may not ask.
    pub(super) fn admit(&self, ask: &Ask<'_>) -> Result<(), UpstreamError> {
        if self.within.contains(ask.scope) {
            return Ok(());
        }
        let scope = ask.scope.as_str();
        Err(UpstreamError::Refused {
            reason: format!("this upstream is not for the scope {scope:?}"),
        })
    }

    /// What is answered, whatever the status.
    pub(super) async fn exchange(&self, question: Question<'_>) -> Result<Response, UpstreamError> {
        let mut headers = Headers::new();
        for accept in question.accept {
            headers.push("accept", *accept);
        }
        // What is counted and compared is what was sent.
        headers.push("accept-encoding", "identity");
        if let Some((name, value)) = question.validator.and_then(condition) {
            headers.push(name, value);
        }
        if let Some(authorization) = question.authorization {
            headers.push("authorization", authorization.expose());
        }
        let request = Request {
            method: question.method,
            url: question.url,
            headers,
            body: [].into(),
            timeout: self.timeout,
            scope: question.scope.clone(),
            response_bytes: self.max_bytes,
        };
        self.deliverer.deliver(request).await.map_err(undelivered)
    }

    /// The answer to a question, asked with the site's own credentials; `None` if nothing has
    /// changed.
    pub(super) async fn ask(
        &self,
        question: Question<'_>,
    ) -> Result<Option<Response>, UpstreamError> {
        let is_conditional = question.validator.and_then(condition).is_some();
        let authorization = self.credentials.authorization();
        let response = self.exchange(Question { authorization, ..question }).await?;
        self.judge(response, is_conditional)
    }

    /// The answer, if its status says that it is one and nothing of it is missing.
    pub(super) fn judge(
        &self,
        response: Response,
        is_conditional: bool,
    ) -> Result<Option<Response>, UpstreamError> {
        match response.status {
            304 if is_conditional => Ok(None),
            200 if response.complete => Ok(Some(response)),
            200 if response.body.len() >= self.max_bytes => Err(UpstreamError::TooMuch {
                what: "bytes of an answer",
                found: response.body.len(),
                most: self.max_bytes,
            }),
            200 => Err(UpstreamError::Unavailable { reason: "its answer broke off".to_owned() }),
            _ => Err(refusal(&response)),
        }
    }
}

/// What a status says that is none of success.
pub(super) fn refusal(response: &Response) -> UpstreamError {
    let status = response.status;
    let reason = format!("it answered {status}");
    match status {
        300..=399 => UpstreamError::Blocked {
            reason: format!("it answered with a redirect ({status}), which is not followed"),
        },
        401 | 403 | 407 => UpstreamError::Denied { reason },
        404 | 410 => UpstreamError::NotFound { reason },
        429 => UpstreamError::Throttled { retry_after: asked_for(response) },
        503 if asked_for(response).is_some() => {
            UpstreamError::Throttled { retry_after: asked_for(response) }
        }
        408 | 425 | 500..=599 => UpstreamError::Unavailable { reason },
        _ => UpstreamError::Refused { reason },
    }
}

fn asked_for(response: &Response) -> Option<Duration> {
    retry_after(&response.headers, Timestamp::now())
}

fn undelivered(error: DeliverError) -> UpstreamError {
    match error {
        DeliverError::Blocked { reason } => UpstreamError::Blocked { reason },
        DeliverError::Invalid { .. } => UpstreamError::Refused { reason: error.to_string() },
        DeliverError::Timeout { .. }
        | DeliverError::Connect { .. }
        | DeliverError::Broken { .. } => UpstreamError::Unavailable { reason: error.to_string() },
    }
}

/// The validator of an answer (RFC 9110, section 8.8), as a text: what it is, then itself.
pub(super) fn validator(headers: &Headers) -> Option<String> {
    let field = |letter: char, name: &str| {
        let value = headers.only(name).filter(|value| is_field_text(value))?;
        let value = std::str::from_utf8(value).ok()?;
        (1..=MAX_VALIDATOR_BYTES).contains(&value.len()).then(|| format!("{letter}{value}"))
    };
    field('e', "etag").or_else(|| field('m', "last-modified"))
}

/// The header field that asks whether something has changed since.
fn condition(validator: &str) -> Option<(&'static str, &str)> {
    let tagged = validator.strip_prefix('e').map(|tag| ("if-none-match", tag));
    tagged.or_else(|| validator.strip_prefix('m').map(|date| ("if-modified-since", date)))
}

/// Reads an answer that is a JSON object.
pub(super) fn read_object<T>(
    body: &[u8],
    read: impl FnOnce(&mut Object, &mut Problems) -> Option<T>,
) -> Result<T, UpstreamError> {
    let value: Value = parse_foreign(body, body.len()).map_err(malformed)?;
    let found = Problems::gather(|problems| read(&mut Object::root(value, problems)?, problems));
    found.map_err(malformed)
}

pub(super) fn malformed(problems: Problems) -> UpstreamError {
    UpstreamError::Malformed { problems }
}

/// What is wrong with the name of a package.
pub(super) fn no_name(package: &str, expected: &str) -> String {
    format!("expected {expected}, found {:?}", crate::document::cut(package))
}

/// The settings that all upstreams have.
macro_rules! site_settings {
    () => {
        /// Sets the registry's name in events; otherwise it is the host, with the port if that is
        /// not the scheme's own.
        pub fn with_name(mut self, name: impl Into<String>) -> Self {
            self.site.name = Some(name.into());
            self
        }

        /// Sets who may watch it: triggers at and below a scope. Whoever may sees what the
        /// credentials show.
        pub fn within(mut self, scope: $crate::event::Scope) -> Self {
            self.site.within = scope;
            self
        }

        /// Sets the credentials.
        pub fn with_credentials(mut self, credentials: $crate::watch::Credentials) -> Self {
            self.site.credentials = credentials;
            self
        }

        /// Sets how long one answer may take; 30 s if it is not set.
        pub fn with_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.site.timeout = timeout;
            self
        }

        /// Sets how large one answer may be, in bytes. Beyond, a poll is an error that says so.
        pub fn with_max_bytes(mut self, bytes: usize) -> Self {
            self.site.max_bytes = bytes;
            self
        }
    };
}
pub(super) use site_settings;
