//! Hooks as npm has them: one event a request, with a time and without an id.
//!
//! A version of a package is published once, so that it is always new. `payload`, the package's
//! whole document, is looked into for the version and not kept. Whether a dist-tag is new or moved
//! is not told: it has a kind of npm's own, `npm.dist-tag`.

use serde_json::{Map, Value};

use super::super::fields::{own_kind, required_text, text};
use super::super::moments;
use super::super::names::package;
use super::super::told::{Telling, Told};
use super::super::{Change, Notice, ParseError};
use crate::document::{Object, Problems};
use crate::event::{Actor, ActorKind, Artifact, EventKind, is_digest};
use crate::request::Headers;

pub(super) fn read(_: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    telling.one(telling.body, |object, problems| {
        let event = required_text(object, "event", problems);
        let name = required_text(object, "name", problems);
        let time = moments::milliseconds(object, "time", problems);
        let payload: Option<Map<String, Value>> = object.optional("payload", problems);
        let mut change: Option<Object> = object.optional("change", problems);
        let changed = change.as_mut().map(|change| Changed::read(change, problems));
        let event = event?;
        let changed = changed.unwrap_or_default();
        let mut artifact = package("npm", &name?);
        artifact.version = changed.version;
        artifact.tags.extend(changed.dist_tag);
        let word = event.strip_prefix("package:").unwrap_or(&event);
        let kind = match word {
            "publish" => EventKind::ARTIFACT_INGESTED,
            "unpublish" => EventKind::ARTIFACT_DELETED,
            "deprecated" => EventKind::ARTIFACT_DEPRECATED,
            "dist-tag-rm" if !artifact.tags.is_empty() => EventKind::TAG_DELETED,
            other => own_kind("npm", other, "event", problems)?,
        };
        if kind == EventKind::ARTIFACT_INGESTED {
            add_distribution(&mut artifact, payload.as_ref());
        }
        let mut told = Told::new(kind, Change::None, artifact);
        told.occurred_at = time;
        told.actor = changed.user.map(|user| Actor::new(ActorKind::User, user));
        told.keep("change", change);
        Some(told)
    })
}

/// What was changed, of which each event tells its part.
#[derive(Default)]
struct Changed {
    version: Option<String>,
    dist_tag: Option<String>,
    user: Option<String>,
}

impl Changed {
    fn read(change: &mut Object, problems: &mut Problems) -> Self {
        let version = text(change, "version", problems);
        // The version, in spite of the name.
        let deprecated = text(change, "deprecated", problems);
        let dist_tag = text(change, "dist-tag", problems);
        let user = text(change, "user", problems);
        Self { version: version.or(deprecated), dist_tag, user }
    }
}

/// The tarball of the version that was published, if the package's document has it.
fn add_distribution(artifact: &mut Artifact, document: Option<&Map<String, Value>>) {
    let version = artifact.version.as_deref();
    let versions = document.and_then(|document| document.get("versions"));
    let dist = version.and_then(|version| versions?.get(version)?.get("dist"));
    let text = |name| dist.and_then(|dist| dist.get(name)?.as_str()).filter(|it| !it.is_empty());
    artifact.digest = text("shasum").map(|hex| format!("sha1:{hex}")).filter(|it| is_digest(it));
    artifact.url = text("tarball").map(ToOwned::to_owned);
}
