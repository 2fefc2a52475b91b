//! Senders that mean harm: each is answered or cut off, and nothing of what they send is stored.

use std::time::Duration;

use artifact_triggers::web::WebOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Answered, LIMIT, bench, event, head, post};

fn quick() -> WebOptions {
    WebOptions::default().with_body_timeout(Duration::from_millis(100))
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let bench = bench(Some(quick())).await;
    let body = event(1);
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let length = format!("content-length: {}\r\n", body.len());
    stream.write_all(head("/hooks/ci", &length).as_bytes()).await.unwrap();
    stream.write_all(&body.as_bytes()[..10]).await.unwrap();
    let answer = Answered::read(&mut stream).await;
    assert_eq!(
        (answer.status(), answer.detail().as_str()),
        (408, "the body was not there in time")
    );
    // Nor is one that comes byte by byte.
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(head("/hooks/ci", &length).as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let drip = tokio::spawn(async move {
        let mut turn = tokio::time::interval(Duration::from_millis(20));
        for byte in body.as_bytes() {
            turn.tick().await;
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut bytes).await;
    assert!(bytes.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&bytes));
    drip.abort();
    assert_eq!(bench.refused(408), 2);
    assert_eq!(bench.stored().await, 0);
}

#[tokio::test]
async fn a_body_without_end_is_refused_at_the_limit() {
    let bench = bench(None).await;
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let begin = head("/hooks/ci", "transfer-encoding: chunked\r\n");
    stream.write_all(begin.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let endless = tokio::spawn(async move {
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        let mut sent = 0;
        while write.write_all(chunk.as_bytes()).await.is_ok() {
            sent += 0x1000;
        }
        sent
    });
    let mut bytes = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut bytes).await;
    let sent: usize = endless.await.unwrap();
    println!("{sent} bytes were taken by either's buffers, of which {LIMIT} may be read");
    assert!(sent >= LIMIT);
    if !bytes.is_empty() {
        assert!(bytes.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(bench.stored().await, 0);
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_not_read() {
    let bench = bench(None).await;
    for length in ["65537", "999999999999999"] {
        let head = head("/hooks/ci", &format!("content-length: {length}\r\n"));
        let answer = bench.send(head.as_bytes()).await;
        assert_eq!(answer.status(), 413, "{answer:?}");
        assert_eq!(answer.detail(), "body: expected at most 65536 bytes");
    }
    assert_eq!(bench.refused(413), 2);
    // Whoever has no endpoint here is answered without its body, too.
    let head = head("/hooks/none", "content-length: 1000\r\n");
    assert_eq!(bench.send(head.as_bytes()).await.status(), 404);
}

#[tokio::test]
async fn a_length_that_is_wrong_makes_no_event() {
    let bench = bench(Some(quick())).await;
    let body = event(1);
    for length in [body.len() - 1, body.len() + 1] {
        let head = head("/hooks/ci", &format!("content-length: {length}\r\n"));
        let answer = bench.send((head + &body).as_bytes()).await;
        assert!([400, 408].contains(&answer.status()), "{answer:?}");
    }
    // Two lengths, and a length beside chunks, are ways to smuggle a request behind another.
    for fields in [
        format!("content-length: {0}\r\ncontent-length: {1}\r\n", body.len(), body.len() - 1),
        "content-length: 1, 2\r\n".to_owned(),
        "content-length: -1\r\n".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(),
    ] {
        let answer = bench.send((head("/hooks/ci", &fields) + &body).as_bytes()).await;
        assert_eq!(answer.status(), 400, "{fields}: {answer:?}");
    }
    // Gone in the midst of the body.
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let whole = post("/hooks/ci", &body);
    stream.write_all(&whole.as_bytes()[..whole.len() - 1]).await.unwrap();
    stream.shutdown().await.unwrap();
    let _ = Answered::read(&mut stream).await;
    assert_eq!(bench.stored().await, 0);
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let bench = bench(None).await;
    let body = event(1);
    let length = format!("content-length: {}\r\n", body.len());
    let many = (0..150).map(|n| format!("x-{n}: 1\r\n")).collect::<Vec<_>>().concat();
    let answer =
        bench.send((head("/hooks/ci", &(length.clone() + &many)) + &body).as_bytes()).await;
    assert_eq!(answer.status(), 431);
    let long = format!("x: {}\r\n", "y".repeat(1_000_000));
    let answer = bench.send((head("/hooks/ci", &(length + &long)) + &body).as_bytes()).await;
    assert_eq!(answer.status(), 431);
    assert_eq!(bench.stored().await, 0);
}

#[tokio::test]
async fn what_is_no_http_is_no_event() {
    let bench = bench(None).await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /hooks/ci HTTP/1.1\r\nhost: x\r\nce id: 1\r\n\r\n",
        b"POST /hooks/ci HTTP/1.1\r\nhost: x\r\nce-id: \x01\r\n\r\n",
        b"GET\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = Answered::read(&mut stream).await;
        let is_taken = answer.text.starts_with("HTTP/1.1 2");
        assert!(!is_taken, "{}: {answer:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(bench.stored().await, 0);
}

#[tokio::test]
async fn bodies_that_wait_leave_no_more_room_than_there_is() {
    let options = WebOptions::default().with_max_buffered_bytes(10_000);
    let bench = bench(Some(options)).await;
    let large = format!("{}{}", event(1), " ".repeat(8_000));
    let length = format!("content-length: {}\r\n", large.len() + 1);
    let mut waiting = TcpStream::connect(bench.address).await.unwrap();
    waiting.write_all(head("/hooks/ci", &length).as_bytes()).await.unwrap();
    waiting.write_all(large.as_bytes()).await.unwrap();
    let whole = post("/hooks/ci", &large);
    let mut answer = bench.send(whole.as_bytes()).await;
    // Until the first one's body has been read, there is room.
    while answer.status() == 202 {
        answer = bench.send(whole.as_bytes()).await;
    }
    assert_eq!((answer.status(), answer.has_field("retry-after: 1")), (503, true), "{answer:?}");
    assert_eq!(bench.refused(503), 1);
    assert_eq!(bench.send(post("/hooks/ci", &event(2)).as_bytes()).await.status(), 202);
    waiting.write_all(b" ").await.unwrap();
    assert_eq!(Answered::read(&mut waiting).await.status(), 202);
    assert_eq!(bench.send(whole.as_bytes()).await.status(), 202);
}
