//! The faults, each where the call that has it passes through.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{
    CancelReason, Claimed, DeadReason, Delivery, Lease, Settlement, State, StateName,
};
use artifact_triggers::event::{Event, Scope};
use artifact_triggers::id::{DeliveryId, OrderingKey};
use artifact_triggers::storage::{
    Backlog, Claim, ClaimOf, Claims, CursorMove, DeliveryQuery, EventQuery, LoggedAttempt,
    MemoryStorage, Page, Prune, Pruned, Record, Recorded, Replay, Settle, Settled, Storage,
    StorageError, TriggerChange, TriggerState, TriggerWrite,
};
use async_trait::async_trait;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    DeliveriesLater,
    DuplicatesStored,
    CursorsNotCompared,
    LeasesGivenTwice,
    QuotasIgnored,
    MessagesRenamed,
    TokensIgnored,
    FollowingForgotten,
    RevisionsIgnored,
    DeletionsUntold,
    PagesByOffset,
    OrderIgnored,
    BytesIgnored,
    ReplayTakesLive,
    PruneTakesLeased,
    BacklogWithoutLeased,
    SupersededStays,
}

/// The model with a fault. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Faulty {
    fault: Fault,
    inner: MemoryStorage,
    seen: Arc<Seen>,
}

/// What a fault needs to know of the calls before.
#[derive(Debug, Default)]
struct Seen {
    /// The latest lease of each delivery.
    leases: Mutex<HashMap<DeliveryId, Lease>>,
    /// How many claims are under way, and what the last of them gave.
    claiming: AtomicUsize,
    given: Mutex<Vec<Claimed>>,
    /// How many deliveries stood before the end of a page when it was told.
    offsets: Mutex<BTreeMap<DeliveryId, usize>>,
}

