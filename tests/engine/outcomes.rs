//! What an endpoint answers, and what follows from it.

use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::Clock;
use artifact_triggers::deliverer::DeliverError;
use artifact_triggers::delivery::{
    DeadReason, DeliveryPolicy, Outcome, RetrySchedule, State, StateName,
};
use artifact_triggers::event::{Event, EventKind, MAX_EVENT_BYTES, Scope};
use artifact_triggers::request::Request;
use artifact_triggers::signature::Verifier;
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::{DeliveryQuery, EventQuery};
use artifact_triggers::trigger::{KindPattern, SuspendReason, Trigger};

use tokio::sync::Semaphore;

use crate::bench::*;

#[tokio::test]
async fn a_published_event_reaches_the_endpoint_signed() {
    let bench = bench(Script::statuses([204])).await;
    bench.trigger(webhook("t")).await;
    let published = bench.engine.publish(event("a")).await.unwrap();
    bench.work(Duration::ZERO).await;
    let delivery = bench.only().await;
    assert_eq!(
        (published.deliveries, delivery.state.clone()),
        (vec![delivery.id], State::Delivered)
    );
    let request = &bench.script.requests()[0];
    let secret: SigningSecret = SECRET.parse().unwrap();
    let verified = Verifier::standard_webhooks([secret])
        .verify(&request.headers, &request.body, bench.clock.now())
        .unwrap();
    let body: serde_json::Value = serde_json::from_slice(verified.body()).unwrap();
    assert_eq!(body["type"], "artifact.ingested");
    assert_eq!(body["data"]["artifact"]["name"], "a");
    let log = bench.log(&delivery).await;
    assert_eq!((log[0].attempt.number, log[0].attempt.status), (1, Some(204)));
}

#[tokio::test]
async fn an_event_published_twice_is_delivered_once() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t")).await;
    let event = event("a");
    assert!(!bench.engine.publish(event.clone()).await.unwrap().duplicate);
    let again = bench.engine.publish_all(vec![event.clone(), event]).await.unwrap();
    assert!(again.iter().all(|published| published.duplicate && published.deliveries.is_empty()));
    bench.work(MINUTE).await;
    assert_eq!(bench.script.requests().len(), 1);
}

#[tokio::test]
async fn a_failing_endpoint_is_tried_by_the_schedule_with_the_same_message() {
    let bench = bench(Script::statuses([500, 404, 200])).await;
    bench.trigger(webhook("t")).await;
    let begin = bench.clock.now();
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(DAY).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Delivered);
    let log = bench.log(&delivery).await;
    let waited: Vec<u64> =
        log.iter().map(|a| a.attempt.started_at.since(begin).as_secs()).collect();
    assert_eq!(waited, [0, 5, 305]);
    let requests = bench.script.requests();
    let id = |request: &Request| request.headers.only("webhook-id").unwrap().to_vec();
    let time = |request: &Request| request.headers.only("webhook-timestamp").unwrap().to_vec();
    assert!(requests.iter().all(|r| id(r) == id(&requests[0]) && r.body == requests[0].body));
    assert_ne!(time(&requests[0]), time(&requests[1]));
}

#[tokio::test]
async fn after_the_last_attempt_the_delivery_is_a_dead_letter_that_can_be_replayed() {
    let bench = bench(Script::statuses([500])).await;
    let policy = DeliveryPolicy::default().with_retry(RetrySchedule::Pauses(vec![MINUTE]));
    let trigger = bench.trigger(webhook("t").policy(policy)).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(DAY).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Dead { reason: DeadReason::Exhausted });
    bench.script.then(Answer::Status(200));
    let dead =
        DeliveryQuery::of_scope(Scope::root()).with_trigger(trigger.id).with_state(StateName::Dead);
    assert_eq!(bench.engine.replay(dead.clone()).await.unwrap(), [delivery.id]);
    bench.work(MINUTE).await;
    assert_eq!(bench.only().await.state, State::Delivered);
    assert_eq!(bench.engine.replay(dead).await.unwrap(), []);
    let positions: Vec<_> =
        bench.log(&delivery).await.iter().map(|a| (a.position, a.attempt.number)).collect();
    assert_eq!(positions, [(1, 1), (2, 2), (3, 1)]);
    let ids: Vec<_> = bench
        .script
        .requests()
        .iter()
        .map(|r| r.headers.only("webhook-id").unwrap().to_vec())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn a_dead_letter_is_told_as_an_event_but_not_of_itself() {
    let bench = bench(Script::statuses([500])).await;
    let policy = DeliveryPolicy::default().with_retry(RetrySchedule::never());
    bench.trigger(webhook("all").on_any(KindPattern::any()).policy(policy)).await;
    let cause = bench.engine.publish(event("a")).await.unwrap().id;
    bench.work(DAY).await;
    let events = bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
    let told: Vec<&Event> = events.iter().filter(|e| e.kind == EventKind::DELIVERY_DEAD).collect();
    assert_eq!(told.len(), 1, "{events:?}");
    assert_eq!(told[0].correlation.cause, Some(cause));
    assert_eq!(told[0].attributes["reason"], "exhausted");
    let states: Vec<_> = bench.deliveries().await.iter().map(|d| d.state.name()).collect();
    assert_eq!(states, [StateName::Dead, StateName::Dead]);
}

