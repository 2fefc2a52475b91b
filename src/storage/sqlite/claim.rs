//! Claims: due deliveries under a lease, endpoint by endpoint.
//!
//! The index `claimable` has the endpoint first and then the time, so what is due of an endpoint is
//! one look-up, however long its backlog is; which endpoints are due is known without one.

use std::collections::HashMap;
use std::ops::Bound;

use rusqlite::{OptionalExtension as _, params};

use super::commit::{Session, unavailable};
use super::first_due::Endpoint;
use super::tally::Line;
use super::{batched, rows, turn};
use crate::clock::Timestamp;
use crate::delivery::{Claimed, DeadReason, EndpointKey, Lease, State, StateName};
use crate::id::{DeliveryId, OrderingKey};
use crate::storage::{Claim, ClaimOf, Claims, StorageError};

/// Gives up every lease: their deliveries are due at once. The attempts stay counted.
pub(super) const RELEASE_ALL: &str =
    "UPDATE deliveries SET state = 0, claim_at = 0 WHERE state = 1 AND claim_at IS NOT NULL";

pub(super) fn claim(session: &mut Session, claim: &Claim) -> Result<Claims, StorageError> {
    let quotas: HashMap<&EndpointKey, usize> =
        claim.quotas.iter().map(|(key, quota)| (key, *quota)).collect();
    let mut claims = Claims::default();
    match &claim.of {
        ClaimOf::Endpoints => {}
        ClaimOf::One(id) => {
            claims.deliveries.extend(take_one(session, *id, claim)?);
            return Ok(claims);
        }
        ClaimOf::Companions(all) => {
            claims.deliveries = batched::take(session, all, claim)?;
            return Ok(claims);
        }
    }
    let mut first_due = session.take_first_due()?;
    let mut buried = false;
    // From the one behind the last that was served to the end, then from the beginning up to it.
    let turn = session.turn;
    let behind = (Bound::Excluded(turn), Bound::Unbounded);
    let before = (Bound::Unbounded, Bound::Included(turn));
    'turns: for range in [behind, before] {
        for (id, endpoint) in first_due.range_mut(range) {
            let quota = quotas.get(&endpoint.key).copied().unwrap_or(claim.per_endpoint);
            if quota == 0 {
                continue;
            }
            let room = quota.min(claim.limit - claims.deliveries.len());
            let due = take(session, (*id, endpoint), claim, room, &mut claims.deliveries)?;
            claims.note_left(due.next, claim.due_by);
            buried |= due.buried;
            if claims.deliveries.len() >= claim.limit {
                session.turn = *id;
                break 'turns;
            }
        }
    }
    // What was behind a dead letter in its order may be due now, to whatever endpoint.
    if !buried {
        session.first_due.replace(Some(first_due));
    }
    Ok(claims)
}

/// What was left of an endpoint.
struct Left {
    /// When the next delivery of it is due.
    next: Option<Timestamp>,
    /// Whether there was one that could not be read.
    buried: bool,
}

/// Takes what is due of an endpoint, as far as there is room. Tells what was left.
fn take(
    session: &Session,
    (id, endpoint): (i64, &mut Endpoint),
    claim: &Claim,
    room: usize,
    taken: &mut Vec<Claimed>,
) -> Result<Left, StorageError> {
    if std::mem::take(&mut endpoint.may_be_later) {
        endpoint.first = claim_at(session, id, 0)?;
    }
    if endpoint.first.is_none_or(|first| first > claim.due_by) {
        return Ok(Left { next: endpoint.first, buried: false });
    }
    let before = taken.len();
    let mut buried = false;
    let mut room = room;
    let next = loop {
        let due = due(session, id, claim.due_by, room)?;
        let next = claim_at(session, id, due.len())?;
        room = 0;
        for (seq, found) in due {
            if let Ok(claimed) = found {
                taken.push(lease(session, seq, claimed, claim)?);
            } else {
                bury(session, seq, claim.now)?;
                buried = true;
                room += 1;
            }
        }
        if room == 0 {
            break next;
        }
    };
    endpoint.first = next;
    if taken.len() > before {
        endpoint.note(claim.now + claim.lease);
    }
    Ok(Left { next, buried })
}

/// Takes one delivery, if it is due.
fn take_one(
    session: &Session,
    id: DeliveryId,
    claim: &Claim,
) -> Result<Option<Claimed>, StorageError> {
    let sql = format!(
        "SELECT {}, d.token, d.seq, p.headers, p.body
         FROM deliveries d
         JOIN endpoints e ON e.id = d.endpoint LEFT JOIN payloads p ON p.delivery = d.seq
         WHERE d.id = ?1 AND d.claim_at <= ?2",
        rows::DELIVERY
    );
    let mut statement = session.prepare(&sql)?;
    let values = params![id.as_bytes(), claim.due_by.unix_micros()];
    let mut found = statement.query(values).map_err(unavailable)?;
    let Some(row) = found.next().map_err(unavailable)? else { return Ok(None) };
    // It is known anew when it is next asked for.
    session.first_due.take();
    let seq = row.get(SEQ).map_err(unavailable)?;
    lease(session, seq, due_delivery(row)?, claim).map(Some)
}

