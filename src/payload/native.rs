//! The native format: `type`, `timestamp`, `trigger` and `data`.

use serde_json::json;

use super::{Payload, TriggerName};
use crate::event::Event;

pub(super) fn render(event: &Event, event_json: &[u8], trigger: TriggerName<'_>) -> Payload {
    let mut body = Vec::with_capacity(event_json.len() + 192);
    body.extend_from_slice(b"{\"type\":\"");
    // Neither a kind nor a time nor an id has a character that JSON escapes.
    body.extend_from_slice(event.kind.as_str().as_bytes());
    body.extend_from_slice(b"\",\"timestamp\":\"");
    body.extend_from_slice(event.occurred_at.to_string().as_bytes());
    body.extend_from_slice(b"\",\"trigger\":{\"id\":\"");
    body.extend_from_slice(trigger.id.to_string().as_bytes());
    body.extend_from_slice(b"\",\"name\":");
    body.extend_from_slice(json!(trigger.name).to_string().as_bytes());
    body.extend_from_slice(b"},\"data\":");
    body.extend_from_slice(event_json);
    body.push(b'}');
    Payload::new("application/json", body)
}

/// Whether a body was rendered here: others are JSON too.
#[cfg(feature = "engine")]
pub(super) fn is_native(body: &[u8]) -> bool {
    let rest = body.strip_prefix(b"{\"type\":\"");
    let end = rest.and_then(|rest| Some((rest, rest.iter().position(|b| *b == b'"')?)));
    end.is_some_and(|(rest, end)| rest[end..].starts_with(b"\",\"timestamp\":\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Artifact, EventKind};
    use crate::id::TriggerId;
    use serde_json::Value;

    #[test]
    fn the_body_is_the_documented_json() {
        let event = Event::builder(EventKind::ARTIFACT_INGESTED)
            .artifact(Artifact::new("cargo", "serde"))
            .build()
            .unwrap();
        let id = TriggerId::derived(event.occurred_at, &[]);
        let payload = render(&event, &event.to_json(), TriggerName { id, name: "say \"hi\"" });
        let body: Value = serde_json::from_slice(&payload.body).unwrap();
        assert_eq!(
            body,
            json!({
                "type": "artifact.ingested",
                "timestamp": event.occurred_at,
                "trigger": {"id": id, "name": "say \"hi\""},
                "data": event,
            })
        );
    }
}
