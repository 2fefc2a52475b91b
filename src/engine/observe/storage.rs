//! The engine's storage, whose failures are told.

use std::sync::Arc;

use async_trait::async_trait;

use super::Observers;
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::event::Event;
use crate::id::DeliveryId;
use crate::observer::{StorageCall, Transition};
use crate::storage::{
    Claim, Claims, DeliveryQuery, EventQuery, LoggedAttempt, Pruned, Record, Recorded, Replay,
    Settle, Settled, Storage, StorageError, TriggerChange, TriggerWrite,
};

/// Does what the storage inside does, and tells of each call that fails.
#[derive(Debug)]
pub(in crate::engine) struct Overseen {
    inner: Arc<dyn Storage>,
    observers: Arc<Observers>,
}

impl Overseen {
    pub(in crate::engine) fn new(inner: Arc<dyn Storage>, observers: Arc<Observers>) -> Self {
        Self { inner, observers }
    }

    fn told<T>(
        &self,
        call: StorageCall,
        result: Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        result.inspect_err(|error| match error {
            StorageError::Unavailable { .. } | StorageError::Corrupt { .. } => {
                self.observers.tell(&Transition::StorageFailed { call, error });
            }
            // These are answers.
            StorageError::Conflict { .. } | StorageError::NotFound { .. } => {}
        })
    }
}

#[async_trait]
impl Storage for Overseen {
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        self.told(StorageCall::WriteTrigger, self.inner.write_trigger(write).await)
    }

    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        self.told(StorageCall::TriggerChanges, self.inner.trigger_changes(after, limit).await)
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        self.told(StorageCall::Record, self.inner.record(records).await)
    }

    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        self.told(StorageCall::Cursors, self.inner.cursors(keys).await)
    }

    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError> {
        self.told(StorageCall::Claim, self.inner.claim(claim).await)
    }

    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        self.told(StorageCall::Settle, self.inner.settle(settlements, now).await)
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<Event>, StorageError> {
        self.told(StorageCall::Events, self.inner.events(query).await)
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Vec<Delivery>, StorageError> {
        self.told(StorageCall::Deliveries, self.inner.deliveries(query).await)
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<LoggedAttempt>, StorageError> {
        self.told(StorageCall::Attempts, self.inner.attempts(delivery).await)
    }

    async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError> {
        self.told(StorageCall::Replay, self.inner.replay(replay).await)
    }

    async fn prune(&self, before: Timestamp, limit: usize) -> Result<Pruned, StorageError> {
        self.told(StorageCall::Prune, self.inner.prune(before, limit).await)
    }
}
