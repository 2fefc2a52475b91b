//! What observers are told, in which order, and what they cannot do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::ManualClock;
use artifact_triggers::delivery::{DeliveryPolicy, RetrySchedule, State};
use artifact_triggers::engine::{Engine, EngineOptions};
use artifact_triggers::event::{EventKind, Scope};
use artifact_triggers::observer::{Observer, Transition};
use artifact_triggers::storage::{DeliveryQuery, MemoryStorage, Storage};

use crate::bench::*;
use crate::faults::Unreliable;

/// Writes each transition down as a line, and as `Debug` has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notebook(Arc<Mutex<Vec<(String, String)>>>);

impl Notebook {
    /// The lines written since the last look.
    fn read(&self) -> Vec<String> {
        let noted = std::mem::take(&mut *self.0.lock().unwrap());
        noted.into_iter().map(|(line, _)| line).collect()
    }

    fn debug(&self) -> String {
        self.0.lock().unwrap().iter().map(|(_, debug)| debug.as_str()).collect()
    }
}

impl Observer for Notebook {
    fn observe(&self, transition: &Transition<'_>) {
        let noted = (line(transition), format!("{transition:?}"));
        self.0.lock().unwrap().push(noted);
    }
}

fn line(transition: &Transition<'_>) -> String {
    let name = transition.name();
    match *transition {
        Transition::Accepted { event, by } => format!("{name} {} {}", event.kind, by.as_str()),
        Transition::Published { event, by, duplicate, deliveries, .. } => {
            let kind = &event.kind;
            format!("{name} {kind} {} duplicate={duplicate} {deliveries}", by.as_str())
        }
        Transition::DeliveryMade { delivery } => format!("{name} {:?}", delivery.state.name()),
        Transition::Claimed { delivery } => format!("{name} #{}", delivery.attempts),
        Transition::AttemptBegun { delivery, overdue } => {
            format!("{name} #{} overdue {overdue:?}", delivery.attempts)
        }
        Transition::AttemptEnded { outcome, status, took, since_due, since_published, .. } => {
            let (class, due) = (outcome.class(), since_due.unwrap());
            format!(
                "{name} {class} {status:?} took {took:?} due {due:?} ago, published {since_published:?} ago"
            )
        }
        Transition::Settled { delivery, settlement, since_published } => {
            let (what, after) = (settlement.name(), since_published);
            format!("{name} {what} after {after:?}, {} attempts", delivery.attempts)
        }
        Transition::TriggerChanged { name: trigger, change, .. } => {
            format!("{name} {trigger} {}", change.as_str())
        }
        Transition::StorageFailed { call, .. } => format!("{name} {}", call.as_str()),
        Transition::RunBegun { runs } | Transition::RunEnded { runs } => format!("{name} {runs}"),
        Transition::Replayed { deliveries } => format!("{name} {}", deliveries.len()),
        _ => name.to_owned(),
    }
}

pub(crate) async fn observed<S: Storage + Clone>(
    storage: S,
    script: Script,
    observers: impl IntoIterator<Item = Arc<dyn Observer>>,
) -> Bench<S> {
    let options = EngineOptions::default().with_concurrency(4);
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let mut builder = Engine::builder(storage.clone())
        .deliverer(script.clone())
        .clock(clock.clone())
        .options(options.with_refresh(MINUTE * 60));
    for observer in observers {
        builder = builder.observer(observer);
    }
    Bench { engine: builder.build().await.unwrap(), clock, script, storage }
}

pub(crate) async fn noted(script: Script) -> (Bench, Notebook) {
    let notebook = Notebook::default();
    let observer: Arc<dyn Observer> = Arc::new(notebook.clone());
    (observed(MemoryStorage::new(), script, [observer]).await, notebook)
}

