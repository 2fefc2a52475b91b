//! Settlements: what came of leases, with its log and the events that follow; and replay.

use std::fmt::Write as _;

use rusqlite::params;

use super::claim::held;
use super::commit::{Session, unavailable};
use super::query::select;
use super::record::{self, record};
use super::tally::Line;
use super::{rows, turn};
use crate::clock::Timestamp;
use crate::delivery::{Attempt, Delivery, Settlement};
use crate::id::DeliveryId;
use crate::storage::{Fate, Replay, Settle, Settled, StorageError};

pub(super) fn settle_all(
    session: &mut Session,
    settlements: &[Settle],
    now: Timestamp,
) -> Result<Vec<Settled>, StorageError> {
    settlements.iter().map(|one| settle(session, one, now)).collect()
}

fn settle(session: &mut Session, settle: &Settle, now: Timestamp) -> Result<Settled, StorageError> {
    let Some((seq, endpoint)) = held(session, settle.lease)? else {
        return Ok(Settled::LeaseLost);
    };
    write_state(session, seq, &settle.settlement, now)?;
    session.note_gone(endpoint);
    if let Some(at) = settle.settlement.state().claimable_at() {
        session.note_due(endpoint, at);
    }
    for attempt in &settle.attempts {
        log(session, seq, attempt)?;
    }
    for follows in &settle.records {
        record(session, follows)?;
    }
    turn::next_after(session, settle.lease.delivery, now)?;
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
    session.prepare(sql)?.execute(values).map_err(unavailable)?;
    session.note_in_line(Line::Deliveries(state.name()), 1);
    Ok(())
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

pub(super) fn replay(
    session: &mut Session,
    replay: &Replay,
) -> Result<Vec<DeliveryId>, StorageError> {
    let mut replayable = "d.claim_at IS NULL AND d.state IN (3, 5)".to_owned();
    if replay.fate != Fate::Discarded {
        replayable.push_str(" AND d.emptied = 0");
    }
    if let Some(since) = replay.unchanged_since {
        let _ = write!(replayable, " AND d.changed_at <= {}", since.unix_micros());
    }
    let selected = select(session, &replay.query, &replayable)?.items;
    let sql = "UPDATE deliveries SET state = ?2, reason = NULL, claim_at = ?3, attempts = ?4,
                   message = ?5, changed_at = ?6, aside = NULL WHERE id = ?1";
    let mut ids = Vec::with_capacity(selected.len());
    for (n, mut delivery) in (0..).zip(selected) {
        leave_line(session, &delivery)?;
        let changed_at = replay.apply(&mut delivery, n);
        let values = params![
            delivery.id.as_bytes(),
            rows::state_number(delivery.state.name()),
            rows::claim_at(&delivery.state),
            delivery.attempts,
            delivery.message_id.as_bytes(),
            changed_at.unix_micros(),
        ];
        session.prepare(sql)?.execute(values).map_err(unavailable)?;
        session.note_in_line(Line::Deliveries(delivery.state.name()), 1);
        if let Some(at) = delivery.state.claimable_at() {
            let endpoint = record::endpoint(session, &delivery.endpoint)?;
            session.note_due(endpoint, at);
        }
        ids.push(delivery.id);
    }
    for id in &ids {
        turn::next_after(session, *id, replay.now)?;
    }
    Ok(ids)
}

/// Takes in that a delivery leaves the line of its state, unless it stands aside.
fn leave_line(session: &Session, delivery: &Delivery) -> Result<(), StorageError> {
    let sql = "SELECT 1 FROM deliveries WHERE id = ?1 AND aside IS NULL";
    let stands = session.prepare(sql)?.exists([delivery.id.as_bytes()]).map_err(unavailable)?;
    session.note_in_line(Line::Deliveries(delivery.state.name()), -i64::from(stands));
    Ok(())
}
