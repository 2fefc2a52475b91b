//! Receive: takes an incoming webhook from its bytes to published events.
//!
//! In: a request and the [`Receiver`] of its endpoint. Out: what became of each event, or the
//! status to answer with. It is answered well only after everything is stored.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "oidc")]
use super::key_sets;
use super::observe::Publishing;
use super::publish::Published;
use super::{Core, Engine, PublishError, inbox};
use crate::clock::Timestamp;
use crate::id::EventId;
use crate::incoming::known::{self, Decision, SkipReason, Undo};
use crate::incoming::replay::Memory;
use crate::incoming::{Answer, Incoming, Notice, ReceiveError, Receiver, hops};
use crate::observer::{Publisher, Transition};
#[cfg(feature = "oidc")]
use crate::signature::VerifyError;
use crate::signature::{Fingerprint, Verifier};
use crate::storage::{CursorMove, Record, Recorded, StorageError};

/// How often a decision is made anew when another one comes in between.
const TRIES: usize = 8;

/// After what span a request may come again that found too much under way.
const SOON: Duration = Duration::from_secs(1);
/// After what span a storage that failed may do better.
const STORAGE_BACK: Duration = Duration::from_secs(5);

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
    /// The issuer's keys could not be fetched, so that nobody knows who sent it. It should come
    /// again.
    #[cfg(feature = "oidc")]
    #[error("the issuer's keys: {reason}")]
    NoKeys {
        /// Why.
        reason: String,
    },
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
            #[cfg(feature = "oidc")]
            Self::NoKeys { .. } => 503,
        }
    }

    /// How long to wait before it comes again, to be told as `Retry-After`; `None` if coming again
    /// does not help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(_) | Self::Publish(PublishError::Invalid { .. }) => None,
            Self::Publish(PublishError::Overloaded) | Self::Contended => Some(SOON),
            Self::Publish(PublishError::Storage(_)) => Some(STORAGE_BACK),
            #[cfg(feature = "oidc")]
            Self::NoKeys { .. } => Some(key_sets::PAUSE),
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
    /// once this is `Ok`, else with the error's [`status`](IncomingError::status), or let
    /// [`answer`](Self::answer) do so. One that only asks whether anybody is there has no events.
    ///
    /// A signed message that was taken before, whole, is a replay: it is answered like the first
    /// time, and each of its events is [skipped](SkipReason::Replayed). It is known as one for
    /// [as long](crate::signature::Fingerprint::span) as its time lets it be accepted, a day at
    /// most. One of which something could not be stored is taken anew when it comes again. Of two
    /// that arrive at once both may be taken: their events are recognised by their ids.
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
        match self.take(None, receiver, incoming).await? {
            Taken::Events(events) => Ok(events),
            Taken::Handshake(_) => Ok(Vec::new()),
        }
    }

    /// Receives an incoming webhook as [`receive`](Self::receive) does, and says what to answer:
    /// 202 once it is stored, what the receiver [answers](Receiver::handshake) to one that only
    /// asks whether anybody is there, and problem details (RFC 9457) to one that is refused, with
    /// `Retry-After` if it should come again.
    ///
    /// # Cancel safety
    /// As [`receive`](Self::receive).
    pub async fn answer(&self, receiver: &dyn Receiver, incoming: Incoming<'_>) -> Answer {
        self.answer_at(None, receiver, incoming).await
    }

    /// As [`answer`](Self::answer), of what came to an endpoint of an inbox.
    pub(super) async fn answer_at(
        &self,
        endpoint: Option<&str>,
        receiver: &dyn Receiver,
        incoming: Incoming<'_>,
    ) -> Answer {
        match self.take(endpoint, receiver, incoming).await {
            Ok(Taken::Events(_)) => Answer::new(202),
            Ok(Taken::Handshake(answer)) => answer,
            Err(error) => inbox::refusal(&error),
        }
    }

    async fn take(
        &self,
        endpoint: Option<&str>,
        receiver: &dyn Receiver,
        incoming: Incoming<'_>,
    ) -> Result<Taken, IncomingError> {
        let by = Publishing { by: Publisher::Receiver, since: self.core.clock.now() };
        let tell_refused = |error: &ReceiveError| {
            self.core.observers.tell(&Transition::ReceiveRefused { endpoint, error });
        };
        let tell_received = |events| {
            self.core.observers.tell(&Transition::Received { endpoint, events });
        };
        #[cfg(feature = "oidc")]
        let with_keys = self.core.with_keys(receiver.verifier(), incoming.headers).await;
        #[cfg(feature = "oidc")]
        let with_keys = with_keys.inspect_err(|_| {
            tell_refused(&ReceiveError::NotVerified(VerifyError::NoKeySet));
        })?;
        #[cfg(feature = "oidc")]
        let verifier = with_keys.as_ref().unwrap_or(receiver.verifier());
        #[cfg(not(feature = "oidc"))]
        let verifier = receiver.verifier();
        let opened =
            Opened::of(receiver, verifier, incoming, by.since).inspect_err(tell_refused)?;
        let (fingerprint, notices) = match opened {
            Opened::Handshake(answer) => {
                tell_received(0);
                return Ok(Taken::Handshake(answer));
            }
            Opened::Notices { fingerprint, notices } => (fingerprint, notices),
        };
        tell_received(notices.len());
        let Some(first) = notices.first() else { return Ok(Taken::Events(Vec::new())) };
        let memory =
            fingerprint.map(|fingerprint| Memory::of(&fingerprint, &first.event.scope, by.since));
        // What is asked first of the storage is asked at once.
        let mut keys = memory.as_ref().map(Memory::keys).unwrap_or_default();
        let of_message = keys.len();
        let own_keys = known::keys(first);
        keys.extend_from_slice(&own_keys);
        let mut values = self.core.values(keys).await?;
        let of_first = (own_keys, values.split_off(of_message));
        if memory.as_ref().is_some_and(|memory| memory.is_known(&values)) {
            let skipped = notices.iter().map(|notice| self.core.skipped(notice));
            return Ok(Taken::Events(skipped.collect()));
        }
        let own_move = memory.as_ref().and_then(|memory| memory.own_move(&values));
        let hops = hops(incoming.headers);
        let taking = self.core.record_notices(notices, &hops, by, of_first, own_move).await?;
        if let Some(memory) = memory.filter(|_| !taking.is_remembered) {
            self.core.remember(&memory, values).await?;
        }
        Ok(Taken::Events(taking.events))
    }
}

