//! Polls of watches while the storage hangs, and how a watch stands.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use artifact_triggers::clock::{Clock as _, ManualClock, Timestamp};
use artifact_triggers::engine::{Engine, EngineOptions, WatchState};
use artifact_triggers::event::Scope;
use artifact_triggers::storage::MemoryStorage;
use artifact_triggers::trigger::Watch;
use artifact_triggers::watch::{Ask, Listed, Upstream, UpstreamError};
use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::bench::*;
use crate::faults::Unreliable;
use crate::watches::*;

/// An upstream that answers in two steps, the second once the gate is open.
#[derive(Debug, Clone)]
struct Slow {
    gate: Arc<Semaphore>,
    asked: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
}

#[async_trait]
impl Upstream for Slow {
    async fn list(&self, _: Ask<'_>) -> Result<Listed, UpstreamError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _open = self.gate.acquire().await;
        self.answered.fetch_add(1, Ordering::SeqCst);
        Ok(Listed::Unchanged)
    }

    fn check(&self, _: &Scope, _: &str) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn a_poll_under_way_goes_on_while_the_storage_hangs() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = Slow { gate: gate.clone(), asked: Arc::default(), answered: Arc::default() };
    let storage = Unreliable::sound();
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let engine = Engine::builder(storage.clone())
        .deliverer(Script::statuses([200]))
        .clock(clock.clone())
        .upstream("shelf", slow.clone())
        .options(EngineOptions::default().with_refresh(EVERY))
        .build()
        .await
        .unwrap();
    engine.create_trigger(watching("first", watch()).build().unwrap()).await.unwrap();
    let running = engine.clone();
    let mut run = pin!(running.run());
    let mut go_on = async || {
        for _ in 0..200 {
            let turn = pin!(tokio::task::yield_now());
            futures_util::future::select(run.as_mut(), turn).await;
        }
    };
    go_on().await;
    clock.advance(SECOND);
    go_on().await;
    assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
    // Another watch comes due, and its turn cannot be read.
    engine.create_trigger(watching("second", watch()).build().unwrap()).await.unwrap();
    storage.stick(true);
    clock.advance(SECOND);
    go_on().await;
    assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
    gate.add_permits(1);
    go_on().await;
    assert_eq!(slow.answered.load(Ordering::SeqCst), 1);
}

async fn state(bench: &Bench, id: artifact_triggers::id::TriggerId) -> WatchState {
    bench.engine.watch_state(&Scope::root(), id).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_was_known_of_another_watch_is_not_told_of_the_present_one() {
    let (bench, shelf) = shelf_bench().await;
    let trigger = bench.trigger(watching("t", watch())).await;
    bench.work(SECOND).await;
    let first = state(&bench, trigger.id).await;
    assert_eq!((first.versions, first.polled_at.is_some()), (1, true));
    assert!(first.due_at > bench.clock.now());
    shelf.fail(Some(UpstreamError::Unavailable { reason: "it is down".to_owned() }));
    bench.work(EVERY * 15).await;
    assert_eq!(state(&bench, trigger.id).await.failures, 4);

    let mut spec = trigger.spec.clone();
    let other = Watch::new("shelf", "tokio").with_interval(EVERY);
    spec.watch = Some(Box::new(other));
    bench.engine.update_trigger(trigger.id, trigger.revision, spec).await.unwrap();
    let anew = state(&bench, trigger.id).await;
    assert_eq!((anew.polled_at, anew.failures, &anew.problem, anew.versions), (None, 0, &None, 0));
    assert!(anew.due_at <= bench.clock.now() + MINUTE, "it does not wait for another's failures");
    bench.work(anew.due_at.since(bench.clock.now())).await;
    let failed = state(&bench, trigger.id).await;
    assert_eq!((failed.polled_at, failed.failures, failed.versions), (Some(anew.due_at), 1, 0));
    shelf.fail(None);
    bench.work(failed.due_at.since(bench.clock.now())).await;
    let polled = state(&bench, trigger.id).await;
    assert_eq!((polled.failures, polled.versions), (0, 1));
}

#[tokio::test]
async fn what_was_known_before_a_watch_was_disabled_is_not_told() {
    let (bench, _) = shelf_bench().await;
    let trigger = bench.trigger(watching("t", watch())).await;
    bench.work(MINUTE).await;
    bench.engine.disable_trigger(trigger.id).await.unwrap();
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    let anew = state(&bench, trigger.id).await;
    assert_eq!((anew.polled_at, anew.versions), (None, 0));
    assert_eq!(anew.due_at, bench.clock.now());
}

#[tokio::test]
async fn a_watch_that_is_to_be_polled_more_often_is_due_sooner_at_once() {
    let (bench, _) = shelf_bench().await;
    let rarely = watch().with_interval(DAY).with_jitter(std::time::Duration::ZERO);
    let trigger = bench.trigger(watching("t", rarely)).await;
    bench.work(MINUTE).await;
    let mut spec = trigger.spec.clone();
    spec.watch = Some(Box::new(watch()));
    bench.engine.update_trigger(trigger.id, trigger.revision, spec).await.unwrap();
    let sooner = state(&bench, trigger.id).await;
    assert_eq!(sooner.due_at, bench.clock.now() + EVERY);
    bench.work(EVERY).await;
    assert_eq!(state(&bench, trigger.id).await.polled_at, Some(sooner.due_at));
}

#[tokio::test]
async fn a_watch_that_is_polled_is_due_for_another_node_if_nothing_comes_of_it() {
    let bench = node(MemoryStorage::new(), &Shelf::default(), &Failures::default()).await;
    let stuck = Watch::new("shelf", "stuck").with_jitter(std::time::Duration::ZERO);
    let trigger = bench.trigger(watching("t", stuck)).await;
    bench.work(SECOND).await;
    let state = state(&bench, trigger.id).await;
    assert_eq!(state.polled_at, None);
    assert!(state.due_at > bench.clock.now(), "{state:?}");
}

/// An upstream that panics before it answers.
#[derive(Debug)]
struct Panics;

#[async_trait]
impl Upstream for Panics {
    async fn list(&self, _: Ask<'_>) -> Result<Listed, UpstreamError> {
        panic!("on purpose")
    }

    fn check(&self, _: &Scope, _: &str) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn an_upstream_that_panics_is_told_and_keeps_no_run_from_delivering() {
    let (failures, script) = (Failures::default(), Script::statuses([200]));
    let (storage, clock) = (MemoryStorage::new(), ManualClock::at(Timestamp::UNIX_EPOCH));
    let builder = Engine::builder(storage.clone()).deliverer(script.clone()).clock(clock.clone());
    let builder = builder.upstream("shelf", Panics).observer(failures.clone());
    let engine = builder.build().await.unwrap();
    let bench = Bench { engine, clock, script, storage };
    bench.trigger(watching("w", watch())).await;
    bench.trigger(webhook("t")).await;
    bench.work(MINUTE).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.script.requests().len(), 1);
    let (failures, error) = failures.0.lock().unwrap()[0].clone();
    assert!(failures == 1 && error.contains("it panicked"), "{error}");
}
