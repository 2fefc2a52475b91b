//! The inbox as a plain function: each request has its answer, and what is refused is not stored.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::document::Problems;
use artifact_triggers::endpoint::Rate;
use artifact_triggers::engine::inbox::{Inbox, IncomingEndpoint, MAX_HEADERS};
use artifact_triggers::engine::{EngineOptions, Overload};
use artifact_triggers::event::Scope;
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::incoming::{Answer, Notice, ParseError, Receiver};
use artifact_triggers::observer::{Observer, Transition};
use artifact_triggers::request::Headers;
use artifact_triggers::secret::Secret;
use artifact_triggers::signature::{Verified, Verifier};
use artifact_triggers::storage::{EventQuery, MemoryStorage, Storage};
use futures_util::future::{Either, select};
use serde_json::{Value, json};

use crate::bench::*;
use crate::faults::Unreliable;
use crate::observing::observed;

const TOKEN: &str = "Vb2mV3ZxK0yqTtG7c1uJ";
const BODY: &str =
    r#"{"specversion": "1.0", "id": "1", "source": "/ci", "type": "build.finished", "data": {}}"#;

fn receiver(verifier: Verifier) -> ProviderReceiver {
    ProviderReceiver::new(Provider::CloudEvents, "acme".parse().unwrap(), verifier)
}

fn endpoint() -> IncomingEndpoint {
    IncomingEndpoint::new(receiver(Verifier::accept_unverified()))
}

