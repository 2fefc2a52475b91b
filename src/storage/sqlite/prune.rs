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
    // Their payloads and log go with them.
    let old = "DELETE FROM deliveries WHERE seq IN (
                   SELECT seq FROM deliveries WHERE claim_at IS NULL AND changed_at < ?1
                   ORDER BY changed_at LIMIT ?2)";
    let deliveries = session.prepare(old)?.execute(params![before, integer(limit)]);
    let deliveries = deliveries.map_err(unavailable)?;
    let unheard = "DELETE FROM events WHERE seq IN (
                       SELECT seq FROM events v WHERE received_at < ?1
                           AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = v.id)
                       ORDER BY received_at LIMIT ?2)";
    let events = session.prepare(unheard)?.execute(params![before, integer(limit)]);
    Ok(Pruned { deliveries, events: events.map_err(unavailable)? })
}
