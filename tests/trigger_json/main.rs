//! The JSON of triggers: what is read and written, and what is refused with which words.

mod coalescing;
mod formats;
mod limits;
#[path = "../pointer/mod.rs"]
mod pointer;
mod schemes;

use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Batch, DeliveryPolicy, Jitter, RetrySchedule, WhileSuspended};
use artifact_triggers::document::Problems;
use artifact_triggers::event::EventKind;
use artifact_triggers::id::TriggerId;
use artifact_triggers::payload::PayloadFormat;
use artifact_triggers::trigger::filter::{Filter, field};
use artifact_triggers::trigger::{SuspendReason, Trigger, TriggerBuilder, TriggerSpec};
use pointer::{pointers, with};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A trigger with every member, written as it is printed.
fn full() -> Value {
    json!({
        "name": "scan-on-push",
        "scope": "acme/platform",
        "kinds": ["artifact.ingested", "tag.*"],
        "filter": {"artifact": {"repository": [{"prefix": "library/"}], "tags": ["v1", null]}},
        "target": {"webhook": {
            "url": "https://hooks.example.com/T0?token=canary-in-url",
            "format": "cloudevents-structured",
            "secrets": [SECRET, SECOND_SECRET],
            "headers": {"Authorization": "Bearer canary-in-header", "x-team": "platform"},
        }},
        "policy": {
            "retry": {"exponential": {"first": "1s", "factor": 2.5, "longest": "1h30m", "attempts": 7}},
            "jitter": "equal",
            "timeout": "5s",
            "max_age": "3d",
            "final_statuses": [400, 404],
        },
        "enabled": false,
        "labels": {"team": "platform"},
    })
}

/// The same, built.
fn built() -> TriggerBuilder {
    let retry = RetrySchedule::Exponential {
        first: Duration::from_secs(1),
        factor: 2.5,
        longest: Duration::from_secs(5_400),
        attempts: 7,
    };
    let policy = DeliveryPolicy::default()
        .with_retry(retry)
        .with_jitter(Jitter::Equal)
        .with_timeout(Duration::from_secs(5))
        .with_max_age(Duration::from_secs(3 * 86_400))
        .with_final_status(400)
        .with_final_status(404);
    Trigger::builder("scan-on-push")
        .scope("acme/platform".parse().unwrap())
        .on(EventKind::ARTIFACT_INGESTED)
        .on_any("tag.*".parse().unwrap())
        .filter(Filter::from_value(&full()["filter"]).unwrap())
        .webhook("https://hooks.example.com/T0?token=canary-in-url", SECRET.parse().unwrap())
        .secret(SECOND_SECRET.parse().unwrap())
        .format(PayloadFormat::CloudeventsStructured)
        .header("x-team", "platform")
        .header("Authorization", "Bearer canary-in-header")
        .policy(policy)
        .disabled()
        .label("team", "platform")
}

/// The shortest trigger there is.
fn least() -> Value {
    json!({"name": "t", "kinds": ["*"], "target": {"action": {"name": "a"}}})
}

fn parse(document: &Value) -> Result<TriggerSpec, Problems> {
    TriggerSpec::from_json(&serde_json::to_vec(document).unwrap())
}

/// What is wrong with a document, as lines.
fn problems(document: &Value) -> Vec<String> {
    parse(document).unwrap_err().iter().map(ToString::to_string).collect()
}

fn stored(spec: TriggerSpec) -> Trigger {
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    Trigger::new(TriggerId::derived(now, &[]), spec, now)
}

/// The spec as a storage gives it back.
fn kept(spec: &TriggerSpec) -> TriggerSpec {
    Trigger::from_exposed_json(&stored(spec.clone()).expose_json()).unwrap().spec
}

#[test]
fn builder_and_json_agree() {
    assert_eq!(parse(&full()).unwrap(), built().build().unwrap());
    let least_built = Trigger::builder("t").on_any("*".parse().unwrap()).action("a");
    assert_eq!(parse(&least()).unwrap(), least_built.build().unwrap());
}

