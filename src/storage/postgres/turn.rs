//! Order: lets the next delivery of an ordering key go, once nothing holds it up.
//!
//! Who changes what an order consists of holds the order's lock until the transaction ends, so that
//! of two the later sees what the earlier did.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::connection::{Database, Failed, query};
use super::first_due::Noted;
use super::{lock, rows};

/// Locks orders until the transaction ends, in the order of their keys.
pub(super) async fn lock(
    database: &Database,
    transaction: &Transaction<'_>,
    orders: &BTreeSet<Uuid>,
) -> Result<(), Failed> {
    lock::take(database, transaction, orders.iter().map(lock_of).collect()).await
}

/// The lock that who changes an order holds.
pub(super) fn lock_of(order: &Uuid) -> String {
    format!("order {order}")
}

/// Lets the next one of each order go that others changed too, or may be changing.
pub(super) async fn next_after(
    database: &Database,
    transaction: &Transaction<'_>,
    orders: &BTreeSet<Uuid>,
    now: Option<i64>,
    noted: &mut Noted,
) -> Result<(), Failed> {
    lock(database, transaction, orders).await?;
    next_of(database, transaction, orders, now, noted).await
}

/// Lets the next one of each order go whose lock is held, at the earliest at a time; `None` for the
/// server's.
pub(super) async fn next_of(
    database: &Database,
    transaction: &Transaction<'_>,
    orders: &BTreeSet<Uuid>,
    now: Option<i64>,
    noted: &mut Noted,
) -> Result<(), Failed> {
    if orders.is_empty() {
        return Ok(());
    }
    let orders: Vec<Uuid> = orders.iter().copied().collect();
    // Each look is one into the index `deliveries_in_order`.
    let sql = "UPDATE {s}.deliveries d SET state = 0, claim_at = greatest(d.changed_at,
                   coalesce($2, {now}))
               FROM unnest($1::uuid[]) AS o(key)
               CROSS JOIN LATERAL (
                   SELECT q.seq FROM {s}.deliveries q WHERE q.ordering = o.key AND q.state = 6
                   ORDER BY q.seq LIMIT 1) AS next
               WHERE d.seq = next.seq
                   AND NOT EXISTS (
                       SELECT 1 FROM {s}.deliveries h WHERE h.ordering = o.key AND h.state IN (0, 1))
                   AND NOT EXISTS (
                       SELECT 1 FROM {s}.deliveries h
                       WHERE h.ordering = o.key AND h.state IN (3, 5) AND h.seq < next.seq AND h.blocks)
               RETURNING d.endpoint, d.claim_at";
    for row in query(database, transaction, sql, &[&orders, &now]).await? {
        noted.push(rows::get(&row, 0)?, rows::get(&row, 1)?);
    }
    Ok(())
}
