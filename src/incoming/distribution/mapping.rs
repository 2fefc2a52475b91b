//! From what the registry tells to a notice.
//!
//! In: a [`Notification`]. Out: a [`Notice`], or problems at their paths in the envelope. What has
//! no place of its own in an event goes into its data.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Map, Value};

use super::envelope::{Notification, Request, Target};
use super::{Change, DistributionReceiver, Notice};
use crate::clock::Timestamp;
use crate::document::{Problem, Problems};
use crate::entropy::OsEntropy;
use crate::event::{
    Actor, ActorKind, Artifact, Correlation, Event, EventKind, OciFacts, OciRole, Scope, Source,
};
use crate::id::EventId;
use crate::incoming::media;
use crate::incoming::names::host_of;
use crate::incoming::oci::{self, Act};
use crate::incoming::told::{last_segment, within_limit};

/// The name of the source, and what the kinds of other actions begin with.
const NAME: &str = "distribution";

pub(super) fn notice(
    told: Notification,
    receiver: &DistributionReceiver,
    now: Timestamp,
    path: &str,
    problems: &mut Problems,
) -> Option<Notice> {
    let (kind, change) = match meaning(&told.action, &told.target, path) {
        Ok(meaning) => meaning,
        Err(problem) => {
            problems.add(problem.path(), problem.message());
            return None;
        }
    };
    let change = if is_left_out(&kind, receiver) { Change::LeftOut } else { change };
    match event(told, kind, receiver, now) {
        Ok(event) => Some(Notice { event: within_limit(event, path, problems)?, change }),
        Err(found) => {
            for problem in &found {
                problems.add(format!("{path}.{}", problem.path()), problem.message());
            }
            None
        }
    }
}

/// What an action on a target is, as far as the event alone tells.
fn meaning(action: &str, target: &Target, path: &str) -> Result<(EventKind, Change), Problem> {
    let digest = || {
        target.digest.clone().ok_or_else(|| {
            let message = format!("expected a digest, since the action is {action}, found nothing");
            Problem::new(format!("{path}.target.digest"), message)
        })
    };
    Ok(match action {
        "push" if target.is_blob() => {
            (EventKind::BLOB_INGESTED, Change::PushBlob { digest: digest()? })
        }
        "push" => {
            let change = Change::Push { tag: target.tag.clone(), digest: digest()? };
            (oci::pushed_kind(target.tag.as_deref()), change)
        }
        "mount" => (EventKind::BLOB_MOUNTED, Change::PushBlob { digest: digest()? }),
        "pull" if target.is_blob() => (EventKind::BLOB_DOWNLOADED, Change::None),
        "pull" => (EventKind::ARTIFACT_DOWNLOADED, Change::None),
        "delete" => deletion(target),
        other => (other_kind(other, path)?, Change::None),
    })
}

fn deletion(target: &Target) -> (EventKind, Change) {
    match (&target.digest, &target.tag) {
        (Some(digest), _) => {
            let is_blob = target.is_blob();
            let kind = if is_blob { EventKind::BLOB_DELETED } else { EventKind::ARTIFACT_DELETED };
            (kind, Change::DeleteDigest { digest: digest.clone() })
        }
        (None, Some(tag)) => (EventKind::TAG_DELETED, Change::DeleteTag { tag: tag.clone() }),
        (None, None) => (EventKind::REPOSITORY_DELETED, Change::DeleteRepository),
    }
}

fn other_kind(action: &str, path: &str) -> Result<EventKind, Problem> {
    format!("{NAME}.{action}").parse().map_err(|_| {
        let found: String = action.chars().take(80).collect();
        let message =
            format!("expected push, pull, mount, delete or a word like these, found {found:?}");
        Problem::new(format!("{path}.action"), message)
    })
}

fn is_left_out(kind: &EventKind, receiver: &DistributionReceiver) -> bool {
    let is_download = [EventKind::ARTIFACT_DOWNLOADED, EventKind::BLOB_DOWNLOADED].contains(kind);
    (is_download && !receiver.downloads) || (kind.as_str().starts_with("blob.") && !receiver.blobs)
}

fn event(
    told: Notification,
    kind: EventKind,
    receiver: &DistributionReceiver,
    now: Timestamp,
) -> Result<Event, Problems> {
    let artifact = artifact(&told, receiver);
    let mut source = Source::new(NAME);
    source.instance.clone_from(&told.source.instance);
    source.id.clone_from(&told.id);
    let mut correlation = Correlation::default();
    correlation.request_id.clone_from(&told.request.id);
    let mut builder = Event::builder(kind)
        .id(event_id(&told, &receiver.scope))
        .scope(receiver.scope.clone())
        .source(source)
        .occurred_at(told.occurred_at)
        .actor(actor(&told))
        .correlation(correlation);
    if told.action == "mount" && told.target.from_repository.is_some() {
        builder = builder.from(mounted_from(&told.target, &artifact));
    }
    let is_blob = is_about_blob(&told.target, &told.action);
    let data = data(told, &artifact);
    let mut event = builder.artifact(artifact).data(data).build_at(now, &OsEntropy)?;
    if is_blob {
        // A package URL names artifacts; a blob is none.
        for artifact in [&mut event.artifact, &mut event.from].into_iter().flatten() {
            artifact.purl = None;
        }
    }
    Ok(event)
}

