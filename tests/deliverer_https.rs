//! The HTTP deliverer over TLS and HTTP/2, against an endpoint on loopback with certificates of its
//! own.
#![cfg(any(feature = "http-aws-lc-rs", feature = "http-ring"))]

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::{
    HttpBuildError, HttpDeliverer, HttpDelivererBuilder, Resolve,
};
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::event::Scope;
use artifact_triggers::request::{Method, Request};
use async_trait::async_trait;
use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

#[path = "https/options.rs"]
mod options;

/// How many requests the endpoint waits for before it answers any of them, but for `/alone`.
const TOGETHER: usize = 32;

#[derive(Debug, Clone)]
struct Endpoint {
    port: u16,
    root: Vec<u8>,
    connections: Arc<AtomicUsize>,
    versions: Arc<Mutex<Vec<Version>>>,
    gathered: Arc<Barrier>,
}

/// An endpoint whose certificate is for `hooks.example` and as these parameters say.
async fn endpoint(protocols: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Endpoint {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    serving(config, protocols, authority.der()).await
}

/// An endpoint that speaks TLS as configured.
async fn serving(mut config: ServerConfig, protocols: &[&str], root: &[u8]) -> Endpoint {
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        port: listener.local_addr().unwrap().port(),
        root: root.to_vec(),
        connections: Arc::default(),
        versions: Arc::default(),
        gathered: Arc::new(Barrier::new(TOGETHER)),
    };
    let (served, acceptor) = (endpoint.clone(), TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(served.clone(), acceptor.clone(), stream));
        }
    });
    endpoint
}

#[cfg(feature = "http-aws-lc-rs")]
fn provider() -> Arc<CryptoProvider> {
    Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(not(feature = "http-aws-lc-rs"))]
fn provider() -> Arc<CryptoProvider> {
    Arc::new(tokio_rustls::rustls::crypto::ring::default_provider())
}

/// Answers each request with its path. A client that refuses the certificate ends it.
async fn serve(endpoint: Endpoint, acceptor: TlsAcceptor, stream: TcpStream) {
    endpoint.connections.fetch_add(1, Ordering::SeqCst);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let endpoint = endpoint.clone();
        async move {
            endpoint.versions.lock().unwrap().push(request.version());
            if request.uri().path() != "/alone" {
                endpoint.gathered.wait().await;
            }
            Ok::<_, Infallible>(Response::new(request.uri().path().to_owned()))
        }
    });
    let stream = TokioIo::new(stream);
    // The client has gone, however it ends.
    if is_http2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(stream, service).await;
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(stream, service).await;
    }
}

/// Every name is this machine.
#[derive(Debug)]
struct Local;

