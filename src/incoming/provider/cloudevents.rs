//! CloudEvents of any type, one notice an event.
//!
//! One that an engine of this crate sent, `artifact-triggers.…`, becomes the event that it was. Its
//! scope stays if it is at or below the receiver's, and becomes the receiver's otherwise. Its id
//! stays for a receiver of the root scope alone: elsewhere it follows from that id and the
//! receiver's scope, so that nobody can take the id of another scope's event; the id that it had is
//! its cause.
//!
//! Any other becomes `webhook.received`: what it means for an artifact only its sender knows. Its
//! data is the whole CloudEvent in the JSON event format, whichever way it came in.

use super::super::cloudevents::{self, CloudEvent};
use super::super::told::{Telling, Told, within_limit};
use super::super::{Change, Notice, ParseError};
use crate::document::{Field as _, Problems};
use crate::event::{Artifact, Correlation, Event, EventKind};
use crate::id::EventId;
use crate::request::Headers;

/// What the types of an engine's own events begin with.
const OURS: &str = "artifact-triggers.";

pub(super) fn read(headers: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    let events = cloudevents::read(headers, telling.body)?;
    Ok(Problems::gather(|problems| {
        let notice = |event: CloudEvent| {
            let read = if event.kind.starts_with(OURS) { ours } else { any };
            read(event, telling, problems)
        };
        Some(events.into_iter().filter_map(notice).collect())
    })?)
}

fn ours(mut told: CloudEvent, telling: &Telling<'_>, problems: &mut Problems) -> Option<Notice> {
    let path = told.data_path();
    let event = Event::read(told.take_json(problems)?, &path, problems)?;
    for (attribute, found, expected) in [
        ("id", &told.id, event.id.to_string()),
        ("type", &told.kind, format!("{OURS}{}", event.kind)),
    ] {
        if *found != expected {
            let message = format!("expected {expected}, since that is what {path} says");
            problems.add(told.path(attribute), message);
        }
    }
    placed(event, telling, &path, problems)
}

/// The notice of an event that an engine of this crate sent, in the receiver's scope.
pub(super) fn placed(
    mut event: Event,
    telling: &Telling<'_>,
    path: &str,
    problems: &mut Problems,
) -> Option<Notice> {
    event.received_at = telling.now;
    if !telling.scope.contains(&event.scope) {
        event.scope = telling.scope.clone();
    }
    if !telling.scope.as_str().is_empty() {
        let parts = [&b"of an engine"[..], telling.scope.as_str().as_bytes()];
        let id = EventId::derived(event.occurred_at, &[parts[0], parts[1], event.id.as_bytes()]);
        event.correlation.cause = Some(std::mem::replace(&mut event.id, id));
    }
    Some(Notice { event: within_limit(event, path, problems)?, change: Change::None })
}

fn any(event: CloudEvent, telling: &Telling<'_>, problems: &mut Problems) -> Option<Notice> {
    let path = event.root().to_owned();
    let mut told = Told::new(EventKind::WEBHOOK_RECEIVED, Change::None, Artifact::default());
    told.id = Some(event.id.clone());
    told.instance = Some(event.source.clone());
    told.occurred_at = event.time;
    told.correlation = correlation(&event);
    told.rest = event.into_json();
    // An event's id is its own, wherever in a batch it stands.
    told.notice(0, telling, &path, problems)
}

/// The trace that the distributed tracing extension tells.
pub(super) fn correlation(event: &CloudEvent) -> Correlation {
    Correlation {
        trace_parent: event.extension("traceparent").map(str::to_owned),
        trace_state: event.extension("tracestate").map(str::to_owned),
        ..Correlation::default()
    }
}

#[cfg(test)]
mod tests;
