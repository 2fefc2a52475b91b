//! Triggers with watches: polled by one node at a time, each change told once, and nothing else
//! reaches them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::{Clock as _, ManualClock};
use artifact_triggers::engine::{BackfillPlan, Engine, EngineOptions};
use artifact_triggers::event::{Artifact, Event, EventKind, Scope, Source};
use artifact_triggers::observer::{Observer, Transition};
use artifact_triggers::storage::{CursorMove, EventQuery, MemoryStorage, Record, Storage};
use artifact_triggers::trigger::filter::field;
use artifact_triggers::trigger::{FirstPoll, Trigger, TriggerBuilder, VersionRule, Watch};
use artifact_triggers::watch::{Ask, Listed, Listing, Naming, Upstream, UpstreamError, Version};
use async_trait::async_trait;
use tokio::sync::Notify;

use crate::bench::*;
use crate::faults::Unreliable;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const EVERY: Duration = Duration::from_secs(600);

/// An upstream of one package, whose versions the test puts there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    versions: Arc<Mutex<Vec<&'static str>>>,
    fails: Arc<Mutex<Option<UpstreamError>>>,
    asked: Arc<AtomicUsize>,
    answers_late: Arc<Notify>,
}

impl Shelf {
    pub(crate) fn put(&self, versions: impl IntoIterator<Item = &'static str>) {
        self.versions.lock().unwrap().extend(versions);
    }

