//! Order: lets the next delivery of an ordering key go, once nothing holds it up.

use rusqlite::{OptionalExtension as _, params};

use super::commit::{Session, unavailable};
use crate::clock::Timestamp;
use crate::id::{DeliveryId, OrderingKey};
use crate::storage::StorageError;

/// Lets the next one of a delivery's order go.
pub(super) fn next_after(
    session: &Session,
    id: DeliveryId,
    now: Timestamp,
) -> Result<(), StorageError> {
    let sql = "SELECT ordering FROM deliveries WHERE id = ?1 AND ordering IS NOT NULL";
    let key = session
        .prepare(sql)?
        .query_row([id.as_bytes()], |row| row.get(0).map(OrderingKey::from_bytes))
        .optional()
        .map_err(unavailable)?;
    key.map_or(Ok(()), |key| next_of(session, key, now))
}

/// Lets the next one of an order go.
pub(super) fn next_of(
    session: &Session,
    key: OrderingKey,
    now: Timestamp,
) -> Result<(), StorageError> {
    // Each part is one look into the index `deliveries_in_order`. That it holds what is looked for
    // is said by its own condition, word by word: SQLite does not see that it follows.
    let sql = "UPDATE deliveries SET state = 0, claim_at = max(changed_at, ?2) WHERE seq = (
                   SELECT seq FROM deliveries
                   WHERE ordering = ?1 AND state = 6 AND state IN (0, 3, 5, 6) ORDER BY seq LIMIT 1)
               AND NOT EXISTS (
                   SELECT 1 FROM deliveries
                   WHERE ordering = ?1 AND state = 0 AND state IN (0, 3, 5, 6))
               AND NOT EXISTS (
                   SELECT 1 FROM deliveries d
                   WHERE d.ordering = ?1 AND d.state IN (3, 5) AND d.state IN (0, 3, 5, 6)
                       AND d.seq < deliveries.seq AND d.blocks = 1)
               RETURNING endpoint, claim_at";
    let values = params![key.as_bytes(), now.unix_micros()];
    let mut statement = session.prepare(sql)?;
    let goes: Option<(i64, i64)> = statement
        .query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(unavailable)?;
    if let Some((endpoint, at)) = goes {
        session.note_due(endpoint, Timestamp::from_unix_micros(at));
    }
    Ok(())
}
