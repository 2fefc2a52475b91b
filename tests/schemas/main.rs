//! The JSON Schemas: they are what is generated, and they say what the readers say.

#![expect(
    clippy::needless_pass_by_value,
    reason = "schemas are put together of what is made on the spot"
)]

mod event;
#[path = "../pointer/mod.rs"]
mod pointer;
mod trigger;
mod write;

use std::path::Path;

use artifact_triggers::document::Problems;
use artifact_triggers::event::{Event, EventKind};
use artifact_triggers::id::TriggerId;
use artifact_triggers::payload::{PayloadFormat, TriggerName};
use artifact_triggers::schema;
use artifact_triggers::trigger::TriggerSpec;
use jsonschema::Validator;
use pointer::{pointers, with};
use proptest::prelude::*;
use serde_json::{Value, json};

const FULL: &str = include_str!("../data/event_full.json");

fn validator(schema: &str) -> Validator {
    let schema = serde_json::from_str(schema).unwrap();
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
}

fn full_event() -> Value {
    serde_json::from_str(FULL).unwrap()
}

fn full_trigger() -> Value {
    json!({
        "name": "scan-on-push",
        "scope": "acme/platform",
        "kinds": ["artifact.ingested", "tag.*"],
        "filter": {
            "artifact": {"repository": [{"prefix": "library/"}], "tags": ["v1", null, 1, true]},
            "$or": [{"a": [{"exists": true}]}, {"$not": {"b": {"c": [{"numeric": [">", 1]}]}}}],
        },
        "target": {"webhook": {
            "url": "https://hooks.example.com/T0?token=x",
            "format": {"harness": {"prefix": "Gitness"}},
            "scheme": {"timestamped": {"header": "x-signature"}},
            "secrets": ["text:0123456789abcdef0123456789abcdef", {"provider": "kv/a", "active_from": "2026-11-23T12:00:00Z"}],
            "headers": {"x-team": "platform"},
            "auth": {"oauth2": {
                "token_url": "https://id.example/t", "client_id": "a", "client_secret": {"provider": "kv/b"},
                "scope": "s", "audience": "d", "client_auth": "form",
            }},
        }},
        "policy": {
            "retry": {"exponential": {"first": "1s", "factor": 2.5, "longest": "1h30m", "attempts": 7}},
            "jitter": "equal", "timeout": "5s", "max_age": "3d", "final_statuses": [400, 404],
            "order": "strict", "on_dead": "block", "disable_after": "never", "while_suspended": "drop",
        },
        "enabled": false,
        "labels": {"team": "platform"},
    })
}

fn read_event(document: &Value) -> Result<(), Problems> {
    Event::from_json(&serde_json::to_vec(document).unwrap()).map(drop)
}

fn read_trigger(document: &Value) -> Result<(), Problems> {
    TriggerSpec::from_value(document.clone()).map(drop)
}

#[test]
fn the_committed_schemas_are_what_is_generated() {
    for (name, schema) in [
        ("event", event::event()),
        ("native_payload", event::native_payload()),
        ("trigger", trigger::trigger()),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/schema/{name}.json"));
        let text = serde_json::to_string_pretty(&sorted(&schema)).unwrap() + "\n";
        if std::env::var_os("WRITE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap() == text, "WRITE_SCHEMAS=1 writes {name}");
    }
}

/// Members in the order of their names, in whichever order this build keeps them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            names.into_iter().map(|name| (name.clone(), sorted(&members[name]))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_schemas_are_schemas() {
    for schema in [schema::EVENT, schema::NATIVE_PAYLOAD, schema::TRIGGER] {
        let schema = serde_json::from_str(schema).unwrap();
        assert!(jsonschema::meta::is_valid(&schema));
    }
}

