//! Applies a mapping to a document.
//!
//! In: a document as somebody sent it. Out: notices in its order, or problems at their paths in the
//! document, and at the event's where a text has become what no event may hold.

use serde_json::{Map, Value};

use super::MAX_EVENTS;
use super::document::{Condition, Coordinates, Kind, Mapping, Notation, Test, Time, Who};
use super::template::{Parts, Template, scalar};
use crate::clock::Timestamp;
use crate::document::{Problems, cut, describe, mismatch};
use crate::event::{Actor, Artifact, EventKind, OciFacts};
use crate::incoming::told::{Telling, Told, last_segment, shared};
use crate::incoming::{Change, Notice, moments};

impl Mapping {
    /// The notices of a document.
    pub(super) fn read(
        &self,
        root: &Value,
        telling: &Telling<'_>,
    ) -> Result<Vec<Notice>, Problems> {
        Problems::gather(|problems| {
            let Some(each) = &self.each else {
                let parts = Parts { root, part: root, at: "", of: 1 };
                return Some(vec![self.notice(0, &parts, telling, problems)?]);
            };
            let whole = Parts { root, part: root, at: "", of: 1 };
            let path = each.path(&whole);
            let items = match each.find(&whole) {
                Some(Value::Array(items)) => items,
                found => {
                    mismatch(found.unwrap_or(&Value::Null), "an array", &path, problems);
                    return None;
                }
            };
            if items.len() > MAX_EVENTS {
                let found = items.len();
                problems.add(path, format!("expected at most {MAX_EVENTS} events, found {found}"));
                return None;
            }
            let of = items.len();
            let mut notices = Vec::with_capacity(of);
            for (n, part) in items.iter().enumerate() {
                let at = format!("{}/{n}", each.to_string().trim_start_matches('#'));
                let parts = Parts { root, part, at: &at, of };
                notices.extend(self.notice(n, &parts, telling, problems));
            }
            Some(notices)
        })
    }

    fn notice(
        &self,
        n: usize,
        parts: &Parts<'_>,
        telling: &Telling<'_>,
        problems: &mut Problems,
    ) -> Option<Notice> {
        let is_told = self.when.iter().all(|condition| condition.holds(parts));
        let meaning = if is_told { self.kind.of(parts, problems)? } else { Meaning::LeftOut };
        let mut told = match meaning {
            Meaning::Told(kind) => self.told(kind, parts, problems),
            Meaning::LeftOut => {
                Told::new(EventKind::WEBHOOK_RECEIVED, Change::LeftOut, Artifact::default())
            }
        };
        told.id = text(self.id.as_ref(), parts, problems);
        told.occurred_at = self.time.as_ref().and_then(|time| time.of(parts, problems));
        told.notice(n, telling, "", problems)
    }

    fn told(&self, kind: EventKind, parts: &Parts<'_>, problems: &mut Problems) -> Told {
        let artifact = self.artifact.artifact(parts, problems);
        let change = if self.kind_is_final { Change::None } else { change(&kind, &artifact) };
        let mut told = Told::new(kind, change, artifact);
        told.from = self.from.as_ref().map(|from| from.artifact(parts, problems));
        told.instance = text(self.instance.as_ref(), parts, problems);
        told.actor = self.actor.as_ref().and_then(|who| who.actor(parts, problems));
        told.correlation.request_id = text(self.request_id.as_ref(), parts, problems);
        told.correlation.trace_parent = text(self.trace_parent.as_ref(), parts, problems);
        for (name, template) in &self.attributes {
            let value = template.text(parts, problems);
            told.attributes.extend(value.map(|value| (name.clone(), value)));
        }
        let data = self.data.as_ref().map_or(Some(parts.part), |pointer| pointer.find(parts));
        // By a pointer, each may have all of the document.
        let among = if self.data.is_some() { parts.of } else { 1 };
        told.rest = match data {
            Some(Value::Object(members)) => shared(members, among),
            Some(other) => shared(&Map::from_iter([("value".to_owned(), other.clone())]), among),
            None => Map::new(),
        };
        told
    }
}

fn text(template: Option<&Template>, parts: &Parts<'_>, problems: &mut Problems) -> Option<String> {
    template.and_then(|template| template.text(parts, problems))
}

/// What an event of a kind says about what was known. Of one with several tags nothing: each may
/// have had another content.
fn change(kind: &EventKind, artifact: &Artifact) -> Change {
    let tag = artifact.version.clone().or_else(|| artifact.tags.first().cloned());
    let has_several = artifact.version.is_none() && artifact.tags.len() > 1;
    let digest = artifact.digest.clone();
    let is_push = [EventKind::ARTIFACT_INGESTED, EventKind::ARTIFACT_UPDATED].contains(kind);
    let is_deletion = [EventKind::ARTIFACT_DELETED, EventKind::TAG_DELETED].contains(kind);
    match (tag, digest) {
        _ if has_several => Change::None,
        (tag, Some(digest)) if is_push => Change::Push { tag, digest },
        (Some(tag), None) if is_push => Change::PushTag { tag },
        (Some(tag), _) if is_deletion => Change::DeleteTag { tag },
        (None, Some(digest)) if is_deletion => Change::DeleteDigest { digest },
        _ if *kind == EventKind::REPOSITORY_DELETED => Change::DeleteRepository,
        _ => Change::None,
    }
}

