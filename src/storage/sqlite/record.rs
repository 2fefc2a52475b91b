//! Records: an event, its deliveries and its cursor moves, all or nothing.

use rusqlite::{OptionalExtension as _, params};

use super::commit::{Session, unavailable};
use super::tally::Line;
use super::{rows, turn};
use crate::clock::Timestamp;
use crate::delivery::{CancelReason, Delivery, EndpointKey, OnDead, State};
use crate::id::{DeliveryId, EventId, OrderingKey};
use crate::payload::Payload;
use crate::storage::{CursorMove, NewEvent, Record, Recorded, StorageError};

pub(super) fn record_all(
    session: &mut Session,
    records: &[Record],
) -> Result<Vec<Recorded>, StorageError> {
    records.iter().map(|one| record(session, one)).collect()
}

pub(super) fn record(session: &mut Session, record: &Record) -> Result<Recorded, StorageError> {
    if !record.cursors.is_empty() {
        if let Some(id) = record.event_id()
            && is_known(session, id)?
        {
            return Ok(Recorded::Duplicate);
        }
        for cursor in &record.cursors {
            if !is_where_expected(session, cursor)? {
                return Ok(Recorded::CursorMoved);
            }
        }
    }
    if let Some(new) = &record.event
        && !insert_event(session, new)?
    {
        return Ok(Recorded::Duplicate);
    }
    for (delivery, payload) in &record.deliveries {
        insert_delivery(session, delivery, payload)?;
    }
    if let Some((first, _)) = record.deliveries.first() {
        for id in &record.supersedes {
            supersede(session, *id, first.created_at)?;
        }
    }
    for cursor in &record.cursors {
        move_cursor(session, cursor)?;
    }
    Ok(Recorded::Stored)
}

/// Cancels a delivery whose place another takes, if it waits or is queued.
fn supersede(session: &Session, id: DeliveryId, now: Timestamp) -> Result<(), StorageError> {
    // What is leased is stored as waiting.
    if session.leases.get(id).is_some() {
        return Ok(());
    }
    let state = State::Cancelled { reason: CancelReason::Superseded };
    let sql = "UPDATE deliveries SET state = ?2, reason = ?3, claim_at = NULL, changed_at = ?4
               WHERE id = ?1 AND state IN (0, 6) RETURNING endpoint, ordering";
    let values = params![
        id.as_bytes(),
        rows::state_number(state.name()),
        rows::reason(&state),
        now.unix_micros(),
    ];
    let mut statement = session.prepare(sql)?;
    let cancelled: Option<(i64, Option<[u8; 16]>)> = statement
        .query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(unavailable)?;
    let Some((endpoint, ordering)) = cancelled else { return Ok(()) };
    session.note_in_line(Line::Deliveries(state.name()), 1);
    session.note_gone(endpoint);
    match ordering {
        Some(key) => turn::next_of(session, OrderingKey::from_bytes(key), now),
        None => Ok(()),
    }
}

fn is_known(session: &Session, id: EventId) -> Result<bool, StorageError> {
    let mut statement = session.prepare("SELECT 1 FROM events WHERE id = ?1")?;
    statement.exists([id.as_bytes()]).map_err(unavailable)
}

/// Stores the event, unless its id is known.
fn insert_event(session: &Session, new: &NewEvent) -> Result<bool, StorageError> {
    let sql = "INSERT OR IGNORE INTO events (id, scope, received_at, document)
               VALUES (?1, ?2, ?3, ?4)";
    let event = &new.event;
    let values = params![
        event.id.as_bytes(),
        event.scope.as_str(),
        event.received_at.unix_micros(),
        &**new.json(),
    ];
    let is_new = session.prepare(sql)?.execute(values).map_err(unavailable)? == 1;
    session.note_in_line(Line::Events, i64::from(is_new));
    Ok(is_new)
}

