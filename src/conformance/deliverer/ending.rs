//! Rules 3 and 5 to 8: how a call ends, with what words, and what it leaves.

use std::net::TcpListener;

use futures_util::future::{Either, join_all, select};

use super::endpoint::{Behaviour, Endpoint, LONGEST, deliver, hasty, request_to};
use super::{Subject, expect_eq};
use crate::deliverer::DeliverError;
use crate::request::Request;

/// How many requests have to run side by side.
const SIDE_BY_SIDE: usize = 100;

pub(super) async fn rule_03_an_endpoint_that_never_answers_ends_in_a_time_out(deliverer: Subject) {
    for behaviour in [
        Behaviour::Stall(""),
        Behaviour::Stall("HTTP/1.1 200 OK\r\nx: "),
        Behaviour::Repeat("", "HTTP/1.1 100 Go on\r\n\r\n"),
    ] {
        let endpoint = Endpoint::begin(behaviour);
        let request = hasty(&endpoint.url());
        let expected = DeliverError::Timeout { after: request.timeout };
        let found = deliver(&deliverer, request).await.map(|response| response.status);
        expect_eq!(found, Err(expected), "of {behaviour:?}");
    }
}

/// A URL whose port nobody listens at.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    format!("http://{}/hunter-2?hunter=2", listener.local_addr().expect("it is bound"))
}

/// Requests that fail, each by the kind of its error.
fn failing(broken: &Endpoint) -> [(&'static str, Request); 3] {
    let secret = broken.url().replace("/hook?q=1", "/hunter-2?hunter=2");
    let mut invalid = request_to(&secret);
    invalid.headers.push("hunter 2", "hunter-2");
    let mut requests =
        [("Connect", request_to(&closed())), ("Broken", request_to(&secret)), ("Invalid", invalid)];
    for (_, request) in &mut requests {
        request.headers.push("x-secret", "hunter-2");
        request.body = (*b"hunter-2").into();
    }
    requests
}

pub(super) async fn rule_05_an_error_is_of_the_kind_that_says_what_follows(deliverer: Subject) {
    let broken = Endpoint::begin(Behaviour::Close("hunter-2"));
    for (expected, request) in failing(&broken) {
        let answer = deliver(&deliverer, request).await;
        let found = match &answer {
            Err(DeliverError::Connect { .. }) => "Connect",
            Err(DeliverError::Broken { .. }) => "Broken",
            Err(DeliverError::Invalid { .. }) => "Invalid",
            _ => "another",
        };
        assert_eq!(found, expected, "expected {expected}, found {answer:?}");
    }
}

pub(super) async fn rule_05_errors_tell_no_address_path_query_or_header(deliverer: Subject) {
    let broken = Endpoint::begin(Behaviour::Close("hunter-2"));
    for (kind, request) in failing(&broken) {
        if let Err(error) = deliver(&deliverer, request).await {
            let shown = format!("{error} {error:?}");
            for secret in ["hunter", "127.0.0.1"] {
                let is_told = shown.contains(secret);
                assert!(!is_told, "{kind}: expected words without {secret:?}, found {shown:?}");
            }
        }
    }
}

pub(super) async fn rule_06_a_request_that_is_dropped_is_abandoned(deliverer: Subject) {
    let mut endpoint = Endpoint::begin(Behaviour::Stall(""));
    let answer = deliverer.deliver(request_to(&endpoint.url()));
    match select(answer, Box::pin(endpoint.arrived())).await {
        Either::Left((answer, _)) => panic!("expected no answer yet, found {answer:?}"),
        Either::Right((arrived, _dropped)) => {
            assert!(arrived.is_some(), "expected that the request arrives, found that it does not");
        }
    }
    let is_closed = endpoint.is_closed().await;
    expect_eq!(is_closed, true, "whether the connection of a dropped request is closed");
}

pub(super) async fn rule_07_any_number_of_requests_run_side_by_side(deliverer: Subject) {
    let answer = "HTTP/1.1 204 No Content\r\n\r\n";
    let endpoint = Endpoint::begin(Behaviour::Gather(SIDE_BY_SIDE, answer));
    let url = endpoint.url();
    let request = Request { timeout: LONGEST / 2, ..request_to(&url) };
    let requests = (0..SIDE_BY_SIDE).map(|_| deliver(&deliverer, request.clone()));
    let answers = join_all(requests).await;
    let answered = answers.iter().filter(|one| one.as_ref().is_ok_and(|one| one.status == 204));
    let words = "requests that are answered once all are there";
    expect_eq!(answered.count(), SIDE_BY_SIDE, "{words}");
}

pub(super) async fn rule_08_a_url_that_is_dialled_passes_the_check(deliverer: Subject) {
    let endpoint = Endpoint::begin(Behaviour::Answer("HTTP/1.1 204 No Content\r\n\r\n"));
    let request = request_to(&endpoint.url());
    let checked = deliverer.check_url(&request.scope, &request.url);
    let status = deliver(&deliverer, request).await.map(|response| response.status);
    expect_eq!(status, Ok(204), "the status");
    expect_eq!(checked, Ok(()), "what the check says of a URL that is dialled");
}
