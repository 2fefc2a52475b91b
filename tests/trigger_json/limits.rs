//! Each stated limit, at it and above it.

use std::ops::Range;
use std::time::Duration;

use artifact_triggers::delivery::{DeliveryPolicy, RetrySchedule};
use artifact_triggers::document::Problems;
use artifact_triggers::event::EventKind;
use artifact_triggers::trigger::filter::{
    Filter, MAX_COMBINATIONS, MAX_CONDITIONS, MAX_FILTER_BYTES, MAX_FILTER_DEPTH,
    MAX_FOLDED_CLASSES, MAX_PATTERN_BYTES, MAX_REGEXES_BYTES, MAX_WILDCARDS, field,
};
use artifact_triggers::trigger::{
    Endpoint, MAX_ENTRIES, MAX_NAME_BYTES, MAX_TRIGGER_BYTES, Trigger, TriggerSpec,
};
use serde_json::{Map, Value, json};

use super::{SECRET, full, kept, least, parse, problems, stored};
use crate::pointer::with;

/// Accepts the one, and refuses the other with one problem at a path.
fn edge(pointer: &str, most: Value, more: Value, expected: &str) {
    let spec = parse(&with(full(), pointer, most)).unwrap();
    assert_eq!(kept(&spec), spec);
    assert_eq!(problems(&with(full(), pointer, more)), [expected]);
}

fn entries(count: usize) -> Value {
    Value::Object((0..count).map(|n| (format!("n{n}"), json!("v"))).collect())
}

#[test]
fn names_and_labels() {
    let name = |count| json!("é".repeat(count / 2) + &"x".repeat(count % 2));
    let shown = "é".repeat(80);
    let expected = format!("expected 1 to 256 bytes without control characters, found {shown:?}");
    edge("/name", name(MAX_NAME_BYTES), name(MAX_NAME_BYTES + 1), &format!("name: {expected}"));
    edge(
        "/labels/team",
        name(MAX_NAME_BYTES),
        name(MAX_NAME_BYTES + 1),
        &format!("labels.team: {expected}"),
    );
    let action = |value: Value| json!({"action": {"name": value, "config": null}});
    let most = action(name(MAX_NAME_BYTES));
    edge(
        "/target",
        most,
        action(name(MAX_NAME_BYTES + 1)),
        &format!("target.action.name: {expected}"),
    );
    let (most, more) = (entries(MAX_ENTRIES), entries(MAX_ENTRIES + 1));
    edge("/labels", most, more, "labels: expected at most 64 labels, found 65");
}

#[test]
fn kinds_secrets_and_headers() {
    let kinds = |count| json!(vec!["ping"; count]);
    edge(
        "/kinds",
        kinds(MAX_ENTRIES),
        kinds(MAX_ENTRIES + 1),
        "kinds: expected 1 to 64 kinds, found 65",
    );
    let secrets = |count| json!(vec![SECRET; count]);
    let expected = "target.webhook.secrets: expected at most 64 secrets, found 65";
    edge("/target/webhook/secrets", secrets(MAX_ENTRIES), secrets(MAX_ENTRIES + 1), expected);
    let most = Endpoint::MAX_HEADERS;
    let expected = "target.webhook.headers: expected at most 32 fields, found 33";
    edge("/target/webhook/headers", entries(most), entries(most + 1), expected);
    let value = |count| json!("v".repeat(count));
    let most = Endpoint::MAX_HEADER_BYTES;
    let expected = "target.webhook.headers.x-team: expected printable ASCII of at most 4096 bytes";
    edge("/target/webhook/headers/x-team", value(most), value(most + 1), expected);
    let url = |bytes: usize| json!(format!("https://a.example/{}", "p".repeat(bytes - 18)));
    let most = Endpoint::MAX_URL_BYTES;
    let expected =
        "target.webhook.url: expected an absolute URL: it has 2049 bytes, more than 2048";
    edge("/target/webhook/url", url(most), url(most + 1), expected);
}

