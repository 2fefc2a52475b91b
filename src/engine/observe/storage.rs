//! The engine's storage: each call ends within a time, and failures are told.
//!
//! A call that does not answer in time is dropped, and counts as one to a storage that is
//! unavailable: it has taken effect or not, whole either way (rule 3 of [`Storage`]).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};

use super::Observers;
use crate::clock::{Clock, Timestamp};
use crate::delivery::Delivery;
use crate::event::Event;
use crate::id::DeliveryId;
use crate::observer::{StorageCall, Transition};
use crate::storage::{
    Backlog, Claim, Claims, DeliveryQuery, EventQuery, LoggedAttempt, Page, Prune, Pruned, Record,
    Recorded, Replay, Settle, Settled, Storage, StorageError, TriggerChange, TriggerWrite,
};

/// Does what the storage inside does, within a time, and tells of each call that fails.
#[derive(Debug)]
pub(in crate::engine) struct Overseen {
    pub(in crate::engine) inner: Arc<dyn Storage>,
    pub(in crate::engine) observers: Arc<Observers>,
    pub(in crate::engine) clock: Arc<dyn Clock>,
    /// How long a call may take.
    pub(in crate::engine) limit: Duration,
}

impl Overseen {
    async fn told<T>(
        &self,
        call: StorageCall,
        work: impl Future<Output = Result<T, StorageError>> + Send,
    ) -> Result<T, StorageError> {
        oversee(&self.observers, &*self.clock, self.limit, call, work).await
    }

    fn tell_unreadable(&self, call: StorageCall, unreadable: &[String]) {
        for reason in unreadable {
            let error = StorageError::Corrupt { reason: reason.clone() };
            self.observers.tell(&Transition::StorageFailed { call, error: &error });
        }
    }
}

/// Has a call end within a time, and tells if it fails.
pub(in crate::engine) async fn oversee<T>(
    observers: &Observers,
    clock: &dyn Clock,
    limit: Duration,
    call: StorageCall,
    work: impl Future<Output = Result<T, StorageError>> + Send,
) -> Result<T, StorageError> {
    let result = match select(std::pin::pin!(work), clock.sleep(limit)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => {
            let reason = format!("it did not answer within {limit:?}");
            Err(StorageError::Unavailable { reason })
        }
    };
    result.inspect_err(|error| match error {
        StorageError::Unavailable { .. } | StorageError::Corrupt { .. } => {
            observers.tell(&Transition::StorageFailed { call, error });
        }
        // These are answers.
        StorageError::Conflict { .. } | StorageError::NotFound { .. } => {}
    })
}

#[async_trait]
impl Storage for Overseen {
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        self.told(StorageCall::WriteTrigger, self.inner.write_trigger(write)).await
    }

    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        self.told(StorageCall::TriggerChanges, self.inner.trigger_changes(after, limit)).await
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        self.told(StorageCall::Record, self.inner.record(records)).await
    }

    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        self.told(StorageCall::Cursors, self.inner.cursors(keys)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError> {
        self.told(StorageCall::Claim, self.inner.claim(claim)).await
    }

    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        self.told(StorageCall::Settle, self.inner.settle(settlements, now)).await
    }

    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StorageError> {
        let page = self.told(StorageCall::Events, self.inner.events(query)).await?;
        self.tell_unreadable(StorageCall::Events, &page.unreadable);
        Ok(page)
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Page<Delivery>, StorageError> {
        let page = self.told(StorageCall::Deliveries, self.inner.deliveries(query)).await?;
        self.tell_unreadable(StorageCall::Deliveries, &page.unreadable);
        Ok(page)
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<LoggedAttempt>, StorageError> {
        self.told(StorageCall::Attempts, self.inner.attempts(delivery)).await
    }

    async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError> {
        self.told(StorageCall::Replay, self.inner.replay(replay)).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        self.told(StorageCall::Backlog, self.inner.backlog()).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StorageError> {
        self.told(StorageCall::Prune, self.inner.prune(prune)).await
    }
}
