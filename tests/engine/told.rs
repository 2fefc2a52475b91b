//! What actions give back: events and runs, stored with the outcome, whatever fails or dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use artifact_triggers::action::{Action, ActionCall, ActionError, Done, RunRef};
use artifact_triggers::clock::{Clock as _, ManualClock};
use artifact_triggers::delivery::{DeadReason, DeliveryPolicy, Jitter, State};
use artifact_triggers::engine::{Engine, EngineOptions, LOOP};
use artifact_triggers::event::{Artifact, Event, EventBuilder, EventKind, MAX_EVENT_BYTES, Scope};
use artifact_triggers::id::EventId;
use artifact_triggers::storage::{DeliveryQuery, EventQuery, MemoryStorage, Storage};
use artifact_triggers::trigger::{Trigger, TriggerBuilder};
use async_trait::async_trait;

use crate::bench::*;
use crate::faults::Unreliable;

/// Tells what it is made to tell, and counts how often it ran.
#[derive(Debug, Clone)]
struct Teller {
    runs: Arc<AtomicUsize>,
    tell: fn(&ActionCall) -> Done,
}

#[async_trait]
impl Action for Teller {
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Ok((self.tell)(&call))
    }
}

/// An engine with a teller, and how often that ran.
async fn telling<S: Storage + Clone>(
    storage: S,
    tell: fn(&ActionCall) -> Done,
) -> (Bench<S>, Arc<AtomicUsize>) {
    let (clock, script) =
        (ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap()), Script::statuses([200]));
    let runs: Arc<AtomicUsize> = Arc::default();
    let engine = Engine::builder(storage.clone())
        .deliverer(script.clone())
        .clock(clock.clone())
        .action("tell", Teller { runs: runs.clone(), tell })
        .options(EngineOptions::default().with_refresh(DAY).with_max_hops(3))
        .build()
        .await
        .unwrap();
    (Bench { engine, clock, script, storage }, runs)
}

fn scan(name: &str) -> TriggerBuilder {
    Trigger::builder(name)
        .on(EventKind::ARTIFACT_INGESTED)
        .action("tell")
        .policy(DeliveryPolicy::default().with_jitter(Jitter::None))
}

fn two(call: &ActionCall) -> Done {
    let artifact = call.event.artifact.clone().unwrap();
    let completed = call.tell(EventKind::SCAN_COMPLETED).artifact(artifact.clone());
    Done::new("scanned")
        .with_run(RunRef::of_id("42").with_url("https://ci.example/42"))
        .with_event(completed.attribute("verdict", "passed"))
        .with_event(call.tell(EventKind::ARTIFACT_QUARANTINED).artifact(artifact))
}

/// Everything that was told, beside what was published.
async fn told(storage: &MemoryStorage) -> Vec<Event> {
    let mut events = storage.events(EventQuery::of_scope(Scope::root())).await.unwrap().items;
    events.retain(|event| event.kind != EventKind::ARTIFACT_INGESTED);
    events.sort_by(|one, other| other.kind.cmp(&one.kind));
    events
}

#[tokio::test]
async fn what_an_action_tells_is_published_with_its_cause_and_its_run_is_in_the_log() {
    let (bench, runs) = telling(MemoryStorage::new(), two).await;
    let trigger = bench.trigger(scan("scan").scope("acme".parse().unwrap())).await;
    bench.trigger(webhook("quarantine")).await;
    let cause = Event::builder(EventKind::ARTIFACT_INGESTED)
        .scope("acme/a".parse().unwrap())
        .artifact(Artifact::new("generic", "a"))
        .build()
        .unwrap();
    bench.engine.publish(cause.clone()).await.unwrap();
    bench.work(MINUTE).await;
    let told = told(&bench.storage).await;
    let kinds: Vec<&str> = told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["scan.completed", "artifact.quarantined"]);
    for event in &told {
        assert_eq!(event.scope.as_str(), "acme/a");
        assert_eq!(event.correlation.cause, Some(cause.id));
        assert_eq!(event.correlation.hops, [trigger.id.to_string()]);
        assert_eq!(event.artifact.as_ref().unwrap().name.as_deref(), Some("a"));
    }
    let query = DeliveryQuery::of_scope(Scope::root()).with_trigger(trigger.id);
    let delivery = bench.engine.deliveries(query).await.unwrap().remove(0);
    let attempt = bench.log(&delivery).await.remove(0).attempt;
    assert_eq!(attempt.response.as_deref(), Some("scanned"));
    let run = attempt.run.unwrap();
    assert_eq!((run.id(), run.url()), (Some("42"), Some("https://ci.example/42")));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    // The event itself and what the scan told of the artifact.
    assert_eq!(bench.script.requests().len(), 2);
}

