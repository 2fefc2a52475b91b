//! What feeds a trigger: by a schedule or a watch the engine makes its events, and nothing else
//! reaches it.
//!
//! In: a spec, and how it was before. Out: what is wrong with it, since when it counts, and which
//! events say that they are its own.

use std::time::Duration;

use super::{KindPattern, Trigger, TriggerSpec};
use crate::clock::Timestamp;
use crate::document::Problems;
use crate::event::{Event, EventKind};

/// Who tells the events that an engine makes.
pub(crate) const ENGINE: &str = "engine";
/// Who tells what polls find.
const WATCH: &str = "watch";
/// The attribute of an event that an engine makes for a trigger, with its id.
pub(crate) const TRIGGER: &str = "trigger";

impl TriggerSpec {
    /// Whether it gets only the events that the engine makes for it.
    pub(crate) fn is_fed(&self) -> bool {
        self.has_schedule() || self.watch.is_some()
    }

    #[cfg(feature = "schedule")]
    fn has_schedule(&self) -> bool {
        self.schedule.is_some()
    }

    #[cfg(not(feature = "schedule"))]
    #[expect(clippy::unused_self, reason = "without the feature there is no schedule")]
    fn has_schedule(&self) -> bool {
        false
    }

    /// When the engine makes an event for it, in words.
    pub(super) fn feed(&self) -> Option<String> {
        #[cfg(feature = "schedule")]
        if let Some(schedule) = &self.schedule {
            return Some(format!("its schedule comes due, {schedule}"));
        }
        let watch = self.watch.as_ref()?;
        let (upstream, package) = (watch.upstream.escape_debug(), watch.package.escape_debug());
        Some(format!("a poll of {upstream} finds a change of {package}"))
    }

    /// Reports what can feed nothing, and kinds that it can never get.
    pub(super) fn check_feed(&self, problems: &mut Problems) {
        let only = KindPattern::from(EventKind::SCHEDULE_FIRED);
        if let Some(other) = self.kinds.iter().find(|kind| **kind != only)
            && self.has_schedule()
        {
            let message = format!("expected {only} alone, since it has a schedule, found {other}");
            problems.add("kinds", message);
        }
        #[cfg(feature = "schedule")]
        if let Some(schedule) = &self.schedule {
            schedule.check("schedule", problems);
        }
        if self.is_fed() && self.policy.coalesce.is_some() {
            let message = "expected none, since what a schedule or a watch makes is not coalesced";
            problems.add("policy.coalesce", message);
        }
        if let Some(watch) = &self.watch {
            watch.check("watch", problems);
            if self.has_schedule() {
                problems.add("watch", "expected a schedule or a watch, found both");
            }
        }
    }

    /// Whether what feeds it begins anew after a change. A watch that is changed knows by itself
    /// what still counts.
    fn feeds_anew(&self, before: &Self) -> bool {
        let is_enabled_again = self.enabled && !before.enabled;
        let is_other =
            self.is_another_schedule(before) || self.watch.is_some() != before.watch.is_some();
        self.is_fed() && (is_enabled_again || is_other)
    }

    #[cfg(feature = "schedule")]
    fn is_another_schedule(&self, before: &Self) -> bool {
        match (&self.schedule, &before.schedule) {
            (Some(now), Some(before)) => !now.is_due_as(before),
            (now, before) => now.is_some() != before.is_some(),
        }
    }

    #[cfg(not(feature = "schedule"))]
    fn is_another_schedule(&self, before: &Self) -> bool {
        self.has_schedule() != before.has_schedule()
    }
}

impl Trigger {
    /// Since when it is fed, after a change. Later than before in any case, whatever a clock says:
    /// nodes tell by it which of two beginnings is the later one.
    pub(super) fn fed_since_change(&self, spec: &TriggerSpec, now: Timestamp) -> Option<Timestamp> {
        if !spec.feeds_anew(&self.spec) {
            return self.fed_since;
        }
        let after = self.fed_since.map(|before| before + Duration::from_micros(1));
        after.max(Some(now))
    }

    /// Since when its schedule or its watch counts.
    #[cfg(feature = "engine")]
    pub(crate) fn counts_since(&self) -> Timestamp {
        self.fed_since.unwrap_or(self.updated_at)
    }

    /// Whether an event says that it was made for this trigger.
    pub(super) fn is_own(&self, event: &Event) -> bool {
        let is_of_feed = match &self.spec.watch {
            Some(watch) => {
                event.source.name == WATCH
                    && event.source.instance.as_deref() == Some(watch.upstream.as_str())
            }
            None => event.source.name == ENGINE && event.kind == EventKind::SCHEDULE_FIRED,
        };
        is_of_feed && event.attributes.get(TRIGGER).is_some_and(|id| *id == self.id.to_string())
    }
}
