//! Batched: claims of what may go in one request with others.
//!
//! The index `deliveries_in_batches` has the trigger and the endpoint first, then whether it was
//! not attempted, and then the time: what is given of each kind is one look-up, whatever else
//! waits.

use rusqlite::params;

use super::claim::{Found, bury, find, lease};
use super::commit::{Session, unavailable};
use super::due::{Due, InTurn};
use super::record;
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
        let (due, unreadable) = companions(session, asked, endpoint, claim.due_by, limit)?;
        session.note_gone(endpoint);
        for found in due {
            given.push(lease(session, endpoint, found, claim)?);
            session.note_due(endpoint, claim.now + claim.lease);
        }
        for one in unreadable {
            bury(session, one, claim.now)?;
        }
    }
    Ok(given)
}

/// What may be given, as far as there is room, and what of it cannot be read.
fn companions(
    session: &Session,
    asked: &Companions,
    endpoint: i64,
    now: Timestamp,
    limit: usize,
) -> Result<(Vec<Found>, Vec<Due>), StorageError> {
    let (mut due, mut unreadable, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
    let mut statement = session.prepare(COMPANIONS)?;
    let ever = Timestamp::MIN;
    for (is_new, after, until) in [(true, now, asked.until), (false, ever, now), (true, ever, now)]
    {
        let trigger = asked.trigger.as_bytes();
        let (after, by) = (after.unix_micros(), until.unix_micros());
        let values = params![trigger, endpoint, is_new, after, by];
        let rows = statement.query(values).map_err(unavailable)?;
        // What is leased was attempted.
        let leased = session.leases.of_batch(endpoint, asked.trigger);
        let leased = leased.take_while(|one| !is_new && one.at <= until);
        let mut in_turn = InTurn::new(rows, &session.leases, leased)?;
        while due.len() < limit
            && let Some(one) = in_turn.next()?
        {
            let Ok(found) = find(session, one, &asked.endpoint)? else {
                unreadable.push(one);
                continue;
            };
            bytes = bytes.saturating_add(found.claimed.payload.body.len());
            if bytes > asked.max_bytes {
                return Ok((due, unreadable));
            }
            due.push(found);
        }
    }
    Ok((due, unreadable))
}

/// What may go with others of a trigger to an endpoint, of those that were attempted or not, from
/// when on until when.
const COMPANIONS: &str = "SELECT claim_at, id, seq FROM deliveries INDEXED BY deliveries_in_batches
     WHERE batched = 1 AND claim_at IS NOT NULL AND trigger_id = ?1 AND endpoint = ?2
         AND (attempts = 0) = ?3 AND claim_at > ?4 AND claim_at <= ?5
     ORDER BY claim_at, id";