#[test]
fn what_a_storage_writes_is_every_member_and_is_read_back_equal() {
    let mut trigger = stored(parse(&full()).unwrap());
    trigger.suspended = Some(SuspendReason::EndpointGone);
    let json = trigger.expose_json();
    let mut written: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(Trigger::from_exposed_json(&json).unwrap(), trigger);
    let members = written.as_object_mut().unwrap();
    for (name, expected) in [
        ("id", json!(trigger.id.to_string())),
        ("revision", json!(1)),
        ("suspended", json!("endpoint_gone")),
        ("created_at", json!("2023-11-14T22:13:20Z")),
        ("updated_at", json!("2023-11-14T22:13:20Z")),
    ] {
        assert_eq!(members.remove(name), Some(expected), "{name}");
    }
    assert_eq!(written, full());
}

#[test]
fn what_is_left_out_has_its_default() {
    let spec = parse(&least()).unwrap();
    assert_eq!(spec.policy, DeliveryPolicy::default());
    assert_eq!((spec.scope.as_str(), spec.enabled), ("", true));
    assert_eq!(spec.filter, Filter::everything());
    let nulls = ["scope", "filter", "policy", "enabled", "labels"];
    let document = nulls
        .iter()
        .fold(least(), |document, name| with(document, &format!("/{name}"), Value::Null));
    assert_eq!(parse(&document).unwrap(), spec);
    assert_eq!(kept(&spec), spec);
}

#[test]
fn secrets_are_in_no_debug_and_no_public_json() {
    let trigger = stored(parse(&full()).unwrap());
    let debug = format!("{trigger:?} {:?} {:?}", trigger.spec.target, built());
    let public = serde_json::to_string(&trigger).unwrap();
    for canary in [&SECRET[6..], &SECOND_SECRET[6..], "canary-in-header"] {
        assert!(!debug.contains(canary) && !public.contains(canary), "{canary}");
    }
    assert!(!debug.contains("canary"), "{debug}");
    let shown: Value = serde_json::from_str(&public).unwrap();
    assert_eq!(shown["target"]["webhook"]["secrets"], json!(["[redacted]", "[redacted]"]));
    assert_eq!(shown["target"]["webhook"]["headers"]["Authorization"], json!("[redacted]"));
}

#[test]
fn an_error_repeats_no_secret() {
    let secret = "hunter2-hunter2";
    for (pointer, value) in [
        ("/target/webhook/secrets/0", json!(secret)),
        ("/target/webhook/secrets/0", json!([secret])),
        ("/target/webhook/secrets/0", json!(format!("{SECRET}{secret}"))),
        ("/target/webhook/headers/x-team", json!(format!("{secret}\r\n"))),
        ("/target/webhook/headers/x-team", json!([secret])),
        ("/target/webhook/url", json!(format!("/no/scheme?token={secret}"))),
        ("/target/webhook/url", json!(format!("https://user:{secret}@a.example/"))),
        ("/target/webhook/url", json!(format!("ftp://a.example/{secret}"))),
    ] {
        let found = problems(&with(full(), pointer, value)).join("; ");
        assert!(!found.contains("hunter2"), "{found}");
    }
}