fn inbox(endpoints: impl IntoIterator<Item = (&'static str, IncomingEndpoint)>) -> Inbox {
    let inbox = Inbox::new();
    for (name, endpoint) in endpoints {
        inbox.insert(name, endpoint).unwrap();
    }
    inbox
}

fn structured() -> Headers {
    [("content-type", "application/cloudevents+json")].into_iter().collect()
}

async fn post<S: Storage + Clone>(
    bench: &Bench<S>,
    inbox: &Inbox,
    path: &str,
    body: &str,
) -> Answer {
    inbox.answer(&bench.engine, "POST", path, &structured(), body.as_bytes()).await
}

async fn stored<S: Storage + Clone>(bench: &Bench<S>) -> usize {
    bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap().len()
}

fn field<'a>(answer: &'a Answer, name: &'a str) -> Option<&'a str> {
    answer.headers.only(name).map(|value| std::str::from_utf8(value).unwrap())
}

fn told(answer: &Answer) -> Value {
    assert_eq!(field(answer, "content-type"), Some("application/problem+json"));
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn what_is_stored_is_accepted_and_fires_its_trigger() {
    let bench = bench(Script::statuses([200])).await;
    let wanted = "webhook.received".parse().unwrap();
    bench.trigger(webhook("t").on(wanted).scope("acme".parse().unwrap())).await;
    let inbox = inbox([("ci", endpoint())]);
    assert_eq!(post(&bench, &inbox, "/ci", BODY).await, Answer::new(202));
    assert_eq!(post(&bench, &inbox, "/ci", BODY).await, Answer::new(202));
    assert_eq!(stored(&bench).await, 1);
    bench.work(MINUTE).await;
    assert_eq!(bench.script.requests().len(), 1);
}

#[tokio::test]
async fn an_unknown_endpoint_and_a_wrong_token_are_answered_alike() {
    let bench = bench(Script::statuses([200])).await;
    let inbox =
        inbox([("open", endpoint()), ("acme/ci", endpoint().with_token(Secret::new(TOKEN)))]);
    let path = format!("/acme/ci/{TOKEN}");
    let by_query = format!("/acme/ci?a=b&access_token={TOKEN}");
    assert_eq!(post(&bench, &inbox, &path, BODY).await.status, 202);
    let answer = post(&bench, &inbox, &by_query, BODY).await;
    assert_eq!((answer.status, field(&answer, "cache-control")), (202, Some("private")));
    assert_eq!(post(&bench, &inbox, "/open?access_token=x", BODY).await.status, 202);
    let unknown = post(&bench, &inbox, "/unknown", BODY).await;
    assert_eq!(
        told(&unknown),
        json!({"status": 404, "title": "Not Found", "detail": "there is no such endpoint"})
    );
    for path in [
        "",
        "/",
        "/acme",
        "/acme/ci",
        "/acme/ci/",
        "/acme/ci/Vb2mV3ZxK0yqTtG7c1uK",
        &format!("/acme/ci/{TOKEN}/"),
        &format!("/acme/ci/x?access_token={TOKEN}"),
        "/acme/ci?access_token=x",
        "/acme%2Fci",
        "/open/x",
        "//open",
    ] {
        assert_eq!(post(&bench, &inbox, path, BODY).await, unknown, "{path}");
        let answer = inbox.answer(&bench.engine, "GET", path, &structured(), b"").await;
        assert_eq!(answer, unknown, "{path}");
    }
}

#[tokio::test]
async fn each_refusal_tells_what_to_mend_and_stores_nothing() {
    let bench = bench(Script::statuses([200])).await;
    let token = Secret::new("Bearer s3cret");
    let signed = receiver(Verifier::header_token("authorization", token)).with_max_body_bytes(100);
    let inbox = inbox([("ci", endpoint()), ("signed", IncomingEndpoint::new(signed))]);
    let answer = inbox.answer(&bench.engine, "GET", "/ci", &structured(), b"").await;
    assert_eq!((answer.status, field(&answer, "allow")), (405, Some("POST")));
    let none = Headers::new();
    let answer = inbox.answer(&bench.engine, "POST", "/ci", &none, b"{}").await;
    assert_eq!(told(&answer)["title"], "Unsupported Media Type");
    let answer = post(&bench, &inbox, "/ci", r#"{"specversion": "0.3", "source": "/ci"}"#).await;
    assert_eq!(
        told(&answer),
        json!({
            "status": 400,
            "title": "Bad Request",
            "detail": "the request does not say what it must",
            "problems": [
                {"path": "specversion", "message": "expected version 1.x, found \"0.3\""},
                {"path": "id", "message": "expected a text, found nothing"},
                {"path": "type", "message": "expected a text, found nothing"},
            ],
        })
    );
    let answer = post(&bench, &inbox, "/signed", BODY).await;
    assert_eq!(
        told(&answer)["detail"],
        "expected the header authorization exactly once and not empty"
    );
    let mut wrong = structured();
    wrong.push("authorization", "Bearer hunter2");
    let answer = inbox.answer(&bench.engine, "POST", "/signed", &wrong, BODY.as_bytes()).await;
    let shown = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!((answer.status, told(&answer)["detail"].as_str()), (401, Some("no signature fits")));
    assert!(!shown.contains("s3cret") && !shown.contains("hunter2"), "{shown}");
    let answer = post(&bench, &inbox, "/signed", &"x".repeat(101)).await;
    assert_eq!(told(&answer)["detail"], "body: expected at most 100 bytes, found 101");
    let many: Headers = (0..=MAX_HEADERS).map(|n| (format!("x-{n}"), "1")).collect();
    let answer = inbox.answer(&bench.engine, "POST", "/ci", &many, b"").await;
    assert_eq!(answer.status, 431);
    assert_eq!(stored(&bench).await, 0);
}

#[tokio::test]
async fn beyond_the_rate_the_sender_is_told_when_to_come_again() {
    let bench = bench(Script::statuses([200])).await;
    let rate = Rate::new(1, Duration::from_secs(60)).with_burst(2);
    let inbox = inbox([("ci", endpoint().with_rate(rate)), ("other", endpoint())]);
    for _ in 0..2 {
        assert_eq!(post(&bench, &inbox, "/ci", BODY).await.status, 202);
    }
    let answer = post(&bench, &inbox, "/ci", BODY).await;
    assert_eq!((answer.status, field(&answer, "retry-after")), (429, Some("60")));
    assert_eq!(post(&bench, &inbox, "/other", BODY).await.status, 202);
    bench.clock.advance(Duration::from_millis(30_500));
    let answer = post(&bench, &inbox, "/ci", BODY).await;
    assert_eq!((answer.status, field(&answer, "retry-after")), (429, Some("30")));
    bench.clock.advance(Duration::from_millis(29_500));
    assert_eq!(post(&bench, &inbox, "/ci", BODY).await.status, 202);
}

#[tokio::test]
async fn a_storage_that_is_down_and_an_engine_that_is_full_ask_to_come_again() {
    let options = EngineOptions::default();
    let bench = bench_on(Unreliable::default(), Script::statuses([200]), options).await;
    let inbox = inbox([("ci", endpoint())]);
    let mut refused = 0;
    loop {
        let answer = post(&bench, &inbox, "/ci", BODY).await;
        if answer.status == 202 {
            break;
        }
        assert_eq!((answer.status, field(&answer, "retry-after")), (503, Some("5")));
        assert_eq!(told(&answer)["detail"], "it could not be stored now");
        refused += 1;
        assert!(refused < 100);
    }
    assert!(refused > 0);
    let options = EngineOptions::default().with_publishing(1, Overload::Refuse);
    let stuck = bench_on(Unreliable::sound(), Script::statuses([200]), options).await;
    stuck.storage.stick(true);
    let other = BODY.replace("\"1\"", "\"2\"");
    let first = std::pin::pin!(post(&stuck, &inbox, "/ci", BODY));
    let second = std::pin::pin!(post(&stuck, &inbox, "/ci", &other));
    let Either::Right((answer, _)) = select(first, second).await else {
        panic!("the storage holds the first up")
    };
    assert_eq!((answer.status, field(&answer, "retry-after")), (503, Some("1")));
}

#[tokio::test]
async fn the_handshake_gives_consent_to_the_origins_allowed_alone() {
    let bench = bench(Script::statuses([200])).await;
    let inbox = inbox([
        ("none", endpoint()),
        ("one", endpoint().with_origin("eventgrid.azure.net").with_rate(Rate::per_second(2))),
        ("any", endpoint().with_origin("*")),
    ]);
    let options = |path: &'static str, fields: &[(&str, &str)]| {
        let headers: Headers = fields.iter().copied().collect();
        let (inbox, engine) = (inbox.clone(), bench.engine.clone());
        async move { inbox.answer(&engine, "OPTIONS", path, &headers, b"").await }
    };
    let consent = |origin: &str, rate: &str| {
        Answer::new(200)
            .with_header("allow", "POST, OPTIONS")
            .with_header("webhook-allowed-origin", origin)
            .with_header("webhook-allowed-rate", rate)
    };
    let azure = ("WebHook-Request-Origin", "eventgrid.azure.net");
    let callback = ("WebHook-Request-Callback", "http://127.0.0.1:1/confirm?key=x");
    let rate = |rate| ("WebHook-Request-Rate", rate);
    let fields = [azure, callback, rate("300")];
    assert_eq!(options("/one", &fields).await, consent("eventgrid.azure.net", "120"));
    assert_eq!(options("/any", &[azure]).await, consent("*", "*"));
    assert_eq!(options("/any", &[azure, rate("300")]).await, consent("*", "300"));
    bench.clock.advance(MINUTE);
    let answer = options("/none", &[azure]).await;
    assert_eq!((answer.status, field(&answer, "allow")), (405, Some("POST")));
    for (fields, status) in [
        (vec![("WebHook-Request-Origin", "evil.example")], 403),
        (vec![], 400),
        (vec![azure, azure], 400),
        (vec![azure, rate("0")], 400),
        (vec![azure, rate("many")], 400),
    ] {
        bench.clock.advance(MINUTE);
        let answer = options("/one", &fields).await;
        assert_eq!(answer.status, status, "{fields:?}");
        assert_eq!(field(&answer, "webhook-allowed-origin"), None);
        assert!(told(&answer)["detail"].as_str().unwrap().starts_with("webhook-request-"));
    }
}

/// A receiver whose sender asks whether anybody is there, as Event Grid's does.
#[derive(Debug)]
struct Validating(Verifier);

impl Receiver for Validating {
    fn verifier(&self) -> &Verifier {
        &self.0
    }

    fn handshake(&self, body: Verified<'_>, _: &Headers) -> Option<Answer> {
        let code = body.body().strip_prefix(b"validate ")?;
        Some(Answer::new(200).with_body("text/plain", code))
    }

    fn parse(&self, _: Verified<'_>, _: &Headers, _: Timestamp) -> Result<Vec<Notice>, ParseError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn what_a_receiver_answers_to_a_question_is_told_to_who_is_verified() {
    let bench = bench(Script::statuses([200])).await;
    let verifier = Verifier::header_token("authorization", Secret::new("Bearer s3cret"));
    let inbox = inbox([("grid", IncomingEndpoint::new(Validating(verifier)))]);
    let ask = |headers: Headers| {
        let (inbox, engine) = (inbox.clone(), bench.engine.clone());
        async move { inbox.answer(&engine, "POST", "/grid", &headers, b"validate 512d38b6").await }
    };
    let answer = ask([("authorization", "Bearer s3cret")].into_iter().collect()).await;
    assert_eq!(answer, Answer::new(200).with_body("text/plain", "512d38b6"));
    assert_eq!(ask(Headers::new()).await.status, 401);
}

/// Writes down which endpoint refused with which status, and which took something.
#[derive(Debug, Clone, Default)]
struct Doorkeeper(Arc<Mutex<Vec<String>>>);

impl Observer for Doorkeeper {
    fn observe(&self, transition: &Transition<'_>) {
        let (endpoint, status) = match *transition {
            Transition::Received { endpoint, .. } => (endpoint, 202),
            Transition::ReceiveRefused { endpoint, error } => (endpoint, error.status()),
            Transition::RequestRefused { endpoint, status } => (endpoint, status),
            _ => return,
        };
        self.0.lock().unwrap().push(format!("{} {status}", endpoint.unwrap_or("none")));
    }
}

#[tokio::test]
async fn observers_are_told_of_each_answer_and_its_endpoint() {
    let seen = Doorkeeper::default();
    let observer: Arc<dyn Observer> = Arc::new(seen.clone());
    let bench = observed(MemoryStorage::new(), Script::statuses([200]), [observer]).await;
    let inbox = inbox([
        ("ci", endpoint().with_rate(Rate::new(1, MINUTE)).with_origin("ci.example")),
        ("grid", endpoint().with_origin("grid.example").with_token(Secret::new(TOKEN))),
    ]);
    let [grid, by_query] = [format!("/grid/{TOKEN}"), format!("/grid?access_token={TOKEN}")];
    let expected = [
        ("POST", "/ci", "ci 202"),
        ("POST", "/ci", "ci 429"),
        ("GET", "/ci", "ci 405"),
        ("OPTIONS", &grid, "grid 400"),
        ("POST", &by_query, "grid 202"),
        ("POST", "/grid/guessed", "none 404"),
        ("POST", "/none", "none 404"),
    ];
    for (method, path, told) in expected {
        let (headers, body) = (structured(), BODY.as_bytes());
        let answer = inbox.answer(&bench.engine, method, path, &headers, body).await;
        assert!(told.ends_with(&answer.status.to_string()), "{method} {path}: {answer:?}");
    }
    let many: Headers = (0..=MAX_HEADERS).map(|n| (format!("x-{n}"), "1")).collect();
    inbox.answer(&bench.engine, "POST", "/ci", &many, b"").await;
    inbox.answer(&bench.engine, "POST", &grid, &structured(), b"{").await;
    let mut told = expected.map(|(.., told)| told).to_vec();
    told.extend(["none 431", "grid 400"]);
    assert_eq!(*seen.0.lock().unwrap(), told);
}

#[tokio::test]
async fn endpoints_come_and_go_while_it_is_in_use() {
    let bench = bench(Script::statuses([200])).await;
    let inbox = Inbox::new();
    let shared = inbox.clone();
    assert_eq!(post(&bench, &inbox, "/ci", BODY).await.status, 404);
    shared.insert("ci", endpoint()).unwrap();
    assert_eq!(post(&bench, &inbox, "/ci", BODY).await.status, 202);
    shared.insert("ci", endpoint().with_token(Secret::new(TOKEN))).unwrap();
    assert_eq!(post(&bench, &inbox, "/ci", BODY).await.status, 404);
    assert!(shared.remove("ci") && !shared.remove("ci"));
    assert_eq!(post(&bench, &inbox, &format!("/ci/{TOKEN}"), BODY).await.status, 404);
    let refused: Problems = inbox.insert("a b", endpoint()).unwrap_err();
    assert!(refused.to_string().starts_with("name: expected segments of letters"), "{refused}");
    let shown = format!("{:?}", endpoint().with_token(Secret::new(TOKEN)));
    assert!(!shown.contains(TOKEN), "{shown}");
}
