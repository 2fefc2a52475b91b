//! Order: across retries, several runs, a crash, dead letters and replay.

use artifact_triggers::delivery::{
    CancelReason, DeliveryPolicy, Jitter, OnDead, Order, RetrySchedule, State, StateName,
};
use artifact_triggers::engine::ReplayPlan;
use artifact_triggers::event::Scope;
use artifact_triggers::storage::{DeliveryQuery, Storage as _};

use crate::bench::*;

impl Bench {
    /// The names of the artifacts that were told, in the order of the requests.
    fn told(&self) -> Vec<String> {
        let name = |request: &artifact_triggers::request::Request| {
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let artifact = &body["data"]["artifact"];
            format!(
                "{}-{}",
                artifact["name"].as_str().unwrap(),
                artifact["version"].as_str().unwrap()
            )
        };
        self.script.requests().iter().map(name).collect()
    }

    async fn publish_versions(&self, names: &[&str], versions: std::ops::Range<u32>) {
        for version in versions {
            for name in names {
                let mut event = event(name);
                event.artifact.as_mut().unwrap().version = Some(version.to_string());
                self.engine.publish(event).await.unwrap();
            }
        }
    }
}

fn ordered(order: Order, on_dead: OnDead) -> DeliveryPolicy {
    let policy = DeliveryPolicy::default().with_jitter(Jitter::None);
    policy.with_order(order).with_on_dead(on_dead)
}

#[tokio::test]
async fn each_artifact_is_told_of_in_order_whatever_fails_and_however_many_run() {
    let bench = bench(Script::statuses([500, 200, 503, 200, 500, 500, 200])).await;
    bench.trigger(webhook("t").policy(ordered(Order::PerArtifact, OnDead::Skip))).await;
    bench.publish_versions(&["a", "b", "c"], 1..6).await;
    let other = bench.engine.clone();
    let second = tokio::spawn(async move { other.run().await });
    bench.work(DAY).await;
    second.abort();
    let mut told = bench.told();
    for name in ["a", "b", "c"] {
        let mut of_name: Vec<String> =
            told.iter().filter(|told| told.starts_with(name)).cloned().collect();
        of_name.dedup();
        let expected: Vec<String> = (1..6).map(|n| format!("{name}-{n}")).collect();
        assert_eq!(of_name, expected, "{told:?}");
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 15);
}

#[tokio::test]
async fn a_strict_trigger_tells_everything_in_order_also_after_a_crash() {
    let first = bench(Script::new([Answer::Hang])).await;
    first.trigger(webhook("t").policy(ordered(Order::Strict, OnDead::Skip))).await;
    first.publish_versions(&["a", "b"], 1..4).await;
    first.work(MINUTE / 6).await;
    assert_eq!(first.told(), ["a-1"], "one at a time");
    let options = artifact_triggers::engine::EngineOptions::default();
    let second = bench_on(first.storage.clone(), Script::statuses([200]), options).await;
    second.clock.set(artifact_triggers::clock::Clock::now(&first.clock));
    second.work(2 * MINUTE).await;
    assert_eq!(second.told(), ["a-1", "b-1", "a-2", "b-2", "a-3", "b-3"]);
}

#[tokio::test]
async fn a_dead_letter_that_blocks_can_be_discarded_and_the_backlog_tells_what_waits() {
    let bench = bench(Script::statuses([400, 200])).await;
    let policy = ordered(Order::Strict, OnDead::Block).with_retry(RetrySchedule::never());
    bench.trigger(webhook("t").policy(policy)).await;
    bench.publish_versions(&["a"], 1..3).await;
    let backlog = bench.engine.backlog().await.unwrap();
    assert_eq!((backlog.len(), backlog[0].deliveries), (1, 1), "the second is queued");
    bench.work(MINUTE).await;
    let dead = DeliveryQuery::of_scope(Scope::root());
    assert_eq!(bench.engine.discard(dead).await.unwrap().len(), 1);
    bench.work(MINUTE).await;
    assert_eq!(bench.told(), ["a-1", "a-2"]);
    let states: Vec<StateName> = bench.deliveries().await.iter().map(|d| d.state.name()).collect();
    assert!(states.contains(&StateName::Cancelled) && states.contains(&StateName::Delivered));
}

#[tokio::test]
async fn a_dead_letter_blocks_or_is_passed_as_the_policy_says_and_a_replay_keeps_the_order() {
    for on_dead in [OnDead::Block, OnDead::Skip] {
        let bench = bench(Script::statuses([500, 200])).await;
        let policy = ordered(Order::PerArtifact, on_dead).with_retry(RetrySchedule::never());
        bench.trigger(webhook("t").policy(policy)).await;
        bench.publish_versions(&["a"], 1..4).await;
        bench.work(MINUTE).await;
        let blocked = on_dead == OnDead::Block;
        let expected: &[&str] = if blocked { &["a-1"] } else { &["a-1", "a-2", "a-3"] };
        assert_eq!(bench.told(), expected);
        let waiting = bench.deliveries().await;
        let queued = waiting.iter().filter(|d| d.state.name() == StateName::Queued).count();
        assert_eq!(queued, if blocked { 2 } else { 0 });
        bench.engine.start_replay(ReplayPlan::of_scope(Scope::root())).await.unwrap();
        bench.work(MINUTE).await;
        let last = bench.told();
        let expected: &[&str] =
            if blocked { &["a-1", "a-2", "a-3"] } else { &["a-2", "a-3", "a-1"] };
        assert_eq!(&last[1..], expected);
    }
}

#[tokio::test]
async fn what_is_queued_behind_a_dead_letter_of_a_deleted_trigger_ends() {
    let bench = bench(Script::statuses([400])).await;
    let once = DeliveryPolicy::default().with_retry(RetrySchedule::never());
    let policy = once.with_order(Order::Strict).with_on_dead(OnDead::Block);
    let trigger = bench.trigger(webhook("t").policy(policy)).await;
    for name in ["a", "b", "c"] {
        bench.engine.publish(event(name)).await.unwrap();
    }
    bench.work(MINUTE).await;
    assert_eq!(bench.script.requests().len(), 1);
    let failing = vec![format!("failing/{}", trigger.id)];
    assert!(bench.storage.cursors(failing.clone()).await.unwrap()[0].is_some());
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    bench.work(2 * DAY).await;
    // Which of them has which id, events of one moment leave to chance.
    let states: Vec<State> = bench.deliveries().await.into_iter().map(|d| d.state).collect();
    let count = |reason| states.iter().filter(|s| **s == State::Cancelled { reason }).count();
    let counts = [count(CancelReason::Discarded), count(CancelReason::TriggerDeleted)];
    assert_eq!(counts, [1, 2], "{states:?}");
    assert_eq!(bench.script.requests().len(), 1);
    assert_eq!(bench.storage.cursors(failing).await.unwrap(), [None], "it is forgotten");
}

#[tokio::test]
async fn a_dead_letter_of_a_deleted_trigger_that_nobody_waits_for_stays_one() {
    let bench = bench(Script::statuses([400])).await;
    let once = DeliveryPolicy::default().with_retry(RetrySchedule::never());
    let trigger = bench.trigger(webhook("t").policy(once)).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    bench.work(2 * DAY).await;
    assert!(matches!(bench.only().await.state, State::Dead { .. }));
}
