//! Tags that name versions, such as npm's `dist-tags`, and what they name now.

use std::collections::{BTreeMap, BTreeSet};

use super::diff::Found;
use super::listing::is_name;
use super::{Known, Version};
use crate::event::EventKind;
use crate::trigger::{OnChange, Watch};

impl Known {
    /// Takes up what tags name; gives what is to be told of that. That a tag names a version that
    /// was not known is told with the version, and that it is gone with one, of that.
    pub(super) fn take_tags(
        &mut self,
        listed: &[Version],
        is_complete: bool,
        watch: &Watch,
    ) -> Vec<Found> {
        let mut named: BTreeMap<&str, &Version> = BTreeMap::new();
        for version in listed {
            for tag in version.tags.iter().filter(|tag| is_name(tag)) {
                named.entry(tag).or_insert(version);
            }
        }
        let mut found = Vec::new();
        for (tag, version) in &named {
            let before = self.tags.insert((*tag).to_owned(), version.name.clone());
            let is_told_already = !self.knows(&version.name);
            if is_told_already || before.as_deref() == Some(version.name.as_str()) {
                continue;
            }
            let kind = match before {
                Some(_) if watch.moved == OnChange::Ignore => continue,
                Some(_) => EventKind::TAG_MOVED,
                None => EventKind::TAG_CREATED,
            };
            found.push(Found::of_tag(kind, tag, version, before));
        }
        if is_complete {
            let there: BTreeSet<&str> = listed.iter().map(|one| one.name.as_str()).collect();
            self.tags.retain(|tag, version| {
                let is_named = named.contains_key(tag.as_str());
                if !is_named && watch.removed == OnChange::Fire && there.contains(version.as_str())
                {
                    let version = Version::new(version.as_str());
                    found.push(Found::of_tag(EventKind::TAG_DELETED, tag, &version, None));
                }
                is_named
            });
        }
        found
    }
}
