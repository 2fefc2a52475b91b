//! Between rows and values: how deliveries, attempts and payloads are written and read.

use std::time::Duration;

use rusqlite::Row;

use super::commit::unavailable;
use crate::action::RunRef;
use crate::clock::Timestamp;
use crate::delivery::{Attempt, Delivery, EndpointKey, OnDead, Outcome, State, StateName, Turn};
use crate::event::Scope;
use crate::id::{DeliveryId, EventId, MessageId, OrderingKey, TriggerId};
use crate::storage::columns::{self, corrupt};
pub(super) use crate::storage::columns::{headers_json, integer, payload, reason};
use crate::storage::{LoggedAttempt, StorageError};

/// The columns that [`delivery`] reads, of `deliveries d`.
pub(super) const DELIVERY: &str = "d.id, d.message, d.event, d.trigger_id, d.scope, d.state, d.reason, \
                                   d.claim_at, d.attempts, d.created_at, d.ordering, d.blocks, \
                                   d.batched, d.emptied";
/// The first column behind those.
pub(super) const BEHIND_DELIVERY: usize = 14;

/// A state as stored. What is leased is stored as waiting.
pub(super) fn state_number(name: StateName) -> i64 {
    let stored = if name == StateName::Leased { StateName::Waiting } else { name };
    columns::state_number(stored).into()
}

/// From when on a delivery can be claimed, as stored.
pub(super) fn claim_at(state: &State) -> Option<i64> {
    state.claimable_at().map(Timestamp::unix_micros)
}

pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// A count that [`integer`] wrote.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let found: i64 = row.get(column)?;
    Ok(u64::try_from(found).unwrap_or(0))
}

/// Reads the columns of [`DELIVERY`]: a delivery to an endpoint, as it is stored.
pub(super) fn delivery(row: &Row<'_>, endpoint: EndpointKey) -> Result<Delivery, StorageError> {
    let id = DeliveryId::from_bytes(row.get(0).map_err(unavailable)?);
    let state: i16 = row.get(5).map_err(unavailable)?;
    let reason: Option<String> = row.get(6).map_err(unavailable)?;
    let claim_at: Option<i64> = row.get(7).map_err(unavailable)?;
    let state = columns::state(state, reason.as_deref(), claim_at)
        .ok_or_else(|| corrupt("the state of delivery", id))?;
    let scope: String = row.get(4).map_err(unavailable)?;
    let scope: Scope = scope.parse().map_err(|_| corrupt("the scope of delivery", id))?;
    let event = EventId::from_bytes(row.get(2).map_err(unavailable)?);
    let trigger = TriggerId::from_bytes(row.get(3).map_err(unavailable)?);
    Ok(Delivery {
        id,
        message_id: MessageId::from_bytes(row.get(1).map_err(unavailable)?),
        event,
        trigger,
        scope,
        endpoint,
        state,
        attempts: row.get(8).map_err(unavailable)?,
        created_at: Timestamp::from_unix_micros(row.get(9).map_err(unavailable)?),
        turn: turn(row).map_err(unavailable)?,
        batched: row.get::<_, Option<bool>>(12).map_err(unavailable)? == Some(true),
        contents_dropped: row.get(13).map_err(unavailable)?,
    })
}

fn turn(row: &Row<'_>) -> rusqlite::Result<Option<Turn>> {
    let key: Option<[u8; 16]> = row.get(10)?;
    let blocks: Option<bool> = row.get(11)?;
    let on_dead = if blocks == Some(true) { OnDead::Block } else { OnDead::Skip };
    Ok(key.map(|key| Turn { key: OrderingKey::from_bytes(key), on_dead }))
}

/// Reads `position, number, started_at, ended_at, class, retry_after, status, error, response,
/// run`.
pub(super) fn attempt(id: DeliveryId, row: &Row<'_>) -> Result<LoggedAttempt, StorageError> {
    let class: String = row.get(4).map_err(unavailable)?;
    let retry_after: Option<i64> = row.get(5).map_err(unavailable)?;
    let retry_after = retry_after.map(|micros| Duration::from_micros(micros.unsigned_abs()));
    let outcome =
        Outcome::of_class(&class, retry_after).ok_or_else(|| corrupt("the log of delivery", id))?;
    let run: Option<String> = row.get(9).map_err(unavailable)?;
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
            run: run.as_deref().and_then(RunRef::from_json),
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
