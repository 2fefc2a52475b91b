//! Triggers with schedules: fired once for each due time, and by nobody else.

use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::{Clock as _, Timestamp};
use artifact_triggers::delivery::{Delivery, StateName};
use artifact_triggers::engine::{BackfillPlan, EngineOptions, JobError};
use artifact_triggers::event::{Event, EventKind, Scope, Source};
use artifact_triggers::schedule::{Missed, Schedule};
use artifact_triggers::storage::{CursorMove, EventQuery, MemoryStorage, Record, Storage};
use artifact_triggers::trigger::{Trigger, TriggerBuilder, TriggerSpec, filter::field};

use crate::bench::*;
use crate::faults::Unreliable;

const HOUR: Duration = Duration::from_secs(3_600);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The bench's clock begins at noon.
fn hourly() -> Schedule {
    Schedule::cron("0 * * * *").unwrap()
}

fn scheduled(name: &str, schedule: Schedule) -> TriggerBuilder {
    Trigger::builder(name)
        .scope("acme/app".parse().unwrap())
        .webhook("https://hooks.example/x", SECRET.parse().unwrap())
        .schedule(schedule)
}

impl<S: Storage + Clone> Bench<S> {
    async fn fired(&self) -> Vec<Event> {
        let query = EventQuery::of_scope(Scope::root()).with_limit(10_000);
        let mut events = self.storage.events(query).await.unwrap().items;
        events.retain(|event| event.kind == EventKind::SCHEDULE_FIRED);
        events
    }

    /// The hours of the due times that were fired.
    async fn hours(&self) -> Vec<i64> {
        let fired = self.fired().await;
        fired.iter().map(|event| event.occurred_at.unix_seconds() % 86_400 / 3_600).collect()
    }

    async fn reached(&self, trigger: &Trigger) -> Option<String> {
        let key = format!("schedule/{}", trigger.id);
        self.storage.cursors(vec![key]).await.unwrap().remove(0)
    }

    async fn change(
        &self,
        trigger: &Trigger,
        change: impl FnOnce(&mut TriggerSpec),
    ) -> Arc<Trigger> {
        let mut spec = trigger.spec.clone();
        change(&mut spec);
        self.engine.update_trigger(trigger.id, trigger.revision, spec).await.unwrap()
    }
}

fn of(deliveries: &[Delivery], trigger: &Trigger) -> usize {
    deliveries.iter().filter(|delivery| delivery.trigger == trigger.id).count()
}

#[tokio::test]
async fn a_due_time_is_an_event_to_its_trigger_and_to_whoever_wants_it() {
    let bench = bench(Script::statuses([200])).await;
    let nightly = bench.trigger(scheduled("nightly", hourly())).await;
    let other = Schedule::cron("30 * * * *").unwrap();
    let other = bench.trigger(scheduled("other", other)).await;
    let listener = Trigger::builder("listener")
        .scope("acme".parse().unwrap())
        .on(EventKind::SCHEDULE_FIRED)
        .action("flaky");
    let listener = bench.trigger(listener).await;
    let beside = Trigger::builder("beside").scope("acme/web".parse().unwrap());
    let beside = bench.trigger(beside.on(EventKind::SCHEDULE_FIRED).action("flaky")).await;
    bench.work(HOUR).await;

    let fired = bench.fired().await;
    let due: Vec<String> = fired.iter().map(|event| event.attributes["due"].clone()).collect();
    assert_eq!(due, ["2026-11-23T12:30:00Z", "2026-11-23T13:00:00Z"]);
    let event = &fired[1];
    assert_eq!(event.scope, nightly.spec.scope);
    assert_eq!(event.source.name, "engine");
    assert_eq!(event.attributes["trigger"], nightly.id.to_string());
    assert_eq!(event.attributes["trigger_name"], "nightly");
    assert_eq!((event.occurred_at, event.received_at), (at(&due[1]), at(&due[1])));

    let deliveries = bench.deliveries().await;
    let each = [&nightly, &other, &listener, &beside].map(|trigger| of(&deliveries, trigger));
    assert_eq!(each, [1, 1, 2, 0]);
    let own = deliveries.iter().find(|delivery| delivery.trigger == nightly.id).unwrap();
    assert_eq!(own.state.name(), StateName::Delivered);
    let explained = bench.engine.explain(&Scope::root(), nightly.id, event).unwrap();
    assert!(explained.held, "{explained}");
    let explained =
        bench.engine.explain(&Scope::root(), nightly.id, &fired[0]).unwrap().to_string();
    let expected =
        "[ ] its schedule comes due, 0 * * * * (UTC): found an event that was not made for it";
    assert!(explained.contains(expected), "{explained}");
}