/// Where [`due_delivery`] finds what is behind the columns of [`rows::DELIVERY`].
const TOKEN: usize = 15;
pub(super) const SEQ: usize = 16;
const HEADERS: usize = 17;
const BODY: usize = 18;

/// What a row holds, unless it cannot be read; with its place.
type Found = (i64, Result<Claimed, StorageError>);

fn due(
    session: &Session,
    endpoint: i64,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Found>, StorageError> {
    let sql = format!(
        "SELECT {}, d.token, d.seq, p.headers, p.body
         FROM deliveries d INDEXED BY claimable
         JOIN endpoints e ON e.id = d.endpoint LEFT JOIN payloads p ON p.delivery = d.seq
         WHERE d.claim_at IS NOT NULL AND d.endpoint = ?1 AND d.claim_at <= ?2
         ORDER BY d.claim_at, d.id LIMIT ?3",
        rows::DELIVERY
    );
    let mut statement = session.prepare(&sql)?;
    let values = params![endpoint, now.unix_micros(), rows::integer(limit)];
    let mut found = statement.query(values).map_err(unavailable)?;
    let mut due = Vec::new();
    while let Some(row) = found.next().map_err(unavailable)? {
        due.push((row.get(SEQ).map_err(unavailable)?, due_delivery(row)));
    }
    Ok(due)
}

/// Makes a dead letter of what cannot be read.
pub(super) fn bury(session: &Session, seq: i64, now: Timestamp) -> Result<(), StorageError> {
    let sql = "UPDATE deliveries SET state = 3, reason = ?2, claim_at = NULL, changed_at = ?3
               WHERE seq = ?1 RETURNING ordering";
    let values = params![seq, DeadReason::Unreadable.as_str(), now.unix_micros()];
    let mut statement = session.prepare(sql)?;
    let ordering: Option<Vec<u8>> =
        statement.query_row(values, |row| row.get(0)).map_err(unavailable)?;
    session.note_in_line(Line::Deliveries(StateName::Dead), 1);
    match ordering.and_then(|key| key.try_into().ok()) {
        Some(key) => turn::next_of(session, OrderingKey::from_bytes(key), now),
        None => Ok(()),
    }
}

pub(super) fn due_delivery(row: &rusqlite::Row<'_>) -> Result<Claimed, StorageError> {
    let delivery = rows::delivery(row)?;
    let token = rows::count(row, TOKEN).map_err(unavailable)?;
    let headers: String = row.get(HEADERS).map_err(unavailable)?;
    let body = row.get_ref(BODY).map_err(unavailable)?;
    let body = body.as_blob().map_err(|error| unavailable(error.into()))?;
    let payload = rows::payload(delivery.id, &headers, body)?;
    let lease = Lease { delivery: delivery.id, token };
    let due = delivery.state.claimable_at().unwrap_or(Timestamp::MIN);
    Ok(Claimed { lease, delivery, due, payload })
}

pub(super) fn lease(
    session: &Session,
    seq: i64,
    mut claimed: Claimed,
    claim: &Claim,
) -> Result<Claimed, StorageError> {
    let until = claim.now + claim.lease;
    claimed.lease.token = claimed.lease.token.saturating_add(1);
    claimed.delivery.attempts = claimed.delivery.attempts.saturating_add(1);
    claimed.delivery.state = State::Leased { until };
    let sql = "UPDATE deliveries SET state = 1, claim_at = ?2, attempts = ?3, token = ?4
               WHERE seq = ?1";
    let values = params![
        seq,
        until.unix_micros(),
        claimed.delivery.attempts,
        rows::integer(claimed.lease.token)
    ];
    session.prepare(sql)?.execute(values).map_err(unavailable)?;
    Ok(claimed)
}

/// When the delivery of an endpoint can be claimed that has so many before it.
fn claim_at(
    session: &Session,
    endpoint: i64,
    before: usize,
) -> Result<Option<Timestamp>, StorageError> {
    let sql = "SELECT claim_at FROM deliveries INDEXED BY claimable
               WHERE claim_at IS NOT NULL AND endpoint = ?1 ORDER BY claim_at, id LIMIT 1 OFFSET ?2";
    let mut statement = session.prepare(sql)?;
    let values = params![endpoint, rows::integer(before)];
    let at: Option<i64> =
        statement.query_row(values, |row| row.get(0)).optional().map_err(unavailable)?;
    Ok(at.map(Timestamp::from_unix_micros))
}

/// The place of a delivery and its endpoint, if a lease is the latest of it and it is still leased.
pub(super) fn held(session: &Session, lease: Lease) -> Result<Option<(i64, i64)>, StorageError> {
    let sql = "SELECT seq, endpoint FROM deliveries WHERE id = ?1 AND token = ?2 AND state = 1";
    let mut statement = session.prepare(sql)?;
    let values = params![lease.delivery.as_bytes(), rows::integer(lease.token)];
    statement
        .query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(unavailable)
}
