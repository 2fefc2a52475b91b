//! The model: everything in memory, plain and obviously right. Durable until the process ends.

mod batched;
mod prune;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use super::{
    Backlog, Claim, ClaimOf, Claims, CursorMove, DeliveryQuery, EventQuery, LoggedAttempt,
    NewEvent, Page, Prune, Pruned, Record, Recorded, Replay, Settle, Settled, Storage,
    StorageError, TriggerChange, TriggerWrite,
};
use crate::clock::Timestamp;
use crate::delivery::{CancelReason, Claimed, Delivery, EndpointKey, Lease, State};
use crate::event::Event;
use crate::id::{DeliveryId, EventId, OrderingKey, TriggerId};
use crate::payload::Payload;
use crate::trigger::Trigger;
use batched::Batched;

/// Keeps everything in memory: for tests, and for registries that can afford to forget.
///
/// Clones share one content.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    content: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    sequence: u64,
    /// With the sequence number of its last change; `None` for a deleted one.
    triggers: BTreeMap<TriggerId, (u64, Option<Arc<Trigger>>)>,
    changes: BTreeMap<u64, TriggerId>,
    events: BTreeMap<EventId, Arc<Event>>,
    deliveries: BTreeMap<DeliveryId, Row>,
    recorded: u64,
    /// What is not done of each ordering key, in the order in which it was recorded.
    in_order: BTreeMap<OrderingKey, BTreeMap<u64, DeliveryId>>,
    by_event: BTreeSet<(EventId, DeliveryId)>,
    /// What can be claimed, from when on: waiting deliveries when due, leased ones when the lease
    /// runs out.
    claimable: BTreeMap<EndpointKey, BTreeSet<(Timestamp, DeliveryId)>>,
    /// Those of it that may go in one request with others.
    batched: Batched,
    /// The endpoint that was served last; the next turn is of the one behind it.
    turn: Option<EndpointKey>,
    cursors: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Row {
    delivery: Delivery,
    payload: Payload,
    /// Its place in the order of recording.
    place: u64,
    token: u64,
    log: Vec<LoggedAttempt>,
    /// When it was made or last settled; of one that is queued when it is to be due.
    settled_at: Timestamp,
}

