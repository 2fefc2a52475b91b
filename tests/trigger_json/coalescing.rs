//! How a policy's `coalesce` is written, and what it has to hold to.

use std::time::Duration;

use artifact_triggers::delivery::{Coalesce, DeliveryPolicy, Per, PlaceOf};
use artifact_triggers::trigger::{Trigger, Watch};
use serde_json::{Value, json};

use super::{full, kept, parse, problems};
use crate::pointer::with;

const SECOND: Duration = Duration::from_secs(1);

fn coalescing(value: Value) -> Value {
    with(with(full(), "/policy/max_age", json!("30d")), "/policy/coalesce", value)
}

#[test]
fn what_feeds_itself_does_not_coalesce() {
    let spec = Trigger::builder("t")
        .unsigned_webhook("https://hooks.example/x")
        .watch(Watch::new("hub", "library/debian"))
        .policy(DeliveryPolicy::default().with_coalesce(Coalesce::newest()));
    let found = spec.build().unwrap_err().to_string();
    assert!(found.contains("policy.coalesce: expected none, since what a schedule"), "{found}");
}

#[test]
fn each_kind_is_kept_as_it_is_written_and_has_defaults() {
    let names = ["a", "b"];
    for (written, expected) in [
        (json!({"newest": {}}), Coalesce::newest()),
        (json!({"newest": {"per": "trigger"}}), Coalesce::newest().with_per(Per::Trigger)),
        (json!({"quiet": {"span": "30s"}}), Coalesce::quiet(30 * SECOND)),
        (
            json!({"quiet": {"span": "30s", "max_wait": "10m", "per": "artifact"}}),
            Coalesce::quiet(30 * SECOND).with_max_wait(600 * SECOND),
        ),
        (
            json!({"at_most_every": {"span": "10m", "per": "trigger"}}),
            Coalesce::at_most_every(600 * SECOND).with_per(Per::Trigger),
        ),
        (json!({"index_within": {"span": "10s"}}), Coalesce::index_within(10 * SECOND)),
        (json!({"all_of": {"names": names}}), Coalesce::all_of(names)),
        (
            json!({"all_of": {"names": names, "by": "source", "within": "1h"}}),
            Coalesce::all_of(names).with_places(PlaceOf::Source, 3_600 * SECOND),
        ),
    ] {
        let spec = parse(&coalescing(written)).unwrap();
        assert_eq!(spec.policy.coalesce.as_deref(), Some(&expected));
        assert_eq!(kept(&spec), spec);
    }
    assert_eq!(parse(&full()).unwrap().policy.coalesce, None);
}

#[test]
fn what_is_wrong_with_it_is_told_with_its_path() {
    let one = "expected an object with newest, quiet, at_most_every, index_within or all_of, \
               exactly one";
    let span = "expected a span of time such as \"30s\", \"1h30m\" or \"7d\"";
    for (written, expected) in [
        (json!(true), "policy.coalesce: expected an object, found true".to_owned()),
        (json!({}), format!("policy.coalesce: {one}")),
        (json!({"newest": {}, "quiet": {"span": "1s"}}), format!("policy.coalesce: {one}")),
        (
            json!({"oldest": {}}),
            "policy.coalesce.oldest: is not a member of this object".to_owned(),
        ),
        (
            json!({"newest": true}),
            "policy.coalesce.newest: expected an object, found true".to_owned(),
        ),
        (
            json!({"newest": {"per": "tag"}}),
            "policy.coalesce.newest.per: expected artifact or trigger, found \"tag\"".to_owned(),
        ),
        (
            json!({"newest": {"span": "1s"}}),
            "policy.coalesce.newest.span: is not a member of this object".to_owned(),
        ),
        (json!({"quiet": {}}), format!("policy.coalesce.quiet.span: {span}, found nothing")),
        (
            json!({"quiet": {"span": "99ms"}}),
            "policy.coalesce.quiet.span: expected 100ms to 7d, found 99ms".to_owned(),
        ),
        (
            json!({"quiet": {"span": "8d"}}),
            "policy.coalesce.quiet.span: expected 100ms to 7d, found 8d".to_owned(),
        ),
        (
            json!({"quiet": {"span": "9s", "max_wait": "8s"}}),
            "policy.coalesce.quiet.max_wait: expected 9s to 7d, found 8s".to_owned(),
        ),
        (
            json!({"at_most_every": {"span": "7d1ms"}}),
            "policy.coalesce.at_most_every.span: expected 100ms to 7d, found 7d1ms".to_owned(),
        ),
        (
            json!({"index_within": {"span": "2h"}}),
            "policy.coalesce.index_within.span: expected 100ms to 1h, found 2h".to_owned(),
        ),
        (
            json!({"all_of": {"names": ["a"]}}),
            "policy.coalesce.all_of.names: expected 2 to 16 names, found 1".to_owned(),
        ),
        (
            json!({"all_of": {"names": ["a", "b", "a"]}}),
            "policy.coalesce.all_of.names[2]: expected each name once, found \"a\" again"
                .to_owned(),
        ),
        (
            json!({"all_of": {"names": ["a", ""]}}),
            "policy.coalesce.all_of.names[1]: expected 1 to 255 bytes, found 0".to_owned(),
        ),
        (
            json!({"all_of": {"names": ["a", "b"], "by": "host"}}),
            "policy.coalesce.all_of.by: expected registry or source, found \"host\"".to_owned(),
        ),
        (
            json!({"all_of": {"names": ["a", "b"], "within": "59s"}}),
            "policy.coalesce.all_of.within: expected 1m to 90d, found 59s".to_owned(),
        ),
    ] {
        assert_eq!(problems(&coalescing(written)).join("\n"), expected);
    }
}

#[test]
fn what_is_as_long_or_as_short_as_it_may_be_is_taken() {
    for written in [
        json!({"quiet": {"span": "100ms", "max_wait": "7d"}}),
        json!({"quiet": {"span": "7d", "max_wait": "7d"}}),
        json!({"index_within": {"span": "1h"}}),
        json!({"all_of": {"names": ["a", "b".repeat(255)], "within": "1m"}}),
        json!({"all_of": {"names": ["a", "b"], "within": "90d"}}),
        json!({"all_of": {"names": (1..=16).map(|n| n.to_string()).collect::<Vec<_>>()}}),
    ] {
        let taken = parse(&coalescing(written.clone()));
        assert!(taken.is_ok(), "{written}: {}", taken.unwrap_err());
    }
    let longer = json!({"all_of": {"names": ["a", "b".repeat(256)]}});
    let expected = "policy.coalesce.all_of.names[1]: expected 1 to 255 bytes, found 256";
    assert_eq!(problems(&coalescing(longer)), [expected]);
}

#[test]
fn a_batch_and_a_shorter_life_have_no_place_beside_it() {
    let with_batch = with(coalescing(json!({"newest": {}})), "/policy/batch", json!({}));
    let found = problems(&with(with_batch, "/policy/order", json!("none")));
    assert_eq!(found, ["policy.coalesce: expected no batch beside it, found one"]);
    let short = with(coalescing(json!({"quiet": {"span": "1m"}})), "/policy/max_age", json!("1m"));
    let expected =
        "policy.coalesce: expected a wait that is shorter than max_age, 1m, found 1m".to_owned();
    assert_eq!(problems(&short), [expected]);
}
