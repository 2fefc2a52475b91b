//! Replays and backfills: at a rate, across restarts, and never twice.

use std::time::Duration;

use artifact_triggers::clock::Clock;
use artifact_triggers::delivery::{DeliveryPolicy, RetrySchedule, State, StateName};
use artifact_triggers::engine::{BackfillPlan, EngineOptions, JobError, ReplayPlan};
use artifact_triggers::entropy::OsEntropy;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::storage::DeliveryQuery;

use artifact_triggers::trigger::filter::Filter;

use crate::bench::*;
use crate::faults::Unreliable;

fn once() -> DeliveryPolicy {
    DeliveryPolicy::default().with_retry(RetrySchedule::never())
}

/// A bench with so many dead letters.
async fn with_dead(count: usize) -> Bench {
    let bench = bench(Script::statuses([400])).await;
    bench.trigger(webhook("t").policy(once())).await;
    let events = (0..count).map(|n| event(&format!("a{n}"))).collect();
    bench.engine.publish_all(events).await.unwrap();
    bench.work(MINUTE).await;
    bench.script.then(Answer::Status(200));
    bench
}

impl Bench {
    async fn count(&self, state: StateName) -> usize {
        let query = DeliveryQuery::of_scope(Scope::root()).with_state(state).with_limit(100_000);
        self.engine.deliveries(query).await.unwrap().len()
    }
}

#[tokio::test]
async fn defect_26_a_replay_takes_all_at_its_rate_and_tells_how_far_it_came() {
    let bench = with_dead(1_500).await;
    let plan = ReplayPlan::of_scope(Scope::root()).with_state(StateName::Dead).with_rate(10);
    let id = bench.engine.start_replay(plan).await.unwrap();
    bench.work(MINUTE).await;
    let delivered = bench.count(StateName::Delivered).await;
    assert!((590..=610).contains(&delivered), "{delivered} in a minute of 10 a second");
    let job = bench.engine.jobs().await.unwrap().remove(0);
    assert_eq!((job.id, job.is_over), (id, false));
    assert!((600..=710).contains(&job.done), "{}", job.done);
    bench.work(2 * MINUTE).await;
    assert_eq!(bench.count(StateName::Delivered).await, 1_500);
    let job = bench.engine.jobs().await.unwrap().remove(0);
    assert_eq!((job.done, job.is_over), (1_500, true));
}

#[tokio::test]
async fn a_replay_goes_on_in_another_engine_after_a_crash() {
    let first = with_dead(300).await;
    let plan = ReplayPlan::of_scope(Scope::root()).with_rate(5);
    first.engine.start_replay(plan).await.unwrap();
    first.work(Duration::from_secs(20)).await;
    let options = EngineOptions::default();
    let second = bench_on(first.storage.clone(), Script::statuses([200]), options).await;
    second.clock.set(first.clock.now());
    second.work(3 * MINUTE).await;
    assert_eq!(second.count(StateName::Delivered).await, 300);
    assert!(second.engine.jobs().await.unwrap()[0].is_over);
}

#[tokio::test]
async fn what_fails_again_while_a_replay_is_under_way_is_not_tried_by_it_again() {
    let bench = with_dead(20).await;
    bench.script.then(Answer::Status(400));
    bench.engine.start_replay(ReplayPlan::of_scope(Scope::root()).with_rate(1)).await.unwrap();
    bench.work(5 * MINUTE).await;
    assert_eq!(bench.script.requests().len(), 40);
    assert_eq!(bench.count(StateName::Dead).await, 20);
}

#[tokio::test]
async fn defect_25_a_second_replay_is_not_swallowed_and_may_ask_for_new_message_ids() {
    let bench = with_dead(1).await;
    let ids = |bench: &Bench| -> Vec<Vec<u8>> {
        let requests = bench.script.requests();
        requests.iter().map(|r| r.headers.only("webhook-id").unwrap().to_vec()).collect()
    };
    bench.script.then(Answer::Status(400));
    for _ in 0..2 {
        bench.engine.start_replay(ReplayPlan::of_scope(Scope::root())).await.unwrap();
        bench.work(MINUTE).await;
    }
    let plan = ReplayPlan::of_scope(Scope::root()).with_new_message_ids();
    bench.engine.start_replay(plan).await.unwrap();
    bench.work(MINUTE).await;
    let ids = ids(&bench);
    assert_eq!(ids.len(), 4);
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
}

#[tokio::test]
async fn a_backfill_sends_past_events_that_the_trigger_wants_once() {
    let bench = bench(Script::statuses([200])).await;
    let past = |n: u32| {
        let artifact = Artifact::new("generic", format!("a{}", n % 2));
        let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact);
        event.build_at(bench.clock.now(), &OsEntropy).unwrap()
    };
    let events = (0..700).map(past).collect();
    bench.engine.publish_all(events).await.unwrap();
    let filter: Filter = r#"{"artifact": {"name": ["a1"]}}"#.parse().unwrap();
    let trigger = bench.trigger(webhook("late").filter(filter)).await;
    bench.engine.publish(past(1)).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.script.requests().len(), 1);
    let plan = BackfillPlan::of_trigger(trigger.id);
    assert_eq!(bench.engine.count_backfill(&plan).await.unwrap(), 351);
    for _ in 0..2 {
        bench.engine.start_backfill(plan.clone()).await.unwrap();
        bench.work(MINUTE).await;
    }
    assert_eq!(bench.script.requests().len(), 351, "the second finds all of them there");
}

#[tokio::test]
async fn a_backfill_of_a_trigger_that_is_not_there_is_refused_and_a_job_can_be_ended() {
    let bench = with_dead(100).await;
    let trigger = bench.engine.triggers(&Scope::root()).remove(0);
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    let refused = bench.engine.start_backfill(BackfillPlan::of_trigger(trigger.id)).await;
    assert!(matches!(refused, Err(JobError::NoTrigger { .. })), "{refused:?}");
    let plan = ReplayPlan::of_scope(Scope::root()).with_rate(1);
    let id = bench.engine.start_replay(plan).await.unwrap();
    bench.work(Duration::from_secs(5)).await;
    assert!(bench.engine.cancel_job(id).await.unwrap());
    assert!(!bench.engine.cancel_job(id).await.unwrap(), "it is over");
    bench.work(MINUTE).await;
    let left = bench.count(StateName::Dead).await;
    assert_eq!(left, 90, "one page of ten seconds was made due");
}

#[tokio::test]
async fn a_storage_that_does_not_answer_for_a_while_lets_a_replay_go_on_later() {
    let storage = Unreliable::sound();
    let options = EngineOptions::default();
    let bench = bench_on(storage.clone(), Script::statuses([400]), options).await;
    bench.trigger(webhook("t").policy(once())).await;
    let events = (0..100).map(|n| event(&format!("a{n}"))).collect();
    bench.engine.publish_all(events).await.unwrap();
    bench.work(MINUTE).await;
    bench.script.then(Answer::Status(200));
    let plan = ReplayPlan::of_scope(Scope::root()).with_rate(2);
    bench.engine.start_replay(plan).await.unwrap();
    bench.work(MINUTE / 4).await;
    storage.stick(true);
    bench.work(5 * MINUTE).await;
    storage.stick(false);
    bench.work(5 * MINUTE).await;
    let all = bench.deliveries().await;
    assert!(all.iter().all(|delivery| delivery.state == State::Delivered), "{all:?}");
    assert!(bench.engine.jobs().await.unwrap()[0].is_over);
}
