//! Leases: extended while an attempt takes long, fenced when they are lost; and storages that do
//! not answer.

use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::action::{Action, ActionCall, ActionError, Done};
use artifact_triggers::clock::ManualClock;
use artifact_triggers::delivery::{DeliveryPolicy, Jitter, State, StateName};
use artifact_triggers::engine::{Engine, EngineOptions};
use artifact_triggers::event::{EventKind, Scope};
use artifact_triggers::storage::{DeliveryQuery, MemoryStorage, Storage};
use artifact_triggers::trigger::Trigger;
use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::bench::*;
use crate::faults::Unreliable;

/// Takes as long as the gate is closed.
#[derive(Debug, Clone)]
struct Slow(Arc<Semaphore>);

#[async_trait]
impl Action for Slow {
    async fn run(&self, _: ActionCall) -> Result<Done, ActionError> {
        let _open = self.0.acquire().await;
        Ok("done".into())
    }
}

/// An engine whose action takes as long as the gate is closed, and may take two hours.
async fn slow(storage: MemoryStorage) -> (Bench, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let engine = Engine::builder(storage.clone())
        .deliverer(Script::default())
        .clock(clock.clone())
        .action("slow", Slow(gate.clone()))
        .options(EngineOptions::default().with_refresh(DAY))
        .build()
        .await
        .unwrap();
    let policy = DeliveryPolicy::default()
        .with_timeout(Duration::from_secs(7_200))
        .with_jitter(Jitter::None);
    let spec = Trigger::builder("t").on(EventKind::ARTIFACT_INGESTED).action("slow").policy(policy);
    engine.ensure_trigger(spec.build().unwrap()).await.unwrap();
    (Bench { engine, clock, script: Script::default(), storage }, gate)
}

#[tokio::test]
async fn defect_15_an_attempt_that_takes_longer_than_its_lease_keeps_it_and_is_made_once() {
    let (bench, gate) = slow(MemoryStorage::new()).await;
    bench.engine.publish(event("a")).await.unwrap();
    let other = bench.engine.clone();
    let second = tokio::spawn(async move { other.run().await });
    let engine = bench.engine.clone();
    let first = tokio::spawn(async move { engine.run().await });
    for _ in 0..60 {
        bench.clock.advance(Duration::from_secs(30));
        turns().await;
        let delivery = bench.only().await;
        assert_eq!((delivery.state.name(), delivery.attempts), (StateName::Leased, 1));
    }
    gate.add_permits(1);
    turns().await;
    assert_eq!(bench.only().await.state, State::Delivered);
    first.abort();
    second.abort();
}

#[tokio::test]
async fn defect_16_a_worker_that_lost_its_lease_settles_nothing() {
    let (bench, gate) = slow(MemoryStorage::new()).await;
    bench.engine.publish(event("a")).await.unwrap();
    let engine = bench.engine.clone();
    let paused = engine.run();
    let mut paused = std::pin::pin!(paused);
    for _ in 0..50 {
        let turn = std::pin::pin!(tokio::task::yield_now());
        futures_util::future::select(paused.as_mut(), turn).await;
    }
    assert_eq!(bench.only().await.attempts, 1);
    // It stands still past its lease, and another engine takes over.
    let (other, other_gate) = slow(bench.storage.clone()).await;
    bench.clock.advance(2 * MINUTE);
    other.clock.advance(2 * MINUTE);
    other.work(Duration::from_secs(1)).await;
    assert_eq!(other.only().await.attempts, 2);
    gate.add_permits(1);
    for _ in 0..50 {
        let turn = std::pin::pin!(tokio::task::yield_now());
        futures_util::future::select(paused.as_mut(), turn).await;
    }
    let delivery = other.only().await;
    assert_eq!(delivery.state.name(), StateName::Leased, "what it did late counts for nothing");
    assert!(bench.log(&delivery).await.is_empty());
    drop(other_gate);
}

#[tokio::test]
async fn a_storage_that_does_not_answer_keeps_nobody_waiting_for_ever_and_is_asked_again() {
    let storage = Unreliable::sound();
    let bench = bench_on(storage.clone(), Script::statuses([200]), EngineOptions::default()).await;
    bench.trigger(webhook("t")).await;
    storage.stick(true);
    let engine = bench.engine.clone();
    let published = tokio::spawn(async move { engine.publish(event("a")).await });
    turns().await;
    bench.clock.advance(Duration::from_secs(16));
    let error = published.await.unwrap().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "the storage is unavailable: it did not answer within 15s");
    bench.work(MINUTE).await;
    storage.stick(false);
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let query = DeliveryQuery::of_scope(Scope::root());
    let all = storage.deliveries(query).await.unwrap().items;
    assert!(all.iter().all(|delivery| delivery.state == State::Delivered), "{all:?}");
}

/// Lets what was spawned go as far as it can.
async fn turns() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_an_attempt_says_whose_lease_was_lost_suspends_no_trigger_and_counts_for_the_breaker()
{
    let gate = Arc::new(Semaphore::new(0));
    let slow = bench(Script::new([Answer::Later(410, gate.clone())])).await;
    let trigger = slow.trigger(webhook("t")).await;
    slow.engine.publish(event("a")).await.unwrap();
    let engine = slow.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    while slow.script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    // Another node, for which the lease has run out.
    let options = EngineOptions::default();
    let other = bench_on(slow.storage.clone(), Script::statuses([200]), options).await;
    other.work(MINUTE).await;
    other.work(Duration::ZERO).await;
    assert_eq!(other.only().await.state, State::Delivered);
    gate.add_permits(1);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    run.abort();
    assert_eq!(slow.engine.stats().leases_lost, 1);
    other.engine.refresh_triggers().await.unwrap();
    assert_eq!(other.engine.trigger(&Scope::root(), trigger.id).unwrap().suspended, None);
    assert_eq!(slow.engine.endpoints()[0].in_flight, 0, "its answer was taken in");
}
