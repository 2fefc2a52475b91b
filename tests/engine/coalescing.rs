//! Triggers that coalesce: the newest only, quiet, at most every, indexes with their children, and
//! versions that are everywhere.

use std::time::Duration;

use artifact_triggers::clock::{Clock as _, Timestamp};
use artifact_triggers::delivery::{
    CancelReason, Coalesce, DeadReason, DeliveryPolicy, Jitter, Order, Per, Places, RetrySchedule,
    State, StateName,
};
use artifact_triggers::engine::{Engine, EngineOptions};
use artifact_triggers::event::{Artifact, Event, EventKind, OciFacts, OciRole, Scope};
use artifact_triggers::storage::{DeliveryQuery, MemoryStorage, Storage as _};
use serde_json::Value;

use crate::bench::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const SUPERSEDED: State = State::Cancelled { reason: CancelReason::Superseded };

fn policy(coalesce: Coalesce) -> DeliveryPolicy {
    DeliveryPolicy::default().with_jitter(Jitter::None).with_coalesce(coalesce)
}

/// An event of an artifact, told apart by its version.
fn version(name: &str, version: &str) -> Event {
    let artifact = Artifact::new("generic", name).with_version(version);
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap()
}

impl Bench {
    /// The versions that were sent, in the order in which they were.
    fn sent(&self) -> Vec<String> {
        let version = |body: &[u8]| {
            let event: Value = serde_json::from_slice(body).unwrap();
            let artifact = &event["data"]["artifact"];
            let found =
                [&artifact["version"], &artifact["digest"]].into_iter().find_map(Value::as_str);
            found.unwrap_or("none").to_owned()
        };
        self.script.requests().iter().map(|request| version(&request.body)).collect()
    }

    async fn publish_version(&self, name: &str, text: &str) {
        self.engine.publish(version(name, text)).await.unwrap();
    }

    async fn stand(&self) -> Vec<State> {
        let mut deliveries = self.deliveries().await;
        deliveries.sort_by_key(|delivery| (delivery.created_at, delivery.id));
        deliveries.into_iter().map(|delivery| delivery.state).collect()
    }
}

#[tokio::test]
async fn a_burst_goes_once_with_its_last_once_nothing_has_come_for_a_while() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t").policy(policy(Coalesce::quiet(30 * SECOND)))).await;
    for n in 1..=5 {
        bench.publish_version("app", &n.to_string()).await;
        bench.publish_version("other", &format!("other {n}")).await;
        bench.work(10 * SECOND).await;
    }
    assert_eq!(bench.sent(), [""; 0]);
    bench.work(MINUTE).await;
    let mut sent = bench.sent();
    sent.sort();
    assert_eq!(sent, ["5", "other 5"]);
    let states = bench.stand().await;
    assert_eq!(states.iter().filter(|state| **state == SUPERSEDED).count(), 8);
    bench.publish_version("app", "6").await;
    bench.work(MINUTE).await;
    assert_eq!(bench.sent().last().unwrap(), "6");
}

#[tokio::test]
async fn what_keeps_coming_goes_after_the_longest_wait() {
    let bench = bench(Script::statuses([200])).await;
    let quiet = Coalesce::quiet(30 * SECOND).with_max_wait(MINUTE).with_per(Per::Trigger);
    bench.trigger(webhook("t").policy(policy(quiet))).await;
    for n in 0..20 {
        bench.publish_version(&format!("app {n}"), &n.to_string()).await;
        bench.work(10 * SECOND).await;
    }
    bench.work(MINUTE).await;
    assert_eq!(bench.sent(), ["5", "11", "17", "19"], "what came last of each minute");
}

#[tokio::test]
async fn the_first_goes_at_once_and_then_one_in_a_span_with_the_last() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t").policy(policy(Coalesce::at_most_every(MINUTE)))).await;
    let mut sent_at = Vec::new();
    for n in 0..18 {
        bench.publish_version("app", &n.to_string()).await;
        bench.work(10 * SECOND).await;
        sent_at.push(bench.sent().len());
    }
    bench.work(10 * MINUTE).await;
    assert_eq!(bench.sent(), ["0", "5", "11", "17"]);
    assert_eq!(sent_at[..7], [1, 1, 1, 1, 1, 2, 2]);
    bench.publish_version("app", "later").await;
    bench.work(SECOND).await;
    assert_eq!(bench.sent().last().unwrap(), "later", "at once again");
}

