//! Google Artifact Registry: its notifications by Pub/Sub, as a push subscription posts them.
//!
//! In: a message whose data is Base64 of a notification. Out: one notice. The message's id is its
//! own within its topic, however often it is delivered.
//!
//! | `action` | names | kind |
//! |---|---|---|
//! | `INSERT` | a tag, or a digest alone | `artifact.ingested`, or `artifact.updated` if the tag had another digest |
//! | `DELETE` | a digest | `artifact.deleted` |
//! | `DELETE` | a tag alone | `tag.deleted` |
//! | others | | `artifact-registry.` and the action |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::fields::{keep, own_kind, required_text, text};
use super::super::oci::{self, Reference};
use super::super::told::{Telling, Told, last_segment};
use super::super::{Notice, ParseError};
use crate::clock::Timestamp;
use crate::document::{self, Field as _, Object, Problems, cut};
use crate::event::{Artifact, is_digest};
use crate::request::Headers;

/// Where the notification stands.
const DATA: &str = "message.data";

pub(super) fn read(_: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    let value = document::parse_foreign(telling.body, telling.body.len())?;
    Ok(Problems::gather(|problems| {
        let mut object = Object::root(value, problems)?;
        let message: Option<Object> = object.required("message", problems);
        let subscription = text(&mut object, "subscription", problems);
        let mut rest = object.rest();
        let mut message = message?;
        let data = required_text(&mut message, "data", problems);
        // Pub/Sub writes both in both spellings.
        let id = required_text(&mut message, "messageId", problems);
        let published_at: Option<Timestamp> = message.required("publishTime", problems);
        for again in ["message_id", "publish_time"] {
            let _: Option<String> = message.optional(again, problems);
        }
        keep(&mut rest, "message", message.rest());
        let mut told = told(decode(&data?, problems)?, &mut rest, problems)?;
        told.id = id;
        told.instance = subscription;
        told.occurred_at = published_at;
        told.rest = rest;
        Some(vec![told.notice(0, telling, DATA, problems)?])
    })?)
}

fn decode(data: &str, problems: &mut Problems) -> Option<Object> {
    let bytes = STANDARD.decode(data).map_err(|error| {
        problems.add(DATA, format!("expected Base64: {error}"));
    });
    let value: Value = serde_json::from_slice(&bytes.ok()?)
        .map_err(|error| problems.add(DATA, format!("expected Base64 of JSON: {error}")))
        .ok()?;
    Object::read(value, DATA, problems)
}

fn told(
    mut object: Object,
    rest: &mut serde_json::Map<String, Value>,
    problems: &mut Problems,
) -> Option<Told> {
    let path = object.path("action");
    let action = required_text(&mut object, "action", problems);
    let digest = image(&mut object, "digest", problems);
    let tag = image(&mut object, "tag", problems);
    rest.extend(object.rest());
    let action = action?;
    let Some(artifact) = artifact(digest, tag) else {
        problems.add(format!("{DATA}.digest"), "expected it or a tag, found neither");
        return None;
    };
    Some(match action.as_str() {
        "INSERT" => oci::pushed(artifact),
        "DELETE" => oci::deleted(artifact),
        other => oci::other(own_kind("artifact-registry", other, &path, problems)?, artifact),
    })
}

/// The image that both name, as the digest's name has it.
fn artifact(digest: Option<Image>, tag: Option<Image>) -> Option<Artifact> {
    let named = digest.as_ref().or(tag.as_ref())?;
    let mut artifact = Artifact::new("oci", last_segment(&named.repository))
        .with_registry(&named.registry)
        .with_repository(&named.repository);
    let both = [digest, tag].map(|image| image.map(|image| image.reference));
    for reference in both.into_iter().flatten() {
        let Reference { tag, digest } = Reference::of(reference);
        artifact.digest = artifact.digest.or(digest);
        artifact.tags.extend(tag);
    }
    Some(artifact)
}

/// A full name: `host/project/repository/image@sha256:…`, or with a tag behind a colon.
struct Image {
    registry: String,
    repository: String,
    reference: String,
}

impl Image {
    fn of(text: &str) -> Option<Self> {
        let (registry, rest) = text.split_once('/')?;
        let (repository, reference) = match rest.split_once('@') {
            Some((repository, digest)) if is_digest(digest) => (repository, digest),
            Some(_) => return None,
            None => rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?,
        };
        let parts = [registry, repository, reference];
        let [registry, repository, reference] = parts.map(str::to_owned);
        let is_whole = !(registry.is_empty() || repository.is_empty() || reference.is_empty());
        is_whole.then_some(Self { registry, repository, reference })
    }
}

fn image(object: &mut Object, name: &str, problems: &mut Problems) -> Option<Image> {
    let text = text(object, name, problems)?;
    let image = Image::of(&text);
    if image.is_none() {
        let expected = "expected a name such as us-docker.pkg.dev/project/repository/image:tag";
        problems.add(object.path(name), format!("{expected}, found {:?}", cut(&text)));
    }
    image
}
