//! GitLab: hooks of a project or a group. Its container registry sends the distribution registry's
//! envelope, which a [`DistributionReceiver`](crate::incoming::distribution::DistributionReceiver)
//! reads.
//!
//! No hook tells of a package. Tags and releases are of code, and pipelines build it, so each has a
//! kind of GitLab's own: `gitlab.tag.created`, `gitlab.release.created`, `gitlab.pipeline.success`.
//! A trigger that asks for artifacts never fires on them. Every other hook is `gitlab.` and what it
//! calls itself.

use super::super::fields::{own_kind, required_text, text};
use super::super::moments;
use super::super::names::host_of;
use super::super::told::{Telling, Told};
use super::super::{Change, Notice, ParseError};
use super::forge::{self, id};
use crate::document::{Object, Problems};
use crate::event::{Actor, ActorKind, Artifact};
use crate::request::Headers;

/// What stands for no commit.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

pub(super) fn read(headers: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    telling.one(telling.body, |object, problems| {
        let kind = text(object, "object_kind", problems);
        let name = text(object, "event_name", problems);
        let path = if kind.is_some() { "object_kind" } else { "event_name" };
        let Some(kind) = kind.or(name) else {
            problems.add("object_kind", "expected a string, here or as event_name, found nothing");
            problems.add("event_name", "expected a string, here or as object_kind, found nothing");
            return None;
        };
        let mut told = match kind.as_str() {
            "tag_push" => of_tag(object, problems),
            "release" => of_release(object, problems),
            "pipeline" => of_pipeline(object, problems),
            other => of_other(other, path, object, problems),
        }?;
        // The same for each attempt. `x-gitlab-event-uuid` is the same for all that one hook leads
        // to.
        told.id = forge::header(headers, "idempotency-key");
        told.delivery = forge::header(headers, "x-gitlab-event-uuid");
        told.instance = forge::header(headers, "x-gitlab-instance").and_then(|it| host_of(&it));
        Some(told)
    })
}

/// The project, whose path is what it is called by; its id and settings are kept.
fn project(object: &mut Object, problems: &mut Problems) -> (Artifact, Option<Object>) {
    let mut artifact = Artifact::default();
    let mut project: Option<Object> = object.optional("project", problems);
    if let Some(project) = &mut project {
        artifact.package_type = Some("gitlab".to_owned());
        artifact.repository = text(project, "path_with_namespace", problems);
        artifact.url = text(project, "web_url", problems);
        artifact.registry = artifact.url.as_deref().and_then(host_of);
        let parts = artifact.repository.as_deref().and_then(|path| path.rsplit_once('/'));
        let parts = parts.map(|(group, name)| (group.to_owned(), name.to_owned()));
        (artifact.namespace, artifact.name) = parts.unzip();
    }
    (artifact, project)
}

/// An event of GitLab's own kind, whose words stand at a path.
fn told(
    (words, path): (&str, &str),
    artifact: Artifact,
    project: Option<Object>,
    problems: &mut Problems,
) -> Option<Told> {
    let kind = own_kind("gitlab", words, path, problems)?;
    let mut told = Told::new(kind, Change::None, artifact);
    told.keep("project", project);
    Some(told)
}

fn of_tag(object: &mut Object, problems: &mut Problems) -> Option<Told> {
    let reference = required_text(object, "ref", problems);
    let after: Option<String> = object.optional("after", problems);
    let username = text(object, "user_username", problems);
    let name = text(object, "user_name", problems).or(username);
    let user_id = id(object, "user_id", problems);
    let (mut artifact, project) = project(object, problems);
    let reference = reference?;
    let tag = reference.strip_prefix("refs/tags/").unwrap_or(&reference);
    artifact.tags.push(tag.to_owned());
    let is_gone = after.as_deref() == Some(NO_COMMIT);
    let words = if is_gone { "tag.deleted" } else { "tag.created" };
    let mut told = told((words, "ref"), artifact, project, problems)?;
    told.rest.extend(after.map(|after| ("after".to_owned(), after.into())));
    told.actor = name.map(|name| Actor::new(ActorKind::User, name));
    if let Some(actor) = &mut told.actor {
        actor.id = user_id;
    }
    Some(told)
}