/// What became of an incoming webhook that was not refused.
enum Taken {
    Events(Vec<Received>),
    Handshake(Answer),
}

/// The cursors that something is decided from, and their values.
type Known = (Vec<String>, Vec<Option<String>>);

/// What became of the events of a message, and whether it is remembered with the last of them.
struct Taking {
    events: Vec<Received>,
    is_remembered: bool,
}

/// A request that was verified and understood.
enum Opened {
    Notices { fingerprint: Option<Fingerprint>, notices: Vec<Notice> },
    Handshake(Answer),
}

impl Opened {
    fn of(
        receiver: &dyn Receiver,
        by: &Verifier,
        incoming: Incoming<'_>,
        now: Timestamp,
    ) -> Result<Self, ReceiveError> {
        let verified = receiver.check_by(by, incoming, now)?;
        if let Some(answer) = receiver.handshake(verified, incoming.headers) {
            return Ok(Self::Handshake(answer));
        }
        let notices = receiver.parse(verified, incoming.headers, now)?;
        Ok(Self::Notices { fingerprint: receiver.fingerprint(verified), notices })
    }
}

impl Core {
    /// Records notices one after the other: each may say something about the next. What is known
    /// of the first was read. With the last one a cursor is to be moved, unless it is not stored at
    /// once.
    async fn record_notices(
        &self,
        notices: Vec<Notice>,
        hops: &[String],
        by: Publishing,
        of_first: Known,
        mut with_last: Option<CursorMove>,
    ) -> Result<Taking, IncomingError> {
        let mut taking = Taking { events: Vec::with_capacity(notices.len()), is_remembered: false };
        let mut read = Some(of_first);
        let mut notices = notices.into_iter();
        while let Some(mut notice) = notices.next() {
            let told = &mut notice.event.correlation.hops;
            if told.len() < hops.len() {
                hops.clone_into(told);
            }
            let cursor = with_last.take_if(|_| notices.len() == 0);
            let notice = Box::new(notice);
            let (received, moved) = self.record_notice(notice, by, read.take(), cursor).await?;
            taking.events.push(received);
            taking.is_remembered = moved;
        }
        Ok(taking)
    }

