//! Harbor: its default payload, and the CloudEvents payload that it has from 2.8 on.
//!
//! In: either, told apart by `content-type`. Out: one notice a tag of a push, and one for
//! everything else that happened at once. The names of the default payload, and those of Harbor 1,
//! become those of the other:
//!
//! | what happened | kind |
//! |---|---|
//! | `artifact.pushed` | `artifact.ingested`, or `artifact.updated` if the tag had another digest |
//! | `artifact.pulled` | `artifact.downloaded` |
//! | `artifact.deleted` | `artifact.deleted` |
//! | `tag.created` | `tag.created` |
//! | `scan.completed`, `scan.failed` | the same, with the overview in the data |
//! | `quota.warned`, `quota.exceeded` | `quota.warning`, `quota.exceeded` |
//! | `tag_retention.finished` | `retention.completed` |
//! | `UPLOAD_CHART`, `DOWNLOAD_CHART`, `DELETE_CHART` | as of artifacts, with the type `helm` |
//! | `testEndpoint` | `ping` |
//! | `scan.stopped`, `replication.status.changed` and others | `harbor.` and these words |

mod payload;

use super::super::cloudevents;
use super::super::fields::own_kind;
use super::super::oci;
use super::super::told::{Telling, Told, shared};
use super::super::{Change, Notice, ParseError};
use crate::document::{self, Object, Problems};
use crate::event::{Actor, ActorKind, Artifact, EventKind};
use crate::request::Headers;
use payload::{Hook, Resource, Subject};

/// What Harbor 2 and Harbor 1 call in the default payload what CloudEvents call so.
const NAMES: &[(&str, &str, &str)] = &[
    ("PUSH_ARTIFACT", "pushImage", "artifact.pushed"),
    ("PULL_ARTIFACT", "pullImage", "artifact.pulled"),
    ("DELETE_ARTIFACT", "deleteImage", "artifact.deleted"),
    ("CREATE_TAG", "createTag", "tag.created"),
    ("UPLOAD_CHART", "uploadChart", "chart.uploaded"),
    ("DOWNLOAD_CHART", "downloadChart", "chart.downloaded"),
    ("DELETE_CHART", "deleteChart", "chart.deleted"),
    ("SCANNING_COMPLETED", "scanningCompleted", "scan.completed"),
    ("SCANNING_FAILED", "scanningFailed", "scan.failed"),
    ("SCANNING_STOPPED", "scanningStopped", "scan.stopped"),
    ("QUOTA_EXCEED", "quotaExceed", "quota.exceeded"),
    ("QUOTA_WARNING", "quotaWarning", "quota.warned"),
    ("REPLICATION", "replication", "replication.status.changed"),
    ("TAG_RETENTION", "tagRetention", "tag_retention.finished"),
    ("TEST_ENDPOINT", "testEndpoint", "test"),
];

pub(super) fn read(headers: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    if cloudevents::is_one(headers) {
        let events = cloudevents::read(headers, telling.body)?;
        let mut hooks = Vec::with_capacity(events.len());
        for event in events {
            hooks.push(Problems::gather(|problems| Hook::of_cloud_event(event, problems))?);
        }
        return Ok(Problems::gather(|problems| notices(hooks, telling, problems))?);
    }
    let value = document::parse_foreign(telling.body, telling.body.len())?;
    Ok(Problems::gather(|problems| {
        let hook = Hook::of_default(Object::root(value, problems)?, problems)?;
        notices(vec![hook], telling, problems)
    })?)
}

fn notices(
    hooks: Vec<Hook>,
    telling: &Telling<'_>,
    problems: &mut Problems,
) -> Option<Vec<Notice>> {
    let mut notices: Vec<Notice> = Vec::new();
    for mut hook in hooks {
        let subject = Subject::read(&mut hook, problems)?;
        let resources = resources(&hook, subject, problems)?;
        let rest = shared(&hook.rest, resources.len());
        for (resource, told) in resources {
            let mut told = told;
            told.id.clone_from(&hook.id);
            told.instance.clone_from(&hook.source);
            told.occurred_at = hook.occurred_at;
            told.actor = actor(&hook);
            told.correlation.request_id.clone_from(&hook.request_id);
            told.rest.clone_from(&rest);
            told.rest.extend(resource);
            notices.push(told.notice(notices.len(), telling, &hook.data_path, problems)?);
        }
    }
    Some(notices)
}

