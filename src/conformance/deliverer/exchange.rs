//! Rules 1, 2 and 4: what is sent, and what of the answer is told.

use std::time::Duration;

use super::endpoint::{Behaviour, Endpoint, deliver, request_to};
use super::{Subject, expect_eq};
use crate::deliverer::DeliverError;
use crate::request::{Method, Request};

/// Enough for the head of a response, also on a machine that has much to do.
const TIME_FOR_A_HEAD: Duration = Duration::from_secs(3);

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

pub(super) async fn rule_01_the_body_and_the_header_arrive_as_they_were_given(deliverer: Subject) {
    let mut endpoint = Endpoint::begin(Behaviour::Answer(NO_CONTENT));
    let request = request_to(&endpoint.url());
    let status = deliver(&deliverer, request.clone()).await.map(|response| response.status);
    expect_eq!(status, Ok(204), "the status");
    let arrived = endpoint.arrived().await.expect("a request that was answered has arrived");
    let (found, expected) = [&arrived.body[..], &request.body].map(String::from_utf8_lossy).into();
    expect_eq!(found, expected, "the body");
    for (name, value) in request.headers.iter() {
        let expected = [String::from_utf8_lossy(value)];
        expect_eq!(arrived.all(name), expected, "the values of the header field {name}");
    }
}

pub(super) async fn rule_01_the_method_is_the_one_that_was_given(deliverer: Subject) {
    let mut endpoint = Endpoint::begin(Behaviour::Answer(NO_CONTENT));
    for method in [Method::Put, Method::Patch, Method::Delete, Method::Post] {
        let request = Request { method, ..request_to(&endpoint.url()) };
        let status = deliver(&deliverer, request).await.map(|response| response.status);
        expect_eq!(status, Ok(204), "the status");
        let arrived = endpoint.arrived().await.expect("a request that was answered has arrived");
        expect_eq!(arrived.line, format!("{method} /hook?q=1 HTTP/1.1"), "the request line");
    }
}

pub(super) async fn rule_01_fields_of_one_name_keep_their_order(deliverer: Subject) {
    let mut endpoint = Endpoint::begin(Behaviour::Answer(NO_CONTENT));
    let mut request = request_to(&endpoint.url());
    request.headers.extend([("x-own", "b"), ("x-other", "d"), ("X-Own", "c")]);
    let status = deliver(&deliverer, request).await.map(|response| response.status);
    expect_eq!(status, Ok(204), "the status");
    let arrived = endpoint.arrived().await.expect("a request that was answered has arrived");
    expect_eq!(arrived.all("x-own"), ["a", "b", "c"], "the values of a field that is there thrice");
}

pub(super) async fn rule_01_fields_that_frame_the_message_are_refused_before_anything_is_dialled(
    deliverer: Subject,
) {
    let endpoint = Endpoint::begin(Behaviour::Answer(NO_CONTENT));
    for name in ["Content-Length", "transfer-encoding", "connection", "HOST", "te", "proxy-x"] {
        let mut request = request_to(&endpoint.url());
        request.headers.push(name, "chunked");
        let answer = deliver(&deliverer, request).await;
        let is_refused = matches!(answer, Err(DeliverError::Invalid { .. }));
        assert!(is_refused, "the field {name}: expected Invalid, found {answer:?}");
    }
    expect_eq!(endpoint.connections(), 0, "connections for requests that are refused");
}

pub(super) async fn rule_02_every_status_is_answered_and_none_followed(deliverer: Subject) {
    let elsewhere = Endpoint::begin(Behaviour::Answer(NO_CONTENT));
    let found = |code: &str| {
        let location = elsewhere.url();
        let answer =
            format!("HTTP/1.1 {code} X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        &*answer.leak()
    };
    let interim = "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hint\r\na: b\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
    let answers = [
        (200, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        (301, found("301")),
        (302, found("302")),
        (307, found("307")),
        (410, "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"),
        (500, "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"),
        (429, "HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"),
        (204, interim),
    ];
    for (expected, answer) in answers {
        let endpoint = Endpoint::begin(Behaviour::Answer(answer));
        let response = deliver(&deliverer, request_to(&endpoint.url())).await;
        let status = response.as_ref().map(|response| response.status).map_err(Clone::clone);
        expect_eq!(status, Ok(expected), "the status of {answer:?}");
        if expected == 429 {
            let field =
                response.ok().and_then(|one| one.headers.only("retry-after").map(<[u8]>::to_vec));
            expect_eq!(field, Some(b"7".to_vec()), "the header field that is answered");
        }
    }
    expect_eq!(elsewhere.connections(), 0, "connections to where redirects lead");
}

pub(super) async fn rule_02_nothing_is_tried_again(deliverer: Subject) {
    // The connection stays open, so that a second try has a way.
    for answer in [
        "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n",
    ] {
        let mut endpoint = Endpoint::begin(Behaviour::Answer(answer));
        let _ = deliver(&deliverer, request_to(&endpoint.url())).await;
        expect_eq!(endpoint.so_far(), 1, "requests that an endpoint got which answers {answer:?}");
    }
}

pub(super) async fn rule_04_a_body_that_breaks_drips_or_never_ends_costs_its_rest_not_the_status(
    deliverer: Subject,
) {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for behaviour in [
        Behaviour::Close(head),
        Behaviour::Stall(head),
        Behaviour::Repeat("HTTP/1.1 200 OK\r\n\r\n", "0123456789abcdef"),
        Behaviour::Repeat(chunked, "10\r\n0123456789abcdef\r\n"),
    ] {
        let endpoint = Endpoint::begin(behaviour);
        let request = Request { timeout: TIME_FOR_A_HEAD, ..request_to(&endpoint.url()) };
        let answer = deliver(&deliverer, request).await;
        let status = answer.as_ref().map(|response| response.status).map_err(Clone::clone);
        expect_eq!(status, Ok(200), "the status, of {behaviour:?}");
        let complete = answer.as_ref().is_ok_and(|response| response.complete);
        assert!(!complete, "of {behaviour:?}: expected no complete body");
        let body = answer.map(|response| response.body).unwrap_or_default();
        let sent = [&b"begin"[..], b"0123456789abcdef"];
        let is_beginning = sent.iter().any(|sent| {
            let length = sent.len().min(body.len());
            body[..length] == sent[..length]
        });
        let body = String::from_utf8_lossy(&body);
        assert!(is_beginning, "of {behaviour:?}: expected its beginning, found {body:?}");
    }
}
