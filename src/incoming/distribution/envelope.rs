//! The envelope as the registry writes it.
//!
//! In: JSON. Out: its fields, checked, and the rest of them to be kept. Version 3 writes empty
//! texts where version 2 leaves a member out, so empty is absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::MAX_EVENTS;
use crate::clock::Timestamp;
use crate::document::{Field, Object, Path, Problems, mismatch, misshapen};
use crate::event::{MAX_COUNT, Platform, is_digest, is_index};
use crate::incoming::fields::{digest, required_text, text};
use crate::incoming::media;

pub(super) struct Envelope {
    pub(super) events: Vec<Value>,
}

impl Field for Envelope {
    const EXPECTED: &'static str = "an envelope (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let events: Vec<Value> = object.required("events", problems)?;
        if events.len() > MAX_EVENTS {
            let found = events.len();
            problems.add("events", format!("expected at most {MAX_EVENTS}, found {found}"));
            return None;
        }
        Some(Self { events })
    }
}

/// One event of an envelope.
pub(super) struct Notification {
    pub(super) id: Option<String>,
    pub(super) occurred_at: Timestamp,
    /// The time as it was told: to the nanosecond.
    pub(super) timestamp: String,
    pub(super) action: String,
    pub(super) target: Target,
    pub(super) request: Request,
    pub(super) actor: Actor,
    pub(super) source: Source,
    pub(super) rest: Map<String, Value>,
}

impl Field for Notification {
    const EXPECTED: &'static str = "an event (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let id = text(&mut object, "id", problems);
        let timestamp = required_text(&mut object, "timestamp", problems);
        let occurred_at = timestamp.as_ref().and_then(|timestamp| {
            let value = Value::String(timestamp.clone());
            Timestamp::read(value, &object.path("timestamp"), problems)
        });
        let action = required_text(&mut object, "action", problems);
        let target = object.required("target", problems);
        let request = object.optional("request", problems).unwrap_or_default();
        let actor = object.optional("actor", problems).unwrap_or_default();
        let source = object.optional("source", problems).unwrap_or_default();
        Some(Self {
            id,
            occurred_at: occurred_at?,
            timestamp: timestamp?,
            action: action?,
            target: target?,
            request,
            actor,
            source,
            rest: object.rest(),
        })
    }
}

/// What an event is about.
pub(super) struct Target {
    pub(super) repository: String,
    pub(super) from_repository: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) artifact_type: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) url: Option<String>,
    pub(super) platform: Option<Platform>,
    pub(super) annotations: BTreeMap<String, String>,
    /// The first [`MAX_COUNT`] of them.
    pub(super) references: Vec<Reference>,
    pub(super) rest: Map<String, Value>,
}

impl Field for Target {
    const EXPECTED: &'static str = "a target (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let media_type = text(&mut object, "mediaType", problems);
        let size = object.optional("size", problems);
        let digest = digest(&mut object, "digest", problems);
        let repository = required_text(&mut object, "repository", problems);
        let from_repository = text(&mut object, "fromRepository", problems);
        let url = text(&mut object, "url", problems);
        let tag = text(&mut object, "tag", problems);
        let artifact_type = text(&mut object, "artifactType", problems);
        let platform = object.optional("platform", problems);
        let annotations = annotations(&mut object, problems);
        let raw: Value = object.optional("references", problems).unwrap_or_default();
        let references = references(&raw, &object.path("references"), problems);
        let mut rest = object.rest();
        if !raw.is_null() {
            rest.insert("references".to_owned(), raw);
        }
        Some(Self {
            repository: repository?,
            from_repository,
            media_type,
            artifact_type,
            digest,
            tag,
            size,
            url,
            platform,
            annotations,
            references,
            rest,
        })
    }
}

impl Target {
    /// Whether it is a manifest that lists others.
    pub(super) fn is_index(&self) -> bool {
        self.media_type.as_deref().is_some_and(is_index)
    }

