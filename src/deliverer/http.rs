//! The HTTP deliverer: hyper, with the address policy in its connector and rustls for TLS.
//!
//! Nothing goes round the policy: the connector judges literal addresses, resolves names to
//! addresses that it judges, and dials those and no others, for each connection anew. There is no
//! redirect, no cookie, no decompression, and no proxy unless it is [configured](Proxy).

mod build;
mod builder;
mod connector;
mod dial;
mod failure;
mod places;
mod proxy;
mod resolver;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, InvalidHeaderName, USER_AGENT};
use hyper::http::Extensions;
use hyper::http::uri::Authority;
use hyper::{Method, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::time::{Instant, timeout_at};

pub use builder::{HttpBuildError, HttpDelivererBuilder};
pub use proxy::{Proxy, ProxyUrlError};
pub use resolver::{Resolve, SystemResolver};
pub use tls::{TlsUnavailable, TlsVersion};

use super::address::AddressPolicy;
use super::{DeliverError, Deliverer};
use crate::event::Scope;
use crate::request::{Headers, Request, Response, frames_the_message};
use builder::Limits;
use connector::{Connector, Reached};
use failure::{Failed, TOO_LARGE};
use places::Places;

type Body = Full<Bytes>;
type PooledClient = Client<Connector, Body>;

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
    /// For all scopes that have none of their own.
    wide: Way,
    scopes: BTreeMap<Scope, Way>,
    tls: Result<(), TlsUnavailable>,
    limits: Limits,
    user_agent: HeaderValue,
}

/// The way out for a scope: a policy and the connections that were made under it.
#[derive(Clone)]
struct Way {
    policy: Arc<AddressPolicy>,
    client: PooledClient,
    places: Places,
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
        self.shared.tls.as_ref().err()
    }
}

impl fmt::Debug for HttpDeliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpDeliverer")
            .field("policy", &self.shared.wide.policy)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Deliverer for HttpDeliverer {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        let begin = Instant::now();
        let deadline = begin + request.timeout.min(LONGEST);
        let way = self.shared.way(&request.scope);
        way.policy
            .judge_url(&request.url)
            .map_err(|refusal| DeliverError::Blocked { reason: refusal.to_string() })?;
        if request.url.scheme() == "https" {
            self.shared.tls.as_ref().map_err(failure::without_tls)?;
        }
        let after = request.timeout.min(self.shared.limits.answer_timeout);
        let wanted = request.response_bytes;
        let mut request = self.shared.request(request)?;
        let visit = way.places.visit(request.uri().authority().map_or("", Authority::as_str));
        let connection = capture_connection(&mut request);
        let head_by = begin + after.min(LONGEST);
        let answer = timeout_at(head_by, way.client.request(request)).await;
        let answer = answer.map_err(|_| Failed::Late { after });
        let answer = answer.and_then(|answer| answer.map_err(Failed::Client));
        let answer = answer.map_err(|failed| failure::told(&failed, reached(&connection)))?;
        let (head, body) = answer.into_parts();
        if head.headers.len() > self.shared.limits.response_headers {
            return Err(DeliverError::Broken { reason: TOO_LARGE.to_owned() });
        }
        let (body, complete) = read(body, way.response_bytes.max(wanted), deadline).await;
        if visit.is_last()
            && let Some(reached) = reached(&connection)
        {
            reached.closing.ask();
        }
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let (status, headers) = (head.status.as_u16(), headers.collect::<Headers>());
        Ok(Response { status, headers, body, complete })
    }

    fn check_url(&self, scope: &Scope, url: &url::Url) -> Result<(), String> {
        self.shared.way(scope).policy.judge_url(url).map_err(|refusal| refusal.to_string())
    }
}

/// What is known of the connection that a request goes by, once it has one.
fn reached(connection: &CaptureConnection) -> Option<Reached> {
    let mut known = Extensions::new();
    connection.connection_metadata().as_ref()?.get_extras(&mut known);
    known.get().cloned()
}

impl Shared {
    fn way(&self, scope: &Scope) -> &Way {
        let found = scope.ancestors().filter_map(|ancestor| self.scopes.get(ancestor)).last();
        found.unwrap_or(&self.wide)
    }

    fn request(&self, request: Request) -> Result<hyper::Request<Body>, DeliverError> {
        let fields = request.headers.iter().map(|(name, value)| name.len() + value.len());
        let found = request.url.as_str().len() + fields.sum::<usize>() + request.body.len();
        let most = self.limits.request_bytes;
        if found > most {
            return Err(invalid(&format!("expected at most {most} bytes, found {found}")));
        }
        let uri = Bytes::from(String::from(request.url));
        let uri = Uri::from_maybe_shared(uri).map_err(|error| invalid(&error.to_string()))?;
        let mut outgoing = hyper::Request::new(Full::new(Bytes::from_owner(request.body)));
        *outgoing.method_mut() = method(request.method);
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

fn method(method: crate::request::Method) -> Method {
    match method {
        crate::request::Method::Post => Method::POST,
        crate::request::Method::Put => Method::PUT,
        crate::request::Method::Patch => Method::PATCH,
        crate::request::Method::Delete => Method::DELETE,
        crate::request::Method::Get => Method::GET,
        crate::request::Method::Head => Method::HEAD,
    }
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

/// Reads a body and keeps its beginning. The rest is read away, up to a limit, so that the
/// connection can be used again. What breaks, is late or is longer still costs the connection,
/// nothing else. Says also whether all was kept.
async fn read(mut body: Incoming, most: usize, deadline: Instant) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let mut all_kept = true;
    let mut left = most.max(READ_AWAY);
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return (kept, all_kept),
            Ok(Some(Err(_))) | Err(_) => return (kept, false),
        };
        let Some(data) = frame.data_ref() else { continue };
        let room = most - kept.len();
        all_kept &= data.len() <= room;
        kept.extend_from_slice(&data[..data.len().min(room)]);
        match left.checked_sub(data.len()) {
            Some(rest) => left = rest,
            None => return (kept, false),
        }
    }
}
