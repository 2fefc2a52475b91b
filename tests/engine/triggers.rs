//! Which triggers see an event, and who sees a trigger.

use std::time::Duration;

use artifact_triggers::delivery::{CancelReason, DeliveryPolicy, State};
use artifact_triggers::engine::{Engine, EngineOptions, PublishError, TriggerError};
use artifact_triggers::event::{EventKind, Scope};
use artifact_triggers::storage::{DeliveryQuery, EventQuery, StorageError};
use artifact_triggers::trigger::Trigger;

use crate::bench::*;

#[tokio::test]
async fn a_triggers_scope_kinds_filter_and_switch_decide() {
    let bench = bench(Script::statuses([200])).await;
    let filter = br#"{"artifact": {"name": [{"prefix": "a"}]}}"#;
    let filter = artifact_triggers::trigger::filter::Filter::from_json(filter).unwrap();
    let trigger = bench.trigger(webhook("t").scope("acme".parse().unwrap()).filter(filter)).await;
    let count = async |scope: &str, name: &str| {
        let mut event = event(name);
        event.scope = scope.parse().unwrap();
        bench.engine.publish(event).await.unwrap().deliveries.len()
    };
    assert_eq!(count("acme/x", "abc").await, 1);
    assert_eq!(count("acme", "b").await, 0);
    assert_eq!(count("", "abc").await, 0);
    assert_eq!(count("acme-eu", "abc").await, 0);
    bench.engine.disable_trigger(trigger.id).await.unwrap();
    assert_eq!(count("acme", "abc").await, 0);
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    assert_eq!(count("acme", "abc").await, 1);
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    assert_eq!(count("acme", "abc").await, 0);
}

#[tokio::test]
async fn what_waits_is_parked_when_disabled_and_cancelled_when_deleted() {
    let bench = bench(Script::statuses([200])).await;
    let disabled = bench.trigger(webhook("a")).await;
    let deleted = bench.trigger(webhook("b")).await;
    bench.engine.publish(event("x")).await.unwrap();
    bench.engine.disable_trigger(disabled.id).await.unwrap();
    bench.engine.delete_trigger(deleted.id).await.unwrap();
    bench.work(MINUTE).await;
    for delivery in bench.deliveries().await {
        let expected = if delivery.trigger == disabled.id {
            State::Parked
        } else {
            State::Cancelled { reason: CancelReason::TriggerDeleted }
        };
        assert_eq!(delivery.state, expected);
    }
    assert_eq!(bench.script.requests().len(), 0);
}

#[tokio::test]
async fn a_trigger_that_is_ensured_is_made_once_and_then_kept_up_to_date() {
    let bench = bench(Script::statuses([200])).await;
    let spec = |path: &str| {
        let url = format!("https://hooks.example/{path}");
        Trigger::builder("t").on(EventKind::PING).webhook(url, SECRET.parse().unwrap())
    };
    let first = bench.engine.ensure_trigger(spec("a").build().unwrap()).await.unwrap();
    let again = bench.engine.ensure_trigger(spec("a").build().unwrap()).await.unwrap();
    assert_eq!((again.id, again.revision), (first.id, 1));
    let changed = bench.engine.ensure_trigger(spec("b").build().unwrap()).await.unwrap();
    assert_eq!((changed.id, changed.revision), (first.id, 2));
    let elsewhere = spec("a").scope("acme".parse().unwrap()).build().unwrap();
    assert_ne!(bench.engine.ensure_trigger(elsewhere).await.unwrap().id, first.id);
    assert_eq!(bench.engine.triggers(&Scope::root()).len(), 2);
}

#[tokio::test]
async fn an_update_from_an_old_revision_is_a_conflict() {
    let bench = bench(Script::statuses([200])).await;
    let first = bench.trigger(webhook("a")).await;
    let second = bench.engine.update_trigger(first.id, 1, first.spec.clone()).await.unwrap();
    assert_eq!(second.revision, 2);
    let late = bench.engine.update_trigger(first.id, 1, first.spec.clone()).await.unwrap_err();
    assert!(matches!(late, TriggerError::Storage(StorageError::Conflict { .. })), "{late:?}");
    let twin = bench.engine.create_trigger(webhook("a").build().unwrap()).await.unwrap_err();
    assert!(matches!(twin, TriggerError::Storage(StorageError::Conflict { .. })), "{twin:?}");
}

