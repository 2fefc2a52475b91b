//! The connector: dials judged addresses only.

use std::error::Error;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::resolver::Resolve;
use crate::deliverer::DeliverError;
use crate::deliverer::address::{AddressPolicy, Refusal};

type BoxError = Box<dyn Error + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Hands on addresses only if all of them may be dialled.
#[derive(Debug, Clone)]
pub(super) struct GuardedResolver {
    resolver: Arc<dyn Resolve>,
    policy: Arc<AddressPolicy>,
}

impl GuardedResolver {
    pub(super) fn new(resolver: Arc<dyn Resolve>, policy: Arc<AddressPolicy>) -> Self {
        Self { resolver, policy }
    }
}

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { resolver, policy } = self.clone();
        Box::pin(async move {
            let found = resolver.resolve(name.as_str()).await.unwrap_or_default();
            if found.is_empty() {
                return Err(Unresolved.into());
            }
            policy.judge_all(found.iter().copied())?;
            let sockets: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(sockets.into_iter())
        })
    }
}

/// A name that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("the host's name cannot be resolved")]
struct Unresolved;

/// Judges literal addresses, which never reach a resolver, before it dials.
#[derive(Debug, Clone)]
pub(super) struct Guarded {
    http: HttpConnector<GuardedResolver>,
    policy: Arc<AddressPolicy>,
}

impl Guarded {
    pub(super) fn new(http: HttpConnector<GuardedResolver>, policy: Arc<AddressPolicy>) -> Self {
        Self { http, policy }
    }
}

/// The address that a host is, if it is one.
fn literal(uri: &Uri) -> Option<IpAddr> {
    uri.host()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if let Some(Err(refusal)) = literal(&uri).map(|address| self.policy.judge(address)) {
            return Box::pin(ready(Err(refusal.into())));
        }
        let connection = self.http.call(uri);
        Box::pin(async move { connection.await.map_err(Into::into) })
    }
}

/// What a client's error is for the engine, in words for tenants: no address, no path.
pub(super) fn told(error: &legacy::Error) -> DeliverError {
    if let Some(refusal) = cause::<Refusal>(error) {
        return DeliverError::Blocked { reason: refusal.to_string() };
    }
    if !error.is_connect() {
        let reason = match cause::<hyper::Error>(error) {
            Some(error) if error.is_parse() => "the answer is not HTTP, or its head is too large",
            Some(error) if error.is_incomplete_message() => "the connection was closed",
            _ => "the connection broke",
        };
        return DeliverError::Broken { reason: reason.to_owned() };
    }
    let reason = if let Some(unresolved) = cause::<Unresolved>(error) {
        unresolved.to_string()
    } else if let Some(error) = cause::<rustls::Error>(error) {
        format!("TLS failed: {error}")
    } else {
        "the endpoint does not take connections".to_owned()
    };
    DeliverError::Connect { reason }
}

/// The first error of a kind in a chain of causes. An I/O error may hold one inside.
fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = error.downcast_ref().or_else(|| inside?.downcast_ref());
        if found.is_some() {
            return found;
        }
        next = error.source();
    }
    None
}
