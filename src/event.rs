//! Events: facts about artifacts, as they are told, stored and sent.
//!
//! In: what a registry or a receiver knows. Out: an [`Event`] that holds to its limits and has an
//! id. The JSON form is the contract of wire and storage: see [`Event::from_json`].

mod artifact;
mod builder;
mod kind;
mod limits;
pub(crate) mod node;
mod oci;
#[cfg(feature = "purl")]
mod purl;
mod sample;
mod scope;
mod size;
mod tag;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use artifact::{Artifact, File, is_digest};
pub use builder::EventBuilder;
pub(crate) use kind::is_kind;
pub use kind::{EventKind, ParseKindError};
pub use limits::{MAX_COUNT, MAX_EVENT_BYTES, MAX_TEXT_BYTES};
pub(crate) use oci::is_index;
pub use oci::{OciFacts, OciRole, Platform};
pub use scope::{ParseScopeError, Scope};
pub(crate) use tag::{pushed_kind, tagged_subject};

use crate::clock::Timestamp;
use crate::document::{self, Field, Object, Path, Problems, check_depth, cut};
use crate::id::EventId;
use limits::{check_extra, check_map, check_text, check_texts};

/// The version of the JSON form that this crate writes. Documents of the same major version parse,
/// whatever their minor version; members they do not know are kept.
pub const SPEC_VERSION: &str = "1.0";

/// Events that take more as JSON are rare.
const USUAL_BYTES: usize = 2048;

/// One fact about an artifact, a repository, a tag, a scan, a schedule …
///
/// Made by [`Event::builder`] or parsed from JSON; either way it holds to the limits of this
/// module.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// The version of the JSON form, [`SPEC_VERSION`] or a later minor one.
    pub spec_version: String,
    /// The event's own id. An event with the id of a recorded one is taken for the same.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// Where it belongs.
    pub scope: Scope,
    /// Who told it.
    pub source: Source,
    /// When it happened, by the source's clock.
    pub occurred_at: Timestamp,
    /// When it was told to this crate.
    pub received_at: Timestamp,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Where it came from: the other place of a move, copy, promotion or mount; the old digest of
    /// an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Artifact>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// What it belongs to.
    #[serde(skip_serializing_if = "Correlation::is_empty")]
    pub correlation: Correlation,
    /// Short texts that the registry adds, for filters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Anything else: a scan's result, a receiver's original document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Members that this version of the crate does not know; they are kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Event {
    pub(crate) const MEMBERS: &[&str] = &[
        "spec_version",
        "id",
        "kind",
        "scope",
        "source",
        "occurred_at",
        "received_at",
        "artifact",
        "from",
        "actor",
        "correlation",
        "attributes",
        "data",
    ];

    /// Begins an event of a kind that happens now.
    ///
    /// ```
    /// use artifact_triggers::event::{Artifact, Event, EventKind};
    ///
    /// let event = Event::builder(EventKind::ARTIFACT_INGESTED)
    ///     .scope("acme/platform".parse()?)
    ///     .artifact(Artifact::new("cargo", "serde").with_version("1.0.219"))
    ///     .build()?;
    /// assert_eq!(event.kind.as_str(), "artifact.ingested");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(kind: EventKind) -> EventBuilder {
        EventBuilder::new(kind)
    }

    /// Parses an event from its JSON.
    ///
    /// # Errors
    /// Every problem at once, each with its path: no JSON, more than [`MAX_EVENT_BYTES`], a member
    /// of the wrong type, a required one missing (`spec_version`, `id`, `kind`, `source.name`,
    /// `occurred_at`, `received_at`), a digest where a tag belongs, a limit exceeded, another major
    /// version.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        let value = document::parse(json, MAX_EVENT_BYTES)?;
        Problems::gather(|problems| Self::read(value, "", problems))
    }

    /// The event as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut json, self).expect("an event has string keys only");
        json
    }

    /// Whether its JSON is surely not larger than so many bytes, without making it: most are far
    /// from any limit.
    pub(crate) fn is_surely_within(&self, bytes: usize) -> bool {
        !document::keeps_numbers() && self.about_bytes() * size::MOST_TIMES <= bytes
    }

    /// Reports what is wrong with the event, whoever changed its fields.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn validate(&self) -> Result<(), Problems> {
        Problems::gather(|problems| {
            self.check(Path::At(""), problems);
            Some(())
        })
    }

    /// When it happened, by no clock that is ahead: a source must not make what is there, or comes
    /// after it, older than it is.
    pub(crate) fn happened_at(&self) -> Timestamp {
        self.occurred_at.min(self.received_at)
    }

    fn check(&self, path: Path<'_>, problems: &mut Problems) {
        if !is_version_one(&self.spec_version) {
            let found = cut(&self.spec_version);
            problems
                .add(path.member("spec_version"), format!("expected version 1.x, found {found:?}"));
        }
        self.source.check(path.member("source"), problems);
        for (name, artifact) in [("artifact", &self.artifact), ("from", &self.from)] {
            if let Some(artifact) = artifact {
                artifact.check(path.member(name), problems);
            }
        }
        if let Some(actor) = &self.actor {
            actor.check(path.member("actor"), problems);
        }
        self.correlation.check(path.member("correlation"), problems);
        check_map(path.member("attributes"), &self.attributes, problems);
        if let Some(data) = &self.data {
            check_depth(path.member("data"), data, problems);
        }
        check_extra(path, &self.extra, Self::MEMBERS, problems);
        self.check_subject(path.member("artifact"), problems);
    }

    /// An event about an artifact, a tag or a repository must say which.
    fn check_subject(&self, path: Path<'_>, problems: &mut Problems) {
        let subject = self.artifact.as_ref();
        let known = match self.kind.as_str().split('.').next() {
            Some("artifact") => subject
                .is_some_and(|a| a.name.is_some() || a.repository.is_some() || a.digest.is_some()),
            Some("tag") => subject.is_some_and(|a| !a.tags.is_empty()),
            Some("repository") => subject.is_some_and(|a| a.repository.is_some()),
            _ => true,
        };
        if !known {
            let expected = match self.kind.as_str().split('.').next() {
                Some("tag") => "tags",
                Some("repository") => "a repository",
                _ => "a name, a repository or a digest",
            };
            problems.add(path, format!("expected {expected}, since the kind is {}", self.kind));
        }
    }
}