#[test]
fn policies() {
    let pauses = |count| json!({"pauses": vec!["1s"; count]});
    let expected = "policy.retry.pauses: expected 1 to 100 attempts, found 101";
    edge("/policy/retry", pauses(99), pauses(100), expected);
    let expected = "policy.retry.exponential.attempts: expected 1 to 100 attempts, found 101";
    edge("/policy/retry/exponential/attempts", json!(100), json!(101), expected);
    let expected = "policy.retry.exponential.longest: expected pauses of at most 30d, found 30d1ms";
    edge("/policy/retry/exponential/longest", json!("30d"), json!("30d1ms"), expected);
    let expected = "policy.timeout: expected 1ms to 5m, found 5m1ms";
    edge("/policy/timeout", json!("5m"), json!("5m1ms"), expected);
    edge(
        "/policy/timeout",
        json!("1ms"),
        json!("0s"),
        "policy.timeout: expected 1ms to 5m, found 0s",
    );
    let statuses = |count| json!(vec![404; count]);
    let expected = "policy.final_statuses: expected at most 64 statuses, found 65";
    edge("/policy/final_statuses", statuses(64), statuses(65), expected);
}

#[test]
fn what_a_builder_can_make_can_be_read_back() {
    let build = |policy: DeliveryPolicy| {
        Trigger::builder("t").on(EventKind::PING).action("a").policy(policy).build()
    };
    // Below what is written of a span.
    let short = DeliveryPolicy::default().with_timeout(Duration::from_micros(999));
    assert_eq!(
        build(short).unwrap_err().to_string(),
        "policy.timeout: expected 1ms to 1d, found 0s"
    );
    let long = DeliveryPolicy::default().with_max_age(Duration::MAX);
    kept(&build(long).unwrap());
    for factor in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        let second = Duration::from_secs(1);
        let retry =
            RetrySchedule::Exponential { first: second, factor, longest: second, attempts: 2 };
        let found = build(DeliveryPolicy::default().with_retry(retry)).unwrap_err().to_string();
        assert!(
            found.starts_with("policy.retry.exponential.factor: expected 1 or more"),
            "{found}"
        );
    }
    let twice = Trigger::builder("t").on(EventKind::PING).unsigned_webhook("https://a.example");
    let twice = twice.header("x-a", "1").header("X-A", "2").build().unwrap_err().to_string();
    assert!(twice.contains("expected once, found again in this or another case"), "{twice}");
}

#[test]
fn filters() {
    let nested =
        |levels: usize| (0..levels).fold(json!({"a": [1]}), |inner, _| json!({"a": inner}));
    let path = format!("filter{}", ".a".repeat(MAX_FILTER_DEPTH + 1));
    let expected = format!("{path}: expected at most 16 levels");
    edge("/filter", nested(MAX_FILTER_DEPTH), nested(MAX_FILTER_DEPTH + 1), &expected);
    let many = |count| json!({"a": vec![1; count]});
    let expected = "filter: expected at most 1024 conditions, found 1025";
    edge("/filter", many(MAX_CONDITIONS), many(MAX_CONDITIONS + 1), expected);
    let text = |count: usize| json!({"a": ["é".repeat(count / 2) + &"x".repeat(count % 2)]});
    let expected = "filter.a[0]: expected at most 1024 bytes, found 1025";
    edge("/filter", text(MAX_PATTERN_BYTES), text(MAX_PATTERN_BYTES + 1), expected);
    let stars = |count| json!({"a": [{"wildcard": "*a".repeat(count)}]});
    let expected = "filter.a[0].wildcard: expected at most 16 *, found 17";
    edge("/filter", stars(MAX_WILDCARDS), stars(MAX_WILDCARDS + 1), expected);
    // {"a":["…","…"]}: 8 bytes beside the texts, 3 more for each.
    let large = |bytes: usize| {
        let full_texts = (bytes - 8) / 1_003;
        let rest = bytes - 8 - full_texts * 1_003;
        let texts = vec!["t".repeat(1_000); full_texts].into_iter();
        json!({"a": texts.chain([rest - 2].map(|count| "t".repeat(count))).collect::<Vec<_>>()})
    };
    let size = large(MAX_FILTER_BYTES).to_string().len();
    assert_eq!(size, MAX_FILTER_BYTES);
    let expected = "filter: expected at most 65536 bytes, found 65537";
    edge("/filter", large(MAX_FILTER_BYTES), large(MAX_FILTER_BYTES + 1), expected);
    let filter = field::at(["a"]).is_any_of((0..100).map(|n| format!("{n:01000}")));
    let built = Trigger::builder("t").on(EventKind::PING).action("a").filter(filter).build();
    let found = built.unwrap_err().to_string();
    assert!(found.starts_with("filter: expected at most 65536 bytes, found "), "{found}");
}