/// The same for the same event in the same scope, however often and whenever it is told. A scope's
/// events are its own: one told to two scopes is an event of each.
fn event_id(told: &Notification, scope: &Scope) -> EventId {
    let mut parts = vec![NAME, scope.as_str(), or_empty(told.source.instance.as_ref())];
    match &told.id {
        Some(id) => parts.push(id),
        None => parts.extend([
            told.timestamp.as_str(),
            &told.action,
            &told.target.repository,
            or_empty(told.target.digest.as_ref()),
            or_empty(told.target.tag.as_ref()),
            or_empty(told.request.id.as_ref()),
        ]),
    }
    let parts: Vec<&[u8]> = parts.into_iter().map(str::as_bytes).collect();
    EventId::derived(told.occurred_at, &parts)
}

fn or_empty(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

fn artifact(told: &Notification, receiver: &DistributionReceiver) -> Artifact {
    let target = &told.target;
    let is_deletion = told.action == "delete";
    let is_helm = target.config_type() == Some(media::HELM_CONFIG);
    let mut artifact =
        Artifact::new(if is_helm { "helm" } else { "oci" }, last_segment(&target.repository))
            .with_repository(&target.repository);
    artifact.registry = receiver.registry.clone().or_else(|| registry(told));
    artifact.tags.extend(target.tag.clone());
    artifact.digest.clone_from(&target.digest);
    // Version 3 writes a size of 0 where there is nothing to measure.
    artifact.size = target.size.filter(|size| *size > 0 || !is_deletion);
    artifact.url.clone_from(&target.url);
    let facts = oci_facts(target, &told.action);
    artifact.oci = (facts != OciFacts::default()).then_some(facts);
    artifact
}

/// The registry's host: as the client called it, or as the registry calls itself.
fn registry(told: &Notification) -> Option<String> {
    // Who asks sends it: what is no host must not cost the registry its notification.
    let is_host = |host: &&String| !host.is_empty() && host.len() <= 255 && host.is_ascii();
    let asked = || told.request.host.as_ref().filter(is_host).map(|host| host.to_ascii_lowercase());
    let linked = || told.target.url.as_deref().and_then(host_of);
    asked().or_else(linked).or_else(|| told.source.addr.clone())
}

fn oci_facts(target: &Target, action: &str) -> OciFacts {
    let mut facts = OciFacts::default();
    facts.media_type.clone_from(&target.media_type);
    let config = target.config_type().filter(|config| media::tells_type(config));
    facts.artifact_type = target.artifact_type.clone().or_else(|| config.map(ToOwned::to_owned));
    facts.subject_digest = target.tag.as_deref().and_then(oci::subject);
    facts.role = role(target, facts.subject_digest.is_some(), action);
    if target.is_index() {
        facts.child_digests =
            target.references.iter().filter_map(|reference| reference.digest.clone()).collect();
    }
    facts.platform.clone_from(&target.platform);
    facts.annotations.clone_from(&target.annotations);
    facts
}

/// Only blobs are mounted.
fn is_about_blob(target: &Target, action: &str) -> bool {
    action == "mount" || target.is_blob()
}

fn role(target: &Target, has_subject: bool, action: &str) -> Option<OciRole> {
    let act = match action {
        "push" => Act::Push,
        "pull" => Act::Pull,
        _ => Act::Other,
    };
    if is_about_blob(target, action) {
        return Some(OciRole::Blob);
    }
    oci::role(target.media_type.as_deref(), target.tag.is_some(), has_subject, act)
}

fn mounted_from(target: &Target, artifact: &Artifact) -> Artifact {
    let repository = target.from_repository.clone().unwrap_or_default();
    let mut from = Artifact::new("oci", last_segment(&repository));
    from.repository = Some(repository);
    from.registry.clone_from(&artifact.registry);
    from.digest.clone_from(&target.digest);
    from
}

fn actor(told: &Notification) -> Actor {
    let mut actor = match &told.actor.name {
        Some(name) => Actor::new(ActorKind::User, name),
        None => Actor::anonymous(),
    };
    actor.address = told.request.addr.as_deref().map(address);
    actor
}

/// The address without its port.
fn address(addr: &str) -> String {
    if let Ok(socket) = addr.parse::<SocketAddr>() {
        return socket.ip().to_string();
    }
    let host = match addr.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None if addr.parse::<IpAddr>().is_ok() => addr,
        None => match addr.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => addr,
        },
    };
    if host.is_empty() { addr.to_owned() } else { host.to_owned() }
}

/// What was told and has no place of its own, under the names that the registry gives it.
fn data(told: Notification, artifact: &Artifact) -> Value {
    let registry = artifact.registry.as_deref();
    let mut data = told.rest;
    data.insert("timestamp".to_owned(), Value::String(told.timestamp));
    let Target { from_repository, rest: mut target, .. } = told.target;
    if told.action != "mount" {
        keep(&mut target, "fromRepository", from_repository, None);
    }
    let Request { addr, host, rest: mut request, .. } = told.request;
    keep(&mut request, "addr", addr, None);
    keep(&mut request, "host", host, registry);
    let mut source = told.source.rest;
    keep(&mut source, "addr", told.source.addr, registry);
    let parts =
        [("target", target), ("request", request), ("actor", told.actor.rest), ("source", source)];
    for (name, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
        data.insert(name.to_owned(), Value::Object(part));
    }
    Value::Object(data)
}

/// Keeps a text, unless it is in the event already.
fn keep(part: &mut Map<String, Value>, name: &str, told: Option<String>, mapped: Option<&str>) {
    if let Some(text) = told.filter(|text| Some(text.as_str()) != mapped) {
        part.insert(name.to_owned(), Value::String(text));
    }
}
