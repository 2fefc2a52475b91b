//! Plain maps, and the decisions of the contract on them.
//!
//! Nothing changes a map but [`Content::apply`], here and when the log is read at the start, so
//! what is in memory is what the log says. Scans are plain: a storage for millions would keep
//! indexes.

mod prune;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{
    CancelReason, Claimed, Delivery, EndpointKey, Lease, State, Turn,
};
use artifact_triggers::event::Event;
use artifact_triggers::id::{DeliveryId, EventId, TriggerId};
use artifact_triggers::payload::Payload;
use artifact_triggers::storage::{
    Backlog, Claim, ClaimOf, Claims, Companions, CursorMove, DeliveryQuery, LoggedAttempt, Record,
    Recorded, Replay, Settle, Settled, StorageError, TriggerChange, TriggerWrite,
};
use artifact_triggers::trigger::Trigger;

use super::change::{Change, Row};

#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The latest change of each trigger, by its place in the order of changes.
    triggers: BTreeMap<u64, (TriggerId, Option<Arc<Trigger>>)>,
    changes_of_triggers: u64,
    pub(crate) events: BTreeMap<EventId, Arc<Event>>,
    pub(crate) cursors: BTreeMap<String, String>,
    pub(crate) deliveries: BTreeMap<DeliveryId, Row>,
    payloads: BTreeMap<DeliveryId, Payload>,
    pub(crate) logs: BTreeMap<DeliveryId, Vec<LoggedAttempt>>,
    last_token: u64,
    last_place: u64,
    /// The endpoint that the last full claim ended with. Not in the log: it is a matter of turns.
    turn: Option<EndpointKey>,
    /// What was changed since it was last written down.
    pub(crate) pending: Vec<Change>,
}

/// What every change goes through.
impl Content {
    /// Makes a change and keeps it to be written down.
    fn make(&mut self, change: Change) {
        self.apply(&change);
        self.pending.push(change);
    }

    /// Makes a change that is written down already.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Trigger { id, trigger } => {
                self.changes_of_triggers += 1;
                self.triggers.retain(|_, (other, _)| other != id);
                self.triggers.insert(self.changes_of_triggers, (*id, trigger.clone()));
            }
            Change::Event(event) => drop(self.events.insert(event.id, event.clone())),
            Change::Cursor { key, value: Some(value) } => {
                self.cursors.insert(key.clone(), value.clone());
            }
            Change::Cursor { key, value: None } => drop(self.cursors.remove(key)),
            Change::Payload { id, payload } => drop(self.payloads.insert(*id, payload.clone())),
            Change::Delivery(row) => {
                self.last_token = self.last_token.max(row.token);
                self.last_place = self.last_place.max(row.place);
                self.deliveries.insert(row.delivery.id, row.clone());
            }
            Change::Attempt { id, attempt } => {
                self.logs.entry(*id).or_default().push(attempt.clone());
            }
            Change::ForgetContents(id) => {
                self.payloads.remove(id);
                for logged in self.logs.get_mut(id).into_iter().flatten() {
                    logged.attempt.response = None;
                }
                if let Some(row) = self.deliveries.get_mut(id) {
                    row.delivery.contents_dropped = true;
                }
            }
            Change::ForgetDelivery(id) => {
                self.deliveries.remove(id);
                self.payloads.remove(id);
                self.logs.remove(id);
            }
            Change::ForgetEvent(id) => drop(self.events.remove(id)),
        }
    }
}

/// Triggers: rules 11 and 12.
impl Content {
    pub(crate) fn write_trigger(&mut self, write: TriggerWrite) -> Result<(), StorageError> {
        let (id, trigger) = match write {
            TriggerWrite::Create(trigger) => {
                if self.live(trigger.id).is_some() {
                    return Err(StorageError::id_taken(trigger.id));
                }
                (trigger.id, Some(trigger))
            }
            TriggerWrite::Update(trigger) => {
                // Rule 11: whoever updates must have seen the latest revision.
                let there = self.existing(trigger.id)?;
                let expected = trigger.revision.saturating_sub(1);
                if there.revision != expected {
                    return Err(StorageError::changed(trigger.id, expected, there.revision));
                }
                (trigger.id, Some(trigger))
            }
            TriggerWrite::Delete(id) => (self.existing(id)?.id, None),
            other => return Err(unavailable(&format!("{other:?} is not known here"))),
        };
        if let Some(trigger) = &trigger {
            self.check_name(trigger)?;
        }
        self.make(Change::Trigger { id, trigger });
        Ok(())
    }

