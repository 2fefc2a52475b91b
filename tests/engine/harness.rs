//! Who comes from Harness: conditions on what an incoming webhook tells, and its expressions in
//! what goes out.

use artifact_triggers::event::Scope;
use artifact_triggers::incoming::mapping::{Mapping, MappingReceiver};
use artifact_triggers::incoming::{Incoming, KeptHeaders};
use artifact_triggers::payload::{PayloadFormat, Template};
use artifact_triggers::request::Headers;
use artifact_triggers::secret::Secret;
use artifact_triggers::signature::Verifier;
use artifact_triggers::storage::EventQuery;
use artifact_triggers::trigger::filter::Filter;
use artifact_triggers::trigger::filter::harness::{HarnessOptions, from_harness_value};
use serde_json::{Value, json};

use crate::bench::*;

const TOKEN: &str = "Bearer canary-of-the-sender";

fn receiver() -> MappingReceiver {
    let mapping = br#"{
        "source": "ci",
        "kind": "artifact.ingested",
        "artifact": {"package_type": "oci", "repository": "{/image/name}", "tags": ["{/image/tag}"]}
    }"#;
    let verifier = Verifier::header_token("authorization", Secret::new(TOKEN));
    let kept = KeptHeaders::new(["X-Team", "X-Stage"]).unwrap();
    let mapping = Mapping::from_json(mapping).unwrap();
    MappingReceiver::new(mapping, "acme".parse().unwrap(), verifier).with_kept_headers(kept)
}

fn conditions() -> Filter {
    let conditions = json!([
        {"key": "<+trigger.artifact.build>", "operator": "StartsWith", "value": "v"},
        {"key": "<+trigger.artifact.build>", "operator": "Regex", "value": r"v\d+\.\d+"},
        {"key": "<+trigger.payload.image.name>", "operator": "EndsWith", "value": "/app"},
        {"key": "<+trigger.payload.run.branch>", "operator": "In", "value": "main, release"},
        {"key": "<+trigger.payload.run.by>", "operator": "NotEquals", "value": "bot"},
        {"key": "<+trigger.payload.run.title>", "operator": "Contains", "value": "fix"},
        {"key": "<+trigger.header['X-TEAM']>", "operator": "Equals", "value": "platform"},
        {"key": "<+trigger.header['x-stage']>", "operator": "NotIn", "value": "dev, test"},
        {"key": "<+trigger.type>", "operator": "Equals", "value": "artifact.ingested"},
    ]);
    from_harness_value(&conditions, &HarnessOptions::default()).unwrap()
}

fn body() -> Value {
    json!({
        "image": {"name": "acme/app", "tag": "v1.2"},
        "run": {"branch": "main", "by": "ann", "title": "a \"fix\"", "steps": ["build", "push"]},
    })
}

async fn tell(bench: &Bench, body: &Value, fields: &[(&str, &str)]) -> usize {
    let own = [("Authorization", TOKEN), ("Cookie", "canary")];
    let headers: Headers = own.iter().chain(fields).map(|(name, value)| (*name, *value)).collect();
    let body = body.to_string();
    let incoming = Incoming { headers: &headers, body: body.as_bytes() };
    bench.engine.receive(&receiver(), incoming).await.unwrap();
    bench.work(MINUTE).await;
    bench.script.requests().len()
}

#[tokio::test]
async fn conditions_on_payload_headers_and_artifact_let_a_request_of_expressions_go() {
    let bench = bench(Script::statuses([200])).await;
    let template = Template::new(
        r#"{"build": "<+trigger.artifact.build>", "tag": "<+lastPublished.tag>",
            "title": "<+trigger.payload.run.title>", "second": "<+eventPayload.run['steps'][1]>",
            "steps": <+trigger.payload.run.steps>, "team": "<+trigger.header['X-Team']>",
            "what": "<+trigger.type>", "by": "{{ event.source.name }}"}"#,
    )
    .with_path("run/<+trigger.payload.run.branch>");
    let trigger = webhook("t").filter(conditions()).format(PayloadFormat::Template(template));
    bench.trigger(trigger).await;
    let fields = [("X-Team", "platform"), ("X-Stage", "prod")];
    assert_eq!(tell(&bench, &body(), &fields).await, 1);
    let sent = &bench.script.requests()[0];
    assert!(sent.url.path().ends_with("/run/main"), "{}", sent.url);
    let made: Value = serde_json::from_slice(&sent.body).unwrap();
    let expected = json!({
        "build": "v1.2", "tag": "v1.2", "title": "a \"fix\"", "second": "push",
        "steps": ["build", "push"], "team": "platform", "what": "artifact.ingested", "by": "ci",
    });
    assert_eq!(made, expected);
    // Each of these breaks one condition.
    let breaking = [
        ("/image/tag", json!("1.9")),
        ("/image/tag", json!("v1-rc")),
        ("/image/name", json!("acme/tool")),
        ("/run/branch", json!("feature")),
        ("/run/by", json!("bot")),
        ("/run/title", json!("docs")),
    ];
    for (tag, (pointer, value)) in (3..).zip(breaking) {
        let mut other = body();
        *other.pointer_mut("/image/tag").unwrap() = json!(format!("v1.{tag}"));
        *other.pointer_mut(pointer).unwrap() = value;
        assert_eq!(tell(&bench, &other, &fields).await, 1, "{pointer}");
    }
    let mut other = body();
    *other.pointer_mut("/image/tag").unwrap() = json!("v2.0");
    assert_eq!(tell(&bench, &other, &[("X-Team", "web"), ("X-Stage", "prod")]).await, 1);
    *other.pointer_mut("/image/tag").unwrap() = json!("v2.1");
    assert_eq!(tell(&bench, &other, &[("X-Team", "platform"), ("X-Stage", "dev")]).await, 1);
    *other.pointer_mut("/image/tag").unwrap() = json!("v2.2");
    assert_eq!(tell(&bench, &other, &[("X-Team", "platform")]).await, 2, "an absent one is not in");
    let query = EventQuery::of_scope(Scope::root()).with_limit(100);
    let stored = serde_json::to_string(&bench.engine.events(query).await.unwrap()).unwrap();
    assert!(stored.contains("platform") && !stored.contains("canary"), "{stored}");
}

#[test]
fn an_unknown_expression_is_refused_with_its_path_when_the_trigger_is_made() {
    let template = Template::new("{}\n").with_query("by", "<+pipeline.name>");
    let refused = webhook("t").format(PayloadFormat::Template(template)).build().unwrap_err();
    let found: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let path =
        "target.webhook.format.template.query.by: line 1: expected <+trigger.artifact.build>";
    assert!(found[0].starts_with(path), "{found:?}");
    assert!(found[0].contains("found \"<+pipeline.name>\""), "{found:?}");
}