#[tokio::test]
async fn nothing_that_is_published_fires_a_schedule() {
    let bench = bench(Script::statuses([200])).await;
    let nightly = bench.trigger(scheduled("nightly", hourly())).await;
    let listener = Trigger::builder("listener").on(EventKind::SCHEDULE_FIRED).action("flaky");
    bench.trigger(listener).await;
    let forged = Event::builder(EventKind::SCHEDULE_FIRED)
        .scope("acme/app".parse().unwrap())
        .source(Source::new("engine"))
        .attribute("trigger", nightly.id.to_string())
        .build()
        .unwrap();
    let published = bench.engine.publish(forged.clone()).await.unwrap();
    assert_eq!(published.deliveries.len(), 1, "it is an event as any other");
    assert_eq!(of(&bench.deliveries().await, &nightly), 0);

    let backfill = bench.engine.start_backfill(BackfillPlan::of_trigger(nightly.id)).await;
    assert!(matches!(&backfill, Err(JobError::Invalid { .. })), "{backfill:?}");
    let plan = BackfillPlan::of_trigger(nightly.id);
    assert_eq!(bench.engine.count_backfill(&plan).await.unwrap(), 0);

    let near = bench.engine.nearest_misses(&forged, 10);
    assert!(near.is_empty(), "{near:?}");
}

#[tokio::test]
async fn a_node_whose_clock_was_ahead_keeps_no_other_from_firing() {
    let right = bench(Script::statuses([200])).await;
    let trigger = right.trigger(scheduled("t", hourly())).await;
    right.work(HOUR).await;
    let ahead =
        bench_on(right.storage.clone(), Script::statuses([200]), EngineOptions::default()).await;
    ahead.clock.set(right.clock.now() + HOUR * 24 * 365);
    ahead.work(MINUTE).await;
    let late = ahead.trigger(scheduled("late", hourly())).await;
    let fired = right.fired().await.len();
    assert_eq!(fired, 2, "one at its time, and one too early for all that were missed");
    right.engine.refresh_triggers().await.unwrap();
    right.work(HOUR * 3).await;
    let events = right.fired().await;
    let of = |trigger: &Trigger| {
        let id = trigger.id.to_string();
        events.iter().filter(|event| event.attributes["trigger"] == id).count()
    };
    assert_eq!((of(&trigger), of(&late)), (5, 3));
    let upcoming = right.engine.upcoming(&Scope::root(), late.id, 1).unwrap();
    assert!(upcoming[0].due <= right.clock.now() + HOUR);
}

#[tokio::test]
async fn an_event_that_takes_the_id_of_a_due_time_does_not_stop_those_that_follow() {
    let first = bench(Script::statuses([200])).await;
    let trigger = first.trigger(scheduled("t", hourly())).await;
    first.work(HOUR).await;
    let fired = first.fired().await.remove(0);
    // As if the cursor had been restored from before.
    let expected = first.reached(&trigger).await;
    let key = format!("schedule/{}", trigger.id);
    let moved = CursorMove::Set { key, expected, value: None };
    first.storage.record(vec![Record::of_cursors(vec![moved])]).await.unwrap();
    let options = EngineOptions::default().with_refresh(HOUR);
    let second = bench_on(first.storage.clone(), Script::statuses([200]), options).await;
    second.clock.set(first.clock.now());
    second.work(2 * HOUR).await;
    assert_eq!(second.hours().await, [13, 14, 15]);
    assert_eq!(second.fired().await[0].id, fired.id);
}

