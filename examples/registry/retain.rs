//! Retention: what the registry tells of its versions, and how one is deleted.

use std::sync::Arc;

use artifact_triggers::event::Scope;
use artifact_triggers::retention::{Retain, RetainError, Version, VersionPage};

use super::AnyError;
use super::store::{Store, Stored};

#[derive(Debug, Clone)]
pub(crate) struct Versions(pub(crate) Arc<Store>);

#[async_trait::async_trait]
impl Retain for Versions {
    async fn versions(&self, _: &Scope, _: Option<&str>) -> Result<VersionPage, RetainError> {
        let versions = self.with_store(Store::versions).await?;
        Ok(VersionPage::last(versions.iter().map(Stored::as_version).collect()))
    }

    async fn delete(&self, _: &Scope, version: &Version) -> Result<(), RetainError> {
        let listed = version.clone();
        self.with_store(move |store| store.delete_unchanged(&listed)).await?;
        Ok(())
    }
}

impl Versions {
    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, AnyError> + Send + 'static,
    ) -> Result<T, RetainError> {
        let store = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        let done = done.map_err(AnyError::from).flatten();
        done.map_err(|error| RetainError::from(error.to_string()))
    }
}