    pub(crate) fn fail(&self, error: Option<UpstreamError>) {
        *self.fails.lock().unwrap() = error;
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Upstream for Shelf {
    async fn list(&self, ask: Ask<'_>) -> Result<Listed, UpstreamError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if ask.package == "stuck" {
            std::future::pending::<()>().await;
        }
        if ask.package == "late" {
            self.answers_late.notified().await;
        }
        if let Some(error) = self.fails.lock().unwrap().clone() {
            return Err(error);
        }
        let versions = self.versions.lock().unwrap().clone();
        let validator = versions.len().to_string();
        if ask.validator == Some(&validator) {
            return Ok(Listed::Unchanged);
        }
        let mut listing = Listing::new(Artifact::new("cargo", ask.package), Naming::Version);
        listing.versions.extend(versions.into_iter().map(Version::new));
        listing.validator = Some(validator);
        Ok(Listed::Versions(listing))
    }

    fn check(&self, _: &Scope, package: &str) -> Result<(), String> {
        if package == "secret" { Err("is not for everybody".to_owned()) } else { Ok(()) }
    }
}

/// How often polls failed, as observers are told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures(pub(crate) Arc<Mutex<Vec<(u32, String)>>>);

impl Observer for Failures {
    fn observe(&self, transition: &Transition<'_>) {
        if let Transition::PollFailed { error, failures, .. } = transition {
            self.0.lock().unwrap().push((*failures, error.to_string()));
        }
    }
}

pub(crate) async fn node<S: Storage + Clone>(
    storage: S,
    shelf: &Shelf,
    failures: &Failures,
) -> Bench<S> {
    node_with(storage, "shelf", shelf, failures).await
}

pub(crate) async fn node_with<S: Storage + Clone>(
    storage: S,
    upstream: &str,
    shelf: &Shelf,
    failures: &Failures,
) -> Bench<S> {
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let script = Script::statuses([200]);
    let engine = Engine::builder(storage.clone())
        .deliverer(script.clone())
        .clock(clock.clone())
        .upstream(upstream, shelf.clone())
        .observer(failures.clone())
        .options(EngineOptions::default().with_refresh(EVERY))
        .build()
        .await
        .unwrap();
    Bench { engine, clock, script, storage }
}

pub(crate) async fn shelf_bench() -> (Bench, Shelf) {
    let shelf = Shelf::default();
    shelf.put(["1.0.0"]);
    (node(MemoryStorage::new(), &shelf, &Failures::default()).await, shelf)
}

pub(crate) fn watch() -> Watch {
    Watch::new("shelf", "serde").with_interval(EVERY).with_jitter(Duration::ZERO)
}

pub(crate) fn watching(name: &str, watch: Watch) -> TriggerBuilder {
    Trigger::builder(name).webhook("https://hooks.example/x", SECRET.parse().unwrap()).watch(watch)
}

impl<S: Storage + Clone> Bench<S> {
    /// The versions that were told, in the order in which they were stored.
    async fn found(&self) -> Vec<String> {
        let query = EventQuery::of_scope(Scope::root()).with_limit(10_000);
        let mut events = loop {
            if let Ok(page) = self.storage.events(query.clone()).await {
                break page.items;
            }
        };
        events.retain(|event| event.source.name == "watch");
        let version = |event: &Event| event.artifact.clone().unwrap().version.unwrap();
        let mut told: Vec<String> = events.iter().map(version).collect();
        told.sort();
        told
    }
}

#[tokio::test]
async fn the_first_poll_is_a_baseline_and_then_each_new_version_is_told_in_order() {
    let (bench, shelf) = shelf_bench().await;
    let trigger = bench.trigger(watching("t", watch())).await;
    let listener = Trigger::builder("listener").on(EventKind::ARTIFACT_INGESTED);
    let listener = listener.webhook("https://other.example/x", SECRET.parse().unwrap());
    bench.trigger(listener).await;
    bench.work(EVERY * 3 + SECOND).await;
    assert_eq!((bench.found().await.len(), shelf.asked()), (0, 4));
    shelf.put(["1.10.0", "1.9.0"]);
    bench.work(EVERY * 3).await;
    assert_eq!(bench.found().await, ["1.10.0", "1.9.0"]);
    let bodies = bench.script.requests();
    let own = bodies.iter().filter(|request| request.url.host_str() == Some("hooks.example"));
    assert_eq!((own.count(), bodies.len()), (2, 4), "who wants the kind is told as well");
    let state = bench.engine.watch_state(&Scope::root(), trigger.id).await.unwrap().unwrap();
    assert_eq!((state.versions, state.failures, state.problem), (3, 0, None));
    assert!(state.due_at > bench.clock.now() && state.polled_at.is_some());
}

#[tokio::test]
async fn nothing_that_is_published_reaches_a_watch() {
    let (bench, _) = shelf_bench().await;
    let trigger = bench.trigger(watching("t", watch())).await;
    let forged = Event::builder(EventKind::ARTIFACT_INGESTED)
        .artifact(Artifact::new("cargo", "serde").with_version("6.6.6"))
        .source(Source::new("watch").with_instance("shelf"))
        .attribute("trigger", trigger.id.to_string())
        .build()
        .unwrap();
    assert!(bench.engine.publish(forged).await.unwrap().deliveries.is_empty());
    let backfill = bench.engine.start_backfill(BackfillPlan::of_trigger(trigger.id)).await;
    assert!(backfill.is_err());
}

#[tokio::test]
async fn kinds_filter_and_policies_choose_what_of_it_is_sent() {
    let (bench, shelf) = shelf_bench().await;
    let first = watch().with_first(FirstPoll::Fire);
    bench.trigger(watching("first", first).filter(field::version().starts_with("2"))).await;
    let ones = VersionRule::all().or_glob("1.*").unwrap();
    let deleted = watching("deleted", watch().with_versions(ones));
    bench.trigger(deleted.on(EventKind::ARTIFACT_DELETED)).await;
    bench.work(EVERY).await;
    shelf.put(["1.1.0", "2.0.0"]);
    bench.work(EVERY).await;
    assert_eq!(bench.found().await, ["1.0.0", "1.1.0", "1.1.0", "2.0.0"]);
    assert_eq!(bench.deliveries().await.len(), 1);
}

#[tokio::test]
async fn a_watch_that_cannot_be_served_is_refused_by_name() {
    let (bench, _) = shelf_bench().await;
    let refuse = |watch| watching("t", watch).build().unwrap();
    for (watch, expected) in [
        (
            Watch::new("other", "serde"),
            "watch.upstream: expected the name of a registered upstream",
        ),
        (Watch::new("shelf", "secret"), "watch.package: is not for everybody"),
    ] {
        let error = bench.engine.create_trigger(refuse(watch)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_upstream_that_fails_is_asked_less_often_and_nothing_is_lost() {
    let (shelf, failures) = (Shelf::default(), Failures::default());
    shelf.put(["1.0.0"]);
    let bench = node(MemoryStorage::new(), &shelf, &failures).await;
    let trigger = bench.trigger(watching("t", watch())).await;
    bench.work(SECOND).await;
    let reason = "the index is down".to_owned();
    shelf.fail(Some(UpstreamError::Unavailable { reason: reason.clone() }));
    shelf.put(["1.1.0"]);
    // After 10, then 20, 40 and 80 minutes.
    bench.work(EVERY * 15 + SECOND).await;
    assert_eq!(shelf.asked(), 5);
    let told: Vec<(u32, String)> = failures.0.lock().unwrap().clone();
    assert_eq!(told, [1, 2, 3, 4].map(|count| (count, reason.clone())));
    let state = bench.engine.watch_state(&Scope::root(), trigger.id).await.unwrap().unwrap();
    assert_eq!((state.failures, state.problem), (4, Some(reason)));
    shelf.fail(None);
    bench.work(EVERY * 16).await;
    assert_eq!(bench.found().await, ["1.1.0"]);
    let state = bench.engine.watch_state(&Scope::root(), trigger.id).await.unwrap().unwrap();
    assert_eq!((state.failures, state.problem), (0, None));
}

#[tokio::test]
async fn an_upstream_that_hangs_holds_up_neither_deliveries_nor_other_watches() {
    let (bench, _) = shelf_bench().await;
    let stuck = Watch::new("shelf", "stuck").with_jitter(Duration::ZERO);
    let trigger = bench.trigger(watching("stuck", stuck)).await;
    bench.trigger(watching("other", watch().with_first(FirstPoll::Fire))).await;
    bench.trigger(webhook("plain")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(SECOND * 119).await;
    assert_eq!((bench.found().await.len(), bench.script.requests().len()), (1, 3));
    // Whoever polled was dropped; it is taken again after a while.
    bench.work(MINUTE * 8).await;
    let state = bench.engine.watch_state(&Scope::root(), trigger.id).await.unwrap().unwrap();
    assert_eq!(state.problem.as_deref(), Some("it has not answered within 120s"));
}

#[tokio::test]
async fn a_tenant_whose_upstreams_hang_keeps_no_other_from_being_polled() {
    let (bench, shelf) = shelf_bench().await;
    for n in 0..40 {
        let stuck = Watch::new("shelf", "stuck").with_jitter(Duration::ZERO);
        let scope = format!("loud/{}", n % 3);
        let stuck = watching(&format!("stuck {n}"), stuck).scope(scope.parse().unwrap());
        bench.trigger(stuck).await;
    }
    bench.work(SECOND).await;
    assert_eq!(shelf.asked(), 4);
    let first = watch().with_first(FirstPoll::Fire);
    bench.trigger(watching("quiet", first.clone()).scope("quiet".parse().unwrap())).await;
    bench.trigger(watching("root", first)).await;
    bench.work(SECOND * 10).await;
    // The first four were dropped with who polled them, and four others have their place.
    assert_eq!((bench.found().await.len(), shelf.asked()), (2, 10));
    // Each of them has its turn.
    bench.work(MINUTE * 24).await;
    assert!(shelf.asked() >= 50, "{}", shelf.asked());
}

#[tokio::test]
async fn one_node_polls_at_a_time_and_another_goes_on_where_it_was() {
    let (shelf, failures, content) = (Shelf::default(), Failures::default(), MemoryStorage::new());
    shelf.put(["1.0.0"]);
    let one = node(content.clone(), &shelf, &failures).await;
    one.trigger(watching("t", watch())).await;
    let two = node(content.clone(), &shelf, &failures).await;
    one.work(SECOND).await;
    two.work(SECOND).await;
    assert_eq!(shelf.asked(), 1);
    shelf.put(["1.1.0"]);
    two.work(EVERY).await;
    one.work(EVERY).await;
    assert_eq!((shelf.asked(), two.found().await), (2, vec!["1.1.0".to_owned()]));
}

#[tokio::test]
async fn a_node_that_lacks_an_upstream_leaves_it_to_others_for_a_while() {
    let (first, shelf) = shelf_bench().await;
    first.engine.create_trigger(watching("t", watch()).build().unwrap()).await.unwrap();
    let failures = Failures::default();
    let lacking = node_with(first.storage.clone(), "other", &shelf, &failures).await;
    lacking.clock.set(first.clock.now());
    lacking.work(SECOND * 290).await;
    assert_eq!((shelf.asked(), failures.0.lock().unwrap().len()), (0, 0));
    first.work(SECOND * 290).await;
    assert_eq!(shelf.asked(), 1, "it was left free");
    lacking.work(EVERY * 2).await;
    let told = failures.0.lock().unwrap().clone();
    assert!(told[0].1.contains("no upstream \"shelf\""), "nobody polls: {told:?}");
}

#[tokio::test]
async fn a_node_whose_clock_was_ahead_keeps_no_other_from_polling() {
    let (shelf, failures, content) = (Shelf::default(), Failures::default(), MemoryStorage::new());
    shelf.put(["1.0.0"]);
    let right = node(content.clone(), &shelf, &failures).await;
    let trigger = right.trigger(watching("t", watch())).await;
    right.work(SECOND).await;
    let ahead = node(content.clone(), &shelf, &failures).await;
    ahead.clock.set(right.clock.now() + EVERY * 6 * 24 * 300);
    ahead.work(SECOND).await;
    let late = ahead.trigger(watching("late", watch().with_first(FirstPoll::Fire))).await;
    assert_eq!(shelf.asked(), 2);
    shelf.put(["1.1.0"]);
    right.work(EVERY * 2).await;
    assert_eq!(right.found().await, ["1.0.0", "1.1.0", "1.1.0"]);
    // One that died while it polled.
    let key = format!("watch/{}/turn", late.id);
    let expected = content.cursors(vec![key.clone()]).await.unwrap().remove(0);
    let mut turn: serde_json::Value = serde_json::from_str(expected.as_ref().unwrap()).unwrap();
    turn["taken_until"] = serde_json::json!(ahead.clock.now());
    let taken = CursorMove::Set { key, expected, value: Some(turn.to_string()) };
    content.record(vec![Record::of_cursors(vec![taken])]).await.unwrap();
    shelf.put(["1.2.0"]);
    right.work(EVERY * 2).await;
    assert_eq!(right.found().await, ["1.0.0", "1.1.0", "1.1.0", "1.2.0", "1.2.0"]);
    let state = right.engine.watch_state(&Scope::root(), trigger.id).await.unwrap().unwrap();
    assert!(state.due_at <= right.clock.now() + EVERY);
}

#[tokio::test]
async fn a_watch_that_is_changed_while_it_is_polled_goes_by_the_change() {
    let watch = |package: &str, every| {
        Watch::new("shelf", package).with_interval(every).with_jitter(Duration::ZERO)
    };
    // The poll answers late, or is given up; the change is of the package too, or not.
    for (polled, changed) in
        [("late", "serde"), ("late", "late"), ("stuck", "serde"), ("stuck", "stuck")]
    {
        let (bench, shelf) = shelf_bench().await;
        let before = watch(polled, Watch::MAX_INTERVAL);
        let trigger = bench.trigger(watching("t", before)).await;
        let change = async {
            while shelf.asked() == 0 {
                tokio::task::yield_now().await;
            }
            bench.clock.advance(SECOND);
            let mut spec = trigger.spec.clone();
            spec.watch = Some(Box::new(watch(changed, SECOND * 10)));
            bench.engine.update_trigger(trigger.id, trigger.revision, spec).await.unwrap();
            // The change is looked at while the watch is taken.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            bench.clock.advance(SECOND);
            shelf.answers_late.notify_one();
        };
        tokio::join!(bench.work(SECOND * 150), change);
        assert!(shelf.asked() >= 2, "{polled}, then {changed}: {}", shelf.asked());
    }
}

#[tokio::test]
async fn a_watch_that_is_enabled_again_begins_with_a_baseline_and_one_that_is_edited_goes_on() {
    let (bench, shelf) = shelf_bench().await;
    let trigger = bench.trigger(watching("t", watch())).await;
    bench.work(SECOND).await;
    shelf.put(["1.1.0"]);
    let mut spec = trigger.spec.clone();
    spec.labels.insert("team".to_owned(), "x".to_owned());
    bench.engine.update_trigger(trigger.id, trigger.revision, spec).await.unwrap();
    bench.work(EVERY).await;
    assert_eq!(bench.found().await, ["1.1.0"]);
    bench.engine.disable_trigger(trigger.id).await.unwrap();
    let asked = shelf.asked();
    shelf.put(["1.2.0"]);
    bench.work(EVERY * 3).await;
    assert_eq!(shelf.asked(), asked, "a disabled one is not polled");
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    bench.work(EVERY).await;
    shelf.put(["1.3.0"]);
    bench.work(EVERY * 2).await;
    assert_eq!(bench.found().await, ["1.1.0", "1.3.0"]);
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    bench.work(EVERY * 2).await;
    let keys = ["turn", "known"].map(|name| format!("watch/{}/{name}", trigger.id));
    assert_eq!(bench.storage.cursors(keys.to_vec()).await.unwrap(), [None, None]);
}

#[tokio::test]
async fn damaged_cursors_are_told_and_the_watch_begins_anew() {
    let (bench, shelf) = shelf_bench().await;
    let trigger = bench.trigger(watching("t", watch())).await;
    bench.work(SECOND).await;
    let key = format!("watch/{}/known", trigger.id);
    let expected = bench.storage.cursors(vec![key.clone()]).await.unwrap().remove(0);
    let damage = CursorMove::Set { key, expected, value: Some("nonsense".to_owned()) };
    bench.storage.record(vec![Record::of_cursors(vec![damage])]).await.unwrap();
    shelf.put(["1.1.0"]);
    bench.work(EVERY).await;
    assert_eq!(bench.found().await.len(), 0, "a baseline");
    shelf.put(["1.2.0"]);
    bench.work(EVERY).await;
    assert_eq!(bench.found().await, ["1.2.0"]);
}

/// More than are recorded at once.
fn hundred_versions() -> Vec<&'static str> {
    (0..100).map(|n| &*Box::leak(format!("2.0.{n:02}").into_boxed_str())).collect()
}

/// A node that has polled a shelf, on which there are more now.
async fn polled_before(names: &[&'static str]) -> (Bench, Shelf) {
    let (bench, shelf) = shelf_bench().await;
    bench.trigger(watching("t", watch())).await;
    bench.work(SECOND).await;
    shelf.put(names.iter().copied());
    (bench, shelf)
}

#[tokio::test]
async fn a_process_that_dies_at_any_call_of_a_poll_tells_each_change_once() {
    let names = hundred_versions();
    let mut reached = 0;
    for call in 0..22 {
        for after in [false, true] {
            let failures = Failures::default();
            let (setup, shelf) = polled_before(&names).await;
            let content = setup.storage.clone();
            let dying = Unreliable::dying(content.clone(), call, after);
            let first = node(dying.clone(), &shelf, &failures).await;
            first.clock.set(setup.clock.now());
            first.work(EVERY).await;
            // Another one goes on, and by then there is one more.
            shelf.put(["3.0.0"]);
            let second = node(content, &shelf, &failures).await;
            second.clock.set(first.clock.now());
            second.work(EVERY * 2).await;
            let mut expected = names.clone();
            expected.push("3.0.0");
            assert_eq!(second.found().await, expected, "call {call}, {after}");
            reached += usize::from(dying.has_died());
        }
    }
    assert!((20..44).contains(&reached), "it died {reached} times");
}

#[tokio::test]
async fn a_poll_that_fails_after_one_that_died_gives_events_no_other_ids() {
    let names = hundred_versions();
    let mut partly = 0;
    for call in 0..22 {
        let failures = Failures::default();
        let (setup, shelf) = polled_before(&names).await;
        let content = setup.storage.clone();
        let first = node(Unreliable::dying(content.clone(), call, true), &shelf, &failures).await;
        first.clock.set(setup.clock.now());
        first.work(EVERY).await;
        let second = node(content, &shelf, &failures).await;
        second.clock.set(first.clock.now());
        partly += usize::from((1..100).contains(&second.found().await.len()));
        let reason = "it is down".to_owned();
        shelf.fail(Some(UpstreamError::Unavailable { reason }));
        second.work(EVERY * 2).await;
        shelf.fail(None);
        second.work(EVERY * 16).await;
        assert_eq!(second.found().await, names, "call {call}");
    }
    assert!(partly > 0, "it never died between two pages");
}

#[tokio::test]
async fn whatever_the_storage_answers_each_change_is_told_once() {
    let (shelf, failures) = (Shelf::default(), Failures::default());
    shelf.put(["1.0.0"]);
    let bench = node(Unreliable::default(), &shelf, &failures).await;
    let spec = watching("t", watch()).build().unwrap();
    while bench.engine.ensure_trigger(spec.clone()).await.is_err() {}
    bench.work(EVERY * 3).await;
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        shelf.put([version]);
        bench.work(EVERY * 3).await;
    }
    bench.work(EVERY * 3).await;
    assert_eq!(bench.found().await, ["1.1.0", "1.2.0", "1.3.0"]);
}