#[test]
fn an_action_is_told_no_deeper_than_can_be_read_back() {
    let nested = |levels: usize| (1..levels).fold(json!([]), |inner, _| json!([inner]));
    let config = |value: Value| json!({"action": {"name": "a", "config": value}});
    let expected = "target.action.config: expected at most 64 levels of objects and arrays";
    edge("/target", config(nested(64)), config(nested(65)), expected);
}

#[test]
fn a_trigger_as_it_is_given_and_as_it_is_written() {
    let json = serde_json::to_vec(&least()).unwrap();
    let padded = |size: usize| [json.as_slice(), &vec![b' '; size - json.len()]].concat();
    TriggerSpec::from_json(&padded(MAX_TRIGGER_BYTES)).unwrap();
    let found = TriggerSpec::from_json(&padded(MAX_TRIGGER_BYTES + 1)).unwrap_err().to_string();
    assert_eq!(found, "expected at most 262144 bytes of JSON, found 262145");
    // Short as they are given, these numbers are long when they are written.
    let numbers = format!("[{}1]", "1e9,".repeat(50_000));
    let json = format!(
        r#"{{"name":"t","kinds":["*"],"target":{{"action":{{"name":"a","config":{numbers}}}}}}}"#
    );
    assert!(json.len() < MAX_TRIGGER_BYTES);
    let found = TriggerSpec::from_json(json.as_bytes()).unwrap_err().to_string();
    assert!(
        found.starts_with("expected at most 262144 bytes of JSON, found ")
            && found.ends_with("when written in full"),
        "{found}"
    );
}

#[test]
fn a_hostile_trigger_has_not_more_than_the_most_problems_and_short_paths() {
    let conditions = Value::Array(vec![json!([]); 40_000]);
    let mut filter = Map::new();
    filter.insert("n".repeat(120_000), conditions);
    let found = parse(&with(least(), "/filter", Value::Object(filter))).unwrap_err();
    assert_eq!(found.len(), Problems::MAX);
    assert!(found.iter().all(|problem| problem.path().len() < 120), "{found}");
}

/// A part of `$and` with so many combinations.
fn part(numbers: Range<usize>) -> Value {
    let branches = numbers.map(|n| json!({"a": [n], "b": [n]}));
    json!({"$or": branches.collect::<Vec<_>>()})
}

#[test]
fn the_combinations_of_the_parts_of_and_add_up() {
    let parts =
        |sizes: &[usize]| json!({"$and": sizes.iter().map(|n| part(0..*n)).collect::<Vec<_>>()});
    let expected = "filter: expected at most 1000 combinations of $or, found ";
    assert!(parse(&with(full(), "/filter", parts(&[200, 200]))).is_ok());
    let product = |count: usize, from: usize| {
        let member = |n: usize| (format!("m{n}"), part(from..from + 10));
        Value::Object((0..count).map(member).collect())
    };
    assert!(parse(&with(full(), "/filter", product(3, 0))).is_ok());
    let two = json!({"$and": [product(3, 0), product(3, 1)]});
    let found = problems(&with(full(), "/filter", two));
    assert_eq!(found, [format!("{expected}{}", 2 * MAX_COMBINATIONS)]);
    let plain = json!({"$and": vec![json!({"a": [1]}); MAX_CONDITIONS]});
    assert!(parse(&with(full(), "/filter", plain)).is_ok());
}

