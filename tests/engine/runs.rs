//! Runs: their limits, their ends, and what they leave behind.

use std::sync::atomic::Ordering;
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{DeadReason, DeliveryPolicy, RetrySchedule, State, StateName};
use artifact_triggers::endpoint::EndpointPolicy;
use artifact_triggers::engine::EngineOptions;
use artifact_triggers::event::Scope;
use artifact_triggers::storage::{EventQuery, MemoryStorage, Retention};

use crate::bench::*;

#[tokio::test]
async fn no_endpoint_gets_more_at_once_than_it_may_whatever_runs() {
    let options = EngineOptions::default()
        .with_endpoint(EndpointPolicy::default().with_concurrency(3))
        .with_concurrency(50);
    let bench = bench_on(MemoryStorage::new(), Script::statuses([200]), options).await;
    bench.trigger(webhook("t")).await;
    let events = (0..100).map(|n| event(&format!("a{n}"))).collect();
    bench.engine.publish_all(events).await.unwrap();
    let other = bench.engine.clone();
    let second = tokio::spawn(async move { other.run().await });
    bench.work(MINUTE).await;
    second.abort();
    assert_eq!(bench.script.requests().len(), 100);
    assert_eq!(bench.script.most_in_flight.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_run_that_is_dropped_loses_nothing_and_its_deliveries_resume_after_the_lease() {
    let bench = bench(Script::new([Answer::Hang])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(Duration::from_secs(1)).await;
    assert_eq!(bench.only().await.state.name(), StateName::Leased);
    bench.script.then(Answer::Status(200));
    bench.work(Duration::from_secs(58)).await;
    assert_eq!(bench.script.requests().len(), 1);
    bench.work(Duration::from_secs(2)).await;
    assert_eq!(bench.only().await.state, State::Delivered);
    assert_eq!(bench.only().await.attempts, 2);
}

#[tokio::test]
async fn a_delivery_whose_attempts_are_all_lost_ends_without_another() {
    let policy = DeliveryPolicy::default().with_retry(RetrySchedule::Pauses(vec![MINUTE]));
    let bench = bench(Script::new([Answer::Hang])).await;
    bench.trigger(webhook("t").policy(policy)).await;
    bench.engine.publish(event("a")).await.unwrap();
    for _ in 0..3 {
        bench.work(Duration::from_secs(1)).await;
        bench.clock.advance(MINUTE);
    }
    assert_eq!(bench.only().await.state, State::Dead { reason: DeadReason::Exhausted });
    assert_eq!(bench.script.requests().len(), 2);
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_in_flight_and_releases_the_rest() {
    let bench = bench(Script::new([Answer::Hang])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    let engine = bench.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    while bench.script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let engine = bench.engine.clone();
    let shutdown = tokio::spawn(async move { engine.shutdown(Duration::from_secs(10)).await });
    while !shutdown.is_finished() {
        tokio::task::yield_now().await;
        if let Some(at) = bench.clock.next_wake() {
            bench.clock.set(at);
        }
    }
    run.await.unwrap();
    let delivery = bench.only().await;
    assert_eq!((delivery.state.name(), delivery.attempts), (StateName::Waiting, 0));
    // The engine still takes events; they wait for another one to deliver them.
    bench.engine.publish(event("b")).await.unwrap();
    assert_eq!(bench.deliveries().await.len(), 2);
}

#[tokio::test]
async fn pruning_takes_what_is_final_and_old_and_nothing_else() {
    let bench = bench(Script::statuses([200, 500])).await;
    bench.trigger(webhook("t")).await;
    let old = event("old");
    bench.engine.publish(old.clone()).await.unwrap();
    bench.work(MINUTE).await;
    bench.engine.publish(event("failing")).await.unwrap();
    bench.clock.set(Timestamp::now() + DAY * 2);
    let pruned = bench.engine.prune(&Retention::for_span(DAY)).await.unwrap();
    assert_eq!((pruned.deliveries, pruned.events), (1, 1));
    assert_eq!(bench.only().await.state.name(), StateName::Waiting);
    let query = EventQuery::of_scope(Scope::root()).with_id(old.id);
    assert_eq!(bench.engine.events(query).await.unwrap(), []);
}

#[tokio::test]
async fn a_time_out_that_was_stored_under_a_longer_lease_is_cut_to_what_the_lease_allows() {
    let first = bench(Script::statuses([200])).await;
    first.trigger(webhook("t")).await;
    first.engine.publish(event("a")).await.unwrap();
    let options = EngineOptions::default().with_lease(Duration::from_secs(4));
    let second = bench_on(first.storage.clone(), Script::statuses([200]), options).await;
    second.work(MINUTE).await;
    assert_eq!(second.script.requests()[0].timeout, Duration::from_secs(2));
    assert_eq!(second.only().await.state, State::Delivered);
}