#[tokio::test]
async fn a_trigger_that_cannot_work_here_is_refused_with_all_its_problems() {
    let bench = bench(Script::statuses([200])).await;
    let policy = DeliveryPolicy::default().with_timeout(Duration::from_secs(31));
    let refused = webhook("a").unsigned_webhook("https://refused.example/").policy(policy);
    let error =
        bench.engine.create_trigger(refused.build().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("policy.timeout: expected at most 30s"), "{error}");
    assert!(error.contains("target.webhook.url: is refused here"), "{error}");
    let unknown = Trigger::builder("b").on(EventKind::PING).action("nobody").build().unwrap();
    let error = bench.engine.create_trigger(unknown).await.unwrap_err().to_string();
    assert!(
        error.contains("target.action.name: expected the name of a registered action"),
        "{error}"
    );
}

#[tokio::test]
async fn defect_41_what_is_refused_of_a_new_trigger_is_refused_of_a_changed_one() {
    let bench = bench(Script::statuses([200])).await;
    let stored = bench.trigger(webhook("t")).await;
    let to = |url: &str, scope: &str| {
        webhook("t").scope(scope.parse().unwrap()).unsigned_webhook(url).build().unwrap()
    };
    let engine = &bench.engine;
    for (url, scope) in [("https://refused.example/", ""), ("https://wide.example/", "narrow")] {
        let spec = to(url, scope);
        for refused in [
            engine.create_trigger(spec.clone()).await,
            engine.ensure_trigger(spec.clone()).await,
            engine.update_trigger(stored.id, stored.revision, spec).await,
        ] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("target.webhook.url: is refused here"), "{url}: {error}");
        }
    }
    assert_eq!(
        engine.triggers(&Scope::root()),
        std::slice::from_ref(&stored),
        "nothing was changed"
    );
    let spec = to("https://wide.example/", "wide");
    engine.update_trigger(stored.id, stored.revision, spec).await.unwrap();
}

#[tokio::test]
async fn a_request_tells_for_which_scope_it_is() {
    let bench = bench(Script::statuses([200])).await;
    let scope: Scope = "acme".parse().unwrap();
    let trigger = bench.trigger(webhook("t").scope(scope.clone())).await;
    let mut told = event("a");
    told.scope = "acme/below".parse().unwrap();
    bench.engine.publish(told).await.unwrap();
    bench.work(MINUTE).await;
    bench.engine.ping(&scope, trigger.id).await.unwrap();
    let scopes: Vec<Scope> =
        bench.script.requests().into_iter().map(|request| request.scope).collect();
    assert_eq!(scopes, [scope.clone(), scope], "the trigger's, not the event's");
}

#[tokio::test]
async fn another_engine_on_the_storage_follows_the_triggers() {
    let bench = bench(Script::statuses([200])).await;
    let other = Engine::builder(bench.storage.clone())
        .deliverer(bench.script.clone())
        .clock(bench.clock.clone())
        .build()
        .await
        .unwrap();
    let trigger = bench.trigger(webhook("t")).await;
    assert!(other.trigger(&Scope::root(), trigger.id).is_none());
    other.refresh_triggers().await.unwrap();
    assert_eq!(other.trigger(&Scope::root(), trigger.id), Some(trigger.clone()));
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    other.refresh_triggers().await.unwrap();
    assert_eq!(other.triggers(&Scope::root()), []);
}

#[tokio::test]
async fn an_engine_delivers_to_a_trigger_of_another_node_that_it_had_not_heard_of() {
    let first = bench(Script::statuses([200])).await;
    let options = EngineOptions::default().with_refresh(DAY);
    let second = bench_on(first.storage.clone(), Script::statuses([200]), options).await;
    first.trigger(webhook("t")).await;
    first.engine.publish(event("a")).await.unwrap();
    second.work(MINUTE).await;
    assert_eq!(first.only().await.state, State::Delivered);
    assert_eq!(second.script.requests().len(), 1);
}

#[tokio::test]
async fn an_invalid_event_is_refused_before_anything_is_stored() {
    let bench = bench(Script::statuses([200])).await;
    let mut broken = event("a");
    broken.artifact = None;
    let error = bench.engine.publish_all(vec![event("b"), broken]).await.unwrap_err();
    assert!(error.to_string().contains("artifact: expected a name"), "{error}");
    let mut large = event("c");
    large.data = Some(serde_json::json!("x".repeat(1024 * 1024)));
    let error = bench.engine.publish(large).await.unwrap_err();
    assert!(matches!(error, PublishError::Invalid { .. }), "{error}");
    assert_eq!(bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap(), []);
}

