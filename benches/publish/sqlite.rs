//! The same rows through rusqlite.

use std::time::Instant;

use artifact_triggers::storage::sqlite::SqliteStorage;
use rusqlite::{Connection, params};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{BATCH, EVENTS, Round, Rows};

pub(super) fn round(runtime: &Runtime) -> Round {
    let straight = write_straight();
    let (storage, _folder) = storage();
    let batched = runtime.block_on(async {
        let engine = super::engine(storage).await;
        super::publish_batches(&engine).await
    });
    let (storage, _folder) = self::storage();
    let single = runtime.block_on(async {
        let engine = super::engine(storage).await;
        super::publish_one_by_one(&engine).await
    });
    [straight, batched, single]
}

fn storage() -> (SqliteStorage, TempDir) {
    let folder = tempfile::tempdir().expect("there is room");
    (SqliteStorage::open(folder.path().join("bench.db")).expect("it can be opened"), folder)
}

/// Writes the same rows into the same tables, as fast as rusqlite can.
fn write_straight() -> f64 {
    let (storage, folder) = storage();
    drop(storage);
    let mut connection =
        Connection::open(folder.path().join("bench.db")).expect("it can be opened");
    connection.pragma_update(None, "journal_mode", "WAL").expect("it is SQLite");
    connection.pragma_update(None, "synchronous", "FULL").expect("it is SQLite");
    connection.pragma_update(None, "cache_size", -65_536).expect("it is SQLite");
    let all: Vec<Rows> = (0..EVENTS).map(super::rows).collect();
    let began = Instant::now();
    for batch in all.chunks(BATCH) {
        let transaction = connection.transaction().expect("it begins");
        for one in batch {
            write(&transaction, one).expect("it is written");
        }
        transaction.commit().expect("it is on disk");
    }
    super::per_second(began)
}

fn write(connection: &Connection, rows: &Rows) -> rusqlite::Result<()> {
    let Rows { event, delivery, .. } = rows;
    connection
        .prepare_cached(
            "INSERT INTO events (id, scope, received_at, document) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            event.id.as_bytes(),
            event.scope.as_str(),
            event.received_at.unix_micros(),
            rows.event_json,
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO deliveries (id, message, event, trigger_id, scope, endpoint, state, claim_at,
                 attempts, created_at, changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, 0, ?7, ?7)",
        )?
        .execute(params![
            delivery.id.as_bytes(),
            delivery.message_id.as_bytes(),
            delivery.event.as_bytes(),
            delivery.trigger.as_bytes(),
            delivery.scope.as_str(),
            rows.endpoint,
            delivery.created_at.unix_micros(),
        ])?;
    connection
        .prepare_cached("INSERT INTO payloads (delivery, headers, body) VALUES (?1, ?2, ?3)")?
        .execute(params![connection.last_insert_rowid(), rows.headers, &*rows.body])?;
    Ok(())
}