    fn live(&self, id: TriggerId) -> Option<&Arc<Trigger>> {
        let (_, trigger) = self.triggers.values().find(|(other, _)| *other == id)?;
        trigger.as_ref()
    }

    fn existing(&self, id: TriggerId) -> Result<&Arc<Trigger>, StorageError> {
        self.live(id).ok_or_else(|| StorageError::no_trigger(id))
    }

    /// Rule 11: a name is there once in a scope.
    fn check_name(&self, trigger: &Trigger) -> Result<(), StorageError> {
        let name = |trigger: &Trigger| (trigger.spec.scope.clone(), trigger.spec.name.clone());
        let mut others = self.triggers.values().filter_map(|(_, other)| other.as_ref());
        if others.any(|other| other.id != trigger.id && name(other) == name(trigger)) {
            return Err(StorageError::name_taken(trigger));
        }
        Ok(())
    }

    /// Rule 12: the last change of each trigger, in order. From 0 on these are all that there are.
    pub(crate) fn trigger_changes(&self, after: u64, limit: usize) -> Vec<TriggerChange> {
        let changes = self.triggers.range((Bound::Excluded(after), Bound::Unbounded));
        let change = |(sequence, (id, trigger)): (&u64, &(TriggerId, Option<Arc<Trigger>>))| {
            TriggerChange { sequence: *sequence, id: *id, trigger: trigger.clone().into() }
        };
        changes.take(limit).map(change).collect()
    }
}

/// Recording: rules 4 to 6.
impl Content {
    pub(crate) fn record(&mut self, record: Record) -> Recorded {
        // Rule 4: a known event changes nothing.
        if record.event_id().is_some_and(|id| self.events.contains_key(&id)) {
            return Recorded::Duplicate;
        }
        // Rule 5: all cursors are looked at before anything is changed.
        if !record.cursors.iter().all(|cursor| self.is_where_expected(cursor)) {
            return Recorded::CursorMoved;
        }
        let made_at = record.deliveries.first().map(|(delivery, _)| delivery.created_at);
        for (delivery, payload) in record.deliveries {
            // Rule 6: a known delivery stays as it is.
            if !self.deliveries.contains_key(&delivery.id) {
                self.insert(delivery, payload);
            }
        }
        if let Some(now) = made_at {
            record.supersedes.into_iter().for_each(|id| self.supersede(id, now));
        }
        for cursor in record.cursors {
            self.move_cursor(cursor);
        }
        if let Some(new) = record.event {
            self.make(Change::Event(new.event));
        }
        Recorded::Stored
    }

    fn insert(&mut self, mut delivery: Delivery, payload: Payload) {
        let (turn, created_at) = (delivery.turn, delivery.created_at);
        // Of one that is queued, when it is to be due.
        let settled_at = delivery.state.claimable_at().unwrap_or(created_at);
        let place = self.last_place + 1;
        self.make(Change::Payload { id: delivery.id, payload });
        // Rule 15: whose turn it is, is seen once it is in its place.
        delivery.queue();
        self.make(Change::Delivery(Row { delivery, token: 0, place, settled_at }));
        self.next_of(turn, created_at);
    }

    /// Rule 21: what waits or is queued gives way to what takes its place.
    fn supersede(&mut self, id: DeliveryId, now: Timestamp) {
        let Some(mut row) = self.deliveries.get(&id).cloned() else { return };
        if !matches!(row.delivery.state, State::Waiting { .. } | State::Queued) {
            return;
        }
        row.delivery.state = State::Cancelled { reason: CancelReason::Superseded };
        row.settled_at = now;
        let turn = row.delivery.turn;
        self.make(Change::Delivery(row));
        self.next_of(turn, now);
    }

    fn is_where_expected(&self, cursor: &CursorMove) -> bool {
        match cursor {
            CursorMove::Set { key, expected, .. } => self.cursors.get(key) == expected.as_ref(),
            CursorMove::RemoveBelow { .. } => true,
            // Nothing is changed for a move that is not known here.
            _ => false,
        }
    }

    fn move_cursor(&mut self, cursor: CursorMove) {
        match cursor {
            CursorMove::Set { key, value, .. } => self.make(Change::Cursor { key, value }),
            CursorMove::RemoveBelow { prefix } => {
                let keys: Vec<String> =
                    self.cursors.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
                for key in keys {
                    self.make(Change::Cursor { key, value: None });
                }
            }
            other => unreachable!("{other:?} was refused before"),
        }
    }
}

