//! Watch state: when a watch is polled and by whom, and how it stands.
//!
//! In: what the first cursor of a watch says, and its trigger as it is now. Out: whether that is of
//! the watch that the trigger has now, when it may be polled, and what is told of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::agenda::MOST_AHEAD;
use crate::clock::Timestamp;
use crate::event::Scope;
use crate::id::TriggerId;
use crate::storage::StorageError;
use crate::trigger::{Trigger, Watch};
use crate::watch::{Known, fingerprint};

/// How long a watch is taken for: for the poll, and for writing down what it found.
pub(super) const TAKEN_FOR: Duration = Duration::from_secs(300);

/// How the watch that a trigger has now stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WatchState {
    /// When it was polled last; `None` before the first poll.
    pub polled_at: Option<Timestamp>,
    /// When it is polled next, if its trigger is enabled; while it is polled, when another node may
    /// if nothing comes of that.
    pub due_at: Timestamp,
    /// How many polls failed without a break until now.
    pub failures: u32,
    /// Why the last one failed, if it did.
    pub problem: Option<String>,
    /// How many versions or tags are known to be there.
    pub versions: usize,
}

/// What the first cursor of a watch says: when it is polled, and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Turn {
    /// Of the watch that counts since then.
    pub(super) since: Timestamp,
    /// When the next poll comes due.
    pub(super) due_at: Timestamp,
    #[serde(default)]
    pub(super) failures: u32,
    /// Whether what is known is of the watch that counts since then.
    #[serde(default)]
    pub(super) has_begun: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) polled_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    /// Until when somebody polls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) taken_until: Option<Timestamp>,
    /// When the first of the polls came due that failed without a break until now. One of them may
    /// have told some of what it found, so that the next one tells it by the same ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failing_since: Option<Timestamp>,
    /// Of which watch the last poll was: another one was changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<String>,
    /// Of which revision of the trigger the last poll was. One that began before a change may have
    /// ended after it, so that times do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<u64>,
}

impl Turn {
    /// Of a watch that was not polled yet.
    pub(super) fn first(trigger: &Trigger, watch: &Watch) -> Self {
        let since = trigger.counts_since();
        Self {
            since,
            due_at: watch.first_at(trigger.id, since),
            failures: 0,
            has_begun: false,
            polled_at: None,
            problem: None,
            taken_until: None,
            failing_since: None,
            of: None,
            revision: None,
        }
    }

    /// Whether the last poll was of a watch as it is now.
    fn is_of(&self, watch: &Watch) -> bool {
        self.of.as_deref().is_none_or(|of| of == fingerprint(watch))
    }

    /// Whether the trigger was changed since the last poll began, if there was one. A turn from
    /// before revisions were written down has only times and the watch to go by.
    fn is_changed(&self, trigger: &Trigger, watch: &Watch) -> bool {
        self.polled_at.is_some_and(|at| match self.revision {
            Some(revision) => revision < trigger.revision,
            None => at < trigger.updated_at || !self.is_of(watch),
        })
    }

    /// How many polls of a watch as it is now failed without a break.
    pub(super) fn failures_of(&self, watch: &Watch) -> u32 {
        if self.is_of(watch) { self.failures } else { 0 }
    }

    /// The time of which the ids of events are: another only once what is known is, too.
    pub(super) fn told_at(&self) -> Timestamp {
        self.failing_since.unwrap_or(self.due_at)
    }

    /// Whether it was polled, made or taken by a clock that is far ahead of this one: then it is
    /// free.
    pub(super) fn is_ahead(&self, now: Timestamp) -> bool {
        let written_at = self.polled_at.unwrap_or(self.since);
        let taken_at = self.taken_until.map(|until| until.before(TAKEN_FOR));
        taken_at.map_or(written_at, |at| at.max(written_at)) > now + MOST_AHEAD
    }

    /// When somebody may poll. A watch that was changed since the last poll goes by its new
    /// interval, and what is another one by that has no poll yet.
    pub(super) fn free_at(&self, trigger: &Trigger, watch: &Watch) -> Timestamp {
        let anew = if self.is_of(watch) {
            watch.again_at(trigger.id, trigger.updated_at, self.failures, None)
        } else {
            watch.first_at(trigger.id, trigger.updated_at)
        };
        let is_changed = self.is_changed(trigger, watch);
        let due_at = if is_changed { self.due_at.min(anew) } else { self.due_at };
        due_at.max(self.taken_until.unwrap_or(Timestamp::MIN))
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("times and texts are JSON")
    }
}

impl Engine {
    /// How the watch of a trigger stands; `None` if there is no such trigger at or below the scope,
    /// or it has no watch. What was known before the watch was changed to another one, or before
    /// its trigger was disabled, is not told.
    ///
    /// # Errors
    /// The storage's.
    pub async fn watch_state(
        &self,
        scope: &Scope,
        id: TriggerId,
    ) -> Result<Option<WatchState>, StorageError> {
        let Some(trigger) = self.trigger(scope, id) else { return Ok(None) };
        let Some(watch) = &trigger.spec.watch else { return Ok(None) };
        let [turn, known] = self.core.read_watch(&id).await?;
        let turn = turn.and_then(|text| serde_json::from_str::<Turn>(&text).ok());
        // One of a later watch is of a change that is heard of soon.
        let turn = turn.filter(|turn| turn.since >= trigger.counts_since());
        let mut turn = turn.unwrap_or_else(|| Turn::first(&trigger, watch));
        let known = known.and_then(|text| Known::from_text(&text).ok());
        let known = known.filter(|known| turn.has_begun && known.is_of(watch));
        let versions = known.map_or(0, |known| known.versions().count());
        let now = self.core.clock.now();
        let due_at = if turn.is_ahead(now) { now } else { turn.free_at(&trigger, watch) };
        if !turn.is_of(watch) {
            (turn.polled_at, turn.failures, turn.problem) = (None, 0, None);
        }
        let Turn { polled_at, failures, problem, .. } = turn;
        Ok(Some(WatchState { polled_at, due_at, failures, problem, versions }))
    }
}