#[async_trait]
impl Resolve for Local {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

fn local() -> HttpDelivererBuilder {
    let policy = AddressPolicy::public_only().allow_loopback();
    HttpDeliverer::builder().address_policy(policy).resolver(Local)
}

fn request(endpoint: &Endpoint, host: &str, path: &str) -> Request {
    Request {
        method: Method::Post,
        url: format!("https://{host}:{}{path}", endpoint.port).parse().unwrap(),
        headers: [("webhook-id", "msg_1")].into_iter().collect(),
        body: Arc::from(&b"{}"[..]),
        timeout: Duration::from_secs(30),
        scope: Scope::root(),
        response_bytes: 0,
    }
}

async fn refusal(deliverer: HttpDelivererBuilder, endpoint: &Endpoint, host: &str) -> String {
    let request = request(endpoint, host, "/alone");
    let error = deliverer.build().unwrap().deliver(request).await.unwrap_err();
    assert!(endpoint.versions.lock().unwrap().is_empty(), "nothing was sent");
    let DeliverError::Connect { reason } = error else { panic!("{error}") };
    reason
}

#[tokio::test]
async fn a_root_of_ones_own_is_trusted_beside_the_platforms() {
    let endpoint = endpoint(&["http/1.1"], |_| ()).await;
    let deliverer = local().root_certificate(endpoint.root.clone()).build().unwrap();
    assert!(deliverer.tls_unavailable().is_none());
    for host in ["hooks.example", "HOOKS.example."] {
        let response = deliverer.deliver(request(&endpoint, host, "/alone")).await.unwrap();
        assert_eq!((response.status, response.body), (200, b"/alone".to_vec()));
    }
    assert_eq!(*endpoint.versions.lock().unwrap(), [Version::HTTP_11; 2]);
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_refused_and_the_cause_told() {
    let issued = endpoint(&[], |_| ()).await;
    let reason = refusal(local(), &issued, "hooks.example").await;
    assert_eq!(reason, "TLS failed: the certificate's issuer is not trusted");
    let trusting = local().root_certificate(issued.root.clone());
    let reason = refusal(trusting, &issued, "other.example").await;
    assert_eq!(reason, "TLS failed: the certificate is for another name");
    let expired = endpoint(&[], |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let expired = expired.await;
    let trusting = local().root_certificate(expired.root.clone());
    let reason = refusal(trusting, &expired, "hooks.example").await;
    assert_eq!(reason, "TLS failed: the certificate has expired");
    let early = endpoint(&[], |params| params.not_before = rcgen::date_time_ymd(3000, 1, 1)).await;
    let trusting = local().root_certificate(early.root.clone());
    let reason = refusal(trusting, &early, "hooks.example").await;
    assert_eq!(reason, "TLS failed: the certificate is not valid yet");
}

#[tokio::test]
async fn an_endpoint_without_tls_is_told_as_such_and_one_that_hangs_up_too() {
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut unserved = endpoint(&[], |_| ()).await;
    unserved.port = plain.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await?;
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad\r\n\r\n").await?;
        // Until the client has gone, lest closing overtakes the answer.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    let reason = refusal(local(), &unserved, "hooks.example").await;
    assert_eq!(reason, "TLS failed: the endpoint does not speak TLS");

    let hanging_up = TcpListener::bind("127.0.0.1:0").await.unwrap();
    unserved.port = hanging_up.local_addr().unwrap().port();
    tokio::spawn(async move { hanging_up.accept().await.map(drop) });
    let reason = refusal(local(), &unserved, "hooks.example").await;
    assert_eq!(reason, "the endpoint closed it before it was ready");
}

#[tokio::test]
async fn the_time_to_connect_covers_the_handshake() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut unserved = endpoint(&[], |_| ()).await;
    unserved.port = mute.local_addr().unwrap().port();
    let deliverer = local().connect_timeout(Duration::from_millis(50));
    let reason = refusal(deliverer, &unserved, "hooks.example").await;
    assert_eq!(reason, "the endpoint cannot be reached");
}

#[tokio::test]
async fn requests_share_one_connection_of_http2() {
    let endpoint = endpoint(&["h2", "http/1.1"], |_| ()).await;
    let deliverer = local().root_certificates([endpoint.root.clone()]).build().unwrap();
    // Which version an endpoint speaks is not known before the first connection is made.
    deliverer.deliver(request(&endpoint, "hooks.example", "/alone")).await.unwrap();
    let requests = (0..TOGETHER).map(|n| request(&endpoint, "hooks.example", &format!("/{n}")));
    let answers = join_all(requests.map(|request| deliverer.deliver(request))).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().body, format!("/{n}").into_bytes());
    }
    assert_eq!(endpoint.connections.load(Ordering::SeqCst), 1);
    assert_eq!(*endpoint.versions.lock().unwrap(), [Version::HTTP_2; TOGETHER + 1]);
}

#[test]
fn what_cannot_be_built_is_told() {
    let config = || {
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    };
    let mut with_alpn = config();
    with_alpn.alpn_protocols = vec![b"h2".to_vec()];
    let error = HttpDeliverer::builder().tls(with_alpn).build().unwrap_err();
    assert!(matches!(error, HttpBuildError::Alpn), "{error}");
    let root = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let root: &CertificateDer<'_> = root.cert.der();
    let error = HttpDeliverer::builder().tls(config()).root_certificate(root.to_vec()).build();
    assert!(matches!(error, Err(HttpBuildError::TlsOptionsBesideTls)), "{error:?}");
    let roots = [root.to_vec(), b"-----BEGIN CERTIFICATE-----".to_vec()];
    let error = HttpDeliverer::builder().root_certificates(roots).build().unwrap_err();
    assert_eq!(error.to_string(), "root certificate 2 is not an X.509 certificate in DER");
}
