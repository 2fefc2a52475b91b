//! Incoming messages that come again: the same one, one of which something was left, one too old.

use std::time::Duration;

use artifact_triggers::clock::{Clock as _, Timestamp};
use artifact_triggers::engine::{EngineOptions, IncomingError, Received};
use artifact_triggers::event::{Artifact, Event, EventKind, Scope, Source};
use artifact_triggers::incoming::known::SkipReason;
use artifact_triggers::incoming::{Change, Incoming, Notice, ParseError, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::signature::{
    Message, Scheme, SigningSecret, Verified, Verifier, VerifyError,
};
use artifact_triggers::storage::{EventQuery, MemoryStorage, Storage};

use crate::bench::*;
use crate::faults::Unreliable;

/// Takes a body such as `app:latest@1` for the push of a tag, of which the digest is all ones.
#[derive(Debug)]
struct Pushes(Verifier, Scope);

impl Receiver for Pushes {
    fn verifier(&self) -> &Verifier {
        &self.0
    }

    fn parse(
        &self,
        body: Verified<'_>,
        _: &Headers,
        now: Timestamp,
    ) -> Result<Vec<Notice>, ParseError> {
        let text = String::from_utf8_lossy(body.body()).into_owned();
        let (name, rest) = text.split_once(':').expect("the tests write it so");
        let (tag, digest) = rest.split_once('@').expect("the tests write it so");
        let mut artifact = Artifact::new("oci", name);
        artifact.repository = Some(name.to_owned());
        let event = Event::builder(EventKind::ARTIFACT_INGESTED)
            .artifact(artifact)
            .scope(self.1.clone())
            .occurred_at(at(0))
            .source(Source::new("pushes").with_id(&text))
            .build_at(now, &artifact_triggers::entropy::OsEntropy);
        let (tag, digest) = (Some(tag.to_owned()), format!("sha256:{}", digest.repeat(64)));
        Ok(vec![Notice { event: event.unwrap(), change: Change::Push { tag, digest } }])
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn secret() -> SigningSecret {
    SECRET.parse().unwrap()
}

fn standard() -> Pushes {
    Pushes(Verifier::standard_webhooks([secret()]), Scope::root())
}

/// A message as its sender signed it.
struct Sent {
    headers: Headers,
    body: Vec<u8>,
}

fn sent(scheme: &Scheme, secret: SigningSecret, id: &str, body: &str, now: Timestamp) -> Sent {
    let message = Message::new(id, now, body.as_bytes());
    Sent { headers: scheme.sign(&[secret], &message).unwrap(), body: body.as_bytes().to_vec() }
}

async fn receive<S: Storage + Clone>(
    bench: &Bench<S>,
    receiver: &Pushes,
    sent: &Sent,
) -> Result<Received, IncomingError> {
    let incoming = Incoming { headers: &sent.headers, body: &sent.body };
    bench.engine.receive(receiver, incoming).await.map(|mut all| all.remove(0))
}

fn reason(received: &Received) -> Option<SkipReason> {
    match received {
        Received::Skipped { reason, .. } => Some(*reason),
        _ => None,
    }
}

async fn told<S: Storage + Clone>(bench: &Bench<S>) -> usize {
    bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap().len()
}

/// Its event alone would not have been known: the first time there was nothing to tell.
#[tokio::test]
async fn a_replay_is_answered_like_the_first_time_and_fires_nothing() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t")).await;
    let send = |id: &str, body: &str| {
        sent(&Scheme::StandardWebhooks, secret(), id, body, bench.clock.now())
    };
    let first = send("1", "app:latest@1");
    assert_eq!(reason(&receive(&bench, &standard(), &first).await.unwrap()), None);
    let unchanged = send("2", "app:latest@1");
    let again = receive(&bench, &standard(), &unchanged).await.unwrap();
    assert_eq!(reason(&again), Some(SkipReason::Unchanged));
    receive(&bench, &standard(), &send("3", "app:latest@2")).await.unwrap();
    assert_eq!(told(&bench).await, 2);
    for replay in [&first, &unchanged] {
        let again = receive(&bench, &standard(), replay).await.unwrap();
        assert_eq!(reason(&again), Some(SkipReason::Replayed));
    }
    // Another attempt of its sender is the same message.
    bench.clock.advance(MINUTE);
    let retry = send("2", "app:latest@1");
    let again = receive(&bench, &standard(), &retry).await.unwrap();
    assert_eq!(reason(&again), Some(SkipReason::Replayed));
    bench.work(MINUTE).await;
    assert_eq!((told(&bench).await, bench.script.requests().len()), (2, 2));
}

#[tokio::test]
async fn a_replay_is_known_until_its_time_refuses_it() {
    let bench = bench(Script::statuses([200])).await;
    let begun = bench.clock.now();
    // From the future, by as much as it may be.
    let message = sent(&Scheme::StandardWebhooks, secret(), "1", "a:b@c", begun + MINUTE * 5);
    assert_eq!(reason(&receive(&bench, &standard(), &message).await.unwrap()), None);
    for minute in 1..=10 {
        bench.clock.set(begun + MINUTE * minute);
        let again = receive(&bench, &standard(), &message).await.unwrap();
        assert_eq!(reason(&again), Some(SkipReason::Replayed), "after {minute} minutes");
    }
    bench.clock.set(begun + MINUTE * 10 + Duration::from_secs(1));
    let refused = receive(&bench, &standard(), &message).await.unwrap_err();
    assert_eq!(refused.status(), 401);
    let expected = VerifyError::Time { off_seconds: 301, tolerance_seconds: 300 };
    assert!(refused.to_string().contains(&expected.to_string()), "{refused}");
}

#[tokio::test]
async fn a_message_without_an_id_is_known_by_what_was_signed() {
    let text = || SigningSecret::from_text("s3cret").unwrap();
    let stamped = Scheme::Timestamped { header: "acme-signature".to_owned() };
    for (scheme, receiver) in [
        (Scheme::Github, Pushes(Verifier::github([text()]), Scope::root())),
        (stamped, Pushes(Verifier::timestamped("acme-signature", [text()]), Scope::root())),
    ] {
        let bench = bench(Script::statuses([200])).await;
        let now = bench.clock.now();
        let first = sent(&scheme, text(), "1", "a:b@c", now);
        let other = sent(&scheme, text(), "1", "a:b@d", now);
        assert_eq!(reason(&receive(&bench, &receiver, &first).await.unwrap()), None);
        assert_eq!(reason(&receive(&bench, &receiver, &other).await.unwrap()), None);
        let again = receive(&bench, &receiver, &first).await.unwrap();
        assert_eq!(reason(&again), Some(SkipReason::Replayed), "{scheme:?}");
        assert_eq!(told(&bench).await, 2);
    }
}

#[tokio::test]
async fn two_senders_with_one_id_are_two() {
    let bench = bench(Script::statuses([200])).await;
    let other = SigningSecret::generate();
    let both = Pushes(Verifier::standard_webhooks([secret(), other.clone()]), Scope::root());
    for (key, body) in [(secret(), "a:b@c"), (other, "a:b@d")] {
        let message = sent(&Scheme::StandardWebhooks, key, "1", body, bench.clock.now());
        assert_eq!(reason(&receive(&bench, &both, &message).await.unwrap()), None);
    }
    assert_eq!(told(&bench).await, 2);
}

#[tokio::test]
async fn a_replay_is_known_to_the_other_nodes_of_a_storage() {
    let storage = MemoryStorage::new();
    let first = bench_on(storage.clone(), Script::statuses([200]), EngineOptions::default()).await;
    let second = bench_on(storage, Script::statuses([200]), EngineOptions::default()).await;
    // Whose clock is behind.
    first.clock.advance(MINUTE * 4);
    let now = first.clock.now();
    let message = sent(&Scheme::StandardWebhooks, secret(), "1", "a:b@c", now);
    receive(&first, &standard(), &message).await.unwrap();
    let again = receive(&second, &standard(), &message).await.unwrap();
    assert_eq!(reason(&again), Some(SkipReason::Replayed));
}

/// What could not be stored was not taken, and its sender's next try is none that is too many.
#[tokio::test]
async fn a_message_is_remembered_once_all_of_it_is_stored() {
    let options = EngineOptions::default();
    let bench = bench_on(Unreliable::default(), Script::statuses([200]), options).await;
    let message = sent(&Scheme::StandardWebhooks, secret(), "1", "a:b@c", bench.clock.now());
    let mut refused = 0;
    while let Err(error) = receive(&bench, &standard(), &message).await {
        assert_eq!(error.status(), 503);
        refused += 1;
        assert!(refused < 100);
    }
    assert!(refused > 0);
    let known = loop {
        if let Ok(known) = receive(&bench, &standard(), &message).await {
            break known;
        }
    };
    assert_eq!(reason(&known), Some(SkipReason::Replayed));
}

#[tokio::test]
async fn what_is_not_signed_is_not_remembered() {
    let bench = bench(Script::statuses([200])).await;
    let receiver = Pushes(Verifier::accept_unverified(), Scope::root());
    let message = sent(&Scheme::StandardWebhooks, secret(), "1", "a:b@c", bench.clock.now());
    assert_eq!(reason(&receive(&bench, &receiver, &message).await.unwrap()), None);
    let again = receive(&bench, &receiver, &message).await.unwrap();
    assert_eq!(reason(&again), Some(SkipReason::Unchanged));
}

#[tokio::test]
async fn a_message_that_was_sent_for_two_scopes_is_taken_in_both() {
    let bench = bench(Script::statuses([200])).await;
    let first = sent(&Scheme::StandardWebhooks, secret(), "1", "app:latest@1", bench.clock.now());
    for team in ["acme/a", "acme/b"] {
        let receiver = Pushes(standard().0, team.parse().unwrap());
        for known in [None, Some(SkipReason::Replayed)] {
            assert_eq!(reason(&receive(&bench, &receiver, &first).await.unwrap()), known, "{team}");
        }
    }
}
