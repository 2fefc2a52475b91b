//! What a registry does for retention: tell its versions, and delete one.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::Version;
use crate::event::Scope;

/// A registry's versions, to be listed and deleted by a retention run.
///
/// # Contract
/// 1. `versions` tells, over all its pages, each version that is there throughout, of every package
///    at and below the scope and of no other. A package is told whole: which of its versions are
///    the last ones depends on all of them. What is told twice is judged twice.
/// 2. `delete` deletes that one version and nothing else. Made again it is as if it were made once:
///    a version that is gone is deleted.
/// 3. `delete` refuses what has changed since it was listed, so that it would be judged otherwise:
///    what became protected, or was pushed or pulled again. The run goes on with the others.
/// 4. Either may be dropped before it answered, and is made again.
#[async_trait]
pub trait Retain: fmt::Debug + Send + Sync + 'static {
    /// A page of versions: the first, or the one that another page called the next.
    ///
    /// # Errors
    /// [`RetainError`]; nothing is deleted then.
    async fn versions(&self, scope: &Scope, page: Option<&str>)
    -> Result<VersionPage, RetainError>;

    /// Deletes a version of a scope, or lower, that was listed.
    ///
    /// # Errors
    /// [`RetainError`]; the others are deleted nevertheless.
    async fn delete(&self, scope: &Scope, version: &Version) -> Result<(), RetainError>;
}

#[async_trait]
impl<R: Retain + ?Sized> Retain for Arc<R> {
    async fn versions(
        &self,
        scope: &Scope,
        page: Option<&str>,
    ) -> Result<VersionPage, RetainError> {
        (**self).versions(scope, page).await
    }

    async fn delete(&self, scope: &Scope, version: &Version) -> Result<(), RetainError> {
        (**self).delete(scope, version).await
    }
}

/// Some of a registry's versions.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct VersionPage {
    /// The versions.
    pub versions: Vec<Version>,
    /// What the next page is asked for by; `None` if this is the last.
    pub next: Option<String>,
}

impl VersionPage {
    /// The last page.
    pub fn last(versions: Vec<Version>) -> Self {
        Self { versions, next: None }
    }

    /// Sets what the next page is asked for by.
    pub fn with_next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// Why versions could not be listed, or one not deleted. The text is told to tenants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RetainError {
    reason: String,
}

impl From<String> for RetainError {
    fn from(reason: String) -> Self {
        Self { reason }
    }
}

impl From<&str> for RetainError {
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned() }
    }
}