#[tokio::test]
async fn what_begins_anew_does_not_fire_the_past_and_what_is_only_edited_forgets_nothing() {
    let bench = bench(Script::statuses([200])).await;
    let all = || hourly().with_missed(Missed::All(10));
    let trigger = bench.trigger(scheduled("t", all())).await;
    // Nobody runs until half past two.
    bench.clock.advance(HOUR * 5 / 2);
    let trigger = bench
        .change(&trigger, |spec| drop(spec.labels.insert("team".to_owned(), "x".to_owned())))
        .await;
    bench.work(HOUR).await;
    assert_eq!(bench.hours().await, [13, 14, 15]);

    bench.clock.advance(HOUR * 2);
    let trigger = bench.change(&trigger, |spec| spec.schedule = Some(hourly())).await;
    bench.work(HOUR).await;
    assert_eq!(bench.hours().await, [13, 14, 15, 17, 18], "by its new policy, the last missed");

    bench.clock.advance(HOUR);
    let zone = hourly().in_zone("Asia/Tokyo").unwrap();
    let trigger = bench.change(&trigger, |spec| spec.schedule = Some(zone)).await;
    bench.work(HOUR).await;
    assert_eq!(bench.hours().await, [13, 14, 15, 17, 18, 20], "another zone is another schedule");

    bench.change(&trigger, |spec| spec.enabled = false).await;
    bench.work(HOUR * 2).await;
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    bench.work(HOUR).await;
    assert_eq!(bench.hours().await, [13, 14, 15, 17, 18, 20, 23]);
}

#[tokio::test]
async fn a_disabled_trigger_fires_nothing_and_a_suspended_one_parks() {
    let bench = bench(Script::statuses([410])).await;
    let disabled = bench.trigger(scheduled("disabled", hourly()).disabled()).await;
    let gone = bench.trigger(scheduled("gone", hourly())).await;
    bench.work(HOUR * 3).await;
    let deliveries = bench.deliveries().await;
    assert_eq!(of(&deliveries, &disabled), 0);
    let states: Vec<StateName> = deliveries.iter().map(|one| one.state.name()).collect();
    assert_eq!(states, [StateName::Dead, StateName::Parked, StateName::Parked]);
    assert_eq!(bench.engine.upcoming(&Scope::root(), disabled.id, 3), Some(Vec::new()));

    bench.script.then(Answer::Status(200));
    bench.engine.enable_trigger(gone.id).await.unwrap();
    bench.work(HOUR).await;
    let last = bench.deliveries().await.pop().unwrap();
    assert_eq!(last.state.name(), StateName::Delivered);
    assert_eq!(bench.hours().await, [13, 14, 15, 16]);
}

#[tokio::test]
async fn a_deleted_trigger_fires_no_more_and_leaves_no_cursor() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(scheduled("t", hourly())).await;
    let kept = bench.trigger(scheduled("kept", hourly())).await;
    bench.work(HOUR).await;
    assert!(bench.reached(&trigger).await.is_some());
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    bench.work(HOUR * 2).await;
    assert_eq!(bench.hours().await, [13, 13, 14, 15]);
    assert_eq!(bench.reached(&trigger).await, None);
    assert!(bench.reached(&kept).await.is_some());
}

#[tokio::test]
async fn a_filter_and_a_schedule_that_has_ended_are_kept_to() {
    let bench = bench(Script::statuses([200])).await;
    let once = Schedule::at(at("2026-11-23T13:30:00Z"));
    let once = bench.trigger(scheduled("once", once)).await;
    let never = field::attribute("due").is("never");
    let filtered = bench.trigger(scheduled("filtered", hourly()).filter(never)).await;
    let past = Schedule::at(at("2026-11-23T11:00:00Z"));
    bench.trigger(scheduled("past", past)).await;
    bench.work(DAY).await;
    let deliveries = bench.deliveries().await;
    assert_eq!((of(&deliveries, &once), of(&deliveries, &filtered)), (1, 0));
    assert_eq!(bench.fired().await.len(), 25);
    assert_eq!(bench.engine.upcoming(&Scope::root(), once.id, 3), Some(Vec::new()));
}

