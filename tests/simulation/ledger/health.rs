//! What triggers go through: who disabled them, and whether that was right.

use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::id::TriggerId;
use artifact_triggers::storage::TriggerWrite;
use artifact_triggers::trigger::{SuspendReason, Trigger};

use super::Books;
use crate::invariants::Invariant;

/// How long a node may not know that another one saw a trigger fail: for so long a success does not
/// end the span of failure.
const UNKNOWN_FOR: Duration = Duration::from_secs(3_600);

/// What a trigger has gone through.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Story {
    pub(super) was_disabled: bool,
    pub(super) was_suspended: bool,
    pub(super) was_deleted: bool,
    /// Since when it has been suspended.
    pub(super) suspended_at: Option<Timestamp>,
    changed_at: Option<Timestamp>,
    first_failure: Option<Timestamp>,
    last_success: Option<Timestamp>,
}

impl Books {
    pub(super) fn trigger(&mut self, write: &TriggerWrite, now: Timestamp) {
        match write {
            TriggerWrite::Create(trigger) | TriggerWrite::Update(trigger) => {
                self.judge(trigger, now);
                let story = self.stories.entry(trigger.id).or_default();
                story.was_disabled |= !trigger.spec.enabled;
                story.was_suspended |= trigger.suspended.is_some();
                story.suspended_at = trigger.suspended.map(|_| story.suspended_at.unwrap_or(now));
                story.changed_at = Some(now);
            }
            TriggerWrite::Delete(id) => self.stories.entry(*id).or_default().was_deleted = true,
            _ => {}
        }
    }

    /// Checks that a trigger that is disabled because it fails has failed without a break.
    fn judge(&mut self, trigger: &Trigger, now: Timestamp) {
        let story = self.stories.get(&trigger.id).copied().unwrap_or_default();
        if trigger.suspended != Some(SuspendReason::Failing) || story.suspended_at.is_some() {
            return;
        }
        self.counts.disabled += 1;
        let Some(limit) = self.promises[&trigger.id].disable_after else {
            let what = format!("{} is disabled, which its policy forbids", trigger.id);
            return self.violate(now, Invariant::DisabledOnlyIfFailing, what);
        };
        let latest = now.before(limit) + self.rules.slack();
        let unknown_for = if self.rules.nodes == 1 { Duration::ZERO } else { UNKNOWN_FOR };
        let is_early = |at: Option<Timestamp>| at.is_some_and(|at| at > latest);
        if story.first_failure.is_none()
            || is_early(story.first_failure)
            || is_early(story.changed_at)
            || is_early(story.last_success.map(|at| at.before(unknown_for)))
        {
            let what = format!("{} is disabled after {limit:?}, but {story:?}", trigger.id);
            self.violate(now, Invariant::DisabledOnlyIfFailing, what);
        }
    }

    /// An attempt of a trigger's delivery ended.
    pub(super) fn fared(&mut self, trigger: TriggerId, is_accepted: bool, now: Timestamp) {
        if let Some(story) = self.stories.get_mut(&trigger)
            && !is_accepted
        {
            story.first_failure.get_or_insert(now);
        }
    }

    /// An engine has written down that an attempt was accepted.
    pub(super) fn succeeded(&mut self, trigger: TriggerId, now: Timestamp) {
        let story = self.stories.get_mut(&trigger).expect("it has deliveries");
        story.last_success = Some(now);
    }

    /// Whether every node knows that a trigger is suspended.
    pub(super) fn is_known_suspended(&self, trigger: TriggerId, now: Timestamp) -> bool {
        let lag = if self.rules.nodes == 1 { Duration::ZERO } else { self.rules.refresh };
        let since = self.stories[&trigger].suspended_at;
        self.rules.is_calm && since.is_some_and(|at| now > at + lag + Duration::from_secs(1))
    }
}