#[test]
fn every_sample_is_valid() {
    let (events, payloads) = (validator(schema::EVENT), validator(schema::NATIVE_PAYLOAD));
    let name = TriggerName { id: TriggerId::from_bytes([7; 16]), name: "t" };
    let samples = EventKind::KNOWN.iter().map(|kind| Event::sample(kind.clone()));
    let full = Event::from_json(FULL.as_bytes()).unwrap();
    for event in samples.chain([full]) {
        let json = event.to_json();
        let document = serde_json::from_slice(&json).unwrap();
        assert!(events.is_valid(&document), "{:?}", events.validate(&document));
        let payload = PayloadFormat::Native.render(&event, &json, name);
        let mut payload: Value = serde_json::from_slice(&payload.body).unwrap();
        assert!(payloads.is_valid(&payload), "{:?}", payloads.validate(&payload));
        payload["id"] = json!("msg_0193e5d2f0a07c3e8f00d1a2b3c4d5e6");
        assert!(payloads.is_valid(&json!([payload])));
        payload["data"]["kind"] = json!(1);
        assert!(!payloads.is_valid(&payload) && !payloads.is_valid(&json!([payload])));
    }
    let triggers = validator(schema::TRIGGER);
    let full = full_trigger();
    assert!(read_trigger(&full).is_ok(), "{:?}", read_trigger(&full));
    assert!(triggers.is_valid(&full), "{:?}", triggers.validate(&full));
}

/// What each member is replaced by, in every place.
fn others() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1.5),
        json!(7),
        json!(70_000),
        json!(""),
        json!("x"),
        json!("A b"),
        json!("a\nb"),
        json!("5d"),
        json!("never"),
        json!("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        json!("2026-11-23T14:42:23Z"),
        json!("https://a.example/"),
        json!([]),
        json!([1]),
        json!(["x"]),
        json!([[]]),
        json!({}),
        json!({"x": 1}),
        json!({"x": "y"}),
        json!({"x": ["y"]}),
    ]
}

