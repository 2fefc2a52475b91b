//! History: what was told and what came of it; replay of what failed.

use std::time::Duration;

use super::{Core, Engine};
use crate::delivery::Delivery;
use crate::event::{Event, Scope};
use crate::id::{DeliveryId, EventId};
use crate::observer::Transition;
use crate::storage::{
    Backlog, DeliveryQuery, EventQuery, Fate, LoggedAttempt, Replay, StorageError,
};

impl Engine {
    /// A page of events, oldest id first. One that cannot be read is left out, and told to
    /// observers.
    ///
    /// # Errors
    /// The storage's.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<Event>, StorageError> {
        Ok(self.core.storage.events(query).await?.items)
    }

    /// A page of deliveries, oldest id first. One that cannot be read is left out, and told to
    /// observers.
    ///
    /// # Errors
    /// The storage's.
    pub async fn deliveries(&self, query: DeliveryQuery) -> Result<Vec<Delivery>, StorageError> {
        Ok(self.core.storage.deliveries(query).await?.items)
    }

    /// The event of an id, if it is at or below the scope. `None` also if it cannot be read.
    ///
    /// # Errors
    /// The storage's.
    pub async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, StorageError> {
        let query = EventQuery::of_scope(scope.clone()).with_id(id).with_limit(1);
        Ok(self.events(query).await?.pop())
    }

    /// The delivery of an id, if its trigger is at or below the scope. `None` also if it cannot be
    /// read.
    ///
    /// # Errors
    /// The storage's.
    pub async fn delivery(
        &self,
        scope: &Scope,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StorageError> {
        let query = DeliveryQuery::of_scope(scope.clone()).with_id(id).with_limit(1);
        Ok(self.deliveries(query).await?.pop())
    }

    /// The log of a delivery, oldest first; empty if it is not at or below the scope.
    ///
    /// # Errors
    /// The storage's.
    pub async fn attempts(
        &self,
        scope: &Scope,
        delivery: DeliveryId,
    ) -> Result<Vec<LoggedAttempt>, StorageError> {
        if self.delivery(scope, delivery).await?.is_none() {
            return Ok(Vec::new());
        }
        self.core.storage.attempts(delivery).await
    }

    /// Tries dead and parked deliveries of a selection again, at once, with their message ids and
    /// bodies as they were, and a new schedule. Takes as many as the query's limit, in the order of
    /// ids, and answers with those taken. For the next ones ask behind the last of them
    /// ([`DeliveryQuery::with_after`]): one that failed again would be taken again.
    ///
    /// # Errors
    /// The storage's.
    pub async fn replay(&self, query: DeliveryQuery) -> Result<Vec<DeliveryId>, StorageError> {
        let now = self.core.clock.now();
        let fate = Fate::Again { due: now, spacing: Duration::ZERO, new_message_ids: false };
        let replay = Replay { query, unchanged_since: None, now, fate };
        self.core.replay(replay).await
    }

    /// Discards dead and parked deliveries of a selection: they become cancelled, and hold up
    /// nobody in their [order](crate::delivery::Order) any more. Takes as many as the query's
    /// limit, in the order of ids, and answers with those taken.
    ///
    /// # Errors
    /// The storage's.
    pub async fn discard(&self, query: DeliveryQuery) -> Result<Vec<DeliveryId>, StorageError> {
        let (now, fate) = (self.core.clock.now(), Fate::Discarded);
        let replay = Replay { query, unchanged_since: None, now, fate };
        self.core.replay(replay).await
    }

    /// What waits for each endpoint, and since when the oldest of it is due.
    ///
    /// # Errors
    /// The storage's.
    pub async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        self.core.storage.backlog().await
    }
}

impl Core {
    /// Replays or discards a selection, and wakes who may deliver what is due now.
    pub(super) async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError> {
        let is_again = replay.fate != Fate::Discarded;
        let taken = self.storage.replay(replay).await?;
        if !taken.is_empty() {
            if is_again {
                self.observers.tell(&Transition::Replayed { deliveries: &taken });
            }
            self.wake();
        }
        Ok(taken)
    }
}
