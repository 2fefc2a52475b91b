//! The way to an event in code.
//!
//! In: what a registry or a receiver knows. Out: an [`Event`] that holds to its limits, with the id
//! that follows from its source's own, or a new one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Actor, Artifact, Correlation, Event, EventKind, SPEC_VERSION, Scope, Source};
use crate::clock::Timestamp;
use crate::document::Problems;
use crate::entropy::{Entropy, OsEntropy};
use crate::id::EventId;

/// Makes an [`Event`]; only [`build`](Self::build) checks.
#[derive(Debug, Clone)]
pub struct EventBuilder {
    id: Option<EventId>,
    kind: EventKind,
    scope: Scope,
    source: Source,
    occurred_at: Option<Timestamp>,
    artifact: Option<Artifact>,
    from: Option<Artifact>,
    actor: Option<Actor>,
    correlation: Correlation,
    attributes: BTreeMap<String, String>,
    data: Option<Value>,
}

impl EventBuilder {
    pub(super) fn new(kind: EventKind) -> Self {
        Self {
            id: None,
            kind,
            scope: Scope::root(),
            source: Source::new("registry"),
            occurred_at: None,
            artifact: None,
            from: None,
            actor: None,
            correlation: Correlation::default(),
            attributes: BTreeMap::new(),
            data: None,
        }
    }

    /// Sets the event's own id, so that telling it again is recognised.
    pub fn id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// Changes the kind.
    pub fn kind(mut self, kind: EventKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets where the event belongs; the root if it is not set.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets who tells it; `registry` if it is not set. With an id of the source's own, the event's
    /// id is derived from name, instance, that id and when it happened, unless it is set too; so
    /// [`occurred_at`](Self::occurred_at) has to be told then. The id must be one event's alone:
    /// two kinds of event need two.
    pub fn source(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// Sets when it happened; now if it is not set.
    pub fn occurred_at(mut self, at: Timestamp) -> Self {
        self.occurred_at = Some(at);
        self
    }

    /// Sets what it is about.
    pub fn artifact(mut self, artifact: Artifact) -> Self {
        self.artifact = Some(artifact);
        self
    }

    /// Sets where it came from, or the old digest of an update.
    pub fn from(mut self, from: Artifact) -> Self {
        self.from = Some(from);
        self
    }

    /// Sets who did it.
    pub fn actor(mut self, actor: Actor) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Sets what it belongs to.
    pub fn correlation(mut self, correlation: Correlation) -> Self {
        self.correlation = correlation;
        self
    }

    /// Whether the event's id is told, or follows from what the source calls it.
    #[cfg(feature = "engine")]
    pub(crate) fn has_own_id(&self) -> bool {
        self.id.is_some() || self.source.id.is_some()
    }

    /// Sets what it was caused by, whatever else it belongs to.
    #[cfg(feature = "engine")]
    pub(crate) fn caused_by(mut self, cause: Correlation) -> Self {
        self.correlation.cause = cause.cause;
        self.correlation.hops = cause.hops;
        self
    }

    /// Adds a short text for filters.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Sets the free data.
    pub fn data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// Makes the event, received now.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn build(self) -> Result<Event, Problems> {
        self.build_at(Timestamp::now(), &OsEntropy)
    }

    /// Makes the event, received at a time and with the randomness given: reads no clock.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn build_at(self, now: Timestamp, entropy: &dyn Entropy) -> Result<Event, Problems> {
        // The time of the telling would make another event of each resend.
        let unrecognisable =
            self.id.is_none() && self.source.id.is_some() && self.occurred_at.is_none();
        let occurred_at = self.occurred_at.unwrap_or(now);
        let derived = || self.source.event_id(occurred_at);
        let event = Event {
            spec_version: SPEC_VERSION.to_owned(),
            id: self.id.or_else(derived).unwrap_or_else(|| EventId::new(now, entropy)),
            kind: self.kind,
            scope: self.scope,
            source: self.source,
            occurred_at,
            received_at: now,
            artifact: self.artifact.map(with_purl),
            from: self.from.map(with_purl),
            actor: self.actor,
            correlation: self.correlation,
            attributes: self.attributes,
            data: self.data,
            extra: Map::new(),
        };
        let mut problems = event.validate().err().unwrap_or_default();
        if unrecognisable {
            let message =
                "expected when it happened: the event's id is derived from it and source.id";
            problems.add("occurred_at", message);
        }
        if problems.is_empty() { Ok(event) } else { Err(problems) }
    }
}

#[cfg(feature = "purl")]
fn with_purl(mut artifact: Artifact) -> Artifact {
    artifact.purl = artifact.purl.take().or_else(|| artifact.derive_purl());
    artifact
}

#[cfg(not(feature = "purl"))]
fn with_purl(artifact: Artifact) -> Artifact {
    artifact
}
