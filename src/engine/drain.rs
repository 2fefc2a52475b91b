//! Drain: works off what is due, and ends.

use std::time::Duration;

use serde::Serialize;

use super::{Core, Engine};
use crate::clock::Timestamp;
use crate::storage::{Backlog, StorageError};

/// How often it looks whether anything is left, at most.
const LOOK: Duration = Duration::from_millis(100);

/// What a [drain](Engine::drain) has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Drained {
    /// Whether everything that was due as it began was attempted, and what came of it written down.
    pub is_complete: bool,
    /// What waits now, by endpoint: what was not attempted in time, is to be tried again later,
    /// waits for others of its batch, or was published meanwhile; or what other nodes attempt.
    pub left: Vec<Backlog>,
}

impl Engine {
    /// Works off what is due in the storage now, whoever published it, then ends as
    /// [`shutdown`](Self::shutdown) does, which does not wait for what is not begun. For a node
    /// that is taken from work, and before a storage in memory is given up.
    ///
    /// Events can be published throughout, and are stored; this engine begins nothing that came due
    /// after the call, neither those nor what is tried again, what is queued in an order, put off
    /// by a `scope_rate`, or waits for others of a batch. It does not wait for endpoints that are
    /// paused. At the limit what is in flight is given back. Without a [`run`](Self::run) nothing
    /// is worked off.
    ///
    /// # Errors
    /// The storage's, if it does not tell what is left. The runs have ended all the same.
    ///
    /// # Cancel safety
    /// If it is dropped, the engine goes on as before, unless it was ending already.
    pub async fn drain(&self, limit: Duration) -> Result<Drained, StorageError> {
        let core = &self.core;
        let begun = core.clock.now();
        let deadline = begun + limit;
        let _only_due = OnlyDue::begin(core, begun);
        let is_done = core.until_drained(begun, deadline).await;
        self.shutdown(deadline.since(core.clock.now())).await;
        let left = core.storage.backlog().await?;
        let is_complete = is_done && left.iter().all(|waiting| waiting.oldest_due > begun);
        Ok(Drained { is_complete, left })
    }
}

/// Has nothing claimed that came due after a time, as long as it lives.
struct OnlyDue<'a>(&'a Core);

impl<'a> OnlyDue<'a> {
    fn begin(core: &'a Core, at: Timestamp) -> Self {
        core.due_by.send_replace(Some(at));
        core.wake();
        Self(core)
    }
}

impl Drop for OnlyDue<'_> {
    fn drop(&mut self) {
        self.0.due_by.send_replace(None);
        self.0.wake();
    }
}

impl Core {
    /// By when what is claimed now has to have come due.
    pub(super) fn due_by(&self, now: Timestamp) -> Timestamp {
        self.due_by.borrow().map_or(now, |at| at.min(now))
    }

    /// Waits until nothing is left that was due at a time; false if something is at the deadline.
    async fn until_drained(&self, begun: Timestamp, deadline: Timestamp) -> bool {
        loop {
            let asked_at = self.clock.now();
            let is_idle = self.observers.tally.in_flight() == 0;
            let is_done = is_idle && self.is_nothing_due(begun).await;
            let now = self.clock.now();
            if is_done || now >= deadline || *self.runs.borrow() == 0 {
                return is_done;
            }
            // A long backlog takes long to count.
            let pause = LOOK.max(now.since(asked_at) * 4);
            self.clock.sleep(pause.min(deadline.since(now))).await;
        }
    }

    async fn is_nothing_due(&self, at: Timestamp) -> bool {
        let paused = self.gate.paused();
        let waits = |one: &Backlog| {
            one.oldest_due <= at && !paused.all && !paused.endpoints.contains(&one.endpoint)
        };
        self.storage.backlog().await.is_ok_and(|all| !all.iter().any(waits))
    }
}