#[test]
fn what_is_wrong_is_named_by_its_path_with_what_was_found_and_expected() {
    let no_list = "expected a list of conditions or an object of fields";
    for (pointer, value, expected) in [
        ("/name", json!(7), "name: expected a string, found 7".to_owned()),
        ("/scope", json!([]), "scope: expected a scope, found an array".to_owned()),
        ("/kinds", json!("ping"), "kinds: expected an array, found a string".to_owned()),
        ("/kinds/1", json!(1), "kinds[1]: expected a kind or a pattern of kinds, found 1".to_owned()),
        ("/filter", json!([]), "filter: expected an object, found an array".to_owned()),
        ("/filter/artifact/name", json!("a"), format!("filter.artifact.name: {no_list}, found \"a\"")),
        ("/filter/artifact/name", json!([{"prefix": 1}]), "filter.artifact.name[0].prefix: expected a text or {\"equals-ignore-case\": a text}, found 1".to_owned()),
        ("/target", json!("a"), "target: expected an object, found a string".to_owned()),
        ("/target", json!({}), "target: expected an object with webhook or action, exactly one of them".to_owned()),
        ("/target/action", json!({"name": "a"}), "target: expected an object with webhook or action, exactly one of them".to_owned()),
        ("/target/webhook/url", json!(1), "target.webhook.url: expected a string, found 1".to_owned()),
        ("/target/webhook/url", Value::Null, "target.webhook.url: expected a string, found nothing".to_owned()),
        ("/target/webhook/url", json!("/a"), "target.webhook.url: expected an absolute URL: relative URL without a base".to_owned()),
        ("/target/webhook/url", json!("ftp://a"), "target.webhook.url: expected https (or http), found ftp".to_owned()),
        ("/target/webhook/format", json!("xml"), "target.webhook.format: expected native, cloudevents-structured, cloudevents-binary, cdevents, distribution, harbor, harness, slack, teams, discord, github-dispatch, gitlab-pipeline or template, or an object with one of them, found \"xml\"".to_owned()),
        ("/target/webhook/format", json!({"harness": {"prefix": "a b"}}), "target.webhook.format.harness.prefix: expected 1 to 40 letters, digits and hyphens, found \"a b\"".to_owned()),
        ("/target/webhook/format", json!({"harness": {"prefix": "Acme", "a": 1}}), "target.webhook.format.harness.a: is not a member of this object".to_owned()),
        ("/target/webhook/headers/x-team", json!(1), "target.webhook.headers.x-team: expected a string".to_owned()),
        ("/target/webhook/headers/Host", json!("a"), "target.webhook.headers.Host: is set by the crate or the connection and cannot be overridden".to_owned()),
        ("/target/webhook/headers/X-Team", json!("a"), "target.webhook.headers.x-team: expected once, found again in this or another case".to_owned()),
        ("/target/webhook/verify", json!(false), "target.webhook.verify: is not a member of this object".to_owned()),
        ("/policy", json!(1), "policy: expected an object, found 1".to_owned()),
        ("/policy/retry", json!({}), "policy.retry: expected an object with pauses or exponential, exactly one of them".to_owned()),
        ("/policy/retry/pauses", json!(["1s"]), "policy.retry: expected an object with pauses or exponential, exactly one of them".to_owned()),
        ("/policy/retry", json!({"pauses": ["1s", 5]}), "policy.retry.pauses[1]: expected a span of time such as \"30s\", \"1h30m\" or \"7d\", found 5".to_owned()),
        ("/policy/retry", json!({"pauses": ["1s", "31d"]}), "policy.retry.pauses[1]: expected pauses of at most 30d, found 31d".to_owned()),
        ("/policy/retry/exponential/factor", json!("2"), "policy.retry.exponential.factor: expected a number, found \"2\"".to_owned()),
        ("/policy/retry/exponential/factor", json!(0.5), "policy.retry.exponential.factor: expected 1 or more, found 0.5".to_owned()),
        ("/policy/retry/exponential/longest", json!("31d"), "policy.retry.exponential.longest: expected pauses of at most 30d, found 31d".to_owned()),
        ("/policy/retry/exponential/attempts", json!(0), "policy.retry.exponential.attempts: expected 1 to 100 attempts, found 0".to_owned()),
        ("/policy/jitter", json!("some"), "policy.jitter: expected none, added, equal or full, found \"some\"".to_owned()),
        ("/policy/timeout", json!("soon"), "policy.timeout: expected a span of time such as \"30s\", \"1h30m\" or \"7d\", found \"soon\"".to_owned()),
        ("/policy/final_statuses/1", json!(70_000), "policy.final_statuses[1]: expected a status from 300 to 599, found 70000".to_owned()),
        ("/policy/final_statuses/1", json!(200), "policy.final_statuses[1]: expected a status from 300 to 599, found 200".to_owned()),
        ("/policy/batch", json!(true), "policy.batch: expected an object, found true".to_owned()),
        ("/policy/batch", json!({"max_event": 7}), "policy.batch.max_event: is not a member of this object".to_owned()),
        ("/policy/batch", json!({"max_events": "7"}), "policy.batch.max_events: expected a whole number of 0 or more, found \"7\"".to_owned()),
        ("/policy/batch", json!({"max_events": 1}), "policy.batch.max_events: expected 2 to 1000 events, found 1".to_owned()),
        ("/policy/batch", json!({"max_events": 1_001}), "policy.batch.max_events: expected 2 to 1000 events, found 1001".to_owned()),
        ("/policy/batch", json!({"max_wait": "9ms"}), "policy.batch.max_wait: expected 10ms to 1h, found 9ms".to_owned()),
        ("/policy/batch", json!({"max_wait": "1h1ms"}), "policy.batch.max_wait: expected 10ms to 1h, found 1h1ms".to_owned()),
        ("/policy/batch", json!({"max_bytes": 1_023}), "policy.batch.max_bytes: expected 1024 to 16777216 bytes, found 1023".to_owned()),
        ("/policy/batch", json!({"max_bytes": 16_777_217}), "policy.batch.max_bytes: expected 1024 to 16777216 bytes, found 16777217".to_owned()),
        ("/policy/retries", json!(1), "policy.retries: is not a member of this object".to_owned()),
        ("/enabled", json!("yes"), "enabled: expected true or false, found \"yes\"".to_owned()),
        ("/labels/team", json!(1), "labels.team: expected a string, found 1".to_owned()),
        ("/enable", json!(true), "enable: is not a member of this object".to_owned()),
    ] {
        // Which of two names in different cases is the second depends on how serde_json keeps them.
        let found = problems(&with(full(), pointer, value)).join("\n");
        assert_eq!(found.to_lowercase(), expected.to_lowercase());
    }
}

