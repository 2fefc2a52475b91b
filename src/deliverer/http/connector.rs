//! The connector: dials judged addresses only.

use std::error::Error;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::resolver::Resolve;
use crate::deliverer::address::AddressPolicy;

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
pub(super) struct Unresolved;

/// Bounds how long it takes to connect: the look-up, the dialling and TLS together.
#[derive(Debug, Clone)]
pub(super) struct Timed<C> {
    connector: C,
    most: Duration,
}

impl<C> Timed<C> {
    pub(super) fn new(connector: C, most: Duration) -> Self {
        Self { connector, most }
    }
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri, Error = BoxError, Future: Send + 'static>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<C::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connection = timeout(self.most, self.connector.call(uri));
        Box::pin(async move { connection.await.unwrap_or_else(|_| Err(TooSlow.into())) })
    }
}

/// A connection that was not made in time.
#[derive(Debug, thiserror::Error)]
#[error("it was not made in time")]
pub(super) struct TooSlow;

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