#[tokio::test]
async fn a_newer_event_cancels_what_waits_and_lets_what_is_attempted_end_untried_again() {
    let bench = bench(Script::statuses([500])).await;
    bench.trigger(webhook("t").policy(policy(Coalesce::newest()))).await;
    bench.publish_version("app", "1").await;
    bench.publish_version("other", "other").await;
    bench.work(SECOND).await;
    assert_eq!(bench.stand().await.len(), 2, "both wait to be tried again");
    bench.publish_version("app", "2").await;
    let cancelled = bench.stand().await.iter().filter(|state| **state == SUPERSEDED).count();
    assert_eq!(cancelled, 1, "at once, and not when it would have been due");
    // The next is under way when the one after it comes.
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    bench.script.then(Answer::Later(500, gate.clone()));
    bench.work(Duration::ZERO).await;
    bench.publish_version("app", "3").await;
    gate.add_permits(100);
    bench.script.then(Answer::Status(200));
    bench.work(DAY).await;
    let of = |text: &str| bench.sent().iter().filter(|sent| *sent == text).count();
    assert_eq!([of("1"), of("2"), of("3")], [1, 1, 1], "{:?}", bench.sent());
    let by_state = |state: &State| {
        let state = state.clone();
        let states = bench.stand();
        async move { states.await.into_iter().filter(|one| *one == state).count() }
    };
    assert_eq!([by_state(&SUPERSEDED).await, by_state(&State::Delivered).await], [2, 2]);
}

#[tokio::test]
async fn an_attempt_that_fails_after_a_newer_event_came_is_not_tried_again() {
    let bench = bench(Script::statuses([500])).await;
    bench.trigger(webhook("t").policy(policy(Coalesce::newest()))).await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    bench.script.then(Answer::Later(500, gate.clone()));
    bench.publish_version("app", "1").await;
    let first = bench.only().await.id;
    let engine = bench.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    while bench.script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    // Until it waits at the gate.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    bench.publish_version("app", "2").await;
    // Made at one time, they stand in no order.
    let first = bench.deliveries().await.into_iter().find(|one| one.id == first).unwrap();
    assert!(matches!(first.state, State::Leased { .. }), "it is left to end");
    bench.script.then(Answer::Status(200));
    gate.add_permits(1);
    while bench.sent().len() < 2 || bench.stand().await.iter().any(|one| !one.is_final()) {
        tokio::task::yield_now().await;
    }
    run.abort();
    let first = bench.deliveries().await.into_iter().find(|one| one.state == SUPERSEDED).unwrap();
    assert_eq!(bench.log(&first).await.len(), 1, "its attempt is logged");
    assert_eq!(bench.sent(), ["1", "2"]);
}

#[tokio::test]
async fn an_older_event_that_comes_late_is_cancelled_at_once() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t").policy(policy(Coalesce::newest()))).await;
    let now = bench.clock.now();
    for (text, occurred_at) in [("new", now), ("old", now.before(MINUTE)), ("newer", now + SECOND)]
    {
        let mut event = version("app", text);
        event.occurred_at = occurred_at;
        let published = bench.engine.publish(event).await.unwrap();
        assert_eq!(published.deliveries.len(), 1);
    }
    bench.work(MINUTE).await;
    assert_eq!(bench.sent(), ["newer"]);
}

#[tokio::test]
async fn what_comes_again_changes_nothing() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t").policy(policy(Coalesce::quiet(30 * SECOND)))).await;
    let first = version("app", "1");
    bench.engine.publish(first.clone()).await.unwrap();
    bench.work(20 * SECOND).await;
    assert!(bench.engine.publish(first).await.unwrap().duplicate);
    bench.work(11 * SECOND).await;
    assert_eq!(bench.sent(), ["1"], "due as it was");
}

