//! An outbox in memory: the model, and for tests of what leaves events in one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use super::{Outbox, OutboxDone, OutboxEntry};
use crate::clock::{Clock, Timestamp};
use crate::entropy::{Entropy as _, OsEntropy};
use crate::event::Event;
use crate::storage::StorageError;

/// Keeps entries in memory. Clones share them, and each is a taker of its own.
#[derive(Debug)]
pub struct MemoryOutbox {
    content: Arc<Mutex<Content>>,
    clock: Arc<dyn Clock>,
    /// What the keys of its entries begin with.
    origin: [u8; 8],
    /// Which taker it is.
    taker: u64,
}

#[derive(Debug, Default)]
struct Content {
    last: u64,
    entries: BTreeMap<u64, Vec<u8>>,
    refused: Vec<(Vec<u8>, String)>,
    /// Who has the lease, and until when.
    lease: Option<(u64, Timestamp)>,
}

/// Tells takers apart.
static TAKERS: AtomicU64 = AtomicU64::new(0);

impl MemoryOutbox {
    /// An empty one, whose leases go by a clock.
    pub fn new(clock: impl Clock) -> Self {
        let mut origin = [0; 8];
        OsEntropy.fill(&mut origin);
        let (content, clock) = (Arc::default(), Arc::new(clock));
        Self { content, clock, origin, taker: next_taker() }
    }

    /// Leaves an event.
    pub fn leave(&self, event: &Event) {
        self.leave_json(event.to_json());
    }

    /// Leaves what should be the JSON of an event.
    pub fn leave_json(&self, json: impl Into<Vec<u8>>) {
        let mut content = self.lock();
        content.last += 1;
        let position = content.last;
        content.entries.insert(position, json.into());
    }

    /// How many wait to be published.
    pub fn waiting(&self) -> usize {
        self.lock().entries.len()
    }

    /// What was set aside, each with the reason.
    pub fn refused(&self) -> Vec<(Vec<u8>, String)> {
        self.lock().refused.clone()
    }

    fn entry(&self, position: u64, json: Vec<u8>) -> OutboxEntry {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.origin);
        key[8..].copy_from_slice(&position.to_be_bytes());
        OutboxEntry { position, key, json }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("no code panics while it holds the content")
    }
}

fn next_taker() -> u64 {
    TAKERS.fetch_add(1, Ordering::Relaxed)
}

impl Clone for MemoryOutbox {
    fn clone(&self) -> Self {
        let (content, clock) = (self.content.clone(), self.clock.clone());
        Self { content, clock, origin: self.origin, taker: next_taker() }
    }
}

#[async_trait]
impl Outbox for MemoryOutbox {
    async fn take(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxEntry>, StorageError> {
        let now = self.clock.now();
        let mut content = self.lock();
        let is_of_another = |(taker, until): (u64, Timestamp)| taker != self.taker && now < until;
        if content.entries.is_empty() || content.lease.is_some_and(is_of_another) {
            return Ok(Vec::new());
        }
        content.lease = Some((self.taker, now + lease));
        let first = content.entries.iter().take(limit);
        Ok(first.map(|(position, json)| self.entry(*position, json.clone())).collect())
    }

    async fn done(&self, done: Vec<OutboxDone>) -> Result<(), StorageError> {
        let mut content = self.lock();
        for OutboxDone { position, refused } in done {
            let removed = content.entries.remove(&position);
            content.refused.extend(removed.zip(refused));
        }
        content.lease = content.lease.filter(|(taker, _)| *taker != self.taker);
        Ok(())
    }
}
