//! The outbox: what is left there is published in order, once, and whatever fails in between.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::ManualClock;
use artifact_triggers::engine::{Engine, EngineOptions, Overload};
use artifact_triggers::event::{EventKind, Scope};
use artifact_triggers::observer::{Observer, Publisher, Transition};
use artifact_triggers::outbox::{MemoryOutbox, Outbox, OutboxDone, OutboxEntry};
use artifact_triggers::storage::{EventQuery, MemoryStorage, Storage, StorageError};
use async_trait::async_trait;

use crate::bench::*;
use crate::faults::Unreliable;

const SECOND: Duration = Duration::from_secs(1);

/// Keeps what it is told of the outbox, and of what comes from there.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Observer for Told {
    fn observe(&self, transition: &Transition<'_>) {
        let told = match transition {
            Transition::Published { event, by: Publisher::Outbox, duplicate, .. } => {
                let name = event.artifact.as_ref().unwrap().name.as_deref().unwrap();
                format!("published {name}{}", if *duplicate { " again" } else { "" })
            }
            Transition::OutboxRefused { position, problems } => {
                format!("refused {position}: {problems}")
            }
            Transition::StorageFailed { call, .. } => format!("failed {}", call.as_str()),
            _ => return,
        };
        self.0.lock().unwrap().push(told);
    }
}

