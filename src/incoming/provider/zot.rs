//! zot: CloudEvents, one a request.
//!
//! Source and the beginning of the type are what the registry is configured to call itself, so that
//! the end of the type tells what happened. Unless `source` is configured it is a constant and
//! names no host.
//!
//! | type ends with | kind |
//! |---|---|
//! | `image.updated` | `artifact.ingested`, or `artifact.updated` if the tag had another digest; nothing if it had this one |
//! | `image.deleted` | `tag.deleted` if it was deleted by a tag, else `artifact.deleted` |
//! | `image.lint_failed` | `policy.violated` |
//! | `repository.created` | `repository.created` |
//! | another | `zot.` and the type |

mod manifest;

use super::super::cloudevents::{self, CloudEvent};
use super::super::fields::{digest, keep, own_kind, reference, required_text, text, user};
use super::super::oci::{self, Reference};
use super::super::told::{Telling, Told, last_segment};
use super::super::{Change, Notice, ParseError};
use crate::document::{Object, Problems};
use crate::event::{Artifact, EventKind};
use crate::request::Headers;

pub(super) fn read(headers: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    let events = cloudevents::read(headers, telling.body)?;
    Ok(Problems::gather(|problems| {
        let mut notices = Vec::with_capacity(events.len());
        for (n, event) in events.into_iter().enumerate() {
            let path = event.data_path();
            let told = told(event, problems)?;
            notices.push(told.notice(n, telling, &path, problems)?);
        }
        Some(notices)
    })?)
}

fn told(mut event: CloudEvent, problems: &mut Problems) -> Option<Told> {
    let mut data = event.take_object(problems)?;
    let name = required_text(&mut data, "name", problems);
    let reference = reference(&mut data, "reference", problems);
    let digest = digest(&mut data, "digest", problems);
    let media_type = text(&mut data, "mediaType", problems);
    let manifest = text(&mut data, "manifest", problems);
    let actor: Option<Object> = data.optional("actor", problems);
    let request: Option<Object> = data.optional("request", problems);
    let mut rest = data.rest();
    let repository = name?;
    let mut artifact = Artifact::new("oci", last_segment(&repository));
    artifact.repository = Some(repository);
    artifact.digest = digest.or_else(|| reference.digest.clone());
    artifact.tags.extend(reference.tag.clone());
    manifest::describe(&mut artifact, media_type, manifest, &mut rest);
    let mut actor = actor.map(|mut told| {
        let name = text(&mut told, "name", problems);
        keep(&mut rest, "actor", told.rest());
        user(name)
    });
    if let Some(mut request) = request {
        let address = text(&mut request, "addr", problems);
        if let (Some(actor), Some(address)) = (&mut actor, address) {
            actor.address = Some(host_of(&address).to_owned());
        }
        keep(&mut rest, "request", request.rest());
    }
    let mut told = meaning(&event, &reference, artifact, problems)?;
    told.id = Some(event.id);
    told.instance = Some(event.source);
    told.occurred_at = event.time;
    told.actor = actor;
    told.rest = rest;
    told.rest.extend(event.extensions);
    Some(told)
}

/// The address without its port.
fn host_of(address: &str) -> &str {
    let host = address.parse::<std::net::SocketAddr>().ok().and(address.rsplit_once(':'));
    host.map_or(address, |(host, _)| host.trim_start_matches('[').trim_end_matches(']'))
}

fn meaning(
    event: &CloudEvent,
    reference: &Reference,
    artifact: Artifact,
    problems: &mut Problems,
) -> Option<Told> {
    let is = |end: &str| event.kind.strip_suffix(end).is_some_and(|start| start.ends_with('.'));
    Some(match () {
        () if is("image.updated") => oci::pushed(artifact),
        // The manifest may have other tags: it is the tag that is gone.
        () if is("image.deleted") => match reference.tag.clone() {
            Some(tag) => {
                let change = Change::DeleteTag { tag };
                Told { change, ..oci::other(EventKind::TAG_DELETED, artifact) }
            }
            None => oci::deleted(artifact),
        },
        () if is("image.lint_failed") => oci::other(EventKind::POLICY_VIOLATED, artifact),
        () if is("repository.created") => oci::other(EventKind::REPOSITORY_CREATED, artifact),
        () => {
            let words = event.kind.strip_prefix("zotregistry.").unwrap_or(&event.kind);
            oci::other(own_kind("zot", words, &event.path("type"), problems)?, artifact)
        }
    })
}
