//! What the HTTP deliverer lets through, for whom, how many at once, and what it tells of it.
#![cfg(feature = "http")]

mod raw;

use std::net::IpAddr;
use std::sync::Arc;
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
use raw::{Raw, raw, read_request};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

fn local() -> AddressPolicy {
    AddressPolicy::public_only().allow_loopback().allow_http()
}

fn builder() -> HttpDelivererBuilder {
    HttpDeliverer::builder().address_policy(local())
}

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn request(url: &str, scope: &str) -> Request {
    Request {
        method: Method::Post,
        url: url.parse().unwrap(),
        headers: [("webhook-id", "msg_1")].into_iter().collect(),
        body: Arc::from(&b"{}"[..]),
        timeout: Duration::from_secs(30),
        scope: scope.parse().unwrap(),
        response_bytes: 0,
    }
}

async fn status(deliverer: &HttpDeliverer, url: &str, scope: &str) -> Result<u16, DeliverError> {
    deliverer.deliver(request(url, scope)).await.map(|response| response.status)
}

fn unreachable() -> DeliverError {
    DeliverError::Connect { reason: "the endpoint cannot be reached".to_owned() }
}

/// Answers `ok` again and again on each connection.
async fn willing() -> Raw {
    raw(async |mut stream| {
        loop {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
        }
    })
    .await
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

#[tokio::test]
async fn a_scope_narrows_what_is_dialled_for_it_and_below_it_alone() {
    let endpoint = willing().await;
    let (url, public) = (endpoint.url(), AddressPolicy::public_only().allow_http());
    let deliverer = builder()
        .scope_policy(scope("acme"), local().deny_network("127.0.0.2/32".parse().unwrap()))
        .scope_policy(scope("acme/eu"), public)
        .scope_policy(scope("acme/eu/wide"), local())
        .build()
        .unwrap();
    for free in ["", "other", "acme", "acme/us", "acme-eu"] {
        assert_eq!(status(&deliverer, &url, free).await, Ok(200), "{free:?}");
        assert_eq!(deliverer.check_url(&scope(free), &url.parse().unwrap()), Ok(()), "{free:?}");
    }
    let connections = endpoint.connections();
    for narrow in ["acme/eu", "acme/eu/x", "acme/eu/wide"] {
        let error = status(&deliverer, &url, narrow).await.unwrap_err();
        assert!(matches!(error, DeliverError::Blocked { .. }), "{narrow}: {error}");
        assert!(deliverer.check_url(&scope(narrow), &url.parse().unwrap()).is_err(), "{narrow}");
    }
    assert_eq!(endpoint.connections(), connections);
}

#[tokio::test]
async fn a_connection_is_used_again_under_its_own_policy_only() {
    let endpoint = willing().await;
    let url = format!("http://a.example:{}/", endpoint.port);
    let other = local().deny_network("203.0.113.0/24".parse().unwrap());
    let none = local().deny_network("127.0.0.1/32".parse().unwrap());
    let deliverer = builder()
        .resolver(Local)
        .scope_policy(scope("other"), other.clone())
        .scope_policy(scope("alike"), other)
        .scope_policy(scope("none"), none)
        .build()
        .unwrap();
    assert_eq!(status(&deliverer, &url, "").await, Ok(200));
    assert_eq!(endpoint.connections(), 1);
    let error = status(&deliverer, &url, "none").await.unwrap_err();
    assert!(matches!(error, DeliverError::Blocked { .. }), "an open one is there: {error}");
    assert_eq!(status(&deliverer, &url, "other").await, Ok(200));
    assert_eq!(endpoint.connections(), 2);
    for known in ["", "other", "alike", "other/below"] {
        assert_eq!(status(&deliverer, &url, known).await, Ok(200));
    }
    assert_eq!(endpoint.connections(), 2, "policies that are equal share theirs");
}

#[test]
fn only_so_many_policies_have_connections_of_their_own() {
    let with = |count: usize| {
        (0..count).fold(HttpDeliverer::builder(), |builder, n| {
            let port = u16::try_from(n).unwrap();
            let policy = AddressPolicy::public_only().deny_ports(port..=port);
            builder.scope_policy(scope(&format!("tenant-{n}")), policy)
        })
    };
    with(256).build().unwrap();
    let error = with(257).build().unwrap_err();
    assert!(matches!(error, HttpBuildError::Policies { found: 257, most: 256 }), "{error}");
}

#[tokio::test]
async fn of_an_answer_as_much_is_kept_as_is_wanted_and_nothing_if_nothing() {
    let endpoint = willing().await;
    let deliverer = builder()
        .scope_response_bytes(scope("acme"), 1)
        .scope_response_bytes(scope("acme/eu"), 0)
        .scope_response_bytes(scope("acme/eu/x"), 100)
        .build()
        .unwrap();
    for (scope, kept) in [("", "ok"), ("acme", "o"), ("acme/eu", ""), ("acme/eu/x", "")] {
        let response = deliverer.deliver(request(&endpoint.url(), scope)).await.unwrap();
        assert_eq!(response.body, kept.as_bytes(), "{scope:?}");
    }
    assert_eq!(endpoint.connections(), 1, "it is no matter of the connection");
    let none = builder().response_bytes(0).build().unwrap();
    let response = none.deliver(request(&endpoint.url(), "")).await.unwrap();
    assert_eq!((response.status, response.body), (200, Vec::new()));
}

/// A port whose connections nobody completes: its queue is full.
async fn filtered() -> (u16, impl Sized) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        queued.push(stream.unwrap());
    }
    (address.port(), (listener, queued))
}

