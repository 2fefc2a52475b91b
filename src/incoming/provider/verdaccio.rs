//! Verdaccio: one event a request, in whichever of two forms its `notify` has as content.
//!
//! One is that of its documentation, with `publishedPackage`, the other names what its templates
//! know:
//! `name`, `publishType`, `versions` with a null behind the last, `user`. Neither has an id or a
//! time. Verdaccio renders the document that was sent to it, so `versions` of a publication has the
//! new one alone; of an unpublication nobody tells in this form which version went. Older versions
//! know no `publishType` and tell of publications alone.

use super::super::fields::{own_kind, text};
use super::super::names::{name_and_version, package};
use super::super::told::{Telling, Told};
use super::super::{Change, Notice, ParseError};
use crate::document::{Object, Problems};
use crate::event::{Actor, ActorKind, Artifact, EventKind};
use crate::request::Headers;

/// What happened, where nothing else is told.
const PUBLISH: &str = "publish";

pub(super) fn read(_: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    telling.one(telling.body, |object, problems| {
        let published = text(object, "publishedPackage", problems);
        let path = if published.is_some() { "type" } else { "publishType" };
        let word = text(object, path, problems).unwrap_or_else(|| PUBLISH.to_owned());
        let (artifact, actor) = if let Some(published) = published {
            let (name, version) = name_and_version(&published);
            let artifact = of_version(name, version.map(ToOwned::to_owned));
            (artifact, text(object, "publisher", problems))
        } else {
            let name = text(object, "name", problems);
            if name.is_none() {
                problems
                    .add("publishedPackage", "expected a string, here or as name, found nothing");
                problems
                    .add("name", "expected a string, here or as publishedPackage, found nothing");
            }
            let version = (word == PUBLISH).then(|| only_version(object, problems)).flatten();
            (of_version(&name?, version), text(object, "user", problems))
        };
        let kind = match word.as_str() {
            PUBLISH => EventKind::ARTIFACT_INGESTED,
            "unpublish" => EventKind::ARTIFACT_DELETED,
            other => own_kind("verdaccio", other, path, problems)?,
        };
        let mut told = Told::new(kind, Change::None, artifact);
        told.actor = actor.map(|name| Actor::new(ActorKind::User, name));
        Some(told)
    })
}

fn of_version(name: &str, version: Option<String>) -> Artifact {
    let mut artifact = package("npm", name);
    artifact.version = version;
    artifact
}

/// The only one of `versions` that is not null, or `version`.
fn only_version(object: &mut Object, problems: &mut Problems) -> Option<String> {
    let versions: Vec<serde_json::Value> =
        object.optional("versions", problems).unwrap_or_default();
    let mut told = Vec::new();
    for (n, version) in versions.into_iter().enumerate() {
        match version {
            serde_json::Value::Null => {}
            serde_json::Value::String(version) => told.push(version),
            other => {
                let path = format!("{}[{n}]", object.path("versions"));
                crate::document::mismatch(&other, "a string or null", &path, problems);
            }
        }
    }
    let version = text(object, "version", problems);
    if told.len() > 1 {
        let found = told.len();
        problems.add(object.path("versions"), format!("expected one version, found {found}"));
        return None;
    }
    version.or_else(|| told.pop())
}
