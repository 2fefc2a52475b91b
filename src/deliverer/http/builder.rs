//! The builder: what can be said about a deliverer, and what is said if it is not.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::proxy::Proxy;
use super::resolver::{Resolve, SystemResolver};
use super::tls::{TlsOptions, TlsVersion};
use super::{HttpDeliverer, LONGEST};
use crate::deliverer::address::AddressPolicy;
use crate::delivery::Attempt;
use crate::event::Scope;

/// Makes an [`HttpDeliverer`].
#[derive(Debug)]
#[must_use]
pub struct HttpDelivererBuilder {
    pub(super) policy: AddressPolicy,
    pub(super) scopes: BTreeMap<Scope, ScopeRules>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) proxy: Option<Proxy>,
    pub(super) tls: Option<ClientConfig>,
    pub(super) tls_options: TlsOptions,
    pub(super) limits: Limits,
    /// The first thing that could not be taken in.
    pub(super) problem: Option<HttpBuildError>,
}

/// What holds for a scope beside what holds for those above it.
#[derive(Debug, Clone, Default)]
pub(super) struct ScopeRules {
    pub(super) policy: Option<AddressPolicy>,
    pub(super) response_bytes: Option<usize>,
}

/// What a connection and an exchange may cost.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) connect_timeout: Duration,
    pub(super) answer_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) idle_per_host: usize,
    pub(super) connections: usize,
    pub(super) connections_per_host: usize,
    pub(super) request_bytes: usize,
    pub(super) response_bytes: usize,
    pub(super) response_headers: usize,
    pub(super) response_header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            answer_timeout: LONGEST,
            idle_timeout: Duration::from_secs(60),
            idle_per_host: 64,
            connections: 2048,
            connections_per_host: 256,
            request_bytes: 32 * 1024 * 1024,
            response_bytes: Attempt::MAX_RESPONSE_BYTES,
            response_headers: 100,
            response_header_bytes: 32 * 1024,
        }
    }
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
    /// A text is no PEM, or does not hold what is expected of it.
    #[error("expected {expected} in PEM")]
    Pem {
        /// What is expected.
        expected: &'static str,
    },
    /// The client certificate cannot be used: it or its key is none, or they do not belong
    /// together.
    #[error("the client certificate and its key cannot be used")]
    ClientCertificate {
        /// What is wrong with them; holds nothing of the key.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Root certificates, a client certificate, a least version or the trust in any certificate is
    /// given beside a TLS configuration, which says it all.
    #[error("expected a TLS configuration or single options of it, found both")]
    TlsOptionsBesideTls,
    /// Scopes have too many different policies, each of which needs connections of its own.
    #[error("expected at most {most} different address policies of scopes, found {found}")]
    Policies {
        /// How many there are.
        found: usize,
        /// The most.
        most: usize,
    },
}

impl HttpDelivererBuilder {
    /// The most different address policies that scopes may have.
    pub const MAX_POLICIES: usize = 256;

    pub(super) fn new() -> Self {
        Self {
            policy: AddressPolicy::public_only(),
            scopes: BTreeMap::new(),
            resolver: Arc::new(SystemResolver::default()),
            proxy: None,
            tls: None,
            tls_options: TlsOptions::default(),
            limits: Limits::default(),
            problem: None,
        }
    }

    /// Sets what may be dialled.
    pub fn address_policy(mut self, policy: AddressPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets what may be dialled for the triggers at and below a scope. It has to pass this policy,
    /// those of the scopes above, and [the one for all](Self::address_policy): a scope can only
    /// narrow. Scopes with different policies share no connections, and there may be at most
    /// [`MAX_POLICIES`](Self::MAX_POLICIES) of those. They are set once and for all: other ones are
    /// another deliverer's.
    ///
    /// ```
    /// use artifact_triggers::deliverer::address::AddressPolicy;
    /// use artifact_triggers::deliverer::http::HttpDeliverer;
    ///
    /// let only_partner = AddressPolicy::public_only().only_host("*.partner.example".parse()?);
    /// let builder = HttpDeliverer::builder().scope_policy("acme".parse()?, only_partner);
    /// # drop(builder);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scope_policy(mut self, scope: Scope, policy: AddressPolicy) -> Self {
        self.scopes.entry(scope).or_default().policy = Some(policy);
        self
    }

    /// Sets how much of a response's body is kept for the triggers at and below a scope, in bytes,
    /// if that is less than [what is kept otherwise](Self::response_bytes).
    pub fn scope_response_bytes(mut self, scope: Scope, bytes: usize) -> Self {
        self.scopes.entry(scope).or_default().response_bytes = Some(bytes);
        self
    }

