//! What the registries of packages have in common: what was published, withdrawn or deleted is a
//! version.

use crate::event::{Artifact, EventKind};
use crate::incoming::Change;
use crate::incoming::told::Told;

/// A version that was published.
pub(super) fn published(artifact: Artifact) -> Told {
    let change = match (&artifact.version, &artifact.digest) {
        (version, Some(digest)) => Change::Push { tag: version.clone(), digest: digest.clone() },
        (Some(version), None) => Change::PushTag { tag: version.clone() },
        (None, None) => Change::None,
    };
    Told::new(EventKind::ARTIFACT_INGESTED, change, artifact)
}

/// A version that was deleted; the package with all its versions if none is told.
pub(super) fn deleted(artifact: Artifact) -> Told {
    let change = match (&artifact.version, &artifact.repository) {
        (Some(version), _) => Change::DeleteTag { tag: version.clone() },
        (None, None) => Change::DeleteRepository,
        // What is known is known of the whole repository, which has other packages.
        (None, Some(_)) => Change::None,
    };
    Told::new(EventKind::ARTIFACT_DELETED, change, artifact)
}

/// Something else that happened to one.
pub(super) fn other(kind: EventKind, artifact: Artifact) -> Told {
    Told::new(kind, Change::None, artifact)
}
