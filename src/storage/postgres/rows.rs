//! Between rows and values: how ids, deliveries, attempts and payloads are written and read.

use std::borrow::Cow;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::action::RunRef;
use crate::clock::Timestamp;
use crate::delivery::{Attempt, Delivery, EndpointKey, OnDead, Outcome, State, Turn};
use crate::event::Scope;
use crate::id::{DeliveryId, EventId, MessageId, OrderingKey, TriggerId};
use crate::storage::columns::{self, corrupt};
use crate::storage::{LoggedAttempt, StorageError};

/// The columns that [`delivery`] reads, of `deliveries d` and `endpoints e`.
pub(super) const DELIVERY: &str = "d.id, d.message, d.event, d.trigger_id, d.scope, e.key, d.state, \
                                   d.reason, d.claim_at, d.attempts, d.created_at, d.ordering, \
                                   d.blocks, d.batched, d.emptied";
/// How many there are.
pub(super) const DELIVERY_COLUMNS: usize = 15;

/// An id as a column has it.
macro_rules! uuid {
    ($id:expr) => {
        uuid::Uuid::from_bytes(*$id.as_bytes())
    };
}
pub(super) use uuid;

/// What a column holds.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, StorageError> {
    row.try_get(column).map_err(|error| StorageError::Corrupt { reason: error.to_string() })
}

fn bytes(row: &Row, column: usize) -> Result<[u8; 16], StorageError> {
    get::<Uuid>(row, column).map(Uuid::into_bytes)
}

pub(super) fn delivery_id(row: &Row, column: usize) -> Result<DeliveryId, StorageError> {
    bytes(row, column).map(DeliveryId::from_bytes)
}

pub(super) fn event_id(row: &Row, column: usize) -> Result<EventId, StorageError> {
    bytes(row, column).map(EventId::from_bytes)
}

pub(super) fn trigger_id(row: &Row, column: usize) -> Result<TriggerId, StorageError> {
    bytes(row, column).map(TriggerId::from_bytes)
}

pub(super) fn time(row: &Row, column: usize) -> Result<Timestamp, StorageError> {
    get(row, column).map(Timestamp::from_unix_micros)
}

/// A count that [`columns::integer`] wrote.
pub(super) fn count(row: &Row, column: usize) -> Result<u64, StorageError> {
    Ok(u64::try_from(get::<i64>(row, column)?).unwrap_or(0))
}

/// A number of attempts.
fn number(row: &Row, column: usize) -> Result<u32, StorageError> {
    Ok(u32::try_from(get::<i64>(row, column)?).unwrap_or(u32::MAX))
}

/// Reads the columns of [`DELIVERY`].
pub(super) fn delivery(row: &Row) -> Result<Delivery, StorageError> {
    let id = delivery_id(row, 0)?;
    let (state, reason) = (get(row, 6)?, get::<Option<&str>>(row, 7)?);
    let state = columns::state(state, reason, get(row, 8)?)
        .ok_or_else(|| corrupt("the state of delivery", id))?;
    let scope: Scope =
        get::<&str>(row, 4)?.parse().map_err(|_| corrupt("the scope of delivery", id))?;
    let endpoint: Option<&str> = get(row, 5)?;
    let endpoint = endpoint.ok_or_else(|| corrupt("the endpoint of delivery", id))?;
    Ok(Delivery {
        id,
        message_id: MessageId::from_bytes(bytes(row, 1)?),
        event: event_id(row, 2)?,
        trigger: trigger_id(row, 3)?,
        scope,
        endpoint: EndpointKey::new(endpoint),
        state,
        attempts: number(row, 9)?,
        created_at: time(row, 10)?,
        turn: turn(row)?,
        batched: get(row, 13)?,
        contents_dropped: get(row, 14)?,
    })
}

fn turn(row: &Row) -> Result<Option<Turn>, StorageError> {
    let blocks: Option<bool> = get(row, 12)?;
    let on_dead = if blocks == Some(true) { OnDead::Block } else { OnDead::Skip };
    Ok(get::<Option<Uuid>>(row, 11)?
        .map(|key| Turn { key: OrderingKey::from_bytes(key.into_bytes()), on_dead }))
}

/// Reads `position, number, started_at, ended_at, class, retry_after, status, error, response,
/// run`.
pub(super) fn attempt(id: DeliveryId, row: &Row) -> Result<LoggedAttempt, StorageError> {
    let retry_after: Option<i64> = get(row, 5)?;
    let retry_after = retry_after.map(|micros| Duration::from_micros(micros.unsigned_abs()));
    let outcome = Outcome::of_class(get(row, 4)?, retry_after)
        .ok_or_else(|| corrupt("the log of delivery", id))?;
    let status: Option<i32> = get(row, 6)?;
    let mut attempt = Attempt::new(number(row, 1)?, time(row, 2)?, time(row, 3)?, outcome);
    attempt.status = status.and_then(|status| u16::try_from(status).ok());
    (attempt.error, attempt.response) = (get(row, 7)?, get(row, 8)?);
    attempt.run = get::<Option<&str>>(row, 9)?.and_then(RunRef::from_json);
    let position = u64::try_from(get::<i32>(row, 0)?).unwrap_or(0);
    Ok(LoggedAttempt { position, attempt })
}

/// A text as PostgreSQL can have it: without the character that it has no place for.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// A span of time in microseconds, so that any time can have it added and be told.
pub(crate) fn span(span: Duration) -> i64 {
    const MOST: i64 = i64::MAX / 4;
    i64::try_from(span.as_micros()).map_or(MOST, |micros| micros.min(MOST))
}

/// How much later a time is than another, in microseconds; less than nothing if it is earlier.
pub(super) fn later(at: Timestamp, than: Timestamp) -> i64 {
    at.unix_micros() - than.unix_micros()
}

/// A delivery whose state is to be written is waiting or leased from then on, told as a span.
pub(super) fn claim_after(state: &State, now: Timestamp) -> Option<i64> {
    state.claimable_at().map(|at| later(at, now))
}