impl Told {
    fn read(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// An outbox of which calls fail, as they come in turn: whether one does, and whether after it was
/// carried out.
#[derive(Debug)]
struct Faulty(MemoryOutbox, Mutex<VecDeque<Option<bool>>>);

impl Faulty {
    async fn through<T>(
        &self,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let lost = Err(StorageError::Unavailable { reason: "on purpose".to_owned() });
        let fault = self.1.lock().unwrap().pop_front().flatten();
        match fault {
            None => call.await,
            Some(false) => lost,
            Some(true) => {
                call.await?;
                lost
            }
        }
    }
}

#[async_trait]
impl Outbox for Faulty {
    async fn take(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxEntry>, StorageError> {
        self.through(self.0.take(limit, lease)).await
    }

    async fn done(&self, done: Vec<OutboxDone>) -> Result<(), StorageError> {
        self.through(self.0.done(done)).await
    }
}

/// A node with an outbox, on a storage and a clock that others may share.
async fn node<S: Storage + Clone>(
    storage: S,
    clock: &ManualClock,
    outbox: impl Outbox,
    options: EngineOptions,
) -> (Bench<S>, Told) {
    let told = Told::default();
    let script = Script::statuses([200]);
    let engine = Engine::builder(storage.clone())
        .deliverer(script.clone())
        .clock(clock.clone())
        .observer(told.clone())
        .outbox(outbox)
        .options(options.with_refresh(DAY))
        .build()
        .await
        .unwrap();
    (Bench { engine, clock: clock.clone(), script, storage }, told)
}

fn at_noon() -> ManualClock {
    ManualClock::at("2026-11-26T12:00:00Z".parse().unwrap())
}

fn leave_all(outbox: &MemoryOutbox, names: &[&str]) {
    for name in names {
        outbox.leave(&event(name));
    }
}

async fn count_events(engine: &Engine) -> usize {
    engine.events(EventQuery::of_scope(Scope::root())).await.unwrap().len()
}

#[tokio::test]
async fn what_is_left_is_published_in_order_and_delivered() {
    let clock = at_noon();
    let outbox = MemoryOutbox::new(clock.clone());
    let options = EngineOptions::default();
    let (bench, told) = node(MemoryStorage::new(), &clock, outbox.clone(), options).await;
    bench.trigger(webhook("t")).await;
    leave_all(&outbox, &["c", "a", "b"]);
    bench.work(SECOND).await;
    assert_eq!(told.read(), ["published c", "published a", "published b"]);
    assert_eq!((outbox.waiting(), bench.script.requests().len()), (0, 3));
    assert_eq!(bench.engine.stats().durable, 3);
}

#[tokio::test]
async fn a_look_comes_with_the_interval_or_with_a_hint() {
    let clock = at_noon();
    let outbox = MemoryOutbox::new(clock.clone());
    let options = EngineOptions::default().with_outbox_interval(MINUTE);
    let (bench, told) = node(MemoryStorage::new(), &clock, outbox.clone(), options).await;
    bench.work(SECOND).await;
    leave_all(&outbox, &["a"]);
    let engine = bench.engine.clone();
    let mut run = std::pin::pin!(engine.run());
    let mut turns = async || {
        for _ in 0..50 {
            let turn = std::pin::pin!(tokio::task::yield_now());
            futures_util::future::select(run.as_mut(), turn).await;
        }
    };
    turns().await;
    assert_eq!(told.read(), ["published a"], "a run looks as it begins");
    leave_all(&outbox, &["b"]);
    turns().await;
    assert_eq!(told.read(), [""; 0]);
    bench.engine.wake_outbox();
    turns().await;
    assert_eq!(told.read(), ["published b"]);
    leave_all(&outbox, &["c"]);
    clock.set(clock.next_wake().unwrap());
    turns().await;
    assert_eq!(told.read(), ["published c"]);
}

#[tokio::test]
async fn what_was_published_and_not_done_is_taken_again_and_told_once() {
    let clock = at_noon();
    let outbox = MemoryOutbox::new(clock.clone());
    // The first take answers, the first two `done` do not, before and after they were carried out.
    let calls = [None, Some(false), None, Some(true)].into();
    let faulty = Faulty(outbox.clone(), Mutex::new(calls));
    let options = EngineOptions::default();
    let (bench, told) = node(MemoryStorage::new(), &clock, faulty, options).await;
    bench.trigger(webhook("t")).await;
    leave_all(&outbox, &["a"]);
    let artifact = r#"{"name":"b"}"#;
    outbox.leave_json(format!(
        r#"{{"kind":"artifact.ingested","occurred_at":"2026-11-25T00:00:00Z","artifact":{artifact}}}"#
    ));
    bench.work(MINUTE).await;
    let failed = "failed outbox_done";
    assert_eq!(
        told.read(),
        ["published a", "published b", failed, "published a again", "published b again", failed]
    );
    assert_eq!((outbox.waiting(), bench.script.requests().len()), (0, 2));
    assert_eq!(count_events(&bench.engine).await, 2);
}

#[tokio::test]
async fn what_cannot_be_published_is_set_aside_and_holds_up_nobody() {
    let clock = at_noon();
    let outbox = MemoryOutbox::new(clock.clone());
    let options = EngineOptions::default().with_max_fan_out(1);
    let (bench, told) = node(MemoryStorage::new(), &clock, outbox.clone(), options).await;
    bench.trigger(webhook("t").on(EventKind::ARTIFACT_INGESTED)).await;
    outbox.leave_json("no JSON");
    leave_all(&outbox, &["good"]);
    bench.work(SECOND).await;
    let told_first = told.read();
    assert_eq!(told_first[0], "published good");
    assert!(told_first[1].starts_with("refused 1: expected JSON"), "{told_first:?}");
    bench.trigger(webhook("another")).await;
    leave_all(&outbox, &["too many want it"]);
    bench.work(SECOND).await;
    let refused = outbox.refused();
    assert_eq!((outbox.waiting(), refused.len()), (0, 2));
    assert!(refused[1].1.contains("at most 1 triggers want"), "{refused:?}");
    assert_eq!(told.read(), [format!("refused 3: {}", refused[1].1)]);
}

#[tokio::test]
async fn a_storage_that_fails_loses_nothing_and_keeps_the_order() {
    let clock = at_noon();
    let outbox = MemoryOutbox::new(clock.clone());
    let options = EngineOptions::default();
    let storage = Unreliable::default();
    let mut built = None;
    for _ in 0..20 {
        let told = Told::default();
        let engine = Engine::builder(storage.clone())
            .deliverer(Script::statuses([200]))
            .clock(clock.clone())
            .observer(told.clone())
            .outbox(outbox.clone())
            .options(options.clone())
            .build();
        if let Ok(engine) = engine.await {
            built = Some((engine, told));
            break;
        }
    }
    let (engine, told) = built.expect("it is in order now and then");
    let names: Vec<String> = (100..160).map(|n| n.to_string()).collect();
    let bench = Bench { engine, clock, script: Script::statuses([200]), storage };
    for name in &names {
        leave_all(&outbox, &[name]);
        bench.work(SECOND).await;
    }
    bench.work(MINUTE).await;
    let told = told.read();
    let failed = told.iter().filter(|line| *line == "failed record").count();
    assert!(failed > 0, "{told:?}");
    let first: Vec<&str> = told
        .iter()
        .filter_map(|line| line.strip_prefix("published "))
        .map(|name| name.trim_end_matches(" again"))
        .collect();
    let mut once = first.clone();
    once.dedup();
    assert_eq!(once, names);
    assert_eq!(outbox.waiting(), 0);
}

#[tokio::test]
async fn of_two_nodes_one_waits_until_the_other_is_done_or_its_lease_is_over() {
    let clock = at_noon();
    let outbox = MemoryOutbox::new(clock.clone());
    let storage = MemoryStorage::new();
    let options = || EngineOptions::default().with_lease(MINUTE);
    let (first, told_first) = node(Unreliable::sound(), &clock, outbox.clone(), options()).await;
    let (second, told_second) = node(storage, &clock, outbox.clone(), options()).await;
    leave_all(&outbox, &["a", "b"]);
    first.storage.stick(true);
    first.work(SECOND).await;
    leave_all(&outbox, &["c"]);
    second.work(SECOND * 50).await;
    assert_eq!(told_second.read(), [""; 0]);
    second.work(SECOND * 20).await;
    assert_eq!(told_second.read(), ["published a", "published b", "published c"]);
    assert_eq!((outbox.waiting(), told_first.read().len()), (0, 0));
}

#[tokio::test]
async fn a_shutdown_ends_the_lease_and_leaves_what_is_not_published() {
    let clock = at_noon();
    let outbox = MemoryOutbox::new(clock.clone());
    let options = EngineOptions::default();
    let storage = Unreliable::sound();
    let (first, _) = node(storage.clone(), &clock, outbox.clone(), options.clone()).await;
    leave_all(&outbox, &["a"]);
    storage.stick(true);
    first.work(MINUTE).await;
    let engine = first.engine.clone();
    let run = engine.run();
    let ends = async {
        turns().await;
        let shutdown = std::pin::pin!(engine.shutdown(SECOND));
        let ticks = std::pin::pin!(async {
            loop {
                tokio::task::yield_now().await;
                clock
                    .set(clock.next_wake().unwrap_or(artifact_triggers::clock::Clock::now(&clock)));
            }
        });
        futures_util::future::select(shutdown, ticks).await;
    };
    futures_util::future::join(run, ends).await;
    storage.stick(false);
    let (second, told) = node(storage, &clock, outbox.clone(), options).await;
    second.work(SECOND).await;
    assert_eq!(told.read(), ["published a"], "it need not wait for the lease");
}

#[tokio::test]
async fn a_drain_takes_nothing_in() {
    let clock = at_noon();
    let outbox = MemoryOutbox::new(clock.clone());
    let options = EngineOptions::default();
    let (bench, told) = node(MemoryStorage::new(), &clock, outbox.clone(), options).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    bench.script.then(Answer::Later(200, gate.clone()));
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("x")).await.unwrap();
    let run = bench.engine.run();
    let drain = async {
        turns().await;
        let drain = bench.engine.drain(MINUTE);
        let meanwhile = async {
            leave_all(&outbox, &["a"]);
            for _ in 0..10 {
                bench.engine.wake_outbox();
                turns().await;
                clock.set(clock.next_wake().unwrap());
            }
            gate.add_permits(1);
            turns().await;
            // If it has not looked yet whether anything is left, it does after a while.
            if let Some(at) = clock.next_wake() {
                clock.set(at);
            }
        };
        futures_util::future::join(drain, meanwhile).await.0.unwrap()
    };
    let (drained, ()) = futures_util::future::join(drain, run).await;
    assert!(drained.is_complete);
    assert_eq!((told.read().len(), outbox.waiting()), (0, 1));
}

/// Lets others go on.
async fn turns() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_too_much_at_once_waits_in_the_outbox() {
    let clock = at_noon();
    let outbox = MemoryOutbox::new(clock.clone());
    let options = EngineOptions::default().with_publishing(2, Overload::Refuse);
    let (bench, told) = node(MemoryStorage::new(), &clock, outbox.clone(), options).await;
    leave_all(&outbox, &["a", "b", "c", "d", "e"]);
    bench.work(SECOND).await;
    let expected = ["a", "b", "c", "d", "e"].map(|name| format!("published {name}"));
    assert_eq!(told.read(), expected);
    assert_eq!(outbox.waiting(), 0);
}
