//! CDEvents, as CloudEvents of type `dev.cdevents.…`, whatever version of it they have.
//!
//! | type `dev.cdevents.` | kind |
//! |---|---|
//! | `artifact.published` | `artifact.ingested`, or `artifact.updated` if its tag had another digest |
//! | `artifact.signed`, `.downloaded`, `.deleted` | `artifact.signed`, `.downloaded`, `.deleted` |
//! | another of `artifact.` | `artifact.` and its predicate, such as `artifact.packaged` |
//! | any other | `webhook.received` |
//!
//! One that an engine of this crate sent has the event that it tells of in its custom data, and
//! becomes that event.
//!
//! What happened is read from the data, which a signature covers also where attributes stand in
//! header fields. The whole CDEvent is kept in the event's data.

use serde_json::{Map, Value};

use super::super::cloudevents::{self, CloudEvent};
use super::super::fields::{required_text, text};
use super::super::purl;
use super::super::told::{Telling, Told};
use super::super::{Change, Notice, ParseError};
use super::cloudevents::{correlation, placed};
use crate::clock::Timestamp;
use crate::document::{Field as _, Object, Problems, cut, join};
use crate::event::{Actor, Artifact, Event, EventKind};
use crate::request::Headers;

pub(super) fn read(headers: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    let events = cloudevents::read(headers, telling.body)?;
    Ok(Problems::gather(|problems| {
        let notice = |event| notice(event, telling, problems);
        Some(events.into_iter().filter_map(notice).collect())
    })?)
}

/// What a CDEvent says of itself and of its subject.
struct CdEvent {
    id: String,
    source: String,
    timestamp: Option<Timestamp>,
    /// Its type without `dev.cdevents.` and version: a subject and a predicate.
    what: String,
    subject: String,
    user: Option<String>,
}

fn notice(mut event: CloudEvent, telling: &Telling<'_>, problems: &mut Problems) -> Option<Notice> {
    let path = event.data_path();
    let whole = event.data.as_json().and_then(Value::as_object).cloned();
    let told = CdEvent::read(event.take_object(problems)?, problems)?;
    if what(&event.kind).as_ref() != Some(&told.what) {
        let message = format!("expected the type in {path}.context, found {:?}", cut(&event.kind));
        problems.add(event.path("type"), message);
        return None;
    }
    if let Some(ours) = whole.as_ref().and_then(|whole| ours(whole, &told.id)) {
        let path = join(&path, CUSTOM_DATA);
        return placed(Event::read(ours, &path, problems)?, telling, &path, problems);
    }
    let (kind, change, artifact) = told.meaning(&path, problems)?;
    let mut notice = Told::new(kind, change, artifact);
    notice.id = Some(told.id);
    notice.instance = Some(told.source);
    notice.occurred_at = told.timestamp.or(event.time);
    notice.actor = told.user.map(|name| Actor { name: Some(name), ..Actor::default() });
    notice.correlation = correlation(&event);
    notice.rest = whole.unwrap_or_default();
    notice.notice(0, telling, &path, problems)
}

const CUSTOM_DATA: &str = "customData";

/// The event that an engine of this crate put in the custom data, if it was one who sent it: they
/// have one id.
fn ours(whole: &Map<String, Value>, id: &str) -> Option<Value> {
    let custom = whole.get(CUSTOM_DATA)?;
    let is_ours = custom.get("spec_version").is_some() && custom.get("id")?.as_str()? == id;
    is_ours.then(|| custom.clone())
}

impl CdEvent {
    fn read(mut data: Object, problems: &mut Problems) -> Option<Self> {
        let context: Option<Object> = data.required("context", problems);
        let subject: Option<Object> = data.required("subject", problems);
        let (mut context, mut subject) = (context?, subject?);
        let id = required_text(&mut context, "id", problems);
        let source = required_text(&mut context, "source", problems);
        let timestamp = context.optional("timestamp", problems);
        let kind = required_text(&mut context, "type", problems);
        let subject_id = required_text(&mut subject, "id", problems);
        let about: Option<Object> = subject.optional("content", problems);
        let user = about.and_then(|mut about| text(&mut about, "user", problems));
        let (kind, path) = (kind?, context.path("type"));
        let Some(what) = what(&kind) else {
            let expected = "dev.cdevents., a subject and a predicate";
            problems.add(path, format!("expected {expected}, found {:?}", cut(&kind)));
            return None;
        };
        Some(Self { id: id?, source: source?, timestamp, what, subject: subject_id?, user })
    }

    fn meaning(
        &self,
        path: &str,
        problems: &mut Problems,
    ) -> Option<(EventKind, Change, Artifact)> {
        let Some(predicate) = self.what.strip_prefix("artifact.") else {
            return Some((EventKind::WEBHOOK_RECEIVED, Change::None, Artifact::default()));
        };
        let mut artifact = purl::artifact(&self.subject).unwrap_or_default();
        if artifact.name.is_none() {
            artifact.name = Some(self.subject.clone());
        }
        let name = artifact.tags.first().or(artifact.version.as_ref()).cloned();
        Some(match (predicate, artifact.digest.clone(), name) {
            ("published", Some(digest), tag) => {
                (EventKind::ARTIFACT_INGESTED, Change::Push { tag, digest }, artifact)
            }
            ("published", None, Some(tag)) => {
                (EventKind::ARTIFACT_INGESTED, Change::PushTag { tag }, artifact)
            }
            ("published", None, None) => (EventKind::ARTIFACT_INGESTED, Change::None, artifact),
            ("deleted", Some(digest), _) => {
                (EventKind::ARTIFACT_DELETED, Change::DeleteDigest { digest }, artifact)
            }
            ("deleted", None, Some(tag)) => {
                (EventKind::ARTIFACT_DELETED, Change::DeleteTag { tag }, artifact)
            }
            _ => {
                let kind = format!("artifact.{predicate}").parse();
                let kind = kind.map_err(|error| {
                    problems.add(format!("{path}.context.type"), format!("{error}"));
                });
                (kind.ok()?, Change::None, artifact)
            }
        })
    }
}

/// Subject and predicate of a type, `dev.cdevents.artifact.published.0.2.0`, without its version;
/// those of a custom event begin with `dev.cdeventsx.` and its tool.
fn what(kind: &str) -> Option<String> {
    let rest =
        kind.strip_prefix("dev.cdevents.").or_else(|| kind.strip_prefix("dev.cdeventsx."))?;
    let mut words = rest.split('.').take(2).map(str::to_ascii_lowercase);
    let (subject, predicate) = (words.next()?, words.next()?);
    (!subject.is_empty() && !predicate.is_empty()).then(|| format!("{subject}.{predicate}"))
}

#[cfg(test)]
mod tests;
