//! The emission check: what a registry's own tests can assert of what it published.

use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;

use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::observer::{EmissionLog, Observer};
use artifact_triggers::storage::MemoryStorage;

use crate::bench::*;
use crate::observing::observed;

async fn logged() -> (Bench, EmissionLog) {
    let log = EmissionLog::new();
    let observer: Arc<dyn Observer> = Arc::new(log.clone());
    (observed(MemoryStorage::new(), Script::statuses([410]), [observer]).await, log)
}

fn message(assertion: impl FnOnce() + UnwindSafe) -> String {
    let panic = catch_unwind(assertion).expect_err("it does not hold");
    panic.downcast_ref::<String>().expect("it panics with a text").clone()
}

#[tokio::test]
async fn the_emission_log_has_what_was_published_and_not_what_the_engine_tells() {
    let (bench, log) = logged().await;
    log.assert_nothing_emitted();
    bench.trigger(webhook("t")).await;
    let (a, b) = (event("a"), event("b"));
    bench.engine.publish_all(vec![a.clone(), b.clone()]).await.unwrap();
    bench.work(MINUTE).await;
    log.assert_emitted(&EventKind::ARTIFACT_INGESTED, |event| *event == b);
    log.assert_only(&[EventKind::ARTIFACT_INGESTED, EventKind::ARTIFACT_INGESTED]);
    assert_eq!(log.take(), [a, b]);
    log.assert_nothing_emitted();
}

#[tokio::test]
async fn an_emission_that_is_missing_or_too_many_is_shown_beside_what_there_is() {
    let (bench, log) = logged().await;
    let expect = |log: &EmissionLog, expected: &str| {
        let log = AssertUnwindSafe(log);
        let found = message(move || log.assert_emitted(&EventKind::PING, |_| true));
        assert_eq!(found, expected);
    };
    expect(&log, "expected an event ping, and none of that kind was published\npublished: nothing");

    let artifact = Artifact::new("generic", "a");
    let pushed = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap();
    bench.engine.publish_all(vec![pushed.clone(), pushed.clone()]).await.unwrap();
    let json = String::from_utf8(pushed.to_json()).unwrap();
    let shown = format!(
        "published:\n  {json}\nnot stored, since an event of the same id was published before:\n  {json}"
    );
    expect(&log, &format!("expected an event ping, and none of that kind was published\n{shown}"));
    let log = AssertUnwindSafe(&log);
    assert_eq!(
        message(|| log.assert_emitted(&EventKind::ARTIFACT_INGESTED, |_| false)),
        format!("expected an event artifact.ingested that is as asserted, and none is\n{shown}")
    );
    assert_eq!(
        message(|| log.assert_nothing_emitted()),
        format!("expected that nothing is published\n{shown}")
    );
    assert_eq!(
        message(|| log.assert_only(&[EventKind::PING, EventKind::ARTIFACT_INGESTED])),
        format!("expected exactly the events [artifact.ingested, ping]\n{shown}")
    );
    log.assert_only(&[EventKind::ARTIFACT_INGESTED]);
}
