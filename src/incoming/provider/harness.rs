//! Harness, and Gitness from which it comes: one version a request, without id and time.
//!
//! Images, and charts that are kept as such, have an address, whose host and path are the registry
//! and the repository. Of anything else the repository is what Harness calls the registry.

use super::super::fields::{digest, own_kind, required_text, text};
use super::super::names::{package, package_type};
use super::super::oci::{self, Reference};
use super::super::told::{Telling, Told, last_segment};
use super::super::{Change, Notice, ParseError};
use super::forge::id;
use super::package as packages;
use crate::document::{Object, Problems};
use crate::event::{Actor, ActorKind, Artifact, EventKind};
use crate::request::Headers;

const NAME: &str = "harness";

pub(super) fn read(_: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    telling.one(telling.body, |object, problems| {
        let trigger = required_text(object, "trigger", problems);
        let mut registry: Option<Object> = object.optional("registry", problems);
        let registry_name = registry.as_mut().and_then(|it| text(it, "name", problems));
        let mut principal: Option<Object> = object.optional("principal", problems);
        let actor = principal.as_mut().and_then(|it| read_actor(it, problems));
        let info: Option<Object> = object.required("artifact_info", problems);
        let old: Option<Object> = object.optional("old_artifact_info", problems);
        let old = old.and_then(|mut it| Version::read(&mut it, registry_name.as_deref(), problems));
        let mut info = info?;
        let version = Version::read(&mut info, registry_name.as_deref(), problems);
        let mut told = told(&trigger?, version?, problems)?;
        told.from = old.map(|version| version.artifact);
        told.actor = actor;
        told.keep("registry", registry);
        told.keep("principal", principal);
        told.keep("artifact_info", Some(info));
        Some(told)
    })
}

fn told(trigger: &str, version: Version, problems: &mut Problems) -> Option<Told> {
    let Version { artifact, is_image } = version;
    let pushed = if is_image { oci::pushed } else { packages::published };
    let deleted = if is_image { oci::deleted } else { packages::deleted };
    Some(match trigger {
        "artifact_created" => pushed(artifact),
        "artifact_deleted" => deleted(artifact),
        "artifact_updated" => Told { kind: EventKind::ARTIFACT_UPDATED, ..pushed(artifact) },
        other => {
            let kind = own_kind(NAME, other, "trigger", problems)?;
            Told::new(kind, Change::None, artifact)
        }
    })
}

fn read_actor(told: &mut Object, problems: &mut Problems) -> Option<Actor> {
    let uid = text(told, "uid", problems);
    let name = text(told, "display_name", problems);
    let kind = match text(told, "type", problems).as_deref() {
        Some("serviceaccount") => ActorKind::Robot,
        Some("service") => ActorKind::Internal,
        _ => ActorKind::User,
    };
    let id = id(told, "id", problems);
    let mut actor = Actor::new(kind, name.or_else(|| uid.clone())?);
    actor.id = uid.or(id);
    Some(actor)
}

/// A version of an artifact.
struct Version {
    artifact: Artifact,
    is_image: bool,
}

impl Version {
    fn read(told: &mut Object, registry: Option<&str>, problems: &mut Problems) -> Option<Self> {
        let of_type = required_text(told, "type", problems);
        let name = required_text(told, "name", problems);
        let version = text(told, "version", problems);
        let inner: Option<Object> = told.optional("artifact", problems);
        let image = inner.map(|mut inner| Image::read(&mut inner, problems)).unwrap_or_default();
        let (of_type, name) = (package_type(&of_type?), name?);
        let is_image = of_type == "oci" || image.address.is_some();
        let mut artifact = package(&of_type, &name);
        if is_image {
            image.add_to(&mut artifact, version, &name);
        } else {
            artifact.version = version;
            artifact.repository = registry.map(ToOwned::to_owned);
        }
        Some(Self { artifact, is_image })
    }
}

/// What an image has and other artifacts have not.
#[derive(Default)]
struct Image {
    address: Option<String>,
    tag: Option<String>,
    digest: Option<String>,
}

impl Image {
    fn read(told: &mut Object, problems: &mut Problems) -> Self {
        Self {
            address: text(told, "url", problems),
            tag: text(told, "tag", problems),
            digest: digest(told, "digest", problems),
        }
    }

    /// The version is the tag, or the digest where there is none.
    fn add_to(self, artifact: &mut Artifact, version: Option<String>, name: &str) {
        let told = self.tag.or(version).map(Reference::of).unwrap_or_default();
        let address = self.address.as_deref().map(|it| it.strip_prefix("oci://").unwrap_or(it));
        let parts = address.and_then(|address| address.split_once('/'));
        let path = parts.map_or(name, |(_, path)| path.split(['@', ':']).next().unwrap_or(path));
        artifact.registry = parts.map(|(host, _)| host.to_owned());
        artifact.repository = Some(path.to_owned());
        artifact.name = Some(last_segment(path).to_owned());
        artifact.namespace = None;
        artifact.tags.extend(told.tag);
        artifact.digest = self.digest.or(told.digest);
        artifact.url = self.address;
    }
}