/// Whether a text is 1 and any minor version.
fn is_version_one(text: &str) -> bool {
    let is_minor =
        |minor: &str| (1..=9).contains(&minor.len()) && minor.bytes().all(|b| b.is_ascii_digit());
    text.strip_prefix("1.").is_some_and(is_minor)
}

impl Field for Event {
    const EXPECTED: &'static str = "an event (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let spec_version = object.required("spec_version", problems);
        let id = object.required("id", problems);
        let kind = object.required("kind", problems);
        let scope = object.optional("scope", problems).unwrap_or_default();
        let source = object.required("source", problems);
        let occurred_at = object.required("occurred_at", problems);
        let received_at = object.required("received_at", problems);
        let artifact = object.optional("artifact", problems);
        let from = object.optional("from", problems);
        let actor = object.optional("actor", problems);
        let correlation = object.optional("correlation", problems).unwrap_or_default();
        let attributes = object.optional("attributes", problems).unwrap_or_default();
        let data = object.optional("data", problems);
        // What is missing was reported; something in its place lets the rest be checked.
        let event = Self {
            spec_version: spec_version.unwrap_or_else(|| SPEC_VERSION.to_owned()),
            id: id.unwrap_or_else(|| EventId::from_bytes([0; 16])),
            kind: kind.unwrap_or(EventKind::PING),
            scope,
            source: source.unwrap_or_else(|| Source::new("registry")),
            occurred_at: occurred_at.unwrap_or(Timestamp::UNIX_EPOCH),
            received_at: received_at.unwrap_or(Timestamp::UNIX_EPOCH),
            artifact,
            from,
            actor,
            correlation,
            attributes,
            data,
            extra: object.rest(),
        };
        event.check(Path::At(path), problems);
        Some(event)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Problems::gather(|problems| Self::read(value, "", problems))
            .map_err(serde::de::Error::custom)
    }
}

/// Who told of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Source {
    /// What it is: `registry` for the embedder itself, or the name of a receiver's provider.
    pub name: String,
    /// Which one of its kind it is: a host, a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The id that the source itself gave the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Members that this version of the crate does not know; they are kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Source {
    pub(crate) const MEMBERS: &[&str] = &["name", "instance", "id"];

    /// A source by its name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), instance: None, id: None, extra: Map::new() }
    }

    /// Sets which one of its kind it is.
    pub fn with_instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Sets the id that the source gave the event.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The id of the event that the source gave an id of its own, if it did.
    pub(crate) fn event_id(&self, occurred_at: Timestamp) -> Option<EventId> {
        let id = self.id.as_deref()?.as_bytes();
        let instance = self.instance.as_deref().unwrap_or_default().as_bytes();
        Some(EventId::derived(occurred_at, &[self.name.as_bytes(), instance, id]))
    }

    fn check(&self, path: Path<'_>, problems: &mut Problems) {
        check_text(path.member("name"), &self.name, problems);
        check_texts(path, [("instance", &self.instance), ("id", &self.id)], problems);
        check_extra(path, &self.extra, Self::MEMBERS, problems);
    }
}

