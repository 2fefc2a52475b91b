//! Settlements: what came of leases, with its log and the events that follow; and replay.

use rusqlite::params;

use super::claim::held;
use super::commit::{Session, unavailable};
use super::query::selection;
use super::record::record;
use super::rows;
use crate::clock::Timestamp;
use crate::delivery::{Attempt, Settlement, State};
use crate::id::DeliveryId;
use crate::storage::{Replay, Settle, Settled, StorageError};

pub(super) fn settle_all(
    session: &mut Session,
    settlements: &[Settle],
    now: Timestamp,
) -> Result<Vec<Settled>, StorageError> {
    settlements.iter().map(|one| settle(session, one, now)).collect()
}

fn settle(session: &mut Session, settle: &Settle, now: Timestamp) -> Result<Settled, StorageError> {
    let Some(seq) = held(session, settle.lease)? else { return Ok(Settled::LeaseLost) };
    write_state(session, seq, &settle.settlement, now)?;
    for attempt in &settle.attempts {
        log(session, seq, attempt)?;
    }
    for follows in &settle.records {
        record(session, follows)?;
    }
    Ok(Settled::Done)
}

fn write_state(
    session: &Session,
    seq: i64,
    settlement: &Settlement,
    now: Timestamp,
) -> Result<(), StorageError> {
    let state = settlement.state();
    let sql = "UPDATE deliveries SET state = ?2, reason = ?3, claim_at = ?4, changed_at = ?5,
                   attempts = max(attempts - ?6, 0) WHERE seq = ?1";
    let values = params![
        seq,
        rows::state_number(state.name()),
        rows::reason(&state),
        rows::claim_at(&state),
        now.unix_micros(),
        i64::from(!settlement.counts_attempt()),
    ];
    session.prepare(sql)?.execute(values).map(drop).map_err(unavailable)
}

fn log(session: &Session, seq: i64, attempt: &Attempt) -> Result<(), StorageError> {
    let sql = "INSERT INTO attempts (delivery, position, number, started_at, ended_at, class,
                   retry_after, status, error, response)
               VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM attempts WHERE delivery = ?1),
                   ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = params![
        seq,
        attempt.number,
        attempt.started_at.unix_micros(),
        attempt.ended_at.unix_micros(),
        attempt.outcome.class(),
        rows::retry_after(&attempt.outcome),
        attempt.status,
        attempt.error,
        attempt.response,
    ];
    session.prepare(sql)?.execute(values).map(drop).map_err(unavailable)
}

pub(super) fn replay(session: &Session, replay: &Replay) -> Result<Vec<DeliveryId>, StorageError> {
    let (condition, values) = selection(&replay.query);
    let sql = format!(
        "SELECT d.id FROM deliveries d WHERE {condition} AND d.claim_at IS NULL AND d.state IN (3, 5)
         ORDER BY d.id LIMIT {}",
        rows::integer(replay.query.limit)
    );
    let mut statement = session.prepare(&sql)?;
    let ids = statement
        .query_map(rusqlite::params_from_iter(values), |row| row.get(0).map(DeliveryId::from_bytes))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unavailable)?;
    let due = State::Waiting { due: replay.due };
    let sql = "UPDATE deliveries SET state = 0, reason = NULL, claim_at = ?2, attempts = 0
               WHERE id = ?1";
    for id in &ids {
        let values = params![id.as_bytes(), rows::claim_at(&due)];
        session.prepare(sql)?.execute(values).map_err(unavailable)?;
    }
    Ok(ids)
}