type Left = serde_json::Map<String, serde_json::Value>;

/// What happened to each resource, and what else is told of it. A push concerns each of its tags;
/// what else happens, happens once, whatever tags name it.
fn resources(
    hook: &Hook,
    mut subject: Subject,
    problems: &mut Problems,
) -> Option<Vec<(Left, Told)>> {
    let needs_resource = ["artifact.", "chart.", "tag.created", "scan."];
    let needs_resource = needs_resource.iter().any(|start| hook.what.starts_with(start));
    if needs_resource && !subject.is_complete(hook, problems) {
        return None;
    }
    let resources = match hook.what.as_str() {
        "artifact.pushed" | "chart.uploaded" => std::mem::take(&mut subject.resources),
        _ => Resource::joined(std::mem::take(&mut subject.resources)),
    };
    let mut found = Vec::with_capacity(resources.len().max(1));
    for resource in resources {
        let (artifact, left) = subject.artifact(resource);
        found.push((left, told(hook, artifact, problems)?));
    }
    if found.is_empty() {
        found.push((Left::new(), told(hook, subject.nothing(), problems)?));
    }
    Some(found)
}

fn told(hook: &Hook, artifact: Artifact, problems: &mut Problems) -> Option<Told> {
    Some(match hook.what.as_str() {
        "artifact.pushed" => oci::pushed(artifact),
        "artifact.pulled" => oci::pulled(artifact),
        "artifact.deleted" => oci::deleted(artifact),
        "chart.uploaded" => {
            let version = artifact.tags.first().cloned();
            let change = version.map_or(Change::None, |tag| Change::PushTag { tag });
            chart(EventKind::ARTIFACT_INGESTED, change, artifact)
        }
        "chart.downloaded" => chart(EventKind::ARTIFACT_DOWNLOADED, Change::None, artifact),
        "chart.deleted" => {
            let version = artifact.tags.first().cloned();
            let change = version.map_or(Change::None, |tag| Change::DeleteTag { tag });
            chart(EventKind::ARTIFACT_DELETED, change, artifact)
        }
        "tag.created" => oci::other(EventKind::TAG_CREATED, artifact),
        "scan.completed" => oci::other(EventKind::SCAN_COMPLETED, artifact),
        "scan.failed" => oci::other(EventKind::SCAN_FAILED, artifact),
        "quota.exceeded" => oci::other(EventKind::QUOTA_EXCEEDED, artifact),
        "quota.warned" => oci::other(EventKind::QUOTA_WARNING, artifact),
        "tag_retention.finished" => oci::other(EventKind::RETENTION_COMPLETED, artifact),
        "test" => oci::other(EventKind::PING, artifact),
        other => oci::other(own_kind("harbor", other, &hook.what_path, problems)?, artifact),
    })
}

/// A chart of Harbor's own chart museum: its version stands where a tag does.
fn chart(kind: EventKind, change: Change, mut artifact: Artifact) -> Told {
    artifact.package_type = Some("helm".to_owned());
    artifact.version = std::mem::take(&mut artifact.tags).into_iter().next();
    Told::new(kind, change, artifact)
}

/// Who did it. What retention calls its operator is how it was started.
fn actor(hook: &Hook) -> Option<Actor> {
    let name = hook.operator.as_ref()?;
    Some(match hook.what.as_str() {
        "tag_retention.finished" => Actor::new(ActorKind::Internal, "retention"),
        _ if name.starts_with("robot$") => Actor::new(ActorKind::Robot, name),
        _ => Actor::new(ActorKind::User, name),
    })
}

/// What happened, as CloudEvents call it.
fn what(name: &str) -> String {
    let known = NAMES.iter().find(|(two, one, _)| *two == name || *one == name);
    known.map_or(name, |(_, _, what)| what).to_owned()
}