#[tokio::test]
async fn of_what_is_not_public_no_failure_tells_which_ports_are_open() {
    let policy = AddressPolicy::public_only().allow_http();
    let policy = policy.allow_network("127.0.0.0/8".parse().unwrap());
    let deliverer = HttpDeliverer::builder().address_policy(policy);
    let deliverer = deliverer.connect_timeout(Duration::from_millis(500)).build().unwrap();
    let (filtered, _queue) = filtered().await;
    let mute = raw(async |mut stream| {
        read_request(&mut stream).await?;
        std::future::pending().await
    });
    let ssh = raw(async |mut stream| stream.write_all(b"SSH-2.0-OpenSSH_9\r\n").await);
    let closing = raw(async |stream| {
        drop(stream);
        Ok(())
    });
    let (mute, ssh, closing) = (mute.await.port, ssh.await.port, closing.await.port);
    for (kind, port) in
        [("closed", 1), ("filtered", filtered), ("mute", mute), ("ssh", ssh), ("closing", closing)]
    {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://127.0.0.1:{port}/");
            let request = Request { timeout: Duration::from_secs(1), ..request(&url, "") };
            let error = deliverer.deliver(request).await.unwrap_err();
            assert_eq!(error, unreachable(), "{kind} {scheme}");
        }
    }
    assert_eq!(status(&deliverer, &willing().await.url(), "").await, Ok(200));
}

#[tokio::test]
async fn a_closed_port_and_one_that_does_not_answer_are_told_alike_wherever_they_are() {
    let (filtered, _queue) = filtered().await;
    let patient = builder().build().unwrap();
    let hasty = builder().connect_timeout(Duration::from_millis(200)).build().unwrap();
    for (deliverer, port) in [(&patient, 1), (&patient, filtered), (&hasty, filtered)] {
        let url = format!("http://127.0.0.1:{port}/");
        let request = Request { timeout: Duration::from_millis(500), ..request(&url, "") };
        assert_eq!(deliverer.deliver(request).await.unwrap_err(), unreachable());
    }
}

