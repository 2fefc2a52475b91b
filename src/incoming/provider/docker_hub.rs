//! Docker Hub: one push a request.
//!
//! It tells no digest and no id; the body tells its time, so that the same body is known again. The
//! `callback_url` lets whoever has it speak for the receiver: nothing calls it, and it is not kept.

use super::super::fields::{reference, required_text, seconds, text, user};
use super::super::oci;
use super::super::told::{Telling, last_segment};
use super::super::{Notice, ParseError};
use crate::document::Object;
use crate::event::Artifact;
use crate::request::Headers;
use serde_json::Value;

/// What the registry is called whose front is `hub.docker.com`.
const REGISTRY: &str = "docker.io";

pub(super) fn read(_: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    telling.one(telling.body, |object, problems| {
        let push: Option<Object> = object.required("push_data", problems);
        let repository: Option<Object> = object.required("repository", problems);
        let _: Option<Value> = object.optional("callback_url", problems);
        let mut push = push?;
        let reference = reference(&mut push, "tag", problems);
        let pusher = text(&mut push, "pusher", problems);
        let pushed_at = seconds(&mut push, "pushed_at", problems);
        let mut repository = repository?;
        let repo_name = required_text(&mut repository, "repo_name", problems);
        let namespace = text(&mut repository, "namespace", problems);
        let name = text(&mut repository, "name", problems);
        let url = text(&mut repository, "repo_url", problems);
        let repo_name = repo_name?;
        let name = name.unwrap_or_else(|| last_segment(&repo_name).to_owned());
        let mut artifact = Artifact::new("oci", name).with_registry(REGISTRY);
        artifact.repository = Some(repo_name);
        artifact.namespace = namespace;
        artifact.url = url;
        artifact.tags.extend(reference.tag);
        artifact.digest = reference.digest;
        let mut told = oci::pushed(artifact);
        told.occurred_at = pushed_at;
        told.actor = pusher.map(|name| user(Some(name)));
        told.keep("push_data", Some(push));
        told.keep("repository", Some(repository));
        Some(told)
    })
}
