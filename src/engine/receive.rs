//! Receive: takes an incoming webhook from its bytes to published events.
//!
//! In: a request and the [`Receiver`] of its endpoint. Out: what became of each event, or the status
//! to answer with. It is answered well only after everything is stored.

use super::observe::Publishing;
use super::publish::Published;
use super::{Core, Engine, PublishError};
use crate::id::EventId;
use crate::incoming::known::{self, Decision, SkipReason};
use crate::incoming::replay::Memory;
use crate::incoming::{Incoming, Notice, ReceiveError, Receiver, hops};
use crate::observer::{Publisher, Transition};
use crate::storage::{Record, Recorded, StorageError};

/// How often a decision is made anew when another one comes in between.
const TRIES: usize = 8;

/// What became of one event of an incoming webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// It was published, or was known already.
    Published(Published),
    /// It is not told.
    Skipped {
        /// The id that it would have had.
        id: EventId,
        /// Why.
        reason: SkipReason,
    },
}

/// Why an incoming webhook was not taken, or not all of it. Those of its events that were published
/// are recognised when it comes again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IncomingError {
    /// The receiver refused it; nothing was stored. It will be refused again.
    #[error(transparent)]
    Refused(#[from] ReceiveError),
    /// An event of it could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Others changed what is known of the artifact all the time. It should come again.
    #[error("what is known of the artifact changed {TRIES} times in between")]
    Contended,
}

impl IncomingError {
    /// The HTTP status to answer with: one from 400 on that is final, or 503 if it should come
    /// again.
    pub fn status(&self) -> u16 {
        match self {
            Self::Refused(error) => error.status(),
            Self::Publish(PublishError::Invalid { .. }) => 400,
            Self::Publish(PublishError::Overloaded | PublishError::Storage(_))
            | Self::Contended => 503,
        }
    }
}

impl From<StorageError> for IncomingError {
    fn from(error: StorageError) -> Self {
        Self::Publish(error.into())
    }
}

impl Engine {
    /// Verifies, understands and publishes an incoming webhook. Answer it with 202 or another 2xx
    /// once this is `Ok`, else with the error's [`status`](IncomingError::status).
    ///
    /// A signed message that was taken before, whole, is a replay: it is answered like the first time,
    /// and each of its events is [skipped](SkipReason::Replayed). It is known as one for
    /// [as long](crate::signature::Fingerprint::span) as its time lets it be accepted, a day at most. One
    /// of which something could not be stored is taken anew when it comes again. Of two that arrive at
    /// once both may be taken: their events are recognised by their ids.
    ///
    /// # Errors
    /// [`IncomingError`].
    ///
    /// # Cancel safety
    /// If it is dropped, the first events may be published and the others not: the sender, who got
    /// no answer, tells all of it again, and those that are known are recognised.
    pub async fn receive(
        &self,
        receiver: &dyn Receiver,
        incoming: Incoming<'_>,
    ) -> Result<Vec<Received>, IncomingError> {
        let by = Publishing { by: Publisher::Receiver, since: self.core.clock.now() };
        let hops = hops(incoming.headers);
        let opened = receiver.check(incoming, by.since).and_then(|verified| {
            let notices = receiver.parse(verified, incoming.headers, by.since)?;
            Ok((verified.fingerprint(), notices))
        });
        let (fingerprint, notices) = opened.inspect_err(|error| {
            self.core.observers.tell(&Transition::ReceiveRefused { error });
        })?;
        self.core.observers.tell(&Transition::Received { events: notices.len() });
        let memory = fingerprint
            .zip(notices.first())
            .map(|(fingerprint, notice)| Memory::of(&fingerprint, &notice.event.scope, by.since));
        if let Some(memory) = &memory
            && memory.is_known(&self.core.storage.cursors(memory.keys()).await?)
        {
            return Ok(notices.iter().map(|notice| self.core.skipped(notice)).collect());
        }
        let mut taken = Vec::with_capacity(notices.len());
        // One after the other: each may say something about the next.
        for mut notice in notices {
            let told = &mut notice.event.correlation.hops;
            if told.len() < hops.len() {
                told.clone_from(&hops);
            }
            taken.push(self.core.take_in(notice, by).await?);
        }
        if let Some(memory) = &memory {
            self.core.remember(memory).await?;
        }
        Ok(taken)
    }
}

impl Core {
    /// An event of a message that was taken before.
    fn skipped(&self, notice: &Notice) -> Received {
        let (id, reason) = (notice.event.id, SkipReason::Replayed);
        self.observers.tell(&Transition::Skipped { event: id, reason });
        Received::Skipped { id, reason }
    }

    /// Remembers a message that was taken, whole.
    async fn remember(&self, memory: &Memory) -> Result<(), IncomingError> {
        for _ in 0..TRIES {
            let values = self.storage.cursors(memory.keys()).await?;
            if memory.is_known(&values) {
                return Ok(());
            }
            let record = Record::of_cursors(memory.moves(&values));
            match self.storage.record(vec![record]).await?.first() {
                Some(Recorded::CursorMoved) => {}
                _ => return Ok(()),
            }
        }
        Err(IncomingError::Contended)
    }

    /// Decides what follows from a notice and records it, anew if what is known changed in between.
    async fn take_in(&self, notice: Notice, by: Publishing) -> Result<Received, IncomingError> {
        for tried in 0..TRIES {
            let keys = known::keys(&notice);
            let values =
                if keys.is_empty() { Vec::new() } else { self.storage.cursors(keys).await? };
            let (event, cursors) = match known::decide(notice.clone(), &values) {
                Decision::Skip { reason } => {
                    let id = notice.event.id;
                    self.observers.tell(&Transition::Skipped { event: id, reason });
                    return Ok(Received::Skipped { id, reason });
                }
                Decision::Publish { event, cursors } => (*event, cursors),
            };
            let _room = self.room(1).await?;
            let addressed = [self.checked(event, by.by)?];
            let _bytes = self.room_for(&addressed).await?;
            let [addressed] = addressed;
            let mut record = self.record_of(addressed);
            record.cursors = cursors;
            let published = Published::of(&record).expect("it has an event");
            let records = vec![record];
            if tried == 0 {
                self.tell_accepted(&records, by);
            }
            match self.record(records, by).await?.first() {
                Some(Recorded::CursorMoved) => {}
                Some(recorded) => return Ok(Received::Published(published.after(*recorded))),
                None => unreachable!("one record gives one answer"),
            }
        }
        Err(IncomingError::Contended)
    }
}
