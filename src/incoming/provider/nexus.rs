//! Sonatype Nexus Repository: one component a request, with the id of the delivery.
//!
//! Nexus says itself whether a component is new. Its assets are files of components, so they have
//! kinds of Nexus' own, `nexus.asset.created`, and so has what purging takes: Nexus tells only its
//! own ids of that, which are kept in the data. No digest is told.

use super::super::fields::{own_kind, required_text, text};
use super::super::moments;
use super::super::names::package_type;
use super::super::oci::{self, Reference};
use super::super::told::{Telling, Told, last_segment};
use super::super::{Change, Notice, ParseError};
use super::forge;
use crate::document::{Object, Problems};
use crate::event::{Actor, ActorKind, Artifact, EventKind};
use crate::request::Headers;

const NAME: &str = "nexus";

pub(super) fn read(headers: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    telling.one(telling.body, |object, problems| {
        let occurred_at = moments::time(object, "timestamp", problems);
        let node = text(object, "nodeId", problems);
        let actor = text(object, "initiator", problems).map(|initiator| actor(&initiator));
        let repository = text(object, "repositoryName", problems);
        let component: Option<Object> = object.optional("component", problems);
        let asset: Option<Object> = object.optional("asset", problems);
        let of_repository: Option<Object> = object.optional("repository", problems);
        let audit: Option<Object> = object.optional("audit", problems);
        let mut told = match (component, asset, of_repository, audit) {
            (Some(told), _, _, _) => of_component(told, repository, object, problems),
            (_, Some(told), _, _) => of_asset(told, repository, object, problems),
            (_, _, Some(told), _) => of_a_repository(told, object, problems),
            (_, _, _, Some(told)) => of_audit(told, problems),
            _ => of_other(headers, repository, object, problems),
        }?;
        told.delivery = forge::header(headers, "x-nexus-webhook-delivery");
        told.occurred_at = occurred_at;
        told.instance = node;
        told.actor = actor;
        Some(told)
    })
}

/// `user/address`, or who it is alone.
fn actor(initiator: &str) -> Actor {
    let (name, address) = match initiator.rsplit_once('/') {
        Some((name, address)) if !address.is_empty() => (name, Some(address)),
        _ => (initiator, None),
    };
    let mut actor = match name {
        "anonymous" | "" => Actor::anonymous(),
        "system" | "*SYSTEM" | "*TASK" => Actor::new(ActorKind::Internal, name),
        _ => Actor::new(ActorKind::User, name),
    };
    actor.address = address.map(ToOwned::to_owned);
    actor
}

fn of_component(
    mut component: Object,
    repository: Option<String>,
    object: &mut Object,
    problems: &mut Problems,
) -> Option<Told> {
    let action = required_text(object, "action", problems);
    let format = required_text(&mut component, "format", problems);
    let name = required_text(&mut component, "name", problems);
    let group = text(&mut component, "group", problems);
    let version = text(&mut component, "version", problems);
    let (of_type, name) = (package_type(&format?), name?);
    let artifact = if of_type == "oci" {
        image(repository, &name, version)
    } else {
        let name = name.trim_start_matches('/');
        let mut artifact = Artifact::new(&of_type, name);
        artifact.repository = repository;
        artifact.namespace = group.and_then(|group| namespace(&of_type, &group));
        artifact.version = version;
        artifact
    };
    let kind = match action?.as_str() {
        "CREATED" => EventKind::ARTIFACT_INGESTED,
        "UPDATED" => EventKind::ARTIFACT_UPDATED,
        "DELETED" => EventKind::ARTIFACT_DELETED,
        other => own_kind(NAME, &format!("component.{other}"), "action", problems)?,
    };
    let mut told = if kind == EventKind::ARTIFACT_INGESTED && of_type == "oci" {
        Told { kind, change: Change::None, ..oci::pushed(artifact) }
    } else {
        Told::new(kind, Change::None, artifact)
    };
    told.keep("component", Some(component));
    Some(told)
}