#[tokio::test]
async fn whatever_artifact_a_dead_letter_is_of_the_event_of_it_can_be_read() {
    let document = |artifact: &str| {
        format!(
            r#"{{"spec_version": "1.0", "id": "evt_0193e5d2f0a0703e8f00d1a2b3c4d5e6",
                 "kind": "artifact.ingested", "source": {{"name": "s"}}, "artifact": {artifact},
                 "occurred_at": "2026-11-23T12:00:00Z", "received_at": "2026-11-23T12:00:00Z"}}"#
        )
    };
    let (name, version) = ("a".repeat(3_000), "b".repeat(2_000));
    let long_purl =
        format!(r#"{{"package_type": "npm", "name": "{name}", "version": "{version}"}}"#);
    let filler = "c".repeat(MAX_EVENT_BYTES - document("").len() - 60);
    let almost_too_large =
        format!(r#"{{"package_type": "generic", "name": "a", "x": "{filler}"}}"#);
    for (artifact, told) in [(long_purl, true), (almost_too_large, false)] {
        let bench = bench(Script::statuses([500])).await;
        let policy = DeliveryPolicy::default().with_retry(RetrySchedule::never());
        bench.trigger(webhook("t").policy(policy)).await;
        let event = Event::from_json(document(&artifact).as_bytes()).unwrap();
        bench.engine.publish(event).await.unwrap();
        bench.work(MINUTE).await;
        assert_eq!(bench.only().await.state.name(), StateName::Dead);
        let events = bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
        let dead = events.iter().find(|event| event.kind == EventKind::DELIVERY_DEAD).unwrap();
        assert_eq!(dead.artifact.is_some(), told);
        assert_eq!(&Event::from_json(&dead.to_json()).unwrap(), dead);
    }
}

#[tokio::test]
async fn gone_kills_the_delivery_suspends_the_trigger_and_parks_what_follows() {
    let bench = bench(Script::statuses([410])).await;
    let trigger = bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.only().await.state, State::Dead { reason: DeadReason::Gone });
    let now = bench.engine.trigger(&Scope::root(), trigger.id).unwrap();
    assert_eq!((now.suspended, now.spec.enabled), (Some(SuspendReason::EndpointGone), true));
    let kinds: Vec<_> = bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
    assert!(kinds.iter().any(|event| event.kind == EventKind::TRIGGER_DISABLED));

    bench.engine.publish(event("b")).await.unwrap();
    bench.work(DAY).await;
    let parked = DeliveryQuery::of_scope(Scope::root()).with_state(StateName::Parked);
    assert_eq!(bench.engine.deliveries(parked.clone()).await.unwrap().len(), 1);
    assert_eq!(bench.script.requests().len(), 1);

    bench.script.then(Answer::Status(200));
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    assert_eq!(bench.engine.replay(parked).await.unwrap().len(), 1);
    bench.work(MINUTE).await;
    assert_eq!(bench.script.requests().len(), 2);
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let bench = bench(Script::new([Answer::RetryAfter(503, "3600"), Answer::Status(200)])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(Duration::from_secs(3_599)).await;
    assert_eq!(bench.script.requests().len(), 1);
    bench.work(Duration::from_secs(721)).await;
    assert_eq!(bench.only().await.state, State::Delivered);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let bench = bench(Script::statuses([302, 200])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let log = bench.log(&bench.only().await).await;
    assert_eq!((log[0].attempt.status, &log[0].attempt.outcome), (Some(302), &Outcome::Rejected));
    assert_eq!(log.len(), 2);
}

#[tokio::test]
async fn a_blocked_address_is_dead_at_once_with_its_reason() {
    let blocked = DeliverError::Blocked { reason: "the address is not public".to_owned() };
    let bench = bench(Script::new([Answer::Error(blocked)])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(DAY).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Dead { reason: DeadReason::Blocked });
    let log = bench.log(&delivery).await;
    assert_eq!(log[0].attempt.error.as_deref(), Some("blocked: the address is not public"));
}

#[tokio::test]
async fn a_deliverer_that_hangs_or_panics_costs_one_attempt() {
    let bench = bench(Script::new([Answer::Hang, Answer::Panic, Answer::Status(200)])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(DAY).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Delivered);
    let errors: Vec<_> = bench.log(&delivery).await.into_iter().map(|a| a.attempt.error).collect();
    let expected =
        [Some("no answer within 20s".to_owned()), Some("the handler panicked".to_owned()), None];
    assert_eq!(errors, expected);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_suspends_no_trigger_that_was_changed_since() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = bench(Script::new([Answer::Later(410, gate.clone())])).await;
    let trigger = bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    let engine = bench.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    while bench.script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let moved = webhook("t").webhook("https://fine.example/x", SECRET.parse().unwrap());
    let moved = moved.build().unwrap();
    bench.engine.update_trigger(trigger.id, trigger.revision, moved).await.unwrap();
    gate.add_permits(1);
    bench.engine.shutdown(MINUTE).await;
    run.await.unwrap();
    assert_eq!(bench.only().await.state, State::Dead { reason: DeadReason::Gone });
    assert_eq!(bench.engine.trigger(&Scope::root(), trigger.id).unwrap().suspended, None);
    let events = bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
    assert!(events.iter().all(|event| event.kind != EventKind::TRIGGER_DISABLED));
}

impl Bench {
    async fn times_told_as_disabled(&self) -> usize {
        let events = self.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
        events.iter().filter(|event| event.kind == EventKind::TRIGGER_DISABLED).count()
    }
}

#[tokio::test]
async fn an_event_and_a_delivery_are_found_by_their_ids_within_a_scope() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t").scope("acme".parse().unwrap())).await;
    let mut event = event("a");
    event.scope = "acme/platform".parse().unwrap();
    let published = bench.engine.publish(event.clone()).await.unwrap();
    let told = serde_json::to_value(&published).unwrap();
    assert_eq!((&told["id"], &told["is_loop"]), (&event.id.to_string().into(), &false.into()));
    assert_eq!(serde_json::to_value(bench.engine.stats()).unwrap()["durable"], 1);
    let (acme, other): (Scope, Scope) = ("acme".parse().unwrap(), "other".parse().unwrap());
    let delivery = published.deliveries[0];
    assert_eq!(bench.engine.event(&acme, event.id).await.unwrap().unwrap().id, event.id);
    assert_eq!(bench.engine.delivery(&acme, delivery).await.unwrap().unwrap().id, delivery);
    assert_eq!(bench.engine.event(&other, event.id).await.unwrap(), None);
    assert_eq!(bench.engine.delivery(&other, delivery).await.unwrap(), None);
}

#[tokio::test]
async fn a_410_to_an_event_of_the_engines_own_is_told_as_trigger_disabled() {
    let bench = bench(Script::statuses([400, 410])).await;
    let once = DeliveryPolicy::default().with_retry(RetrySchedule::never());
    bench.trigger(webhook("dies").policy(once)).await;
    let listens = Trigger::builder("listens").on(EventKind::DELIVERY_DEAD);
    let listens = listens.webhook("https://hooks.example/y", SECRET.parse().unwrap());
    let listens = bench.trigger(listens).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let listens = bench.engine.trigger(&Scope::root(), listens.id).unwrap();
    assert_eq!(listens.suspended, Some(SuspendReason::EndpointGone));
    assert_eq!(bench.times_told_as_disabled().await, 1);
}

#[tokio::test]
async fn many_410_at_once_suspend_a_trigger_once_and_are_told_once() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = bench(Script::new([Answer::Later(410, gate.clone())])).await;
    let trigger = bench.trigger(webhook("t")).await;
    bench.engine.publish_all((0..5).map(|n| event(&n.to_string())).collect()).await.unwrap();
    let engine = bench.engine.clone();
    tokio::spawn(async move { engine.run().await });
    while bench.script.requests().len() < 5 {
        tokio::task::yield_now().await;
    }
    for _ in 0..5 {
        gate.add_permits(1);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    let now = bench.engine.trigger(&Scope::root(), trigger.id).unwrap();
    assert_eq!((now.suspended, now.revision), (Some(SuspendReason::EndpointGone), 2));
    assert_eq!(bench.times_told_as_disabled().await, 1);
}
