//! A storage that fails, before or after it has written.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::{Clock as _, ManualClock, Timestamp};
use artifact_triggers::delivery::{
    CancelReason, Delivery, DeliveryPolicy, OnDead, Order, RetrySchedule, State, StateName,
};
use artifact_triggers::endpoint::{EndpointPolicy, Rate};
use artifact_triggers::engine::EngineOptions;
use artifact_triggers::event::{Event, Scope};
use artifact_triggers::id::EventId;
use artifact_triggers::storage::{
    Backlog, Claim, Claims, DeliveryQuery, EventQuery, LoggedAttempt, MemoryStorage, Page, Prune,
    Pruned, Record, Recorded, Replay, Settle, Settled, Storage, StorageError, TriggerChange,
    TriggerState, TriggerWrite,
};
use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};

use crate::bench::*;

/// A storage that is out of order for a while, before or after it has written.
#[derive(Debug, Clone)]
pub(crate) struct Unreliable {
    inner: MemoryStorage,
    calls: Arc<AtomicU32>,
    /// Updates of triggers are written at once, and answered as long as this is open.
    updates: Arc<Semaphore>,
    /// Claims are made at once, and answered as long as this is open.
    claims: Arc<Semaphore>,
    /// Events are stored as long as this is open.
    events: Arc<Semaphore>,
    /// What goes on by a tenth of a second for each page of events that is read.
    slow: Arc<Mutex<Option<ManualClock>>>,
    /// Whether it is in order all the time.
    reliable: bool,
    /// The call at which the process dies, and whether once it was carried out: no answer comes
    /// from then on.
    dies_at: Option<(u32, bool)>,
    /// Whether calls wait.
    stuck: Arc<watch::Sender<bool>>,
    /// Whether no event can be read.
    damaged: bool,
    /// The name of triggers that cannot be read.
    unreadable: Arc<Mutex<Option<String>>>,
}

impl Default for Unreliable {
    fn default() -> Self {
        let open = || Arc::new(Semaphore::new(1));
        Self {
            inner: MemoryStorage::new(),
            calls: Arc::default(),
            updates: open(),
            claims: open(),
            events: open(),
            slow: Arc::default(),
            reliable: false,
            dies_at: None,
            stuck: Arc::new(watch::Sender::new(false)),
            damaged: false,
            unreadable: Arc::default(),
        }
    }
}

impl Unreliable {
    /// A storage that is in order, and can be made to keep its callers waiting.
    pub(crate) fn sound() -> Self {
        Self { reliable: true, ..Self::default() }
    }

    /// A storage whose process dies at a call, before or after it is carried out; on the content of
    /// another one.
    pub(crate) fn dying(inner: MemoryStorage, call: u32, after: bool) -> Self {
        Self { inner, reliable: true, dies_at: Some((call, after)), ..Self::default() }
    }

    /// Has a clock go on while events are read.
    pub(crate) fn slow_down(&self, clock: ManualClock) {
        *self.slow.lock().unwrap() = Some(clock);
    }

    /// Has the triggers of a name unreadable from now on, or none.
    pub(crate) fn damage(&self, name: Option<String>) {
        *self.unreadable.lock().unwrap() = name;
    }