#[tokio::test]
async fn many_at_once_in_one_batch_and_side_by_side_leave_one() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t").policy(policy(Coalesce::quiet(30 * SECOND)))).await;
    let batch: Vec<Event> = (0..50).map(|n| version("app", &n.to_string())).collect();
    // Some of them twice.
    let twice = batch[..10].to_vec();
    let published = bench.engine.publish_all([batch, twice].concat()).await.unwrap();
    assert_eq!(published.iter().filter(|one| one.duplicate).count(), 10);
    let publish = |n: usize| {
        let engine = bench.engine.clone();
        tokio::spawn(async move { engine.publish(version("app", &format!("{n}"))).await.unwrap() })
    };
    let all: Vec<_> = (100..200).map(publish).collect();
    for one in all {
        assert!(!one.await.unwrap().duplicate);
    }
    let query = DeliveryQuery::of_scope(Scope::root()).with_limit(1_000);
    let all = bench.engine.deliveries(query).await.unwrap();
    let waiting = all.iter().filter(|one| one.state.name() == StateName::Waiting).count();
    assert_eq!((all.len(), waiting), (150, 1));
    bench.work(MINUTE).await;
    assert_eq!(bench.sent().len(), 1);
}

/// Three nodes on one storage: whoever decides from what is no longer so decides anew.
#[tokio::test(flavor = "multi_thread")]
async fn among_nodes_one_is_left() {
    let storage = MemoryStorage::new();
    let options = EngineOptions::default().with_refresh(HOUR);
    let first = bench_on(storage.clone(), Script::statuses([200]), options.clone()).await;
    first.trigger(webhook("t").policy(policy(Coalesce::at_most_every(HOUR)))).await;
    let mut nodes: Vec<Engine> = vec![first.engine.clone()];
    for _ in 0..2 {
        let node = bench_on(storage.clone(), Script::statuses([200]), options.clone()).await;
        nodes.push(node.engine);
    }
    let mut tasks = Vec::new();
    for (n, node) in nodes.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            for m in 0..40 {
                node.publish(version("app", &format!("{n}/{m}"))).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let query = DeliveryQuery::of_scope(Scope::root()).with_limit(1_000);
    let all = first.engine.deliveries(query).await.unwrap();
    let waiting = all.iter().filter(|one| one.state.name() == StateName::Waiting).count();
    assert_eq!((all.len(), waiting), (120, 2), "one went at once, and one waits");
}

fn manifest(n: u8, facts: OciFacts) -> Event {
    let digest = format!("sha256:{}", format!("{n:02x}").repeat(32));
    let image = Artifact::new("oci", "app").with_repository("acme/app").with_digest(digest);
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(image.with_oci(facts)).build().unwrap()
}

#[tokio::test]
async fn an_index_goes_and_its_children_do_not_and_without_it_they_do() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t").policy(policy(Coalesce::index_within(10 * SECOND)))).await;
    let children: Vec<Event> =
        (1..=3).map(|n| manifest(n, OciFacts::of_role(OciRole::Child))).collect();
    let digest = |event: &Event| event.artifact.as_ref().unwrap().digest.clone().unwrap();
    let mut facts = OciFacts::of_role(OciRole::Index);
    facts.child_digests = children[..2].iter().map(digest).collect();
    let index = manifest(9, facts);
    // In one batch, as a receiver or an outbox brings them.
    let all = [children.clone(), vec![index.clone()]].concat();
    bench.engine.publish_all(all).await.unwrap();
    bench.work(SECOND).await;
    assert_eq!(bench.sent(), [digest(&index)]);
    bench.work(MINUTE).await;
    assert_eq!(bench.sent(), [digest(&index), digest(&children[2])], "nobody lists the third");
}

#[tokio::test]
async fn a_version_goes_once_with_the_event_by_which_it_is_everywhere() {
    let bench = bench(Script::statuses([200])).await;
    let all_of = Coalesce::all_of(["hub", "mirror", "vault"]);
    let kinds = "*".parse::<artifact_triggers::trigger::KindPattern>().unwrap();
    let trigger = bench.trigger(webhook("t").on_any(kinds).policy(policy(all_of))).await;
    let told = |kind: EventKind, registry: &str, of: &str| {
        let artifact = Artifact::new("npm", "x").with_version(of).with_registry(registry);
        Event::builder(kind).artifact(artifact).build().unwrap()
    };
    let ingested = EventKind::ARTIFACT_INGESTED;
    for (kind, registry, made) in [
        (&ingested, "hub", 0),
        (&ingested, "mirror", 0),
        (&EventKind::ARTIFACT_DELETED, "hub", 0),
        (&ingested, "vault", 0),
        (&ingested, "elsewhere", 0),
        (&ingested, "hub", 1),
        (&ingested, "hub", 0),
    ] {
        let published = bench.engine.publish(told(kind.clone(), registry, "1")).await.unwrap();
        assert_eq!(published.deliveries.len(), made, "{kind} in {registry}");
    }
    bench.engine.publish(told(ingested.clone(), "hub", "2")).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.sent(), ["1"]);
    // What is remembered goes with the trigger.
    let event = told(ingested, "hub", "2");
    let policy = trigger.spec.policy.coalesce.as_deref().unwrap();
    let keys = Places::of(policy, trigger.id, &event, bench.clock.now()).keys();
    let is_there = |values: Vec<Option<String>>| values.iter().any(Option::is_some);
    assert!(is_there(bench.storage.cursors(keys.clone()).await.unwrap()));
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    bench.work(2 * HOUR).await;
    assert!(!is_there(bench.storage.cursors(keys).await.unwrap()));
}

