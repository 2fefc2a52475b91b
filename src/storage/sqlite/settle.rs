//! Settlements: what came of leases, with its log and the events that follow; and replay.

use std::fmt::Write as _;

use rusqlite::params;

use super::commit::{Session, unavailable};
use super::leases::{ById, Held};
use super::query::select;
use super::record::{self, record};
use super::tally::Line;
use super::{rows, turn};
use crate::action::RunRef;
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
    let Some(mut held) = session.leases.held(settle.lease) else {
        return Ok(Settled::LeaseLost);
    };
    let id = settle.lease.delivery;
    for attempt in &settle.attempts {
        held.logged += 1;
        log(session, &held, attempt)?;
    }
    if let Settlement::Extended { until } = settle.settlement {
        if !settle.attempts.is_empty() {
            write_logged(session, &held)?;
        }
        session.leases.extend(id, held, until);
    } else {
        write_state(session, &held, &settle.settlement, now)?;
        session.leases.end(id);
    }
    session.note_gone(held.endpoint);
    if let Some(at) = settle.settlement.state().claimable_at() {
        session.note_due(held.endpoint, at);
    }
    for follows in &settle.records {
        record(session, follows)?;
    }
    if let Some(key) = held.ordering {
        turn::next_of(session, key, now)?;
    }
    Ok(Settled::Done)
}

fn write_state(
    session: &Session,
    held: &Held,
    settlement: &Settlement,
    now: Timestamp,
) -> Result<(), StorageError> {
    let state = settlement.state();
    let sql = "UPDATE deliveries SET state = ?2, reason = ?3, claim_at = ?4, changed_at = ?5,
                   attempts = ?6, logged = ?7 WHERE seq = ?1";
    let attempts = held.attempts.saturating_sub(u32::from(!settlement.counts_attempt()));
    let values = params![
        held.seq,
        rows::state_number(state.name()),
        rows::reason(&state),
        rows::claim_at(&state),
        now.unix_micros(),
        attempts,
        held.logged,
    ];
    session.prepare(sql)?.execute(values).map_err(unavailable)?;
    session.note_in_line(Line::Deliveries(state.name()), 1);
    Ok(())
}

fn write_logged(session: &Session, held: &Held) -> Result<(), StorageError> {
    let sql = "UPDATE deliveries SET logged = ?2 WHERE seq = ?1";
    session.prepare(sql)?.execute([held.seq, held.logged]).map(drop).map_err(unavailable)
}

fn log(session: &Session, held: &Held, attempt: &Attempt) -> Result<(), StorageError> {
    let sql = "INSERT INTO attempts (delivery, position, number, started_at, ended_at, class,
                   retry_after, status, error, response, run)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let values = params![
        held.seq,
        held.logged,
        attempt.number,
        attempt.started_at.unix_micros(),
        attempt.ended_at.unix_micros(),
        attempt.outcome.class(),
        rows::retry_after(&attempt.outcome),
        attempt.status,
        attempt.error,
        attempt.response,
        attempt.run.as_ref().map(RunRef::to_json),
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
    // What is dead or parked is not leased.
    let selected = select(session, &replay.query, &replayable, &ById::new())?.items;
    let sql = "UPDATE deliveries SET state = ?2, reason = ?7, claim_at = ?3, attempts = ?4,
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
            rows::reason(&delivery.state),
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