fn of_release(object: &mut Object, problems: &mut Problems) -> Option<Told> {
    let action = required_text(object, "action", problems);
    let tag = required_text(object, "tag", problems);
    let url = text(object, "url", problems);
    let released_at = moments::time(object, "released_at", problems);
    let created_at = moments::time(object, "created_at", problems);
    let (mut artifact, project) = project(object, problems);
    artifact.version = tag;
    artifact.url = url.or(artifact.url);
    let words = match action?.as_str() {
        "create" => "release.created".to_owned(),
        "update" => "release.updated".to_owned(),
        "delete" => "release.deleted".to_owned(),
        other => format!("release.{other}"),
    };
    let mut told = told((&words, "action"), artifact, project, problems)?;
    if words == "release.created" {
        told.occurred_at = created_at.or(released_at);
    } else {
        let kept = [("created_at", created_at), ("released_at", released_at)];
        let kept = kept.into_iter().filter_map(|(name, time)| Some((name, time?)));
        told.rest.extend(kept.map(|(name, time)| (name.to_owned(), time.to_string().into())));
    }
    Some(told)
}

fn of_pipeline(object: &mut Object, problems: &mut Problems) -> Option<Told> {
    let attributes: Option<Object> = object.required("object_attributes", problems);
    let user: Option<Object> = object.optional("user", problems);
    let (mut artifact, project) = project(object, problems);
    let actor = user.and_then(|user| of_user(user, problems));
    let mut attributes = attributes?;
    let status = required_text(&mut attributes, "status", problems);
    let is_tag: Option<bool> = attributes.optional("tag", problems);
    let reference = text(&mut attributes, "ref", problems);
    let url = text(&mut attributes, "url", problems);
    let finished_at = moments::time(&mut attributes, "finished_at", problems);
    let pipeline = id(&mut attributes, "id", problems);
    artifact.url = url.or(artifact.url);
    let branch = match (is_tag, reference) {
        (Some(true), Some(tag)) => {
            artifact.tags.push(tag);
            None
        }
        (_, reference) => reference,
    };
    let words = format!("pipeline.{}", status?);
    let path = "object_attributes.status";
    let mut told = told((&words, path), artifact, project, problems)?;
    told.occurred_at = finished_at;
    told.actor = actor;
    told.correlation.request_id = pipeline.map(|id| format!("pipeline/{id}"));
    told.keep("object_attributes", Some(attributes));
    told.rest.extend(branch.map(|branch| ("branch".to_owned(), branch.into())));
    Some(told)
}

fn of_user(mut told: Object, problems: &mut Problems) -> Option<Actor> {
    let username = text(&mut told, "username", problems);
    let name = text(&mut told, "name", problems);
    let mut actor = Actor::new(ActorKind::User, username.or(name)?);
    actor.id = id(&mut told, "id", problems);
    Some(actor)
}

/// Any other hook, by the name of what happened to it where it has one.
fn of_other(kind: &str, path: &str, object: &mut Object, problems: &mut Problems) -> Option<Told> {
    let mut attributes: Option<Object> = object.optional("object_attributes", problems);
    let action = attributes.as_mut().and_then(|it| text(it, "action", problems));
    let user: Option<Object> = object.optional("user", problems);
    let actor = user.and_then(|user| of_user(user, problems));
    let (artifact, project) = project(object, problems);
    let mut told = told((kind, path), artifact, project, problems)?;
    if let Some(action) = action {
        let words = format!("{kind}.{action}");
        told.kind = own_kind("gitlab", &words, "object_attributes.action", problems)?;
    }
    told.actor = actor;
    told.keep("object_attributes", attributes);
    Some(told)
}