fn insert_delivery(
    session: &mut Session,
    delivery: &Delivery,
    payload: &Payload,
) -> Result<(), StorageError> {
    let endpoint = endpoint(session, &delivery.endpoint)?;
    let mut delivery = delivery.clone();
    let due = delivery.state.claimable_at().unwrap_or(delivery.created_at);
    delivery.queue();
    let sql = "INSERT OR IGNORE INTO deliveries (id, message, event, trigger_id, scope, endpoint,
                   state, reason, claim_at, attempts, created_at, changed_at, ordering, blocks,
                   batched)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let values = params![
        delivery.id.as_bytes(),
        delivery.message_id.as_bytes(),
        delivery.event.as_bytes(),
        delivery.trigger.as_bytes(),
        delivery.scope.as_str(),
        endpoint,
        rows::state_number(delivery.state.name()),
        rows::reason(&delivery.state),
        rows::claim_at(&delivery.state),
        delivery.attempts,
        delivery.created_at.unix_micros(),
        // Of one that is queued, when it is to be due.
        due.unix_micros(),
        delivery.turn.map(|turn| *turn.key.as_bytes()),
        delivery.turn.map(|turn| turn.on_dead == OnDead::Block),
        delivery.batched.then_some(true),
    ];
    if session.prepare(sql)?.execute(values).map_err(unavailable)? == 0 {
        return Ok(());
    }
    let seq = session.connection.last_insert_rowid();
    session.leases.note_new(seq);
    let sql = "INSERT INTO payloads (delivery, headers, body) VALUES (?1, ?2, ?3)";
    let values = params![seq, rows::headers_json(payload), &*payload.body];
    session.prepare(sql)?.execute(values).map_err(unavailable)?;
    session.note_in_line(Line::Deliveries(delivery.state.name()), 1);
    if let Some(at) = delivery.state.claimable_at() {
        session.note_due(endpoint, at);
    }
    match delivery.turn {
        Some(turn) => turn::next_of(session, turn.key, delivery.created_at),
        None => Ok(()),
    }
}

/// The number of an endpoint, given to it if it has none.
pub(super) fn endpoint(session: &mut Session, key: &EndpointKey) -> Result<i64, StorageError> {
    if let Some(id) = session.endpoints.get(key) {
        return Ok(*id);
    }
    let insert = "INSERT OR IGNORE INTO endpoints (key) VALUES (?1)";
    session.prepare(insert)?.execute([key.as_str()]).map_err(unavailable)?;
    let select = "SELECT id FROM endpoints WHERE key = ?1";
    let id = session
        .prepare(select)?
        .query_row([key.as_str()], |row| row.get(0))
        .map_err(unavailable)?;
    session.endpoints.insert(key.clone(), id);
    session.note_endpoint(id, key);
    Ok(id)
}

fn is_where_expected(session: &Session, cursor: &CursorMove) -> Result<bool, StorageError> {
    let CursorMove::Set { key, expected, .. } = cursor else { return Ok(true) };
    let mut statement = session.prepare("SELECT value FROM cursors WHERE key = ?1")?;
    let found: Option<String> =
        statement.query_row([key], |row| row.get(0)).optional().map_err(unavailable)?;
    Ok(found == *expected)
}

fn move_cursor(session: &Session, cursor: &CursorMove) -> Result<(), StorageError> {
    let moved = match cursor {
        CursorMove::Set { key, value: Some(value), .. } => {
            let sql = "INSERT INTO cursors (key, value) VALUES (?1, ?2)
                       ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            session.prepare(sql)?.execute([key, value])
        }
        CursorMove::Set { key, value: None, .. } => {
            session.prepare("DELETE FROM cursors WHERE key = ?1")?.execute([key])
        }
        CursorMove::RemoveBelow { prefix } => {
            // The bound keeps it to one stretch of the table; no key holds that last character.
            let sql = "DELETE FROM cursors WHERE key >= ?1 AND key < ?1 || char(1114111)";
            session.prepare(sql)?.execute([prefix])
        }
    };
    moved.map(drop).map_err(unavailable)
}
