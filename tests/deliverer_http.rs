//! What the HTTP deliverer promises beside the contract, whose rules `tests/deliverer.rs` tests:
//! against endpoints that behave badly, on loopback.
#![cfg(feature = "http")]

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::{HttpDeliverer, HttpDelivererBuilder, Resolve};
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::event::Scope;
use artifact_triggers::request::{Method, Request, Response};
use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What an endpoint does with each request that it has read.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    Answer(&'static str),
    /// Sends this, and then closes.
    Close(&'static str),
    /// Sends this, and then this again and again.
    Repeat(&'static str, &'static str),
}

#[derive(Debug, Clone)]
struct Endpoint {
    port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn endpoint(behaviour: Behaviour) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        port: listener.local_addr().unwrap().port(),
        connections: Arc::default(),
        requests: Arc::default(),
    };
    let served = endpoint.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            served.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, served.requests.clone(), behaviour));
        }
    });
    endpoint
}

/// Reads requests with a body of known length and does with each as it should. An error ends it, as
/// the other side has gone.
async fn serve(
    mut stream: TcpStream,
    requests: Arc<Mutex<Vec<String>>>,
    behaviour: Behaviour,
) -> std::io::Result<()> {
    loop {
        let mut request = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            request.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&request);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse().unwrap() {
                break;
            }
        }
        requests.lock().unwrap().push(String::from_utf8(request).unwrap());
        match behaviour {
            Behaviour::Answer(answer) => stream.write_all(answer.as_bytes()).await?,
            Behaviour::Close(answer) => {
                stream.write_all(answer.as_bytes()).await?;
                return Ok(());
            }
            Behaviour::Repeat(answer, again) => {
                stream.write_all(answer.as_bytes()).await?;
                loop {
                    stream.write_all(again.as_bytes()).await?;
                }
            }
        }
    }
}

fn local() -> HttpDelivererBuilder {
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    HttpDeliverer::builder().address_policy(policy)
}