    /// Sets how names are resolved; by the system if it is not set. What it answers is judged.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Dials through a forward proxy. Without it there is none, whatever the environment says.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
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
        let roots = ders.into_iter().map(|der| CertificateDer::from(der.into()));
        self.tls_options.roots.extend(roots);
        self
    }

    /// Trusts the root certificates of a PEM text, beside those of the platform.
    pub fn root_certificates_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        match certificates(pem.as_ref()) {
            Some(roots) => self.tls_options.roots.extend(roots),
            None => self.refuse(HttpBuildError::Pem { expected: "certificates" }),
        }
        self
    }

    /// Shows a certificate to endpoints that ask for one (mTLS): in PEM, followed by those that it
    /// was issued by, and its private key, in PEM, which may be the same text. All endpoints are
    /// shown the same; for another use another deliverer.
    pub fn client_certificate_pem(
        mut self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Self {
        let chain = certificates(chain.as_ref());
        match chain.zip(PrivateKeyDer::from_pem_slice(key.as_ref()).ok()) {
            Some(identity) => self.tls_options.identity = Some(identity),
            None => self.refuse(HttpBuildError::Pem { expected: "certificates and a private key" }),
        }
        self
    }

    /// Sets the least version of TLS; 1.2 if it is not set.
    pub fn minimum_tls(mut self, version: TlsVersion) -> Self {
        self.tls_options.minimum = version;
        self
    }

    /// Takes any certificate for good: of any issuer, for any name, expired or not. Whoever is on
    /// the way can read and answer everything. For tests; endpoints with certificates of your own
    /// are reached by [`root_certificate`](Self::root_certificate).
    pub fn danger_accept_invalid_certificates(mut self) -> Self {
        self.tls_options.accepts_invalid_certificates = true;
        self
    }

    /// Sets the TLS configuration: provider, roots, client certificate, versions. If it is not set,
    /// the process's default provider or else the one compiled in, and the roots of the platform.
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Sets how long connecting may take, from the wait for its place among the others over the
    /// look-up of the name to the end of the TLS handshake; 10 s if it is not set. The request's
    /// time-out covers it too.
    pub fn connect_timeout(mut self, span: Duration) -> Self {
        self.limits.connect_timeout = span;
        self
    }

    /// Sets how long an endpoint may take until the head of its answer is complete, from the
    /// beginning of the request; if it is not set, as long as the request's time-out says, which
    /// covers it too.
    pub fn answer_timeout(mut self, span: Duration) -> Self {
        self.limits.answer_timeout = span;
        self
    }

    /// Sets how long an unused connection is kept; 60 s if it is not set.
    pub fn idle_timeout(mut self, span: Duration) -> Self {
        self.limits.idle_timeout = span;
        self
    }

    /// Sets how many unused connections to one host are kept; 64 if it is not set.
    pub fn idle_per_host(mut self, connections: usize) -> Self {
        self.limits.idle_per_host = connections;
        self
    }

    /// Sets how many connections there may be in all, unused ones included; 2048 if it is not set,
    /// at least 1. A request that needs one beyond that waits, which counts as connecting. While
    /// more than half are taken, none is kept for later.
    pub fn connections(mut self, most: usize) -> Self {
        self.limits.connections = most.max(1);
        self
    }

    /// Sets how many connections there may be to one host and port under one address policy, unused
    /// ones included; 256 if it is not set, at least 1. A request beyond that waits until one is
    /// free, which counts as connecting.
    pub fn connections_per_host(mut self, most: usize) -> Self {
        self.limits.connections_per_host = most.max(1);
        self
    }

    /// Sets how large a request may be, in bytes of its URL, header and body; 32 MiB if it is not
    /// set.
    pub fn request_bytes(mut self, most: usize) -> Self {
        self.limits.request_bytes = most;
        self
    }

    /// Sets how much of a response's body is kept, in bytes, 0 for nothing;
    /// [`Attempt::MAX_RESPONSE_BYTES`] if it is not set. It is kept as it comes, never unpacked.
    pub fn response_bytes(mut self, bytes: usize) -> Self {
        self.limits.response_bytes = bytes;
        self
    }

    /// Sets how many header fields a response may have; 100 if it is not set.
    pub fn response_headers(mut self, most: usize) -> Self {
        self.limits.response_headers = most;
        self
    }

    /// Sets how large the head of a response may be, in bytes; 32 KiB if it is not set, at least
    /// 8 KiB.
    pub fn response_header_bytes(mut self, most: usize) -> Self {
        self.limits.response_header_bytes = most.max(8 * 1024);
        self
    }

    /// Makes the deliverer.
    ///
    /// Where TLS cannot be had (no provider, no roots on this machine), plain http still works if
    /// it is allowed, and https ends in [`DeliverError::Connect`](crate::deliverer::DeliverError).
    /// [`HttpDeliverer::tls_unavailable`] tells the cause.
    ///
    /// # Errors
    /// [`HttpBuildError`].
    pub fn build(self) -> Result<HttpDeliverer, HttpBuildError> {
        super::build::build(self)
    }

    fn refuse(&mut self, problem: HttpBuildError) {
        self.problem.get_or_insert(problem);
    }
}

/// The certificates of a PEM text, of which there is at least one.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty())
}
