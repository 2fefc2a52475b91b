//! An outbox in an SQLite file of the embedder's own: events are left by the same transactions that
//! change what else is in it.
//!
//! The file stays the embedder's. The engine's storage is another file, and what is left goes from
//! one to the other by publishing: SQLite could write to both in one transaction
//! ([`ATTACH`](https://www.sqlite.org/lang_attach.html)), but with write-ahead logs such a
//! transaction is atomic in each file only, so that a loss of power could keep one half of it.

mod thread;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
pub use rusqlite;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};

use super::{Outbox, OutboxDone, OutboxEntry};
use crate::clock::Timestamp;
use crate::document::Problems;
use crate::entropy::{Entropy as _, OsEntropy};
use crate::event::Event;
use crate::storage::StorageError;
use thread::Thread;

/// What makes the tables, for whoever migrates the file by other means than [`prepare`].
pub const SCHEMA: &str = include_str!("sqlite/schema.sql");
/// What leaves an event, of which the JSON is bound to the parameter: for any language.
pub const INSERT: &str = "INSERT INTO artifact_triggers_outbox (event) VALUES (?1)";

/// How long a lock of somebody else's is waited for.
const BUSY: Duration = Duration::from_secs(5);
/// The most bytes that are given at once, unless one entry has more.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Why an event was not left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// It breaks a limit or a rule, and could never be published.
    #[error("the event cannot be published: {0}")]
    Invalid(Problems),
    /// SQLite did not take it.
    #[error("the event could not be left in the outbox")]
    Sqlite(#[from] rusqlite::Error),
}

/// Makes the tables, if they are not there. Their names begin with `artifact_triggers_outbox`.
///
/// # Errors
/// SQLite's.
pub fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)
}

/// Leaves an event in the transaction that the connection is in: it is heard of once that is
/// committed, and never if it is not. Outside of a transaction it is committed by itself.
///
/// # Errors
/// [`LeaveError`].
pub fn record_in(connection: &Connection, event: &Event) -> Result<(), LeaveError> {
    event.validate().map_err(LeaveError::Invalid)?;
    let json = String::from_utf8(event.to_json()).expect("JSON is text");
    connection.prepare_cached(INSERT)?.execute([json])?;
    Ok(())
}

/// The outbox in an SQLite file of the embedder's own, shared with the embedder's connections.
///
/// It has one connection of its own and a thread for it.
#[derive(Debug)]
pub struct SqliteOutbox {
    thread: Thread,
    /// Which taker it is.
    taker: [u8; 16],
}

impl SqliteOutbox {
    /// Opens the outbox of a file that is there, and [prepares](prepare) it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(path: impl AsRef<Path>) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        prepare(&connection)?;
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        if mode == "wal" {
            // What a loss of power takes back is taken and published again, as the same event.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
        }
        let mut taker = [0; 16];
        OsEntropy.fill(&mut taker);
        Ok(Self { thread: Thread::start(connection), taker })
    }
}

#[async_trait]
impl Outbox for SqliteOutbox {
    async fn take(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxEntry>, StorageError> {
        let taker = self.taker;
        self.thread.call(move |connection| take(connection, taker, limit, lease)).await
    }

    async fn done(&self, done: Vec<OutboxDone>) -> Result<(), StorageError> {
        let taker = self.taker;
        self.thread.call(move |connection| finish(connection, taker, &done)).await
    }
}

fn take(
    connection: &mut Connection,
    taker: [u8; 16],
    limit: usize,
    lease: Duration,
) -> rusqlite::Result<Vec<OutboxEntry>> {
    // Most looks find nothing, and keep nobody from writing.
    let any = "SELECT 1 FROM artifact_triggers_outbox LIMIT 1";
    if limit == 0 || !connection.prepare_cached(any)?.exists([])? {
        return Ok(Vec::new());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let now = Timestamp::now();
    let lease_of = "SELECT taker, lasts_til FROM artifact_triggers_outbox_lease WHERE one = 1";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let held: Option<(Vec<u8>, i64)> = transaction.query_row(lease_of, [], read).optional()?;
    if held.is_some_and(|(of, until)| of != taker && is_on(until, now, lease)) {
        return Ok(Vec::new());
    }
    let set_lease = "INSERT INTO artifact_triggers_outbox_lease (one, taker, lasts_til) VALUES (1, ?1, ?2)
                ON CONFLICT (one) DO UPDATE SET taker = excluded.taker, lasts_til = excluded.lasts_til";
    transaction.execute(set_lease, params![taker, (now + lease).unix_micros()])?;
    let entries = first(&transaction, limit)?;
    transaction.commit()?;
    Ok(entries)
}

/// Whether a lease still lasts. One that lasts longer than any is of a clock that was set back.
fn is_on(until: i64, now: Timestamp, lease: Duration) -> bool {
    (now.unix_micros() + 1..=(now + lease).unix_micros()).contains(&until)
}

fn first(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<OutboxEntry>> {
    let sql = "SELECT position, key, event FROM artifact_triggers_outbox
               ORDER BY position LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while bytes < MAX_BYTES
        && let Some(row) = rows.next()?
    {
        let position: i64 = row.get(0)?;
        let mut key = [0; 16];
        for (place, byte) in key.iter_mut().zip(bytes_of(row, 1)?) {
            *place = *byte;
        }
        let json = bytes_of(row, 2)?.to_vec();
        bytes += json.len();
        entries.push(OutboxEntry { position: position.unsigned_abs(), key, json });
    }
    Ok(entries)
}

/// A text or a blob; of anything else, nothing.
fn bytes_of<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> rusqlite::Result<&'a [u8]> {
    Ok(row.get_ref(column)?.as_bytes().unwrap_or_default())
}

fn finish(
    connection: &mut Connection,
    taker: [u8; 16],
    done: &[OutboxDone],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for OutboxDone { position, refused } in done {
        let position = i64::try_from(*position).unwrap_or(i64::MAX);
        if let Some(reason) = refused {
            let keep = "INSERT OR IGNORE INTO artifact_triggers_outbox_refused
                            (position, key, event, reason)
                        SELECT position, key, event, ?2 FROM artifact_triggers_outbox
                        WHERE position = ?1";
            transaction.prepare_cached(keep)?.execute(params![position, reason])?;
        }
        let remove = "DELETE FROM artifact_triggers_outbox WHERE position = ?1";
        transaction.prepare_cached(remove)?.execute([position])?;
    }
    let release = "DELETE FROM artifact_triggers_outbox_lease WHERE taker = ?1";
    transaction.execute(release, [taker])?;
    transaction.commit()
}
