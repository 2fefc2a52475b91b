//! Loops, limits on what one event causes, and what happens under pressure.

use std::sync::Arc;

use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::{DeliveryPolicy, Order};
use artifact_triggers::engine::{Engine, EngineOptions, LOOP, Overload, PublishError};
use artifact_triggers::event::{Correlation, Event, EventKind, Scope};
use artifact_triggers::incoming::hops;
use artifact_triggers::payload::HOPS_HEADER;
use artifact_triggers::request::{Request, Response};
use artifact_triggers::storage::{EventQuery, MemoryStorage};
use artifact_triggers::trigger::Trigger;
use async_trait::async_trait;
use std::sync::Mutex;

use crate::bench::*;
use crate::faults::Unreliable;

/// Publishes what it is asked to send, as a third party would that pushes what it is told of.
#[derive(Debug, Clone, Default)]
struct Echo {
    engine: Arc<Mutex<Option<Engine>>>,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Whether it tells nobody what the event went through.
    strips: bool,
}

#[async_trait]
impl Deliverer for Echo {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len()
        };
        let engine = self.engine.lock().unwrap().clone().unwrap();
        let kind = format!("ring.{}", request.url.path().trim_matches('/'));
        let mut correlation = Correlation::default();
        if !self.strips {
            correlation.hops = hops(&request.headers);
        }
        let scope = request.url.query_pairs().find(|(name, _)| name == "scope");
        let scope = scope.map(|(_, scope)| scope.parse().unwrap()).unwrap_or_default();
        let event = Event::builder(kind.parse().unwrap())
            .scope(scope)
            .correlation(correlation)
            .attribute("number", number.to_string())
            .build()
            .unwrap();
        engine.publish(event).await.unwrap();
        Ok(Response { status: 200, ..Response::default() })
    }

    fn check_url(&self, _: &Scope, _: &url::Url) -> Result<(), String> {
        Ok(())
    }
}

/// An engine with a ring of triggers, each of which causes the event that the next one wants.
async fn ring(size: usize) -> (Engine, Echo, artifact_triggers::clock::ManualClock) {
    let clock = artifact_triggers::clock::ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let echo = Echo::default();
    let builder = Engine::builder(MemoryStorage::new())
        .deliverer(echo.clone())
        .clock(clock.clone())
        .options(EngineOptions::default().with_refresh(DAY));
    let engine = builder.build().await.unwrap();
    *echo.engine.lock().unwrap() = Some(engine.clone());
    for n in 0..size {
        let url = format!("https://ring.example/{}", (n + 1) % size);
        let kind: EventKind = format!("ring.{n}").parse().unwrap();
        let spec =
            Trigger::builder(format!("t{n}")).on(kind).webhook(&url, SECRET.parse().unwrap());
        engine.create_trigger(spec.build().unwrap()).await.unwrap();
    }
    (engine, echo, clock)
}

#[tokio::test]
async fn loops_of_one_and_of_three_end_within_sixteen_hops_for_a_reason_that_can_be_seen() {
    for size in [1, 3] {
        let (engine, echo, clock) = ring(size).await;
        let start = Event::builder("ring.0".parse().unwrap()).build().unwrap();
        engine.publish(start).await.unwrap();
        let bench =
            Bench { engine, clock, script: Script::default(), storage: MemoryStorage::new() };
        bench.work(DAY).await;
        assert_eq!(echo.requests.lock().unwrap().len(), 16, "a ring of {size}");
        let query = EventQuery::of_scope(Scope::root()).with_limit(100);
        let events = bench.engine.events(query).await.unwrap();
        let cut: Vec<&Event> = events.iter().filter(|e| e.attributes.contains_key(LOOP)).collect();
        assert_eq!(cut.len(), 1);
        assert_eq!(cut[0].attributes[LOOP], "it has gone through 16 triggers");
        assert_eq!(cut[0].correlation.hops.len(), 16);
    }
}

#[tokio::test]
async fn a_loop_whose_hops_are_stripped_goes_round_at_the_rate_of_its_scope() {
    let clock = artifact_triggers::clock::ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let echo = Echo { strips: true, ..Echo::default() };
    let rate = artifact_triggers::endpoint::Rate::new(60, MINUTE).with_burst(5);
    let engine = Engine::builder(MemoryStorage::new())
        .deliverer(echo.clone())
        .clock(clock.clone())
        .options(EngineOptions::default().with_scope_rate(rate).with_refresh(DAY))
        .build()
        .await
        .unwrap();
    *echo.engine.lock().unwrap() = Some(engine.clone());
    for (name, order) in [("t", Order::None), ("u", Order::Strict)] {
        let spec = Trigger::builder(name)
            .scope(name.parse().unwrap())
            .on("ring.0".parse::<EventKind>().unwrap())
            .webhook(format!("https://ring.example/0?scope={name}"), SECRET.parse().unwrap())
            .policy(DeliveryPolicy::default().with_order(order));
        engine.create_trigger(spec.build().unwrap()).await.unwrap();
        let start = Event::builder("ring.0".parse().unwrap()).scope(name.parse().unwrap());
        engine.publish(start.build().unwrap()).await.unwrap();
    }
    let bench = Bench { engine, clock, script: Script::default(), storage: MemoryStorage::new() };
    bench.work(10 * MINUTE).await;
    let rounds = echo.requests.lock().unwrap().len();
    assert!((1_200..=1_212).contains(&rounds), "{rounds} in ten minutes of two loops");
}

