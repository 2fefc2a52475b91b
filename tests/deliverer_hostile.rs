//! The HTTP deliverer against endpoints that mean harm: each exchange ends in its time, with the
//! outcome that it should have, and costs what it may.
#![cfg(any(feature = "http-aws-lc-rs", feature = "http-ring"))]

#[path = "hostile/http2.rs"]
mod http2;
#[path = "hostile/memory.rs"]
mod memory;
mod raw;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::{HttpDeliverer, HttpDelivererBuilder};
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::event::Scope;
use artifact_triggers::request::{Method, Request, Response};
use raw::{raw, read_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// What an exchange may take.
const LIMIT: Duration = Duration::from_secs(1);
/// What it may take until the test is given up: how long something takes is not asserted.
const GIVEN_UP: Duration = Duration::from_secs(30);

fn local() -> HttpDelivererBuilder {
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    HttpDeliverer::builder().address_policy(policy)
}

fn request(url: &str) -> Request {
    Request {
        method: Method::Post,
        url: url.parse().unwrap(),
        headers: [("webhook-id", "msg_1")].into_iter().collect(),
        body: Arc::from(&b"{}"[..]),
        timeout: LIMIT,
        scope: Scope::root(),
        response_bytes: 0,
    }
}

/// What comes of a request, which ends in its time; how long it took is printed, not asserted.
async fn deliver(deliverer: &HttpDeliverer, request: Request) -> Result<Response, DeliverError> {
    let begin = Instant::now();
    let answer = timeout(GIVEN_UP, deliverer.deliver(request)).await.expect("it ends in its time");
    let told = answer.as_ref().map(|response| response.status);
    println!("{:?} of {LIMIT:?}: {told:?}", begin.elapsed());
    answer
}

/// What comes of a request to an endpoint that reads it and then does as told.
async fn answer<F>(
    serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> Result<Response, DeliverError>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let serve = Arc::new(serve);
    let endpoint = raw(move |mut stream| {
        let serve = serve.clone();
        async move {
            read_request(&mut stream).await?;
            serve(stream).await
        }
    });
    deliver(&local().build().unwrap(), request(&endpoint.await.url())).await
}

/// Sends this, and then this for ever, with a pause in between.
async fn repeat(
    mut stream: TcpStream,
    first: &[u8],
    again: &[u8],
    pause: Duration,
) -> io::Result<()> {
    stream.write_all(first).await?;
    loop {
        stream.write_all(again).await?;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}

const DRIP: Duration = Duration::from_millis(100);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

fn late() -> DeliverError {
    DeliverError::Timeout { after: LIMIT }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_ends_in_a_time_out() {
    let error = answer(|stream| async move {
        let _open = stream;
        std::future::pending().await
    });
    assert_eq!(error.await.unwrap_err(), late());
}

#[tokio::test]
async fn an_endpoint_that_never_reads_ends_in_a_time_out() {
    let endpoint = raw(async |stream| {
        let _open = stream;
        std::future::pending().await
    });
    let body = vec![0; 16 * 1024 * 1024].into();
    let request = Request { body, ..request(&endpoint.await.url()) };
    assert_eq!(deliver(&local().build().unwrap(), request).await.unwrap_err(), late());
}

#[tokio::test]
async fn a_head_that_drips_ends_in_a_time_out() {
    let drip = answer(|stream| repeat(stream, b"HTTP/1.1 200 OK\r\nx-a: ", b"a", DRIP));
    assert_eq!(drip.await.unwrap_err(), late());
    let status_line = answer(|stream| repeat(stream, b"HTTP/1.1 200 ", b"a", DRIP));
    assert_eq!(status_line.await.unwrap_err(), late());
}

#[tokio::test]
async fn heads_without_end_break_off() {
    for (first, again) in [
        (&b"HTTP/1.1 200 OK\r\n"[..], &b"x-more: more\r\n"[..]),
        (b"HTTP/1.1 200 OK\r\nx-a: ", b"aaaaaaaaaaaaaaaa"),
        (b"HTTP/1.1 200 OK\r\n", b"aaaaaaaaaaaaaaaa"),
        (b"HTTP/1.1 200 ", b"OKOKOKOKOKOKOKOK"),
        (b"", b"HTTP/1.1 HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nx-a: b", b"\r\n  more"),
    ] {
        let error = answer(move |stream| repeat(stream, first, again, Duration::ZERO)).await;
        let text = String::from_utf8_lossy(first);
        assert!(matches!(error, Err(DeliverError::Broken { .. })), "{text:?}: {error:?}");
    }
}

#[tokio::test]
async fn interim_answers_without_end_end_in_a_time_out() {
    for interim in
        [&b"HTTP/1.1 100 Continue\r\n\r\n"[..], b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"]
    {
        let error = answer(move |stream| repeat(stream, b"", interim, Duration::ZERO)).await;
        assert!(error.is_err(), "{error:?}");
    }
}

#[tokio::test]
async fn bodies_without_end_are_cut_and_cost_no_status() {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes();
    for (first, again, pause) in [
        (head(""), &b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[..], Duration::ZERO),
        (head("content-length: 1073741824\r\n"), b"aaaaaaaaaaaaaaaaaaaaaaaa", Duration::ZERO),
        (head("transfer-encoding: chunked\r\n"), b"8\r\naaaaaaaa\r\n", Duration::ZERO),
        (head(""), b"a", DRIP),
    ] {
        let shown = String::from_utf8_lossy(&first).into_owned();
        let response = answer(move |stream| {
            let first = first.clone();
            async move { repeat(stream, &first, again, pause).await }
        });
        let response = response.await.unwrap();
        assert_eq!(response.status, 200, "{shown}");
        assert!(response.body.len() <= 1024 && response.body.starts_with(b"a"), "{shown}");
        assert!(pause == DRIP || response.body.len() == 1024, "{shown}");
    }
}

#[tokio::test]
async fn chunks_that_are_nothing_but_framing_end_too() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (begin, again) in [
        ("1;", "extension=extension;"),
        ("", "0000000000000000"),
        ("0\r\n", "x-trailer: trailer\r\n"),
        ("ffffffffffffffff1\r\n", "a"),
        ("-1\r\n", "a"),
    ] {
        let first = format!("{chunked}{begin}").into_bytes();
        let response = answer(move |stream| {
            let first = first.clone();
            async move { repeat(stream, &first, again.as_bytes(), Duration::ZERO).await }
        });
        let response = response.await.unwrap();
        assert_eq!((response.status, response.body), (200, Vec::new()), "{begin:?}");
    }
}

#[tokio::test]
async fn a_body_is_read_no_further_than_it_is_wanted() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let response = answer(move |mut stream| {
        let counted = counted.clone();
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await?;
            loop {
                counted.fetch_add(stream.write(&[b'a'; 16 * 1024]).await?, Ordering::SeqCst);
            }
        }
    });
    assert_eq!(response.await.unwrap().body.len(), 1024);
    // Once the other side has closed, what is in the system's buffers is all that there is.
    sleep(DRIP).await;
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes of a GiB");
}

/// Ten MiB of zeros.
const BOMB: &[u8] = include_bytes!("data/hostile/zeros.gz");

#[tokio::test]
async fn a_packed_body_is_kept_as_it_comes_and_not_unpacked() {
    let response = answer(|mut stream| async move {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            BOMB.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(BOMB).await
    });
    assert_eq!(response.await.unwrap().body, &BOMB[..1024]);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_kept_as_far_as_it_came() {
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let response = answer(move |mut stream| async move {
            let body = if head.starts_with('c') { "abc" } else { "3\r\nabc\r\n64\r\n" };
            stream.write_all(format!("HTTP/1.1 201 OK\r\n{head}\r\n\r\n{body}").as_bytes()).await
        });
        let response = response.await.unwrap();
        assert_eq!((response.status, &*response.body), (201, &b"abc"[..]), "{head}");
    }
}

#[tokio::test]
async fn an_endpoint_that_resets_breaks_the_exchange() {
    for sent in [&b""[..], b"HTTP/1.1 200 OK\r\nx-a:"] {
        let error = answer(move |mut stream| async move {
            stream.write_all(sent).await?;
            stream.set_zero_linger()
        });
        let error = error.await.unwrap_err();
        assert!(matches!(error, DeliverError::Broken { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_answer_before_the_request_and_one_too_many_do_no_harm() {
    let early = raw(async |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    });
    let (early, deliverer) = (early.await, local().build().unwrap());
    for _ in 0..5 {
        let answer = deliver(&deliverer, request(&early.url())).await;
        assert!(!matches!(answer, Ok(Response { status: 500, .. })), "{answer:?}");
    }
    let twice = answer(|mut stream| async move {
        stream.write_all(&OK.repeat(2)).await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    });
    assert_eq!(twice.await.unwrap().status, 200);
}