#[tokio::test]
async fn nodes_that_come_due_at_once_fire_once() {
    let content = MemoryStorage::new();
    let options = || EngineOptions::default().with_refresh(HOUR);
    let one = bench_on(content.clone(), Script::statuses([200]), options()).await;
    let mut triggers = Vec::new();
    for n in 0..100 {
        triggers.push(one.trigger(scheduled(&format!("t{n}"), hourly())).await);
    }
    let (two, three) = (
        bench_on(content.clone(), Script::statuses([200]), options()).await,
        bench_on(content.clone(), Script::statuses([200]), options()).await,
    );
    for node in [&one, &two, &three, &one] {
        node.work(HOUR * 3).await;
    }
    assert_eq!(one.fired().await.len(), 600, "the first one has gone on by three hours");
    let sent = [&one, &two, &three].map(|node| node.script.requests().len());
    assert_eq!(sent.iter().sum::<usize>(), 600, "{sent:?}");
}

#[tokio::test]
async fn whatever_the_storage_answers_each_due_time_is_fired_once() {
    let options = EngineOptions::default().with_refresh(HOUR);
    let bench = bench_on(Unreliable::default(), Script::statuses([200]), options).await;
    let schedule = Schedule::every(MINUTE, at("2026-11-23T00:00:00Z")).unwrap();
    let schedule = schedule.with_missed(Missed::All(100));
    let spec = scheduled("t", schedule.clone()).build().unwrap();
    while bench.engine.ensure_trigger(spec.clone()).await.is_err() {}
    bench.work(HOUR * 3).await;
    // The last ones may be under way, behind a pause.
    bench.work(MINUTE / 2).await;
    let query = EventQuery::of_scope(Scope::root()).with_limit(10_000);
    let events = loop {
        if let Ok(events) = bench.engine.events(query.clone()).await {
            break events;
        }
    };
    let due: Vec<Timestamp> = events.iter().map(|event| event.occurred_at).collect();
    assert_eq!(due, schedule.upcoming(at("2026-11-23T12:00:00Z"), 180));
}

