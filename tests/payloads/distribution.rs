//! The distribution envelope, read back by our own receiver.

use std::fs;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::{Event, EventKind};
use artifact_triggers::incoming::distribution::DistributionReceiver;
use artifact_triggers::incoming::{Incoming, Notice, Receiver};
use artifact_triggers::payload::{Payload, PayloadFormat};
use artifact_triggers::signature::Verifier;
use serde_json::{Value, json};

use super::{body, data, event, events, render};

const MEDIA_TYPE: &str = "application/vnd.docker.distribution.events.v1+json";

fn receive(content_type: &str, body: &[u8]) -> Vec<Notice> {
    let scope = "acme/platform".parse().unwrap();
    let receiver = DistributionReceiver::new(scope, Verifier::accept_unverified());
    let headers = [("content-type", content_type)].into_iter().collect();
    receiver.open(Incoming { headers: &headers, body }, Timestamp::now()).unwrap()
}

fn sent(event: &Event) -> Payload {
    render(&PayloadFormat::Distribution, event)
}

fn read_back(event: &Event) -> Vec<Event> {
    let payload = sent(event);
    assert_eq!(super::header(&payload, "content-type"), Some(MEDIA_TYPE));
    receive(MEDIA_TYPE, &payload.body).into_iter().map(|notice| notice.event).collect()
}

/// What an event says, without who told it, when it was told, and what has no place in the
/// envelope.
fn facts(event: &Event) -> Value {
    let mut facts = serde_json::to_value(event).unwrap();
    for gone in ["id", "received_at", "data", "attributes"] {
        facts.as_object_mut().unwrap().remove(gone);
    }
    facts["source"] = json!(event.source.instance);
    facts
}

#[test]
fn what_a_registry_told_is_told_on_with_all_of_its_facts() {
    for n in 1..=45 {
        let captured = fs::read(data(&format!("distribution/all/{n:03}.body"))).unwrap();
        for told in receive(MEDIA_TYPE, &captured).into_iter().map(|notice| notice.event) {
            let back = read_back(&told);
            let back: Vec<Value> = back.iter().map(facts).collect();
            assert_eq!(back, [facts(&told)], "capture {n}");
        }
    }
}

#[test]
fn an_event_with_several_tags_is_told_once_for_each() {
    let told = event("image under the same tag");
    let back = read_back(&told);
    let tags: Vec<_> = back.iter().map(|event| event.artifact.clone().unwrap().tags).collect();
    assert_eq!(tags, [["latest"], ["v1"]]);
    assert!(back.iter().all(|event| event.kind == EventKind::ARTIFACT_INGESTED));
    assert_ne!(back[0].id, back[1].id);
    let ids = |events: Vec<Event>| events.iter().map(|event| event.id).collect::<Vec<_>>();
    assert_eq!(ids(back), ids(read_back(&told)), "told again it is the same");
}

#[test]
fn a_deletion_is_told_once_whatever_tags_there_were() {
    for (kind, expected) in
        [("artifact.deleted", "artifact.deleted"), ("repository.deleted", "repository.deleted")]
    {
        let mut told = event("image under the same tag");
        told.kind = kind.parse().unwrap();
        let back = read_back(&told);
        assert_eq!(back.len(), 1, "{kind}");
        assert_eq!(back[0].kind.as_str(), expected);
        let artifact = back[0].artifact.as_ref().unwrap();
        assert_eq!(artifact.tags, [""; 0]);
        assert_eq!(artifact.digest.is_some(), kind == "artifact.deleted");
    }
}

#[test]
fn what_the_registry_has_no_word_for_is_told_by_its_kind_and_never_as_a_deletion() {
    for (name, kind) in [
        ("new npm package", "distribution.artifact.ingested"),
        ("package promoted", "distribution.artifact.promoted"),
        ("scan completed", "distribution.scan.completed"),
        ("schedule came due", "distribution.schedule.fired"),
        ("a registry's own kind", "distribution.acme.mirror-sync.done"),
        ("image signed", "artifact.signed"),
        ("chart pulled", "artifact.downloaded"),
        ("image deleted by its digest", "artifact.deleted"),
        ("tag removed", "tag.deleted"),
    ] {
        assert_eq!(read_back(&event(name))[0].kind.as_str(), kind, "{name}");
    }
    // Without a digest a deletion of an artifact would read as one of its repository.
    let mut deleted = event("image deleted by its digest");
    deleted.artifact.as_mut().unwrap().digest = None;
    assert_eq!(body(&sent(&deleted))["events"][0]["action"], "artifact.deleted");
    let by_tag = event("tag removed").artifact.unwrap().tags;
    deleted.artifact.as_mut().unwrap().tags = by_tag;
    assert_eq!(read_back(&deleted)[0].kind.as_str(), "distribution.artifact.deleted");
}

#[test]
fn every_sample_is_understood_and_keeps_its_time_and_actor() {
    for (name, told) in events() {
        for back in read_back(&told) {
            assert_eq!(back.occurred_at, told.occurred_at, "{name}");
            let actor = |event: &Event| event.actor.clone().and_then(|actor| actor.name);
            assert_eq!(actor(&back), actor(&told), "{name}");
        }
    }
}
