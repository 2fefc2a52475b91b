//! A durable storage of your own: an append-only log of JSON lines, and maps in memory.
//!
//! It meets the numbered contract of [`Storage`], and each rule is cited where it is met: 1 to 3
//! here and in `journal.rs`, the others in `content.rs`. The log never shrinks; a storage for years
//! would write its maps into a new one from time to time.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::Delivery;
use artifact_triggers::event::Event;
use artifact_triggers::id::DeliveryId;
use artifact_triggers::storage::{
    Backlog, Claim, Claims, DeliveryQuery, EventQuery, LoggedAttempt, Page, Prune, Pruned, Record,
    Recorded, Replay, Settle, Settled, Storage, StorageError, TriggerChange, TriggerWrite,
};
use async_trait::async_trait;

use super::content::{Content, unavailable};
use super::journal::Journal;

/// Keeps everything in a log file, durable across a power cut. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct LogStorage {
    open: Arc<Mutex<Open>>,
}

#[derive(Debug)]
struct Open {
    content: Content,
    journal: Journal,
}

impl LogStorage {
    /// Opens the log, or begins one. Only one process can have it open.
    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let (journal, changes) = Journal::open(path.as_ref())?;
        let mut content = Content::default();
        for change in &changes {
            content.apply(change);
        }
        Ok(Self { open: Arc::new(Mutex::new(Open { content, journal })) })
    }

    /// Does one thing whole: decides on the maps, writes down what was changed, and then answers.
    ///
    /// Rule 1: what a method changed is one line of the log, there or not; and nobody else looks at
    /// the maps before it is.
    ///
    /// Rule 3: the work is not this future's, so it ends even if that is dropped. It also keeps the
    /// waiting for the disk away from the threads of the executor.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Content) -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let open = self.open.clone();
        let whole = move || {
            // After a panic in the midst of a change the maps hold what the log does not.
            let mut open = open.lock().map_err(|_| unavailable("it panicked; open it anew"))?;
            let Open { content, journal } = &mut *open;
            journal.check().map_err(|error| unavailable(&error))?;
            let answer = work(content);
            let changes = std::mem::take(&mut content.pending);
            if !changes.is_empty() {
                journal.append(&changes).map_err(|error| unavailable(&error))?;
            }
            Ok(answer)
        };
        tokio::task::spawn_blocking(whole).await.map_err(|error| unavailable(&error))?
    }
}

#[async_trait]
impl Storage for LogStorage {
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        self.run(|content| content.write_trigger(write)).await?
    }

    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        self.run(move |content| content.trigger_changes(after, limit)).await
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        self.run(|content| records.into_iter().map(|record| content.record(record)).collect()).await
    }

    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        self.run(move |content| keys.iter().map(|key| content.cursors.get(key).cloned()).collect())
            .await
    }

    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError> {
        self.run(move |content| content.claim(&claim)).await
    }

    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        self.run(move |content| {
            settlements.into_iter().map(|settle| content.settle(settle, now)).collect()
        })
        .await
    }

    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StorageError> {
        self.run(move |content| {
            let events = content.events.values().filter(|event| query.selects(event));
            let behind = events.filter(|event| query.after.is_none_or(|after| event.id > after));
            let page = behind.take(query.limit).map(|event| Event::clone(event));
            page.collect::<Vec<_>>().into()
        })
        .await
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Page<Delivery>, StorageError> {
        self.run(move |content| {
            let page = content.select(&query).take(query.limit).cloned();
            page.collect::<Vec<_>>().into()
        })
        .await
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<LoggedAttempt>, StorageError> {
        self.run(move |content| content.logs.get(&delivery).cloned().unwrap_or_default()).await
    }

    async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError> {
        self.run(move |content| content.replay(&replay)).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        self.run(|content| content.backlog()).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StorageError> {
        self.run(move |content| content.prune(&prune)).await
    }
}
