//! Dependents: what belongs to another version of its package, and goes with it.

use std::collections::{HashMap, HashSet};

use super::{KeepReason, Verdict, Version};

/// Which versions of a package belong to which.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Those that belong to a version, by its place.
    dependents: HashMap<usize, Vec<usize>>,
    /// The places of those that belong to one.
    owned: HashSet<usize>,
}

/// Who owns what of a package; `None` if nobody owns anything, as it is with most packages.
pub(super) fn owners(
    versions: &[Version],
    package: impl Iterator<Item = usize> + Clone,
) -> Option<Owners> {
    let has_ties = |n: usize| {
        versions[n].artifact.oci.as_ref().is_some_and(|oci| {
            let is_below = oci.parent_digest.is_some() || oci.subject_digest.is_some();
            is_below || !oci.child_digests.is_empty()
        })
    };
    if !package.clone().any(has_ties) {
        return None;
    }
    let mut owners = Owners::default();
    owners.gather(versions, package);
    owners.find_owned();
    Some(owners)
}

impl Owners {
    fn gather(&mut self, versions: &[Version], package: impl Iterator<Item = usize> + Clone) {
        // A registry may list what has several tags several times.
        let mut by_digest: HashMap<&str, Vec<usize>> = HashMap::new();
        for n in package.clone() {
            if let Some(digest) = &versions[n].artifact.digest {
                by_digest.entry(digest).or_default().push(n);
            }
        }
        for n in package {
            let Some(oci) = &versions[n].artifact.oci else { continue };
            let of = |digest: &String| by_digest.get(digest.as_str()).into_iter().flatten();
            for owner in oci.parent_digest.iter().chain(&oci.subject_digest).flat_map(of) {
                self.dependents.entry(*owner).or_default().push(n);
            }
            let children = oci.child_digests.iter().flat_map(of);
            self.dependents.entry(n).or_default().extend(children);
        }
    }

    /// What can be reached from one that belongs to nobody. Of those that belong to each other
    /// alone, which only wrong facts can say, each stands for itself.
    fn find_owned(&mut self) {
        let all: HashSet<usize> = self.dependents.values().flatten().copied().collect();
        let mut owners: Vec<usize> =
            self.dependents.keys().copied().filter(|owner| !all.contains(owner)).collect();
        while let Some(owner) = owners.pop() {
            for dependent in self.dependents.get(&owner).into_iter().flatten() {
                if self.owned.insert(*dependent) {
                    owners.push(*dependent);
                }
            }
        }
    }

    /// Whether the version at a place belongs to another.
    pub(super) fn is_owned(&self, place: usize) -> bool {
        self.owned.contains(&place)
    }

    /// Keeps what belongs to what is kept, and what belongs to that.
    pub(super) fn follow(&self, verdicts: &mut [Verdict]) {
        let is_kept = |place: &usize| verdicts[*place] != Verdict::Delete;
        let mut kept: Vec<usize> = self.dependents.keys().copied().filter(is_kept).collect();
        while let Some(owner) = kept.pop() {
            for dependent in self.dependents.get(&owner).into_iter().flatten() {
                if verdicts[*dependent] == Verdict::Delete {
                    verdicts[*dependent] = Verdict::Keep(KeepReason::BelongsToKept);
                    kept.push(*dependent);
                }
            }
        }
    }
}