#[tokio::test]
async fn a_host_has_only_so_many_connections_and_the_rest_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let (opened, closed) = (gate.clone(), Arc::new(Semaphore::new(0)));
    let seen = closed.clone();
    let endpoint = raw(move |mut stream| {
        let (gate, seen) = (opened.clone(), seen.clone());
        async move {
            loop {
                read_request(&mut stream).await?;
                seen.add_permits(1);
                gate.acquire().await.unwrap().forget();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            }
        }
    });
    let endpoint = endpoint.await;
    let deliverer = builder().connections_per_host(2).build().unwrap();
    let url = endpoint.url();
    let requests = join_all((0..6).map(|_| status(&deliverer, &url, "")));
    let opening = async {
        for _ in 0..3 {
            closed.acquire_many(2).await.unwrap().forget();
            assert_eq!(endpoint.connections(), 2);
            gate.add_permits(2);
        }
    };
    let (answers, ()) = tokio::join!(requests, opening);
    assert_eq!(answers, vec![Ok(200); 6]);
    assert_eq!(endpoint.connections(), 2);
}

#[tokio::test]
async fn a_wait_for_a_connection_counts_as_connecting() {
    let mute = raw(async |mut stream| {
        read_request(&mut stream).await?;
        std::future::pending().await
    });
    let (mute, willing) = (mute.await, willing().await);
    let deliverer = builder().connections(1).connect_timeout(Duration::from_millis(200));
    let deliverer = deliverer.build().unwrap();
    let long = request(&mute.url(), "");
    let holding = tokio::spawn({
        let deliverer = deliverer.clone();
        async move { deliverer.deliver(long).await }
    });
    while mute.connections() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&deliverer, &willing.url(), "").await, Err(unreachable()));
    assert_eq!(willing.connections(), 0);
    holding.abort();
    assert!(holding.await.unwrap_err().is_cancelled());
    assert_eq!(status(&deliverer, &willing.url(), "").await, Ok(200));
}

#[tokio::test]
async fn unused_connections_hold_no_place_that_others_need() {
    let deliverer = builder().connections(4).idle_timeout(Duration::MAX).build().unwrap();
    let endpoints = join_all((0..12).map(|_| willing())).await;
    for endpoint in endpoints.iter().chain(&endpoints) {
        assert_eq!(status(&deliverer, &endpoint.url(), "").await, Ok(200));
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_not_made() {
    let endpoint = willing().await;
    let deliverer = builder().request_bytes(1000).build().unwrap();
    let of =
        |bytes: usize| Request { body: vec![b'x'; bytes].into(), ..request(&endpoint.url(), "") };
    let rest = endpoint.url().len() + "webhook-idmsg_1".len();
    assert_eq!(deliverer.deliver(of(1000 - rest)).await.unwrap().status, 200);
    let error = deliverer.deliver(of(1001 - rest)).await.unwrap_err();
    let reason = "expected at most 1000 bytes, found 1001".to_owned();
    assert_eq!(error, DeliverError::Invalid { reason });
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test]
async fn an_answer_has_a_time_of_its_own() {
    let mute = raw(async |mut stream| {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        std::future::pending().await
    });
    let after = Duration::from_millis(200);
    let deliverer = builder().answer_timeout(after).build().unwrap();
    let error = status(&deliverer, &mute.await.url(), "").await.unwrap_err();
    assert_eq!(error, DeliverError::Timeout { after });
}

#[tokio::test]
async fn a_head_has_only_so_many_fields_and_bytes() {
    let endpoint = raw(async |mut stream| {
        let request = read_request(&mut stream).await?;
        let path = request.split(' ').nth(1).unwrap().trim_start_matches('/');
        let (count, bytes) = path.split_once('/').unwrap();
        let value = "x".repeat(bytes.parse().unwrap());
        let fields = format!("x-field: {value}\r\n").repeat(count.parse().unwrap());
        stream.write_all(format!("HTTP/1.1 204 No Content\r\n{fields}\r\n").as_bytes()).await
    });
    let endpoint = endpoint.await;
    let deliverer = builder().response_headers(5).response_header_bytes(10_000).build().unwrap();
    for (path, expected) in
        [("5/10", Some(204)), ("6/10", None), ("1/9000", Some(204)), ("2/9000", None)]
    {
        let answer = status(&deliverer, &format!("{}{path}", endpoint.url()), "").await;
        match expected {
            Some(status) => assert_eq!(answer, Ok(status), "{path}"),
            None => {
                assert!(matches!(answer, Err(DeliverError::Broken { .. })), "{path}: {answer:?}");
            }
        }
    }
}
