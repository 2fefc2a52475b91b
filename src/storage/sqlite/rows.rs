//! Between rows and values: how deliveries, attempts and payloads are written and read.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Row;

use super::commit::unavailable;
use crate::clock::Timestamp;
use crate::delivery::{
    Attempt, DeadReason, Delivery, EndpointKey, OnDead, Outcome, State, StateName, Turn,
};
use crate::event::Scope;
use crate::id::{DeliveryId, EventId, MessageId, OrderingKey, TriggerId};
use crate::payload::Payload;
use crate::storage::{LoggedAttempt, StorageError};

/// The columns that [`delivery`] reads, of `deliveries d JOIN endpoints e`.
pub(super) const DELIVERY: &str = "d.id, d.message, d.event, d.trigger_id, d.scope, e.key, d.state, \
                                   d.reason, d.claim_at, d.attempts, d.created_at, d.ordering, \
                                   d.blocks, d.batched, d.emptied";

pub(super) fn state_number(name: StateName) -> i64 {
    match name {
        StateName::Waiting => 0,
        StateName::Leased => 1,
        StateName::Delivered => 2,
        StateName::Dead => 3,
        StateName::Cancelled => 4,
        StateName::Parked => 5,
        StateName::Queued => 6,
    }
}

/// From when on a delivery can be claimed, as stored.
pub(super) fn claim_at(state: &State) -> Option<i64> {
    state.claimable_at().map(Timestamp::unix_micros)
}

/// Why a delivery is dead, as stored.
pub(super) fn reason(state: &State) -> Option<&'static str> {
    match state {
        State::Dead { reason } => Some(reason.as_str()),
        _ => None,
    }
}

pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// A count as SQLite has it.
pub(super) fn integer(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// A count that [`integer`] wrote.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let found: i64 = row.get(column)?;
    Ok(u64::try_from(found).unwrap_or(0))
}

fn corrupt(what: &str, id: impl std::fmt::Display) -> StorageError {
    StorageError::Corrupt { reason: format!("{what} {id}") }
}

/// Reads the columns of [`DELIVERY`].
pub(super) fn delivery(row: &Row<'_>) -> Result<Delivery, StorageError> {
    let id = DeliveryId::from_bytes(row.get(0).map_err(unavailable)?);
    let state: i64 = row.get(6).map_err(unavailable)?;
    let reason: Option<String> = row.get(7).map_err(unavailable)?;
    let claim_at: Option<i64> = row.get(8).map_err(unavailable)?;
    let state = state_of(state, reason.as_deref(), claim_at)
        .ok_or_else(|| corrupt("the state of delivery", id))?;
    let scope: String = row.get(4).map_err(unavailable)?;
    let scope: Scope = scope.parse().map_err(|_| corrupt("the scope of delivery", id))?;
    let endpoint: String = row.get(5).map_err(unavailable)?;
    let event = EventId::from_bytes(row.get(2).map_err(unavailable)?);
    let trigger = TriggerId::from_bytes(row.get(3).map_err(unavailable)?);
    Ok(Delivery {
        id,
        message_id: MessageId::from_bytes(row.get(1).map_err(unavailable)?),
        event,
        trigger,
        scope,
        endpoint: EndpointKey::new(endpoint),
        state,
        attempts: row.get(9).map_err(unavailable)?,
        created_at: Timestamp::from_unix_micros(row.get(10).map_err(unavailable)?),
        turn: turn(row).map_err(unavailable)?,
        batched: row.get::<_, Option<bool>>(13).map_err(unavailable)? == Some(true),
        contents_dropped: row.get(14).map_err(unavailable)?,
    })
}

fn turn(row: &Row<'_>) -> rusqlite::Result<Option<Turn>> {
    let key: Option<[u8; 16]> = row.get(11)?;
    let blocks: Option<bool> = row.get(12)?;
    let on_dead = if blocks == Some(true) { OnDead::Block } else { OnDead::Skip };
    Ok(key.map(|key| Turn { key: OrderingKey::from_bytes(key), on_dead }))
}

fn state_of(number: i64, reason: Option<&str>, claim_at: Option<i64>) -> Option<State> {
    let at = claim_at.map(Timestamp::from_unix_micros);
    match number {
        0 => Some(State::Waiting { due: at? }),
        1 => Some(State::Leased { until: at? }),
        2 => Some(State::Delivered),
        3 => Some(State::Dead { reason: reason?.parse::<DeadReason>().ok()? }),
        4 => Some(State::Cancelled),
        5 => Some(State::Parked),
        6 => Some(State::Queued),
        _ => None,
    }
}

pub(super) fn headers_json(payload: &Payload) -> String {
    serde_json::to_string(&payload.headers).expect("pairs of strings are JSON")
}

pub(super) fn payload(id: DeliveryId, headers: &str, body: &[u8]) -> Result<Payload, StorageError> {
    let headers =
        serde_json::from_str(headers).map_err(|_| corrupt("the headers of delivery", id))?;
    Ok(Payload { headers, body: Arc::from(body) })
}

/// Reads `position, number, started_at, ended_at, class, retry_after, status, error, response`.
pub(super) fn attempt(id: DeliveryId, row: &Row<'_>) -> Result<LoggedAttempt, StorageError> {
    let class: String = row.get(4).map_err(unavailable)?;
    let retry_after: Option<i64> = row.get(5).map_err(unavailable)?;
    let retry_after = retry_after.map(|micros| Duration::from_micros(micros.unsigned_abs()));
    let outcome =
        Outcome::of_class(&class, retry_after).ok_or_else(|| corrupt("the log of delivery", id))?;
    Ok(LoggedAttempt {
        position: count(row, 0).map_err(unavailable)?,
        attempt: Attempt {
            number: row.get(1).map_err(unavailable)?,
            started_at: Timestamp::from_unix_micros(row.get(2).map_err(unavailable)?),
            ended_at: Timestamp::from_unix_micros(row.get(3).map_err(unavailable)?),
            outcome,
            status: row.get(6).map_err(unavailable)?,
            error: row.get(7).map_err(unavailable)?,
            response: row.get(8).map_err(unavailable)?,
        },
    })
}

/// How long a throttled endpoint wanted to be left alone, as stored.
pub(super) fn retry_after(outcome: &Outcome) -> Option<i64> {
    match outcome {
        Outcome::Throttled { retry_after: Some(span) } => Some(micros(*span)),
        _ => None,
    }
}
