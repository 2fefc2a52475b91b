//! Artifact Hub: one release of a package a request, as a structured `CloudEvent` with an id and
//! without a time, if the webhook has the payload that it begins with.
//!
//! Artifact Hub lists what is published elsewhere: the registry is that where the package is, and
//! is not told. Whoever publishes the repository is kept in the data.

use super::super::fields::{own_kind, required_text, text};
use super::super::names::{host_of, package_type};
use super::super::told::{Telling, Told};
use super::super::{Change, Notice, ParseError};
use crate::document::{Object, Problems};
use crate::event::{Artifact, EventKind};
use crate::request::Headers;

/// What the types of its events begin with.
const TYPES: &str = "io.artifacthub.";

pub(super) fn read(_: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    telling.one(telling.body, |object, problems| {
        let id = required_text(object, "id", problems);
        let of_type = required_text(object, "type", problems);
        let source = text(object, "source", problems).and_then(|source| host_of(&source));
        let data: Option<Object> = object.required("data", problems);
        let package: Option<Object> = data.and_then(|mut it| it.required("package", problems));
        let mut package = package?;
        let mut repository: Option<Object> = package.optional("repository", problems);
        let artifact = artifact(&mut package, repository.as_mut(), problems);
        let of_type = of_type?;
        let word = of_type.strip_prefix(TYPES).unwrap_or(&of_type);
        let kind = match word {
            "package.new-release" => EventKind::ARTIFACT_INGESTED,
            other => own_kind("artifact-hub", other, "type", problems)?,
        };
        let mut told = Told::new(kind, Change::None, artifact?);
        told.id = id;
        told.instance = source;
        told.keep("package", Some(package));
        told.keep_below("package", "repository", repository);
        Some(told)
    })
}

fn artifact(
    package: &mut Object,
    repository: Option<&mut Object>,
    problems: &mut Problems,
) -> Option<Artifact> {
    let name = required_text(package, "name", problems);
    let version = text(package, "version", problems);
    let url = text(package, "url", problems);
    let (of_type, repository) = match repository {
        Some(told) => (text(told, "kind", problems), text(told, "name", problems)),
        None => (None, None),
    };
    let mut artifact = Artifact::default().with_name(name?);
    artifact.package_type = of_type.map(|kind| package_type(&kind).replace(' ', "-"));
    artifact.repository = repository;
    artifact.version = version;
    artifact.url = url;
    Some(artifact)
}