#[test]
fn a_batch_is_kept_as_it_is_written_and_has_defaults() {
    let written = json!({"max_events": 7, "max_wait": "1m30s", "max_bytes": 65_536});
    let spec = parse(&with(full(), "/policy/batch", written)).unwrap();
    let batch = Batch::default()
        .with_max_events(7)
        .with_max_wait(Duration::from_secs(90))
        .with_max_bytes(65_536);
    assert_eq!(spec.policy.batch, Some(batch));
    assert_eq!(kept(&spec), spec);
    let spec = parse(&with(full(), "/policy/batch", json!({}))).unwrap();
    assert_eq!(spec.policy.batch, Some(Batch::default()));
    assert_eq!(parse(&full()).unwrap().policy.batch, None);
}

#[test]
fn what_comes_while_a_trigger_is_suspended_is_parked_or_dropped() {
    let spec = parse(&with(full(), "/policy/while_suspended", json!("drop"))).unwrap();
    assert_eq!(spec.policy.while_suspended, WhileSuspended::Drop);
    assert_eq!(kept(&spec), spec);
    assert_eq!(parse(&full()).unwrap().policy.while_suspended, WhileSuspended::Park);
    let wrong = with(full(), "/policy/while_suspended", json!("keep"));
    assert_eq!(problems(&wrong), ["policy.while_suspended: expected park or drop, found \"keep\""]);
}