#[tokio::test]
async fn whichever_call_the_process_dies_at_each_event_is_told_once() {
    let (mut calls, mut reached) = (0, true);
    while reached {
        reached = false;
        for after in [false, true] {
            let content = MemoryStorage::new();
            let (setup, _) = telling(content.clone(), two).await;
            setup.trigger(scan("scan")).await;
            setup.trigger(webhook("w")).await;
            let event = event("a");
            setup.engine.publish(event.clone()).await.unwrap();
            let dying = Unreliable::dying(content.clone(), calls, after);
            let (first, ran) = telling(dying.clone(), two).await;
            first.work(MINUTE).await;
            reached |= dying.has_died();
            let (second, ran_again) = telling(content.clone(), two).await;
            second.clock.set(first.clock.now());
            second.work(10 * MINUTE).await;
            let what = format!("dead at call {calls}, after it: {after}");
            let told = told(&content).await;
            assert_eq!(told.len(), 2, "{what}: {told:?}");
            let all = second.deliveries().await;
            assert_eq!(all.len(), 3, "{what}: {all:?}");
            assert!(all.iter().all(|one| one.state == State::Delivered), "{what}: {all:?}");
            let runs = ran.load(Ordering::SeqCst) + ran_again.load(Ordering::SeqCst);
            assert!((1..=2).contains(&runs), "{what}: {runs} runs");
        }
        calls += 1;
    }
    assert!(calls > 3, "{calls} calls");
}

#[tokio::test]
async fn a_storage_that_fails_makes_no_action_run_again_and_uses_up_no_attempt() {
    let storage = Unreliable::default();
    let (bench, runs) = telling(storage.clone(), two).await;
    bench.trigger(scan("scan")).await;
    for n in 0..20 {
        let event = event(&format!("a{n}"));
        while bench.engine.publish(event.clone()).await.is_err() {}
    }
    bench.work(10 * MINUTE).await;
    let mut query = EventQuery::of_scope(Scope::root());
    query.limit = 1_000;
    let events = loop {
        if let Ok(page) = storage.events(query.clone()).await {
            break page.items;
        }
    };
    assert_eq!(events.len(), 60);
    // What is claimed by a call whose answer is lost is claimed again; no other attempt is made
    // twice.
    assert_eq!(runs.load(Ordering::SeqCst), 20);
}

async fn refused(tell: fn(&ActionCall) -> Done) -> String {
    let (bench, _) = telling(MemoryStorage::new(), tell).await;
    bench.trigger(scan("scan")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Dead { reason: DeadReason::Invalid });
    let told = told(&bench.storage).await;
    let kinds: Vec<&str> = told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["delivery.dead"], "none of the others is told");
    bench.log(&delivery).await.remove(0).attempt.error.unwrap()
}

fn large(bytes: usize) -> EventBuilder {
    Event::builder(EventKind::SCAN_COMPLETED).data("x".repeat(bytes).into())
}

#[tokio::test]
async fn what_breaks_a_limit_is_refused_whole_and_says_where() {
    let many = |call: &ActionCall| {
        (0..=Done::MAX_EVENTS)
            .fold(Done::default(), |done, _| done.with_event(call.tell(EventKind::SCAN_COMPLETED)))
    };
    assert_eq!(refused(many).await, "events: expected at most 100, found 101");
    let wrong = |call: &ActionCall| two(call).with_event(call.tell(EventKind::TAG_MOVED));
    let error = refused(wrong).await;
    assert_eq!(error, "events[2]: artifact: expected tags, since the kind is tag.moved");
    let one = |_: &ActionCall| Done::default().with_event(large(MAX_EVENT_BYTES));
    assert!(refused(one).await.starts_with("events[0]: expected at most 1048576 bytes of JSON"));
    let all = |_: &ActionCall| {
        let half = || large(MAX_EVENT_BYTES * 2 / 3);
        Done::default().with_event(half()).with_event(half())
    };
    let error = refused(all).await;
    assert!(error.starts_with("events: expected at most 1048576 bytes of JSON in all"), "{error}");
}

#[tokio::test]
async fn an_action_that_tells_what_it_is_triggered_by_is_cut_as_any_loop() {
    let again = |call: &ActionCall| {
        let artifact = call.event.artifact.clone().unwrap();
        // Whatever it says of where it comes from.
        let told = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact);
        Done::default().with_event(told)
    };
    let (bench, runs) = telling(MemoryStorage::new(), again).await;
    bench.trigger(scan("loop")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let events = bench.storage.events(EventQuery::of_scope(Scope::root())).await.unwrap().items;
    assert_eq!((events.len(), runs.load(Ordering::SeqCst)), (4, 3));
    assert_eq!(events.iter().filter(|one| one.attributes.contains_key(LOOP)).count(), 1);
}

#[tokio::test]
async fn an_event_with_an_id_of_its_own_keeps_it_and_is_one_whoever_tells_it() {
    let fixed = |call: &ActionCall| {
        let id = EventId::derived(call.event.occurred_at, &[b"mine"]);
        Done::default().with_event(call.tell(EventKind::SCAN_COMPLETED).id(id))
    };
    let (bench, _) = telling(MemoryStorage::new(), fixed).await;
    bench.trigger(scan("one")).await;
    bench.trigger(scan("two")).await;
    let event = event("a");
    bench.engine.publish(event.clone()).await.unwrap();
    bench.work(MINUTE).await;
    let told = told(&bench.storage).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].id, EventId::derived(event.occurred_at, &[b"mine"]));
}