impl Faulty {
    pub(crate) fn with(fault: Fault) -> Self {
        Self { fault, inner: MemoryStorage::new(), seen: Arc::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    async fn all(&self) -> Vec<Delivery> {
        let all = DeliveryQuery::of_scope(Scope::root()).with_limit(usize::MAX);
        self.inner.deliveries(all).await.unwrap().items
    }

    /// Settles a delivery, whoever has it.
    async fn end(&self, id: DeliveryId, settlement: Settlement, now: Timestamp) {
        let lease = self.seen.leases.lock().unwrap().get(&id).copied();
        let Some(lease) = lease else { return };
        let settle = Settle { lease, settlement, attempts: Vec::new(), records: Vec::new() };
        self.inner.settle(vec![settle], now).await.unwrap();
    }

    async fn compared_with_nothing(&self, record: &mut Record) {
        for moved in &mut record.cursors {
            if let CursorMove::Set { key, expected, .. } = moved {
                *expected = self.inner.cursors(vec![key.clone()]).await.unwrap().remove(0);
            }
        }
    }

    async fn store(&self, mut record: Record) -> Recorded {
        match self.fault {
            Fault::CursorsNotCompared => self.compared_with_nothing(&mut record).await,
            Fault::OrderIgnored => {
                for (delivery, _) in &mut record.deliveries {
                    if let Some(turn) = &mut delivery.turn {
                        let id = delivery.id.as_bytes();
                        turn.key = OrderingKey::derived(delivery.created_at, &[id]);
                    }
                }
            }
            _ => {}
        }
        if self.has(Fault::SupersededStays) {
            record.supersedes.clear();
        }
        let without_event = Record { event: None, ..record.clone() };
        if self.has(Fault::DeliveriesLater) {
            record.deliveries.clear();
        }
        let answer = self.inner.record(vec![record]).await.unwrap()[0];
        let again = Record { cursors: Vec::new(), ..without_event };
        if self.has(Fault::DeliveriesLater) && answer == Recorded::Stored {
            tokio::task::yield_now().await;
            self.inner.record(vec![again]).await.unwrap();
        } else if self.has(Fault::DuplicatesStored) && answer == Recorded::Duplicate {
            let again = Record { supersedes: Vec::new(), ..again };
            self.inner.record(vec![again]).await.unwrap();
        }
        answer
    }

    /// What the claim that is under way at the same time gave goes to this one as well.
    async fn give_twice(&self, claims: &mut Claims, limit: usize) {
        let own = claims.deliveries.clone();
        let before = std::mem::replace(&mut *self.seen.given.lock().unwrap(), own);
        let others = self.seen.claiming.fetch_add(1, Ordering::SeqCst);
        let _under_way = UnderWay(&self.seen.claiming);
        // Until another comes, if there is one.
        for _ in 0..100 {
            if self.seen.claiming.load(Ordering::SeqCst) > 1 {
                break;
            }
            tokio::task::yield_now().await;
        }
        if others > 0 {
            let room = limit.saturating_sub(claims.deliveries.len());
            let unordered = before.into_iter().filter(|claimed| claimed.delivery.turn.is_none());
            claims.deliveries.extend(unordered.take(room));
        }
    }
}

/// A claim that is under way, until it has answered or is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Storage for Faulty {
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        let answer = self.inner.write_trigger(write.clone()).await;
        match (write, &answer) {
            (TriggerWrite::Update(trigger), Err(StorageError::Conflict { .. }))
                if self.has(Fault::RevisionsIgnored) =>
            {
                self.inner.write_trigger(TriggerWrite::Delete(trigger.id)).await?;
                self.inner.write_trigger(TriggerWrite::Create(trigger)).await
            }
            _ => answer,
        }
    }

    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        let mut changes = self.inner.trigger_changes(after, limit).await?;
        if self.has(Fault::DeletionsUntold) {
            changes.retain(|change| change.trigger != TriggerState::Deleted);
        }
        Ok(changes)
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        // A task of its own, so that it ends even if this future is dropped.
        let own = self.clone();
        let stored = tokio::spawn(async move {
            let mut answers = Vec::new();
            for record in records {
                answers.push(own.store(record).await);
            }
            answers
        });
        Ok(stored.await.unwrap())
    }

    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        self.inner.cursors(keys).await
    }

    async fn claim(&self, mut claim: Claim) -> Result<Claims, StorageError> {
        let limit = claim.limit;
        if self.has(Fault::QuotasIgnored) {
            claim.per_endpoint = usize::MAX;
            claim.quotas.retain(|(_, quota)| *quota == 0);
        }
        if let (ClaimOf::Companions(all), Fault::BytesIgnored) = (&mut claim.of, self.fault) {
            for asked in all {
                asked.max_bytes = usize::MAX;
            }
        }
        let mut claims = self.inner.claim(claim).await?;
        if self.has(Fault::LeasesGivenTwice) {
            self.give_twice(&mut claims, limit).await;
        }
        for claimed in &mut claims.deliveries {
            self.seen.leases.lock().unwrap().insert(claimed.lease.delivery, claimed.lease);
            if self.has(Fault::MessagesRenamed) {
                claimed.delivery.message_id = claimed.delivery.message_id.next();
            }
        }
        Ok(claims)
    }

    async fn settle(
        &self,
        mut settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        for settle in &mut settlements {
            if self.has(Fault::FollowingForgotten) {
                settle.records.clear();
            }
            if self.has(Fault::TokensIgnored) {
                let leases = self.seen.leases.lock().unwrap();
                settle.lease = leases.get(&settle.lease.delivery).copied().unwrap_or(settle.lease);
            }
        }
        self.inner.settle(settlements, now).await
    }

    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StorageError> {
        self.inner.events(query).await
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Page<Delivery>, StorageError> {
        if !self.has(Fault::PagesByOffset) {
            return self.inner.deliveries(query).await;
        }
        let offset = query.after.and_then(|id| self.seen.offsets.lock().unwrap().get(&id).copied());
        let all = self.all().await;
        let selected: Vec<_> = all.into_iter().filter(|delivery| query.selects(delivery)).collect();
        let behind = |delivery: &Delivery| query.after.is_none_or(|after| delivery.id > after);
        let begin = offset.or_else(|| selected.iter().position(behind)).unwrap_or(selected.len());
        let page: Vec<_> = selected.into_iter().skip(begin).take(query.limit).collect();
        if let Some(last) = page.last() {
            self.seen.offsets.lock().unwrap().insert(last.id, begin + page.len());
        }
        Ok(page.into())
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<LoggedAttempt>, StorageError> {
        self.inner.attempts(delivery).await
    }

    async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError> {
        if self.has(Fault::ReplayTakesLive) {
            let to_be_retried = self.all().await.into_iter().filter(|delivery| {
                delivery.attempts > 0 && delivery.state.name() == StateName::Waiting
            });
            for delivery in to_be_retried {
                let taken = Claim {
                    now: replay.now,
                    due_by: Timestamp::MAX,
                    lease: Duration::ZERO,
                    limit: 1,
                    per_endpoint: 1,
                    quotas: Vec::new(),
                    of: ClaimOf::One(delivery.id),
                };
                self.claim(taken).await?;
                let dead = Settlement::Dead(DeadReason::Exhausted);
                self.end(delivery.id, dead, Timestamp::MIN).await;
            }
        }
        self.inner.replay(replay).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        let mut backlog = self.inner.backlog().await?;
        if self.has(Fault::BacklogWithoutLeased) {
            let all = self.all().await;
            for of in &mut backlog {
                let leased = all.iter().filter(|delivery| {
                    delivery.endpoint == of.endpoint
                        && matches!(delivery.state, State::Leased { .. })
                });
                of.deliveries -= leased.count() as u64;
            }
        }
        Ok(backlog)
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StorageError> {
        if self.has(Fault::PruneTakesLeased) && prune.contents_before.is_none() {
            let all = self.all().await.into_iter();
            for delivery in all.filter(|one| one.state.name() == StateName::Leased) {
                self.end(
                    delivery.id,
                    Settlement::Cancelled(CancelReason::Discarded),
                    Timestamp::MIN,
                )
                .await;
            }
        }
        self.inner.prune(prune).await
    }
}