#[test]
fn what_cannot_go_in_batches_is_refused() {
    let batched = with(full(), "/policy/batch", json!({}));
    let beside = "policy.batch: expected a webhook of format native, cloudevents-structured, cdevents (not \
         binary), distribution, slack, teams or discord beside it";
    for (pointer, value, expected) in [
        (
            "/policy/order",
            json!("strict"),
            "policy.batch: expected no order beside it, found strict".to_owned(),
        ),
        (
            "/target/webhook/format",
            json!("cloudevents-binary"),
            format!("{beside}, found the format cloudevents-binary"),
        ),
        ("/target", json!({"action": {"name": "a"}}), format!("{beside}, found an action")),
    ] {
        assert_eq!(problems(&with(batched.clone(), pointer, value)), [expected]);
    }
}

#[test]
fn everything_wrong_is_told_at_once_whatever_is_missing() {
    let document = json!({
        "scope": "/",
        "kinds": [],
        "filter": {"a": [], "b": [{"globe": "x"}]},
        "target": {"webhook": {"headers": {"Host": "a"}, "secrets": ["x"]}},
        "policy": {"timeout": "1h", "retry": {"pauses": [0]}, "final_statuses": [1]},
        "labels": {"": "x"},
        "x": 1,
    });
    let found = problems(&document);
    let paths: Vec<&str> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = [
        "name",
        "scope",
        "filter.a",
        "filter.b[0].globe",
        "target.webhook.url",
        "target.webhook.secrets[0]",
        "policy.retry.pauses[0]",
        "kinds",
        "labels",
        "target.webhook.headers.Host",
        "policy.timeout",
        "policy.final_statuses[0]",
        "x",
    ];
    assert_eq!(paths, expected, "{found:#?}");
}

#[test]
fn a_builder_tells_everything_at_once_too() {
    let builder = Trigger::builder("").unsigned_webhook("/a").header("Host", "a").label("", "x");
    let found = builder.build().unwrap_err();
    let paths: Vec<&str> = found.iter().map(artifact_triggers::document::Problem::path).collect();
    assert_eq!(
        paths,
        ["target.webhook.url", "name", "kinds", "labels", "target.webhook.headers.Host"]
    );
    let nowhere = Trigger::builder("").build().unwrap_err().to_string();
    assert!(
        nowhere.starts_with("target: expected a webhook or an action, found nothing; name:"),
        "{nowhere}"
    );
    let both =
        Trigger::builder("t").on(EventKind::PING).action("a").unsigned_webhook("https://a.example");
    assert_eq!(
        both.build().unwrap_err().to_string(),
        "target: expected a webhook or an action, found both"
    );
    let filter = field::at(["a"]).contains("");
    let empty = Trigger::builder("t").on(EventKind::PING).action("a").filter(filter);
    assert_eq!(
        empty.build().unwrap_err().to_string(),
        "filter.a[0].contains: expected a text, found an empty one"
    );
}

