//! The manifest that zot sends along, as a text: a hint, which only its digest vouches for.

use serde_json::{Map, Value};

use super::super::super::media;
use crate::event::{Artifact, MAX_COUNT, MAX_TEXT_BYTES, OciFacts, is_digest};

/// Adds what the manifest tells; what is none stays in `rest`.
pub(super) fn describe(
    artifact: &mut Artifact,
    media_type: Option<String>,
    manifest: Option<String>,
    rest: &mut Map<String, Value>,
) {
    let mut facts = OciFacts { media_type, ..OciFacts::default() };
    if let Some(text) = manifest {
        artifact.size = Some(text.len() as u64);
        match serde_json::from_str(&text) {
            Ok(Value::Object(manifest)) => {
                add(&mut facts, artifact, &manifest);
                rest.insert("manifest".to_owned(), Value::Object(manifest));
            }
            _ => drop(rest.insert("manifest".to_owned(), Value::String(text))),
        }
    }
    artifact.oci = (facts != OciFacts::default()).then_some(facts);
}

fn add(facts: &mut OciFacts, artifact: &mut Artifact, manifest: &Map<String, Value>) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).and_then(plain);
    let config = text(manifest.get("config").and_then(|config| config.get("mediaType")));
    if config.as_deref() == Some(media::HELM_CONFIG) {
        artifact.package_type = Some("helm".to_owned());
    }
    let config = config.filter(|config| media::tells_type(config));
    facts.artifact_type = text(manifest.get("artifactType")).or(config);
    let subject = manifest.get("subject").and_then(|subject| subject.get("digest"));
    facts.subject_digest = text(subject).filter(|digest| is_digest(digest));
    let children = manifest.get("manifests").and_then(Value::as_array).into_iter().flatten();
    let digests = children.filter_map(|child| text(child.get("digest")));
    facts.child_digests = digests.filter(|digest| is_digest(digest)).take(MAX_COUNT).collect();
    let annotations = manifest.get("annotations").and_then(Value::as_object);
    let annotations = annotations.into_iter().flatten().take(MAX_COUNT);
    facts.annotations = annotations
        .filter_map(|(name, value)| Some((plain(name)?, plain(value.as_str()?)?)))
        .collect();
}

/// A text that an event may have.
fn plain(text: &str) -> Option<String> {
    let fits = (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}
