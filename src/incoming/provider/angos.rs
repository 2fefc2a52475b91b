//! angos: one event a request, with an id of its own.
//!
//! A push by a tag is told twice, as `manifest.push` and as `tag.create`, and so is each deletion
//! of a tag. The second telling has a kind of its own here, so that nothing fires twice. A tag that
//! was only asked for beside the push is told by `tag.create` alone, and is a push by that tag.

use serde_json::{Map, Value};

use super::super::fields::{digest, keep, own_kind, reference, required_text, text, user};
use super::super::oci::{self, Reference};
use super::super::told::{Telling, Told, last_segment};
use super::super::{Change, Notice, ParseError};
use crate::document::{self, Object, Problems};
use crate::event::{Actor, ActorKind, Artifact, EventKind, OciFacts, OciRole};
use crate::request::Headers;

pub(super) fn read(_: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    let value = document::parse_foreign(telling.body, telling.body.len())?;
    Ok(Problems::gather(|problems| {
        let mut object = Object::root(value, problems)?;
        let id = required_text(&mut object, "id", problems);
        let occurred_at = object.required("timestamp", problems);
        let kind = required_text(&mut object, "kind", problems);
        let namespace = required_text(&mut object, "namespace", problems);
        let digest = digest(&mut object, "digest", problems);
        let reference = reference(&mut object, "reference", problems);
        let tag = text(&mut object, "tag", problems);
        let actor: Option<Object> = object.optional("actor", problems);
        let kind_path = object.path("kind");
        let mut rest = object.rest();
        let actor = actor.map(|told| read_actor(told, &mut rest, problems));
        let repository = namespace?;
        let mut artifact = Artifact::new("oci", last_segment(&repository));
        artifact.repository = Some(repository);
        artifact.digest = digest.or_else(|| reference.digest.clone());
        artifact.tags.extend(tag.or_else(|| reference.tag.clone()));
        let mut told = told(&kind?, &reference, artifact, &kind_path, problems)?;
        told.id = id;
        told.occurred_at = occurred_at;
        told.actor = actor;
        told.rest = rest;
        Some(vec![told.notice(0, telling, "", problems)?])
    })?)
}

fn told(
    kind: &str,
    reference: &Reference,
    artifact: Artifact,
    path: &str,
    problems: &mut Problems,
) -> Option<Told> {
    let is_by_this_tag = reference.tag.is_some() && reference.tag == artifact.tags.first().cloned();
    Some(match kind {
        "manifest.push" => oci::pushed(artifact),
        "manifest.pull" => oci::pulled(artifact),
        "manifest.delete" if reference.tag.is_none() => oci::deleted(artifact),
        "blob.push" => {
            let change = artifact.digest.clone().map(|digest| Change::PushBlob { digest });
            of_blob(EventKind::BLOB_INGESTED, change.unwrap_or(Change::None), artifact)
        }
        "blob.pull" => of_blob(EventKind::BLOB_DOWNLOADED, Change::None, artifact),
        "tag.create" if !is_by_this_tag => oci::pushed(artifact),
        "tag.delete" => oci::deleted(Artifact { digest: None, ..artifact }),
        other => oci::other(own_kind("angos", other, path, problems)?, artifact),
    })
}

fn of_blob(kind: EventKind, change: Change, mut artifact: Artifact) -> Told {
    artifact.oci = Some(OciFacts::of_role(OciRole::Blob));
    Told::new(kind, change, artifact)
}

/// A process of the registry itself, whoever logged in, or nobody known.
fn read_actor(mut told: Object, rest: &mut Map<String, Value>, problems: &mut Problems) -> Actor {
    let internal = text(&mut told, "internal", problems);
    let name = text(&mut told, "username", problems);
    let mut actor = match internal {
        Some(process) => Actor::new(ActorKind::Internal, process),
        None => user(name),
    };
    actor.id = text(&mut told, "id", problems);
    actor.address = text(&mut told, "client_ip", problems);
    keep(rest, "actor", told.rest());
    actor
}