#[test]
fn operators_that_are_unknown_empty_or_of_the_wrong_type_are_refused() {
    for (filter, expected) in [
        (json!({"a": []}), "filter.a: expected at least one item, found an empty list"),
        (json!({"a": {}}), "filter.a: expected at least one field, found an empty object"),
        (
            json!({"a": 1}),
            "filter.a: expected a list of conditions or an object of fields, found 1",
        ),
        (json!({"a": [[]]}), "filter.a[0]: expected a condition, found an array"),
        (json!({"a": [{}]}), "filter.a[0]: expected an object with exactly one operator"),
        (
            json!({"a": [{"prefix": "a", "suffix": "b"}]}),
            "filter.a[0]: expected an object with exactly one operator",
        ),
        (
            json!({"a": [{"exists": "yes"}]}),
            "filter.a[0].exists: expected true or false, found \"yes\"",
        ),
        (
            json!({"a": [{"suffix": {"any": "a"}}]}),
            "filter.a[0].suffix.any: is no operator here (expected equals-ignore-case)",
        ),
        (
            json!({"a": [{"equals-ignore-case": 1}]}),
            "filter.a[0].equals-ignore-case: expected a text, found 1",
        ),
        (
            json!({"a": [{"anything-but": []}]}),
            "filter.a[0].anything-but: expected at least one item, found an empty list",
        ),
        (
            json!({"a": [{"anything-but": [null]}]}),
            "filter.a[0].anything-but[0]: expected a text or a number, found null",
        ),
        (
            json!({"a": [{"anything-but": {"prefix": ["b", 1]}}]}),
            "filter.a[0].anything-but.prefix[1]: expected a text, found 1",
        ),
        (json!({"$or": {}}), "filter.$or: expected a list of patterns, found an object"),
        (json!({"$or": []}), "filter.$or: expected at least one item, found an empty list"),
        (json!({"$and": [{"a": [1]}, 1]}), "filter.$and[1]: expected an object, found 1"),
        (json!({"$not": {}}), "filter.$not: expected at least one field, found an empty object"),
        (json!({"$nor": []}), "filter.$nor: is no operator (expected $or, $and, $not or a field)"),
    ] {
        assert_eq!(problems(&with(full(), "/filter", filter)), [expected]);
    }
    for operator in ["globe", "Prefix", "nummeric", ""] {
        let found = problems(&with(full(), "/filter", json!({"a": [{operator: "x"}]})));
        assert!(
            found[0].contains("is no operator (expected one of anything-but, cidr, contains,"),
            "{found:?}"
        );
    }
    // The second would silently take the place of the first.
    let twice = serde_json::to_string(&least()).unwrap().replacen(
        '{',
        r#"{"filter": {"a": [1], "a": [2]},"#,
        1,
    );
    let found = TriggerSpec::from_json(twice.as_bytes()).unwrap_err().to_string();
    assert!(found.starts_with("expected JSON: the member \"a\" is there twice"), "{found}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[0-9]{1,3}(ms|s|m|h|d)".prop_map(Value::from),
        "https?://[a-z]{1,8}(\\.[a-z]{1,5})?/\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let names = prop_oneof![
            "[a-z_$-]{0,8}",
            prop::sample::select(vec![
                "prefix",
                "anything-but",
                "wildcard",
                "exists",
                "$or",
                "$not"
            ])
            .prop_map(str::to_owned),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_in_any_place_is_kept_as_it_was_read_or_refused(
        which in any::<prop::sample::Index>(),
        value in any_json(),
    ) {
        let mut all = Vec::new();
        pointers(&full(), "", &mut all);
        if let Ok(spec) = parse(&with(full(), &all[which.index(all.len())], value)) {
            prop_assert!(spec.validate().is_ok());
            prop_assert_eq!(kept(&spec), spec);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(TriggerSpec::from_json(&bytes).is_err());
        prop_assert!(Trigger::from_exposed_json(&bytes).is_err());
    }

    #[test]
    fn one_changed_byte_is_read_or_refused_and_never_a_panic(which in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut json = serde_json::to_vec(&full()).unwrap();
        *which.get_mut(&mut json) = byte;
        if let Ok(spec) = TriggerSpec::from_json(&json) {
            prop_assert_eq!(kept(&spec), spec);
        }
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let document = |target: &str| {
        format!(r#"{{"name": "t", "kinds": ["ping"], "target": {target}}}"#).into_bytes()
    };
    for target in [
        r#""https://hooks.example/hunter2""#,
        r#"{"webhook": "https://hooks.example/hunter2"}"#,
        r#"{"webhook": {"url": "https://hooks.example", "secrets": "whsec_hunter2"}}"#,
        r#"{"webhook": {"url": "https://hooks.example", "headers": "Authorization: hunter2"}}"#,
    ] {
        let problems = TriggerSpec::from_json(&document(target)).unwrap_err().to_string();
        assert!(problems.contains("found a string"), "{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn a_builder_takes_no_header_that_could_not_be_read_back() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    let builder = Trigger::builder("t").on(EventKind::PING).webhook("https://a.example", secret);
    let problems = builder.header("x-token", "[redacted]").build().unwrap_err().to_string();
    assert!(problems.contains("headers.x-token: expected the value itself"), "{problems}");
}
