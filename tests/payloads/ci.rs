//! Requests that start something: within the limits of who takes them.

use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::payload::{GithubDispatch, GitlabPipeline, PayloadFormat};
use serde_json::{Value, json};

use super::{body, event, events, header, render};

fn dispatch() -> PayloadFormat {
    PayloadFormat::GithubDispatch(GithubDispatch::default())
}

fn pipeline() -> PayloadFormat {
    PayloadFormat::GitlabPipeline(GitlabPipeline::new("main"))
}

#[test]
fn a_dispatch_has_a_type_and_few_members_and_the_event() {
    for (name, event) in events() {
        let payload = render(&dispatch(), &event);
        let sent = body(&payload);
        let members: Vec<&String> = sent.as_object().unwrap().keys().collect();
        assert_eq!(members, ["client_payload", "event_type"], "{name}");
        assert_eq!(sent["event_type"], event.kind.as_str());
        let told = sent["client_payload"].as_object().unwrap();
        assert!(told.len() <= 10, "{name}: {}", told.len());
        assert_eq!(told["data"], serde_json::to_value(&event).unwrap());
        assert_eq!(told["complete"], true);
        assert_eq!(header(&payload, "accept"), Some("application/vnd.github+json"));
        assert_eq!(header(&payload, "x-github-api-version"), Some("2022-11-28"));
    }
    let named = GithubDispatch::default().with_event_type("artifact-pushed");
    let sent = body(&render(&PayloadFormat::GithubDispatch(named), &event("new image")));
    assert_eq!(sent["event_type"], "artifact-pushed");
}

#[test]
fn a_type_is_never_longer_than_github_takes() {
    let kind: EventKind = "k".repeat(128).parse().unwrap();
    let sent = body(&render(&dispatch(), &Event::builder(kind.clone()).build().unwrap()));
    assert_eq!(sent["event_type"], "k".repeat(100));
    assert_eq!(sent["client_payload"]["type"], kind.as_str());
}

#[test]
fn a_large_event_goes_to_github_without_what_makes_it_large_and_says_so() {
    let mut large = event("new image");
    large.data = Some(json!("x".repeat(100_000)));
    let payload = render(&dispatch(), &large);
    assert!(payload.body.len() < 10_000, "{}", payload.body.len());
    let told = &body(&payload)["client_payload"];
    assert_eq!((&told["complete"], &told["data"]["data"]), (&json!(false), &Value::Null));
    assert_eq!(told["data"]["artifact"]["digest"], json!(large.artifact.unwrap().digest));
    // Texts as long as they may be, of signs that JSON writes in two.
    let text = "\"".repeat(4_096);
    let artifact = Artifact::new("generic", &text)
        .with_registry(&text)
        .with_repository(&text)
        .with_namespace(&text)
        .with_version(&text)
        .with_url(&text)
        .with_purl(&text)
        .with_tag(&text)
        .with_tag(&text);
    let largest = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap();
    let payload = render(&dispatch(), &largest);
    assert!(payload.body.len() < 65_536);
    let told = &body(&payload)["client_payload"];
    assert_eq!(told["data"], json!({"id": largest.id, "kind": "artifact.ingested"}));
}

#[test]
fn a_pipeline_gets_what_happened_as_variables() {
    let own = GitlabPipeline::new("release/1.x")
        .with_variable("DEPLOY_TO", "staging")
        .with_variable("ARTIFACT_TYPE", "container");
    let sent = body(&render(&PayloadFormat::GitlabPipeline(own), &event("new image")));
    assert_eq!(sent["ref"], "release/1.x");
    let variables = &sent["variables"];
    assert_eq!(variables["ARTIFACT_REPOSITORY"], "library/hello");
    assert_eq!(variables["ARTIFACT_TAG"], "v1.2.0");
    assert_eq!(variables["EVENT_KIND"], "artifact.ingested");
    assert_eq!(variables["EVENT_ACTOR"], "ci-bot");
    assert_eq!(variables["DEPLOY_TO"], "staging");
    assert_eq!(variables["ARTIFACT_TYPE"], "container", "what the operator sets counts");
    assert!(variables.get("ARTIFACT_VERSION").is_none(), "what is not known is not set");
}

#[test]
fn nobody_who_pushes_reads_a_variable_of_the_pipeline() {
    let artifact = Artifact::new("generic", "$CI_JOB_TOKEN").with_version("1");
    let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap();
    let sent = body(&render(&pipeline(), &event));
    assert!(sent["variables"].get("ARTIFACT_NAME").is_none());
    assert_eq!(sent["variables"]["ARTIFACT_VERSION"], "1");
    assert!(!sent["variables"].to_string().contains('$'), "{sent}");
}
