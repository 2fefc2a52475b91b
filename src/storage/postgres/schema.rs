//! The schema, as the migrations that lead to it. Several nodes may start at once, and nodes of two
//! versions work side by side while they are upgraded.

use deadpool_postgres::Transaction;
use tokio_postgres::IsolationLevel;

use super::OpenError;
use super::connection::Database;

/// A step from one version to the next.
struct Migration {
    sql: &'static str,
    /// The oldest version of this crate's schema whose nodes can go on after it.
    for_nodes_from: i32,
}

const MIGRATIONS: [Migration; 2] = [
    Migration { sql: include_str!("schema/001.sql"), for_nodes_from: 1 },
    Migration { sql: include_str!("schema/002.sql"), for_nodes_from: 1 },
];

/// The most bytes that PostgreSQL keeps of a name.
const MAX_NAME_BYTES: usize = 63;

/// A schema's name as SQL has it, if it can be one.
pub(super) fn quoted(name: &str) -> Result<String, OpenError> {
    let fits = !name.is_empty() && name.len() <= MAX_NAME_BYTES;
    // Braces are where a name goes in a statement, and two dollars end the text of a function.
    if !fits || name.contains(|c: char| c.is_control() || "{}$".contains(c)) {
        return Err(OpenError::Schema { found: name.to_owned() });
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// The newest version that this crate knows.
fn known() -> i32 {
    i32::try_from(MIGRATIONS.len()).expect("there are few migrations")
}

/// Brings the tables up to date. Waits while another node does.
pub(super) async fn migrate(database: &Database) -> Result<(), OpenError> {
    let mut client = database.pool.get().await.map_err(OpenError::pool)?;
    // So that who waited for the lock sees what its holder did.
    let begin = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
    let transaction = begin.start().await?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('artifact-triggers ' || $1, 0))";
    transaction.query(lock, &[&database.schema]).await?;
    let found = if let Some(found) = version(database, &transaction).await? {
        found
    } else {
        let create = "CREATE SCHEMA IF NOT EXISTS {s};
                          CREATE TABLE {s}.migrations (
                              version        integer PRIMARY KEY,
                              for_nodes_from integer NOT NULL)";
        transaction.batch_execute(&database.sql(create)).await?;
        0
    };
    for (version, migration) in (1..).zip(&MIGRATIONS).filter(|(version, _)| *version > found) {
        transaction.batch_execute(&database.sql(migration.sql)).await?;
        let note = database.sql("INSERT INTO {s}.migrations VALUES ($1, $2)");
        transaction.execute(&note, &[&version, &migration.for_nodes_from]).await?;
    }
    Ok(transaction.commit().await?)
}

/// Checks that the tables are there, as this version can use them.
pub(super) async fn check(database: &Database) -> Result<(), OpenError> {
    let mut client = database.pool.get().await.map_err(OpenError::pool)?;
    let transaction = client.transaction().await?;
    match version(database, &transaction).await? {
        Some(found) if found >= known() => Ok(()),
        found => Err(OpenError::OlderSchema { found: found.unwrap_or(0), known: known() }),
    }
}

/// The version of the tables, unless this one's nodes cannot use them; `None` if there are none.
async fn version(
    database: &Database,
    transaction: &Transaction<'_>,
) -> Result<Option<i32>, OpenError> {
    let is_there = "SELECT to_regclass($1) IS NOT NULL";
    let table = format!("{}.migrations", database.schema);
    if !transaction.query_one(is_there, &[&table]).await?.try_get(0)? {
        return Ok(None);
    }
    let newest = "SELECT coalesce(max(version), 0), coalesce(max(for_nodes_from), 0)
                  FROM {s}.migrations";
    let row = transaction.query_one(&database.sql(newest), &[]).await?;
    let (found, for_nodes_from): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
    if for_nodes_from > known() {
        return Err(OpenError::NewerSchema { found, known: known() });
    }
    Ok(Some(found))
}
