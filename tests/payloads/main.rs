//! What each format makes of events: snapshots that a person can read, judges that others wrote,
//! and texts that want to be more than text.

mod cdevents;
mod chat;
mod ci;
mod distribution;
mod snapshots;

use std::fs;
use std::path::PathBuf;

use artifact_triggers::event::Event;
use artifact_triggers::id::TriggerId;
use artifact_triggers::payload::{
    Cdevents, CdeventsVersion, Chat, GithubDispatch, GitlabPipeline, Harness, Payload,
    PayloadFormat, TriggerName,
};
use serde_json::Value;

fn data(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).join(path)
}

fn read(path: &str) -> Value {
    let text = fs::read(data(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_slice(&text).unwrap()
}

/// The events that all formats are shown, by what they say.
fn events() -> Vec<(String, Event)> {
    let Value::Object(events) = read("payloads/events.json") else { panic!("expected an object") };
    let parse = |(name, event): (String, Value)| {
        let event = Event::from_json(event.to_string().as_bytes()).unwrap();
        (name, event)
    };
    events.into_iter().map(parse).collect()
}

/// The event of that name.
fn event(name: &str) -> Event {
    events().into_iter().find(|(known, _)| known == name).unwrap().1
}

/// Every format, by the name of its snapshots.
fn formats() -> Vec<(&'static str, PayloadFormat)> {
    let cdevents = |version| Cdevents::default().with_version(version);
    let gitlab = GitlabPipeline::new("main").with_variable("DEPLOY_TO", "staging");
    vec![
        ("native", PayloadFormat::Native),
        ("cloudevents-structured", PayloadFormat::CloudeventsStructured),
        ("cloudevents-binary", PayloadFormat::CloudeventsBinary),
        ("cdevents-0.3.0", PayloadFormat::Cdevents(cdevents(CdeventsVersion::V0_3_0))),
        ("cdevents-0.4.1", PayloadFormat::Cdevents(Cdevents::default())),
        (
            "cdevents-0.5.0-binary",
            PayloadFormat::Cdevents(cdevents(CdeventsVersion::V0_5_0).with_binary(true)),
        ),
        ("distribution", PayloadFormat::Distribution),
        ("harbor", PayloadFormat::Harbor),
        ("harness", PayloadFormat::Harness(Harness::default())),
        ("slack", PayloadFormat::Slack(Chat::default().with_label("staging"))),
        ("teams", PayloadFormat::Teams(Chat::default())),
        ("discord", PayloadFormat::Discord(Chat::default())),
        ("github-dispatch", PayloadFormat::GithubDispatch(GithubDispatch::default())),
        ("gitlab-pipeline", PayloadFormat::GitlabPipeline(gitlab)),
    ]
}

/// What a trigger of that name sends of an event.
fn render_for(name: &str, format: &PayloadFormat, event: &Event) -> Payload {
    let id: TriggerId = "trg_0193e5d2f0a07c3e8f00d1a2b3c4d5e6".parse().unwrap();
    format.render(event, &event.to_json(), TriggerName { id, name })
}

fn render(format: &PayloadFormat, event: &Event) -> Payload {
    render_for("tell-the-team", format, event)
}

fn body(payload: &Payload) -> Value {
    serde_json::from_slice(&payload.body).unwrap()
}

fn header<'p>(payload: &'p Payload, name: &str) -> Option<&'p str> {
    payload.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
