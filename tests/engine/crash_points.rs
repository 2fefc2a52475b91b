//! A scenario whose process dies before and after each call of the storage that it makes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use artifact_triggers::clock::Clock;
use artifact_triggers::delivery::{DeliveryPolicy, Jitter, Order, RetrySchedule, State};
use artifact_triggers::engine::{EngineOptions, ReplayPlan};
use artifact_triggers::event::{Event, Scope};
use artifact_triggers::id::EventId;
use artifact_triggers::storage::{DeliveryQuery, MemoryStorage, Storage};

use crate::bench::*;
use crate::faults::Unreliable;

const EVENTS: usize = 4;

/// Publishes, lets attempts fail, die and be replayed, until all is delivered or the process dies.
/// Gives the events that were acknowledged.
async fn scenario(bench: &Bench<Unreliable>, events: &[Event]) -> BTreeSet<EventId> {
    let mut acknowledged = BTreeSet::new();
    for event in events {
        let published = std::pin::pin!(bench.engine.publish(event.clone()));
        if let Some(Ok(published)) = until_dead(bench, published).await {
            acknowledged.insert(published.id);
        }
    }
    bench.work(MINUTE).await;
    let plan = ReplayPlan::of_scope(Scope::root());
    until_dead(bench, std::pin::pin!(bench.engine.start_replay(plan))).await;
    bench.work(MINUTE).await;
    acknowledged
}

/// Waits for something to end, or for the process to die.
async fn until_dead<F: Future + Unpin>(
    bench: &Bench<Unreliable>,
    mut work: F,
) -> Option<F::Output> {
    for _ in 0..100 {
        let turn = std::pin::pin!(tokio::task::yield_now());
        match futures_util::future::select(work, turn).await {
            futures_util::future::Either::Left((output, _)) => return Some(output),
            futures_util::future::Either::Right(((), rest)) => work = rest,
        }
        if bench.storage.has_died() {
            return None;
        }
    }
    None
}

/// What receivers got: by message id, the bodies.
fn received(script: &Script, into: &mut BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>) {
    for request in script.requests() {
        let id = request.headers.only("webhook-id").unwrap().to_vec();
        into.entry(id).or_default().insert(request.body.to_vec());
    }
}

#[tokio::test]
async fn whichever_call_the_process_dies_at_nothing_acknowledged_is_lost() {
    let events: Vec<Event> = (0..EVENTS).map(|n| event(&format!("a{}", n % 2))).collect();
    let mut calls = 0;
    loop {
        let mut reached = false;
        for after in [false, true] {
            reached |= dies_at(calls, after, &events).await;
        }
        if !reached {
            break;
        }
        calls += 1;
    }
    assert!(calls > 20, "the scenario makes {calls} calls");
}

/// Plays the scenario with a process that dies at a call, and what follows in another one. Tells
/// whether the call was reached.
async fn dies_at(call: u32, after: bool, events: &[Event]) -> bool {
    let content = MemoryStorage::new();
    let options = || EngineOptions::default().with_refresh(DAY);
    let answers = || Script::statuses([500, 200, 500, 500, 500, 200]);
    let setup = bench_on(content.clone(), answers(), options()).await;
    let policy = DeliveryPolicy::default()
        .with_jitter(Jitter::None)
        .with_retry(RetrySchedule::Pauses(vec![Duration::from_secs(5)]))
        .with_order(Order::PerArtifact);
    setup.trigger(webhook("t").policy(policy)).await;

    let dying = Unreliable::dying(content.clone(), call, after);
    let first = bench_on(dying.clone(), answers(), options()).await;
    let acknowledged = scenario(&first, events).await;
    let reached = dying.has_died();

    let second = bench_on(content.clone(), Script::statuses([200]), options()).await;
    second.clock.set(first.clock.now());
    for event in events.iter().filter(|event| !acknowledged.contains(&event.id)) {
        second.engine.publish(event.clone()).await.unwrap();
    }
    second.work(10 * MINUTE).await;
    second.engine.start_replay(ReplayPlan::of_scope(Scope::root())).await.unwrap();
    second.work(10 * MINUTE).await;

    let what = format!("dead at call {call}, {}", if after { "after it" } else { "before it" });
    let deliveries =
        content.deliveries(DeliveryQuery::of_scope(Scope::root())).await.unwrap().items;
    assert_eq!(deliveries.len(), EVENTS, "{what}");
    let ended = deliveries.iter().all(|delivery| delivery.state == State::Delivered);
    assert!(ended, "{what}: {deliveries:?}");
    let mut bodies = BTreeMap::new();
    received(&first.script, &mut bodies);
    received(&second.script, &mut bodies);
    assert_eq!(bodies.len(), EVENTS, "{what}: each has one message id");
    assert!(bodies.values().all(|bodies| bodies.len() == 1), "{what}: and one body");
    reached
}
