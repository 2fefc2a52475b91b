//! The builder: from options to clients whose every connection is judged and bounded.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::connector::{Guarded, GuardedResolver, Timed};
use super::resolver::{Resolve, SystemResolver};
use super::{HttpDeliverer, LONGEST, Shared, tls};
use crate::deliverer::address::AddressPolicy;
use crate::delivery::Attempt;

/// Makes an [`HttpDeliverer`].
#[derive(Debug)]
#[must_use]
pub struct HttpDelivererBuilder {
    policy: AddressPolicy,
    resolver: Arc<dyn Resolve>,
    tls: Option<ClientConfig>,
    roots: Vec<CertificateDer<'static>>,
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
    /// A root certificate is none.
    #[error("root certificate {number} is not an X.509 certificate in DER")]
    RootCertificate {
        /// Which one, counted from 1 in the order in which they were added.
        number: usize,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Root certificates are given beside a TLS configuration, which has its own.
    #[error("expected root certificates or a TLS configuration, found both")]
    RootsBesideTls,
}

impl HttpDelivererBuilder {
    pub(super) fn new() -> Self {
        Self {
            policy: AddressPolicy::public_only(),
            resolver: Arc::new(SystemResolver::default()),
            tls: None,
            roots: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            idle_per_host: 64,
            response_bytes: Attempt::MAX_RESPONSE_BYTES,
        }
    }

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

    /// Trusts a root certificate, in DER, beside those of the platform.
    pub fn root_certificate(self, der: impl Into<Vec<u8>>) -> Self {
        self.root_certificates([der])
    }

    /// Trusts root certificates, in DER, beside those of the platform.
    pub fn root_certificates<D: Into<Vec<u8>>>(
        mut self,
        ders: impl IntoIterator<Item = D>,
    ) -> Self {
        self.roots.extend(ders.into_iter().map(|der| CertificateDer::from(der.into())));
        self
    }

    /// Sets the TLS configuration: provider, roots, client certificate, versions. If it is not set,
    /// the process's default provider or else the one compiled in, and the roots of the platform.
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Sets how long connecting may take, from the look-up of the name to the end of the TLS
    /// handshake; 10 s if it is not set. The request's time-out covers it too.
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

    /// Sets how much of a response's body is kept, in bytes;
    /// [`Attempt::MAX_RESPONSE_BYTES`] if it is not set.
    pub fn response_bytes(mut self, bytes: usize) -> Self {
        self.response_bytes = bytes;
        self
    }

    /// Makes the deliverer.
    ///
    /// Where TLS cannot be had (no provider, no roots on this machine), plain http still works if it
    /// is allowed, and https ends in [`DeliverError::Connect`](crate::deliverer::DeliverError).
    /// [`HttpDeliverer::tls_unavailable`] tells the cause.
    ///
    /// # Errors
    /// [`HttpBuildError`].
    pub fn build(self) -> Result<HttpDeliverer, HttpBuildError> {
        self.check()?;
        let policy = Arc::new(self.policy.clone());
        let resolver = GuardedResolver::new(self.resolver, policy.clone());
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        // Shared among the addresses of a name, so that the first cannot use it all up.
        http.set_connect_timeout(Some(self.connect_timeout));
        let guarded = Guarded::new(http, policy);
        let mut client = Client::builder(TokioExecutor::new());
        limit(&mut client, self.idle_timeout, self.idle_per_host);
        let plain = client.build(Timed::new(guarded.clone(), self.connect_timeout));
        let tls = self.tls.map_or_else(|| tls::default_config(self.roots), Ok);
        let secure = tls.map(|config| {
            let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
            let connector = connector.enable_all_versions().wrap_connector(guarded);
            client.build(Timed::new(connector, self.connect_timeout))
        });
        let agent = concat!("artifact-triggers/", env!("CARGO_PKG_VERSION"));
        let user_agent = HeaderValue::from_static(agent);
        let (policy, response_bytes) = (self.policy, self.response_bytes);
        let shared = Shared { policy, plain, secure, user_agent, response_bytes };
        Ok(HttpDeliverer { shared: Arc::new(shared) })
    }

    fn check(&self) -> Result<(), HttpBuildError> {
        if self.tls.is_some() && !self.roots.is_empty() {
            return Err(HttpBuildError::RootsBesideTls);
        }
        if self.tls.as_ref().is_some_and(|config| !config.alpn_protocols.is_empty()) {
            return Err(HttpBuildError::Alpn);
        }
        let mut store = RootCertStore::empty();
        for (root, number) in self.roots.iter().zip(1..) {
            store.add(root.clone()).map_err(|error| HttpBuildError::RootCertificate {
                number,
                source: error.into(),
            })?;
        }
        Ok(())
    }
}

/// Bounds what a connection may cost.
fn limit(client: &mut Builder, idle_timeout: Duration, idle_per_host: usize) {
    client
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle_timeout.min(LONGEST))
        .pool_max_idle_per_host(idle_per_host)
        .http1_max_buf_size(64 * 1024)
        .http1_max_headers(100)
        .http2_max_header_list_size(64 * 1024)
        // Answers are short: no endpoint needs to send much ahead of what was read.
        .http2_initial_stream_window_size(64 * 1024)
        .http2_initial_connection_window_size(1024 * 1024)
        // All requests to a host share a connection: if it is dead, that must be found out.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .http2_keep_alive_timeout(Duration::from_secs(10));
}
