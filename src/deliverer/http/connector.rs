//! The connector: from a URL to a connection whose address was judged, whose place was taken, and
//! whose TLS is up.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::dial::{Dial, Dialled};
use super::places::{Place, Places};
use super::resolver::Resolve;
use crate::deliverer::address::AddressPolicy;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;
pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Makes the connections of one client, which are all judged by one policy.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) policy: Arc<AddressPolicy>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) dial: Arc<dyn Dial>,
    /// `None` where there is no TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) places: Places,
    /// Bounds it all: waiting for a place, the look-up, the dialling and TLS.
    pub(super) most: Duration,
}

/// A name that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("the host's name cannot be resolved")]
pub(super) struct Unresolved;

/// A connection that was not made, whether the port is closed, nobody answers, there is no way
/// there or the time was up: who chose the URL is not told which.
#[derive(Debug, thiserror::Error)]
#[error("the endpoint cannot be reached")]
pub(super) struct Unreachable;

impl Service<Uri> for Connector {
    type Response = Held;
    type Error = BoxError;
    type Future = BoxFuture<Held>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let connection = timeout(connector.most, connector.connect(uri));
            connection.await.unwrap_or_else(|_| Err(Unreachable.into()))
        })
    }
}

impl Connector {
    async fn connect(&self, uri: Uri) -> Result<Held, BoxError> {
        let place = self.places.take(uri.authority().map_or("", |host| host.as_str())).await?;
        let port = uri.port_u16().unwrap_or(if is_plain(&uri) { 80 } else { 443 });
        let addresses = self.judged(&uri).await?;
        let is_told = addresses.iter().all(|address| self.policy.tells_failures_of(*address));
        let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, port));
        let stream = self.dial.dial(sockets.collect()).await?;
        let io = self.secured(uri, stream).await;
        let io = io.map_err(|error| if is_told { error } else { Unreachable.into() })?;
        let reached = Reached { is_told, closing: Arc::default() };
        Ok(Held { io, reached, _place: place })
    }

    /// The addresses of a host, all of which may be dialled.
    async fn judged(&self, uri: &Uri) -> Result<Vec<IpAddr>, BoxError> {
        let host = uri.host().unwrap_or_default();
        // Literal addresses are not for a resolver to answer.
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            self.policy.judge(address)?;
            return Ok(vec![address]);
        }
        let found = self.resolver.resolve(host).await.unwrap_or_default();
        if found.is_empty() {
            return Err(Unresolved.into());
        }
        self.policy.judge_all(found.iter().copied())?;
        Ok(found)
    }

    async fn secured(&self, uri: Uri, stream: TcpStream) -> Result<Stream, BoxError> {
        let stream = TokioIo::new(stream);
        if is_plain(&uri) {
            return Ok(MaybeHttpsStream::Http(stream));
        }
        let tls = self.tls.clone().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        HttpsConnector::from((Dialled::new(stream), tls)).call(uri).await
    }
}

fn is_plain(uri: &Uri) -> bool {
    uri.scheme_str() == Some("http")
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection, which holds its place among the others as long as it is open.
#[derive(Debug)]
pub(super) struct Held {
    io: Stream,
    reached: Reached,
    _place: Place,
}

/// What is known of the connection that a request goes by.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    /// Whether what fails there may be told in full.
    pub(super) is_told: bool,
    pub(super) closing: Arc<Closing>,
}

/// A wish that a connection be closed.
#[derive(Debug, Default)]
pub(super) struct Closing {
    is_asked: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Closing {
    /// Lets the connection end, as if the other side had closed it.
    pub(super) fn ask(&self) {
        self.is_asked.store(true, Ordering::SeqCst);
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether it is to be closed; if not, whoever reads is woken once it is.
    fn is_asked(&self, context: &Context<'_>) -> bool {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *reader {
            Some(reader) => reader.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        self.is_asked.load(Ordering::SeqCst)
    }
}

impl Connection for Held {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.reached.clone())
    }
}

impl Read for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reached.closing.is_asked(context) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }
}

#[cfg(test)]
mod tests;
