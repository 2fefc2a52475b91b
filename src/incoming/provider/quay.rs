//! Quay: one notice a tag of `updated_tags`, and one a notification of anything else.
//!
//! It tells neither digest nor id, time or actor, so that whether a tag is new or moved follows
//! from whether it was told before. It does not say either which of its notifications one is: what
//! it holds tells.
//!
//! | holds | kind |
//! |---|---|
//! | `updated_tags` | `artifact.ingested`, or `artifact.updated` if the tag was told before |
//! | `vulnerability`, `vulnerabilities` | `scan.completed` |
//! | `build_id` | `quay.build` |
//! | `expiring_in` | `quay.image_expiry` |
//! | `message` | `quay.mirror` |
//! | none of these | `quay.notification` |

use serde_json::{Map, Value};

use super::super::fields::{own_kind, required_text, tags, text};
use super::super::oci::{self, Reference};
use super::super::told::{Telling, Told, shared};
use super::super::{Notice, ParseError};
use crate::document::{self, Object, Problems, misshapen};
use crate::event::{Artifact, EventKind, MAX_COUNT};
use crate::request::Headers;

/// What a notification other than of a push holds, and what it is then.
const OTHERS: &[(&str, &str)] =
    &[("build_id", "build"), ("expiring_in", "image_expiry"), ("message", "mirror")];

pub(super) fn read(_: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    let value = document::parse_foreign(telling.body, telling.body.len())?;
    Ok(Problems::gather(|problems| {
        let mut object = Object::root(value, problems)?;
        let repository = required_text(&mut object, "repository", problems);
        let namespace = text(&mut object, "namespace", problems);
        let name = required_text(&mut object, "name", problems);
        let docker_url = required_text(&mut object, "docker_url", problems);
        let homepage = text(&mut object, "homepage", problems);
        let updated = updated_tags(&mut object, problems);
        let named =
            [tags(&mut object, "tags", problems), tags(&mut object, "docker_tags", problems)];
        let rest = object.rest();
        let mut artifact = Artifact::new("oci", name?).with_repository(repository?);
        artifact.registry = docker_url?.split('/').next().map(str::to_owned);
        artifact.namespace = namespace;
        artifact.url = homepage;
        let told = match updated {
            Some(tags) => {
                let rest = shared(&rest, tags.len());
                tags.into_iter().map(|tag| pushed(&artifact, tag, &rest)).collect()
            }
            None => vec![other(artifact, named.concat(), rest, problems)?],
        };
        let told = told.into_iter().enumerate();
        Some(told.filter_map(|(n, told)| told.notice(n, telling, "", problems)).collect())
    })?)
}

/// The tags of a push: a list, or as it was once an object of image ids by tag.
fn updated_tags(object: &mut Object, problems: &mut Problems) -> Option<Vec<String>> {
    let path = object.path("updated_tags");
    let tags: Vec<String> = match object.optional("updated_tags", problems)? {
        Value::Object(ids) => ids.into_iter().map(|(tag, _)| tag).collect(),
        Value::Array(items) => document::Field::read(Value::Array(items), &path, problems)?,
        other => {
            misshapen(&other, "an array", &path, problems);
            return None;
        }
    };
    if tags.len() > MAX_COUNT {
        problems.add(path, format!("expected at most {MAX_COUNT}, found {}", tags.len()));
        return None;
    }
    Some(tags.into_iter().filter(|tag| !tag.is_empty()).collect())
}

fn pushed(artifact: &Artifact, tag: String, rest: &Map<String, Value>) -> Told {
    let mut artifact = artifact.clone();
    let reference = Reference::of(tag);
    artifact.tags.extend(reference.tag);
    artifact.digest = reference.digest;
    let mut told = oci::pushed(artifact);
    told.rest.clone_from(rest);
    told
}

fn other(
    mut artifact: Artifact,
    tags: Vec<String>,
    rest: Map<String, Value>,
    problems: &mut Problems,
) -> Option<Told> {
    artifact.tags = tags;
    let is_scan = rest.contains_key("vulnerability") || rest.contains_key("vulnerabilities");
    let kind = match OTHERS.iter().find(|(member, _)| rest.contains_key(*member)) {
        _ if is_scan => EventKind::SCAN_COMPLETED,
        Some((_, kind)) => own_kind("quay", kind, "", problems)?,
        None => own_kind("quay", "notification", "", problems)?,
    };
    let mut told = oci::other(kind, artifact);
    told.rest = rest;
    Some(told)
}
