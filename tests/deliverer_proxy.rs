//! The HTTP deliverer through a forward proxy, and without one whatever the environment says.
#![cfg(any(feature = "http-aws-lc-rs", feature = "http-ring"))]

mod raw;

use std::env;
use std::io;
use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::{HttpDeliverer, HttpDelivererBuilder, Proxy, Resolve};
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::event::Scope;
use artifact_triggers::request::{Method, Request};
use artifact_triggers::secret::Secret;
use async_trait::async_trait;
use raw::{Raw, raw, read_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

/// What a proxy does with a request for a tunnel.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    Tunnel,
    /// Tunnels, but not to the first address that it is asked for.
    TunnelOnSecondThought,
    MuteAtFirst,
    Answer(&'static str),
    Endless,
    Mute,
}

/// A proxy, and the heads of the requests that it got.
async fn proxy(behaviour: Behaviour) -> (Raw, Arc<Mutex<Vec<String>>>) {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = heads.clone();
    let proxy = raw(move |mut stream| {
        let seen = seen.clone();
        async move {
            let head = read_request(&mut stream).await?;
            let target = head.split(' ').nth(1).unwrap().to_owned();
            let is_first = {
                let mut seen = seen.lock().unwrap();
                seen.push(head);
                seen.len() == 1
            };
            match behaviour {
                Behaviour::TunnelOnSecondThought if is_first => {
                    stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await
                }
                Behaviour::MuteAtFirst if is_first => std::future::pending().await,
                Behaviour::Tunnel | Behaviour::TunnelOnSecondThought | Behaviour::MuteAtFirst => {
                    tunnel(stream, &target).await
                }
                Behaviour::Answer(answer) => stream.write_all(answer.as_bytes()).await,
                Behaviour::Endless => loop {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nx-more: more").await?;
                },
                Behaviour::Mute => std::future::pending().await,
            }
        }
    });
    (proxy.await, heads)
}

async fn tunnel(mut stream: TcpStream, target: &str) -> io::Result<()> {
    let mut endpoint = TcpStream::connect(target).await?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\nx-a: b\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut endpoint).await.map(drop)
}

async fn willing() -> Raw {
    raw(async |mut stream| {
        loop {
            let request = read_request(&mut stream).await?;
            let host = request.lines().find(|line| line.starts_with("host: ")).unwrap();
            let (line, length) = (request.lines().next().unwrap(), host.len());
            let length = line.len() + 1 + length;
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{line} {host}");
            stream.write_all(answer.as_bytes()).await?;
        }
    })
    .await
}

#[derive(Debug)]
struct Fixed(Vec<&'static str>);

#[async_trait]
impl Resolve for Fixed {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(self.0.iter().map(|text| text.parse().unwrap()).collect())
    }
}

