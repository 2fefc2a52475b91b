//! Pauses that outlast the process and count for every node; and how much may wait meanwhile.

use std::time::Duration;

use artifact_triggers::clock::Clock as _;
use artifact_triggers::delivery::{EndpointKey, StateName};
use artifact_triggers::engine::{Engine, EngineOptions, PauseError, Paused};
use artifact_triggers::event::Scope;
use artifact_triggers::storage::{CursorMove, DeliveryQuery, MemoryStorage, Record, Storage as _};

use crate::bench::*;

const SECOND: Duration = Duration::from_secs(1);

fn hooks() -> EndpointKey {
    EndpointKey::new("https://hooks.example")
}

/// Another engine on the storage of a first one, at its time.
async fn beside(first: &Bench) -> Bench {
    let options = EngineOptions::default();
    let second = bench_on(first.storage.clone(), Script::statuses([200]), options).await;
    second.clock.set(first.clock.now());
    second
}

async fn set_cursor(storage: &MemoryStorage, value: &str) {
    let key = "paused".to_owned();
    let expected = storage.cursors(vec![key.clone()]).await.unwrap().remove(0);
    let moved = CursorMove::Set { key, expected, value: Some(value.to_owned()) };
    storage.record(vec![Record::of_cursors(vec![moved])]).await.unwrap();
}

#[tokio::test]
async fn what_is_paused_stays_so_after_a_restart() {
    let first = bench(Script::statuses([200])).await;
    first.trigger(webhook("t")).await;
    first.engine.pause(hooks()).await.unwrap();
    first.engine.publish(event("a")).await.unwrap();
    let second = beside(&first).await;
    assert_eq!(second.engine.paused().endpoints, [hooks()].into());
    second.work(MINUTE).await;
    assert_eq!(second.script.requests().len(), 0);
    second.engine.resume(&hooks()).await.unwrap();
    second.work(MINUTE).await;
    assert_eq!(second.script.requests().len(), 1);
    let cursors = second.storage.cursors(vec!["paused".to_owned()]).await.unwrap();
    assert_eq!(cursors, [None], "nothing is kept of what is not paused");
}

#[tokio::test]
async fn other_nodes_follow_a_pause_and_a_resume_within_their_refresh() {
    let first = bench(Script::statuses([200])).await;
    first.trigger(webhook("t")).await;
    let second = beside(&first).await;
    first.engine.pause_all().await.unwrap();
    second.work(6 * SECOND).await;
    assert!(second.engine.paused().all);
    second.engine.publish(event("a")).await.unwrap();
    second.work(MINUTE).await;
    assert_eq!(second.script.requests().len(), 0);
    first.engine.resume_all().await.unwrap();
    second.work(6 * SECOND).await;
    assert_eq!(second.script.requests().len(), 1);
}

#[tokio::test]
async fn pauses_of_two_nodes_add_up() {
    let first = bench(Script::statuses([200])).await;
    let second = beside(&first).await;
    let other = EndpointKey::new("https://other.example");
    first.engine.pause(hooks()).await.unwrap();
    second.engine.pause(other.clone()).await.unwrap();
    assert_eq!(second.engine.paused().endpoints, [hooks(), other].into());
}

#[tokio::test]
async fn only_so_many_endpoints_are_paused_one_by_one() {
    let bench = bench(Script::statuses([200])).await;
    let all: Vec<String> = (0..1_000).map(|n| format!("https://h{n}.example")).collect();
    let value = serde_json::json!({"endpoints": all}).to_string();
    set_cursor(&bench.storage, &value).await;
    let refused = bench.engine.pause(hooks()).await;
    assert!(matches!(refused, Err(PauseError::TooMany)), "{refused:?}");
    bench.engine.resume(&EndpointKey::new(&all[0])).await.unwrap();
    bench.engine.pause(hooks()).await.unwrap();
    assert_eq!(bench.engine.paused().endpoints.len(), 1_000);
}

#[tokio::test]
async fn what_is_paused_and_cannot_be_read_pauses_everything_until_it_is_resumed() {
    let first = bench(Script::statuses([200])).await;
    set_cursor(&first.storage, "neither here nor there").await;
    let second: Engine = beside(&first).await.engine;
    assert!(second.paused().all);
    second.resume_all().await.unwrap();
    assert_eq!(second.paused(), Paused::default());
}

#[tokio::test]
async fn what_is_published_beyond_the_backlog_of_an_endpoint_is_parked_and_can_be_replayed() {
    let options = EngineOptions::default().with_max_backlog(3);
    let bench = bench_on(MemoryStorage::new(), Script::statuses([200]), options).await;
    bench.trigger(webhook("full")).await;
    bench.engine.pause(hooks()).await.unwrap();
    let publish = |name: &'static str| bench.engine.publish(event(name));
    for name in ["a", "b", "c"] {
        publish(name).await.unwrap();
    }
    bench.work(6 * SECOND).await;
    let other = webhook("other").webhook("https://other.example/x", SECRET.parse().unwrap());
    bench.trigger(other).await;
    publish("d").await.unwrap();
    bench.work(6 * SECOND).await;
    let count = async |state| {
        let query = DeliveryQuery::of_scope(Scope::root()).with_state(state);
        bench.engine.deliveries(query).await.unwrap().len()
    };
    assert_eq!(count(StateName::Parked).await, 1);
    assert_eq!(count(StateName::Delivered).await, 1, "the other endpoint's");
    bench.engine.resume(&hooks()).await.unwrap();
    bench.work(6 * SECOND).await;
    publish("e").await.unwrap();
    bench.work(6 * SECOND).await;
    assert_eq!((count(StateName::Parked).await, count(StateName::Delivered).await), (1, 6));
    bench.engine.replay(DeliveryQuery::of_scope(Scope::root())).await.unwrap();
    bench.work(6 * SECOND).await;
    assert_eq!(count(StateName::Delivered).await, 7);
}
