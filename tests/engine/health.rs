//! Triggers whose attempts fail without a break: warned of, disabled, parked, and begun anew.

use std::time::Duration;

use artifact_triggers::delivery::{
    DeliveryPolicy, Jitter, RetrySchedule, StateName, WhileSuspended,
};
use artifact_triggers::engine::ReplayPlan;
use artifact_triggers::event::{EventKind, Scope};
use artifact_triggers::storage::EventQuery;
use artifact_triggers::trigger::SuspendReason;

use crate::bench::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// Tried every hour for as long as it takes.
fn stubborn() -> DeliveryPolicy {
    let retry =
        RetrySchedule::Exponential { first: HOUR, factor: 1.0, longest: HOUR, attempts: 100 };
    DeliveryPolicy::default().with_jitter(Jitter::None).with_retry(retry)
}

impl Bench {
    async fn events_of(&self, kind: &EventKind) -> usize {
        let query = EventQuery::of_scope(Scope::root()).with_limit(1_000);
        let events = self.engine.events(query).await.unwrap();
        events.iter().filter(|event| event.kind == *kind).count()
    }

    fn suspended(&self, id: artifact_triggers::id::TriggerId) -> Option<SuspendReason> {
        self.engine.trigger(&Scope::root(), id).unwrap().suspended
    }
}

#[tokio::test]
async fn defect_23_days_of_failure_without_a_break_disable_a_trigger_and_one_dead_letter_does_not()
{
    let bench = bench(Script::statuses([500])).await;
    let never_again = stubborn().with_retry(RetrySchedule::never());
    let one = bench.trigger(webhook("one").policy(never_again)).await;
    let many = bench.trigger(webhook("many").policy(stubborn())).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(2 * DAY).await;
    assert_eq!((bench.suspended(one.id), bench.suspended(many.id)), (None, None));
    assert_eq!(bench.events_of(&EventKind::TRIGGER_FAILING).await, 0);
    bench.work(DAY).await;
    assert_eq!(
        bench.events_of(&EventKind::TRIGGER_FAILING).await,
        1,
        "half of five days have passed"
    );
    // A schedule of a hundred hours is over before five days are; the next event goes on.
    bench.work(DAY + 12 * HOUR).await;
    bench.engine.publish(event("b")).await.unwrap();
    bench.work(DAY).await;
    assert_eq!(bench.suspended(many.id), Some(SuspendReason::Failing));
    assert_eq!(bench.suspended(one.id), None, "it was not tried after the fifth day");
    bench.engine.publish(event("c")).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.suspended(one.id), Some(SuspendReason::Failing));
    assert_eq!(bench.events_of(&EventKind::TRIGGER_DISABLED).await, 2);
}

#[tokio::test]
async fn a_success_in_between_begins_the_span_anew_also_for_a_new_engine() {
    let bench = bench(Script::statuses([500])).await;
    let trigger = bench.trigger(webhook("t").policy(stubborn())).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(3 * DAY).await;
    bench.script.then(Answer::Status(200));
    bench.work(2 * HOUR).await;
    assert_eq!(bench.only().await.state.name(), StateName::Delivered);
    bench.script.then(Answer::Status(500));
    bench.engine.publish(event("b")).await.unwrap();
    bench.work(3 * DAY).await;
    assert_eq!(bench.suspended(trigger.id), None);
    assert_eq!(bench.events_of(&EventKind::TRIGGER_FAILING).await, 2, "each span is warned of");
}

#[tokio::test]
async fn a_span_of_failure_is_remembered_across_a_restart() {
    let options = artifact_triggers::engine::EngineOptions::default().with_refresh(HOUR);
    let first = bench(Script::statuses([500])).await;
    let trigger = first.trigger(webhook("t").policy(stubborn())).await;
    first.engine.publish(event("a")).await.unwrap();
    first.work(3 * DAY).await;
    let second = bench_on(first.storage.clone(), Script::statuses([500]), options).await;
    second.clock.set(artifact_triggers::clock::Clock::now(&first.clock));
    second.work(DAY).await;
    second.engine.publish(event("b")).await.unwrap();
    second.work(DAY + 2 * HOUR).await;
    assert_eq!(second.suspended(trigger.id), Some(SuspendReason::Failing));
}

