//! Claims: due deliveries under a lease, endpoint by endpoint.
//!
//! The index `claimable` has the endpoint first and then the time, so what is due of an endpoint is
//! one look-up, however long its backlog is; which endpoints are due is known without one. A claim
//! writes nothing, but counts what may have ended the process before this one.

use std::collections::HashMap;
use std::ops::Bound;

use rusqlite::{OptionalExtension as _, Row, params};

use super::commit::{Session, unavailable};
use super::due::{Due, InTurn};
use super::first_due::Endpoint;
use super::tally::Line;
use super::{companions, rows, turn};
use crate::clock::Timestamp;
use crate::delivery::{Claimed, DeadReason, EndpointKey, Lease, StateName};
use crate::id::{DeliveryId, OrderingKey};
use crate::storage::{Claim, ClaimOf, Claims, StorageError};

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
            claims.deliveries = companions::take(session, all, claim)?;
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
    session: &mut Session,
    (id, endpoint): (i64, &mut Endpoint),
    claim: &Claim,
    room: usize,
    taken: &mut Vec<Claimed>,
) -> Result<Left, StorageError> {
    let is_known = !std::mem::take(&mut endpoint.is_unknown);
    if is_known && endpoint.first.is_none_or(|first| first > claim.due_by) {
        return Ok(Left { next: endpoint.first, buried: false });
    }
    let before = taken.len();
    let mut buried = false;
    let mut room = room;
    let next = loop {
        let (due, next) = due(session, id, claim.due_by, room)?;
        room = 0;
        for one in due {
            if let Ok(found) = find(session, one, &endpoint.key)? {
                taken.push(lease(session, id, found, claim)?);
            } else {
                bury(session, one, claim.now)?;
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

/// What of an endpoint can be claimed by a time, as far as there is room, and when the next one
/// can.
fn due(
    session: &Session,
    endpoint: i64,
    by: Timestamp,
    room: usize,
) -> Result<(Vec<Due>, Option<Timestamp>), StorageError> {
    let mut statement = session.prepare(CLAIMABLE)?;
    let rows = statement.query([endpoint]).map_err(unavailable)?;
    let leases = &session.leases;
    let mut in_turn = InTurn::new(rows, leases, leases.of_endpoint(endpoint))?;
    let mut due = Vec::new();
    loop {
        match in_turn.next()? {
            Some(one) if due.len() < room && one.at <= by => due.push(one),
            next => return Ok((due, next.map(|one| one.at))),
        }
    }
}

/// What waits for an endpoint, read as far as it is asked for.
pub(super) const CLAIMABLE: &str = "SELECT claim_at, id, seq FROM deliveries INDEXED BY claimable
     WHERE claim_at IS NOT NULL AND endpoint = ?1 ORDER BY claim_at, id";

/// Takes one delivery, if it is due and can be read.
fn take_one(
    session: &mut Session,
    id: DeliveryId,
    claim: &Claim,
) -> Result<Option<Claimed>, StorageError> {
    let sql = "SELECT d.claim_at, d.seq, d.endpoint, e.key
               FROM deliveries d JOIN endpoints e ON e.id = d.endpoint
               WHERE d.id = ?1 AND d.claim_at IS NOT NULL";
    let found: Option<(i64, i64, i64, String)> = session
        .prepare(sql)?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()
        .map_err(unavailable)?;
    let Some((at, seq, endpoint, key)) = found else { return Ok(None) };
    let waits = Timestamp::from_unix_micros(at);
    let at = session.leases.get(id).map_or(waits, |held| held.until);
    if at > claim.due_by {
        return Ok(None);
    }
    let due = Due { at, id, seq };
    let Ok(found) = find(session, due, &EndpointKey::new(key))? else {
        bury(session, due, claim.now)?;
        return Ok(None);
    };
    session.note_gone(endpoint);
    session.note_due(endpoint, claim.now + claim.lease);
    lease(session, endpoint, found, claim).map(Some)
}

/// A delivery that is to be given, with its place and how many attempts are in its log.
pub(super) struct Found {
    pub(super) claimed: Claimed,
    seq: i64,
    logged: i64,
}

/// Reads a delivery that is due. The inner error is of one that cannot be read.
pub(super) fn find(
    session: &Session,
    due: Due,
    endpoint: &EndpointKey,
) -> Result<Result<Found, StorageError>, StorageError> {
    let sql = format!(
        "SELECT {}, d.logged, p.headers, p.body
         FROM deliveries d LEFT JOIN payloads p ON p.delivery = d.seq WHERE d.seq = ?1",
        rows::DELIVERY
    );
    let mut statement = session.prepare(&sql)?;
    let mut found = statement.query([due.seq]).map_err(unavailable)?;
    let row = found.next().map_err(unavailable)?;
    let missing = || StorageError::Corrupt { reason: "a row of an index is missing".to_owned() };
    Ok(read(session, row.ok_or_else(missing)?, due, endpoint))
}

fn read(
    session: &Session,
    row: &Row<'_>,
    due: Due,
    endpoint: &EndpointKey,
) -> Result<Found, StorageError> {
    let mut delivery = rows::delivery(row, endpoint.clone())?;
    if let Some(held) = session.leases.get(delivery.id) {
        held.show(&mut delivery);
    }
    let logged = row.get(rows::BEHIND_DELIVERY).map_err(unavailable)?;
    let headers: String = row.get(rows::BEHIND_DELIVERY + 1).map_err(unavailable)?;
    let body = row.get_ref(rows::BEHIND_DELIVERY + 2).map_err(unavailable)?;
    let body = body.as_blob().map_err(|error| unavailable(error.into()))?;
    let payload = rows::payload(delivery.id, &headers, body)?;
    let lease = Lease { delivery: delivery.id, token: 0 };
    let claimed = Claimed { lease, delivery, due: due.at, payload };
    Ok(Found { claimed, seq: due.seq, logged })
}

/// Gives a delivery of an endpoint.
pub(super) fn lease(
    session: &mut Session,
    endpoint: i64,
    found: Found,
    claim: &Claim,
) -> Result<Claimed, StorageError> {
    let Found { mut claimed, seq, logged } = found;
    session.leases.give(&mut claimed, (seq, endpoint, logged), claim);
    if session.leases.is_suspect(seq) {
        let sql = "UPDATE deliveries SET attempts = ?2 WHERE seq = ?1";
        let values = params![seq, claimed.delivery.attempts];
        session.prepare(sql)?.execute(values).map_err(unavailable)?;
    }
    Ok(claimed)
}

/// Makes a dead letter of what cannot be read.
pub(super) fn bury(session: &mut Session, due: Due, now: Timestamp) -> Result<(), StorageError> {
    session.leases.end(due.id);
    let sql = "UPDATE deliveries SET state = 3, reason = ?2, claim_at = NULL, changed_at = ?3
               WHERE seq = ?1 RETURNING ordering";
    let values = params![due.seq, DeadReason::Unreadable.as_str(), now.unix_micros()];
    let mut statement = session.prepare(sql)?;
    let ordering: Option<Vec<u8>> =
        statement.query_row(values, |row| row.get(0)).map_err(unavailable)?;
    session.note_in_line(Line::Deliveries(StateName::Dead), 1);
    match ordering.and_then(|key| key.try_into().ok()) {
        Some(key) => turn::next_of(session, OrderingKey::from_bytes(key), now),
        None => Ok(()),
    }
}
