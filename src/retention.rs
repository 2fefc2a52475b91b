//! Retention: which versions of a package are kept, and which are deleted.
//!
//! In: the [`Version`]s that a registry has, a [`RetentionPolicy`] and the time. Out: a [`Plan`]
//! with a verdict on each, and the reason for it. [`plan`] is pure: a dry run and a real one see
//! the same plan.
//!
//! It is carried out through what a registry implements, [`Retain`]: an [`Outlook`] lists and
//! plans, to be looked at or carried out, and a [`RetentionAction`] does either whenever its
//! trigger fires.

mod action;
mod dependents;
mod outlook;
mod plan;
mod policy;
mod retain;
mod summary;

pub use action::RetentionAction;
pub use outlook::{Judged, Outlook, RetentionError, RetentionRun};
pub use plan::{KeepReason, Plan, Verdict, plan};
pub use policy::RetentionPolicy;
pub use retain::{Retain, RetainError, VersionPage};
pub use summary::{FailedDeletion, RetentionSummary, ToldVersion};

use crate::clock::Timestamp;
use crate::event::Artifact;

/// A version of a package, as a registry has it.
///
/// Versions are of one package if their artifacts agree in registry, repository, package type,
/// namespace and name.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Version {
    /// What it is. Of an OCI artifact the digest and the OCI facts tell what belongs together: see
    /// [`plan`].
    pub artifact: Artifact,
    /// When it was pushed, or last pushed again.
    pub created_at: Timestamp,
    /// When it was last pulled, if ever.
    pub last_downloaded_at: Option<Timestamp>,
    /// Whether it is never to be deleted, whatever a policy says.
    pub is_protected: bool,
}

impl Version {
    /// A version that was never pulled and is not protected.
    pub fn new(artifact: Artifact, created_at: Timestamp) -> Self {
        Self { artifact, created_at, last_downloaded_at: None, is_protected: false }
    }

    /// Sets when it was last pulled.
    pub fn with_last_downloaded_at(mut self, at: Timestamp) -> Self {
        self.last_downloaded_at = Some(at);
        self
    }

    /// Sets that it is never to be deleted.
    pub fn protected(mut self) -> Self {
        self.is_protected = true;
        self
    }
}