#[tokio::test]
async fn what_was_remembered_for_another_span_is_forgotten_once_that_is_changed() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t").policy(policy(Coalesce::quiet(HOUR)))).await;
    let begun = bench.clock.now();
    let keys_of =
        |coalesce: &Coalesce| Places::of(coalesce, trigger.id, &version("app", "1"), begun).keys();
    let [quiet, longer] = [Coalesce::quiet(HOUR), Coalesce::quiet(2 * HOUR)];
    let is_there = async |coalesce: &Coalesce| {
        let values = bench.storage.cursors(keys_of(coalesce)).await.unwrap();
        values.iter().any(Option::is_some)
    };
    bench.publish_version("app", "1").await;
    let change = async |coalesce: &Coalesce| {
        let mut spec = trigger.spec.clone();
        spec.policy = policy(coalesce.clone());
        let revision = bench.engine.trigger(&Scope::root(), trigger.id).unwrap().revision;
        bench.engine.update_trigger(trigger.id, revision, spec).await.unwrap();
    };
    change(&longer).await;
    bench.publish_version("app", "2").await;
    assert_eq!([is_there(&quiet).await, is_there(&longer).await], [true, true]);
    bench.work(MINUTE).await;
    assert_eq!([is_there(&quiet).await, is_there(&longer).await], [false, true]);
    // It is not forgotten if it counts again by then.
    change(&quiet).await;
    change(&longer).await;
    bench.work(MINUTE).await;
    assert!(is_there(&longer).await);
    bench.work(3 * HOUR).await;
    assert_eq!(bench.sent(), ["1", "2"]);
}

#[tokio::test]
async fn what_is_parked_stands_for_nothing_and_nothing_for_it() {
    let bench = bench(Script::statuses([410, 200])).await;
    let trigger = bench.trigger(webhook("t").policy(policy(Coalesce::quiet(10 * SECOND)))).await;
    bench.publish_version("app", "1").await;
    bench.work(MINUTE).await;
    bench.publish_version("app", "2").await;
    bench.publish_version("app", "3").await;
    let states = bench.stand().await;
    let gone = State::Dead { reason: DeadReason::Gone };
    assert_eq!(states, [gone, State::Parked, State::Parked], "the trigger is suspended");
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    bench.publish_version("app", "4").await;
    bench.work(MINUTE).await;
    assert_eq!(bench.sent(), ["1", "4"]);
}

#[tokio::test]
async fn in_an_order_what_is_superseded_holds_up_nobody() {
    let bench = bench(Script::statuses([500])).await;
    let newest = policy(Coalesce::newest()).with_order(Order::PerArtifact);
    let slow = RetrySchedule::Pauses(vec![DAY; 3]);
    bench.trigger(webhook("t").policy(newest.with_retry(slow))).await;
    bench.publish_version("app", "1").await;
    bench.work(MINUTE).await;
    bench.script.then(Answer::Status(200));
    bench.publish_version("app", "2").await;
    bench.work(SECOND).await;
    assert_eq!(bench.sent(), ["1", "2"], "it does not wait for the day on which 1 is tried again");
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nothing_wait_for_longer() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t").policy(policy(Coalesce::quiet(30 * SECOND)))).await;
    bench.publish_version("app", "1").await;
    let back: Timestamp = bench.clock.now().before(DAY);
    bench.clock.set(back);
    bench.publish_version("app", "2").await;
    bench.work(MINUTE).await;
    assert_eq!(bench.sent(), ["2"]);
}
