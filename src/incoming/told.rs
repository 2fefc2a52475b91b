//! From what a provider tells of one event to a notice.
//!
//! In: a [`Told`], the provider's words in the event's terms. Out: a [`Notice`] whose event holds
//! to its limits, or problems at their paths in the body.
//!
//! The event's id follows from what the sender gives it as id; where it gives none, from the whole
//! body and the event's place in it, so that the same body told again is recognised. A body that
//! tells no time either is recognised within [`WINDOW`] only: later on it may as well be the same
//! thing done again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Change, Notice, ParseError};
use crate::clock::Timestamp;
use crate::document::{self, Object, Problems, is_too_deep};
use crate::entropy::OsEntropy;
use crate::event::{
    Actor, Artifact, Correlation, Event, EventBuilder, EventKind, MAX_EVENT_BYTES, OciRole, Scope,
    Source,
};
use crate::id::EventId;
use crate::signature::{Fingerprint, Verified};

/// How long a body is known again that tells neither an id nor a time: as long as a sender takes
/// that tries again, and shorter than it takes to do the same thing anew.
pub(super) const WINDOW: Duration = Duration::from_secs(2 * 60);
/// The most memory that what several events of a body share may take for all of them, in bytes.
const MAX_SHARED_BYTES: usize = 8 * 1024 * 1024;

/// Where and when it was told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling<'a> {
    /// The provider's name: that of the event's source.
    pub(super) provider: &'a str,
    pub(super) scope: &'a Scope,
    /// The registry's name for all events, if the receiver was given one.
    pub(super) registry: Option<&'a str>,
    pub(super) body: &'a [u8],
    pub(super) now: Timestamp,
}

impl Telling<'_> {
    /// The notice of a document that tells one event. What `read` leaves of it is kept.
    pub(super) fn one(
        &self,
        document: &[u8],
        read: impl FnOnce(&mut Object, &mut Problems) -> Option<Told>,
    ) -> Result<Vec<Notice>, ParseError> {
        let value = document::parse_foreign(document, document.len())?;
        Ok(Problems::gather(|problems| {
            let mut object = Object::root(value, problems)?;
            let mut told = read(&mut object, problems)?;
            told.keep("", Some(object));
            Some(vec![told.notice(0, self, "", problems)?])
        })?)
    }
}

/// What a provider tells of one event.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) kind: EventKind,
    pub(super) change: Change,
    /// The id that the sender gave it, the same whenever it is told. Only one that nobody can
    /// change on its way tells it from others: see [`Told::delivery`].
    pub(super) id: Option<String>,
    /// The id that the sender gave its telling, beside what the signature covers. Whoever has one
    /// message could give it any other, so that what was told follows from the body.
    pub(super) delivery: Option<String>,
    pub(super) occurred_at: Option<Timestamp>,
    /// Which one of its kind the sender is: a host, a node.
    pub(super) instance: Option<String>,
    pub(super) artifact: Artifact,
    pub(super) from: Option<Artifact>,
    pub(super) actor: Option<Actor>,
    pub(super) correlation: Correlation,
    pub(super) attributes: BTreeMap<String, String>,
    /// What was told and has no place of its own, under the sender's names.
    pub(super) rest: Map<String, Value>,
}

impl Told {
    pub(super) fn new(kind: EventKind, change: Change, artifact: Artifact) -> Self {
        Self {
            kind,
            change,
            id: None,
            delivery: None,
            occurred_at: None,
            instance: None,
            artifact,
            from: None,
            actor: None,
            correlation: Correlation::default(),
            attributes: BTreeMap::new(),
            rest: Map::new(),
        }
    }

    /// Keeps what is left of an object, under its name; of the document's root without one.
    pub(super) fn keep(&mut self, name: &str, object: Option<Object>) {
        let rest = object.map(Object::rest).unwrap_or_default();
        if name.is_empty() {
            self.rest.extend(rest);
        } else if !rest.is_empty() {
            self.rest.insert(name.to_owned(), Value::Object(rest));
        }
    }

    /// Keeps what is left of an object that stands in another, under both names.
    pub(super) fn keep_below(&mut self, outer: &str, name: &str, object: Option<Object>) {
        let rest = object.map(Object::rest).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        let outer = self.rest.entry(outer).or_insert_with(|| json!({}));
        if let Some(outer) = outer.as_object_mut() {
            outer.insert(name.to_owned(), Value::Object(rest));
        }
    }

    /// The notice of it, the `n`th event of its body, which stands there at `path`.
    pub(super) fn notice(
        self,
        n: usize,
        telling: &Telling<'_>,
        path: &str,
        problems: &mut Problems,
    ) -> Option<Notice> {
        let change = self.change.clone();
        match self.event(n, telling).build_at(telling.now, &OsEntropy) {
            Ok(event) => {
                let event = within_limit(without_purl_of_blobs(event), path, problems)?;
                Some(Notice { event, change })
            }
            Err(found) => {
                for problem in &found {
                    let path = [path, problem.path()].map(str::to_owned);
                    let path = path.into_iter().filter(|part| !part.is_empty());
                    problems.add(path.collect::<Vec<_>>().join("."), problem.message());
                }
                None
            }
        }
    }

