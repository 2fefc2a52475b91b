//! What tags and media types tell of OCI content, whichever registry tells them.
//!
//! In: coordinates as a registry tells them. Out: what happened to them, and the part that the
//! content plays for others. A registry that tells no media type does not tell an index from a
//! manifest: what was pushed by a tag has the role `manifest` then, and what was pushed by its
//! digest alone, as the children of an index are, the role `child`.

use super::Change;
use super::told::Told;
use crate::event::{Artifact, EventKind, OciFacts, OciRole, is_digest, is_index};

pub(super) use crate::event::{pushed_kind, tagged_subject as subject};

/// What was done with a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Push,
    Pull,
    Other,
}

/// A name that may be a tag or a digest: at most one of the two.
#[derive(Debug, Clone, Default)]
pub(super) struct Reference {
    pub(super) tag: Option<String>,
    pub(super) digest: Option<String>,
}

impl Reference {
    pub(super) fn of(text: String) -> Self {
        if is_digest(&text) {
            Self { tag: None, digest: Some(text) }
        } else {
            Self { tag: Some(text), digest: None }
        }
    }
}

/// A manifest that was pushed, by the tag or the digest that the artifact has.
pub(super) fn pushed(artifact: Artifact) -> Told {
    let tag = artifact.tags.first().cloned();
    let kind = pushed_kind(tag.as_deref());
    let change = match (tag, &artifact.digest) {
        (tag, Some(digest)) => Change::Push { tag, digest: digest.clone() },
        (Some(tag), None) => Change::PushTag { tag },
        (None, None) => Change::None,
    };
    Told::new(kind, change, with_role(artifact, Act::Push))
}

/// A manifest that was pulled.
pub(super) fn pulled(artifact: Artifact) -> Told {
    Told::new(EventKind::ARTIFACT_DOWNLOADED, Change::None, with_role(artifact, Act::Pull))
}

/// A manifest that was deleted, a tag if no digest is told, or the repository if neither is.
pub(super) fn deleted(artifact: Artifact) -> Told {
    let (kind, change) = match (&artifact.digest, artifact.tags.first()) {
        (Some(digest), _) => {
            (EventKind::ARTIFACT_DELETED, Change::DeleteDigest { digest: digest.clone() })
        }
        (None, Some(tag)) => (EventKind::TAG_DELETED, Change::DeleteTag { tag: tag.clone() }),
        (None, None) => (EventKind::REPOSITORY_DELETED, Change::DeleteRepository),
    };
    Told::new(kind, change, with_role(artifact, Act::Other))
}

/// What was told of a manifest and is of no kind of its own.
pub(super) fn other(kind: EventKind, artifact: Artifact) -> Told {
    Told::new(kind, Change::None, with_role(artifact, Act::Other))
}

/// The artifact with what its tag and media type tell of the part that it plays.
fn with_role(mut artifact: Artifact, act: Act) -> Artifact {
    let mut facts = artifact.oci.take().unwrap_or_default();
    let named = artifact.tags.first().map(String::as_str);
    facts.subject_digest = facts.subject_digest.or_else(|| named.and_then(subject));
    if facts.role.is_none() {
        let has_subject = facts.subject_digest.is_some();
        facts.role = role(facts.media_type.as_deref(), named.is_some(), has_subject, act);
    }
    artifact.oci = (facts != OciFacts::default()).then_some(facts);
    artifact
}

/// The part that a manifest plays for others.
pub(super) fn role(
    media_type: Option<&str>,
    has_tag: bool,
    has_subject: bool,
    act: Act,
) -> Option<OciRole> {
    match act {
        _ if has_subject => Some(OciRole::Referrer),
        _ if media_type.is_some_and(is_index) => Some(OciRole::Index),
        Act::Push | Act::Pull if has_tag => Some(OciRole::Manifest),
        Act::Push => Some(OciRole::Child),
        Act::Pull | Act::Other => None,
    }
}