/// Order: rule 15.
impl Content {
    /// Lets the next delivery of an order go, if nothing holds it up.
    fn next_of(&mut self, turn: Option<Turn>, now: Timestamp) {
        let Some(Turn { key, .. }) = turn else { return };
        let of_key = |row: &&Row| row.delivery.turn.is_some_and(|turn| turn.key == key);
        let rows = || self.deliveries.values().filter(of_key);
        if rows().any(|row| row.delivery.state.claimable_at().is_some()) {
            return;
        }
        let in_line = |row: &&Row| row.delivery.holds_turn() || row.delivery.state == State::Queued;
        let next = rows().filter(in_line).min_by_key(|row| row.place);
        if let Some(mut row) = next.filter(|row| row.delivery.state == State::Queued).cloned() {
            row.delivery.state = State::Waiting { due: row.settled_at.max(now) };
            self.make(Change::Delivery(row));
        }
    }
}

/// Claiming and settling: rules 7 to 10.
impl Content {
    pub(crate) fn claim(&mut self, claim: &Claim) -> Claims {
        let mut claims = Claims::default();
        match &claim.of {
            ClaimOf::One(id) => {
                let row = self.deliveries.get(id);
                let at = row.and_then(|row| row.delivery.state.claimable_at());
                if at.is_some_and(|at| at <= claim.due_by) {
                    claims.deliveries.push(self.lease(*id, claim));
                }
                return claims;
            }
            ClaimOf::Companions(all) => {
                for asked in all {
                    let limit = asked.limit.min(claim.limit - claims.deliveries.len());
                    for id in self.companions(asked, claim.due_by, limit) {
                        claims.deliveries.push(self.lease(id, claim));
                    }
                }
                return claims;
            }
            // Of endpoints; what is not known here is given nothing besides.
            _ => {}
        }
        for (endpoint, waiting) in self.in_turn() {
            let quota = quota(claim, &endpoint);
            if quota == 0 {
                continue;
            }
            let room = quota.min(claim.limit - claims.deliveries.len());
            let due = waiting.iter().take_while(|(at, _)| *at <= claim.due_by).take(room).count();
            let next = waiting.iter().nth(due).map(|(at, _)| *at);
            claims.note_left(next, claim.due_by);
            for (_, id) in waiting.into_iter().take(due) {
                claims.deliveries.push(self.lease(id, claim));
            }
            if claims.deliveries.len() == claim.limit {
                self.turn = Some(endpoint);
                break;
            }
        }
        claims
    }

    /// Rule 16: what may go in one request with others, first what is not due.
    fn companions(&self, asked: &Companions, now: Timestamp, limit: usize) -> Vec<DeliveryId> {
        let mut due: Vec<((bool, bool), Timestamp, DeliveryId)> = Vec::new();
        for delivery in self.deliveries.values().map(|row| &row.delivery) {
            let is_new = delivery.attempts == 0;
            let until = if is_new { asked.until } else { now };
            let at = delivery.state.claimable_at().filter(|at| *at <= until);
            let is_of = (delivery.trigger, &delivery.endpoint) == (asked.trigger, &asked.endpoint);
            if let Some(at) = at.filter(|_| is_of && delivery.batched) {
                due.push(((at <= now, is_new), at, delivery.id));
            }
        }
        due.sort_unstable();
        let mut bytes = 0;
        let fits = |id: &DeliveryId| {
            bytes += self.payloads[id].body.len();
            bytes <= asked.max_bytes
        };
        due.into_iter().map(|(_, _, id)| id).take(limit).take_while(fits).collect()
    }

    /// Rule 7: what can be claimed by endpoint, longest due first, the endpoint behind the last one
    /// served at the head.
    fn in_turn(&self) -> Vec<(EndpointKey, BTreeSet<(Timestamp, DeliveryId)>)> {
        let mut endpoints: BTreeMap<EndpointKey, BTreeSet<_>> = BTreeMap::new();
        for row in self.deliveries.values() {
            // A lease can be claimed anew from when it runs out.
            if let Some(at) = row.delivery.state.claimable_at() {
                let waiting = endpoints.entry(row.delivery.endpoint.clone()).or_default();
                waiting.insert((at, row.delivery.id));
            }
        }
        let mut endpoints: Vec<_> = endpoints.into_iter().collect();
        let behind =
            endpoints.partition_point(|(endpoint, _)| Some(endpoint) <= self.turn.as_ref());
        endpoints.rotate_left(behind);
        endpoints
    }

