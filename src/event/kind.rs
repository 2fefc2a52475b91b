//! What happened: the event's kind, a dotted name.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// What happened: lower-case words joined by dots, such as `artifact.ingested`.
///
/// The constants are the kinds that this crate knows; a registry may use any other name of the
/// same form for what only it has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKind(Cow<'static, str>);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl EventKind {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($text));)*

            /// All kinds that this crate knows.
            pub const KNOWN: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

kinds! {
    /// A new artifact, or a new version of one, was pushed.
    ARTIFACT_INGESTED = "artifact.ingested";
    /// A version or tag that was there before now has other content; `from` has the old digest.
    ARTIFACT_UPDATED = "artifact.updated";
    /// An artifact was deleted.
    ARTIFACT_DELETED = "artifact.deleted";
    /// An artifact was pulled.
    ARTIFACT_DOWNLOADED = "artifact.downloaded";
    /// An artifact was promoted, from the repository in `from`.
    ARTIFACT_PROMOTED = "artifact.promoted";
    /// An artifact was copied, from the repository in `from`.
    ARTIFACT_COPIED = "artifact.copied";
    /// An artifact was moved, from the repository in `from`.
    ARTIFACT_MOVED = "artifact.moved";
    /// A deleted artifact came back.
    ARTIFACT_RESTORED = "artifact.restored";
    /// A version was withdrawn from resolution but not deleted.
    ARTIFACT_YANKED = "artifact.yanked";
    /// A version was marked as not to be used any more.
    ARTIFACT_DEPRECATED = "artifact.deprecated";
    /// An artifact was locked away, after a scan or by hand.
    ARTIFACT_QUARANTINED = "artifact.quarantined";
    /// A quarantined artifact was released.
    ARTIFACT_RELEASED = "artifact.released";
    /// A signature of an artifact was pushed; the OCI facts name its subject.
    ARTIFACT_SIGNED = "artifact.signed";
    /// An attestation of an artifact was pushed; the OCI facts name its subject.
    ARTIFACT_ATTESTED = "artifact.attested";
    /// A bill of materials was attached to an artifact; the OCI facts name its subject.
    SBOM_ATTACHED = "sbom.attached";
    /// A tag was set for the first time, without a push.
    TAG_CREATED = "tag.created";
    /// A tag was moved to other content, without a push.
    TAG_MOVED = "tag.moved";
    /// A tag was removed; its artifact may still be there.
    TAG_DELETED = "tag.deleted";
    /// A blob (a layer or a configuration) was pushed.
    BLOB_INGESTED = "blob.ingested";
    /// A blob was mounted from the repository in `from`.
    BLOB_MOUNTED = "blob.mounted";
    /// A blob was pulled.
    BLOB_DOWNLOADED = "blob.downloaded";
    /// A blob was deleted.
    BLOB_DELETED = "blob.deleted";
    /// A scan ended with a result.
    SCAN_COMPLETED = "scan.completed";
    /// A scan ended without a result.
    SCAN_FAILED = "scan.failed";
    /// An artifact broke a policy.
    POLICY_VIOLATED = "policy.violated";
    /// A quota is nearly used up.
    QUOTA_WARNING = "quota.warning";
    /// A quota is used up.
    QUOTA_EXCEEDED = "quota.exceeded";
    /// A retention run ended.
    RETENTION_COMPLETED = "retention.completed";
    /// A repository was created.
    REPOSITORY_CREATED = "repository.created";
    /// A repository was deleted, with all that was in it.
    REPOSITORY_DELETED = "repository.deleted";
    /// The schedule of a trigger came due.
    SCHEDULE_FIRED = "schedule.fired";
    /// An incoming webhook was received that stands for itself.
    WEBHOOK_RECEIVED = "webhook.received";
    /// A trigger's deliveries have failed for long; it will be suspended if they go on.
    TRIGGER_FAILING = "trigger.failing";
    /// A trigger was suspended by the engine; not told of one that somebody disables.
    TRIGGER_DISABLED = "trigger.disabled";
    /// A delivery became a dead letter.
    DELIVERY_DEAD = "delivery.dead";
    /// Nothing happened; somebody tests.
    PING = "ping";
}

impl EventKind {
    /// The longest kind, in bytes.
    pub const MAX_LEN: usize = 128;

    /// The kind as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a kind: lower-case words (a-z, 0-9, _, -) joined by dots, such as \
     artifact.ingested, of at most 128 bytes; found {found:?}"
)]
pub struct ParseKindError {
    found: String,
}

impl FromStr for EventKind {
    type Err = ParseKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(known) = Self::KNOWN.iter().find(|kind| kind.as_str() == text) {
            return Ok(known.clone());
        }
        if is_kind(text) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(ParseKindError { found: text.chars().take(80).collect() })
        }
    }
}

pub(crate) fn is_kind(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
    };
    text.len() <= EventKind::MAX_LEN && text.split('.').all(is_word)
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

crate::document::field_from_str!(EventKind, "a kind of event");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_kind_parses_to_itself() {
        for kind in EventKind::KNOWN {
            assert_eq!(&kind.as_str().parse::<EventKind>().unwrap(), kind);
        }
    }

    #[test]
    fn any_other_dotted_name_is_a_kind_too() {
        assert_eq!(
            "acme.mirror-sync.done".parse::<EventKind>().unwrap().as_str(),
            "acme.mirror-sync.done"
        );
    }

    #[test]
    fn a_malformed_kind_is_refused() {
        for text in
            ["", ".", "a..b", "Artifact.Pushed", "a b", "artifact.", "a\n", &"a".repeat(129)]
        {
            assert!(text.parse::<EventKind>().is_err(), "{text:?}");
        }
    }
}
