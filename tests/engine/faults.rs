//! A storage that fails, before or after it has written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Delivery, StateName};
use artifact_triggers::engine::EngineOptions;
use artifact_triggers::event::{Event, Scope};
use artifact_triggers::id::EventId;
use artifact_triggers::storage::{
    Claim, Claims, DeliveryQuery, EventQuery, LoggedAttempt, MemoryStorage, Pruned, Record,
    Recorded, Replay, Settle, Settled, Storage, StorageError, TriggerChange, TriggerWrite,
};
use async_trait::async_trait;

use crate::bench::*;

/// A storage that is out of order for a while, before or after it has written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unreliable {
    inner: MemoryStorage,
    calls: Arc<AtomicU32>,
}

impl Unreliable {
    /// Whether this call fails, and whether after it was carried out.
    fn fault(&self) -> (bool, bool) {
        // Scattered, but the same in every run (Knuth's multiplicative hash).
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let scattered = call.wrapping_mul(2_654_435_769) >> 24;
        (scattered < 60, (60..120).contains(&scattered))
    }

    async fn through<T>(
        &self,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let lost = || Err(StorageError::Unavailable { reason: "on purpose".to_owned() });
        let (before, after) = self.fault();
        if before {
            return lost();
        }
        let result = call.await;
        if after { lost() } else { result }
    }
}

#[async_trait]
impl Storage for Unreliable {
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        self.inner.write_trigger(write).await
    }
    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        self.inner.trigger_changes(after, limit).await
    }
    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        self.through(self.inner.record(records)).await
    }
    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        self.through(self.inner.cursors(keys)).await
    }
    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError> {
        self.through(self.inner.claim(claim)).await
    }
    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        self.through(self.inner.settle(settlements, now)).await
    }
    async fn events(&self, query: EventQuery) -> Result<Vec<Event>, StorageError> {
        self.inner.events(query).await
    }
    async fn deliveries(&self, query: DeliveryQuery) -> Result<Vec<Delivery>, StorageError> {
        self.inner.deliveries(query).await
    }
    async fn attempts(
        &self,
        delivery: artifact_triggers::id::DeliveryId,
    ) -> Result<Vec<LoggedAttempt>, StorageError> {
        self.inner.attempts(delivery).await
    }
    async fn replay(
        &self,
        replay: Replay,
    ) -> Result<Vec<artifact_triggers::id::DeliveryId>, StorageError> {
        self.inner.replay(replay).await
    }
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<Pruned, StorageError> {
        self.inner.prune(before, limit).await
    }
}

#[tokio::test]
async fn a_storage_that_fails_before_or_after_writing_loses_no_event() {
    let options = EngineOptions::default().with_concurrency(4);
    let bench = bench_on(Unreliable::default(), Script::statuses([200]), options).await;
    bench.trigger(webhook("t")).await;
    let mut acknowledged: Vec<EventId> = Vec::new();
    for n in 0..30 {
        let event = event(&format!("a{n}"));
        while bench.engine.publish(event.clone()).await.is_err() {}
        acknowledged.push(event.id);
    }
    bench.work(Duration::from_secs(3_600)).await;
    let query = DeliveryQuery::of_scope(Scope::root()).with_state(StateName::Delivered);
    let delivered = bench.engine.deliveries(query).await.unwrap();
    let mut events: Vec<EventId> = delivered.iter().map(|d| d.event).collect();
    events.sort_unstable();
    acknowledged.sort_unstable();
    assert_eq!(events, acknowledged);
}
