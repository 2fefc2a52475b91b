//! Dialling: from addresses that were judged to a connection, directly or through a proxy.
//!
//! Nothing here resolves a name of a target: what is dialled is what was judged.

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::connector::{BoxFuture, Unreachable};

/// Connects to one of the addresses that were judged, and to nothing else.
pub(super) trait Dial: fmt::Debug + Send + Sync {
    /// Connects; whatever hinders it, the error tells no more than that.
    fn dial(&self, addresses: Vec<SocketAddr>) -> BoxFuture<TcpStream>;
}

/// Dials them itself, those of IPv6 and of IPv4 side by side if one takes long.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) most: Duration,
}

impl Dial for Direct {
    fn dial(&self, addresses: Vec<SocketAddr>) -> BoxFuture<TcpStream> {
        let mut http = HttpConnector::new_with_resolver(Answer(addresses));
        http.enforce_http(false);
        http.set_nodelay(true);
        // Shared among the addresses, so that the first cannot use it all up.
        http.set_connect_timeout(Some(self.most));
        // A name, so that the answer is asked for; the port stands there.
        let connection = http.call(Uri::from_static("http://judged.invalid"));
        Box::pin(async move {
            let connected = connection.await;
            Ok(connected.map_err(|_| Unreachable)?.into_inner())
        })
    }
}

/// Knows one answer.
#[derive(Clone)]
struct Answer(Vec<SocketAddr>);

impl Service<Name> for Answer {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

/// A connection that is made already, where one is to be made.
#[derive(Debug)]
pub(super) struct Dialled(Option<TokioIo<TcpStream>>);

impl Dialled {
    pub(super) fn new(stream: TokioIo<TcpStream>) -> Self {
        Self(Some(stream))
    }
}

impl Service<Uri> for Dialled {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
