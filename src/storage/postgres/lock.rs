//! Locks: names that one transaction at a time may hold, until it ends.

use deadpool_postgres::Transaction;

use super::connection::{Database, Failed, query};

/// Takes locks of this schema by their names until the transaction ends. There are a thousand,
/// which names share: the server has room for some thousands in all.
pub(super) async fn take(
    database: &Database,
    transaction: &Transaction<'_>,
    names: Vec<String>,
) -> Result<(), Failed> {
    if names.is_empty() {
        return Ok(());
    }
    let sql = "SELECT pg_advisory_xact_lock(slot)
               FROM (
                   SELECT DISTINCT (hashtextextended($1, 0) & ~1023::bigint)
                       | (hashtextextended(name, 0) & 1023) AS slot
                   FROM unnest($2::text[]) AS n(name) ORDER BY slot) AS slots";
    query(database, transaction, sql, &[&database.schema, &names]).await.map(drop)
}
