//! What is known of a watch between two polls: one text, for a storage's cursor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Standing, UpstreamError};
use crate::document::Problems;
use crate::trigger::Watch;

/// The longest name of a version or tag, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The most versions or tags of a watch. Beyond, a poll is an error that says so and changes
/// nothing.
pub const MAX_VERSIONS: usize = 10_000;
/// The most that names and digests of a watch take together, in bytes. Beyond, a poll is an error.
pub const MAX_KNOWN_BYTES: usize = 1024 * 1024;

/// The most tags that name versions beside those.
const MAX_TAGS: usize = 1_000;

/// What is known of a watch: the versions that were there, and the validator of the answer.
///
/// Versions that are not there any more are remembered as long as there is room, those that went
/// first being forgotten first, so that one that comes back is not told as new.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Of which watch it is: a text that is another if upstream, package or versions are.
    pub(super) of: String,
    pub(super) sequence: u64,
    pub(super) validator: Option<String>,
    pub(super) versions: BTreeMap<String, Entry>,
    /// The versions that tags name, where versions have names of their own beside.
    pub(super) tags: BTreeMap<String, String>,
}

/// What is known of one version.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Entry {
    pub(super) digest: Option<String>,
    pub(super) standing: Standing,
    /// At which poll it was found not to be there any more.
    pub(super) gone_at: Option<u64>,
}

impl Known {
    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    /// That it is something else. The watch then has to begin anew.
    pub fn from_text(text: &str) -> Result<Self, Problems> {
        let refuse = |reason: String| Problems::of(format!("expected a known state: {reason}"));
        let document: Document =
            serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        let versions = document.versions.into_iter().map(|row| {
            let standing = Standing::of_letter(row.standing.as_deref())?;
            Some((row.name, Entry { digest: row.digest, standing, gone_at: row.gone_at }))
        });
        let versions: Option<BTreeMap<String, Entry>> = versions.collect();
        let versions = versions.ok_or_else(|| refuse("a standing is none".to_owned()))?;
        let Document { of, sequence, validator, tags, .. } = document;
        Ok(Self { of, sequence, validator, versions, tags })
    }

    /// The text to be kept in a cursor: at most some 3 MiB, 10 bytes a version beside names and
    /// digests.
    pub fn to_text(&self) -> String {
        let versions = self.versions.iter().map(|(name, entry)| Row {
            name: name.clone(),
            digest: entry.digest.clone(),
            standing: entry.standing.letter().map(str::to_owned),
            gone_at: entry.gone_at,
        });
        let document = Document {
            of: self.of.clone(),
            sequence: self.sequence,
            validator: self.validator.clone(),
            versions: versions.collect(),
            tags: self.tags.clone(),
        };
        serde_json::to_string(&document).expect("the keys are strings")
    }

    /// Whether it is of a watch as it is now.
    pub fn is_of(&self, watch: &Watch) -> bool {
        self.of == fingerprint(watch)
    }

    /// How many listings were compared until now. The ids of a poll's events are derived from it.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The validator of the last listing.
    pub fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    /// The versions that are there, in the order of their names, with the digests that are known.
    pub fn versions(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let present = self.versions.iter().filter(|(_, entry)| entry.gone_at.is_none());
        present.map(|(name, entry)| (name.as_str(), entry.digest.as_deref()))
    }

    /// Whether a version is there, or was.
    pub fn knows(&self, version: &str) -> bool {
        self.versions.contains_key(version)
    }

    /// Forgets the versions that went first until the limits are kept.
    ///
    /// # Errors
    /// There are too many that are there.
    pub(super) fn keep_within_limits(&mut self) -> Result<(), UpstreamError> {
        let size =
            |name: &str, entry: &Entry| name.len() + entry.digest.as_ref().map_or(0, String::len);
        let mut count = self.versions.len();
        let mut bytes: usize = self.versions.iter().map(|(name, entry)| size(name, entry)).sum();
        let gone = self.versions.iter().filter_map(|(name, entry)| Some((entry.gone_at?, name)));
        let mut gone: Vec<(u64, String)> = gone.map(|(at, name)| (at, name.clone())).collect();
        gone.sort_unstable();
        for (_, name) in gone {
            if count <= MAX_VERSIONS && bytes <= MAX_KNOWN_BYTES {
                break;
            }
            if let Some(entry) = self.versions.remove(&name) {
                count -= 1;
                bytes -= size(&name, &entry);
            }
        }
        let too_much = |what, found, most| Err(UpstreamError::TooMuch { what, found, most });
        if self.tags.len() > MAX_TAGS {
            return too_much("tags that name versions", self.tags.len(), MAX_TAGS);
        }
        if count > MAX_VERSIONS {
            return too_much("versions", count, MAX_VERSIONS);
        }
        if bytes > MAX_KNOWN_BYTES {
            return too_much("bytes of versions and digests", bytes, MAX_KNOWN_BYTES);
        }
        Ok(())
    }
}

/// What tells one watch from another, and from itself before it was changed.
pub(crate) fn fingerprint(watch: &Watch) -> String {
    serde_json::json!([watch.upstream, watch.package, watch.versions.to_text()]).to_string()
}

impl Standing {
    fn letter(self) -> Option<&'static str> {
        match self {
            Self::Offered => None,
            Self::Yanked => Some("y"),
            Self::Deprecated => Some("d"),
        }
    }

    fn of_letter(letter: Option<&str>) -> Option<Self> {
        match letter {
            None => Some(Self::Offered),
            Some("y") => Some(Self::Yanked),
            Some("d") => Some(Self::Deprecated),
            Some(_) => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    of: String,
    sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validator: Option<String>,
    versions: Vec<Row>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    standing: Option<String>,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    gone_at: Option<u64>,
}
