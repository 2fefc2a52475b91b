//! One notification of the registry.

use super::super::super::Change;
use super::super::super::fields::{digest, keep, own_kind, reference, required_text, text, user};
use super::super::super::oci::{self, Reference};
use super::super::super::told::{Told, last_segment};
use crate::clock::Timestamp;
use crate::document::{Object, Problems};
use crate::event::{Artifact, Correlation, EventKind, OciFacts};

/// Reads a notification, which may stand in an event of some type.
pub(super) fn read(
    mut object: Object,
    event_type: Option<&str>,
    problems: &mut Problems,
) -> Option<Told> {
    let path = object.path("action");
    let id = text(&mut object, "id", problems);
    let occurred_at: Option<Timestamp> = object.optional("timestamp", problems);
    // Without an action it is another event of Event Grid, or nothing.
    let action = match event_type {
        Some(of) => text(&mut object, "action", problems).unwrap_or_else(|| of.to_owned()),
        None => required_text(&mut object, "action", problems)?,
    };
    let target_path = object.path("target");
    let target: Option<Object> = object.optional("target", problems);
    let request: Option<Object> = object.optional("request", problems);
    let actor: Option<Object> = object.optional("actor", problems);
    let mut rest = object.rest();
    let mut artifact = Artifact::default();
    let has_target = target.is_some();
    if let Some(mut target) = target {
        artifact = read_target(&mut target, problems)?;
        keep(&mut rest, "target", target.rest());
    }
    let mut correlation = Correlation::default();
    if let Some(mut request) = request {
        correlation.request_id = text(&mut request, "id", problems);
        artifact.registry = text(&mut request, "host", problems);
        keep(&mut rest, "request", request.rest());
    }
    let actor = actor.and_then(|mut actor| {
        let name = text(&mut actor, "name", problems);
        keep(&mut rest, "actor", actor.rest());
        name
    });
    if !has_target && TARGETED.contains(&action.as_str()) {
        problems.add(target_path, format!("expected an object, since the action is {action}"));
        return None;
    }
    let mut told = told(&action, artifact, &path, problems)?;
    told.id = id;
    told.occurred_at = occurred_at;
    told.correlation = correlation;
    told.actor = actor.map(|name| user(Some(name)));
    told.rest = rest;
    Some(told)
}

/// The actions on something.
const TARGETED: [&str; 5] = ["push", "chart_push", "delete", "chart_delete", "quarantine"];

fn read_target(target: &mut Object, problems: &mut Problems) -> Option<Artifact> {
    let repository = required_text(target, "repository", problems);
    let digest = digest(target, "digest", problems);
    let Reference { tag, digest: named } = reference(target, "tag", problems);
    let media_type = text(target, "mediaType", problems);
    let size: Option<u64> = target.optional("size", problems);
    let name = text(target, "name", problems);
    let version = text(target, "version", problems);
    let url = text(target, "url", problems);
    // The size again, under its old name.
    let _: Option<u64> = target.optional("length", problems);
    let repository = repository?;
    let name = name.unwrap_or_else(|| last_segment(&repository).to_owned());
    let mut artifact = Artifact::new("oci", name);
    artifact.repository = Some(repository);
    artifact.digest = digest.or(named);
    artifact.tags.extend(tag);
    artifact.version = version;
    artifact.size = size;
    artifact.url = url;
    artifact.oci = media_type.map(|media_type| OciFacts::default().with_media_type(media_type));
    Some(artifact)
}

fn told(action: &str, artifact: Artifact, path: &str, problems: &mut Problems) -> Option<Told> {
    Some(match action {
        "push" => oci::pushed(artifact),
        "delete" => oci::deleted(artifact),
        "chart_push" => of_chart(artifact, |artifact| {
            // Several charts have one repository: it is the file's name that tells them apart.
            let tag = artifact.tags.first().cloned();
            let change = match (tag, artifact.digest.clone()) {
                (tag, Some(digest)) => Change::Push { tag, digest },
                (Some(tag), None) => Change::PushTag { tag },
                (None, None) => Change::None,
            };
            (EventKind::ARTIFACT_INGESTED, change)
        }),
        "chart_delete" => of_chart(artifact, |artifact| {
            let tag = artifact.tags.first().cloned();
            let change = tag.map_or(Change::None, |tag| Change::DeleteTag { tag });
            (EventKind::ARTIFACT_DELETED, change)
        }),
        "quarantine" => oci::other(EventKind::ARTIFACT_QUARANTINED, artifact),
        "ping" => oci::other(EventKind::PING, artifact),
        other => oci::other(own_kind("acr", other, path, problems)?, artifact),
    })
}

/// A chart as Helm 2 had it: an archive with a name and a version.
fn of_chart(
    mut artifact: Artifact,
    meaning: impl FnOnce(&Artifact) -> (EventKind, Change),
) -> Told {
    artifact.package_type = Some("helm".to_owned());
    artifact.version = artifact.version.map(|version| {
        // Some have the end of the file's name in it.
        version.strip_suffix(".tgz").map_or(version.clone(), str::to_owned)
    });
    let (kind, change) = meaning(&artifact);
    Told::new(kind, change, artifact)
}