#[tokio::test]
async fn a_process_that_dies_at_any_call_has_fired_or_not() {
    for call in 0..30 {
        for after in [false, true] {
            let content = MemoryStorage::new();
            let options = || EngineOptions::default().with_refresh(DAY);
            let setup = bench_on(content.clone(), Script::statuses([200]), options()).await;
            let all = hourly().with_missed(Missed::All(10));
            setup.trigger(scheduled("t", all)).await;
            let dying = Unreliable::dying(content.clone(), call, after);
            let first = bench_on(dying, Script::statuses([200]), options()).await;
            first.clock.advance(HOUR * 2);
            first.work(HOUR).await;
            let second = bench_on(content, Script::statuses([200]), options()).await;
            second.clock.set(first.clock.now());
            second.work(HOUR).await;
            assert_eq!(second.hours().await, [13, 14, 15, 16], "call {call}, {after}");
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_fires_nothing_again_and_one_set_forward_wakes_soon() {
    let options = EngineOptions::default().with_refresh(MINUTE);
    let bench = bench_on(MemoryStorage::new(), Script::statuses([200]), options).await;
    bench.trigger(scheduled("t", hourly())).await;
    bench.work(HOUR * 2).await;
    bench.clock.set(at("2026-11-23T12:30:00Z"));
    bench.work(HOUR * 2).await;
    assert_eq!(bench.hours().await, [13, 14]);
    bench.clock.set(at("2026-11-24T08:00:30Z"));
    bench.work(MINUTE).await;
    assert_eq!(bench.hours().await, [13, 14, 8], "the last of those that were missed");
}

#[tokio::test]
async fn a_damaged_cursor_is_told_and_the_schedule_begins_anew() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(scheduled("t", hourly())).await;
    let key = format!("schedule/{}", trigger.id);
    let value = Some("nonsense".to_owned());
    let damage = CursorMove::Set { key, expected: None, value };
    bench.storage.record(vec![Record::of_cursors(vec![damage])]).await.unwrap();
    bench.work(HOUR * 2).await;
    assert_eq!(bench.hours().await, [13, 14]);
    assert!(bench.reached(&trigger).await.unwrap().contains("seen"));
}

#[tokio::test]
async fn what_a_jitter_holds_back_outlives_a_damaged_cursor_and_an_edit() {
    let once = || Schedule::at(at("2026-11-23T13:00:00Z"));
    for schedule in [once(), hourly()] {
        let bench = bench(Script::statuses([200])).await;
        let held = schedule.clone().with_jitter(MINUTE * 50);
        let damaged = bench.trigger(scheduled("damaged", held.clone())).await;
        let sooner = bench.trigger(scheduled("sooner", held.clone())).await;
        let other = bench.trigger(scheduled("other", held.clone())).await;
        bench.clock.set(at("2026-11-23T13:00:00Z") + Duration::from_micros(1));
        let key = format!("schedule/{}", damaged.id);
        let value = Some("nonsense".to_owned());
        let damage = CursorMove::Set { key, expected: None, value };
        bench.storage.record(vec![Record::of_cursors(vec![damage])]).await.unwrap();
        bench.change(&sooner, |spec| spec.schedule = Some(schedule.clone())).await;
        let policy = held.with_missed(Missed::All(10));
        bench.change(&other, |spec| spec.schedule = Some(policy)).await;
        bench.work(MINUTE * 50).await;
        assert_eq!(bench.hours().await, [13; 3], "{schedule}");
    }
}

#[tokio::test]
async fn of_many_missed_runs_as_many_are_fired_as_the_policy_says_and_others_wait_for_none() {
    let bench = bench(Script::statuses([200])).await;
    let every = Schedule::every(Duration::from_secs(1), at("2026-11-23T00:00:00Z")).unwrap();
    let many = bench.trigger(scheduled("many", every.with_missed(Missed::All(200)))).await;
    let once = bench.trigger(scheduled("once", hourly())).await;
    let skips = bench.trigger(scheduled("skips", hourly().with_missed(Missed::Skip))).await;
    bench.clock.advance(HOUR * 2 + MINUTE * 2);
    bench.work(Duration::ZERO).await;
    let fired = bench.fired().await;
    let each = [&many, &once, &skips].map(|trigger| {
        let id = trigger.id.to_string();
        fired.iter().filter(|event| event.attributes["trigger"] == id).count()
    });
    assert_eq!(each, [200, 1, 0]);
}

#[tokio::test]
async fn what_is_due_and_held_back_by_its_jitter_is_previewed_until_it_is_fired() {
    let bench = bench(Script::statuses([200])).await;
    let once = Schedule::at(at("2026-11-23T13:00:00Z")).with_jitter(MINUTE * 30);
    for (name, schedule) in [("hourly", hourly().with_jitter(MINUTE * 30)), ("once", once)] {
        let trigger = bench.trigger(scheduled(name, schedule)).await;
        let next = || bench.engine.upcoming(&Scope::root(), trigger.id, 1).unwrap();
        let first = next()[0];
        assert!(first.fires_at > first.due, "{first:?}");
        bench.clock.set(first.fires_at.before(Duration::from_micros(1)));
        assert_eq!(next(), [first]);
        bench.clock.set(first.fires_at);
        assert!(!next().contains(&first));
        bench.clock.set(at("2026-11-23T12:00:00Z"));
    }
}

#[tokio::test]
async fn what_is_to_come_is_previewed_with_its_jitter() {
    let bench = bench(Script::statuses([200])).await;
    let jitter = hourly().with_jitter(MINUTE * 10);
    let trigger = bench.trigger(scheduled("t", jitter)).await;
    let upcoming = bench.engine.upcoming(&Scope::root(), trigger.id, 3).unwrap();
    let due: Vec<String> = upcoming.iter().map(|one| one.due.to_string()).collect();
    assert_eq!(due, ["2026-11-23T13:00:00Z", "2026-11-23T14:00:00Z", "2026-11-23T15:00:00Z"]);
    bench.work(HOUR * 3 + MINUTE * 10).await;
    let fired: Vec<Timestamp> = bench.fired().await.iter().map(|event| event.received_at).collect();
    assert_eq!(fired, upcoming.iter().map(|one| one.fires_at).collect::<Vec<_>>());

    let elsewhere = "other".parse().unwrap();
    assert_eq!(bench.engine.upcoming(&elsewhere, trigger.id, 3), None);
    let plain = bench.trigger(webhook("plain")).await;
    assert_eq!(bench.engine.upcoming(&Scope::root(), plain.id, 3), Some(Vec::new()));
}
