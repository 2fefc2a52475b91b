//! What has changed between two polls.
//!
//! In: what is known, a listing, and the watch's policy. Out: the changes in their order, and what
//! is known then. Nothing else counts: no clock, no chance.

use std::collections::BTreeSet;

use super::known::{Entry, fingerprint};
use super::{Known, Listing, Naming, Standing, UpstreamError, Version};
use crate::event::{Artifact, EventKind, pushed_kind};
use crate::trigger::{FirstPoll, OnChange, Watch};

/// What a poll found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// What has changed, in the order in which it is told: what is gone, then the others from the
    /// lowest version to the highest, then tags that name another version than before.
    pub changes: Vec<Change>,
    /// What is known from now on. It counts once the changes are recorded, and not before.
    pub known: Known,
}

/// One thing that has changed. It becomes an event by [`to_event`](Self::to_event).
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub(super) kind: EventKind,
    pub(super) version: Version,
    /// What all versions have in common.
    pub(super) artifact: Artifact,
    pub(super) naming: Naming,
    /// The digest that it had before.
    pub(super) from_digest: Option<String>,
    /// The tag that names it now, and the version that it named before, if that is what has
    /// changed.
    pub(super) tag: Option<String>,
    pub(super) from_version: Option<String>,
    /// Which comparison found it.
    pub(super) sequence: u64,
}

impl Change {
    /// What happened.
    pub fn kind(&self) -> EventKind {
        self.kind.clone()
    }

    /// To which version or tag.
    pub fn version(&self) -> &str {
        &self.version.name
    }

    /// The digest that it had before, of one whose content is another now.
    pub fn from_digest(&self) -> Option<&str> {
        self.from_digest.as_deref()
    }

    /// The tag that names another version now, where versions have names of their own beside.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }
}

/// Compares what is known with what is listed now.
///
/// What is known of another watch, or of this one before its upstream, package or versions were
/// changed, counts as nothing, but for the sequence.
///
/// # Errors
/// [`UpstreamError::Malformed`] if the listing has names or digests that are none, and
/// [`UpstreamError::TooMuch`] beyond the limits. Nothing changes then.
pub fn diff(
    known: Option<&Known>,
    mut listing: Listing,
    watch: &Watch,
) -> Result<Step, UpstreamError> {
    listing.versions.retain(|version| watch.versions.admits(&version.name));
    listing.check()?;
    listing.keep_first_of_each_name();
    let sequence = known.map_or(0, |known| known.sequence).saturating_add(1);
    let before = known.filter(|known| known.is_of(watch));
    let is_baseline = before.is_none() && watch.first == FirstPoll::Baseline;
    let mut known = Known {
        of: fingerprint(watch),
        sequence,
        validator: listing.validator.take(),
        versions: before.map(|known| known.versions.clone()).unwrap_or_default(),
        tags: before.map(|known| known.tags.clone()).unwrap_or_default(),
    };
    let versions = std::mem::take(&mut listing.versions);
    let tags = known.take_tags(&versions, listing.is_complete, watch);
    let gone = if listing.is_complete { known.take_out(&versions, watch) } else { Vec::new() };
    let take_in = |version| known.take_in(version, listing.naming, watch);
    let mut found: Vec<Found> = versions.into_iter().flat_map(take_in).collect();
    listing.order.sort(&mut found, |found| &found.version);
    known.keep_within_limits()?;
    let gone = gone.iter().map(|version| Found::gone(version, listing.naming));
    let told = gone.chain(found).chain(tags);
    let change = |found: Found| Change {
        kind: found.kind,
        version: found.version,
        artifact: listing.artifact.clone(),
        naming: listing.naming,
        from_digest: found.from_digest,
        tag: found.tag,
        from_version: found.from_version,
        sequence,
    };
    let changes = if is_baseline { Vec::new() } else { told.map(change).collect() };
    Ok(Step { changes, known })
}

