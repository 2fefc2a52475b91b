//! The fate of one event, in one answer; and the runs that its deliveries started.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{DeliveryPolicy, Jitter, RetrySchedule, StateName};
use artifact_triggers::engine::ActivityOptions;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::id::EventId;
use artifact_triggers::payload::{GitlabPipeline, PayloadFormat};
use artifact_triggers::trigger::{Trigger, TriggerBuilder, filter::Filter};

use crate::bench::*;

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn event_of(name: &str, scope: &str) -> Event {
    Event::builder(EventKind::ARTIFACT_INGESTED)
        .scope(scope.parse().unwrap())
        .artifact(Artifact::new("generic", name))
        .build()
        .unwrap()
}

fn missing(name: &str) -> TriggerBuilder {
    let filter = Filter::from_json(br#"{"artifact": {"name": ["another"]}}"#).unwrap();
    webhook(name).filter(filter)
}

const GITLAB: &str = r#"{"id": 47, "status": "created", "web_url": "https://gitlab.example/p/47"}"#;

#[tokio::test]
async fn an_event_s_deliveries_attempts_and_misses_are_one_answer() {
    let bench = bench(Script::new([Answer::Status(500), Answer::Body(201, GITLAB)])).await;
    let format = PayloadFormat::GitlabPipeline(GitlabPipeline::new("main"));
    let pipeline = bench.trigger(webhook("pipeline").format(format)).await;
    bench.trigger(missing("other name")).await;
    let pings = Trigger::builder("other kind").on(EventKind::PING).action("flaky");
    bench.trigger(pings).await;
    let event = event("a");
    bench.engine.publish(event.clone()).await.unwrap();
    bench.work(MINUTE).await;
    let (root, options) = (Scope::root(), ActivityOptions::default().with_misses(10));
    let activity = bench.engine.activity(&root, event.id, options).await.unwrap().unwrap();
    assert_eq!(activity.event, event);
    assert!(!activity.has_more_deliveries);
    let [one] = activity.deliveries.as_slice() else { panic!("{activity:?}") };
    assert_eq!(
        (one.delivery.trigger, one.trigger_name.as_deref()),
        (pipeline.id, Some("pipeline"))
    );
    assert_eq!(one.delivery.state.name(), StateName::Delivered);
    let statuses: Vec<_> = one.log.iter().map(|logged| logged.attempt.status).collect();
    assert_eq!(statuses, [Some(500), Some(201)]);
    let run = one.log[1].attempt.run.as_ref().unwrap();
    assert_eq!((run.id(), run.url()), (Some("47"), Some("https://gitlab.example/p/47")));
    let misses: Vec<_> = activity.misses.iter().map(|miss| &*miss.trigger_name).collect();
    assert_eq!(misses, ["other name", "other kind"], "the nearest first");
    assert!(activity.misses[0].explanation.to_string().contains("another"));
    let without = bench.engine.activity(&root, event.id, ActivityOptions::default()).await;
    assert!(without.unwrap().unwrap().misses.is_empty());
}

#[tokio::test]
async fn a_request_says_how_much_of_an_answer_is_worth_reading() {
    let bench = bench(Script::statuses([200])).await;
    let format = PayloadFormat::GitlabPipeline(GitlabPipeline::new("main"));
    bench.trigger(webhook("pipeline").format(format)).await;
    bench.trigger(webhook("native")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let mut wanted: Vec<usize> =
        bench.script.requests().iter().map(|request| request.response_bytes).collect();
    wanted.sort_unstable();
    assert_eq!(wanted, [0, 16 * 1024]);
}

#[tokio::test]
async fn what_is_above_or_beside_a_scope_is_not_told() {
    let bench = bench(Script::statuses([200])).await;
    for (name, of) in [("root", ""), ("own", "acme"), ("beside", "other")] {
        bench.trigger(webhook(name).scope(scope(of))).await;
        bench.trigger(missing(&format!("{name} misses")).scope(scope(of))).await;
    }
    let event = event_of("a", "acme/x");
    bench.engine.publish(event.clone()).await.unwrap();
    bench.work(MINUTE).await;
    let options = ActivityOptions::default().with_misses(10);
    let of =
        async |text: &str| bench.engine.activity(&scope(text), event.id, options).await.unwrap();
    let all = of("").await.unwrap();
    assert_eq!((all.deliveries.len(), all.misses.len()), (2, 2));
    let own = of("acme").await.unwrap();
    let names: Vec<_> = own.deliveries.iter().map(|one| one.trigger_name.as_deref()).collect();
    assert_eq!(names, [Some("own")]);
    assert_eq!(own.misses[0].trigger_name, "own misses");
    assert_eq!(own.misses.len(), 1);
    assert!(of("other").await.is_none());
    let unknown = EventId::derived(Timestamp::UNIX_EPOCH, &[b"nobody"]);
    assert!(bench.engine.activity(&Scope::root(), unknown, options).await.unwrap().is_none());
}

#[tokio::test]
async fn misses_of_a_scope_are_found_behind_any_number_of_nearer_ones_above_it() {
    let bench = bench(Script::statuses([200])).await;
    for n in 0..150 {
        bench.trigger(missing(&format!("above {n}"))).await;
    }
    let own = Trigger::builder("own").on(EventKind::PING).scope(scope("acme")).action("flaky");
    bench.trigger(own).await;
    let event = event_of("a", "acme/platform");
    bench.engine.publish(event.clone()).await.unwrap();
    let options = ActivityOptions::default().with_misses(10);
    let activity = bench.engine.activity(&scope("acme"), event.id, options).await.unwrap().unwrap();
    let misses: Vec<_> = activity.misses.iter().map(|miss| &*miss.trigger_name).collect();
    assert_eq!(misses, ["own"]);
}

#[tokio::test]
async fn an_answer_is_bounded_and_says_what_is_left_out() {
    let bench = bench(Script::statuses([500])).await;
    let pauses = RetrySchedule::Pauses(vec![MINUTE; 5]);
    for n in 0..4 {
        let policy = DeliveryPolicy::default().with_jitter(Jitter::None).with_retry(pauses.clone());
        bench.trigger(webhook(&format!("t{n}")).policy(policy)).await;
        bench.trigger(missing(&format!("m{n}"))).await;
    }
    let event = event("a");
    bench.engine.publish(event.clone()).await.unwrap();
    bench.work(DAY).await;
    let options = ActivityOptions::default().with_deliveries(3).with_attempts(2).with_misses(1);
    let activity = bench.engine.activity(&Scope::root(), event.id, options).await;
    let activity = activity.unwrap().unwrap();
    assert!(activity.has_more_deliveries);
    assert_eq!((activity.deliveries.len(), activity.misses.len()), (3, 1));
    for one in &activity.deliveries {
        let numbers: Vec<u32> = one.log.iter().map(|logged| logged.attempt.number).collect();
        assert_eq!((numbers, one.attempts_left_out), (vec![5, 6], 4));
    }
    let all = ActivityOptions::default().with_deliveries(usize::MAX).with_attempts(usize::MAX);
    let all = all.with_misses(usize::MAX);
    let activity = bench.engine.activity(&Scope::root(), event.id, all).await.unwrap().unwrap();
    assert_eq!((activity.deliveries.len(), activity.misses.len()), (4, 4));
    assert_eq!(activity.deliveries[0].log.len(), 6);
}

#[tokio::test]
async fn nothing_secret_is_told() {
    const ECHO: &str = "you said whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw and hunter2-in-a-field";
    let bench = bench(Script::new([Answer::Body(400, ECHO)])).await;
    let trigger = webhook("t")
        .webhook("https://hooks.example/hidden-path?token=hidden-query", SECRET.parse().unwrap())
        .header("x-token", "hunter2-in-a-field");
    bench.trigger(trigger).await;
    let event = event("a");
    bench.engine.publish(event.clone()).await.unwrap();
    bench.work(MINUTE).await;
    let options = ActivityOptions::default().with_misses(10);
    let activity = bench.engine.activity(&Scope::root(), event.id, options).await.unwrap().unwrap();
    assert!(!activity.deliveries[0].log.is_empty());
    for text in [serde_json::to_string(&activity).unwrap(), format!("{activity:?}")] {
        for secret in [SECRET, "hunter2", "hidden-path", "hidden-query"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(text.contains("https://hooks.example"), "the origin is told");
    }
}