fn through(proxy: &Raw, answer: &[&'static str]) -> HttpDelivererBuilder {
    let network = "127.0.0.0/24".parse().unwrap();
    let policy = AddressPolicy::public_only().allow_http().allow_network(network);
    HttpDeliverer::builder()
        .address_policy(policy.tell_failures_of(network))
        .resolver(Fixed(answer.to_vec()))
        .proxy(Proxy::new(&proxy.url().parse().unwrap()).unwrap())
}

fn request(url: &str) -> Request {
    Request {
        method: Method::Post,
        url: url.parse().unwrap(),
        headers: [("webhook-id", "msg_1")].into_iter().collect(),
        body: Arc::from(&b"{}"[..]),
        timeout: Duration::from_secs(30),
        scope: Scope::root(),
        response_bytes: 0,
    }
}

async fn error(deliverer: HttpDelivererBuilder, url: &str) -> String {
    deliverer.build().unwrap().deliver(request(url)).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_address_that_was_judged_and_the_endpoint_for_its_name() {
    let (endpoint, (proxy, heads)) = (willing().await, proxy(Behaviour::Tunnel).await);
    let deliverer = through(&proxy, &["127.0.0.1"]).build().unwrap();
    let url = format!("http://hooks.example:{}/a?b", endpoint.port);
    for _ in 0..2 {
        let response = deliverer.deliver(request(&url)).await.unwrap();
        let expected = format!("POST /a?b HTTP/1.1 host: hooks.example:{}", endpoint.port);
        assert_eq!(String::from_utf8(response.body).unwrap(), expected);
    }
    let target = format!("127.0.0.1:{}", endpoint.port);
    let expected = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    assert_eq!(*heads.lock().unwrap(), [expected], "a tunnel is used again");
}

#[tokio::test]
async fn a_proxy_is_no_way_round_the_policy() {
    let (endpoint, (proxy, heads)) = (willing().await, proxy(Behaviour::Tunnel).await);
    for (url, answer) in [
        (format!("http://127.0.1.1:{}/", endpoint.port), vec![]),
        (format!("http://[::1]:{}/", endpoint.port), vec![]),
        (format!("http://rebind.example:{}/", endpoint.port), vec!["127.0.1.1"]),
        (format!("http://rebind.example:{}/", endpoint.port), vec!["127.0.0.1", "127.0.1.1"]),
        ("https://169.254.169.254/".to_owned(), vec![]),
    ] {
        let error = through(&proxy, &answer).build().unwrap().deliver(request(&url)).await;
        assert!(matches!(error, Err(DeliverError::Blocked { .. })), "{url}: {error:?}");
    }
    assert_eq!((proxy.connections(), heads.lock().unwrap().len()), (0, 0));
}

#[tokio::test]
async fn each_address_of_a_name_is_tried() {
    let endpoint = willing().await;
    let url = format!("http://hooks.example:{}/", endpoint.port);
    for behaviour in [Behaviour::TunnelOnSecondThought, Behaviour::MuteAtFirst] {
        let (proxy, heads) = proxy(behaviour).await;
        let deliverer = through(&proxy, &["127.0.0.9", "127.0.0.1"]);
        let deliverer = deliverer.connect_timeout(Duration::from_secs(2)).build().unwrap();
        assert_eq!(deliverer.deliver(request(&url)).await.unwrap().status, 200, "{behaviour:?}");
        assert_eq!(heads.lock().unwrap().len(), 2, "{behaviour:?}");
    }
}

#[tokio::test]
async fn who_asks_is_told_to_the_proxy_alone() {
    let (endpoint, (proxy, heads)) = (willing().await, proxy(Behaviour::Tunnel).await);
    let plain = Proxy::new(&proxy.url().parse().unwrap()).unwrap();
    let proxied = plain.with_basic_auth("aladdin", &Secret::new("opensesame"));
    let builder = through(&proxy, &["127.0.0.1"]).proxy(proxied);
    assert!(!format!("{builder:?}").contains("YWxh"), "credentials are not shown");
    let url = format!("http://hooks.example:{}/", endpoint.port);
    let response = builder.build().unwrap().deliver(request(&url)).await.unwrap();
    assert!(!String::from_utf8(response.body).unwrap().contains("YWxh"));
    let head = heads.lock().unwrap().remove(0);
    assert!(head.contains("\r\nProxy-Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l\r\n"), "{head}");
}

#[tokio::test]
async fn tls_is_the_endpoints_and_goes_through_the_tunnel() {
    let hello: Arc<Mutex<Vec<u8>>> = Arc::default();
    let seen = hello.clone();
    let endpoint = raw(move |mut stream| {
        let seen = seen.clone();
        async move {
            let mut bytes = Vec::new();
            // Until the other side gives up, which it does when this one answers with nonsense.
            while stream.read_buf(&mut bytes).await? > 0 {
                *seen.lock().unwrap() = bytes.clone();
                if contains(&bytes, b"hooks.example") {
                    return stream.write_all(b"no TLS").await;
                }
            }
            Ok(())
        }
    });
    let (endpoint, (proxy, _)) = (endpoint.await, proxy(Behaviour::Tunnel).await);
    let url = format!("https://hooks.example:{}/", endpoint.port);
    let error = error(through(&proxy, &["127.0.0.1"]), &url).await;
    assert!(error.starts_with("no connection: "), "{error}");
    let hello = hello.lock().unwrap();
    assert_eq!(hello.first(), Some(&0x16), "a handshake");
    assert!(contains(&hello, b"hooks.example"), "the name is asked for");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_proxy_that_makes_no_tunnel_is_a_failed_connection_whatever_it_says() {
    let unreachable = "no connection: the endpoint cannot be reached";
    let url = "http://hooks.example/";
    for (behaviour, expected) in [
        (Behaviour::Answer("HTTP/1.1 502 Bad Gateway\r\n\r\n"), unreachable),
        (Behaviour::Answer("HTTP/1.1 503 Service Unavailable\r\n\r\n"), unreachable),
        (Behaviour::Answer("HTTP/1.1 504 Gateway Timeout\r\n\r\n"), unreachable),
        (Behaviour::Answer("HTTP/1.1 403 Forbidden\r\n\r\n"), unreachable),
        (
            Behaviour::Answer("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\n\r\n"),
            unreachable,
        ),
        (Behaviour::Answer("SSH-2.0-OpenSSH\r\n\r\n"), unreachable),
        (Behaviour::Answer(""), unreachable),
        (Behaviour::Endless, unreachable),
        (
            Behaviour::Answer("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
            "no connection: the forward proxy does not know who asks",
        ),
    ] {
        let (proxy, _) = proxy(behaviour).await;
        assert_eq!(error(through(&proxy, &["127.0.0.1"]), url).await, expected, "{behaviour:?}");
    }
    let (mute, _) = proxy(Behaviour::Mute).await;
    let hasty = through(&mute, &["127.0.0.1"]).connect_timeout(Duration::from_millis(100));
    assert_eq!(error(hasty, url).await, unreachable);
    let away = Proxy::new(&"http://127.0.0.1:1".parse().unwrap()).unwrap();
    let expected = "no connection: the forward proxy cannot be reached";
    assert_eq!(error(through(&mute, &["127.0.0.1"]).proxy(away), url).await, expected);
}

/// Tells the other side of the test, a process of its own, where to deliver to.
const TARGET: &str = "ARTIFACT_TRIGGERS_TEST_TARGET";

#[test]
fn a_proxy_of_the_environment_is_ignored() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (endpoint, proxy) = runtime.block_on(async { (willing().await, willing().await) });
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "a_delivery_in_a_process_of_its_own", "--ignored"]);
    child.env(TARGET, endpoint.url()).env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, proxy.url()).env(name.to_lowercase(), proxy.url());
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((endpoint.connections(), proxy.connections()), (1, 0));
}

#[tokio::test]
#[ignore = "is run by a_proxy_of_the_environment_is_ignored"]
async fn a_delivery_in_a_process_of_its_own() {
    let Ok(target) = env::var(TARGET) else { return };
    let policy = AddressPolicy::public_only().allow_http().allow_loopback();
    let deliverer = HttpDeliverer::builder().address_policy(policy).build().unwrap();
    assert_eq!(deliverer.deliver(request(&target)).await.unwrap().status, 200);
}
