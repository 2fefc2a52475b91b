//! What a trigger watches: one thing in an upstream registry, how often, and what of its changes is
//! told.
//!
//! In: a trigger's JSON. Out: a [`Watch`], and when it polls next. Nothing here asks anybody: see
//! [`watch`](crate::watch).

mod document;
mod versions;

use std::time::Duration;

pub use versions::{VersionRule, VersionRuleError};

use crate::clock::Timestamp;
use crate::document::{Problems, join, span};
use crate::id::TriggerId;

/// The longest name of an upstream or a package, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// The longest that a watch waits after failures.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(24 * 60 * 60);

/// What a trigger watches: its events are those that polls of an upstream find.
///
/// ```
/// use artifact_triggers::trigger::Watch;
///
/// let watch = Watch::from_value(serde_json::json!({
///     "upstream": "docker-hub",
///     "package": "library/debian",
///     "every": "15m",
///     "versions": {"glob": ["12.*", "13.*"]},
/// }))?;
/// assert!(watch.versions.admits("12.8") && !watch.versions.admits("sid"));
/// # Ok::<(), artifact_triggers::document::Problems>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Watch {
    /// The name under which the engine knows the upstream.
    pub upstream: String,
    /// What is watched there, as the upstream calls it: a repository, a chart, a crate, a package.
    pub package: String,
    /// How long after one poll the next comes.
    pub every: Duration,
    /// By how much later than that it comes at most, so that many watches do not poll at once.
    pub jitter: Duration,
    /// What becomes of the versions that the first poll finds.
    pub first: FirstPoll,
    /// What becomes of a version whose content is another than it was.
    pub moved: OnChange,
    /// What becomes of a version that is not there any more.
    pub removed: OnChange,
    /// Which versions or tags are watched; all, if nothing is said.
    pub versions: VersionRule,
}

/// What becomes of the versions that the first poll finds. A poll is the first one again when
/// [`upstream`](Watch::upstream), [`package`](Watch::package) or [`versions`](Watch::versions) were
/// changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FirstPoll {
    /// They are the baseline: known from then on, and not told.
    #[default]
    Baseline,
    /// Each of them is told, as new ones are.
    Fire,
}

/// What becomes of a change to a version that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnChange {
    /// It is not told.
    Ignore,
    /// It is told.
    Fire,
}

impl Watch {
    /// The shortest time between two polls.
    pub const MIN_INTERVAL: Duration = Duration::from_secs(10);
    /// The longest time between two polls.
    pub const MAX_INTERVAL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    /// The time between two polls of which nothing is said.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15 * 60);

    /// Watches something in an upstream as often as is usual, with a baseline, and tells of new
    /// versions and of moved ones.
    pub fn new(upstream: impl Into<String>, package: impl Into<String>) -> Self {
        Self {
            upstream: upstream.into(),
            package: package.into(),
            every: Self::DEFAULT_INTERVAL,
            jitter: usual_jitter(Self::DEFAULT_INTERVAL),
            first: FirstPoll::default(),
            moved: OnChange::Fire,
            removed: OnChange::Ignore,
            versions: VersionRule::all(),
        }
    }

    /// Sets [`every`](Self::every), and the jitter to a tenth of it.
    pub fn with_interval(mut self, every: Duration) -> Self {
        self.every = every;
        self.jitter = usual_jitter(every);
        self
    }

    /// Sets [`jitter`](Self::jitter).
    pub fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets [`first`](Self::first).
    pub fn with_first(mut self, first: FirstPoll) -> Self {
        self.first = first;
        self
    }

    /// Sets [`moved`](Self::moved).
    pub fn with_moved(mut self, moved: OnChange) -> Self {
        self.moved = moved;
        self
    }

    /// Sets [`removed`](Self::removed).
    pub fn with_removed(mut self, removed: OnChange) -> Self {
        self.removed = removed;
        self
    }

    /// Sets [`versions`](Self::versions).
    pub fn with_versions(mut self, versions: VersionRule) -> Self {
        self.versions = versions;
        self
    }

    /// When a trigger's watch polls again after a poll, of which so many failed without a break
    /// until then: each doubles the interval, up to a day, and what the upstream asks for
    /// (`retry_after`) is kept within that. The same on every node.
    pub fn again_at(
        &self,
        trigger: TriggerId,
        polled_at: Timestamp,
        failures: u32,
        retry_after: Option<Duration>,
    ) -> Timestamp {
        let longer = self.every.saturating_mul(2_u32.saturating_pow(failures.min(31)));
        let longer = longer.min(LONGEST_BACK_OFF.max(self.every));
        let asked = retry_after.unwrap_or_default().min(LONGEST_BACK_OFF);
        polled_at + longer.max(asked) + self.delay(trigger, polled_at)
    }

    /// When a trigger's watch polls for the first time: within its jitter, or a minute if that is
    /// shorter.
    pub fn first_at(&self, trigger: TriggerId, made_at: Timestamp) -> Timestamp {
        let spread = self.delay(trigger, made_at);
        made_at + spread.min(Duration::from_secs(60))
    }

    fn delay(&self, trigger: TriggerId, at: Timestamp) -> Duration {
        trigger.spread(b"watch", at, self.jitter)
    }

    /// Reports what is wrong with it, whoever made it.
    pub(crate) fn check(&self, path: &str, problems: &mut Problems) {
        for (name, text) in [("upstream", &self.upstream), ("package", &self.package)] {
            let is_name = !text.is_empty() && !text.chars().any(char::is_control);
            if !is_name || text.len() > MAX_NAME_BYTES {
                let expected =
                    format!("expected 1 to {MAX_NAME_BYTES} bytes without control characters");
                let found: String = text.chars().take(80).collect();
                problems.add(join(path, name), format!("{expected}, found {found:?}"));
            }
        }
        if !(Self::MIN_INTERVAL..=Self::MAX_INTERVAL).contains(&self.every) {
            let [least, most, found] =
                [Self::MIN_INTERVAL, Self::MAX_INTERVAL, self.every].map(span::print);
            let message = format!("expected {least} to {most}, found {found}");
            problems.add(join(path, "every"), message);
        }
        if self.jitter > self.every {
            let [most, found] = [self.every, self.jitter].map(span::print);
            let message = format!("expected at most every, {most}, found {found}");
            problems.add(join(path, "jitter"), message);
        }
        self.versions.check(&join(path, "versions"), problems);
    }
}

/// A tenth of the interval.
fn usual_jitter(every: Duration) -> Duration {
    every / 10
}

#[cfg(test)]
mod tests;
