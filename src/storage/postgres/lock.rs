//! Locks: names that one transaction at a time may hold, until it ends.

use deadpool_postgres::Transaction;

use super::connection::{Database, Failed, query};

/// Takes locks of this schema by their names until the transaction ends.
pub(super) async fn take(
    database: &Database,
    transaction: &Transaction<'_>,
    mut names: Vec<String>,
) -> Result<(), Failed> {
    if names.is_empty() {
        return Ok(());
    }
    names.sort_unstable();
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1 || name, 0))
               FROM unnest($2::text[]) WITH ORDINALITY AS n(name, place) ORDER BY place";
    query(database, transaction, sql, &[&database.schema, &names]).await.map(drop)
}