/// What a reader takes, its schema takes; and what it refuses the schema refuses, but for what JSON
/// Schema cannot say, of which these words tell.
fn compare(
    validator: &Validator,
    document: &Value,
    read: impl Fn(&Value) -> Result<(), Problems>,
    beyond: &[&str],
) {
    let mut found = Vec::new();
    pointers(document, "", &mut found);
    let mut refused = 0;
    for pointer in &found {
        for other in others() {
            let changed = with(document.clone(), pointer, other.clone());
            match read(&changed) {
                Ok(()) => assert!(
                    validator.is_valid(&changed),
                    "{pointer} {other}: {:?}",
                    validator.validate(&changed)
                ),
                Err(problems) => {
                    refused += 1;
                    let all_beyond = problems.iter().all(|problem| {
                        beyond.iter().any(|word| problem.to_string().contains(word))
                    });
                    assert!(
                        all_beyond || !validator.is_valid(&changed),
                        "{pointer} {other} is taken, but {problems}"
                    );
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn what_the_reader_of_events_refuses_the_schema_refuses_and_nothing_else() {
    compare(&validator(schema::EVENT), &full_event(), read_event, &[]);
}

#[test]
fn what_the_reader_of_triggers_refuses_the_schema_refuses_and_nothing_else() {
    let beyond = [
        // What is in a condition is the filter's own language, and what a format is told its own.
        "filter.",
        "target.webhook.format",
        // What one member says of another, and how long a span is.
        "secrets: expected one that the scheme signs with",
        "secrets[0]: expected whsec_ and base64",
        "policy.timeout: expected 1ms to 5m",
    ];
    let text = json!({"webhook": {"url": "https://a.example/"}});
    let least = json!({"name": "t", "kinds": ["*"], "target": text});
    let validator = validator(schema::TRIGGER);
    assert!(validator.is_valid(&least));
    compare(&validator, &full_trigger(), read_trigger, &beyond);
}

#[cfg(feature = "schedule")]
#[test]
fn what_the_reader_of_schedules_refuses_the_schema_refuses_and_nothing_else() {
    let beyond = [
        "schedule.cron: expected a cron expression",
        "schedule.time_zone: expected the name",
        "schedule.every: expected a period",
        "schedule.jitter: expected at most",
        // The rest of the trigger is compared elsewhere.
        "filter.",
        "target.webhook.format",
        "secrets: expected one that the scheme signs with",
        "secrets[0]: expected whsec_ and base64",
        "policy.timeout: expected 1ms to 5m",
    ];
    let validator = validator(schema::TRIGGER);
    for schedule in [
        json!({"cron": "0 3 * * *", "time_zone": "Europe/Berlin", "missed": "skip", "jitter": "5m"}),
        json!({"at": "2026-11-23T14:42:23Z", "missed": {"all": 3}}),
        json!({"every": "6h", "from": "2026-11-23T14:42:23Z"}),
    ] {
        let trigger = with(full_trigger(), "/schedule", schedule);
        assert!(read_trigger(&trigger).is_err() && !validator.is_valid(&trigger));
        let trigger = with(trigger, "/kinds", json!(["schedule.fired"]));
        compare(&validator, &trigger, read_trigger, &beyond);
        let trigger = with(trigger, "/kinds", Value::Null);
        assert!(read_trigger(&trigger).is_ok() && validator.is_valid(&trigger));
    }
}

#[test]
fn what_the_reader_of_watches_refuses_the_schema_refuses_and_nothing_else() {
    let beyond = [
        "watch.every: expected 10s to 30d",
        "watch.jitter: expected at most every",
        "watch.versions",
        // The rest of the trigger is compared elsewhere.
        "filter.",
        "target.webhook.format",
        "secrets: expected one that the scheme signs with",
        "secrets[0]: expected whsec_ and base64",
        "policy.timeout: expected 1ms to 5m",
    ];
    let validator = validator(schema::TRIGGER);
    let watch = json!({
        "upstream": "hub", "package": "library/debian", "every": "1h", "jitter": "5m", "first": "fire",
        "moved": "ignore", "removed": "fire", "versions": {"glob": ["12.*"], "semver": ">=12"},
    });
    let trigger = with(full_trigger(), "/watch", watch);
    assert!(read_trigger(&trigger).is_ok(), "{:?}", read_trigger(&trigger));
    compare(&validator, &trigger, read_trigger, &beyond);
    let trigger = with(trigger, "/kinds", Value::Null);
    assert!(read_trigger(&trigger).is_ok() && validator.is_valid(&trigger));
    let both = with(trigger, "/schedule", json!({"cron": "@daily"}));
    assert!(read_trigger(&both).is_err() && !validator.is_valid(&both));
}

#[test]
fn members_that_are_not_known_are_kept_by_events_and_refused_by_triggers() {
    let events = validator(schema::EVENT);
    for place in ["", "/source", "/artifact", "/artifact/oci", "/artifact/files/0", "/actor"] {
        let changed = with(full_event(), &format!("{place}/x_later"), json!([1]));
        assert!(read_event(&changed).is_ok() && events.is_valid(&changed), "{place}");
    }
    let triggers = validator(schema::TRIGGER);
    for place in ["", "/target", "/target/webhook", "/policy", "/policy/retry"] {
        let changed = with(full_trigger(), &format!("{place}/x_later"), json!([1]));
        assert!(read_trigger(&changed).is_err() && !triggers.is_valid(&changed), "{place}");
    }
}

#[test]
fn what_must_be_there_must_be_there() {
    for (document, read, schema) in [
        (full_event(), read_event as fn(&Value) -> Result<(), Problems>, schema::EVENT),
        (full_trigger(), read_trigger, schema::TRIGGER),
    ] {
        let validator = validator(schema);
        for name in document.as_object().unwrap().keys() {
            let mut without = document.clone();
            without.as_object_mut().unwrap().remove(name);
            assert_eq!(read(&without).is_ok(), validator.is_valid(&without), "{name}");
        }
    }
}

#[test]
fn an_event_tells_what_its_kind_is_about() {
    let events = validator(schema::EVENT);
    for (kind, artifact) in [
        ("artifact.deleted", json!({"version": "1"})),
        ("artifact", json!({})),
        ("tag.moved", json!({"name": "a", "tags": []})),
        ("repository.created", json!({"name": "a"})),
        ("artifacts.seen", json!({})),
        ("tag.moved", json!({"tags": ["a"]})),
        ("artifact.deleted", json!({"name": null})),
    ] {
        let changed = with(with(full_event(), "/artifact", artifact), "/kind", json!(kind));
        assert_eq!(read_event(&changed).is_ok(), events.is_valid(&changed), "{kind}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[0-9]{1,3}(ms|s|m|h|d)".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_$]{0,8}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_reader_takes_its_schema_takes(
        place in any::<prop::sample::Index>(),
        value in any_json(),
        is_event in any::<bool>(),
    ) {
        let document = if is_event { full_event() } else { full_trigger() };
        let mut found = Vec::new();
        pointers(&document, "", &mut found);
        let changed = with(document, place.get::<String>(&found), value);
        let (read, schema) = if is_event {
            (read_event(&changed), schema::EVENT)
        } else {
            (read_trigger(&changed), schema::TRIGGER)
        };
        if read.is_ok() {
            prop_assert!(validator(schema).is_valid(&changed), "{}", changed);
        }
    }
}
