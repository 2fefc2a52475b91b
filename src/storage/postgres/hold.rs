//! Holds: what is to be kept is put aside, out of the lines of what may be pruned, and comes back
//! once nothing keeps it. Each is written once for that, and not looked at again in between.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connection::{Database, Failed, query};
use super::rows;
use crate::storage::prune::mark;
use crate::storage::{Prune, StorageError, columns};

/// Puts back what is held no longer, at most the limit of each kind. Tells how many.
pub(super) async fn release(
    database: &Database,
    transaction: &Transaction<'_>,
    prune: &Prune,
) -> Result<usize, Failed> {
    let marks: Vec<String> = prune.held.iter().map(mark).collect();
    let limit = columns::integer(prune.limit);
    let mut released = 0;
    for (table, id, held) in [
        ("deliveries", "seq", "aside IS NOT NULL"),
        ("events", "id", "aside IS NOT NULL AND aside <> 'heard'"),
    ] {
        // One look for each mark there is, however many are held.
        let sql = format!(
            "WITH RECURSIVE marks AS (
                 (SELECT aside COLLATE \"C\" AS mark FROM {{s}}.{table} WHERE {held}
                  ORDER BY aside COLLATE \"C\" LIMIT 1)
                 UNION ALL
                 SELECT (SELECT aside COLLATE \"C\" FROM {{s}}.{table}
                         WHERE {held} AND aside COLLATE \"C\" > mark
                         ORDER BY aside COLLATE \"C\" LIMIT 1)
                 FROM marks WHERE mark IS NOT NULL)
             UPDATE {{s}}.{table} SET aside = NULL WHERE {id} IN (
                 SELECT h.{id} FROM marks CROSS JOIN LATERAL (
                     SELECT {id} FROM {{s}}.{table} WHERE {held} AND aside COLLATE \"C\" = mark
                     LIMIT $2) AS h
                 WHERE mark <> ALL ($1) LIMIT $2)
             RETURNING 1"
        );
        released += query(database, transaction, &sql, &[&marks, &limit]).await?.len();
    }
    Ok(released)
}

/// What was found at the head of a line, parted.
pub(super) struct Parted<T> {
    /// What may go.
    pub(super) free: Vec<T>,
    /// What is held, and the marks of what holds it.
    held: Vec<T>,
    marks: Vec<String>,
}

/// Parts rows of an id and two scopes by whether one of those is held.
pub(super) fn part<T>(
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, StorageError>,
    prune: &Prune,
) -> Result<Parted<T>, StorageError> {
    let mut parted = Parted { free: Vec::new(), held: Vec::new(), marks: Vec::new() };
    for row in rows {
        let scopes = [rows::get::<Option<&str>>(row, 1)?, rows::get(row, 2)?];
        // One that cannot be read belongs to nobody.
        let mut scopes = scopes.into_iter().flatten().filter_map(|text| text.parse().ok());
        match scopes.find_map(|scope| prune.holder(&scope)) {
            Some(holder) => {
                parted.held.push(read(row)?);
                parted.marks.push(mark(holder));
            }
            None => parted.free.push(read(row)?),
        }
    }
    Ok(parted)
}

/// Puts aside what is held. Tells how much.
pub(super) async fn put_aside<T>(
    database: &Database,
    transaction: &Transaction<'_>,
    sql: &str,
    parted: &Parted<T>,
) -> Result<usize, Failed>
where
    Vec<T>: ToSql + Sync,
{
    if !parted.held.is_empty() {
        query(database, transaction, sql, &[&parted.held, &parted.marks]).await?;
    }
    Ok(parted.held.len())
}
