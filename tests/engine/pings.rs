//! Pings and previews: a trigger tested the whole way, or shown without sending.

use std::sync::Arc;

use artifact_triggers::delivery::{DeadReason, Outcome, State, StateName};
use artifact_triggers::engine::{EngineOptions, Overload, PingError, PublishError};
use artifact_triggers::event::{EventKind, Scope};
use artifact_triggers::id::TriggerId;
use artifact_triggers::request::Headers;
use artifact_triggers::signature::Verifier;
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::MemoryStorage;

use artifact_triggers::trigger::filter::Filter;
use tokio::sync::Semaphore;

use crate::bench::*;

#[tokio::test]
async fn a_ping_goes_the_whole_way_without_a_run_and_tells_what_came_of_it() {
    let bench = bench(Script::statuses([204, 500])).await;
    let filter: Filter = r#"{"artifact": {"name": ["never"]}}"#.parse().unwrap();
    let trigger = bench.trigger(webhook("t").filter(filter)).await;
    let pinged = bench.engine.ping(&Scope::root(), trigger.id).await.unwrap();
    assert_eq!(
        (pinged.attempt.outcome.clone(), pinged.attempt.status),
        (Outcome::Accepted, Some(204))
    );
    let delivery = bench.only().await;
    assert_eq!((delivery.id, &delivery.state), (pinged.delivery, &State::Delivered));
    assert_eq!(bench.log(&delivery).await[0].attempt, pinged.attempt);
    let body: serde_json::Value = serde_json::from_slice(&bench.script.requests()[0].body).unwrap();
    assert_eq!(body["type"], EventKind::PING.as_str());

    let failed = bench.engine.ping(&Scope::root(), trigger.id).await.unwrap();
    assert_eq!((failed.attempt.outcome, failed.attempt.status), (Outcome::Transient, Some(500)));
    bench.work(DAY).await;
    assert_eq!(bench.script.requests().len(), 2, "it is not tried again");
    let dead = bench.deliveries().await.into_iter().find(|d| d.id == failed.delivery).unwrap();
    assert_eq!(dead.state, State::Dead { reason: DeadReason::Exhausted });
}

#[tokio::test]
async fn a_trigger_that_is_disabled_can_be_pinged_and_is_not_told_of_it_by_events() {
    let bench = bench(Script::statuses([500])).await;
    let trigger = bench.trigger(webhook("t")).await;
    bench.trigger(webhook("listens").on(EventKind::DELIVERY_DEAD)).await;
    bench.engine.disable_trigger(trigger.id).await.unwrap();
    bench.engine.ping(&Scope::root(), trigger.id).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.only().await.state.name(), StateName::Dead);
}

#[tokio::test]
async fn a_preview_is_signed_and_sends_nothing() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t")).await;
    let request = bench.engine.preview(&Scope::root(), trigger.id, event("a")).unwrap().unwrap();
    assert!(bench.script.requests().is_empty() && bench.deliveries().await.is_empty());
    let secret: SigningSecret = SECRET.parse().unwrap();
    let verifier = Verifier::standard_webhooks([secret]);
    let headers: Headers = request.headers.iter().map(|(n, v)| (n, v.to_vec())).collect();
    let now = artifact_triggers::clock::Clock::now(&bench.clock);
    verifier.verify(&headers, &request.body, now).unwrap();
}

#[tokio::test]
async fn only_so_many_pings_are_under_way_at_once() {
    let options = EngineOptions::default().with_pings(1).with_publishing(10, Overload::Refuse);
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::new([Answer::Later(200, gate.clone())]);
    let bench = bench_on(MemoryStorage::new(), script, options).await;
    let id = bench.trigger(webhook("t")).await.id;
    let engine = bench.engine.clone();
    let first = tokio::spawn(async move { engine.ping(&Scope::root(), id).await });
    while bench.script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let refused = bench.engine.ping(&Scope::root(), id).await;
    assert!(matches!(refused, Err(PingError::Publish(PublishError::Overloaded))), "{refused:?}");
    gate.add_permits(1);
    first.await.unwrap().unwrap();
    bench.engine.ping(&Scope::root(), id).await.unwrap();
}

#[tokio::test]
async fn a_trigger_of_another_scope_is_not_there_for_a_ping() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t").scope("acme".parse().unwrap())).await;
    let other: Scope = "other".parse().unwrap();
    let refused = bench.engine.ping(&other, trigger.id).await;
    assert!(matches!(refused, Err(PingError::NoTrigger { id }) if id == trigger.id));
    let unknown = TriggerId::from_bytes([7; 16]);
    assert!(bench.engine.preview(&Scope::root(), unknown, event("a")).is_err());
}
