//! Envelopes of a registry, received by an engine.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::engine::{EngineOptions, IncomingError, Received};
use artifact_triggers::event::{EventKind, Scope};
use artifact_triggers::incoming::Incoming;
use artifact_triggers::incoming::distribution::DistributionReceiver;
use artifact_triggers::incoming::known::SkipReason;
use artifact_triggers::request::Headers;
use artifact_triggers::secret::Secret;
use artifact_triggers::signature::{Message, Scheme, SigningSecret, Verifier};
use artifact_triggers::storage::{EventQuery, MemoryStorage, Storage};

use crate::bench::*;
use crate::faults::Unreliable;

fn receiver() -> DistributionReceiver {
    let verifier = Verifier::header_token("authorization", Secret::new("Bearer testbed-token"));
    DistributionReceiver::new("acme".parse().unwrap(), verifier)
}

const MEDIA_TYPE: &str = "application/vnd.docker.distribution.events.v1+json";

fn headers(token: &str) -> Headers {
    [("Authorization", token), ("Content-Type", MEDIA_TYPE)].into_iter().collect()
}

/// The body of a notification as a real registry sent it.
fn capture(n: u32) -> Vec<u8> {
    let path = format!("{}/tests/data/distribution/all/{n:03}.body", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

async fn receive<S: Storage + Clone>(
    bench: &Bench<S>,
    body: &[u8],
) -> Result<Vec<Received>, IncomingError> {
    let headers = headers("Bearer testbed-token");
    bench.engine.receive(&receiver(), Incoming { headers: &headers, body }).await
}

#[tokio::test]
async fn what_a_real_registry_told_becomes_events_in_order() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t").scope("acme".parse().unwrap())).await;
    let mut skipped = Vec::new();
    for n in 1..=45 {
        for received in receive(&bench, &capture(n)).await.unwrap() {
            if let Received::Skipped { reason, .. } = received {
                skipped.push((n, reason));
            }
        }
    }
    assert_eq!(skipped, [(34, SkipReason::Unchanged)]);
    let query = EventQuery::of_scope(Scope::root()).with_limit(100);
    let events = bench.engine.events(query).await.unwrap();
    let count = |kind: EventKind| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!(count(EventKind::ARTIFACT_DELETED), 2);
    assert_eq!(count(EventKind::TAG_DELETED), 3);
    assert_eq!(count(EventKind::ARTIFACT_SIGNED), 1);
    assert_eq!(count(EventKind::BLOB_DELETED), 1);
    bench.work(MINUTE).await;
    let artifacts = events.iter().filter(|event| event.kind.as_str().starts_with("artifact."));
    assert_eq!(bench.script.requests().len(), artifacts.count());
}

#[tokio::test]
async fn a_resent_envelope_is_recognised() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t")).await;
    let first = receive(&bench, &capture(3)).await.unwrap();
    assert!(matches!(&first[0], Received::Published(p) if p.deliveries.len() == 1), "{first:?}");
    let again = receive(&bench, &capture(3)).await.unwrap();
    assert!(matches!(&again[0], Received::Skipped { .. }), "{again:?}");
    assert_eq!(bench.deliveries().await.len(), 1);
}

#[tokio::test]
async fn a_signed_message_of_one_event_takes_one_read_and_one_write_and_its_replay_one_read() {
    let storage = Unreliable::sound();
    let bench = bench_on(storage.clone(), Script::statuses([200]), EngineOptions::default()).await;
    let secret: SigningSecret = "text:s3cret".parse().unwrap();
    let verifier = Verifier::github([secret.clone()]);
    let receiver = DistributionReceiver::new("acme".parse().unwrap(), verifier);
    let signed = |body: &[u8]| {
        let message = Message::new("1", Timestamp::UNIX_EPOCH, body);
        let mut headers = Scheme::Github.sign(std::slice::from_ref(&secret), &message).unwrap();
        headers.push("content-type", MEDIA_TYPE);
        headers
    };
    // The first of a stretch of time clears the room for it, by a write that holds up no event.
    let body = capture(4);
    let first = Incoming { headers: &signed(&body), body: &body };
    bench.engine.receive(&receiver, first).await.unwrap();
    assert_eq!(storage.calls(), 3);
    let (body, before) = (capture(3), storage.calls());
    let headers = signed(&body);
    let incoming = Incoming { headers: &headers, body: &body };
    let told = bench.engine.receive(&receiver, incoming).await.unwrap();
    assert!(matches!(told[..], [Received::Published(_)]), "{told:?}");
    assert_eq!(storage.calls() - before, 2);
    let told = bench.engine.receive(&receiver, incoming).await.unwrap();
    let [Received::Skipped { reason, .. }] = told[..] else { panic!("{told:?}") };
    assert_eq!((reason, storage.calls() - before), (SkipReason::Replayed, 3));
}

#[tokio::test]
async fn each_refusal_has_its_status_and_stores_nothing() {
    let bench = bench(Script::statuses([200])).await;
    let body = capture(3);
    let wrong = headers("Bearer wrong");
    let refused =
        bench.engine.receive(&receiver(), Incoming { headers: &wrong, body: &body }).await;
    assert_eq!(refused.unwrap_err().status(), 401);
    assert_eq!(receive(&bench, b"{\"events\": 7}").await.unwrap_err().status(), 400);
    assert_eq!(bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap(), []);
}

#[tokio::test]
async fn receivers_that_race_decide_anew() {
    let storage = MemoryStorage::new();
    let first = bench_on(storage.clone(), Script::statuses([200]), EngineOptions::default()).await;
    let second = bench_on(storage, Script::statuses([200]), EngineOptions::default()).await;
    // Two pushes of one tag with different digests, told to two nodes at once.
    let (a, b) = (capture(3), String::from_utf8(capture(3)).unwrap());
    let b = b.replace("072b6187", "172b6187").replace("a0e576ed", "b0e576ed").into_bytes();
    let (a, b) = tokio::join!(receive(&first, &a), receive(&second, &b));
    assert!(a.is_ok() && b.is_ok());
    let events = first.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
    let mut kinds: Vec<_> = events.iter().map(|event| event.kind.as_str().to_owned()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["artifact.ingested", "artifact.updated"]);
}

#[tokio::test]
async fn a_storage_that_is_down_asks_the_sender_to_come_again() {
    let options = EngineOptions::default();
    let bench = bench_on(Unreliable::default(), Script::statuses([200]), options).await;
    let mut refused = 0;
    while let Err(error) = receive(&bench, &capture(3)).await {
        assert_eq!(error.status(), 503);
        refused += 1;
        assert!(refused < 100);
    }
    assert!(receive_until_ok(&bench, &capture(19)).await);
    let events = bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
    assert_eq!(events.len(), 2);
}

async fn receive_until_ok(bench: &Bench<Unreliable>, body: &[u8]) -> bool {
    for _ in 0..100 {
        if receive(bench, body).await.is_ok() {
            return true;
        }
    }
    false
}
