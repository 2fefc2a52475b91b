//! From what the builder was told to clients whose every connection is judged and bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use super::builder::{HttpBuildError, HttpDelivererBuilder, Limits, ScopeRules};
use super::connector::Connector;
use super::dial::{Dial, Direct};
use super::places::{Places, Total};
use super::proxy::{Proxy, Through};
use super::resolver::Resolve;
use super::tls::{NoConfig, TlsOptions, TlsUnavailable};
use super::{HttpDeliverer, LONGEST, Shared, Way};
use crate::deliverer::address::AddressPolicy;
use crate::event::Scope;

pub(super) fn build(builder: HttpDelivererBuilder) -> Result<HttpDeliverer, HttpBuildError> {
    check(&builder)?;
    let HttpDelivererBuilder { policy, scopes, resolver, proxy, tls, tls_options, limits, problem } =
        builder;
    if let Some(problem) = problem {
        return Err(problem);
    }
    let tls = config(tls, tls_options)?;
    let dial = dial(proxy, &resolver, limits.connect_timeout);
    let total = Total::new(limits.connections);
    let client = client_builder(&limits);
    let make = |policy: AddressPolicy| {
        let policy = Arc::new(policy);
        let places = Places::new(total.clone(), limits.connections_per_host);
        let client = client.build(Connector {
            policy: policy.clone(),
            resolver: resolver.clone(),
            dial: dial.clone(),
            tls: tls.as_ref().ok().cloned(),
            places: places.clone(),
            most: limits.connect_timeout,
        });
        Way { policy, client, places, response_bytes: limits.response_bytes }
    };
    let mut ways = Ways { made: Vec::new(), make };
    let wide = ways.way(policy);
    let scopes = ways.of_scopes(&wide, &scopes);
    let (found, most) = (ways.made.len() - 1, HttpDelivererBuilder::MAX_POLICIES);
    if found > most {
        return Err(HttpBuildError::Policies { found, most });
    }
    let agent = concat!("artifact-triggers/", env!("CARGO_PKG_VERSION"));
    let user_agent = HeaderValue::from_static(agent);
    let shared = Shared { wide, scopes, tls: tls.map(drop), limits, user_agent };
    Ok(HttpDeliverer { shared: Arc::new(shared) })
}

/// The TLS configuration of all clients; within, why there is none on this machine.
fn config(
    whole: Option<ClientConfig>,
    options: TlsOptions,
) -> Result<Result<Arc<ClientConfig>, TlsUnavailable>, HttpBuildError> {
    match whole.map_or_else(|| options.into_config(), Ok) {
        Ok(config) => Ok(Ok(Arc::new(with_alpn(config)))),
        Err(NoConfig::Unavailable(unavailable)) => Ok(Err(unavailable)),
        Err(NoConfig::Identity(error)) => {
            Err(HttpBuildError::ClientCertificate { source: error.into() })
        }
    }
}

fn dial(proxy: Option<Proxy>, resolver: &Arc<dyn Resolve>, most: Duration) -> Arc<dyn Dial> {
    match proxy {
        Some(proxy) => {
            Arc::new(Through { proxy: Arc::new(proxy), resolver: resolver.clone(), most })
        }
        None => Arc::new(Direct { most }),
    }
}

fn check(builder: &HttpDelivererBuilder) -> Result<(), HttpBuildError> {
    if builder.tls.is_some() && !builder.tls_options.is_default() {
        return Err(HttpBuildError::TlsOptionsBesideTls);
    }
    if builder.tls.as_ref().is_some_and(|config| !config.alpn_protocols.is_empty()) {
        return Err(HttpBuildError::Alpn);
    }
    let mut store = RootCertStore::empty();
    for (root, number) in builder.tls_options.roots.iter().zip(1..) {
        store
            .add(root.clone())
            .map_err(|error| HttpBuildError::RootCertificate { number, source: error.into() })?;
    }
    Ok(())
}

/// HTTP/2 where an endpoint speaks it.
fn with_alpn(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// The ways out, one client for each policy: a connection that was made under one is of no use
/// under another.
struct Ways<F> {
    made: Vec<Way>,
    make: F,
}

impl<F: Fn(AddressPolicy) -> Way> Ways<F> {
    fn way(&mut self, policy: AddressPolicy) -> Way {
        if let Some(made) = self.made.iter().find(|way| *way.policy == policy) {
            return made.clone();
        }
        let way = (self.make)(policy);
        self.made.push(way.clone());
        way
    }

    /// The way of each scope that has rules of its own: what holds above it, and those.
    fn of_scopes(
        &mut self,
        wide: &Way,
        rules: &BTreeMap<Scope, ScopeRules>,
    ) -> BTreeMap<Scope, Way> {
        let mut ways = BTreeMap::new();
        for scope in rules.keys() {
            let mut policy = (*wide.policy).clone();
            let mut response_bytes = wide.response_bytes;
            for rules in scope.ancestors().filter_map(|ancestor| rules.get(ancestor)) {
                if let Some(narrower) = &rules.policy {
                    policy = policy.and(narrower.clone());
                }
                response_bytes = response_bytes.min(rules.response_bytes.unwrap_or(usize::MAX));
            }
            ways.insert(scope.clone(), Way { response_bytes, ..self.way(policy) });
        }
        ways
    }
}

/// Bounds what a connection may cost.
fn client_builder(limits: &Limits) -> Builder {
    let header_bytes = limits.response_header_bytes;
    let mut client = Client::builder(TokioExecutor::new());
    client
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits.idle_timeout.min(LONGEST))
        .pool_max_idle_per_host(limits.idle_per_host)
        .http1_max_buf_size(header_bytes)
        .http1_max_headers(limits.response_headers)
        .http2_max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        // Answers are short: no endpoint needs to send much ahead of what was read.
        .http2_initial_stream_window_size(64 * 1024)
        .http2_initial_connection_window_size(1024 * 1024)
        // All requests to a host share a connection: if it is dead, that must be found out.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .http2_keep_alive_timeout(Duration::from_secs(10));
    client
}
