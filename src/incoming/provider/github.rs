//! GitHub: one package version a request, with the id of the delivery; of an image, one manifest.
//!
//! The events `package` and `registry_package` tell the same, so a webhook is to send one of them.
//! What was pushed by its digest alone has an empty tag and an address that ends with a colon.

use super::super::fields::{self, own_kind, required_text, text};
use super::super::moments;
use super::super::names::{host_of, package, package_type};
use super::super::oci;
use super::super::told::{Telling, Told, last_segment};
use super::super::{Answer, Change, Notice, ParseError};
use super::forge::{self, login, required_header, user};
use super::package as packages;
use crate::clock::Timestamp;
use crate::document::{Object, Problems};
use crate::event::{Artifact, EventKind, File, OciFacts, is_digest};
use crate::request::Headers;
use crate::signature::gitea;

const NAME: &str = "github";

/// A ping is answered and tells nothing.
pub(super) fn handshake(headers: &Headers, _: &[u8]) -> Option<Answer> {
    let event = forge::header(headers, "x-github-event")?;
    (event == "ping").then(|| Answer::new(200))
}

pub(super) fn read(headers: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    // GitHub has forms too, whose signature covers the form.
    let Some(posted) = gitea::posted(headers, telling.body) else {
        return Err(ParseError::at("payload", "expected the form's field exactly once"));
    };
    telling.one(&posted, |object, problems| {
        let event = required_header(headers, "x-github-event", problems)?;
        let mut told = match event.as_str() {
            "package" | "registry_package" => of_package(&event, object, problems)?,
            other => forge::other(NAME, other, object, problems)?,
        };
        told.delivery = forge::header(headers, "x-github-delivery");
        Some(told)
    })
}

fn of_package(member: &str, object: &mut Object, problems: &mut Problems) -> Option<Told> {
    let action = required_text(object, "action", problems);
    let package: Option<Object> = object.required(member, problems);
    let actor = object.optional("sender", problems).and_then(|sender| user(sender, problems));
    let mut read = Package::read(package?, problems)?;
    let artifact = std::mem::take(&mut read.artifact);
    let is_container = read.is_container;
    let pushed = if is_container { oci::pushed } else { packages::published };
    let mut told = match action?.as_str() {
        "published" => pushed(artifact),
        "updated" => {
            let mut told = pushed(artifact);
            told.kind = EventKind::ARTIFACT_UPDATED;
            told
        }
        other => {
            let words = format!("package.{other}");
            Told::new(own_kind(NAME, &words, "action", problems)?, Change::None, artifact)
        }
    };
    told.actor = actor;
    told.occurred_at = read.occurred_at;
    told.keep(member, Some(read.rest));
    told.keep_below(member, "package_version", read.version);
    Some(told)
}

/// What is told of a package and one of its versions.
struct Package {
    artifact: Artifact,
    is_container: bool,
    occurred_at: Option<Timestamp>,
    rest: Object,
    version: Option<Object>,
}

impl Package {
    fn read(mut told: Object, problems: &mut Problems) -> Option<Self> {
        let name = required_text(&mut told, "name", problems);
        let of_type = required_text(&mut told, "package_type", problems);
        let url = text(&mut told, "html_url", problems);
        let updated_at = moments::time(&mut told, "updated_at", problems);
        let owner = login(&mut told, "owner", problems);
        let registry = told.optional("registry", problems);
        let registry = registry.and_then(|mut told: Object| text(&mut told, "url", problems));
        let mut version: Option<Object> = told.optional("package_version", problems);
        let times = version.as_mut().map(|version| {
            ["updated_at", "created_at"].map(|name| moments::time(version, name, problems))
        });
        let image = version.as_mut().and_then(|version| Image::read(version, problems));
        let version_url = version.as_mut().and_then(|told| text(told, "html_url", problems));
        let (name, of_type) = (name?, package_type(&of_type?));
        let is_container = image.is_some() || of_type == "oci";
        let mut artifact = match (image, is_container) {
            (Some(image), _) => image.artifact(&name, owner.as_deref()),
            (None, true) => Artifact::new("oci", last_segment(&name)).with_repository(&name),
            (None, false) => of_files(package(&of_type, &name), version.as_mut(), problems),
        };
        if !is_container {
            artifact.repository = owner;
            artifact.registry = registry.as_deref().and_then(host_of);
        }
        artifact.url = artifact.url.or(version_url).or(url);
        let [updated, created] = times.unwrap_or_default();
        let occurred_at = updated.or(created).or(updated_at);
        Some(Self { artifact, is_container, occurred_at, rest: told, version })
    }
}

/// A package with its version and the files of that.
fn of_files(
    mut artifact: Artifact,
    version: Option<&mut Object>,
    problems: &mut Problems,
) -> Artifact {
    let Some(version) = version else { return artifact };
    artifact.version = required_text(version, "version", problems);
    let files: Vec<Object> = version.optional("package_files", problems).unwrap_or_default();
    artifact.files.extend(files.into_iter().filter_map(|mut told| {
        let name = required_text(&mut told, "name", problems);
        let sha256 = text(&mut told, "sha256", problems);
        let mut file = File::new(name?);
        file.digest = sha256.map(|hex| format!("sha256:{hex}"));
        file.size = told.optional("size", problems);
        file.media_type = text(&mut told, "content_type", problems);
        Some(file)
    }));
    artifact
}

/// What is told of a version that is a manifest.
struct Image {
    tag: Option<String>,
    digest: Option<String>,
    media_type: Option<String>,
    size: Option<u64>,
    /// Host, path and perhaps a tag, or a colon where there is none.
    address: Option<String>,
}

impl Image {
    fn read(version: &mut Object, problems: &mut Problems) -> Option<Self> {
        let mut told: Object = version.optional("container_metadata", problems)?;
        let tag: Option<Object> = told.optional("tag", problems);
        let tag = tag.and_then(|mut tag| text(&mut tag, "name", problems));
        let manifest: Option<Object> = told.optional("manifest", problems);
        let name = text(version, "version", problems);
        let mut image = Self { tag, digest: name.filter(|name| is_digest(name)), ..Self::none() };
        if let Some(mut manifest) = manifest {
            let digest = fields::digest(&mut manifest, "digest", problems);
            image.digest = image.digest.or(digest);
            image.media_type = text(&mut manifest, "media_type", problems);
            image.size = manifest.optional("size", problems);
        }
        image.address = text(version, "package_url", problems);
        Some(image)
    }

    fn none() -> Self {
        Self { tag: None, digest: None, media_type: None, size: None, address: None }
    }

    fn artifact(self, name: &str, owner: Option<&str>) -> Artifact {
        let address = self.address.as_deref().map(without_tag);
        let parts = address.and_then(|address| address.split_once('/'));
        let of_owner = || owner.map_or_else(|| name.to_owned(), |it| format!("{it}/{name}"));
        let path = parts.map_or_else(of_owner, |(_, path)| path.to_owned()).to_lowercase();
        let mut artifact = Artifact::new("oci", last_segment(&path)).with_repository(&path);
        artifact.registry = parts.map(|(host, _)| host.to_owned());
        artifact.url = address.map(ToOwned::to_owned);
        artifact.tags.extend(self.tag);
        artifact.digest = self.digest;
        artifact.size = self.size;
        artifact.oci = self.media_type.map(|it| OciFacts::default().with_media_type(it));
        artifact
    }
}

/// `host/path:tag` or `host/path:` without its end.
fn without_tag(address: &str) -> &str {
    let path = address.rfind('/').map_or(0, |slash| slash + 1);
    address[path..].find(':').map_or(address, |colon| &address[..path + colon])
}
