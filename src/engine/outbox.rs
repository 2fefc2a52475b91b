//! Outbox: publishes what transactions of the embedder's own left there.
//!
//! In: entries, under a lease that keeps other nodes from overtaking. Out: events in the storage,
//! and word to the outbox of what is done. A crash between the two is harmless: taken again, an
//! event has the id that it had.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Mutex, Notify};

use super::observe::{Publishing, oversee};
use super::publish::Addressed;
use super::run::{FIRST_PAUSE, LONGEST_PAUSE};
use super::{Core, Engine, PublishError};
use crate::clock::Timestamp;
use crate::document::Problems;
use crate::observer::{Publisher, StorageCall, Transition};
use crate::outbox::{Outbox, OutboxDone, OutboxEntry};
use crate::storage::StorageError;

/// The most entries that are taken at once.
const BATCH: usize = 256;

/// An outbox and who works at it.
#[derive(Debug)]
pub(super) struct Source {
    outbox: Arc<dyn Outbox>,
    /// Held by the one `run` that takes entries.
    turn: Mutex<()>,
    hint: Notify,
}

impl Source {
    pub(super) fn new(outbox: Arc<dyn Outbox>) -> Self {
        Self { outbox, turn: Mutex::new(()), hint: Notify::new() }
    }
}

impl Engine {
    /// Says that something was left in the [outbox](super::EngineBuilder::outbox), so that it is
    /// looked for at once. For who has committed a transaction in the same process; without it, it
    /// is found within the [interval](super::EngineOptions::outbox_interval).
    pub fn wake_outbox(&self) {
        if let Some(source) = &self.core.outbox {
            source.hint.notify_one();
        }
    }
}

/// What came of a look.
enum Look {
    /// Something was there, and is done.
    Found,
    /// Nothing was there, or it is not the time.
    Nothing,
    /// The outbox or the storage failed, or the engine has too much to do.
    Failed,
}

/// Publishes what is left in the outbox until the engine ends. Of several, one does; another goes
/// on if that one is dropped.
pub(super) async fn follow(core: &Core) {
    let Some(source) = &core.outbox else { return };
    let (turn, ending) = (pin!(source.turn.lock()), pin!(core.until_ending()));
    let Either::Left((_turn, _)) = select(turn, ending).await else { return };
    // An outbox that does not answer must not keep the process from ending.
    select(pin!(core.follow_outbox(source)), pin!(core.until_ended(LONGEST_PAUSE))).await;
}

impl Core {
    async fn follow_outbox(&self, source: &Source) {
        let mut pause = FIRST_PAUSE;
        while self.ending_at().is_none() {
            let look = self.look(source).await;
            if let Look::Failed = look {
                self.observers.tell(&Transition::BackedOff { pause });
                select(self.clock.sleep(pause), pin!(self.until_ending())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            pause = FIRST_PAUSE;
            if let Look::Nothing = look {
                self.until_looked_for(source, self.options.outbox_interval).await;
            }
        }
        // Whoever comes next need not wait for the lease; if this fails, they do.
        let _ = self.end_taking(source, Vec::new()).await;
    }

    async fn look(&self, source: &Source) -> Look {
        // A drain takes nothing new in: it is as safe where it is.
        if self.due_by.borrow().is_some() {
            return Look::Nothing;
        }
        let (left, end) = (pin!(self.publish_left(source)), pin!(self.until_ended(Duration::ZERO)));
        match select(left, end).await {
            Either::Left((Ok(true), _)) => Look::Found,
            Either::Left((Ok(false), _)) | Either::Right(_) => Look::Nothing,
            Either::Left((Err(_), _)) => Look::Failed,
        }
    }

    /// Publishes the first entries that are left, if there are any.
    async fn publish_left(&self, source: &Source) -> Result<bool, PublishError> {
        let by = Publishing { by: Publisher::Outbox, since: self.clock.now() };
        let limit = BATCH.min(self.options.publishing);
        let take = source.outbox.take(limit, self.options.lease);
        let taken = self.oversee_outbox(StorageCall::OutboxTake, take).await?;
        if taken.is_empty() {
            return Ok(false);
        }
        let (mut good, mut refused, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for entry in taken {
            let position = entry.position;
            done.push(match self.checked_entry(&entry, by) {
                Ok(addressed) => {
                    good.push(addressed);
                    OutboxDone::published(position)
                }
                Err(problems) => {
                    let reason = problems.to_string();
                    refused.push((position, problems));
                    OutboxDone::refused(position, reason)
                }
            });
        }
        if !good.is_empty() {
            let _room = self.room(good.len()).await?;
            self.publish_addressed(good, by).await?;
        }
        self.end_taking(source, done).await?;
        for (position, problems) in &refused {
            let position = *position;
            self.observers.tell(&Transition::OutboxRefused { position, problems });
        }
        Ok(true)
    }

    fn checked_entry(&self, entry: &OutboxEntry, by: Publishing) -> Result<Addressed, Problems> {
        match self.checked(entry.event(by.since)?, by.by) {
            Ok(addressed) => Ok(addressed),
            Err(PublishError::Invalid { problems, .. }) => Err(problems),
            Err(other) => Err(Problems::of(other.to_string())),
        }
    }

    async fn oversee_outbox<T>(
        &self,
        call: StorageCall,
        work: impl Future<Output = Result<T, StorageError>> + Send,
    ) -> Result<T, StorageError> {
        let limit = self.options.longest_call();
        oversee(&self.observers, &*self.clock, limit, call, work).await
    }

    async fn end_taking(&self, source: &Source, done: Vec<OutboxDone>) -> Result<(), PublishError> {
        Ok(self.oversee_outbox(StorageCall::OutboxDone, source.outbox.done(done)).await?)
    }

    /// Waits for a span, unless there is reason to look sooner or the engine ends.
    async fn until_looked_for(&self, source: &Source, span: Duration) {
        let hint = pin!(source.hint.notified());
        select(select(self.clock.sleep(span), hint), pin!(self.until_ending())).await;
    }

    fn ending_at(&self) -> Option<Timestamp> {
        *self.signal.borrow()
    }

    pub(super) async fn until_ending(&self) {
        // The sender lives in the core, so waiting cannot fail.
        let _ = self.signal.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until the engine should have ended for a span.
    async fn until_ended(&self, span: Duration) {
        self.until_ending().await;
        let left = self.ending_at().map(|end| (end + span).since(self.clock.now()));
        self.clock.sleep(left.unwrap_or_default()).await;
    }
}
