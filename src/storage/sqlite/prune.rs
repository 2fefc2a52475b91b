//! Pruning: deletes what is final and old, a bounded piece at a time.

use rusqlite::params;

use super::commit::{Session, unavailable};
use super::rows::integer;
use crate::clock::Timestamp;
use crate::storage::{Pruned, StorageError};

pub(super) fn prune(
    session: &Session,
    before: Timestamp,
    limit: usize,
) -> Result<Pruned, StorageError> {
    let before = before.unix_micros();
    let old = "SELECT seq FROM deliveries WHERE claim_at IS NULL AND changed_at < ?1
               ORDER BY changed_at LIMIT ?2";
    let mut statement = session.prepare(old)?;
    let rows: Vec<i64> = statement
        .query_map(params![before, integer(limit)], |row| row.get(0))
        .and_then(Iterator::collect)
        .map_err(unavailable)?;
    for seq in &rows {
        for table in [
            "DELETE FROM attempts WHERE delivery = ?1",
            "DELETE FROM payloads WHERE delivery = ?1",
            "DELETE FROM deliveries WHERE seq = ?1",
        ] {
            session.prepare(table)?.execute([seq]).map_err(unavailable)?;
        }
    }
    let unheard = "DELETE FROM events WHERE seq IN (
                       SELECT seq FROM events v WHERE received_at < ?1
                           AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = v.id)
                       ORDER BY received_at LIMIT ?2)";
    let events = session.prepare(unheard)?.execute(params![before, integer(limit)]);
    Ok(Pruned { deliveries: rows.len(), events: events.map_err(unavailable)? })
}