    /// Whether it is a layer or a configuration. Only manifests have tags and known media types;
    /// beyond that the registry's own URL tells.
    pub(super) fn is_blob(&self) -> bool {
        match self.media_type.as_deref() {
            _ if self.tag.is_some() || self.is_below("manifests") => false,
            Some(media_type) => !is_index(media_type) && !media::is_manifest(media_type),
            None => self.is_below("blobs"),
        }
    }

    fn is_below(&self, collection: &str) -> bool {
        self.url.as_deref().and_then(|url| url.rsplit('/').nth(1)) == Some(collection)
    }

    /// The media type of the manifest's configuration.
    pub(super) fn config_type(&self) -> Option<&str> {
        let has_config = self.media_type.as_deref().is_some_and(media::has_config);
        self.references.first().filter(|_| has_config)?.media_type.as_deref()
    }
}

/// What a manifest refers to: its configuration and layers, or its children.
pub(super) struct Reference {
    pub(super) media_type: Option<String>,
    pub(super) digest: Option<String>,
}

impl Reference {
    /// Reads one that is kept as it is too.
    fn of(raw: &Value, path: Path<'_>, problems: &mut Problems) -> Option<Self> {
        let Value::Object(members) = raw else {
            misshapen(raw, "an object", &path.to_string(), problems);
            return None;
        };
        let mut text = |name| match members.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            None | Some(Value::Null | Value::String(_)) => None,
            Some(other) => {
                mismatch(other, String::EXPECTED, &path.member(name).to_string(), problems);
                None
            }
        };
        // Only a hint, which nobody may have checked: what is no digest is as if it were not there.
        let digest = text("digest").filter(|digest| is_digest(digest));
        Some(Self { media_type: text("mediaType"), digest })
    }
}

/// The request that caused an event; empty if the registry did it by itself.
#[derive(Default)]
pub(super) struct Request {
    pub(super) id: Option<String>,
    pub(super) addr: Option<String>,
    pub(super) host: Option<String>,
    pub(super) rest: Map<String, Value>,
}

impl Field for Request {
    const EXPECTED: &'static str = "a request (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let id = text(&mut object, "id", problems);
        let addr = text(&mut object, "addr", problems);
        let host = text(&mut object, "host", problems);
        Some(Self { id, addr, host, rest: object.rest() })
    }
}

/// Who caused an event; empty if nobody logged in.
#[derive(Default)]
pub(super) struct Actor {
    pub(super) name: Option<String>,
    pub(super) rest: Map<String, Value>,
}

impl Field for Actor {
    const EXPECTED: &'static str = "an actor (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        Some(Self { name: text(&mut object, "name", problems), rest: object.rest() })
    }
}

/// The registry's node that told an event.
#[derive(Default)]
pub(super) struct Source {
    pub(super) addr: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) rest: Map<String, Value>,
}

impl Field for Source {
    const EXPECTED: &'static str = "a source (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let addr = text(&mut object, "addr", problems);
        let instance = text(&mut object, "instanceID", problems);
        Some(Self { addr, instance, rest: object.rest() })
    }
}

fn annotations(object: &mut Object, problems: &mut Problems) -> BTreeMap<String, String> {
    let path = object.path("annotations");
    let members: Map<String, Value> = object.optional("annotations", problems).unwrap_or_default();
    if members.len() > MAX_COUNT {
        let found = members.len();
        problems.add(path, format!("expected at most {MAX_COUNT}, found {found}"));
        return BTreeMap::new();
    }
    BTreeMap::read(Value::Object(members), &path, problems).unwrap_or_default()
}

fn references(raw: &Value, path: &str, problems: &mut Problems) -> Vec<Reference> {
    let items = match raw {
        Value::Array(items) => items.as_slice(),
        Value::Null => &[],
        other => {
            mismatch(other, "an array", path, problems);
            &[]
        }
    };
    let items = items.iter().take(MAX_COUNT).enumerate();
    items.filter_map(|(n, item)| Reference::of(item, Path::At(path).item(n), problems)).collect()
}
