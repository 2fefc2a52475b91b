//! Templates of whoever may write a trigger, on events of whoever may cause one.
//!
//! In: a template's text, a zero byte, and a name that stands in the event. Whatever the text says,
//! it ends soon and takes no more than its limits; what it makes is JSON where it must be, and what
//! stands in the event adds no segment to a path.

#![no_main]

use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::id::TriggerId;
use artifact_triggers::payload::{Payload, Template, TriggerName};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, name) = text.split_once('\0').unwrap_or((text, "name"));
    let artifact = Artifact::new("npm", name).with_version("1.2.3");
    let Ok(event) = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build() else {
        return;
    };
    let event = event.to_json();
    let trigger = TriggerName { id: TriggerId::from_bytes([7; 16]), name: "t" };
    let template = Template::new(text);
    if let Ok(made) = template.render(&event, trigger) {
        // Numbers of JSON may be larger than those that are read.
        if let Err(error) = serde_json::from_slice::<Value>(&made.body) {
            assert!(error.to_string().starts_with("number out of range"), "{error}");
        }
        assert!(made.body.len() <= Template::MAX_BODY_BYTES);
    }
    for content_type in ["text/plain", "text/html", "application/x-www-form-urlencoded"] {
        let template = template.clone().with_content_type(content_type);
        if let Ok(made) = template.render(&event, trigger) {
            assert!(made.body.len() <= Template::MAX_BODY_BYTES);
        }
    }
    let part = Template::new(r#"{"a": {{ artifact.name }}, "b": "<{{ artifact.name }}>"}"#)
        .with_path("a/{{ artifact.name }}/b");
    if let Ok(made) = part.render(&event, trigger) {
        let body: Value = serde_json::from_slice(&made.body).expect("what is made is JSON");
        assert_eq!(body, serde_json::json!({"a": name, "b": format!("<{name}>")}));
        assert_eq!(path(&made).matches('/').count(), 3);
    }
});

/// What is appended to the URL.
fn path(made: &Payload) -> &str {
    made.headers.iter().find(|(name, _)| name == ":path").map_or("", |(_, path)| path)
}