#[tokio::test]
async fn defect_24_what_comes_while_it_is_disabled_is_parked_and_can_be_replayed() {
    let bench = bench(Script::statuses([500])).await;
    let policy = stubborn().with_disable_after(Some(2 * HOUR));
    let trigger = bench.trigger(webhook("t").policy(policy)).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(3 * HOUR).await;
    assert_eq!(bench.suspended(trigger.id), Some(SuspendReason::Failing));
    bench.engine.publish(event("b")).await.unwrap();
    bench.work(HOUR).await;
    let states: Vec<StateName> = bench.deliveries().await.iter().map(|d| d.state.name()).collect();
    assert_eq!(states, [StateName::Parked, StateName::Parked]);

    bench.script.then(Answer::Status(200));
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    let plan = ReplayPlan::of_scope(Scope::root()).with_trigger(trigger.id);
    bench.engine.start_replay(plan).await.unwrap();
    bench.work(HOUR).await;
    let states: Vec<StateName> = bench.deliveries().await.iter().map(|d| d.state.name()).collect();
    assert_eq!(states, [StateName::Delivered, StateName::Delivered]);

    bench.script.then(Answer::Status(500));
    bench.engine.publish(event("c")).await.unwrap();
    bench.work(HOUR + MINUTE).await;
    assert_eq!(bench.suspended(trigger.id), None, "it begins clean");
}

#[tokio::test]
async fn a_policy_may_have_what_comes_meanwhile_dropped() {
    let bench = bench(Script::statuses([500])).await;
    let policy = stubborn().with_disable_after(Some(2 * HOUR));
    let policy = policy.with_while_suspended(WhileSuspended::Drop);
    let trigger = bench.trigger(webhook("t").policy(policy)).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(3 * HOUR).await;
    assert_eq!(bench.suspended(trigger.id), Some(SuspendReason::Failing));
    bench.engine.publish(event("b")).await.unwrap();
    bench.work(HOUR).await;
    let states: Vec<StateName> = bench.deliveries().await.iter().map(|d| d.state.name()).collect();
    assert_eq!(states, [StateName::Parked, StateName::Cancelled], "what waited before is parked");
}

#[tokio::test]
async fn a_policy_may_say_never() {
    let bench = bench(Script::statuses([500])).await;
    let trigger = bench.trigger(webhook("t").policy(stubborn().with_disable_after(None))).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(4 * DAY).await;
    bench.engine.publish(event("b")).await.unwrap();
    bench.work(4 * DAY).await;
    assert_eq!(bench.suspended(trigger.id), None);
    assert_eq!(bench.events_of(&EventKind::TRIGGER_FAILING).await, 0);
}

#[tokio::test]
async fn a_success_on_another_node_shortly_before_begins_the_span_anew() {
    let first = bench(Script::statuses([500])).await;
    let policy = stubborn().with_retry(RetrySchedule::never()).with_disable_after(Some(2 * HOUR));
    let trigger = first.trigger(webhook("t").policy(policy)).await;
    first.engine.publish(event("a")).await.unwrap();
    first.work(90 * MINUTE).await;
    first.engine.publish(event("b")).await.unwrap();
    first.work(10 * MINUTE).await;

    let options = artifact_triggers::engine::EngineOptions::default();
    let second = bench_on(first.storage.clone(), Script::statuses([200]), options).await;
    second.clock.set(artifact_triggers::clock::Clock::now(&first.clock));
    second.engine.publish(event("c")).await.unwrap();
    second.work(MINUTE).await;
    assert_eq!(second.script.requests().len(), 1);

    first.work(25 * MINUTE).await;
    first.engine.publish(event("d")).await.unwrap();
    first.work(MINUTE).await;
    assert_eq!(first.script.requests().len(), 3);
    assert_eq!(first.suspended(trigger.id), None);
}
