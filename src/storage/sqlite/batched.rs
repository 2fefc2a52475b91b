//! Batched: claims of what may go in one request with others.
//!
//! The index `deliveries_in_batches` has the trigger and the endpoint first, then whether it was not
//! attempted, and then the time: what is given of each kind is one look-up, whatever else waits.

use rusqlite::params;

use super::claim::{SEQ, bury, due_delivery, lease};
use super::commit::{Session, unavailable};
use super::{record, rows};
use crate::clock::Timestamp;
use crate::delivery::Claimed;
use crate::storage::{Claim, Companions, StorageError};

pub(super) fn take(
    session: &mut Session,
    all: &[Companions],
    claim: &Claim,
) -> Result<Vec<Claimed>, StorageError> {
    let mut given = Vec::new();
    for asked in all {
        let limit = asked.limit.min(claim.limit - given.len());
        let endpoint = record::endpoint(session, &asked.endpoint)?;
        let due = companions(session, asked, endpoint, claim.due_by, limit)?;
        session.note_gone(endpoint);
        for (seq, claimed) in due {
            given.push(lease(session, seq, claimed, claim)?);
            session.note_due(endpoint, claim.now + claim.lease);
        }
    }
    Ok(given)
}

/// What may be given, with its place, as far as there is room. What cannot be read on the way becomes
/// a dead letter.
fn companions(
    session: &Session,
    asked: &Companions,
    endpoint: i64,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(i64, Claimed)>, StorageError> {
    let sql = format!(
        "SELECT {}, d.token, d.seq, p.headers, p.body
         FROM deliveries d INDEXED BY deliveries_in_batches
         JOIN endpoints e ON e.id = d.endpoint LEFT JOIN payloads p ON p.delivery = d.seq
         WHERE d.batched = 1 AND d.claim_at IS NOT NULL AND d.trigger_id = ?1 AND d.endpoint = ?2
             AND (d.attempts = 0) = ?3 AND d.claim_at > ?4 AND d.claim_at <= ?5
         ORDER BY d.claim_at, d.id",
        rows::DELIVERY
    );
    let (mut due, mut unreadable, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
    let mut statement = session.prepare(&sql)?;
    let ever = Timestamp::MIN;
    'room: for (is_new, after, until) in
        [(true, now, asked.until), (false, ever, now), (true, ever, now)]
    {
        let trigger = asked.trigger.as_bytes();
        let (after, until) = (after.unix_micros(), until.unix_micros());
        let values = params![trigger, endpoint, is_new, after, until];
        let mut found = statement.query(values).map_err(unavailable)?;
        while due.len() < limit
            && let Some(row) = found.next().map_err(unavailable)?
        {
            let seq = row.get(SEQ).map_err(unavailable)?;
            let Ok(claimed) = due_delivery(row) else {
                unreadable.push(seq);
                continue;
            };
            bytes = bytes.saturating_add(claimed.payload.body.len());
            if bytes > asked.max_bytes {
                break 'room;
            }
            due.push((seq, claimed));
        }
    }
    for seq in unreadable {
        bury(session, seq, now)?;
    }
    Ok(due)
}
