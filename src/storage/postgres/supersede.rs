//! Supersede: cancels what the deliveries of a record take the place of.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::connection::{Database, Failed, query};
use super::first_due::Noted;
use super::rows::{self, uuid};
use super::turn;
use crate::delivery::{CancelReason, State};
use crate::storage::{Record, columns};

/// The orders of what records supersede.
pub(super) async fn orders(
    database: &Database,
    transaction: &Transaction<'_>,
    records: &[Record],
) -> Result<Vec<Uuid>, Failed> {
    let ids: Vec<Uuid> = records.iter().flat_map(ids).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT ordering FROM {s}.deliveries WHERE id = ANY ($1) AND ordering IS NOT NULL";
    let found = query(database, transaction, sql, &[&ids]).await?;
    found.iter().map(|row| Ok(rows::get(row, 0)?)).collect()
}

/// Cancels what a record supersedes, as far as it waits or is queued.
pub(super) async fn supersede(
    database: &Database,
    transaction: &Transaction<'_>,
    record: &Record,
    noted: &mut Noted,
) -> Result<(), Failed> {
    let Some((first, _)) = record.deliveries.first().filter(|_| !record.supersedes.is_empty())
    else {
        return Ok(());
    };
    let state = State::Cancelled { reason: CancelReason::Superseded };
    let now = database.now(first.created_at);
    let ids: Vec<Uuid> = ids(record).collect();
    // One that is being claimed is waited for, and is leased then.
    let sql = "UPDATE {s}.deliveries SET state = $2, reason = $3, claim_at = NULL,
                   changed_at = coalesce($4, {now})
               WHERE id = ANY ($1) AND state IN (0, 6) RETURNING ordering";
    let (number, reason) = (columns::state_number(state.name()), columns::reason(&state));
    let cancelled = query(database, transaction, sql, &[&ids, &number, &reason, &now]).await?;
    let mut orders: BTreeSet<Uuid> = BTreeSet::new();
    for row in &cancelled {
        orders.extend(rows::get::<Option<Uuid>>(row, 0)?);
    }
    turn::next_of(database, transaction, &orders, now, noted).await
}

fn ids(record: &Record) -> impl Iterator<Item = Uuid> {
    record.supersedes.iter().map(|id| uuid!(*id))
}
