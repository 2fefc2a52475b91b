//! What is kept of what happened, and who finds it.

use artifact_triggers::clock::ManualClock;
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::{Attempt, StateName};
use artifact_triggers::engine::{Engine, EngineOptions, ReplayPlan};
use artifact_triggers::event::Scope;
use artifact_triggers::request::{Request, Response};
use artifact_triggers::storage::{DeliveryQuery, EventQuery, MemoryStorage};
use async_trait::async_trait;

use crate::bench::*;

#[tokio::test]
async fn defect_39_what_is_known_by_its_id_alone_is_not_found_from_another_scope() {
    let bench = bench(Script::statuses([404])).await;
    let own: Scope = "acme/team".parse().unwrap();
    let trigger = bench.trigger(webhook("t").scope(own.clone())).await;
    let mut event = event("a");
    event.scope = own.clone();
    bench.engine.publish(event.clone()).await.unwrap();
    bench.work(60 * DAY).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state.name(), StateName::Dead);
    for (scope, is_there) in
        [("acme/team", true), ("acme", true), ("", true), ("acme/te", false), ("other", false)]
    {
        let scope: Scope = scope.parse().unwrap();
        let engine = &bench.engine;
        assert_eq!(engine.event(&scope, event.id).await.unwrap().is_some(), is_there);
        assert_eq!(engine.delivery(&scope, delivery.id).await.unwrap().is_some(), is_there);
        assert_eq!(engine.attempts(&scope, delivery.id).await.unwrap().is_empty(), !is_there);
        assert_eq!(engine.trigger(&scope, trigger.id).is_some(), is_there);
        let events = EventQuery::of_scope(scope.clone()).with_id(event.id);
        assert_eq!(engine.events(events).await.unwrap().len(), usize::from(is_there));
        let plan = ReplayPlan::of_scope(scope.clone());
        assert_eq!(engine.count_replay(&plan).await.unwrap(), u64::from(is_there));
        if !is_there {
            let query = DeliveryQuery::of_scope(scope).with_id(delivery.id);
            assert!(engine.replay(query.clone()).await.unwrap().is_empty());
            assert!(engine.discard(query).await.unwrap().is_empty());
        }
    }
}

/// Answers at length.
#[derive(Debug)]
struct Talkative;

#[async_trait]
impl Deliverer for Talkative {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        let status = if request.url.path() == "/well" { 200 } else { 500 };
        let body = b"what went wrong, at length. ".repeat(50_000);
        Ok(Response { status, body, ..Response::default() })
    }

    fn check_url(&self, _: &Scope, _: &url::Url) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn defect_44_what_was_delivered_keeps_its_log_and_of_answers_the_beginning_is_kept() {
    let (storage, clock) =
        (MemoryStorage::new(), ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap()));
    let engine = Engine::builder(storage.clone())
        .deliverer(Talkative)
        .clock(clock.clone())
        .options(EngineOptions::default().with_refresh(DAY));
    let engine = engine.build().await.unwrap();
    let bench = Bench { engine, clock, script: Script::default(), storage };
    for place in ["well", "ill"] {
        let url = format!("https://hooks.example/{place}");
        bench.trigger(webhook(place).webhook(url, SECRET.parse().unwrap())).await;
    }
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(60 * DAY).await;
    let mut ended = Vec::new();
    for delivery in bench.deliveries().await {
        let log = bench.log(&delivery).await;
        for logged in &log {
            let kept = logged.attempt.response.as_ref().map_or(0, String::len);
            assert!(kept > 0 && kept <= Attempt::MAX_RESPONSE_BYTES, "{kept} bytes");
        }
        ended.push((delivery.state.name(), log.len()));
    }
    ended.sort_by_key(|(_, attempts)| *attempts);
    assert_eq!(ended, [(StateName::Delivered, 1), (StateName::Dead, 10)]);
}