#[tokio::test]
async fn every_request_tells_through_which_triggers_its_event_went() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t")).await;
    let mut second = event("b");
    second.correlation.hops = vec!["trg_elsewhere".to_owned()];
    bench.engine.publish_all(vec![event("a"), second]).await.unwrap();
    bench.work(MINUTE).await;
    let told: Vec<String> = bench
        .script
        .requests()
        .iter()
        .map(|request| {
            String::from_utf8(request.headers.only(HOPS_HEADER).unwrap().to_vec()).unwrap()
        })
        .collect();
    let own = trigger.id.to_string();
    assert!(told.contains(&own) && told.contains(&format!("trg_elsewhere,{own}")), "{told:?}");
}

#[tokio::test]
async fn an_event_that_too_many_triggers_want_is_refused_with_their_number() {
    let options = EngineOptions::default().with_max_fan_out(2);
    let bench = bench_on(MemoryStorage::new(), Script::statuses([200]), options).await;
    for name in ["a", "b", "c"] {
        bench.trigger(webhook(name)).await;
    }
    let error = bench.engine.publish(event("a")).await.unwrap_err();
    let PublishError::Invalid { problems, .. } = &error else { panic!("{error:?}") };
    let message = "expected an event that at most 2 triggers want, found 3 of them";
    assert!(problems.to_string().contains(message), "{problems}");
    assert!(bench.deliveries().await.is_empty());
}

#[tokio::test]
async fn a_publisher_waits_or_is_refused_while_the_storage_does_not_answer() {
    for overload in [Overload::Wait, Overload::Refuse] {
        let storage = Unreliable::sound();
        let options = EngineOptions::default().with_publishing(2, overload);
        let bench = bench_on(storage.clone(), Script::statuses([200]), options).await;
        storage.stick(true);
        let publish = |name: &'static str| {
            let engine = bench.engine.clone();
            tokio::spawn(async move { engine.publish(event(name)).await })
        };
        let (first, second) = (publish("a"), publish("b"));
        turns().await;
        let third = publish("c");
        turns().await;
        if overload == Overload::Refuse {
            let refused = third.await.unwrap();
            assert!(matches!(refused, Err(PublishError::Overloaded)), "{refused:?}");
            storage.stick(false);
        } else {
            assert!(!third.is_finished());
            storage.stick(false);
            third.await.unwrap().unwrap();
        }
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn bytes_on_their_way_into_the_storage_are_bounded_with_what_is_sent_of_them() {
    let storage = Unreliable::sound();
    let bench = narrow(&storage).await;
    for n in 0..3 {
        bench.trigger(webhook(&format!("t{n}"))).await;
    }
    // With its three deliveries each takes about 40 KiB.
    let large = |name: &str| {
        let mut event = event(name);
        for part in ["a", "b", "c"] {
            event.attributes.insert(part.to_owned(), "x".repeat(3_300));
        }
        event
    };
    storage.stick(true);
    let engine = bench.engine.clone();
    let (first, second, third) = (large("a"), large("b"), event("c"));
    let first = tokio::spawn(async move { engine.publish(first).await });
    turns().await;
    let refused = bench.engine.publish(second.clone()).await;
    assert!(matches!(refused, Err(PublishError::Overloaded)), "{refused:?}");
    let engine = bench.engine.clone();
    let third = tokio::spawn(async move { engine.publish(third).await });
    turns().await;
    storage.stick(false);
    first.await.unwrap().unwrap();
    third.await.unwrap().unwrap();
    bench.engine.publish(second).await.unwrap();
    let too_large_together = vec![large("d"), large("e"), large("f")];
    bench.engine.publish_all(too_large_together).await.unwrap();
}

#[tokio::test]
async fn an_event_takes_as_many_bytes_as_its_json_has_whatever_it_is_made_of() {
    let storage = Unreliable::sound();
    let bench = narrow(&storage).await;
    bench.trigger(webhook("t")).await;
    let of_data = |name: &str, data: serde_json::Value| {
        let mut event = event(name);
        event.data = Some(data);
        event
    };
    storage.stick(true);
    let (mut going, engine) = (Vec::new(), &bench.engine);
    let mut publish = |event: Event| {
        let engine = engine.clone();
        going.push(tokio::spawn(async move { engine.publish(event).await }));
    };
    // About 10 KiB of digits and 40 KiB of escapes, with their delivery twice as much.
    publish(of_data("a", serde_json::json!(vec![0; 5_000])));
    turns().await;
    publish(of_data("b", serde_json::json!(vec![0; 5_000])));
    turns().await;
    let escaped = of_data("c", serde_json::json!("\u{1}".repeat(7_000)));
    let refused = bench.engine.publish(escaped).await;
    assert!(matches!(refused, Err(PublishError::Overloaded)), "{refused:?}");
    storage.stick(false);
    for one in going {
        one.await.unwrap().unwrap();
    }
}

/// An engine that takes 64 KiB at once.
async fn narrow(storage: &Unreliable) -> Bench<Unreliable> {
    let options = EngineOptions::default()
        .with_publishing(100, Overload::Refuse)
        .with_publishing_bytes(64 * 1_024);
    bench_on(storage.clone(), Script::statuses([200]), options).await
}

/// Lets what was spawned go as far as it can.
async fn turns() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
