//! The HTTP deliverer: hyper, with the address policy in its connector and rustls for TLS.
//!
//! Nothing goes round the policy: the connector judges literal addresses, and resolves names to
//! addresses that were judged. There is no proxy, no redirect, no cookie and no decompression.

mod builder;
mod connector;
mod failure;
mod resolver;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, InvalidHeaderName, USER_AGENT};
use hyper::{Method, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use tokio::time::{Instant, timeout_at};

pub use builder::{HttpBuildError, HttpDelivererBuilder};
pub use resolver::{Resolve, SystemResolver};
pub use tls::TlsUnavailable;

use super::address::AddressPolicy;
use super::{DeliverError, Deliverer};
use crate::request::{Headers, Request, Response, frames_the_message};
use connector::{Guarded, Timed};

type Body = Full<Bytes>;
type Plain = Timed<Guarded>;
type Secure = Timed<HttpsConnector<Guarded>>;

/// A year. Longer spans are as good as this one, and would overflow an instant.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How much of a response's body is read at least, in bytes, for the sake of the connection.
const READ_AWAY: usize = 64 * 1024;

/// Sends requests over HTTP/1.1 and HTTP/2.
///
/// Clones share one pool of connections. It needs a tokio runtime.
#[derive(Clone)]
pub struct HttpDeliverer {
    shared: Arc<Shared>,
}

struct Shared {
    policy: AddressPolicy,
    plain: Client<Plain, Body>,
    secure: Result<Client<Secure, Body>, TlsUnavailable>,
    user_agent: HeaderValue,
    response_bytes: usize,
}

impl HttpDeliverer {
    /// A deliverer that dials public addresses by https only.
    ///
    /// # Errors
    /// [`HttpBuildError`].
    pub fn new() -> Result<Self, HttpBuildError> {
        Self::builder().build()
    }

    /// Begins a deliverer that dials public addresses by https only.
    pub fn builder() -> HttpDelivererBuilder {
        HttpDelivererBuilder::new()
    }

    /// Why every https request fails on this machine; `None` where TLS works. For the operator: the
    /// cause may name files.
    pub fn tls_unavailable(&self) -> Option<&TlsUnavailable> {
        self.shared.secure.as_ref().err()
    }
}

impl fmt::Debug for HttpDeliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpDeliverer").field("policy", &self.shared.policy).finish_non_exhaustive()
    }
}

#[async_trait]
impl Deliverer for HttpDeliverer {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        let after = request.timeout;
        let deadline = Instant::now() + after.min(LONGEST);
        let policy = &self.shared.policy;
        policy
            .judge_url(&request.url)
            .map_err(|refusal| DeliverError::Blocked { reason: refusal.to_string() })?;
        let secure = request.url.scheme() == "https";
        let response_bytes = self.shared.response_bytes.max(request.response_bytes);
        let request = self.shared.request(request)?;
        let sent = if secure {
            self.shared.secure.as_ref().map_err(failure::without_tls)?.request(request)
        } else {
            self.shared.plain.request(request)
        };
        let answer = timeout_at(deadline, sent).await;
        let answer = answer.map_err(|_| DeliverError::Timeout { after })?;
        let (head, body) = answer.map_err(|error| failure::told(&error))?.into_parts();
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        Ok(Response {
            status: head.status.as_u16(),
            headers: headers.collect::<Headers>(),
            body: read(body, response_bytes, deadline).await,
        })
    }

    fn check_url(&self, url: &url::Url) -> Result<(), String> {
        self.shared.policy.judge_url(url).map_err(|refusal| refusal.to_string())
    }
}

impl Shared {
    fn request(&self, request: Request) -> Result<hyper::Request<Body>, DeliverError> {
        let uri = Bytes::from(String::from(request.url));
        let uri = Uri::from_maybe_shared(uri).map_err(|error| invalid(&error.to_string()))?;
        let mut outgoing = hyper::Request::new(Full::new(Bytes::from_owner(request.body)));
        *outgoing.method_mut() = Method::POST;
        *outgoing.uri_mut() = uri;
        let fields = outgoing.headers_mut();
        let count = request.headers.len() + 1;
        fields.try_reserve(count).map_err(|_| invalid("there are too many header fields"))?;
        for (name, value) in request.headers {
            if frames_the_message(&name) {
                return Err(invalid("a header field frames the message"));
            }
            let value = HeaderValue::from_maybe_shared(Bytes::from(value));
            let (Ok(name), Ok(value)) = (field_name(&name), value) else {
                return Err(invalid("a header field is not allowed in HTTP"));
            };
            fields.append(name, value);
        }
        fields.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        Ok(outgoing)
    }
}

fn invalid(reason: &str) -> DeliverError {
    DeliverError::Invalid { reason: reason.to_owned() }
}

/// The name of a field; those that every signed message has cost no allocation.
fn field_name(name: &str) -> Result<HeaderName, InvalidHeaderName> {
    match name {
        "webhook-id" => Ok(HeaderName::from_static("webhook-id")),
        "webhook-timestamp" => Ok(HeaderName::from_static("webhook-timestamp")),
        "webhook-signature" => Ok(HeaderName::from_static("webhook-signature")),
        name => HeaderName::from_bytes(name.as_bytes()),
    }
}

/// Reads a body and keeps its beginning. The rest is read away, up to a limit, so that the connection
/// can be used again. What breaks, is late or is longer still costs the connection, nothing else.
async fn read(mut body: Incoming, most: usize, deadline: Instant) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut left = most.max(READ_AWAY);
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        let Some(data) = frame.data_ref() else { continue };
        kept.extend_from_slice(&data[..data.len().min(most - kept.len())]);
        match left.checked_sub(data.len()) {
            Some(rest) => left = rest,
            None => break,
        }
    }
    kept
}
