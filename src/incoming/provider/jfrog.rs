//! Artifactory, by `JFrog`: one event a request, without id, time or actor.
//!
//! Pushing an image is told as `docker.pushed`, and its files are told as `artifact.deployed`, if
//! the webhook asks for both: they are events of their own. An artifact that is no image is known
//! by its path; the path is the name of its only file. What is no artifact's is told under
//! Artifactory's own words, such as `jfrog.build.uploaded`. The payload of the button that tests a
//! webhook is answered and tells nothing.

use serde_json::Value;

use super::super::fields::{own_kind, required_text, text};
use super::super::names::host_of;
use super::super::oci;
use super::super::told::{Telling, Told, last_segment};
use super::super::{Answer, Change, Notice, ParseError};
use crate::document::{Object, Problems, mismatch};
use crate::event::{Artifact, EventKind, File, is_digest};
use crate::request::Headers;

/// What stands for a digest in the payload that is sent to test a webhook.
const SAMPLE_DIGEST: &str = "sample_checksum";

pub(super) fn handshake(_: &Headers, body: &[u8]) -> Option<Answer> {
    let body: Value = serde_json::from_slice(body).ok()?;
    (body.pointer("/data/sha256")? == SAMPLE_DIGEST).then(|| Answer::new(200))
}

pub(super) fn read(_: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    telling.one(telling.body, |object, problems| {
        let domain = required_text(object, "domain", problems);
        let event = required_text(object, "event_type", problems);
        let origin = text(object, "jpd_origin", problems).and_then(|origin| host_of(&origin));
        let data: Option<Object> = object.required("data", problems);
        let (domain, event, data) = (domain?, event?, data?);
        let mut told = match domain.as_str() {
            "artifact" => of_artifact(&event, data, problems),
            "docker" => of_image(&event, data, problems),
            _ => of_other(&domain, &event, data, problems),
        }?;
        told.instance.clone_from(&origin);
        told.artifact.registry = origin;
        Some(told)
    })
}

/// The digest of what the provider gives the SHA-256 of.
fn sha256(data: &mut Object, problems: &mut Problems) -> Option<String> {
    let digest = format!("sha256:{}", text(data, "sha256", problems)?);
    if !is_digest(&digest) {
        let found = Value::String(digest["sha256:".len()..].to_owned());
        mismatch(&found, "64 hex digits", &data.path("sha256"), problems);
        return None;
    }
    Some(digest)
}

fn of_artifact(event: &str, mut data: Object, problems: &mut Problems) -> Option<Told> {
    let repository = required_text(&mut data, "repo_key", problems);
    let path = required_text(&mut data, "path", problems);
    let name = required_text(&mut data, "name", problems);
    let digest = sha256(&mut data, problems);
    let size = data.optional("size", problems);
    let (source, target) = source_and_target(&mut data, problems);
    let (repository, path, name) = (repository?, path?, name?);
    let artifact = of_file(&repository, &path, &name, digest.clone(), size);
    let (kind, change) = match event {
        "deployed" => {
            let push = digest.map(|digest| Change::Push { tag: Some(path.clone()), digest });
            let change = push.unwrap_or_else(|| Change::PushTag { tag: path.clone() });
            (EventKind::ARTIFACT_INGESTED, change)
        }
        "deleted" => (EventKind::ARTIFACT_DELETED, Change::DeleteTag { tag: path.clone() }),
        "moved" => (EventKind::ARTIFACT_MOVED, Change::None),
        "copied" => (EventKind::ARTIFACT_COPIED, Change::None),
        other => {
            let words = format!("artifact.{other}");
            (own_kind("jfrog", &words, "event_type", problems)?, Change::None)
        }
    };
    let mut told = Told::new(kind, change, artifact);
    if let Some(target) = target {
        let (repository, moved) = target.split_once('/').unwrap_or((&target, &path));
        let digest = told.artifact.digest.clone();
        told.artifact = of_file(repository, moved, last_segment(moved), digest, size);
    }
    told.from = source.map(|source| {
        let (repository, path) = source.split_once('/').unwrap_or((&source, &path));
        of_file(repository, path, last_segment(path), told.artifact.digest.clone(), None)
    });
    told.keep("data", Some(data));
    Some(told)
}

/// An artifact that is one file.
fn of_file(
    repository: &str,
    path: &str,
    name: &str,
    digest: Option<String>,
    size: Option<u64>,
) -> Artifact {
    let mut file = File::new(path);
    file.digest.clone_from(&digest);
    file.size = size;
    let mut artifact = Artifact::new("generic", name).with_repository(repository).with_file(file);
    artifact.digest = digest;
    artifact.size = size;
    artifact
}

/// Where something was moved or copied from and to: a repository, perhaps with a path.
fn source_and_target(
    data: &mut Object,
    problems: &mut Problems,
) -> (Option<String>, Option<String>) {
    let source = text(data, "source_repo_path", problems);
    (source, text(data, "target_repo_path", problems))
}

fn of_image(event: &str, mut data: Object, problems: &mut Problems) -> Option<Told> {
    let repository = required_text(&mut data, "repo_key", problems);
    let image = required_text(&mut data, "image_name", problems);
    let tag = text(&mut data, "tag", problems).map(oci::Reference::of).unwrap_or_default();
    let digest = sha256(&mut data, problems).or(tag.digest);
    let size = data.optional("size", problems);
    let (source, _) = source_and_target(&mut data, problems);
    let (repository, image) = (repository?, image?);
    let mut artifact =
        Artifact::new("oci", last_segment(&image)).with_repository(format!("{repository}/{image}"));
    artifact.tags.extend(tag.tag);
    artifact.digest = digest;
    artifact.size = size;
    let mut told = match event {
        "pushed" => oci::pushed(artifact),
        "deleted" => deleted(artifact),
        "promoted" => oci::other(EventKind::ARTIFACT_PROMOTED, artifact),
        other => {
            let words = format!("docker.{other}");
            oci::other(own_kind("jfrog", &words, "event_type", problems)?, artifact)
        }
    };
    told.from = source.map(|source| {
        let repository = source.split('/').next().unwrap_or(&source);
        let from = Artifact::new("oci", last_segment(&image));
        from.with_repository(format!("{repository}/{image}"))
    });
    told.keep("data", Some(data));
    Some(told)
}

/// The deletion of a tag tells the digest that it had; other tags may have it still.
fn deleted(artifact: Artifact) -> Told {
    match artifact.tags.first().cloned() {
        Some(tag) => {
            let change = Change::DeleteTag { tag };
            Told { change, kind: EventKind::TAG_DELETED, ..oci::deleted(artifact) }
        }
        None => oci::deleted(artifact),
    }
}

/// Of a build or a release bundle, by its name and number; of anything else what is told is kept.
fn of_other(domain: &str, event: &str, mut data: Object, problems: &mut Problems) -> Option<Told> {
    let mut artifact = Artifact::default();
    let names = ["build_name", "release_bundle_name", "repo_key"];
    let [build, bundle, repository] = names.map(|name| text(&mut data, name, problems));
    let versions = ["build_number", "release_bundle_version"];
    let [number, version] = versions.map(|name| text(&mut data, name, problems));
    artifact.name = build.or(bundle);
    artifact.version = number.or(version);
    artifact.repository = repository;
    own_kind("jfrog", domain, "domain", problems)?;
    let kind = own_kind("jfrog", &format!("{domain}.{event}"), "event_type", problems)?;
    let mut told = Told::new(kind, Change::None, artifact);
    told.keep("data", Some(data));
    Some(told)
}
