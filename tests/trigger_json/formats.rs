//! The `format` of a webhook: what stands beside it and may not, and that it comes back as it was.

use artifact_triggers::event::EventKind;
use artifact_triggers::payload::{Harness, PayloadFormat};
use artifact_triggers::trigger::{Trigger, TriggerSpec};
use serde_json::{Value, json};

fn spec(webhook: &Value) -> Result<TriggerSpec, String> {
    let mut target = json!({"url": "https://hooks.example/a"});
    target.as_object_mut().unwrap().extend(webhook.as_object().unwrap().clone());
    let trigger = json!({"name": "t", "kinds": ["ping"], "target": {"webhook": target}});
    TriggerSpec::from_value(trigger).map_err(|problems| problems.to_string())
}

#[test]
fn a_format_comes_back_with_all_that_it_knows() {
    for (written, read) in [
        (json!("native"), json!("native")),
        (json!({"native": {}}), json!("native")),
        (json!("harness"), json!({"harness": {"prefix": "Gitness"}})),
        (json!({"harness": {"prefix": "Acme"}}), json!({"harness": {"prefix": "Acme"}})),
        (json!("cdevents"), json!({"cdevents": {"version": "0.4.1", "binary": false}})),
        (
            json!({"cdevents": {"version": "0.5.0", "binary": true}}),
            json!({"cdevents": {"version": "0.5.0", "binary": true}}),
        ),
        (json!("distribution"), json!("distribution")),
        (json!("harbor"), json!("harbor")),
        (json!("slack"), json!({"slack": {}})),
        (json!({"teams": {"label": "staging"}}), json!({"teams": {"label": "staging"}})),
        (json!({"discord": {}}), json!({"discord": {}})),
        (json!("github-dispatch"), json!({"github-dispatch": {}})),
        (
            json!({"github-dispatch": {"event_type": "pushed"}}),
            json!({"github-dispatch": {"event_type": "pushed"}}),
        ),
        (
            json!({"gitlab-pipeline": {"ref": "main"}}),
            json!({"gitlab-pipeline": {"ref": "main", "variables": {}}}),
        ),
        (
            json!({"gitlab-pipeline": {"ref": "v1", "variables": {"A_1": "b"}}}),
            json!({"gitlab-pipeline": {"ref": "v1", "variables": {"A_1": "b"}}}),
        ),
    ] {
        let spec = spec(&json!({"format": written})).unwrap();
        assert_eq!(super::kept(&spec), spec);
        let shown = serde_json::to_value(super::stored(spec)).unwrap();
        assert_eq!(shown.pointer("/target/webhook/format"), Some(&read));
    }
}

#[test]
fn every_problem_of_a_format_is_named() {
    let control = "expected 1 to 100 characters and no control characters";
    let wrong_ref = "expected a branch or tag of 1 to 255 bytes";
    for (format, problem) in [
        (
            json!({"cdevents": {"version": "0.2.0"}}),
            ".cdevents.version: expected 0.3.0, 0.4.1 or 0.5.0 (a string), found \"0.2.0\""
                .to_owned(),
        ),
        (
            json!({"cdevents": {"binary": "yes"}}),
            ".cdevents.binary: expected true or false, found \"yes\"".to_owned(),
        ),
        (
            json!({"distribution": {"a": 1}}),
            ".distribution.a: is not a member of this object".to_owned(),
        ),
        (
            json!({"slack": {"label": ""}}),
            ".slack.label: expected 1 to 40 characters and no control characters, found \"\""
                .to_owned(),
        ),
        (
            json!({"teams": {"label": "a\nb"}}),
            ".teams.label: expected 1 to 40 characters and no control characters, found \"a\\nb\""
                .to_owned(),
        ),
        (
            json!({"github-dispatch": {"event_type": "x".repeat(101)}}),
            format!(".github-dispatch.event_type: {control}, found \"{}\"", "x".repeat(80)),
        ),
        (
            json!("gitlab-pipeline"),
            ".gitlab-pipeline.ref: expected a string, found nothing".to_owned(),
        ),
        (
            json!({"gitlab-pipeline": {"ref": "a b"}}),
            format!(".gitlab-pipeline.ref: {wrong_ref}, found \"a b\""),
        ),
        (
            json!({"gitlab-pipeline": {"ref": ""}}),
            format!(".gitlab-pipeline.ref: {wrong_ref}, found \"\""),
        ),
        (
            json!({"gitlab-pipeline": {"ref": "main", "variables": {"A-B": ""}}}),
            ".gitlab-pipeline.variables.A-B: expected a name of letters, digits and underscores"
                .to_owned(),
        ),
        (
            json!({"gitlab-pipeline": {"ref": "main", "variables": {"A": "x".repeat(4097)}}}),
            ".gitlab-pipeline.variables.A: expected at most 4096 bytes, found 4097".to_owned(),
        ),
        (
            json!({"gitlab-pipeline": {"ref": "main", "variables": {"A": 1}}}),
            ".gitlab-pipeline.variables.A: expected a string, found 1".to_owned(),
        ),
    ] {
        let found = spec(&json!({"format": format}));
        assert_eq!(found, Err(format!("target.webhook.format{problem}")), "{format}");
    }
}

#[test]
fn nothing_else_sets_a_field_that_the_format_sets() {
    let field = "X-Gitness-Webhook-Uid";
    let timestamped = json!({"timestamped": {"header": field}});
    for (beside, problem) in [
        (
            json!({"headers": {field: "7"}}),
            "headers.X-Gitness-Webhook-Uid: is set by the format and cannot be overridden",
        ),
        (
            json!({"auth": {"api_key": {"header": field, "key": "k"}}}),
            "auth: names a field that the format sets",
        ),
        (
            json!({"scheme": timestamped, "secrets": ["text:a long shared secret"]}),
            "scheme: names a field that the format sets",
        ),
    ] {
        assert!(spec(&beside).is_ok(), "{beside}");
        let mut with_format = beside.clone();
        with_format["format"] = json!("harness");
        assert_eq!(spec(&with_format), Err(format!("target.webhook.{problem}")));
    }
}

#[test]
fn what_is_set_in_code_is_held_to_the_same() {
    let format = PayloadFormat::Harness(Harness::default().with_prefix("a\r\nb"));
    let secret = super::SECRET.parse().unwrap();
    let built = Trigger::builder("t").on(EventKind::PING);
    let built = built.webhook("https://hooks.example/a", secret).format(format);
    assert_eq!(
        built.build().unwrap_err().to_string(),
        "target.webhook.format.harness.prefix: expected 1 to 40 letters, digits and hyphens, \
         found \"a\\r\\nb\""
    );
}
