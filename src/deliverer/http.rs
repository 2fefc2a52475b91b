//! The HTTP deliverer: hyper, with the address policy in its connector and rustls for TLS.
//!
//! Nothing goes round the policy: the connector judges literal addresses, and resolves names to
//! addresses that were judged. There is no proxy, no redirect, no cookie and no decompression.

mod connector;
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
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

pub use resolver::{Resolve, SystemResolver};

use super::address::AddressPolicy;
use super::{DeliverError, Deliverer};
use crate::delivery::Attempt;
use crate::request::{Headers, Request, Response, frames_the_message};
use connector::{Guarded, GuardedResolver};

type Body = Full<Bytes>;

/// Sends requests over HTTP/1.1 and HTTP/2.
///
/// Clones share one pool of connections. It needs a tokio runtime.
#[derive(Clone)]
pub struct HttpDeliverer {
    shared: Arc<Shared>,
}

struct Shared {
    policy: AddressPolicy,
    plain: Client<Guarded, Body>,
    /// Or why there is no TLS here.
    secure: Result<Client<HttpsConnector<Guarded>, Body>, String>,
    user_agent: HeaderValue,
    response_bytes: usize,
}

/// Makes an [`HttpDeliverer`].
#[derive(Debug)]
#[must_use]
pub struct HttpDelivererBuilder {
    policy: AddressPolicy,
    resolver: Arc<dyn Resolve>,
    tls: Option<ClientConfig>,
    connect_timeout: Duration,
    idle_timeout: Duration,
    idle_per_host: usize,
    response_bytes: usize,
}

/// Why an [`HttpDeliverer`] cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpBuildError {
    /// The TLS configuration names application protocols, which are the deliverer's to set.
    #[error("expected a TLS configuration without ALPN protocols")]
    Alpn,
}

impl HttpDeliverer {
    /// Begins a deliverer that dials public addresses by https only.
    pub fn builder() -> HttpDelivererBuilder {
        HttpDelivererBuilder {
            policy: AddressPolicy::public_only(),
            resolver: Arc::new(SystemResolver::default()),
            tls: None,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            idle_per_host: 64,
            response_bytes: Attempt::MAX_RESPONSE_BYTES,
        }
    }
}

impl HttpDelivererBuilder {
    /// Sets what may be dialled.
    pub fn address_policy(mut self, policy: AddressPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets how names are resolved; by the system if it is not set. What it answers is judged.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Sets the TLS configuration: roots, client certificate, versions. If it is not set, the
    /// process's default provider or else the one compiled in, and the roots of the platform.
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Sets how long connecting may take; 10 s if it is not set. The request's time-out covers it
    /// too.
    pub fn connect_timeout(mut self, span: Duration) -> Self {
        self.connect_timeout = span;
        self
    }

    /// Sets how long an unused connection is kept; 60 s if it is not set.
    pub fn idle_timeout(mut self, span: Duration) -> Self {
        self.idle_timeout = span;
        self
    }

    /// Sets how many unused connections to one host are kept; 64 if it is not set.
    pub fn idle_per_host(mut self, connections: usize) -> Self {
        self.idle_per_host = connections;
        self
    }

    /// Sets how much of a response's body is read, in bytes;
    /// [`Attempt::MAX_RESPONSE_BYTES`] if it is not set.
    pub fn response_bytes(mut self, bytes: usize) -> Self {
        self.response_bytes = bytes;
        self
    }

    /// Makes the deliverer.
    ///
    /// Where TLS cannot be had (no provider, no roots on this machine), plain http still works if it
    /// is allowed, and https ends in [`DeliverError::Connect`] with the reason.
    ///
    /// # Errors
    /// [`HttpBuildError`].
    pub fn build(self) -> Result<HttpDeliverer, HttpBuildError> {
        if self.tls.as_ref().is_some_and(|config| !config.alpn_protocols.is_empty()) {
            return Err(HttpBuildError::Alpn);
        }
        let policy = Arc::new(self.policy.clone());
        let resolver = GuardedResolver::new(self.resolver, policy.clone());
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(self.connect_timeout));
        let guarded = Guarded::new(http, policy);
        let mut client = Client::builder(TokioExecutor::new());
        limit(&mut client, self.idle_timeout, self.idle_per_host);
        let plain = client.build(guarded.clone());
        let secure = self.tls.map_or_else(tls::default_config, Ok).map(|config| {
            let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
            client.build(connector.enable_all_versions().wrap_connector(guarded))
        });
        let agent = concat!("artifact-triggers/", env!("CARGO_PKG_VERSION"));
        let user_agent = HeaderValue::from_static(agent);
        let (policy, response_bytes) = (self.policy, self.response_bytes);
        let shared = Shared { policy, plain, secure, user_agent, response_bytes };
        Ok(HttpDeliverer { shared: Arc::new(shared) })
    }
}

/// Bounds what a connection may cost.
fn limit(client: &mut Builder, idle_timeout: Duration, idle_per_host: usize) {
    client
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle_timeout)
        .pool_max_idle_per_host(idle_per_host)
        .http1_max_buf_size(64 * 1024)
        .http1_max_headers(100)
        .http2_max_header_list_size(64 * 1024);
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
        let deadline = Instant::now() + after;
        let policy = &self.shared.policy;
        policy
            .judge_url(&request.url)
            .map_err(|refusal| DeliverError::Blocked { reason: refusal.to_string() })?;
        let secure = request.url.scheme() == "https";
        let request = self.shared.request(request)?;
        let sent = if secure {
            let client = self.shared.secure.as_ref();
            client
                .map_err(|reason| DeliverError::Connect { reason: reason.clone() })?
                .request(request)
        } else {
            self.shared.plain.request(request)
        };
        let answer = timeout_at(deadline, sent).await;
        let answer = answer.map_err(|_| DeliverError::Timeout { after })?;
        let (head, body) = answer.map_err(|error| connector::told(&error))?.into_parts();
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        Ok(Response {
            status: head.status.as_u16(),
            headers: headers.collect::<Headers>(),
            body: read(body, self.shared.response_bytes, deadline).await,
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
        fields.reserve(request.headers.len() + 2);
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

/// Reads the beginning of a body. What breaks, is late or too much is left; with unread bytes the
/// connection is closed, so nothing is read that nobody wants.
async fn read(mut body: Incoming, most: usize, deadline: Instant) -> Vec<u8> {
    let mut kept = Vec::new();
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        let Some(data) = frame.data_ref() else { continue };
        let room = most - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            break;
        }
    }
    kept
}