#[tokio::test]
async fn nobody_reads_across_scopes() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t").scope("acme".parse().unwrap())).await;
    let mut told = event("a");
    told.scope = "acme/x".parse().unwrap();
    bench.engine.publish(told).await.unwrap();
    bench.work(MINUTE).await;
    let delivery = bench.only().await;
    let stranger: Scope = "other".parse().unwrap();
    assert_eq!(bench.engine.trigger(&stranger, trigger.id), None);
    assert_eq!(bench.engine.attempts(&stranger, delivery.id).await.unwrap(), []);
    let query = DeliveryQuery::of_scope(stranger.clone()).with_id(delivery.id);
    assert_eq!(bench.engine.deliveries(query.clone()).await.unwrap(), []);
    assert_eq!(bench.engine.replay(query).await.unwrap(), []);
    assert_eq!(bench.engine.events(EventQuery::of_scope(stranger)).await.unwrap(), []);
}

#[tokio::test]
async fn why_an_event_missed_its_triggers_is_told_nearest_first_to_who_may_see_them() {
    let bench = bench(Script::statuses([200])).await;
    let name = |name: &str| artifact_triggers::trigger::filter::field::name().is(name);
    let scoped = |trigger: &str| webhook(trigger).scope("acme".parse().unwrap());
    let near = bench.trigger(scoped("near").filter(name("b"))).await;
    let far = artifact_triggers::trigger::filter::field::namespace().is("x").and(name("b"));
    let far = bench.trigger(scoped("far").filter(far)).await;
    bench.trigger(scoped("match").filter(name("a"))).await;
    bench.trigger(webhook("beside").scope("other".parse().unwrap()).filter(name("b"))).await;
    let mut event = event("a");
    event.scope = "acme/x".parse().unwrap();

    let misses = bench.engine.nearest_misses(&event, 10);
    assert_eq!(misses.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [near.id, far.id]);
    assert!(misses[0].1.to_string().contains(r#"artifact.name is "b": found "a""#));
    assert_eq!(bench.engine.nearest_misses(&event, 1).len(), 1);

    let acme: Scope = "acme".parse().unwrap();
    assert!(!bench.engine.explain(&acme, near.id, &event).unwrap().held);
    assert_eq!(bench.engine.explain(&"other".parse().unwrap(), near.id, &event), None);
}

#[tokio::test]
async fn a_trigger_that_takes_too_long_to_judge_hides_no_other_miss() {
    use artifact_triggers::trigger::filter::{Filter, field};
    use serde_json::json;

    let bench = bench(Script::statuses([200])).await;
    let any: Vec<_> = (0..900).map(|n| json!({format!("a{n}"): [n]})).collect();
    let costly = Filter::from_value(&json!({"data": {"rows": {"$or": any}}})).unwrap();
    bench.trigger(webhook("costly").filter(costly)).await;
    let mut near = Vec::new();
    for n in 0..101 {
        let filter = field::name().is(format!("b{n}"));
        near.push(bench.trigger(webhook(&format!("near {n}")).filter(filter)).await.id);
    }
    let mut event = event("a");
    event.data = Some(json!({"rows": vec![json!({"a": 1}); 10_000]}));
    let misses = bench.engine.nearest_misses(&event, usize::MAX);
    near.sort_unstable();
    assert_eq!(misses.iter().map(|(id, _)| *id).collect::<Vec<_>>(), near[..100]);
}

#[tokio::test]
async fn an_engine_takes_no_larger_filters_than_it_was_told_to() {
    use artifact_triggers::trigger::filter::{FilterLimits, field};

    let limits = FilterLimits::default().with_conditions(1);
    let options = EngineOptions::default().with_filter_limits(limits);
    let storage = artifact_triggers::storage::MemoryStorage::new();
    let engine = bench_on(storage, Script::statuses([200]), options).await.engine;
    let one = webhook("one").filter(field::name().is("a")).build().unwrap();
    engine.create_trigger(one).await.unwrap();
    let two = webhook("two").filter(field::name().is_any_of(["a", "b"])).build().unwrap();
    let refused = engine.create_trigger(two).await.unwrap_err().to_string();
    assert_eq!(refused, r#"trigger "two": filter: expected at most 1 conditions, found 2"#);
}

#[tokio::test]
async fn defect_05_a_trigger_that_goes_takes_nothing_from_one_that_overlaps() {
    let bench = bench(Script::statuses([200])).await;
    let same: artifact_triggers::trigger::filter::Filter =
        r#"{"artifact": {"name": [{"prefix": "a"}]}}"#.parse().unwrap();
    let goes = bench.trigger(webhook("goes").filter(same.clone())).await;
    let stays = bench.trigger(webhook("stays").filter(same)).await;
    bench.engine.delete_trigger(goes.id).await.unwrap();
    let published = bench.engine.publish(event("app")).await.unwrap();
    assert_eq!(published.deliveries.len(), 1);
    assert_eq!(bench.only().await.trigger, stays.id);
}
