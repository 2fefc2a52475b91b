//! The plan: one pass over the versions in the order of packages and age.

use std::fmt;
use std::time::Duration;

use super::{RetentionPolicy, Version, dependents};
use crate::clock::Timestamp;
use crate::document::span;
use crate::event::node::Node;
use crate::trigger::filter::Filter;

/// What becomes of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept, by the first of the reasons that there are.
    Keep(KeepReason),
    /// No rule keeps it.
    Delete,
}

/// Why a version is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepReason {
    /// It is protected.
    Protected,
    /// The policy is not for it.
    NotSelected,
    /// It is one of the newest of its package.
    Last,
    /// It was pushed not long ago.
    Young,
    /// It was pulled not long ago.
    Downloaded,
    /// It satisfies the policy's filter.
    Matching,
    /// It belongs to another one that is kept: a child of an index, or what refers to it.
    BelongsToKept,
}

/// What becomes of each of some versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    policy: RetentionPolicy,
    now: Timestamp,
    verdicts: Vec<Verdict>,
    /// Which newest of its package each is, from 1 on; 0 where it does not count.
    ranks: Vec<u32>,
}

/// Plans what becomes of versions.
///
/// # What belongs together
/// Of OCI artifacts, what is a child of an index (its `parent_digest`, or the index's
/// `child_digests`), and what refers to another artifact (its `subject_digest`: signatures,
/// attestations, bills of materials), goes with that one, if it is among the versions of the same
/// package: it is kept as long as one that it belongs to is, and deleted with the last of them,
/// unless it is protected. One whose owner is not there stands for itself, and so does one of a
/// circle.
///
/// What is protected, what belongs to another and what the policy is not for does not count among
/// the last ones of its package.
///
/// # Panics
/// If there are more than `u32::MAX` versions.
///
/// ```
/// use artifact_triggers::clock::Timestamp;
/// use artifact_triggers::event::Artifact;
/// use artifact_triggers::retention::{RetentionPolicy, Verdict, Version, plan};
///
/// let day = |day| Timestamp::from_unix_seconds(day * 86_400);
/// let version =
///     |n: i64| Version::new(Artifact::new("cargo", "a").with_version(format!("1.{n}.0")), day(n));
/// let versions = [version(1), version(3), version(2)];
/// let plan = plan(&versions, &RetentionPolicy::keep_last(2), day(400));
/// let deleted: Vec<_> = plan.deleted().collect();
/// assert_eq!(deleted, [0]);
/// assert_eq!(plan.verdicts()[0], Verdict::Delete);
/// assert_eq!(plan.explain(0), "number 3 of its package from the newest on, and 2 are kept");
/// ```
pub fn plan(versions: &[Version], policy: &RetentionPolicy, now: Timestamp) -> Plan {
    let count = u32::try_from(versions.len()).expect("fewer than u32::MAX versions");
    let mut plan = Plan {
        policy: policy.clone(),
        now,
        verdicts: vec![Verdict::Delete; versions.len()],
        ranks: vec![0; versions.len()],
    };
    let mut order: Vec<(Family<'_>, Timestamp, u32)> = Vec::with_capacity(versions.len());
    for (n, version) in (0..count).zip(versions) {
        if is_selected(policy, version) {
            order.push((Family::of(version), version.created_at, n));
        } else {
            plan.verdicts[n as usize] = Verdict::Keep(KeepReason::NotSelected);
        }
    }
    // The newest of each package first; of those of one time, the first that was given.
    order.sort_unstable_by(|one, other| {
        one.0.cmp(&other.0).then_with(|| other.1.cmp(&one.1)).then_with(|| one.2.cmp(&other.2))
    });
    for package in order.chunk_by(|one, other| one.0 == other.0) {
        plan.judge_package(versions, package.iter().map(|(_, _, n)| *n as usize));
    }
    plan
}

fn is_selected(policy: &RetentionPolicy, version: &Version) -> bool {
    policy.select.as_ref().is_none_or(|filter| holds(filter, version))
}

fn holds(filter: &Filter, version: &Version) -> bool {
    filter.holds(Node::Artifact(&version.artifact))
}

impl Plan {
    /// The verdict on each version, in the order in which they were given.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Which versions are deleted, by their places.
    pub fn deleted(&self) -> impl Iterator<Item = usize> {
        let all = self.verdicts.iter().enumerate();
        all.filter(|(_, verdict)| **verdict == Verdict::Delete).map(|(n, _)| n)
    }

    /// Whether the version at a place belongs to another, and is not protected.
    pub(super) fn is_owned(&self, place: usize) -> bool {
        self.ranks[place] == 0
    }

    /// Why the version at a place is kept or deleted, for a person.
    ///
    /// # Panics
    /// If there is none at that place.
    pub fn explain(&self, place: usize) -> String {
        match self.verdicts[place] {
            Verdict::Keep(reason) => self.kept_because(reason, self.ranks[place]),
            Verdict::Delete => self.deleted_because(self.ranks[place]),
        }
    }

    fn kept_because(&self, reason: KeepReason, rank: u32) -> String {
        let within = |rule: Option<Duration>| span::print(rule.unwrap_or_default());
        match reason {
            KeepReason::Protected => "it is protected".to_owned(),
            KeepReason::NotSelected => "the policy is not for it".to_owned(),
            KeepReason::Last => format!("number {rank} of its package from the newest on"),
            KeepReason::Young => {
                format!("pushed within {}", within(self.policy.keep_younger_than))
            }
            KeepReason::Downloaded => {
                format!("pulled within {}", within(self.policy.keep_downloaded_within))
            }
            KeepReason::Matching => "it satisfies keep_matching".to_owned(),
            KeepReason::BelongsToKept => "it belongs to one that is kept".to_owned(),
        }
    }

    fn deleted_because(&self, rank: u32) -> String {
        if rank == 0 {
            return "it belongs to none that is kept".to_owned();
        }
        let policy = &self.policy;
        let mut missed = Vec::new();
        if let Some(last) = policy.keep_last {
            missed.push(format!(
                "number {rank} of its package from the newest on, and {last} are kept"
            ));
        }
        if let Some(span) = policy.keep_younger_than {
            missed.push(format!("not pushed within {}", span::print(span)));
        }
        if let Some(span) = policy.keep_downloaded_within {
            missed.push(format!("not pulled within {}", span::print(span)));
        }
        if policy.keep_matching.is_some() {
            missed.push("does not satisfy keep_matching".to_owned());
        }
        missed.join("; ")
    }

    /// Judges the versions of a package, the newest first.
    fn judge_package(
        &mut self,
        versions: &[Version],
        package: impl Iterator<Item = usize> + Clone,
    ) {
        let owners = dependents::owners(versions, package.clone());
        let mut rank = 0;
        for n in package {
            let is_owned = owners.as_ref().is_some_and(|owners| owners.is_owned(n));
            if !is_owned && !versions[n].is_protected {
                rank += 1;
                self.ranks[n] = rank;
            }
            self.verdicts[n] = match self.reason_to_keep(&versions[n], self.ranks[n]) {
                Some(reason) => Verdict::Keep(reason),
                None => Verdict::Delete,
            };
        }
        if let Some(owners) = owners {
            owners.follow(&mut self.verdicts);
        }
    }

    /// The first reason to keep a version for itself. One that does not count, since it belongs to
    /// another, has none but its protection.
    fn reason_to_keep(&self, version: &Version, rank: u32) -> Option<KeepReason> {
        if version.is_protected {
            return Some(KeepReason::Protected);
        }
        if rank == 0 {
            return None;
        }
        let policy = &self.policy;
        let within = |rule: Option<Duration>, at: Option<Timestamp>| match (rule, at) {
            (Some(span), Some(at)) => self.now.since(at) < span,
            _ => false,
        };
        let matching = || policy.keep_matching.as_ref().is_some_and(|f| holds(f, version));
        if policy.keep_last.is_some_and(|last| u64::from(rank) <= last) {
            Some(KeepReason::Last)
        } else if within(policy.keep_younger_than, Some(version.created_at)) {
            Some(KeepReason::Young)
        } else if within(policy.keep_downloaded_within, version.last_downloaded_at) {
            Some(KeepReason::Downloaded)
        } else {
            matching().then_some(KeepReason::Matching)
        }
    }
}

/// What versions of one package agree in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Family<'v> {
    // What differs most comes first.
    repository: Option<&'v str>,
    name: Option<&'v str>,
    namespace: Option<&'v str>,
    package_type: Option<&'v str>,
    registry: Option<&'v str>,
}

impl<'v> Family<'v> {
    fn of(version: &'v Version) -> Self {
        let artifact = &version.artifact;
        Self {
            repository: artifact.repository.as_deref(),
            name: artifact.name.as_deref(),
            namespace: artifact.namespace.as_deref(),
            package_type: artifact.package_type.as_deref(),
            registry: artifact.registry.as_deref(),
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protected => "protected",
            Self::NotSelected => "not_selected",
            Self::Last => "last",
            Self::Young => "young",
            Self::Downloaded => "downloaded",
            Self::Matching => "matching",
            Self::BelongsToKept => "belongs_to_kept",
        })
    }
}

#[cfg(test)]
mod tests;
