//! GitHub's `repository_dispatch`: an event's JSON for workflows.

use serde_json::{Value, json};

use super::{Payload, TriggerName};
use crate::document::{Object, Problems, cut};
use crate::event::{Artifact, Event};

/// What the [`GithubDispatch`](super::PayloadFormat::GithubDispatch) format is to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct GithubDispatch {
    /// The `event_type` that workflows wait for; the event's kind unless it is set.
    pub event_type: Option<String>,
}

/// The largest body that GitHub takes, in bytes.
const MAX_BODY_BYTES: usize = 65_535;

/// What GitHub asks of a client of this version of its API.
const FIELDS: [(&str, &str); 2] =
    [("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")];

impl GithubDispatch {
    /// The longest type, in characters.
    pub const MAX_EVENT_TYPE_CHARS: usize = 100;

    /// Sets the `event_type` that workflows wait for.
    pub fn with_event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }

    pub(super) fn take(object: &mut Object, problems: &mut Problems) -> Self {
        Self { event_type: object.optional("event_type", problems) }
    }

    pub(super) fn to_value(&self) -> Value {
        match &self.event_type {
            Some(event_type) => json!({"event_type": event_type}),
            None => json!({}),
        }
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        let Some(event_type) = &self.event_type else { return };
        let length = 1..=Self::MAX_EVENT_TYPE_CHARS;
        let is_text = !event_type.chars().any(char::is_control);
        if !length.contains(&event_type.chars().count()) || !is_text {
            let most = Self::MAX_EVENT_TYPE_CHARS;
            let expected = format!("expected 1 to {most} characters and no control characters");
            let found = cut(event_type);
            problems.add(format!("{path}.event_type"), format!("{expected}, found {found:?}"));
        }
    }

    pub(super) fn header_names() -> Vec<String> {
        FIELDS.map(|(name, _)| name.to_owned()).to_vec()
    }

    pub(super) fn render(
        &self,
        event: &Event,
        event_json: &[u8],
        trigger: TriggerName<'_>,
    ) -> Payload {
        let body = self.body(event, event_json, trigger, true);
        let body = if body.len() <= MAX_BODY_BYTES {
            body
        } else {
            let shortened = shortened(event).to_json();
            let body = self.body(event, &shortened, trigger, false);
            if body.len() <= MAX_BODY_BYTES {
                body
            } else {
                let named = json!({"id": event.id, "kind": event.kind}).to_string();
                self.body(event, named.as_bytes(), trigger, false)
            }
        };
        let mut payload = Payload::new("application/json", body);
        payload.headers.extend(FIELDS.map(|(name, value)| (name.to_owned(), value.to_owned())));
        payload
    }

    fn body(
        &self,
        event: &Event,
        event_json: &[u8],
        trigger: TriggerName<'_>,
        is_complete: bool,
    ) -> Vec<u8> {
        let kind = event.kind.as_str();
        let event_type = self.event_type.as_deref().unwrap_or(kind);
        let event_type: String = event_type.chars().take(Self::MAX_EVENT_TYPE_CHARS).collect();
        let head = json!({
            "complete": is_complete,
            "timestamp": event.occurred_at,
            "trigger": {"id": trigger.id, "name": trigger.name},
            "type": kind,
        });
        let mut body = format!("{{\"event_type\":{},\"client_payload\":", json!(event_type));
        body.push_str(&head.to_string());
        body.pop();
        let mut body = body.into_bytes();
        body.extend_from_slice(b",\"data\":");
        body.extend_from_slice(event_json);
        body.extend_from_slice(b"}}");
        body
    }
}

/// The event without what may be large, and all that says what it is about.
fn shortened(event: &Event) -> Event {
    let mut event = event.clone();
    event.data = None;
    event.attributes.clear();
    event.extra.clear();
    event.correlation.hops.clear();
    let artifacts = [&mut event.artifact, &mut event.from];
    for artifact in artifacts.into_iter().flatten() {
        *artifact = Artifact {
            files: Vec::new(),
            oci: None,
            extra: serde_json::Map::new(),
            ..artifact.clone()
        };
        artifact.tags.truncate(10);
    }
    event
}
