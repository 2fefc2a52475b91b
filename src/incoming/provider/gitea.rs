//! Gitea and Forgejo: one package version a request, with the id of the delivery.
//!
//! A package belongs to its owner, so the repository that it is in is the owner's, of which the
//! repository of code that it may be linked to says nothing. The version of a container is its tag,
//! or its digest where it has none. When something was deleted is not told: the time that is, of
//! its creation, stays in the data then.

use super::super::fields::{own_kind, required_text, text};
use super::super::moments;
use super::super::names::{host_of, package, package_type};
use super::super::oci::{self, Reference};
use super::super::told::{Telling, Told, last_segment};
use super::super::{Notice, ParseError};
use super::forge::{self, login, required_header, user};
use super::package as packages;
use crate::clock::Timestamp;
use crate::document::{Object, Problems};
use crate::event::Artifact;
use crate::request::Headers;
use crate::signature::gitea;

const NAME: &str = "gitea";

pub(super) fn read(headers: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    let Some(posted) = gitea::posted(headers, telling.body) else {
        return Err(ParseError::at("payload", "expected the form's field exactly once"));
    };
    telling.one(&posted, |object, problems| {
        let event = required_header(headers, "x-gitea-event", problems)?;
        let mut told = match event.as_str() {
            "package" => of_package(object, problems)?,
            other => forge::other(NAME, other, object, problems)?,
        };
        told.delivery = forge::header(headers, "x-gitea-delivery");
        Some(told)
    })
}

/// What is told of a package.
struct Package {
    artifact: Artifact,
    created_at: Option<Timestamp>,
    rest: Object,
}

fn of_package(object: &mut Object, problems: &mut Problems) -> Option<Told> {
    let action = required_text(object, "action", problems);
    let package: Option<Object> = object.required("package", problems);
    let actor = object.optional("sender", problems).and_then(|sender| user(sender, problems));
    let Package { artifact, created_at, rest } = Package::read(package?, problems)?;
    let is_container = artifact.package_type.as_deref() == Some("oci");
    let mut told = match (action?.as_str(), is_container) {
        ("created", true) => oci::pushed(artifact),
        ("created", false) => packages::published(artifact),
        ("deleted", true) => oci::deleted(artifact),
        ("deleted", false) => packages::deleted(artifact),
        (other, _) => {
            let words = format!("package.{other}");
            packages::other(own_kind(NAME, &words, "action", problems)?, artifact)
        }
    };
    told.actor = actor;
    told.keep("package", Some(rest));
    if told.kind.as_str().ends_with(".deleted") {
        let created_at = created_at.map(|time| ("created_at".to_owned(), time.to_string().into()));
        told.rest.extend(created_at);
    } else {
        told.occurred_at = created_at;
    }
    Some(told)
}

impl Package {
    fn read(mut told: Object, problems: &mut Problems) -> Option<Self> {
        let of_type = required_text(&mut told, "type", problems).map(|told| package_type(&told));
        let name = required_text(&mut told, "name", problems);
        let version = text(&mut told, "version", problems);
        let url = text(&mut told, "html_url", problems);
        let created_at = moments::time(&mut told, "created_at", problems);
        let owner = login(&mut told, "owner", problems);
        let (of_type, name) = (of_type?, name?);
        let mut artifact = package(&of_type, &name);
        if of_type == "oci" {
            let reference = version.map(Reference::of).unwrap_or_default();
            artifact.name = Some(last_segment(&name).to_owned());
            artifact.repository =
                Some(owner.map_or_else(
                    || name.clone(),
                    |owner| format!("{}/{name}", owner.to_lowercase()),
                ));
            artifact.digest = reference.digest;
            artifact.tags.extend(reference.tag);
        } else {
            artifact.repository = owner;
            artifact.version = version;
        }
        artifact.registry = url.as_deref().and_then(host_of);
        artifact.url = url;
        Some(Self { artifact, created_at, rest: told })
    }
}
