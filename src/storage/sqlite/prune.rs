//! Pruning: deletes what is final and old, a bounded piece at a time.

use std::collections::BTreeSet;

use rusqlite::params;

use super::commit::{Session, unavailable};
use super::rows::integer;
use super::turn;
use crate::clock::Timestamp;
use crate::id::OrderingKey;
use crate::storage::{Pruned, StorageError};

pub(super) fn prune(
    session: &Session,
    before: Timestamp,
    limit: usize,
) -> Result<Pruned, StorageError> {
    let deliveries = prune_deliveries(session, before, limit)?;
    let unheard = "DELETE FROM events WHERE seq IN (
                       SELECT seq FROM events v WHERE received_at < ?1
                           AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = v.id)
                       ORDER BY received_at LIMIT ?2)";
    let events = session.prepare(unheard)?.execute(params![before.unix_micros(), integer(limit)]);
    Ok(Pruned { deliveries, events: events.map_err(unavailable)? })
}

/// Deletes final deliveries, with their payloads and logs, and lets those go that they held up.
fn prune_deliveries(
    session: &Session,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StorageError> {
    let old = "DELETE FROM deliveries WHERE seq IN (
                   SELECT seq FROM deliveries
                   WHERE claim_at IS NULL AND state <> 6 AND changed_at < ?1
                   ORDER BY changed_at LIMIT ?2)
               RETURNING ordering, blocks";
    let mut deleted = 0;
    let mut held_up = BTreeSet::new();
    {
        let mut statement = session.prepare(old)?;
        let values = params![before.unix_micros(), integer(limit)];
        let mut rows = statement.query(values).map_err(unavailable)?;
        while let Some(row) = rows.next().map_err(unavailable)? {
            deleted += 1;
            let blocks: Option<bool> = row.get(1).map_err(unavailable)?;
            let key: Option<[u8; 16]> = row.get(0).map_err(unavailable)?;
            held_up.extend(key.filter(|_| blocks == Some(true)).map(OrderingKey::from_bytes));
        }
    }
    for key in held_up {
        turn::next_of(session, key, before)?;
    }
    Ok(deleted)
}
