//! Payloads: what is sent of an event, in the format that the receiver reads.
//!
//! In: an event and the trigger that matched it. Out: a [`Payload`], fixed when the delivery is
//! made: every attempt sends the same bytes, whatever the event's subject has become by then.

#[cfg(feature = "engine")]
mod batch;
mod cdevents;
mod chat;
mod cloudevents;
mod distribution;
mod encode;
mod format;
mod github;
mod gitlab;
mod harbor;
mod harness;
mod line;
mod native;
#[cfg(feature = "template")]
mod template;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "engine")]
pub(crate) use batch::BatchForm;
pub use cdevents::{Cdevents, CdeventsVersion};
pub use chat::Chat;
pub use format::PayloadFormat;
pub use github::GithubDispatch;
pub use gitlab::GitlabPipeline;
pub use harness::Harness;
#[cfg(feature = "template")]
pub use template::Template;

#[cfg(feature = "engine")]
use crate::event::Event;
use crate::id::TriggerId;

/// The header field that tells through which triggers an event went, oldest first, so that loops
/// can be cut: every request has it, and receivers [read](crate::incoming::hops) it.
pub const HOPS_HEADER: &str = "artifact-triggers-hops";

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
    /// The header fields that belong to the format, `content-type` among them. Those whose names
    /// begin with a colon are not sent as such: `:method`, and `:path`, what is appended to the
    /// endpoint's URL.
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
