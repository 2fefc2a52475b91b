//! What an upstream lists.

use std::collections::BTreeSet;

use super::{MAX_NAME_BYTES, Order, UpstreamError};
use crate::clock::Timestamp;
use crate::document::{Problems, cut};
use crate::event::{Artifact, File, is_digest};

/// The longest validator, in bytes.
pub(super) const MAX_VALIDATOR_BYTES: usize = 8 * MAX_NAME_BYTES;

/// What an upstream answers.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one a poll")]
#[non_exhaustive]
pub enum Listed {
    /// Nothing has changed since the validator that was given.
    Unchanged,
    /// The versions that there are.
    Versions(Listing),
}

/// The versions of a thing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Listing {
    /// What all versions have in common: package type, registry, repository or name.
    pub artifact: Artifact,
    /// What a version's name is in an event.
    pub naming: Naming,
    /// How they are ordered.
    pub order: Order,
    /// The versions, in the upstream's order; of several of one name the first counts.
    pub versions: Vec<Version>,
    /// What is given with the next question, so that nothing need be listed if nothing has changed.
    pub validator: Option<String>,
    /// Whether what is not listed is not there.
    pub is_complete: bool,
}

/// What a version's name is in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Naming {
    /// Its `version`.
    Version,
    /// One of its `tags`, as in OCI registries: what a tag named before may be there still.
    Tag,
}

/// One version or tag.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Version {
    /// Its name: a version or a tag.
    pub name: String,
    /// The digest of its content, if it was asked for and told.
    pub digest: Option<String>,
    /// Whether it is to be used.
    pub standing: Standing,
    /// Further tags that name it.
    pub tags: Vec<String>,
    /// When it was published, if that is told.
    pub published_at: Option<Timestamp>,
    /// The size of its content, in bytes.
    pub size: Option<u64>,
    /// Where it can be fetched.
    pub url: Option<String>,
    /// Its files.
    pub files: Vec<File>,
    /// The media type of its manifest, in an OCI registry.
    pub media_type: Option<String>,
}

/// Whether a version is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Standing {
    /// It is.
    #[default]
    Offered,
    /// It was withdrawn from resolution, and is still there.
    Yanked,
    /// It is marked as not to be used any more.
    Deprecated,
}

impl Listing {
    /// A complete list without versions yet, of things that have something in common.
    pub fn new(artifact: Artifact, naming: Naming) -> Self {
        Self {
            artifact,
            naming,
            order: Order::Semver,
            versions: Vec::new(),
            validator: None,
            is_complete: true,
        }
    }

    /// Reports what is no name of a version, no digest, or no validator that can be kept.
    pub(super) fn check(&self) -> Result<(), UpstreamError> {
        let mut problems = Problems::default();
        for (n, version) in self.versions.iter().enumerate() {
            version.check(n, &mut problems);
        }
        let validator = self.validator.as_ref().map_or(0, String::len);
        if validator > MAX_VALIDATOR_BYTES {
            let expected = format!("expected at most {MAX_VALIDATOR_BYTES} bytes");
            problems.add("validator", format!("{expected}, found {validator}"));
        }
        if problems.is_empty() { Ok(()) } else { Err(UpstreamError::Malformed { problems }) }
    }

    /// Leaves out what has the name of one before it.
    pub(super) fn keep_first_of_each_name(&mut self) {
        let mut seen = BTreeSet::new();
        self.versions.retain(|version| seen.insert(version.name.clone()));
    }
}

impl Version {
    /// A version of which nothing else is known.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            digest: None,
            standing: Standing::default(),
            tags: Vec::new(),
            published_at: None,
            size: None,
            url: None,
            files: Vec::new(),
            media_type: None,
        }
    }

    /// Sets [`digest`](Self::digest).
    pub fn with_digest(mut self, digest: impl Into<String>) -> Self {
        self.digest = Some(digest.into());
        self
    }

    /// Sets [`standing`](Self::standing).
    pub fn with_standing(mut self, standing: Standing) -> Self {
        self.standing = standing;
        self
    }

    fn check(&self, n: usize, problems: &mut Problems) {
        if !is_name(&self.name) {
            let expected = format!(
                "expected a version or tag of 1 to {MAX_NAME_BYTES} bytes without control characters"
            );
            let message = format!("{expected}, found {:?}", cut(&self.name));
            problems.add(format!("versions[{n}].name"), message);
        }
        if let Some(digest) = self.digest.as_deref().filter(|digest| !is_digest(digest)) {
            let message = format!("expected a digest, found {:?}", cut(digest));
            problems.add(format!("versions[{n}].digest"), message);
        }
    }
}

/// Whether a text may be a version's or tag's name.
pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && !text.chars().any(char::is_control)
        && !is_digest(text)
}
