//! Replays and backfills: at a rate, across restarts, and never twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::{Clock, Timestamp};
use artifact_triggers::delivery::{DeliveryPolicy, RetrySchedule, State, StateName};
use artifact_triggers::engine::{BackfillPlan, EngineOptions, JobError, ReplayPlan};
use artifact_triggers::entropy::OsEntropy;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::id::JobId;
use artifact_triggers::storage::{
    CursorMove, DeliveryQuery, Record, Storage as _, StorageError, TriggerWrite,
};
use artifact_triggers::trigger::Trigger;
use artifact_triggers::trigger::filter::Filter;
use futures_util::future::join_all;

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
    assert_eq!(bench.engine.count_replay(&plan).await.unwrap(), 1_500);
    let parked = plan.clone().with_state(StateName::Parked);
    assert_eq!(bench.engine.count_replay(&parked).await.unwrap(), 0);
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

/// An event of a time, about one of two artifacts.
fn past(now: Timestamp, n: u32) -> Event {
    let artifact = Artifact::new("generic", format!("a{}", n % 2));
    let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact);
    event.build_at(now, &OsEntropy).unwrap()
}

#[tokio::test]
async fn a_backfill_sends_past_events_that_the_trigger_wants_once() {
    let bench = bench(Script::statuses([200])).await;
    let past = |n: u32| past(bench.clock.now(), n);
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

impl Bench {
    async fn cursor(&self) -> Option<String> {
        self.storage.cursors(vec!["jobs".to_owned()]).await.unwrap().remove(0)
    }

    async fn set_cursor(&self, value: String) {
        let (key, expected) = ("jobs".to_owned(), self.cursor().await);
        let moved = CursorMove::Set { key, expected, value: Some(value) };
        self.storage.record(vec![Record::of_cursors(vec![moved])]).await.unwrap();
    }
}

#[tokio::test]
async fn a_page_that_is_done_again_replays_nothing_that_failed_again_meanwhile() {
    let bench = with_dead(20).await;
    bench.script.then(Answer::Status(400));
    bench.engine.start_replay(ReplayPlan::of_scope(Scope::root())).await.unwrap();
    let before = bench.cursor().await.unwrap();
    bench.clock.advance(Duration::from_secs(1));
    bench.work(MINUTE).await;
    assert_eq!(bench.script.requests().len(), 40);
    // The page took effect, and how far it came was not written down.
    bench.set_cursor(before).await;
    bench.work(2 * DAY).await;
    assert!(bench.engine.jobs().await.unwrap()[0].is_over);
    assert_eq!(bench.script.requests().len(), 40);
}

#[tokio::test]
async fn a_backfill_whose_trigger_is_deleted_ends_and_says_so() {
    let bench = bench(Script::statuses([200])).await;
    let events = (0..30).map(|n| past(bench.clock.now(), n)).collect();
    bench.engine.publish_all(events).await.unwrap();
    let trigger = bench.trigger(webhook("late")).await;
    let plan = BackfillPlan::of_trigger(trigger.id).with_rate(1);
    bench.engine.start_backfill(plan).await.unwrap();
    bench.work(Duration::from_secs(5)).await;
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    bench.work(MINUTE).await;
    let job = bench.engine.jobs().await.unwrap().remove(0);
    assert_eq!((job.is_over, job.done), (true, 10));
    assert_eq!(job.problem, Some(format!("trigger {} does not exist", trigger.id)));
}

#[tokio::test]
async fn a_backfill_whose_trigger_cannot_be_read_waits_until_it_can() {
    let storage = Unreliable::sound();
    let options = EngineOptions::default();
    let bench = bench_on(storage.clone(), Script::statuses([200]), options).await;
    let events = (0..30).map(|n| past(bench.clock.now(), n)).collect();
    bench.engine.publish_all(events).await.unwrap();
    let trigger = bench.trigger(webhook("late")).await;
    let plan = BackfillPlan::of_trigger(trigger.id).with_rate(1);
    bench.engine.start_backfill(plan).await.unwrap();
    bench.work(Duration::from_secs(5)).await;
    let write_anew = |trigger: Arc<Trigger>| {
        let changed = Arc::new(trigger.changed(trigger.spec.clone(), None, bench.clock.now()));
        let write = TriggerWrite::Update(changed.clone());
        let storage = &storage;
        async move { storage.write_trigger(write).await.map(|()| changed).unwrap() }
    };
    storage.damage(Some("late".to_owned()));
    let changed = write_anew(trigger).await;
    bench.work(MINUTE).await;
    let job = bench.engine.jobs().await.unwrap().remove(0);
    assert!(!job.is_over && job.problem.is_some_and(|it| it.contains("on purpose")));
    storage.damage(None);
    write_anew(changed).await;
    bench.work(MINUTE).await;
    let job = bench.engine.jobs().await.unwrap().remove(0);
    assert_eq!((job.is_over, job.done, job.problem), (true, 30, None));
}

#[tokio::test]
async fn a_job_that_cannot_be_read_is_kept_told_and_can_be_forgotten() {
    let bench = with_dead(1).await;
    let id = JobId::from_bytes([7; 16]);
    let newer = serde_json::json!({"id": id.to_string(), "plan": {"dance": {}}});
    bench.set_cursor(serde_json::json!([newer]).to_string()).await;
    bench.engine.start_replay(ReplayPlan::of_scope(Scope::root())).await.unwrap();
    let failures = bench.engine.stats().storage_failures;
    bench.work(MINUTE).await;
    assert!(bench.engine.stats().storage_failures > failures);
    assert!(bench.engine.jobs().await.unwrap()[0].is_over);
    assert_eq!(bench.engine.unreadable_jobs().await.unwrap(), [newer]);
    assert!(bench.engine.cancel_job(id).await.unwrap());
    assert!(bench.engine.unreadable_jobs().await.unwrap().is_empty());

    bench.set_cursor("[".to_owned()).await;
    let refused = bench.engine.start_replay(ReplayPlan::of_scope(Scope::root())).await;
    assert!(matches!(refused, Err(JobError::Storage(StorageError::Corrupt { .. }))));
    assert_eq!(bench.cursor().await.unwrap(), "[");
}

#[tokio::test]
async fn a_plan_that_can_do_nothing_is_refused() {
    let bench = with_dead(1).await;
    let trigger = bench.engine.triggers(&Scope::root()).remove(0).id;
    let all = || ReplayPlan::of_scope(Scope::root());
    let none = bench.engine.start_backfill(BackfillPlan::of_trigger(trigger).with_rate(0)).await;
    let wrong = bench.engine.start_replay(all().with_rate(0).with_state(StateName::Waiting)).await;
    assert_eq!(none.unwrap_err().to_string(), "the plan: per_second: expected 1 or more, found 0");
    let wrong = wrong.unwrap_err().to_string();
    assert!(wrong.contains("state: expected dead or parked, found \"waiting\""), "{wrong}");
    assert!(bench.engine.jobs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_long_job_keeps_no_run_from_finding_what_other_nodes_stored() {
    let options = EngineOptions::default().with_refresh(Duration::from_secs(1));
    let storage = Unreliable::sound();
    let bench = bench_on(storage.clone(), Script::statuses([200]), options.clone()).await;
    // Past all events, which carry the true time.
    bench.clock.set(Timestamp::now() + MINUTE);
    let rare = Trigger::builder("rare").on(EventKind::ARTIFACT_DELETED);
    let rare = rare.webhook("https://hooks.example/x", SECRET.parse().unwrap());
    let rare = bench.trigger(rare).await;
    for _ in 0..30 {
        bench.engine.publish_all((0..100).map(|_| event("a")).collect()).await.unwrap();
    }
    bench.trigger(webhook("t")).await;
    bench.work(MINUTE).await;
    let node = bench_on(storage.clone(), Script::statuses([200]), options).await;
    node.clock.set(bench.clock.now());
    let plan = BackfillPlan::of_trigger(rare.id).with_rate(1);
    bench.engine.start_backfill(plan).await.unwrap();
    storage.slow_down(bench.clock.clone());
    let engine = bench.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    let begun = bench.clock.now();
    for _ in 0..20_000 {
        tokio::task::yield_now().await;
        if bench.clock.now().since(begun) >= Duration::from_secs(2) {
            break;
        }
    }
    node.engine.publish(event("b")).await.unwrap();
    let published = bench.clock.now();
    for _ in 0..20_000 {
        tokio::task::yield_now().await;
        if !bench.script.requests().is_empty() {
            break;
        }
    }
    let took = bench.clock.now().since(published);
    run.abort();
    assert!(bench.script.requests().len() == 1 && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn many_jobs_that_are_begun_at_once_and_worked_at_are_all_begun() {
    let options = EngineOptions::default();
    let bench = bench_on(Unreliable::sound(), Script::statuses([200]), options).await;
    let plan = ReplayPlan::of_scope(Scope::root());
    let start = join_all((0..60).map(|_| bench.engine.start_replay(plan.clone())));
    let (ids, ()) = tokio::join!(start, bench.work(MINUTE));
    let ids: BTreeSet<JobId> = ids.into_iter().map(Result::unwrap).collect();
    bench.work(MINUTE).await;
    let jobs = bench.engine.jobs().await.unwrap();
    assert!(jobs.iter().all(|job| job.is_over), "{jobs:?}");
    assert_eq!(jobs.iter().map(|job| job.id).collect::<BTreeSet<_>>(), ids);
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
