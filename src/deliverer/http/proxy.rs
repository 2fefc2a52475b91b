//! Forward proxies: a tunnel to an address that was judged here.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Host, Url};

use super::connector::{BoxError, BoxFuture, Unreachable};
use super::dial::Dial;
use super::resolver::Resolve;
use crate::secret::Secret;

/// The longest head of a proxy's answer, in bytes.
const MAX_HEAD: usize = 8 * 1024;

/// A forward proxy that is asked for tunnels (`CONNECT`), for https and http alike.
///
/// The name of an endpoint is resolved and judged here, and the proxy is asked for a tunnel to the
/// *address*: what it connects to is what was judged, whatever the name resolves to where the proxy
/// is. So this machine has to be able to resolve the names of endpoints. Whoever runs the proxy has
/// to allow tunnels to addresses, and to port 80 if http is to go through it. TLS and the `host`
/// field are of the endpoint, not of the proxy. The proxy itself is the operator's to choose, and
/// its address is not judged.
#[derive(Clone)]
pub struct Proxy {
    host: Host<String>,
    port: u16,
    authorization: Option<Secret>,
}

/// A URL that is not one of a forward proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the URL of a proxy, such as http://proxy.example:3128, without user, path or query"
)]
pub struct ProxyUrlError;

impl Proxy {
    /// A proxy by its URL, `http://host:port`.
    ///
    /// # Errors
    /// [`ProxyUrlError`]; a user and a password are [given apart](Self::with_basic_auth).
    pub fn new(url: &Url) -> Result<Self, ProxyUrlError> {
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        let port = url.port_or_known_default().filter(|port| *port != 0);
        match (url.host(), port) {
            (Some(host), Some(port)) if url.scheme() == "http" && is_bare && is_anonymous => {
                Ok(Self { host: host.to_owned(), port, authorization: None })
            }
            _ => Err(ProxyUrlError),
        }
    }

    /// Says who asks, by a user, in which there can be no colon, and a password (RFC 7617).
    pub fn with_basic_auth(mut self, user: &str, password: &Secret) -> Self {
        let mut credentials = format!("{user}:").into_bytes();
        credentials.extend_from_slice(password.expose());
        self.authorization = Some(Secret::new(STANDARD.encode(credentials)));
        self
    }
}

/// Shows where it is, not with which credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

/// The proxy's fault, not the endpoint's.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFailed {
    #[error("the forward proxy cannot be reached")]
    Unreachable,
    #[error("the forward proxy does not know who asks")]
    Unauthorised,
}

/// Dials through a proxy.
#[derive(Debug, Clone)]
pub(super) struct Through {
    pub(super) proxy: Arc<Proxy>,
    /// For the proxy's own name.
    pub(super) resolver: Arc<dyn Resolve>,
    /// Shared among the addresses of a name, so that the first cannot use it all up.
    pub(super) most: Duration,
}

impl Dial for Through {
    fn dial(&self, addresses: Vec<SocketAddr>) -> BoxFuture<TcpStream> {
        let this = self.clone();
        Box::pin(async move {
            let share = this.most / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
            for address in addresses {
                let tunnel = timeout(share, this.tunnel(address)).await;
                if let Some(stream) = tunnel.unwrap_or(Ok(None))? {
                    return Ok(stream);
                }
            }
            Err(Unreachable.into())
        })
    }
}

impl Through {
    /// A tunnel to an address; `None` if the proxy makes none, for whatever reason.
    async fn tunnel(&self, address: SocketAddr) -> Result<Option<TcpStream>, BoxError> {
        let stream = self.reach().await.map_err(|_| ProxyFailed::Unreachable)?;
        let mut request = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n").into_bytes();
        if let Some(authorization) = &self.proxy.authorization {
            request.extend_from_slice(b"Proxy-Authorization: Basic ");
            request.extend_from_slice(authorization.expose());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let sent = write_all(&stream, &request).await;
        let Ok(head) = (match sent {
            Ok(()) => read_head(&stream).await,
            Err(error) => Err(error),
        }) else {
            return Ok(None);
        };
        match status(&head) {
            Some(200..=299) => Ok(Some(stream)),
            Some(407) => Err(ProxyFailed::Unauthorised.into()),
            _ => Ok(None),
        }
    }

    async fn reach(&self) -> io::Result<TcpStream> {
        let found = match &self.proxy.host {
            Host::Domain(name) => self.resolver.resolve(name).await?,
            Host::Ipv4(address) => vec![(*address).into()],
            Host::Ipv6(address) => vec![(*address).into()],
        };
        let found: Vec<SocketAddr> =
            found.into_iter().map(|address| SocketAddr::new(address, self.proxy.port)).collect();
        let stream = TcpStream::connect(&*found).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a head byte by byte: what follows it is the endpoint's.
async fn read_head(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.readable().await?;
        let mut byte = [0];
        match stream.try_read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => head.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

/// The status of a head (RFC 9112, section 4).
fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.1 ").or_else(|| head.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, rest) = line.split_at_checked(3)?;
    let is_whole =
        digits.iter().all(u8::is_ascii_digit) && matches!(rest.first(), Some(b' ' | b'\r'));
    is_whole.then(|| digits.iter().fold(0, |all, digit| all * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_bare_http_url() {
        let proxy = |url: &str| Proxy::new(&url.parse().unwrap());
        assert_eq!(
            format!("{:?}", proxy("http://proxy.example").unwrap()),
            "Proxy(proxy.example:80)"
        );
        assert_eq!(format!("{:?}", proxy("http://[::1]:3128/").unwrap()), "Proxy([::1]:3128)");
        for url in [
            "https://proxy.example/",
            "socks5://proxy.example:1080/",
            "http://user@proxy.example/",
            "http://:hunter2@proxy.example/",
            "http://proxy.example/path",
            "http://proxy.example/?a",
            "http://proxy.example/#a",
            "http://proxy.example:0/",
        ] {
            assert_eq!(proxy(url).unwrap_err(), ProxyUrlError, "{url}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let proxy = Proxy::new(&"http://proxy.example".parse().unwrap()).unwrap();
        let proxy = proxy.with_basic_auth("aladdin", &Secret::new("opensesame"));
        assert_eq!(format!("{proxy:?}"), "Proxy(proxy.example:80)");
        let sent = proxy.authorization.unwrap();
        assert_eq!(sent.expose(), b"YWxhZGRpbjpvcGVuc2VzYW1l");
    }

    #[test]
    fn a_status_has_three_digits() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(407));
        for head in
            [&b"HTTP/1.1 2000 OK\r\n\r\n"[..], b"HTTP/1.1 20\r\n\r\n", b"HTTP/2 200 OK\r\n", b"200"]
        {
            assert_eq!(status(head), None, "{head:?}");
        }
    }
}