fn request(url: &str) -> Request {
    Request {
        method: Method::Post,
        url: url.parse().unwrap(),
        headers: [("webhook-id", "msg_1"), ("content-type", "application/json"), ("x-own", "a")]
            .into_iter()
            .collect(),
        body: Arc::from(&br#"{"a":1}"#[..]),
        timeout: Duration::from_secs(30),
        scope: Scope::root(),
        response_bytes: 0,
    }
}

/// A request for tests that wait until the time is out.
fn hasty(url: &str) -> Request {
    Request { timeout: Duration::from_millis(300), ..request(url) }
}

async fn post(behaviour: Behaviour) -> Result<Response, DeliverError> {
    let endpoint = endpoint(behaviour).await;
    let url = format!("http://127.0.0.1:{}/hook?q=1", endpoint.port);
    local().build().unwrap().deliver(request(&url)).await
}

#[tokio::test]
async fn a_request_is_a_post_that_says_who_sends_it_and_asks_for_no_encoding() {
    let endpoint = endpoint(Behaviour::Answer("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let url = format!("http://127.0.0.1:{}/hook?q=1", endpoint.port);
    local().build().unwrap().deliver(request(&url)).await.unwrap();
    let seen = endpoint.requests.lock().unwrap().remove(0);
    assert!(seen.starts_with("POST /hook?q=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n{\"a\":1}"), "{seen}");
    assert_eq!(seen.matches("user-agent: artifact-triggers/").count(), 1, "{seen}");
    assert!(!seen.contains("accept-encoding"), "{seen}");
}

#[tokio::test]
async fn a_user_agent_that_is_given_is_the_only_one() {
    let endpoint = endpoint(Behaviour::Answer("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let mut request = request(&format!("http://127.0.0.1:{}/", endpoint.port));
    request.headers.push("User-Agent", "mine/1");
    local().build().unwrap().deliver(request).await.unwrap();
    let seen = endpoint.requests.lock().unwrap().remove(0);
    let agents: Vec<_> = seen.lines().filter(|line| line.starts_with("user-agent: ")).collect();
    assert_eq!(agents, ["user-agent: mine/1"]);
}

#[tokio::test]
async fn more_header_fields_than_can_be_sent_are_refused() {
    let mut request = request("http://127.0.0.1:1/");
    request.headers.extend((0..100_000).map(|n| (format!("x-{n}"), "1")));
    let error = local().build().unwrap().deliver(request).await.unwrap_err();
    assert!(matches!(error, DeliverError::Invalid { .. }), "{error}");
}

#[tokio::test]
async fn a_switch_of_protocols_is_a_status_as_any_other() {
    let switch = "HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    assert_eq!(post(Behaviour::Answer(switch)).await.unwrap().status, 101);
}

/// What is told of a connection that was not made, whatever hindered it.
fn unreachable() -> DeliverError {
    DeliverError::Connect { reason: "the endpoint cannot be reached".to_owned() }
}

/// Never answers.
#[derive(Debug)]
struct Mute;

#[async_trait]
impl Resolve for Mute {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn the_time_out_covers_the_look_up() {
    let deliverer = local().resolver(Mute).connect_timeout(Duration::MAX).build().unwrap();
    let error = deliverer.deliver(hasty("http://mute.example/")).await.unwrap_err();
    assert_eq!(error, unreachable());
}

#[tokio::test]
async fn the_time_to_connect_covers_the_look_up() {
    let deliverer = local().resolver(Mute).connect_timeout(Duration::from_millis(50));
    let mut request = request("http://mute.example/");
    request.timeout = Duration::MAX;
    let error = deliverer.build().unwrap().deliver(request).await.unwrap_err();
    assert_eq!(error, unreachable());
}

#[tokio::test]
async fn spans_of_any_length_are_understood() {
    let endpoint =
        endpoint(Behaviour::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let deliverer = local().connect_timeout(Duration::MAX).idle_timeout(Duration::MAX);
    let deliverer = deliverer.build().unwrap();
    let mut request = request(&format!("http://127.0.0.1:{}/", endpoint.port));
    request.timeout = Duration::MAX;
    for _ in 0..2 {
        assert_eq!(deliverer.deliver(request.clone()).await.unwrap().status, 200);
    }
    assert_eq!(endpoint.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_head_that_never_ends_or_is_no_http_breaks_off() {
    let endless = Behaviour::Repeat("HTTP/1.1 200 OK\r\n", "x-more: 0123456789abcdef\r\n");
    for behaviour in [endless, Behaviour::Close("SSH-2.0-OpenSSH\r\n"), Behaviour::Close("")] {
        let error = post(behaviour).await.unwrap_err();
        assert!(matches!(error, DeliverError::Broken { .. }), "{behaviour:?}: {error}");
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let endpoint =
        endpoint(Behaviour::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let deliverer = local().build().unwrap();
    let url = format!("http://127.0.0.1:{}/", endpoint.port);
    for _ in 0..5 {
        deliverer.deliver(request(&url)).await.unwrap();
    }
    assert_eq!(endpoint.connections.load(Ordering::SeqCst), 1);
    assert_eq!(endpoint.requests.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn a_body_is_read_to_its_end_for_the_connections_sake_unless_it_is_huge() {
    for (length, connections) in [(1024, 1), (60_000, 1), (1_000_000, 2)] {
        let body = "x".repeat(length);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        let endpoint = endpoint(Behaviour::Answer(answer.leak())).await;
        let deliverer = local().build().unwrap();
        for _ in 0..2 {
            let url = format!("http://127.0.0.1:{}/", endpoint.port);
            let response = deliverer.deliver(request(&url)).await.unwrap();
            assert_eq!((response.status, response.body.len()), (200, 1024), "{length}");
        }
        assert_eq!(endpoint.connections.load(Ordering::SeqCst), connections, "{length}");
    }
}

#[tokio::test]
async fn who_wants_more_of_an_answer_than_is_kept_gets_it() {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n{}", "x".repeat(60_000));
    let endpoint = endpoint(Behaviour::Answer(answer.leak())).await;
    let deliverer = local().build().unwrap();
    for (wanted, read) in [(0, 1_024), (2_000, 2_000), (100_000, 60_000)] {
        let mut request = request(&format!("http://127.0.0.1:{}/", endpoint.port));
        request.response_bytes = wanted;
        assert_eq!(deliverer.deliver(request).await.unwrap().body.len(), read);
    }
}

#[tokio::test]
async fn what_is_blocked_is_told_without_its_address_user_path_or_query() {
    let secret = "hunter-2?hunter=2#hunter";
    for url in [
        format!("http://10.127.0.1/{secret}"),
        format!("http://hunter:hunter@127.0.0.1:1/{secret}"),
        format!("http://127.0.0.1:1/{}", "hunter".repeat(400)),
    ] {
        let error = local().build().unwrap().deliver(request(&url)).await.unwrap_err();
        assert!(matches!(error, DeliverError::Blocked { .. }), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter") && !shown.contains("127.0"), "{shown}");
    }
}

#[tokio::test]
async fn by_default_nothing_connects_to_this_machine() {
    let endpoint = endpoint(Behaviour::Answer("HTTP/1.1 200 OK\r\n\r\n")).await;
    let policy = AddressPolicy::public_only().allow_http();
    let plain = HttpDeliverer::builder().address_policy(policy).build();
    for deliverer in [HttpDeliverer::new().unwrap(), plain.unwrap()] {
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}:{}/", endpoint.port);
                let error = deliverer.deliver(request(&url)).await.unwrap_err();
                assert!(matches!(error, DeliverError::Blocked { .. }), "{url}: {error}");
            }
        }
    }
    assert_eq!(endpoint.connections.load(Ordering::SeqCst), 0);
}

/// Answers each question with the next of its lists, and the last one from then on.
#[derive(Debug)]
struct Scripted(Mutex<Vec<Vec<&'static str>>>);

#[async_trait]
impl Resolve for Scripted {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut lists = self.0.lock().unwrap();
        let list = if lists.len() > 1 { lists.remove(0) } else { lists[0].clone() };
        Ok(list.into_iter().map(|text| text.parse().unwrap()).collect())
    }
}

fn scripted(lists: &[&[&'static str]], policy: AddressPolicy) -> HttpDeliverer {
    let lists = lists.iter().map(|list| list.to_vec()).collect();
    let resolver = Scripted(Mutex::new(lists));
    HttpDeliverer::builder().address_policy(policy).resolver(resolver).build().unwrap()
}

#[tokio::test]
async fn a_name_is_judged_by_all_it_resolves_to() {
    let endpoint = endpoint(Behaviour::Answer("HTTP/1.1 200 OK\r\n\r\n")).await;
    let url = format!("http://rebind.example:{}/", endpoint.port);
    for list in [&["127.0.0.1"][..], &["1.1.1.1", "127.0.0.1"], &["::ffff:127.0.0.1"]] {
        let deliverer = scripted(&[list], AddressPolicy::public_only().allow_http());
        let error = deliverer.deliver(request(&url)).await.unwrap_err();
        assert!(matches!(error, DeliverError::Blocked { .. }), "{list:?}: {error}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }
    assert_eq!(endpoint.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_without_addresses_is_a_failed_connection_that_is_tried_again() {
    let deliverer = scripted(&[&[]], AddressPolicy::public_only().allow_http());
    let error = deliverer.deliver(request("http://nowhere.example/")).await.unwrap_err();
    let reason = "the host's name cannot be resolved".to_owned();
    assert_eq!(error, DeliverError::Connect { reason });
}

#[tokio::test]
async fn a_name_is_judged_anew_for_each_connection() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let endpoint = endpoint(Behaviour::Close(answer)).await;
    let url = format!("http://rebind.example:{}/", endpoint.port);
    // The allowed network stands for what is public: no test dials a public address.
    let policy =
        AddressPolicy::public_only().allow_http().allow_network("127.0.0.1/32".parse().unwrap());
    let deliverer = scripted(&[&["127.0.0.1"], &["127.0.0.2"]], policy);
    assert_eq!(deliverer.deliver(request(&url)).await.unwrap().status, 200);
    let error = deliverer.deliver(request(&url)).await.unwrap_err();
    assert!(matches!(error, DeliverError::Blocked { .. }), "{error}");
    assert_eq!(endpoint.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn tls_to_an_endpoint_that_has_none_is_a_failed_connection() {
    let endpoint = endpoint(Behaviour::Close("HTTP/1.1 200 OK\r\n\r\n")).await;
    let url = format!("https://127.0.0.1:{}/", endpoint.port);
    let error = local().build().unwrap().deliver(hasty(&url)).await.unwrap_err();
    let expected = matches!(error, DeliverError::Connect { .. } | DeliverError::Timeout { .. });
    assert!(expected, "{error}");
}
