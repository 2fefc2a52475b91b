//! Helm repositories: the file `index.yaml` (Helm, "The Chart Repository Guide").
//!
//! In: a chart's name. Out: its versions with digests, addresses and those that are deprecated. The
//! index is read event by event: nothing is kept but the chart that is asked for, and nothing is
//! built of the rest, whatever it is.

mod index;

use std::sync::Arc;

use async_trait::async_trait;

use super::credentials::UpstreamUrlError;
use super::site::{Question, Site, malformed, no_name, site_settings, validator};
use super::{Ask, Listed, Listing, Naming, Upstream, UpstreamError};
use crate::deliverer::Deliverer;
use crate::document::Problems;
use crate::event::{Artifact, Scope};

/// The largest index that is read, in bytes, unless it is said otherwise.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// A repository of Helm charts with an index. Charts in an OCI registry are for
/// [`OciRegistry::charts`](super::OciRegistry::charts).
#[derive(Debug, Clone)]
pub struct HelmRepository {
    site: Site,
}

impl HelmRepository {
    /// The repository at an address, such as `https://charts.jetstack.io/`, below which its
    /// `index.yaml` is.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(url: &str, deliverer: Arc<dyn Deliverer>) -> Result<Self, UpstreamUrlError> {
        Ok(Self { site: Site::new(url, deliverer, MAX_BYTES)? })
    }

    site_settings!();

    /// What all versions of a chart have in common.
    fn chart(&self, name: &str) -> Artifact {
        let mut artifact = Artifact::new("helm", name).with_registry(self.site.registry());
        let path = self.site.base.path().trim_matches('/');
        artifact.repository = (!path.is_empty()).then(|| path.to_owned());
        // Its versions have addresses of their own, relative to that of the repository.
        artifact
    }
}

#[async_trait]
impl Upstream for HelmRepository {
    async fn list(&self, ask: Ask<'_>) -> Result<Listed, UpstreamError> {
        self.site.admit(&ask)?;
        check_name(ask.package).map_err(|reason| UpstreamError::Refused { reason })?;
        let question = Question::get(self.site.url(&["index.yaml"]), ask.scope);
        let answer = self.site.ask(Question { validator: ask.validator, ..question }).await?;
        let Some(response) = answer else { return Ok(Listed::Unchanged) };
        let text = std::str::from_utf8(&response.body)
            .map_err(|error| malformed(Problems::of(format!("expected UTF-8: {error}"))))?;
        let found = index::read(text, &ask, &self.site.base).await.map_err(malformed)?;
        let versions = found.ok_or_else(|| UpstreamError::NotFound {
            reason: "its index has no such chart".to_owned(),
        })?;
        let mut listing = Listing::new(self.chart(ask.package), Naming::Version);
        listing.versions = versions;
        listing.validator = validator(&response.headers);
        Ok(Listed::Versions(listing))
    }

    fn check(&self, scope: &Scope, package: &str) -> Result<(), String> {
        check_name(package)?;
        self.site.check(scope)
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !name.is_empty() && name.bytes().all(is_name) {
        return Ok(());
    }
    Err(no_name(name, "a chart of letters, digits, -, _ and ."))
}
