//! The schema, as the migrations that lead to it, and how connections are set up.

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{OpenError, Synchronous};

/// Each brings a file from the version of its index to the next; `PRAGMA user_version` counts them.
const MIGRATIONS: [&str; 1] = [include_str!("schema/001.sql")];

pub(super) fn prepare(
    connection: &mut Connection,
    synchronous: Synchronous,
) -> Result<(), OpenError> {
    prepare_any(connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let level = match synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", level)?;
    // 64 MiB: the upper levels of the indexes of a large backlog.
    connection.pragma_update(None, "cache_size", -65_536)?;
    // Pages that are written over and over are copied back once, instead of every 1,000 pages.
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    migrate(connection)
}

pub(super) fn prepare_reader(connection: &Connection) -> Result<(), OpenError> {
    prepare_any(connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(())
}

fn prepare_any(connection: &Connection) -> Result<(), OpenError> {
    connection.set_prepared_statement_cache_capacity(128);
    // Otherwise SQLite plans a statement anew when a value is bound that statistics might judge.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // The journals of statements are small; a file for each is not.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).expect("there are few migrations");
    let Ok(done) = usize::try_from(found) else {
        return Err(OpenError::NewerSchema { found, known });
    };
    if done > MIGRATIONS.len() {
        return Err(OpenError::NewerSchema { found, known });
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS).skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
