use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::event::Source;
use crate::id::TriggerId;
use crate::incoming::provider::{Provider, ProviderReceiver};
use crate::incoming::{Incoming, ReceiveError, Receiver};
use crate::payload::{PayloadFormat, TriggerName};
use crate::signature::Verifier;

fn open(scope: &str, headers: &Headers, body: &[u8], at: i64) -> Result<Vec<Notice>, ReceiveError> {
    let verifier = Verifier::accept_unverified();
    let receiver = ProviderReceiver::new(Provider::CloudEvents, scope.parse().unwrap(), verifier);
    receiver.open(Incoming { headers, body }, Timestamp::from_unix_seconds(at))
}

fn event() -> Event {
    let artifact = Artifact::new("npm", "ü \"x\"").with_namespace("@acme").with_version("1.2.3");
    let mut event = Event::builder(EventKind::ARTIFACT_INGESTED)
        .scope("acme/platform".parse().unwrap())
        .source(Source::new("distribution").with_instance("vm:5510"))
        .artifact(artifact)
        .attribute("team", "a")
        .data(json!({ "n": 1.5, "list": [null, true] }))
        .build()
        .unwrap();
    event.correlation.hops = vec!["trg_x".to_owned()];
    event
}

fn sent(event: &Event, format: &PayloadFormat) -> (Headers, Vec<u8>) {
    let trigger = TriggerName { id: TriggerId::derived(event.occurred_at, &[]), name: "t" };
    let payload = format.render(event, &event.to_json(), trigger);
    (payload.headers.into_iter().collect(), payload.body.to_vec())
}

const FORMATS: [PayloadFormat; 2] =
    [PayloadFormat::CloudeventsBinary, PayloadFormat::CloudeventsStructured];

#[test]
fn what_an_engine_sends_becomes_the_same_event() {
    for format in FORMATS {
        let mut event = event();
        let (headers, body) = sent(&event, &format);
        let notices = open("", &headers, &body, 1_764_000_000).unwrap();
        event.received_at = Timestamp::from_unix_seconds(1_764_000_000);
        assert_eq!(notices, [Notice { event, change: Change::None }]);
    }
}

#[test]
fn an_event_stays_in_the_receivers_scope_and_takes_no_id_of_another() {
    let event = event();
    let (headers, body) = sent(&event, &PayloadFormat::CloudeventsStructured);
    let told = |scope: &str, at: i64| open(scope, &headers, &body, at).unwrap().remove(0).event;
    for (scope, expected) in
        [("acme", "acme/platform"), ("acme/platform", "acme/platform"), ("mirror", "mirror")]
    {
        let told_first = told(scope, 1_764_000_000);
        assert_eq!(told_first.scope.as_str(), expected);
        assert_eq!(told_first.correlation.cause, Some(event.id));
        assert_eq!(told_first.correlation.hops, ["trg_x"]);
        assert_eq!(told_first.artifact, event.artifact);
        assert_ne!(told_first.id, event.id);
        assert_eq!(told(scope, 1_765_000_000).id, told_first.id);
    }
    assert_ne!(told("mirror", 0).id, told("acme", 0).id);
}

#[test]
fn attributes_that_contradict_the_event_are_refused() {
    let event = event();
    let (mut headers, body) = sent(&event, &PayloadFormat::CloudeventsBinary);
    headers = headers
        .into_iter()
        .map(|(name, value)| match name.as_str() {
            "ce-id" => (name, b"1".to_vec()),
            "ce-type" => (name, b"artifact-triggers.artifact.deleted".to_vec()),
            _ => (name, value),
        })
        .collect();
    assert_eq!(
        open("", &headers, &body, 0).unwrap_err().to_string(),
        format!(
            "ce-id: expected {}, since that is what data says; \
             ce-type: expected artifact-triggers.artifact.ingested, since that is what data says",
            event.id
        )
    );
}

#[test]
fn what_is_wrong_with_an_event_is_named_within_the_data() {
    let envelope = json!([{
        "specversion": "1.0", "id": "1", "source": "/a", "type": "artifact-triggers.ping",
        "data": { "spec_version": "1.0", "kind": "ping", "id": 1 },
    }]);
    let headers = [("content-type", "application/cloudevents-batch+json")].into_iter().collect();
    let error = open("", &headers, envelope.to_string().as_bytes(), 0).unwrap_err().to_string();
    assert!(error.starts_with("[0].data.id: expected an event id, found 1; [0].data.source: "));
}

#[test]
fn any_other_type_is_a_webhook_that_stands_for_itself() {
    let envelope = json!({
        "specversion": "1.0",
        "id": "A234-1234-1234",
        "source": "https://ci.example/builds",
        "type": "com.example.build.finished",
        "subject": "build/7",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "data": { "ok": true },
    });
    let headers = [("content-type", "application/cloudevents+json")].into_iter().collect();
    let body = envelope.to_string();
    let told = |at: i64| open("acme", &headers, body.as_bytes(), at).unwrap().remove(0).event;
    let event = told(1_764_000_000);
    assert_eq!(event.kind, EventKind::WEBHOOK_RECEIVED);
    assert_eq!(event.scope.as_str(), "acme");
    assert_eq!(event.source.name, "cloudevents");
    assert_eq!(event.source.instance.as_deref(), Some("https://ci.example/builds"));
    assert_eq!(event.source.id.as_deref(), Some("A234-1234-1234"));
    assert_eq!(event.correlation.trace_parent.as_deref(), envelope["traceparent"].as_str());
    assert_eq!(event.artifact, None);
    assert_eq!(event.occurred_at, Timestamp::from_unix_seconds(1_764_000_000));
    assert_eq!(event.data, Some(envelope));
    // It tells no time, and is the same whenever it is told.
    assert_eq!(told(1_765_000_000).id, event.id);
}

#[test]
fn the_place_in_a_batch_does_not_make_another_event() {
    let envelope = |id: &str, source: &str| json!({ "specversion": "1.0", "id": id, "source": source, "type": "t" });
    let ids = |events: Value| -> Vec<EventId> {
        let headers =
            [("content-type", "application/cloudevents-batch+json")].into_iter().collect();
        let notices = open("", &headers, events.to_string().as_bytes(), 0).unwrap();
        notices.iter().map(|notice| notice.event.id).collect()
    };
    let first = ids(json!([envelope("1", "/a"), envelope("2", "/a"), envelope("1", "/b")]));
    let second = ids(json!([envelope("1", "/b"), envelope("1", "/a"), envelope("2", "/a")]));
    assert_eq!([second[1], second[2], second[0]], *first);
    assert!(first[0] != first[1] && first[0] != first[2] && first[1] != first[2]);
}