    fn event(mut self, n: usize, telling: &Telling<'_>) -> EventBuilder {
        let names_something = self.artifact != Artifact::default();
        if let Some(registry) = telling.registry.filter(|_| names_something) {
            self.artifact.registry = Some(registry.to_owned());
        }
        let id = self.event_id(n, telling);
        let mut source = Source::new(telling.provider);
        source.instance = self.instance;
        source.id = self.id.or(self.delivery);
        let mut builder = Event::builder(self.kind)
            .id(id)
            .scope(telling.scope.clone())
            .source(source)
            .occurred_at(self.occurred_at.unwrap_or(telling.now))
            .correlation(self.correlation);
        if names_something {
            builder = builder.artifact(self.artifact);
        }
        for (name, value) in self.attributes {
            builder = builder.attribute(name, value);
        }
        if let Some(from) = self.from {
            builder = builder.from(from);
        }
        if let Some(actor) = self.actor {
            builder = builder.actor(actor);
        }
        if !self.rest.is_empty() {
            builder = builder.data(not_too_deep(Value::Object(self.rest)));
        }
        builder
    }

    /// The same whenever it is told in the same scope, of the same registry; a scope's events are
    /// its own.
    fn event_id(&self, n: usize, telling: &Telling<'_>) -> EventId {
        let identity = match &self.id {
            Some(id) => [b"id", id.as_bytes()],
            None => [b"of", telling.body],
        };
        let at = match self.occurred_at {
            Some(at) => at,
            // Done again, it is told by another body.
            None if self.id.is_some() || self.delivery.is_some() => Timestamp::UNIX_EPOCH,
            None => window(telling.now),
        };
        let parts = [
            telling.provider.as_bytes(),
            telling.scope.as_str().as_bytes(),
            telling.registry.unwrap_or_default().as_bytes(),
            self.instance.as_deref().unwrap_or_default().as_bytes(),
            identity[0],
            identity[1],
            &(n as u64).to_be_bytes(),
        ];
        EventId::derived(at, &parts)
    }
}

/// What is nested too deep to be kept is left out: whoever pushes chooses what a manifest holds,
/// and must not be able to stop what is told of it.
fn not_too_deep(rest: Value) -> Value {
    if is_too_deep(&rest) { json!({ "left_out": "it is nested too deep" }) } else { rest }
}

/// What each of several events of a body keeps of it. What is large is not kept so many times.
pub(super) fn shared(rest: &Map<String, Value>, among: usize) -> Map<String, Value> {
    let mut left = MAX_SHARED_BYTES / among.max(1);
    if rest.iter().all(|(name, value)| fits(name.len(), value, &mut left)) {
        return rest.clone();
    }
    let left_out = format!("it is too much for each of {among} events");
    Map::from_iter([("left_out".to_owned(), Value::String(left_out))])
}

/// Whether a value, with its name, takes no more memory than is left, about.
fn fits(name: usize, value: &Value, left: &mut usize) -> bool {
    let text = value.as_str().map_or(0, str::len);
    let own = name + text + 2 * size_of::<Value>();
    let Some(rest) = left.checked_sub(own) else { return false };
    *left = rest;
    match value {
        Value::Array(items) => items.iter().all(|item| fits(0, item, left)),
        Value::Object(members) => members.iter().all(|(name, item)| fits(name.len(), item, left)),
        _ => true,
    }
}

/// A package URL names artifacts; a blob is none.
fn without_purl_of_blobs(mut event: Event) -> Event {
    for artifact in [&mut event.artifact, &mut event.from].into_iter().flatten() {
        if artifact.oci.as_ref().is_some_and(|facts| facts.role == Some(OciRole::Blob)) {
            artifact.purl = None;
        }
    }
    event
}

/// What a body is known again by that tells neither an id nor a time, signed or not.
pub(super) fn fingerprint(
    provider: &str,
    registry: Option<&str>,
    body: Verified<'_>,
) -> Fingerprint {
    let parts = [provider.as_bytes(), registry.unwrap_or_default().as_bytes(), body.body()];
    Fingerprint::of_unsigned(&parts, WINDOW)
}

/// When the window of a time began.
fn window(now: Timestamp) -> Timestamp {
    let span = i64::try_from(WINDOW.as_secs()).expect("minutes");
    Timestamp::from_unix_seconds(now.unix_seconds().div_euclid(span) * span)
}

/// What people call the artifact; the path before it is part of the repository's name.
pub(super) fn last_segment(repository: &str) -> &str {
    repository.rsplit('/').next().unwrap_or(repository)
}

/// The event, its data left out if they make it too large: whoever pushes chooses how much a
/// manifest refers to, and must not be able to stop what follows.
pub(super) fn within_limit(mut event: Event, path: &str, problems: &mut Problems) -> Option<Event> {
    if event.is_surely_within(MAX_EVENT_BYTES) {
        return Some(event);
    }
    let size = event.to_json().len();
    if size <= MAX_EVENT_BYTES {
        return Some(event);
    }
    event.data = Some(json!({ "left_out": format!("{size} bytes make the event too large") }));
    let size = event.to_json().len();
    if size > MAX_EVENT_BYTES {
        let message = format!("expected at most {MAX_EVENT_BYTES} bytes as an event, found {size}");
        problems.add(path, message);
        return None;
    }
    Some(event)
}

#[cfg(test)]
mod tests;