/// An image's version is its tag, or its digest.
fn image(repository: Option<String>, name: &str, version: Option<String>) -> Artifact {
    let path = repository.map_or_else(|| name.to_owned(), |it| format!("{it}/{name}"));
    let reference = version.map(Reference::of).unwrap_or_default();
    let mut artifact = Artifact::new("oci", last_segment(name)).with_repository(path);
    artifact.tags.extend(reference.tag);
    artifact.digest = reference.digest;
    artifact
}

/// A group as the ecosystem writes it: Nexus leaves out the `@` of npm's scopes, and has paths for
/// files.
fn namespace(of_type: &str, group: &str) -> Option<String> {
    let group = group.trim_matches('/');
    if group.is_empty() {
        return None;
    }
    let is_bare_scope = of_type == "npm" && !group.starts_with('@');
    Some(if is_bare_scope { format!("@{group}") } else { group.to_owned() })
}

fn of_asset(
    mut asset: Object,
    repository: Option<String>,
    object: &mut Object,
    problems: &mut Problems,
) -> Option<Told> {
    let action = required_text(object, "action", problems);
    let format = text(&mut asset, "format", problems);
    let name = required_text(&mut asset, "name", problems);
    let kind = own_kind(NAME, &format!("asset.{}", action?), "action", problems);
    let mut artifact = Artifact::default().with_name(name?.trim_start_matches('/'));
    artifact.package_type = format.map(|format| package_type(&format));
    artifact.repository = repository;
    let mut told = Told::new(kind?, Change::None, artifact);
    told.keep("asset", Some(asset));
    Some(told)
}

fn of_a_repository(
    mut repository: Object,
    object: &mut Object,
    problems: &mut Problems,
) -> Option<Told> {
    let action = required_text(object, "action", problems);
    let name = required_text(&mut repository, "name", problems);
    let format = text(&mut repository, "format", problems);
    let (kind, change) = match action?.as_str() {
        "CREATED" => (EventKind::REPOSITORY_CREATED, Change::None),
        "DELETED" => (EventKind::REPOSITORY_DELETED, Change::DeleteRepository),
        other => {
            let words = format!("repository.{other}");
            (own_kind(NAME, &words, "action", problems)?, Change::None)
        }
    };
    let mut artifact = Artifact::default().with_repository(name?);
    artifact.package_type = format.map(|format| package_type(&format));
    let mut told = Told::new(kind, change, artifact);
    told.keep("repository", Some(repository));
    Some(told)
}

fn of_audit(mut audit: Object, problems: &mut Problems) -> Option<Told> {
    let domain = required_text(&mut audit, "domain", problems);
    let of_type = required_text(&mut audit, "type", problems);
    let domain = format!("audit.{}", domain?);
    own_kind(NAME, &domain, "audit.domain", problems)?;
    let words = format!("{domain}.{}", of_type?);
    let kind = own_kind(NAME, &words, "audit.type", problems)?;
    let mut told = Told::new(kind, Change::None, Artifact::default());
    told.keep("audit", Some(audit));
    Some(told)
}

/// What is told of no one thing: a purge, of which `components` or `assets` has the ids.
fn of_other(
    headers: &Headers,
    repository: Option<String>,
    object: &mut Object,
    problems: &mut Problems,
) -> Option<Told> {
    let id = forge::required_header(headers, "x-nexus-webhook-id", problems)?;
    let subject = id.rsplit(':').next().unwrap_or(&id);
    let Some(action) = required_text(object, "action", problems) else {
        problems.add(subject, "expected an object, or an action, found nothing");
        return None;
    };
    let kind = own_kind(NAME, &format!("{subject}.{action}"), "action", problems)?;
    let artifact = Artifact { repository, ..Artifact::default() };
    Some(Told::new(kind, Change::None, artifact))
}