    /// What is known of what a notice is about.
    async fn known_of(&self, notice: &Notice) -> Result<Known, StorageError> {
        let keys = known::keys(notice);
        let values = self.values(keys.clone()).await?;
        Ok((keys, values))
    }

    /// The values of cursors; the storage is asked only if there are any.
    async fn values(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let asked = keys.len();
        let values = self.storage.cursors(keys).await?;
        if values.len() == asked {
            return Ok(values);
        }
        let reason = format!("of {asked} cursors, {} are told", values.len());
        Err(StorageError::Corrupt { reason })
    }

    /// An event of a message that was taken before.
    fn skipped(&self, notice: &Notice) -> Received {
        let (id, reason) = (notice.event.id, SkipReason::Replayed);
        self.observers.tell(&Transition::Skipped { event: id, reason });
        Received::Skipped { id, reason }
    }

    /// Remembers a message that was taken, whole, from the values as they were before.
    async fn remember(
        &self,
        memory: &Memory,
        mut values: Vec<Option<String>>,
    ) -> Result<(), IncomingError> {
        for _ in 0..TRIES {
            let record = Record::of_cursors(memory.moves(&values));
            match self.storage.record(vec![record]).await?.first() {
                Some(Recorded::CursorMoved) => {}
                _ => return Ok(()),
            }
            values = self.storage.cursors(memory.keys()).await?;
            if memory.is_known(&values) {
                return Ok(());
            }
        }
        Err(IncomingError::Contended)
    }

    /// Decides what follows from a notice, from what was read of it, and records it, anew if what
    /// is known changed in between. The first time another cursor is to be moved with it; tells
    /// whether it was. The notice is boxed, since a future is moved with all that it holds.
    async fn record_notice(
        &self,
        mut notice: Box<Notice>,
        by: Publishing,
        mut read: Option<Known>,
        mut with: Option<CursorMove>,
    ) -> Result<(Received, bool), IncomingError> {
        for tried in 0..TRIES {
            let (keys, values) = match read.take() {
                Some(known) => known,
                None => self.known_of(&notice).await?,
            };
            let (id, undo) = (notice.event.id, Box::new(Undo::of(&notice)));
            let (event, cursors) = match known::decide_by(*notice, keys, &values) {
                Decision::Skip { reason } => {
                    self.observers.tell(&Transition::Skipped { event: id, reason });
                    return Ok((Received::Skipped { id, reason }, false));
                }
                Decision::Publish { event, cursors } => (event, cursors),
            };
            let _room = self.room(1).await?;
            let addressed = [self.checked(*event, by.by)?];
            let _bytes = self.room_for(&addressed).await?;
            let undecided = addressed.map(|one| self.undecided(one));
            let _alone = self.deciding.alone(&undecided).await;
            let mut record = self.decided(undecided.iter()).await?.remove(0);
            let moves_it = with.is_some();
            record.cursors.extend(cursors.into_iter().chain(with.take()));
            let published = Published::of(&record).expect("it has an event");
            let event = record.event.as_ref().map(|new| new.event.clone());
            let records = vec![record];
            if tried == 0 {
                self.tell_accepted(&records, by);
            }
            match self.record(records, by).await?.first() {
                Some(Recorded::CursorMoved) => {
                    let event = Arc::unwrap_or_clone(event.expect("it has an event"));
                    *notice = undo.notice(event);
                }
                Some(recorded) => {
                    let moved = moves_it && *recorded == Recorded::Stored;
                    return Ok((Received::Published(published.after(*recorded)), moved));
                }
                None => unreachable!("one record gives one answer"),
            }
        }
        Err(IncomingError::Contended)
    }
}
