//! The HTTP deliverer against endpoints that behave badly, on loopback.
#![cfg(feature = "http")]

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::{HttpDeliverer, HttpDelivererBuilder, Resolve};
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::Outcome;
use artifact_triggers::request::{Request, Response};
use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, oneshot};

/// What an endpoint does with each request that it has read.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    Answer(&'static str),
    /// Sends this, and then nothing for ever.
    Stall(&'static str),
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
            Behaviour::Stall(answer) => {
                stream.write_all(answer.as_bytes()).await?;
                std::future::pending::<()>().await;
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
        url: url.parse().unwrap(),
        headers: [("webhook-id", "msg_1"), ("content-type", "application/json"), ("x-own", "a")]
            .into_iter()
            .collect(),
        body: Arc::from(&br#"{"a":1}"#[..]),
        timeout: Duration::from_secs(30),
    }
}

/// A request for tests that wait until the time is out.
fn hasty(url: &str) -> Request {
    Request { timeout: Duration::from_millis(300), ..request(url) }
}

async fn post(behaviour: Behaviour) -> Result<Response, DeliverError> {
    let endpoint = endpoint(behaviour).await;
    let url = format!("http://127.0.0.1:{}/hook?q=1", endpoint.port);
    let waits = matches!(behaviour, Behaviour::Stall(_) | Behaviour::Repeat("", _));
    let request = if waits { hasty(&url) } else { request(&url) };
    local().build().unwrap().deliver(request).await
}

#[tokio::test]
async fn rule_01_the_request_arrives_as_it_was_given() {
    let endpoint = endpoint(Behaviour::Answer("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let url = format!("http://127.0.0.1:{}/hook?q=1", endpoint.port);
    local().build().unwrap().deliver(request(&url)).await.unwrap();
    let seen = endpoint.requests.lock().unwrap().remove(0);
    assert!(seen.starts_with("POST /hook?q=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n{\"a\":1}"), "{seen}");
    for field in [
        "webhook-id: msg_1",
        "content-type: application/json",
        "x-own: a",
        "user-agent: artifact-triggers/",
    ] {
        assert_eq!(seen.matches(field).count(), 1, "{field} in {seen}");
    }
    assert!(!seen.contains("accept-encoding"), "{seen}");
}

#[tokio::test]
async fn rule_01_fields_of_one_name_keep_their_order_and_a_user_agent_is_kept() {
    let endpoint = endpoint(Behaviour::Answer("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let mut request = request(&format!("http://127.0.0.1:{}/", endpoint.port));
    request.headers.extend([("x-own", "b"), ("User-Agent", "mine/1"), ("X-Own", "c")]);
    local().build().unwrap().deliver(request).await.unwrap();
    let seen = endpoint.requests.lock().unwrap().remove(0);
    let of = |name: &str| {
        let lines = seen.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|line| line.0 == name).map(|line| line.1).collect::<Vec<_>>()
    };
    assert_eq!(of("x-own"), ["a", "b", "c"]);
    assert_eq!(of("user-agent"), ["mine/1"]);
}

#[tokio::test]
async fn rule_01_fields_that_frame_the_message_are_refused_before_anything_is_dialled() {
    let endpoint = endpoint(Behaviour::Answer("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let deliverer = local().build().unwrap();
    for name in ["Content-Length", "transfer-encoding", "connection", "HOST", "te", "proxy-x"] {
        let mut request = request(&format!("http://127.0.0.1:{}/", endpoint.port));
        request.headers.push(name, "chunked");
        let error = deliverer.deliver(request).await.unwrap_err();
        assert!(matches!(error, DeliverError::Invalid { .. }), "{name}: {error}");
    }
    assert_eq!(endpoint.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn more_header_fields_than_can_be_sent_are_refused() {
    let mut request = request("http://127.0.0.1:1/");
    request.headers.extend((0..100_000).map(|n| (format!("x-{n}"), "1")));
    let error = local().build().unwrap().deliver(request).await.unwrap_err();
    assert!(matches!(error, DeliverError::Invalid { .. }), "{error}");
}

#[tokio::test]
async fn rule_02_every_status_is_answered_and_none_followed() {
    let answers = [
        (200, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        (302, "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"),
        (410, "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"),
        (500, "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"),
        (429, "HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"),
        (204, "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hint\r\na: b\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
        (101, "HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
    ];
    for (status, answer) in answers {
        let response = post(Behaviour::Answer(answer)).await.unwrap();
        assert_eq!(response.status, status);
        if status == 429 {
            assert_eq!(response.headers.only("retry-after"), Some(&b"7"[..]));
        }
    }
}

#[tokio::test]
async fn rule_03_an_endpoint_that_never_answers_ends_in_a_time_out() {
    let error = post(Behaviour::Stall("")).await.unwrap_err();
    assert_eq!(error, DeliverError::Timeout { after: Duration::from_millis(300) });
    let error = post(Behaviour::Stall("HTTP/1.1 200 OK\r\nx: ")).await.unwrap_err();
    assert!(matches!(error, DeliverError::Timeout { .. }), "{error}");
    let error = post(Behaviour::Repeat("", "HTTP/1.1 100 Go on\r\n\r\n")).await.unwrap_err();
    assert!(matches!(error, DeliverError::Timeout { .. }), "{error}");
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
async fn rule_03_the_time_out_covers_the_look_up() {
    let deliverer = local().resolver(Mute).connect_timeout(Duration::MAX).build().unwrap();
    let error = deliverer.deliver(hasty("http://mute.example/")).await.unwrap_err();
    assert_eq!(error, DeliverError::Timeout { after: Duration::from_millis(300) });
}

#[tokio::test]
async fn the_time_to_connect_covers_the_look_up() {
    let deliverer = local().resolver(Mute).connect_timeout(Duration::from_millis(50));
    let mut request = request("http://mute.example/");
    request.timeout = Duration::MAX;
    let error = deliverer.build().unwrap().deliver(request).await.unwrap_err();
    assert_eq!(error, DeliverError::Connect { reason: "it was not made in time".to_owned() });
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
async fn rule_04_a_body_that_breaks_drips_or_never_ends_costs_its_rest_not_the_status() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let cases = [
        (Behaviour::Close(head), 5),
        (Behaviour::Stall(head), 5),
        (Behaviour::Repeat("HTTP/1.1 200 OK\r\n\r\n", "0123456789abcdef"), 1024),
        (Behaviour::Repeat(chunked, "10\r\n0123456789abcdef\r\n"), 1024),
    ];
    for (behaviour, kept) in cases {
        let response = post(behaviour).await.unwrap();
        assert_eq!((response.status, response.body.len()), (200, kept), "{behaviour:?}");
        let outcome = Outcome::of(&Ok(response), Timestamp::UNIX_EPOCH);
        assert_eq!(outcome, Outcome::Accepted, "{behaviour:?}");
    }
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
async fn rule_05_errors_tell_no_address_path_query_user_or_header() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_port = closed.local_addr().unwrap().port();
    drop(closed);
    let broken = endpoint(Behaviour::Close("hunter-2")).await.port;
    let silent = endpoint(Behaviour::Stall("")).await.port;
    let secret = "hunter-2?hunter=2#hunter";
    let cases = [
        ("no connection", format!("http://127.0.0.1:{closed_port}/{secret}"), "x-own"),
        ("the exchange broke off", format!("http://127.0.0.1:{broken}/{secret}"), "x-own"),
        ("no answer within", format!("http://127.0.0.1:{silent}/{secret}"), "x-own"),
        ("the request cannot be made", format!("http://127.0.0.1:{broken}/{secret}"), "hunter 2"),
        ("blocked", format!("http://10.127.0.1/{secret}"), "x-own"),
        ("blocked", format!("http://hunter:hunter@127.0.0.1:{broken}/{secret}"), "x-own"),
        ("blocked", format!("http://127.0.0.1:{broken}/{}", "hunter".repeat(400)), "x-own"),
    ];
    for (expected, url, field) in cases {
        let waits = expected == "no answer within";
        let mut request = if waits { hasty(&url) } else { request(&url) };
        request.headers.push(field, "hunter-2");
        let error = local().build().unwrap().deliver(request).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error} for {expected}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter") && !shown.contains("127.0"), "{shown}");
    }
}

#[tokio::test]
async fn rule_06_a_request_that_is_dropped_is_abandoned() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (arrived, has_arrived) = oneshot::channel();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.read_exact(&mut [0; 16]).await?;
        arrived.send(()).unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    let deliverer = local().build().unwrap();
    let mut request = request(&url);
    request.timeout = Duration::MAX;
    let answered = deliverer.deliver(request);
    tokio::select! {
        answer = answered => panic!("nobody answers, and yet {answer:?}"),
        told = has_arrived => told.unwrap(),
    }
    // Ends when the connection is closed.
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn rule_07_any_number_of_requests_run_side_by_side() {
    let gathered = Arc::new(Barrier::new(100));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let gathered = gathered.clone();
            tokio::spawn(async move {
                stream.read_exact(&mut [0; 16]).await?;
                gathered.wait().await;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
                stream.read_to_end(&mut Vec::new()).await
            });
        }
    });
    let deliverer = local().build().unwrap();
    let requests = (0..100).map(|_| deliverer.deliver(request(&url)));
    for answer in join_all(requests).await {
        assert_eq!(answer.unwrap().status, 204);
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