    /// Rule 8: counts the attempt, leases, and gives a token larger than all before.
    fn lease(&mut self, id: DeliveryId, claim: &Claim) -> Claimed {
        let token = self.last_token + 1;
        let mut row = self.deliveries[&id].clone();
        let due = row.delivery.state.claimable_at().expect("it was found as claimable");
        row.token = token;
        row.delivery.attempts = row.delivery.attempts.saturating_add(1);
        // Rule 13: by the caller's time.
        row.delivery.state = State::Leased { until: claim.now + claim.lease };
        self.make(Change::Delivery(row.clone()));
        let payload = self.payloads[&id].clone();
        Claimed { lease: Lease { delivery: id, token }, delivery: row.delivery, due, payload }
    }

    pub(crate) fn settle(&mut self, settle: Settle, now: Timestamp) -> Settled {
        let id = settle.lease.delivery;
        // Rule 9: the latest token of a delivery still leased. Whether the lease ran out is of no
        // matter: nobody else was given one since.
        let held = self.deliveries.get(&id).filter(|row| {
            row.token == settle.lease.token && matches!(row.delivery.state, State::Leased { .. })
        });
        let Some(mut row) = held.cloned() else { return Settled::LeaseLost };
        // Rule 10: the crate says what follows; it, the log and the events go into one line.
        settle.settlement.apply(&mut row.delivery);
        row.settled_at = now;
        let turn = row.delivery.turn;
        self.make(Change::Delivery(row));
        for attempt in settle.attempts {
            let position = self.logs.get(&id).map_or(0, Vec::len) as u64 + 1;
            self.make(Change::Attempt { id, attempt: LoggedAttempt { position, attempt } });
        }
        for record in settle.records {
            self.record(record);
        }
        self.next_of(turn, now);
        Settled::Done
    }
}

fn quota(claim: &Claim, endpoint: &EndpointKey) -> usize {
    let quotas: HashMap<_, _> = claim.quotas.iter().map(|(key, quota)| (key, *quota)).collect();
    quotas.get(endpoint).copied().unwrap_or(claim.per_endpoint)
}

/// Pages and replaying.
impl Content {
    /// Rule 14: a map in the order of ids gives pages that are stable under writes.
    pub(crate) fn select(&self, query: &DeliveryQuery) -> impl Iterator<Item = &Delivery> {
        let all = self.deliveries.values().map(|row| &row.delivery);
        let behind = all.filter(|delivery| query.after.is_none_or(|after| delivery.id > after));
        behind.filter(|delivery| query.selects(delivery))
    }

    pub(crate) fn replay(&mut self, replay: &Replay) -> Vec<DeliveryId> {
        // Rule 18: not without its contents.
        let replayable = |delivery: &&Delivery| replay.is_for(delivery);
        let taken = self.select(&replay.query).filter(replayable).map(|delivery| delivery.id);
        let taken = taken.filter(|id| replay.allows(self.deliveries[id].settled_at));
        let ids: Vec<DeliveryId> = taken.take(replay.query.limit).collect();
        for (n, id) in (0..).zip(&ids) {
            let mut row = self.deliveries[id].clone();
            row.settled_at = replay.apply(&mut row.delivery, n);
            self.make(Change::Delivery(row));
        }
        for id in &ids {
            self.next_of(self.deliveries[id].delivery.turn, replay.now);
        }
        ids
    }

    pub(crate) fn backlog(&self) -> Vec<Backlog> {
        let mut backlog: BTreeMap<EndpointKey, Backlog> = BTreeMap::new();
        for Row { delivery, .. } in self.deliveries.values() {
            let Some(at) = delivery.state.claimable_at() else { continue };
            let endpoint = delivery.endpoint.clone();
            let none = Backlog { endpoint: endpoint.clone(), deliveries: 0, oldest_due: at };
            let of_endpoint = backlog.entry(endpoint).or_insert(none);
            of_endpoint.deliveries += 1;
            of_endpoint.oldest_due = of_endpoint.oldest_due.min(at);
        }
        backlog.into_values().collect()
    }
}

pub(crate) fn unavailable(reason: &(impl ToString + ?Sized)) -> StorageError {
    StorageError::Unavailable { reason: reason.to_string() }
}