impl MemoryStorage {
    /// An empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("no code panics while it holds the content")
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        self.lock().write_trigger(write)
    }

    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        let content = self.lock();
        let changes = content.changes.range((Bound::Excluded(after), Bound::Unbounded)).take(limit);
        Ok(changes
            .map(|(sequence, id)| TriggerChange {
                sequence: *sequence,
                id: *id,
                trigger: content.triggers[id].1.clone().into(),
            })
            .collect())
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        let mut content = self.lock();
        Ok(records.into_iter().map(|record| content.record(record)).collect())
    }

    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        let content = self.lock();
        Ok(keys.iter().map(|key| content.cursors.get(key).cloned()).collect())
    }

    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError> {
        Ok(self.lock().claim(&claim))
    }

    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        let mut content = self.lock();
        Ok(settlements.into_iter().map(|settle| content.settle(settle, now)).collect())
    }

    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StorageError> {
        let content = self.lock();
        let behind = content.events.range((behind(query.after), Bound::Unbounded));
        let page = behind.map(|(_, event)| event).filter(|event| query.selects(event));
        let events: Vec<_> = page.take(query.limit).map(|event| Event::clone(event)).collect();
        Ok(events.into())
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Page<Delivery>, StorageError> {
        let content = self.lock();
        let page = content.select(&query).map(|row| row.delivery.clone()).take(query.limit);
        Ok(page.collect::<Vec<_>>().into())
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<LoggedAttempt>, StorageError> {
        Ok(self.lock().deliveries.get(&delivery).map(|row| row.log.clone()).unwrap_or_default())
    }

    async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError> {
        let mut content = self.lock();
        let ids: Vec<DeliveryId> = content
            .select(&replay.query)
            .filter(|row| replay.is_for(&row.delivery) && replay.allows(row.settled_at))
            .map(|row| row.delivery.id)
            .take(replay.query.limit)
            .collect();
        for (n, id) in (0..).zip(&ids) {
            content.change(*id, |row| {
                row.settled_at = replay.apply(&mut row.delivery, n);
            });
        }
        for id in &ids {
            content.next_turn(*id, replay.now);
        }
        Ok(ids)
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        let content = self.lock();
        let backlog = content.claimable.iter().filter_map(|(endpoint, waiting)| {
            let (oldest_due, _) = waiting.first()?;
            let deliveries = waiting.len() as u64;
            Some(Backlog { endpoint: endpoint.clone(), deliveries, oldest_due: *oldest_due })
        });
        Ok(backlog.collect())
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StorageError> {
        Ok(self.lock().prune(&prune))
    }
}

impl Content {
    fn write_trigger(&mut self, write: TriggerWrite) -> Result<(), StorageError> {
        let (id, trigger) = match write {
            TriggerWrite::Create(trigger) => {
                self.check_free(&trigger, None)?;
                (trigger.id, Some(trigger))
            }
            TriggerWrite::Update(trigger) => {
                self.check_free(&trigger, Some(trigger.revision.saturating_sub(1)))?;
                (trigger.id, Some(trigger))
            }
            TriggerWrite::Delete(id) => {
                self.live(id).ok_or_else(|| StorageError::no_trigger(id))?;
                (id, None)
            }
        };
        self.sequence += 1;
        let sequence = self.sequence;
        if let Some((before, _)) = self.triggers.insert(id, (sequence, trigger)) {
            self.changes.remove(&before);
        }
        self.changes.insert(sequence, id);
        Ok(())
    }

    fn live(&self, id: TriggerId) -> Option<&Arc<Trigger>> {
        self.triggers.get(&id).and_then(|(_, trigger)| trigger.as_ref())
    }

    /// Checks that a trigger's place is as its writer believes: free, or at a revision.
    fn check_free(&self, trigger: &Trigger, revision: Option<u64>) -> Result<(), StorageError> {
        match (self.live(trigger.id), revision) {
            (None, None) => {}
            (None, Some(_)) => return Err(StorageError::no_trigger(trigger.id)),
            (Some(_), None) => return Err(StorageError::id_taken(trigger.id)),
            (Some(there), Some(expected)) if there.revision == expected => {}
            (Some(there), Some(expected)) => {
                return Err(StorageError::changed(trigger.id, expected, there.revision));
            }
        }
        let mut others = self.triggers.values().filter_map(|(_, other)| other.as_ref());
        let same_name = |other: &Arc<Trigger>| {
            other.id != trigger.id
                && other.spec.scope == trigger.spec.scope
                && other.spec.name == trigger.spec.name
        };
        if others.any(same_name) { Err(StorageError::name_taken(trigger)) } else { Ok(()) }
    }

    fn record(&mut self, record: Record) -> Recorded {
        if record.event_id().is_some_and(|id| self.events.contains_key(&id)) {
            return Recorded::Duplicate;
        }
        if !record.cursors.iter().all(|cursor| self.is_where_expected(cursor)) {
            return Recorded::CursorMoved;
        }
        let made_at = record.deliveries.first().map(|(delivery, _)| delivery.created_at);
        for (delivery, payload) in record.deliveries {
            self.insert(delivery, payload);
        }
        if let Some(now) = made_at {
            for id in record.supersedes {
                self.supersede(id, now);
            }
        }
        for cursor in record.cursors {
            self.move_cursor(cursor);
        }
        if let Some(NewEvent { event, .. }) = record.event {
            self.events.insert(event.id, event);
        }
        Recorded::Stored
    }

    fn insert(&mut self, mut delivery: Delivery, payload: Payload) {
        let settled_at = delivery.state.claimable_at().unwrap_or(delivery.created_at);
        delivery.queue();
        let id = delivery.id;
        if self.deliveries.contains_key(&id) {
            return;
        }
        self.by_event.insert((delivery.event, id));
        let created_at = delivery.created_at;
        self.recorded += 1;
        let (place, log) = (self.recorded, Vec::new());
        let row = Row { delivery, payload, place, token: 0, log, settled_at };
        self.deliveries.insert(id, row);
        self.index(id);
        self.next_turn(id, created_at);
    }

    fn supersede(&mut self, id: DeliveryId, now: Timestamp) {
        let state = self.deliveries.get(&id).map(|row| &row.delivery.state);
        if !matches!(state, Some(State::Waiting { .. } | State::Queued)) {
            return;
        }
        self.change(id, |row| {
            row.delivery.state = State::Cancelled { reason: CancelReason::Superseded };
            row.settled_at = now;
        });
        self.next_turn(id, now);
    }

    fn is_where_expected(&self, cursor: &CursorMove) -> bool {
        match cursor {
            CursorMove::Set { key, expected, .. } => self.cursors.get(key) == expected.as_ref(),
            CursorMove::RemoveBelow { .. } => true,
        }
    }

    fn move_cursor(&mut self, cursor: CursorMove) {
        match cursor {
            CursorMove::Set { key, value: Some(value), .. } => {
                self.cursors.insert(key, value);
            }
            CursorMove::Set { key, value: None, .. } => {
                self.cursors.remove(&key);
            }
            CursorMove::RemoveBelow { prefix } => {
                self.cursors.retain(|key, _| !key.starts_with(&prefix));
            }
        }
    }

    fn claim(&mut self, claim: &Claim) -> Claims {
        let mut claims = Claims::default();
        match &claim.of {
            ClaimOf::Endpoints => {}
            ClaimOf::One(id) => {
                let at = self.deliveries.get(id).and_then(|row| row.delivery.state.claimable_at());
                if at.is_some_and(|at| at <= claim.due_by) {
                    claims.deliveries.push(self.lease(*id, claim));
                }
                return claims;
            }
            ClaimOf::Companions(all) => {
                claims.deliveries = self.claim_companions(all, claim);
                return claims;
            }
        }
        let mut taken = Vec::new();
        let mut served_last = None;
        'turns: for range in self.turns() {
            let mut quotas = claim.quotas.iter().peekable();
            for (endpoint, waiting) in self.claimable.range(range) {
                while quotas.next_if(|(key, _)| key < endpoint).is_some() {}
                let own = quotas.peek().filter(|(key, _)| key == endpoint);
                let quota = own.map_or(claim.per_endpoint, |(_, quota)| *quota);
                if quota == 0 {
                    continue;
                }
                let room = quota.min(claim.limit - taken.len());
                let full = taken.len() + room;
                let mut waiting = waiting.iter().peekable();
                while taken.len() < full
                    && let Some((_, id)) = waiting.next_if(|(at, _)| *at <= claim.due_by)
                {
                    taken.push(*id);
                }
                let next = waiting.peek().map(|(at, _)| *at);
                claims.note_left(next, claim.due_by);
                if taken.len() == claim.limit {
                    served_last = Some(endpoint.clone());
                    break 'turns;
                }
            }
        }
        self.turn = served_last.or(self.turn.take());
        claims.deliveries = taken.into_iter().map(|id| self.lease(id, claim)).collect();
        claims
    }

    /// The endpoints in turn: those behind the one that was served last, then those up to it.
    fn turns(&self) -> Vec<(Bound<EndpointKey>, Bound<EndpointKey>)> {
        let Some(turn) = &self.turn else { return vec![(Bound::Unbounded, Bound::Unbounded)] };
        let behind = (Bound::Excluded(turn.clone()), Bound::Unbounded);
        vec![behind, (Bound::Unbounded, Bound::Included(turn.clone()))]
    }

    fn lease(&mut self, id: DeliveryId, claim: &Claim) -> Claimed {
        let due = self.deliveries[&id].delivery.state.claimable_at();
        self.change(id, |row| {
            row.token = row.token.saturating_add(1);
            row.delivery.attempts = row.delivery.attempts.saturating_add(1);
            row.delivery.state = State::Leased { until: claim.now + claim.lease };
        });
        let row = &self.deliveries[&id];
        Claimed {
            lease: Lease { delivery: id, token: row.token },
            delivery: row.delivery.clone(),
            due: due.unwrap_or(Timestamp::MIN),
            payload: row.payload.clone(),
        }
    }

    fn settle(&mut self, settle: Settle, now: Timestamp) -> Settled {
        let holds = self.deliveries.get(&settle.lease.delivery).is_some_and(|row| {
            row.token == settle.lease.token && matches!(row.delivery.state, State::Leased { .. })
        });
        if !holds {
            return Settled::LeaseLost;
        }
        self.change(settle.lease.delivery, |row| {
            settle.settlement.apply(&mut row.delivery);
            row.settled_at = now;
            for attempt in settle.attempts {
                let position = row.log.len() as u64 + 1;
                row.log.push(LoggedAttempt { position, attempt });
            }
        });
        for record in settle.records {
            self.record(record);
        }
        self.next_turn(settle.lease.delivery, now);
        Settled::Done
    }

    /// Lets the next one of a delivery's order go, if nothing holds it up.
    fn next_turn(&mut self, id: DeliveryId, now: Timestamp) {
        let turn = self.deliveries.get(&id).and_then(|row| row.delivery.turn);
        if let Some(turn) = turn {
            self.next_of(turn.key, now);
        }
    }

    fn next_of(&mut self, key: OrderingKey, now: Timestamp) {
        let Some(order) = self.in_order.get(&key) else { return };
        let in_order = || order.values().map(|id| &self.deliveries[id].delivery);
        if in_order().any(|delivery| delivery.state.claimable_at().is_some()) {
            return;
        }
        let next =
            in_order().find(|delivery| delivery.holds_turn() || delivery.state == State::Queued);
        if let Some(next) = next
            && next.state == State::Queued
        {
            let id = next.id;
            self.change(id, |row| {
                row.delivery.state = State::Waiting { due: row.settled_at.max(now) };
            });
        }
    }

    /// Changes a delivery and keeps the index of what can be claimed with it.
    fn change(&mut self, id: DeliveryId, change: impl FnOnce(&mut Row)) {
        self.unindex(id);
        change(self.deliveries.get_mut(&id).expect("the caller found it"));
        self.index(id);
    }

    fn index(&mut self, id: DeliveryId) {
        let Row { delivery, place, .. } = &self.deliveries[&id];
        if let Some(turn) = delivery.turn
            && (delivery.holds_turn() || delivery.state == State::Queued)
        {
            self.in_order.entry(turn.key).or_default().insert(*place, id);
        }
        if let Some(at) = delivery.state.claimable_at() {
            self.claimable.entry(delivery.endpoint.clone()).or_default().insert((at, id));
            self.batched.insert(delivery, at);
        }
    }

    fn unindex(&mut self, id: DeliveryId) {
        let Row { delivery, place, .. } = &self.deliveries[&id];
        if let Some(turn) = delivery.turn
            && let Some(order) = self.in_order.get_mut(&turn.key)
        {
            order.remove(place);
            if order.is_empty() {
                self.in_order.remove(&turn.key);
            }
        }
        let Some(at) = delivery.state.claimable_at() else { return };
        self.batched.remove(delivery, at);
        if let Some(waiting) = self.claimable.get_mut(&delivery.endpoint) {
            waiting.remove(&(at, id));
            if waiting.is_empty() {
                self.claimable.remove(&delivery.endpoint);
            }
        }
    }

    fn select(&self, query: &DeliveryQuery) -> impl Iterator<Item = &Row> {
        let behind = self.deliveries.range((behind(query.after), Bound::Unbounded));
        behind.map(|(_, row)| row).filter(|row| query.selects(&row.delivery))
    }
}

/// Where a page begins.
fn behind<T>(id: Option<T>) -> Bound<T> {
    id.map_or(Bound::Unbounded, Bound::Excluded)
}
