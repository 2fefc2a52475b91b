//! What each format sends of each sample. `UPDATE_EXPECTED=1` writes the snapshots anew.

use std::collections::BTreeSet;
use std::env;
use std::fs;

use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::payload::PayloadFormat;
use serde_json::{Map, Value, json};

use super::{body, data, events, formats, header, read, render};

fn shown(format: &PayloadFormat, event: &Event) -> Value {
    let payload = render(format, event);
    let headers: Map<String, Value> =
        payload.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({"headers": headers, "body": body(&payload)})
}

#[test]
fn each_format_sends_what_its_snapshots_show() {
    for (name, format) in formats() {
        let sent: Map<String, Value> =
            events().iter().map(|(of, event)| (of.clone(), shown(&format, event))).collect();
        let sent = Value::Object(sent);
        let path = format!("payloads/{name}.json");
        if env::var_os("UPDATE_EXPECTED").is_some() {
            let text = serde_json::to_string_pretty(&sent).unwrap() + "\n";
            fs::write(data(&path), text).unwrap();
        }
        let expected = read(&path);
        for (of, _) in events() {
            assert_eq!(sent[&of], expected[&of], "{name}, {of}");
        }
        assert_eq!(sent, expected, "{name}");
    }
}

fn of_kind(kind: &EventKind) -> Event {
    let image = Artifact::new("oci", "hello")
        .with_registry("registry.example")
        .with_repository("library/hello")
        .with_tag("v1")
        .with_digest(format!("sha256:{}", "ab".repeat(32)));
    Event::builder(kind.clone()).artifact(image).build().unwrap()
}

/// What tells the kind, in the words of a format.
fn word(format: &PayloadFormat, event: &Event) -> String {
    let payload = render(format, event);
    let body = body(&payload);
    let text = |pointer: &str| body.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    match format {
        PayloadFormat::CloudeventsBinary => header(&payload, "ce-type").unwrap().to_owned(),
        PayloadFormat::Cdevents(cdevents) if cdevents.binary => text("/customData/kind"),
        PayloadFormat::Cdevents(_) => text("/data/customData/kind"),
        PayloadFormat::Distribution => text("/events/0/action"),
        PayloadFormat::Native | PayloadFormat::CloudeventsStructured | PayloadFormat::Harbor => {
            text("/type")
        }
        PayloadFormat::Harness(_) => text("/trigger"),
        PayloadFormat::Slack(_) => text("/text"),
        PayloadFormat::Teams(_) => text("/attachments/0/content/fallbackText"),
        PayloadFormat::Discord(_) => text("/embeds/0/title"),
        PayloadFormat::GithubDispatch(_) => text("/event_type"),
        PayloadFormat::GitlabPipeline(_) => text("/variables/EVENT_KIND"),
        other => panic!("{other:?} has no word here"),
    }
}

/// Kinds that a format tells by one word: those that mean no more in it.
fn told_alike(format: &PayloadFormat) -> &'static [&'static str] {
    match format {
        PayloadFormat::Distribution => &["push", "pull", "mount", "delete"],
        PayloadFormat::Harbor => &["PUSH_ARTIFACT"],
        _ => &[],
    }
}

#[test]
fn defect_38_every_kind_is_told_in_every_format_by_a_word_of_its_own() {
    let own: EventKind = "acme.mirror-sync.done".parse().unwrap();
    for (name, format) in formats() {
        let mut words = BTreeSet::new();
        for kind in EventKind::KNOWN.iter().chain([&own]) {
            let event = of_kind(kind);
            let word = word(&format, &event);
            assert!(!word.is_empty(), "{name}: {kind}");
            if !told_alike(&format).contains(&word.as_str()) {
                assert!(words.insert(word.clone()), "{name}: {kind} is told as another: {word}");
            }
        }
    }
}

#[test]
fn what_a_format_sets_is_a_header_field_and_tells_the_media_type() {
    for (name, format) in formats() {
        for (of, event) in events() {
            let payload = render(&format, &event);
            assert!(header(&payload, "content-type").is_some(), "{name}, {of}");
            let mut names = BTreeSet::new();
            for (field, value) in &payload.headers {
                let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                assert!(field.bytes().all(is_name), "{name}: {field}");
                assert!(value.bytes().all(|b| (0x20..=0x7e).contains(&b)), "{name}: {value}");
                assert!(names.insert(field), "{name} sets {field} twice");
            }
        }
    }
}
