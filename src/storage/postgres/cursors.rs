//! Cursors: read in one look, and moved by whoever finds them where they were expected.

use deadpool_postgres::Transaction;

use super::Shared;
use super::connection::{Database, Failed, query};
use super::rows::{self, uuid};
use crate::storage::{CursorMove, Record, Recorded, StorageError};

/// The values of cursors, in the order of the keys.
const VALUES: &str = "SELECT c.value FROM unnest($1::text[]) WITH ORDINALITY AS k(key, place)
                      LEFT JOIN {s}.cursors c ON c.key = k.key ORDER BY k.place";

impl Shared {
    pub(super) async fn cursors(
        &self,
        keys: &[String],
    ) -> Result<Vec<Option<String>>, StorageError> {
        let found = self.database.query(VALUES, &[&keys]).await?;
        found.iter().map(|row| rows::get(row, 0)).collect()
    }
}

/// Locks that who moves the cursors of a record holds.
pub(super) fn locks(record: &Record) -> impl Iterator<Item = String> {
    record.cursors.iter().filter_map(expected).map(|(key, _)| format!("cursor {key}"))
}

/// Whether a record that moves cursors changes nothing, and why. Its [`locks`] are held.
pub(super) async fn unchanged(
    database: &Database,
    transaction: &Transaction<'_>,
    record: &Record,
) -> Result<Option<Recorded>, Failed> {
    let set: Vec<(&str, Option<&str>)> = record.cursors.iter().filter_map(expected).collect();
    let keys: Vec<&str> = set.iter().map(|(key, _)| *key).collect();
    if let Some(id) = record.event_id() {
        let known = "SELECT 1 FROM {s}.events WHERE id = $1";
        if !query(database, transaction, known, &[&uuid!(id)]).await?.is_empty() {
            return Ok(Some(Recorded::Duplicate));
        }
    }
    // Those that somebody else is removing, by the beginning of their keys, are waited for.
    let held = "SELECT 1 FROM {s}.cursors WHERE key = ANY ($1) FOR UPDATE";
    query(database, transaction, held, &[&keys]).await?;
    for (row, (_, expected)) in
        query(database, transaction, VALUES, &[&keys]).await?.iter().zip(&set)
    {
        if rows::get::<Option<&str>>(row, 0)? != *expected {
            return Ok(Some(Recorded::CursorMoved));
        }
    }
    Ok(None)
}

fn expected(cursor: &CursorMove) -> Option<(&str, Option<&str>)> {
    match cursor {
        CursorMove::Set { key, expected, .. } => Some((key, expected.as_deref())),
        CursorMove::RemoveBelow { .. } => None,
    }
}

pub(super) async fn move_all(
    database: &Database,
    transaction: &Transaction<'_>,
    cursors: &[CursorMove],
) -> Result<(), Failed> {
    for cursor in cursors {
        match cursor {
            CursorMove::Set { key, value: Some(value), .. } => {
                let sql = "INSERT INTO {s}.cursors (key, value) VALUES ($1, $2)
                           ON CONFLICT (key) DO UPDATE SET value = excluded.value";
                query(database, transaction, sql, &[key, value]).await?;
            }
            CursorMove::Set { key, value: None, .. } => {
                let sql = "DELETE FROM {s}.cursors WHERE key = $1";
                query(database, transaction, sql, &[key]).await?;
            }
            CursorMove::RemoveBelow { prefix } => {
                // The bounds keep it to one stretch of the index; not every server's `starts_with`
                // does.
                let sql = "DELETE FROM {s}.cursors
                           WHERE key >= $1 AND key < $1 || chr(1114111) AND starts_with(key, $1)";
                query(database, transaction, sql, &[prefix]).await?;
            }
        }
    }
    Ok(())
}