impl Condition {
    /// Of what is not there nothing holds but that.
    fn holds(&self, parts: &Parts<'_>) -> bool {
        let found = self.at.find(parts);
        match (&self.test, found) {
            (Test::Exists(exists), found) => *exists == found.is_some(),
            (_, None) => false,
            (Test::Is(values), Some(found)) => values.contains(found),
            (Test::IsNot(values), Some(found)) => !values.contains(found),
        }
    }
}

/// What a document is by its kind.
enum Meaning {
    Told(EventKind),
    LeftOut,
}

impl Kind {
    fn of(&self, parts: &Parts<'_>, problems: &mut Problems) -> Option<Meaning> {
        let (at, table, otherwise) = match self {
            Self::Always(kind) => return Some(Meaning::Told(kind.clone())),
            Self::Table { at, table, otherwise } => (at, table, otherwise),
        };
        let path = at.path(parts);
        let found = at.find(parts);
        let word = match found {
            Some(value) => Some(scalar(value, &path, problems)?),
            None => None,
        };
        if let Some(kind) = word.as_ref().and_then(|word| table.get(word)) {
            return Some(kind.clone().map_or(Meaning::LeftOut, Meaning::Told));
        }
        if let Some(kind) = otherwise {
            return Some(Meaning::Told(kind.clone()));
        }
        let words: Vec<&str> = table.keys().map(String::as_str).collect();
        let found = found.map_or_else(|| "nothing".to_owned(), describe);
        let expected = words.join(", ");
        problems.add(path, format!("expected one of {}, found {found}", cut(&expected)));
        None
    }
}

impl Time {
    fn of(&self, parts: &Parts<'_>, problems: &mut Problems) -> Option<Timestamp> {
        let value = self.at.find(parts).filter(|value| value.as_str() != Some(""))?;
        let (time, expected) = match self.notation {
            Notation::Rfc3339 => {
                (value.as_str().and_then(moments::parse), "a time such as 2026-11-23T14:42:23Z")
            }
            Notation::Seconds => (moments::since_1970(value, 1), "seconds since 1970"),
            Notation::Milliseconds => {
                (moments::since_1970(value, 1_000), "milliseconds since 1970")
            }
        };
        if time.is_none() {
            mismatch(value, expected, &self.at.path(parts), problems);
        }
        time
    }
}

impl Coordinates {
    fn artifact(&self, parts: &Parts<'_>, problems: &mut Problems) -> Artifact {
        let mut text =
            |name| self.texts.get(name).and_then(|it: &Template| it.text(parts, problems));
        let mut artifact = Artifact { registry: text("registry"), ..Artifact::default() };
        artifact.repository = text("repository");
        artifact.package_type = text("package_type").map(|it| it.to_lowercase());
        artifact.namespace = text("namespace");
        let is_image = artifact.package_type.as_deref() == Some("oci");
        let path = artifact.repository.as_deref().filter(|_| is_image).map(last_segment);
        artifact.name = text("name").or_else(|| path.map(ToOwned::to_owned));
        artifact.version = text("version");
        artifact.digest = text("digest");
        artifact.url = text("url");
        let media_type = text("media_type");
        artifact.oci = media_type.map(|it| OciFacts::default().with_media_type(it));
        let tags = self.tags.iter().flat_map(|template| template.texts(parts, problems));
        artifact.tags = tags.collect();
        artifact.size = self.size(parts, problems);
        artifact
    }

    fn size(&self, parts: &Parts<'_>, problems: &mut Problems) -> Option<u64> {
        let text = self.size.as_ref()?.text(parts, problems)?;
        let size = text.parse().ok();
        if size.is_none() {
            let path = self.size.as_ref().and_then(Template::pointer);
            let path = path.map_or_else(|| "artifact.size".to_owned(), |it| it.path(parts));
            mismatch(&Value::String(text), "a whole number of 0 or more", &path, problems);
        }
        size
    }
}

impl Who {
    fn actor(&self, parts: &Parts<'_>, problems: &mut Problems) -> Option<Actor> {
        let name = text(self.name.as_ref(), parts, problems);
        let id = text(self.id.as_ref(), parts, problems);
        if name.is_none() && id.is_none() {
            return None;
        }
        let mut actor = Actor::default();
        actor.kind.clone_from(&self.kind);
        actor.name = name;
        actor.id = id;
        Some(actor)
    }
}
