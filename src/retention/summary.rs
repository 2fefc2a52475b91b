//! What a run of retention came to, short enough for an event.

use std::fmt;

use serde::Serialize;

use super::{RetainError, Version};
use crate::document::cut;
use crate::event::Artifact;

/// What a run of retention came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RetentionSummary {
    /// Whether nothing was deleted, and `deleted` is what would be.
    pub dry_run: bool,
    /// How many versions there were.
    pub listed: usize,
    /// How many of them the policy keeps.
    pub kept: usize,
    /// How many were deleted.
    pub deleted: usize,
    /// How many could not be deleted.
    pub failed: usize,
    /// How many are left to another run, since one deletes at most so many.
    pub left: usize,
    /// How large what was deleted was, in bytes, as far as the registry tells it.
    pub bytes: u64,
    /// The first of those that were deleted, at most [`MAX_TOLD`](Self::MAX_TOLD).
    pub artifacts: Vec<ToldVersion>,
    /// The first of those that could not be deleted, at most [`MAX_TOLD`](Self::MAX_TOLD).
    pub failures: Vec<FailedDeletion>,
}

/// A version that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ToldVersion {
    /// What it was.
    pub artifact: String,
    /// Why it was deleted.
    pub reason: String,
}

/// A version that could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailedDeletion {
    /// What it is.
    pub artifact: String,
    /// What the registry said.
    pub error: String,
}

impl RetentionSummary {
    /// The most versions of a kind that are told by name.
    pub const MAX_TOLD: usize = 100;
    /// The longest text that is told of one, in characters.
    const MAX_CHARS: usize = 300;

    pub(super) fn add_deleted(&mut self, version: &Version, reason: impl FnOnce() -> String) {
        self.deleted += 1;
        self.bytes = self.bytes.saturating_add(version.artifact.size.unwrap_or(0));
        if self.artifacts.len() < Self::MAX_TOLD {
            let artifact = label(&version.artifact);
            self.artifacts.push(ToldVersion { artifact, reason: short(&reason()) });
        }
    }

    pub(super) fn add_failed(&mut self, version: &Version, error: &RetainError) {
        self.failed += 1;
        if self.failures.len() < Self::MAX_TOLD {
            let artifact = label(&version.artifact);
            self.failures.push(FailedDeletion { artifact, error: short(&error.to_string()) });
        }
    }
}

impl fmt::Display for RetentionSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (deleted, listed) = (self.deleted, self.listed);
        let what = if self.dry_run { "would be deleted" } else { "deleted" };
        write!(f, "{deleted} of {listed} versions {what}, {} bytes", self.bytes)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        if self.left > 0 {
            write!(f, ", {} left to another run", self.left)?;
        }
        Ok(())
    }
}

/// What a version is called in a summary.
pub(super) fn label(artifact: &Artifact) -> String {
    if let Some(purl) = &artifact.purl {
        return short(purl);
    }
    let package = artifact.name.as_ref().map(|name| match &artifact.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.clone(),
    });
    let mut label = artifact.repository.clone().or(package).unwrap_or_default();
    if let Some(version) = artifact.version.as_ref().or(artifact.tags.first()) {
        label.push(':');
        label.push_str(version);
    }
    if let Some(digest) = &artifact.digest {
        label.push('@');
        label.push_str(cut(digest));
    }
    short(&label)
}

fn short(text: &str) -> String {
    text.chars().take(RetentionSummary::MAX_CHARS).collect()
}