#[test]
fn regular_expressions_of_a_filter_together() {
    let regexes = |bytes: usize| {
        let full = bytes / 1_000;
        let texts = (0..full).map(|n| format!("{n:01000}")).chain([format!(
            "{:0w$}",
            1,
            w = bytes % 1_000
        )]);
        json!({"a": texts.map(|text| json!({"regex": text})).collect::<Vec<_>>()})
    };
    let path = "filter.a[16].regex";
    let expected = format!(
        "{path}: expected at most 16384 bytes of regular expressions in a filter, found 16385"
    );
    edge("/filter", regexes(MAX_REGEXES_BYTES), regexes(MAX_REGEXES_BYTES + 1), &expected);
    let classes = |count: usize| {
        let regex = |n: usize| json!({"regex": format!("(?i)^{n}\\pL")});
        json!({"a": (0..count).map(regex).collect::<Vec<_>>()})
    };
    let expected =
        "filter.a[64].regex: expected at most 64 character classes with (?i) in a filter, found 65";
    edge("/filter", classes(MAX_FOLDED_CLASSES), classes(MAX_FOLDED_CLASSES + 1), expected);
    // Nothing of it is compiled: each of these classes would take milliseconds.
    let hostile = json!({"a": [{"regex": format!("(?i){}", "\\pL".repeat(340))}]});
    let found = problems(&with(full(), "/filter", hostile));
    assert!(found[0].ends_with("with (?i) in a filter, found 340"), "{found:?}");
}

#[test]
fn what_is_stored_is_read_whatever_the_limits_of_writing() {
    let nested = (0..40).fold(json!({"a": [1]}), |inner, _| json!({"a": inner}));
    let long = "x".repeat(MAX_PATTERN_BYTES + 1);
    let many: Vec<_> = (0..=MAX_CONDITIONS).map(|n| json!(format!("{n:01000}"))).collect();
    let regex = format!("(?i){}", "\\pL".repeat(MAX_FOLDED_CLASSES + 1));
    let stars = "*a".repeat(MAX_WILDCARDS + 1);
    for filter in [
        json!({"deep": nested}),
        json!({"long": [long]}),
        json!({"many": many}),
        json!({"regex": [{"regex": regex}]}),
        json!({"stars": [{"wildcard": stars}]}),
        json!({"$and": vec![part(0..500); 4]}),
    ] {
        let json = stored(parse(&full()).unwrap()).expose_json();
        let document: Value = serde_json::from_slice(&json).unwrap();
        let document = with(document, "/filter", filter);
        let document = with(document, "/name", json!("n".repeat(MAX_NAME_BYTES + 1)));
        let read = Trigger::from_exposed_json(&serde_json::to_vec(&document).unwrap()).unwrap();
        assert_ne!(read.spec.filter, Filter::everything());
        assert_eq!(Trigger::from_exposed_json(&read.expose_json()).unwrap(), read);
        assert!(read.spec.validate().is_err());
    }
    let deepest = (0..70).fold(json!({"a": [1]}), |inner, _| json!({"a": inner}));
    let json = stored(parse(&full()).unwrap()).expose_json();
    let document = with(serde_json::from_slice(&json).unwrap(), "/filter", deepest);
    let found = Trigger::from_exposed_json(&serde_json::to_vec(&document).unwrap()).unwrap_err();
    assert!(found.to_string().ends_with("expected at most 64 levels"), "{found}");
}
