//! The schema, as the migrations that lead to it, and how connections are set up.

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{OpenError, Synchronous};

/// Each brings a file from the version of its index to the next; `PRAGMA user_version` counts them.
pub(super) const MIGRATIONS: [&str; 7] = [
    include_str!("schema/001.sql"),
    include_str!("schema/002.sql"),
    include_str!("schema/003.sql"),
    include_str!("schema/004.sql"),
    include_str!("schema/005.sql"),
    include_str!("schema/006.sql"),
    include_str!("schema/007.sql"),
];

pub(super) fn prepare(
    connection: &mut Connection,
    synchronous: Synchronous,
) -> Result<(), OpenError> {
    prepare_reader_and_writer(connection).map_err(OpenError::of)?;
    // Of a new file only, and before anything is in it: a page takes in a few events with what is
    // sent of them, and the free ones can be given back.
    connection.pragma_update(None, "page_size", 8_192).map_err(OpenError::of)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(OpenError::of)?;
    keep_log(connection)?;
    prepare_writer(connection, synchronous).map_err(OpenError::of)?;
    migrate(connection)
}

pub(super) fn prepare_reader(connection: &Connection) -> rusqlite::Result<()> {
    prepare_reader_and_writer(connection)?;
    connection.pragma_update(None, "query_only", true)
}

fn prepare_reader_and_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(128);
    // Otherwise SQLite plans a statement anew when a value is bound that statistics might judge.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // The journals of statements are small; a file for each is not.
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Switches the file to a write-ahead log, without which a reader would keep the writer waiting.
fn keep_log(connection: &Connection) -> Result<(), OpenError> {
    let found: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(OpenError::of)?;
    if found == "wal" { Ok(()) } else { Err(OpenError::NoWriteAheadLog { found }) }
}

fn prepare_writer(connection: &Connection, synchronous: Synchronous) -> rusqlite::Result<()> {
    let level = match synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", level)?;
    // 16 MiB: the upper levels of the indexes of a large backlog. The system caches the rest.
    connection.pragma_update(None, "cache_size", -16_384)?;
    // Pages that are written over and over are copied back once, instead of every 1,000 pages.
    connection.pragma_update(None, "wal_autocheckpoint", 2_000)?;
    // A log that grew beyond, beside a backup, is cut back when it begins anew.
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))
}

fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(OpenError::of)?;
    let known = i64::try_from(MIGRATIONS.len()).expect("there are few migrations");
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    if done > MIGRATIONS.len() {
        return Err(OpenError::NewerSchema { found, known });
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS).skip(done) {
        step(connection, migration, version).map_err(OpenError::of)?;
    }
    Ok(())
}

fn step(connection: &mut Connection, migration: &str, version: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(migration)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

/// What an opening of a file finds.
pub(super) struct Opening {
    /// How often the file was opened, this time too.
    pub(super) number: u64,
    /// The last delivery that may have ended the process that had the file open before; 0 for none.
    pub(super) suspect: i64,
}

/// Counts that the file is opened, and notes that it is open.
pub(super) fn note_opening(connection: &mut Connection) -> rusqlite::Result<Opening> {
    let transaction = connection.transaction()?;
    let suspect = "SELECT CASE WHEN is_open THEN (SELECT coalesce(max(seq), 0) FROM deliveries)
                   ELSE 0 END FROM openings";
    let suspect = transaction.query_row(suspect, [], |row| row.get(0))?;
    let sql = "UPDATE openings SET count = count + 1, is_open = 1 RETURNING count";
    let number: i64 = transaction.query_row(sql, [], |row| row.get(0))?;
    transaction.commit()?;
    Ok(Opening { number: number.unsigned_abs(), suspect })
}

/// Notes that the file is closed as it should be.
pub(super) fn note_closing(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE openings SET is_open = 0", []).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_have_a_write_ahead_log_is_refused() {
        let error = keep_log(&Connection::open_in_memory().unwrap()).unwrap_err();
        assert!(matches!(error, OpenError::NoWriteAheadLog { found } if found == "memory"));
    }
}
