//! Payloads: what is sent of an event, in the format that the receiver reads.
//!
//! In: an event and the trigger that matched it. Out: a [`Payload`], fixed when the delivery is
//! made: every attempt sends the same bytes, whatever the event's subject has become by then.

#[cfg(feature = "engine")]
mod batch;
mod cloudevents;
mod native;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "engine")]
pub(crate) use batch::BatchForm;
use serde::Serialize;
use serde_json::Value;

use crate::document::{Field, Problems, or_mismatch};
use crate::event::Event;
use crate::id::TriggerId;

/// The header field that tells through which triggers an event went, oldest first, so that loops can
/// be cut: every request has it, and receivers [read](crate::incoming::hops) it.
pub const HOPS_HEADER: &str = "artifact-triggers-hops";

/// The form in which an event is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PayloadFormat {
    /// `{"type", "timestamp", "trigger", "data"}`, as Standard Webhooks recommends: the kind, when it
    /// happened, the trigger's id and name, and the event's JSON.
    #[default]
    Native,
    /// CloudEvents 1.0, structured: one JSON object with the event's JSON as `data`.
    CloudeventsStructured,
    /// CloudEvents 1.0, binary: attributes in `ce-` headers, the event's JSON as body.
    CloudeventsBinary,
}

impl PayloadFormat {
    const NAMES: [(Self, &'static str); 3] = [
        (Self::Native, "native"),
        (Self::CloudeventsStructured, "cloudevents-structured"),
        (Self::CloudeventsBinary, "cloudevents-binary"),
    ];

    /// The format's name, as in JSON.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(format, _)| *format == self).expect("each has a name").1
    }

    /// Whether several events have a form in which they go in one request.
    pub fn has_batches(self) -> bool {
        matches!(self, Self::Native | Self::CloudeventsStructured)
    }

    /// What is sent of an event to a trigger's receiver.
    ///
    /// `event_json` is the event's own JSON, so that many triggers share one serialisation.
    pub fn render(self, event: &Event, event_json: &[u8], trigger: TriggerName<'_>) -> Payload {
        match self {
            Self::Native => native::render(event, event_json, trigger),
            Self::CloudeventsStructured => cloudevents::structured(event, event_json),
            Self::CloudeventsBinary => cloudevents::binary(event, event_json),
        }
    }
}

impl Field for PayloadFormat {
    const EXPECTED: &'static str = "native, cloudevents-structured or cloudevents-binary";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let known = Self::NAMES.iter().find(|(_, name)| value.as_str() == Some(name));
        let known = known.map(|(format, _)| *format);
        or_mismatch(known, &value, Self::EXPECTED, path, problems)
    }
}

/// The trigger that a payload names.
#[derive(Debug, Clone, Copy)]
pub struct TriggerName<'a> {
    /// Its id.
    pub id: TriggerId,
    /// Its name.
    pub name: &'a str,
}

/// What is sent: header fields of the format and the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// The header fields that belong to the format, `content-type` among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Arc<[u8]>,
}

/// Shows the body's size only.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl Payload {
    fn new(content_type: &str, body: Vec<u8>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { headers, body: body.into() }
    }

    /// Tells the hops that the event went through, and the trigger's.
    #[cfg(feature = "engine")]
    pub(crate) fn with_hops(mut self, event: &Event, trigger: TriggerId) -> Self {
        let mut hops = event.correlation.hops.join(",");
        if !hops.is_empty() {
            hops.push(',');
        }
        hops.push_str(&trigger.to_string());
        self.headers.push((HOPS_HEADER.to_owned(), hops));
        self
    }

    /// What an in-process action gets: the event's JSON.
    #[cfg(feature = "engine")]
    pub(crate) fn of_action(event_json: &[u8]) -> Self {
        Self { headers: Vec::new(), body: event_json.into() }
    }
}