impl Field for Source {
    const EXPECTED: &'static str = "a source (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let name = object.required("name", problems);
        let instance = object.optional("instance", problems);
        let id = object.optional("id", problems);
        Some(Self { name: name?, instance, id, extra: object.rest() })
    }
}

/// Who did what an event tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Actor {
    /// The id in the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name that people know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What kind of actor it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ActorKind>,
    /// The network address that the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Members that this version of the crate does not know; they are kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Actor {
    pub(crate) const MEMBERS: &[&str] = &["id", "name", "kind", "address"];

    /// An actor of a kind, with a name.
    pub fn new(kind: ActorKind, name: impl Into<String>) -> Self {
        Self { kind: Some(kind), name: Some(name.into()), ..Self::default() }
    }

    /// Nobody known.
    pub fn anonymous() -> Self {
        Self { kind: Some(ActorKind::Anonymous), ..Self::default() }
    }

    /// Sets the id in the registry.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the network address.
    pub fn with_address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    fn check(&self, path: Path<'_>, problems: &mut Problems) {
        let texts = [("id", &self.id), ("name", &self.name), ("address", &self.address)];
        check_texts(path, texts, problems);
        if let Some(ActorKind::Other(kind)) = &self.kind {
            check_text(path.member("kind"), kind, problems);
        }
        check_extra(path, &self.extra, Self::MEMBERS, problems);
    }
}

impl Field for Actor {
    const EXPECTED: &'static str = "an actor (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        Some(Self {
            id: object.optional("id", problems),
            name: object.optional("name", problems),
            kind: object.optional("kind", problems),
            address: object.optional("address", problems),
            extra: object.rest(),
        })
    }
}

/// What kind of actor did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ActorKind {
    /// A person.
    User,
    /// A service account, a token of a pipeline.
    Robot,
    /// The registry itself: retention, replication, a schedule.
    Internal,
    /// Nobody known.
    Anonymous,
    /// A kind that this version of the crate does not know; it is kept.
    #[serde(untagged)]
    Other(String),
}

impl Field for ActorKind {
    const EXPECTED: &'static str = "a kind of actor (a string)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let text = String::read(value, path, problems)?;
        Some(match text.as_str() {
            "user" => Self::User,
            "robot" => Self::Robot,
            "internal" => Self::Internal,
            "anonymous" => Self::Anonymous,
            _ => Self::Other(text),
        })
    }
}

/// What an event belongs to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Correlation {
    /// The trace that the act was part of, as `traceparent` has it (W3C Trace Context).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<String>,
    /// The vendor part of the trace, as `tracestate` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_state: Option<String>,
    /// The registry's id of the request that caused the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The event that caused this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<EventId>,
    /// The triggers that events went through on their way to this one, oldest first, as far as who
    /// tells it knows them. An engine sends no event on that has too many behind it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<String>,
    /// Members that this version of the crate does not know; they are kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Correlation {
    pub(crate) const MEMBERS: &[&str] =
        &["trace_parent", "trace_state", "request_id", "cause", "hops"];

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self, path: Path<'_>, problems: &mut Problems) {
        let texts = [
            ("trace_parent", &self.trace_parent),
            ("trace_state", &self.trace_state),
            ("request_id", &self.request_id),
        ];
        check_texts(path, texts, problems);
        limits::check_count(path.member("hops"), self.hops.len(), problems);
        for (n, hop) in self.hops.iter().enumerate() {
            check_text(path.member("hops").item(n), hop, problems);
        }
        check_extra(path, &self.extra, Self::MEMBERS, problems);
    }
}

impl Field for Correlation {
    const EXPECTED: &'static str = "a correlation (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        Some(Self {
            trace_parent: object.optional("trace_parent", problems),
            trace_state: object.optional("trace_state", problems),
            request_id: object.optional("request_id", problems),
            cause: object.optional("cause", problems),
            hops: object.optional("hops", problems).unwrap_or_default(),
            extra: object.rest(),
        })
    }
}