/// A change, before it is said where.
pub(super) struct Found {
    kind: EventKind,
    version: Version,
    from_digest: Option<String>,
    tag: Option<String>,
    from_version: Option<String>,
}

impl Found {
    fn new(kind: EventKind, version: &Version) -> Self {
        let version = version.clone();
        Self { kind, version, from_digest: None, tag: None, from_version: None }
    }

    /// A tag that names a version, and no other any more.
    pub(super) fn of_tag(
        kind: EventKind,
        tag: &str,
        version: &Version,
        before: Option<String>,
    ) -> Self {
        let version = Version { tags: vec![tag.to_owned()], ..version.clone() };
        Self { tag: Some(tag.to_owned()), from_version: before, ..Self::new(kind, &version) }
    }

    fn gone(version: &Version, naming: Naming) -> Self {
        let kind = match naming {
            Naming::Version => EventKind::ARTIFACT_DELETED,
            Naming::Tag => EventKind::TAG_DELETED,
        };
        Self::new(kind, version)
    }
}

impl Known {
    /// Marks what is not listed as gone; gives what is to be told of that. What was told as deleted
    /// is new when it comes back.
    fn take_out(&mut self, listed: &[Version], watch: &Watch) -> Vec<Version> {
        let listed: BTreeSet<&str> = listed.iter().map(|version| version.name.as_str()).collect();
        let sequence = self.sequence;
        let mut gone = Vec::new();
        self.versions.retain(|name, entry| {
            if entry.gone_at.is_some() || listed.contains(name.as_str()) {
                return true;
            }
            entry.gone_at = Some(sequence);
            if watch.removed == OnChange::Fire {
                let mut version = Version::new(name);
                version.digest = entry.digest.take();
                gone.push(version);
            }
            watch.removed == OnChange::Ignore
        });
        gone
    }

    /// Takes up what is listed; gives what is to be told of it.
    fn take_in(&mut self, version: Version, naming: Naming, watch: &Watch) -> Vec<Found> {
        let mut found = Vec::new();
        let before = self.versions.get(&version.name);
        match before {
            None => found.push(Found::new(kind_of_new(&version, naming), &version)),
            Some(entry) => {
                let digests = entry.digest.clone().zip(version.digest.clone());
                let moved = digests.filter(|(before, now)| before != now);
                if let Some((before, _)) = moved.filter(|_| watch.moved == OnChange::Fire) {
                    let updated = Found::new(EventKind::ARTIFACT_UPDATED, &version);
                    found.push(Found { from_digest: Some(before), ..updated });
                }
            }
        }
        let standing = before.map(|entry| entry.standing).unwrap_or_default();
        let other_standing = kind_of_standing(standing, version.standing);
        found.extend(other_standing.map(|kind| Found::new(kind, &version)));
        let digest = version.digest.or_else(|| before?.digest.clone());
        let entry = Entry { digest, standing: version.standing, gone_at: None };
        self.versions.insert(version.name, entry);
        found
    }
}

/// A tag may be named so that it is of a signature or the like.
fn kind_of_new(version: &Version, naming: Naming) -> EventKind {
    match naming {
        Naming::Version => EventKind::ARTIFACT_INGESTED,
        Naming::Tag => pushed_kind(Some(&version.name)),
    }
}

/// What happened when a version has another standing than it had.
fn kind_of_standing(before: Standing, now: Standing) -> Option<EventKind> {
    match (before, now) {
        (Standing::Offered | Standing::Deprecated, Standing::Yanked) => {
            Some(EventKind::ARTIFACT_YANKED)
        }
        (Standing::Offered, Standing::Deprecated) => Some(EventKind::ARTIFACT_DEPRECATED),
        (Standing::Yanked, Standing::Offered | Standing::Deprecated) => {
            Some(EventKind::ARTIFACT_RESTORED)
        }
        _ => None,
    }
}