#[tokio::test]
async fn a_delivery_that_fails_and_then_succeeds_is_told_step_by_step() {
    let (bench, notebook) = noted(Script::statuses([503, 200])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    assert_eq!(
        notebook.read(),
        [
            "trigger_changed t created",
            "accepted artifact.ingested caller",
            "published artifact.ingested caller duplicate=false 1",
            "delivery_made Waiting",
        ]
    );
    bench.clock.advance(Duration::from_secs(2));
    bench.work(MINUTE).await;
    assert_eq!(
        notebook.read(),
        [
            "run_begun 1",
            "claimed #1",
            "attempt_begun #1 overdue Some(2s)",
            "attempt_ended throttled Some(503) took 0ns due 2s ago, published 2s ago",
            "settled retry after 2s, 1 attempts",
            "claimed #2",
            "attempt_begun #2 overdue Some(0ns)",
            "attempt_ended accepted Some(200) took 0ns due 0ns ago, published 7s ago",
            "settled delivered after 7s, 2 attempts",
            "run_ended 0",
        ]
    );
}

#[tokio::test]
async fn an_attempt_that_takes_its_time_is_told_how_long() {
    let (bench, notebook) = noted(Script::new([Answer::Hang, Answer::Status(200)])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let told = notebook.read();
    let ended = told.iter().find(|line| line.starts_with("attempt_ended")).unwrap();
    let expected = "attempt_ended transient None took 20.5s due 20.5s ago, published 20.5s ago";
    assert_eq!(ended, expected);
}

#[tokio::test]
async fn a_dead_letter_is_told_with_the_events_that_follow_from_it() {
    let (bench, notebook) = noted(Script::statuses([410])).await;
    bench.trigger(webhook("t").on(EventKind::DELIVERY_DEAD)).await;
    bench.engine.publish(event("a")).await.unwrap();
    notebook.read();
    bench.work(MINUTE).await;
    assert_eq!(
        notebook.read(),
        [
            "run_begun 1",
            "claimed #1",
            "attempt_begun #1 overdue Some(0ns)",
            "attempt_ended gone Some(410) took 0ns due 0ns ago, published 0ns ago",
            "settled dead after 0ns, 1 attempts",
            "published delivery.dead engine duplicate=false 1",
            "delivery_made Waiting",
            "published trigger.disabled engine duplicate=false 0",
            "trigger_changed t suspended",
            "claimed #1",
            "settled parked after 0ns, 0 attempts",
            "run_ended 0",
        ]
    );
}

#[tokio::test]
async fn a_delivery_that_is_parked_and_replayed_is_told_to_be() {
    let (bench, notebook) = noted(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.engine.disable_trigger(trigger.id).await.unwrap();
    notebook.read();
    bench.work(MINUTE).await;
    let expected = ["run_begun 1", "claimed #1", "settled parked after 0ns, 0 attempts"];
    assert_eq!(notebook.read(), [expected.as_slice(), &["run_ended 0"]].concat());

    bench.engine.enable_trigger(trigger.id).await.unwrap();
    bench.engine.replay(DeliveryQuery::of_scope(Scope::root())).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(
        notebook.read(),
        [
            "trigger_changed t enabled",
            "replayed 1",
            "run_begun 1",
            "claimed #1",
            "attempt_begun #1 overdue Some(0ns)",
            "attempt_ended accepted Some(200) took 0ns due 0ns ago, published 60s ago",
            "settled delivered after 60s, 1 attempts",
            "run_ended 0",
        ]
    );
}

#[tokio::test]
async fn what_is_done_to_a_trigger_is_told_by_what_it_comes_to() {
    let (bench, notebook) = noted(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t")).await;
    let trigger = bench.engine.disable_trigger(trigger.id).await.unwrap();
    let other = webhook("u").disabled().build().unwrap();
    bench.engine.update_trigger(trigger.id, trigger.revision, other).await.unwrap();
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    assert_eq!(
        notebook.read(),
        [
            "trigger_changed t created",
            "trigger_changed t disabled",
            "trigger_changed u changed",
            "trigger_changed u enabled",
            "trigger_changed u deleted",
        ]
    );
    assert!(bench.engine.delete_trigger(trigger.id).await.is_err());
    assert_eq!(notebook.read(), [""; 0]);
}

#[tokio::test]
async fn an_event_told_twice_or_refused_is_told_to_be() {
    let (bench, notebook) = noted(Script::statuses([200])).await;
    bench.trigger(webhook("t")).await;
    let known = event("a");
    bench.engine.publish(known.clone()).await.unwrap();
    notebook.read();
    bench.engine.publish(known.clone()).await.unwrap();
    let mut broken = event("b");
    broken.artifact = None;
    bench.engine.publish(broken).await.unwrap_err();
    assert_eq!(
        notebook.read(),
        [
            "accepted artifact.ingested caller",
            "published artifact.ingested caller duplicate=true 0",
            "event_refused",
        ]
    );
}

#[tokio::test]
async fn a_storage_that_fails_is_told_by_its_calls() {
    let notebook = Notebook::default();
    let observer: Arc<dyn Observer> = Arc::new(notebook.clone());
    let bench = observed(Unreliable::default(), Script::statuses([200]), [observer]).await;
    bench.trigger(webhook("t")).await;
    for n in 0..10 {
        while bench.engine.publish(event(&format!("a{n}"))).await.is_err() {}
    }
    bench.work(MINUTE * 60).await;
    let told = notebook.read();
    let count = |line: &str| told.iter().filter(|told| told.starts_with(line)).count();
    let (claims, settlements) = (count("storage_failed claim"), count("storage_failed settle"));
    assert!(count("storage_failed record") > 0 && claims > 0 && settlements > 0, "{told:?}");
    // What is read of triggers' health before a settlement may fail too.
    assert!(count("backed_off") >= claims + settlements, "{told:?}");
    // Each is written down once; what had been written when its answer was lost is told as lost.
    assert_eq!(count("settled") + count("lease_lost"), count("attempt_ended"));
    assert_eq!(bench.engine.stats().storage_failures, count("storage_failed") as u64);
}

#[derive(Debug)]
struct Panics;

impl Observer for Panics {
    fn observe(&self, transition: &Transition<'_>) {
        panic!("an observer that panics, on purpose, at {}", transition.name());
    }
}

#[tokio::test]
async fn an_observer_that_panics_harms_neither_the_engine_nor_other_observers() {
    let notebook = Notebook::default();
    let observers: [Arc<dyn Observer>; 2] = [Arc::new(Panics), Arc::new(notebook.clone())];
    let bench = observed(MemoryStorage::new(), Script::statuses([500, 200]), observers).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.only().await.state, State::Delivered);
    let told = notebook.read();
    assert_eq!((told.len(), told.last().unwrap().as_str()), (14, "run_ended 0"), "{told:?}");
}

#[tokio::test]
async fn stats_count_each_stage_and_what_is_under_way() {
    let (bench, notebook) = noted(Script::new([Answer::Hang])).await;
    let never = DeliveryPolicy::default().with_retry(RetrySchedule::never());
    bench.trigger(webhook("t")).await;
    bench.trigger(webhook("u").policy(never)).await;
    let known = event("a");
    bench.engine.publish_all(vec![known.clone(), event("b"), known]).await.unwrap();
    let engine = bench.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    while bench.script.requests().len() < 4 {
        tokio::task::yield_now().await;
    }
    let stats = bench.engine.stats();
    assert_eq!((stats.accepted, stats.durable, stats.duplicates, stats.matched), (3, 2, 1, 4));
    assert_eq!((stats.sent, stats.in_flight, stats.runs), (4, 4, 1));
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    let stats = bench.engine.stats();
    assert_eq!((stats.sent, stats.in_flight, stats.runs), (4, 0, 0));
    let told = notebook.read();
    assert_eq!(told.iter().filter(|line| *line == "attempt_abandoned").count(), 4);

    bench.script.then(Answer::Status(500));
    bench.work(MINUTE * 2).await;
    bench.script.then(Answer::Status(200));
    bench.work(DAY).await;
    let stats = bench.engine.stats();
    assert_eq!((stats.delivered, stats.acknowledged, stats.dead), (2, 2, 2));
    assert_eq!((stats.in_flight, stats.leases_lost, stats.storage_failures), (0, 0, 0));
    assert_eq!(stats.sent - stats.acknowledged, 4 + stats.retried);
}

#[tokio::test]
async fn stats_count_where_nobody_observes() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t")).await;
    let known = event("a");
    bench.engine.publish_all(vec![known.clone(), event("b"), known]).await.unwrap();
    bench.work(MINUTE).await;
    let stats = bench.engine.stats();
    assert_eq!((stats.accepted, stats.durable, stats.duplicates, stats.matched), (3, 2, 1, 2));
    assert_eq!((stats.sent, stats.acknowledged, stats.delivered), (2, 2, 2));
}

#[tokio::test]
async fn no_secret_header_path_or_query_is_told() {
    let (bench, notebook) = noted(Script::statuses([500, 410])).await;
    canaries(&bench).await;
    let told = notebook.debug();
    assert!(told.contains("https://hooks.example"), "the origin is told");
    assert!(told.contains("AttemptEnded") && told.contains("Suspended"), "{told}");
    assert_no_canary(&told);
}

/// A delivery by a trigger that is full of secrets, through failure, death and change.
pub(crate) async fn canaries(bench: &Bench) {
    let url = "https://hooks.example/canary-path?key=canary-query";
    let trigger =
        webhook("t").webhook(url, SECRET.parse().unwrap()).header("x-token", "canary-header");
    let trigger = bench.trigger(trigger).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    let sent = bench.script.requests();
    assert!(format!("{:?}", sent[0].url).contains("canary-path"), "the canaries were there");
}

pub(crate) fn assert_no_canary(told: &str) {
    for canary in ["canary", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec"] {
        assert!(!told.contains(canary), "{canary} is told in {told}");
    }
}
