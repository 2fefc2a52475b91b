//! Watches: polls of upstream registries, and what they find.
//!
//! In: a trigger's [`Watch`], what is [`Known`] of the last poll, and what an [`Upstream`] lists
//! now. Out: the [`Change`]s in their order, each an event, and what is known then. Only upstreams
//! await; [`diff`] is pure: nodes that see the same listing decide the same.
//!
//! ```
//! use artifact_triggers::event::{Artifact, EventKind};
//! use artifact_triggers::trigger::Watch;
//! use artifact_triggers::watch::{Listing, Naming, Version, diff};
//!
//! let watch = Watch::new("mirror", "serde");
//! let listing = |versions: &[&str]| {
//!     let mut listing = Listing::new(Artifact::new("cargo", "serde"), Naming::Version);
//!     listing.versions.extend(versions.iter().map(|version| Version::new(*version)));
//!     listing
//! };
//! let baseline = diff(None, listing(&["1.0.0"]), &watch)?;
//! assert!(baseline.changes.is_empty());
//!
//! let step = diff(Some(&baseline.known), listing(&["1.0.0", "1.10.0", "1.9.0"]), &watch)?;
//! let found: Vec<&str> = step.changes.iter().map(|change| change.version()).collect();
//! assert_eq!(found, ["1.9.0", "1.10.0"]);
//! assert_eq!(step.changes[0].kind(), EventKind::ARTIFACT_INGESTED);
//! # Ok::<(), artifact_triggers::watch::UpstreamError>(())
//! ```

#[cfg(feature = "watch")]
mod crates;
#[cfg(feature = "watch")]
mod credentials;
mod diff;
#[cfg(feature = "watch")]
mod helm;
mod known;
mod listing;
#[cfg(feature = "watch")]
mod npm;
#[cfg(feature = "watch")]
mod oci;
mod order;
#[cfg(feature = "watch")]
mod pypi;
#[cfg(feature = "watch")]
mod site;
mod tags;
mod telling;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

#[cfg(feature = "watch")]
pub use crates::CrateIndex;
#[cfg(feature = "watch")]
pub use credentials::{Credentials, UpstreamUrlError};
pub use diff::{Change, Step, diff};
#[cfg(feature = "watch")]
pub use helm::HelmRepository;
#[cfg(feature = "engine")]
pub(crate) use known::fingerprint;
pub use known::{Known, MAX_KNOWN_BYTES, MAX_NAME_BYTES, MAX_VERSIONS};
pub use listing::{Listed, Listing, Naming, Standing, Version};
#[cfg(feature = "watch")]
pub use npm::NpmRegistry;
#[cfg(feature = "watch")]
pub use oci::OciRegistry;
pub use order::Order;
#[cfg(feature = "watch")]
pub use pypi::PythonIndex;

use crate::document::{Problems, span};
use crate::event::Scope;
use crate::trigger::{VersionRule, Watch};

/// Lists the versions of a thing: a registry's protocol, or whatever stands for it.
///
/// # Contract
/// 1. `list` answers with all versions that [`Ask::admits`] admits, or that nothing has changed
///    since the validator that it was given. A list that may lack some says so
///    ([`Listing::is_complete`]); one that was cut off on its way is an error.
/// 2. A validator is its own alone: whatever text it likes, up to [`MAX_NAME_BYTES`] times eight.
/// 3. It keeps nothing between two calls that an answer depends on: any node may ask next.
/// 4. An error says whether to ask again as usual, and tells nothing of a credential.
/// 5. Dropping the future abandons the poll. Whoever polls stops waiting after a while.
/// 6. **A scope gets what it may see.** Whoever may write a trigger chooses the package, so `check`
///    and `list` refuse what is not for [`Ask::scope`]. The engine cannot know.
#[async_trait]
pub trait Upstream: fmt::Debug + Send + Sync + 'static {
    /// Lists the versions of a thing.
    ///
    /// # Errors
    /// [`UpstreamError`].
    async fn list(&self, ask: Ask<'_>) -> Result<Listed, UpstreamError>;

    /// Says beforehand whether a watch of a scope can be served, for the comfort of who writes it.
    ///
    /// # Errors
    /// What is wrong with it, for a person. The trigger is not stored.
    fn check(&self, scope: &Scope, package: &str) -> Result<(), String>;
}

/// Asks an upstream what there is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Ask<'a> {
    /// For whom: the scope of the trigger.
    pub scope: &'a Scope,
    /// What is watched, as the upstream calls it.
    pub package: &'a str,
    /// The validator of the last answer; `None` to have a list in any case.
    pub validator: Option<&'a str>,
    /// What is known, if the watch was polled before.
    pub known: Option<&'a Known>,
    /// Whether it is of interest that a version's content is another than it was.
    pub wants_digests: bool,
    versions: &'a VersionRule,
}

impl<'a> Ask<'a> {
    /// Asks for what a watch is about. What is known of another watch, or of this one before it was
    /// changed, does not count.
    pub fn new(watch: &'a Watch, scope: &'a Scope, known: Option<&'a Known>) -> Self {
        let known = known.filter(|known| known.is_of(watch));
        Self {
            scope,
            package: &watch.package,
            validator: known.and_then(Known::validator),
            known,
            wants_digests: watch.moved == crate::trigger::OnChange::Fire,
            versions: &watch.versions,
        }
    }

    /// Whether a version or tag is watched. Others need not be listed.
    pub fn admits(&self, version: &str) -> bool {
        self.versions.admits(version)
    }
}

/// Why an upstream has listed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// It did not answer, or with an error of its own. Asked again with back-off.
    #[error("{reason}")]
    Unavailable {
        /// Why, for a tenant to read.
        reason: String,
    },
    /// It asks to be left alone. Asked again then, and not before.
    #[error("it asks to be left alone{}", for_so_long(*.retry_after))]
    Throttled {
        /// For how long, if it says so.
        retry_after: Option<Duration>,
    },
    /// It has no such thing, or shows it to others only. Asked again with back-off: it may come.
    #[error("it has no such package, or does not show it: {reason}")]
    NotFound {
        /// What it answered.
        reason: String,
    },
    /// It does not take the credentials, or wants some. Somebody has to look.
    #[error("access is denied: {reason}")]
    Denied {
        /// What it answered.
        reason: String,
    },
    /// Its address may not be dialled, or it sends elsewhere, where nobody follows. Somebody has to
    /// look.
    #[error("blocked: {reason}")]
    Blocked {
        /// Why, for a tenant to read.
        reason: String,
    },
    /// What it answered is not what its protocol says. Nothing of it was taken.
    #[error("its answer is malformed: {problems}")]
    Malformed {
        /// Where, what was found and what was expected.
        problems: Problems,
    },
    /// There is more than is kept. Nothing of it was taken; narrow the watch by `versions`.
    #[error("expected at most {most} {what}, found {found}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How many there are, or how many were counted before it stopped.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// The watch asks for what cannot be.
    #[error("{reason}")]
    Refused {
        /// Why, for a tenant to read.
        reason: String,
    },
}

impl UpstreamError {
    /// Whether it may pass without anybody's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Throttled { .. })
    }

    /// How long the upstream asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => *retry_after,
            _ => None,
        }
    }
}

fn for_so_long(span: Option<Duration>) -> String {
    span.map(|span| format!(" for {}", span::print(span))).unwrap_or_default()
}

#[cfg(test)]
mod tests;