    /// Whether the process has died.
    pub(crate) fn has_died(&self) -> bool {
        self.dies_at.is_some_and(|(at, _)| self.calls.load(Ordering::SeqCst) > at)
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Keeps callers waiting from now on, or no more.
    pub(crate) fn stick(&self, stuck: bool) {
        self.stuck.send_replace(stuck);
    }

    /// Whether this call fails, and whether after it was carried out.
    fn fault(&self) -> (bool, bool) {
        // Scattered without a rhythm, but the same in every run (the finish of MurmurHash3).
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let mixed = (call ^ (call >> 16) ^ 0x5bd1).wrapping_mul(0x85eb_ca6b);
        let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
        let scattered = (mixed ^ (mixed >> 16)) >> 24;
        if self.reliable {
            return (false, false);
        }
        (scattered < 60, (60..120).contains(&scattered))
    }

    async fn through<T>(
        &self,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let lost = || Err(StorageError::Unavailable { reason: "on purpose".to_owned() });
        // The sender lives in the storage, so waiting cannot fail.
        let _ = self.stuck.subscribe().wait_for(|stuck| !stuck).await;
        // Others come in between, as with a storage that is far away.
        tokio::task::yield_now().await;
        if let Some((at, after)) = self.dies_at {
            let number = self.calls.fetch_add(1, Ordering::SeqCst);
            if number < at {
                return call.await;
            }
            if number == at && after {
                let _ = call.await;
            }
            return std::future::pending().await;
        }
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
        let slow = matches!(write, TriggerWrite::Update(_));
        self.inner.write_trigger(write).await?;
        if slow {
            let _open = self.updates.acquire().await;
        }
        Ok(())
    }
    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        let mut changes = self.inner.trigger_changes(after, limit).await?;
        let unreadable = self.unreadable.lock().unwrap().clone();
        for change in &mut changes {
            if let TriggerState::Stored(trigger) = &change.trigger
                && Some(&trigger.spec.name) == unreadable.as_ref()
            {
                change.trigger = TriggerState::Unreadable { reason: "on purpose".to_owned() };
            }
        }
        Ok(changes)
    }
    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        let has_event = records.iter().any(|record| record.event.is_some());
        let _open = if has_event { Some(self.events.acquire().await) } else { None };
        self.through(self.inner.record(records)).await
    }
    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        // An engine reads it as it is built, as it reads triggers.
        if keys == ["paused"] {
            return self.inner.cursors(keys).await;
        }
        self.through(self.inner.cursors(keys)).await
    }
    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError> {
        let claims = self.through(self.inner.claim(claim)).await;
        let _open = self.claims.acquire().await;
        claims
    }
    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        self.through(self.inner.settle(settlements, now)).await
    }
    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StorageError> {
        if self.damaged {
            return Err(StorageError::Corrupt { reason: "on purpose".to_owned() });
        }
        let slow = self.slow.lock().unwrap().clone();
        if let Some(clock) = slow {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
        self.inner.events(query).await
    }
    async fn deliveries(&self, query: DeliveryQuery) -> Result<Page<Delivery>, StorageError> {
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
        self.through(self.inner.replay(replay)).await
    }
    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        self.inner.backlog().await
    }
    async fn prune(&self, prune: Prune) -> Result<Pruned, StorageError> {
        self.inner.prune(prune).await
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

#[tokio::test]
async fn an_event_that_cannot_be_read_keeps_no_delivery_from_its_end() {
    let storage = Unreliable { damaged: true, ..Unreliable::default() };
    let options = EngineOptions::default().with_refresh(Duration::from_secs(600));
    let bench = bench_on(storage, Script::statuses([500, 200]), options).await;
    let policy = DeliveryPolicy::default().with_retry(RetrySchedule::never());
    bench.trigger(webhook("t").policy(policy)).await;
    while bench.engine.publish(event("a")).await.is_err() {}
    while bench.engine.publish(event("b")).await.is_err() {}
    bench.work(Duration::from_secs(3_600)).await;
    let deliveries = bench.deliveries().await;
    let ends = deliveries.iter().filter(|delivery| delivery.state.is_final());
    assert_eq!(ends.count(), deliveries.len(), "{deliveries:?}");
    let dead = deliveries.iter().filter(|delivery| delivery.state.name() == StateName::Dead);
    assert_eq!(dead.count(), 1, "{deliveries:?}");
}

#[tokio::test]
async fn an_event_that_is_stored_late_is_not_queued_for_ever_behind_what_a_trigger_left() {
    let options = EngineOptions::default().with_refresh(Duration::from_secs(5));
    let bench = bench_on(Unreliable::sound(), Script::statuses([400]), options).await;
    let policy = DeliveryPolicy::default().with_retry(RetrySchedule::never());
    let policy = policy.with_order(Order::Strict).with_on_dead(OnDead::Block);
    let trigger = bench.trigger(webhook("t").policy(policy)).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let held = bench.storage.events.acquire().await.unwrap();
    let engine = bench.engine.clone();
    let publish = tokio::spawn(async move { engine.publish(event("b")).await });
    turns().await;
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    bench.work(Duration::from_secs(7)).await;
    drop(held);
    publish.await.unwrap().unwrap();
    bench.work(2 * MINUTE).await;
    let states: Vec<State> = bench.deliveries().await.into_iter().map(|one| one.state).collect();
    let ended = State::Cancelled { reason: CancelReason::TriggerDeleted };
    assert!(states.contains(&ended), "{states:?}");
}

#[tokio::test]
async fn an_update_that_is_answered_late_does_not_bring_back_a_deleted_trigger() {
    let storage = Unreliable { updates: Arc::new(Semaphore::new(0)), ..Unreliable::default() };
    let bench = bench_on(storage, Script::statuses([200]), EngineOptions::default()).await;
    let trigger = bench.trigger(webhook("t")).await;
    let (engine, id) = (bench.engine.clone(), trigger.id);
    let update = tokio::spawn(async move { engine.disable_trigger(id).await });
    turns().await;
    let engine = bench.engine.clone();
    let delete = tokio::spawn(async move { engine.delete_trigger(id).await });
    turns().await;
    bench.storage.updates.add_permits(1);
    update.await.unwrap().unwrap();
    delete.await.unwrap().unwrap();
    assert_eq!(bench.engine.triggers(&Scope::root()), []);
}

#[tokio::test]
async fn what_was_claimed_longer_ago_than_its_lease_is_not_attempted() {
    let claims = Arc::new(Semaphore::new(0));
    let storage = Unreliable { claims, reliable: true, ..Unreliable::default() };
    let slow = bench_on(storage.clone(), Script::statuses([200]), EngineOptions::default()).await;
    slow.trigger(webhook("t")).await;
    slow.engine.publish(event("a")).await.unwrap();
    let engine = slow.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    turns().await;
    // Another node takes over once the lease has run out.
    let other = bench_on(storage.inner, Script::statuses([200]), EngineOptions::default()).await;
    other.work(MINUTE).await;
    other.work(Duration::ZERO).await;
    assert_eq!(other.only().await.attempts, 2);
    slow.clock.advance(MINUTE);
    slow.storage.claims.add_permits(1);
    turns().await;
    run.abort();
    assert_eq!((slow.script.requests().len(), other.script.requests().len()), (0, 1));
}

/// Lets what was spawned go as far as it can.
async fn turns() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_trigger_that_cannot_be_read_holds_up_no_other_and_can_be_deleted() {
    let before = bench_on(Unreliable::default(), Script::statuses([200]), options()).await;
    let whole = before.trigger(webhook("whole")).await;
    let damaged = before.trigger(webhook("damaged")).await;
    let event = event("a");
    while before.engine.publish(event.clone()).await.is_err() {}
    let storage = before.storage.clone();
    *storage.unreadable.lock().unwrap() = Some(damaged.spec.name.clone());

    let bench = bench_on(storage, Script::statuses([200]), options()).await;
    let unreadable = [(damaged.id, "on purpose".to_owned())];
    assert_eq!(bench.engine.unreadable_triggers(), unreadable);
    assert_eq!(bench.engine.triggers(&Scope::root()), std::slice::from_ref(&whole));
    let disabled = bench.engine.disable_trigger(damaged.id).await.unwrap_err();
    assert!(matches!(disabled, StorageError::Corrupt { .. }), "{disabled:?}");
    bench.work(Duration::from_secs(3_600)).await;
    for delivery in bench.deliveries().await {
        let expected =
            if delivery.trigger == whole.id { StateName::Delivered } else { StateName::Parked };
        assert_eq!(delivery.state.name(), expected);
    }
    bench.engine.delete_trigger(damaged.id).await.unwrap();
    assert_eq!(bench.engine.unreadable_triggers(), []);
}

#[tokio::test]
async fn of_a_trigger_that_can_no_longer_be_read_no_older_revision_stays() {
    let bench = bench_on(Unreliable::default(), Script::statuses([200]), options()).await;
    let trigger = bench.trigger(webhook("t")).await;
    *bench.storage.unreadable.lock().unwrap() = Some("t".to_owned());
    let changed = Arc::new(trigger.changed(trigger.spec.clone(), None, bench.clock.now()));
    bench.storage.write_trigger(TriggerWrite::Update(changed.clone())).await.unwrap();
    bench.engine.refresh_triggers().await.unwrap();
    assert_eq!(bench.engine.triggers(&Scope::root()), []);
    assert_eq!(bench.engine.unreadable_triggers().len(), 1);

    *bench.storage.unreadable.lock().unwrap() = None;
    let mended = Arc::new(changed.changed(changed.spec.clone(), None, bench.clock.now()));
    bench.storage.write_trigger(TriggerWrite::Update(mended.clone())).await.unwrap();
    bench.engine.refresh_triggers().await.unwrap();
    assert_eq!(bench.engine.triggers(&Scope::root()), [mended]);
    assert_eq!(bench.engine.unreadable_triggers(), []);
}

fn options() -> EngineOptions {
    EngineOptions::default().with_refresh(Duration::from_secs(600))
}

#[tokio::test]
async fn a_rate_counts_from_when_deliveries_begin_not_from_when_they_were_asked_for() {
    let claims = Arc::new(Semaphore::new(0));
    let storage = Unreliable { claims, reliable: true, ..Unreliable::default() };
    let rate = Rate::new(1, Duration::from_secs(10)).with_burst(1);
    let options = EngineOptions::default().with_endpoint(EndpointPolicy::default().with_rate(rate));
    let bench = bench_on(storage, Script::statuses([200, 200]), options).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish_all(vec![event("a"), event("b")]).await.unwrap();
    let engine = bench.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    turns().await;
    // The first claim is answered when the rate would allow another one.
    bench.clock.advance(Duration::from_secs(10));
    bench.storage.claims.add_permits(100);
    turns().await;
    assert_eq!(bench.script.requests().len(), 1);
    bench.clock.advance(Duration::from_secs(10));
    turns().await;
    assert_eq!(bench.script.requests().len(), 2);
    run.abort();
}
