//! SQLite: the embedded durable storage, in one file that one process owns.
//!
//! One thread writes, and shares a commit among all writes that wait for it (group commit); another
//! reads. No runtime is needed.

mod backup;
mod claim;
mod commit;
mod companions;
mod due;
mod endpoints;
mod first_due;
mod hold;
mod leases;
#[cfg(test)]
mod plans;
mod prune;
mod query;
mod record;
mod rows;
mod schema;
mod settle;
mod shrink;
mod tally;
#[cfg(test)]
mod tests;
mod triggers;
mod turn;

use std::error::Error;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode};

use super::{
    Backlog, Claim, Claims, DeliveryQuery, EventQuery, LoggedAttempt, Page, Prune, Pruned, Record,
    Recorded, Replay, Settle, Settled, Storage, StorageError, TriggerChange, TriggerWrite,
};
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::event::Event;
use crate::id::DeliveryId;
pub use backup::BackupError;
use commit::{Session, Thread};
use leases::Told;
pub use shrink::Shrunk;

/// Keeps everything in one SQLite file.
///
/// What was answered `Ok` is on disk, to the degree of [`Synchronous`]. One process owns the file:
/// that is what lets it resume at once after a crash, without waiting for leases to run out. Clones
/// share one connection; it is closed with the last of them.
#[derive(Debug, Clone)]
pub struct SqliteStorage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // Dropped in this order: the threads end and close their connections, then the lock goes.
    writer: Thread,
    reader: Thread,
    path: PathBuf,
    _lock: File,
}

/// How a [`SqliteStorage`] is opened.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// When a commit counts as done.
    pub synchronous: Synchronous,
}

impl SqliteOptions {
    /// Sets when a commit counts as done.
    pub fn with_synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }
}

/// When a commit counts as done (SQLite's `PRAGMA synchronous`).
///
/// Leases are never written: whatever ends the process ends them. Those deliveries are due again,
/// and an attempt whose outcome was not written down may be made twice. It is not counted the first
/// time; but what was stored when a file is opened that was not closed while nothing was leased has
/// each attempt counted on disk before it is made, so that one that ends the process is not made
/// for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Synchronous {
    /// Once it is on disk: survives a crash of the process, the system and the power.
    #[default]
    Full,
    /// Once the system has it. Survives a crash of the process; a crash of the system or the power
    /// may undo the last commits, the file stays whole.
    Normal,
}

/// Why a storage cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process (or another storage in this one) has the file open. Only one may.
    #[error("{path:?} is in use{} (its lock file is taken)", by(*.process))]
    InUse {
        /// The database file.
        path: PathBuf,
        /// Which process it is, by its number, if the lock file tells.
        process: Option<u32>,
    },
    /// The file was written by a newer version of this crate. Upgrade, or restore a backup.
    #[error("the file has schema version {found}, this crate knows up to {known}")]
    NewerSchema {
        /// The file's version.
        found: i64,
        /// The newest that this crate knows.
        known: i64,
    },
    /// The file cannot be opened, created or locked.
    #[error("{path:?} cannot be opened")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no SQLite database, or a damaged one. It was left as it is: restore a backup.
    #[error("the file is no SQLite database, or it is damaged")]
    Corrupt {
        /// What SQLite says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file system cannot have a write-ahead log: it is remote, or shares no memory. Use
    /// another.
    #[error("the file cannot have a write-ahead log: expected the journal mode wal, found {found}")]
    NoWriteAheadLog {
        /// The journal mode that SQLite fell back to.
        found: String,
    },
    /// The file, or the file system that it is on, is read-only to this process.
    #[error("the file is read-only")]
    ReadOnly {
        /// What SQLite says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no room for the little that opening writes. The file is whole: make room.
    #[error("the disk is full")]
    DiskFull {
        /// What SQLite says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// SQLite cannot use the file for another reason: it is locked by a tool, the disk fails.
    #[error("SQLite cannot use the file")]
    Sqlite {
        /// What SQLite says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl OpenError {
    fn of(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        let source = Box::new(error);
        match code {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { source },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { source },
            Some(ErrorCode::DiskFull) => Self::DiskFull { source },
            _ => Self::Sqlite { source },
        }
    }
}

/// Who has a file open, as far as it is known.
fn by(process: Option<u32>) -> String {
    match process {
        Some(id) if id == std::process::id() => " by this process".to_owned(),
        Some(id) => format!(" by process {id}"),
        None => " by another process".to_owned(),
    }
}

impl SqliteStorage {
    /// Opens or creates a file, and brings its schema up to date. Blocks while it does.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, &SqliteOptions::default())
    }

    /// Opens or creates a file with options. Blocks while it does.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(path: impl AsRef<Path>, options: &SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let failed = |source| OpenError::Io { path: path.to_owned(), source };
        // By its one true path, so that whoever comes by another finds the same lock.
        let path = create_private(path).and_then(|()| path.canonicalize()).map_err(failed)?;
        let lock = lock(&path)?;
        let mut connection = Connection::open(&path).map_err(OpenError::of)?;
        schema::prepare(&mut connection, options.synchronous)?;
        let opening = schema::note_opening(&mut connection).map_err(OpenError::of)?;
        let reader = Connection::open(&path).map_err(OpenError::of)?;
        schema::prepare_reader(&reader).map_err(OpenError::of)?;
        let told = Told::default();
        let writer = Thread::writer(connection, &opening, told.clone());
        let reader = Thread::reader(reader, told);
        Ok(Self { shared: Arc::new(Shared { writer, reader, path, _lock: lock }) })
    }

    /// Copies everything, as it is at one moment, to a new file beside which nobody needs to stop:
    /// what is published meanwhile waits for nothing and is not in the copy. It is on disk and
    /// complete once it has its name; until then it is called `….partial`. It is its owner's alone,
    /// since it holds signing secrets.
    ///
    /// While it runs, the write-ahead log grows by what is written. Nothing of what was deleted is
    /// in the copy.
    ///
    /// # Errors
    /// [`BackupError`]. No file is left then.
    ///
    /// # Cancel safety
    /// A backup whose caller gave up goes on to its end.
    pub async fn backup_to(&self, path: impl Into<PathBuf>) -> Result<(), BackupError> {
        backup::run(self.shared.clone(), path.into()).await
    }

    /// Gives room that [`prune`](Storage::prune) freed back to the file system: so many bytes at
    /// most, during which nothing else is written. Call it again while there is some left; the file
    /// is shorter once SQLite has copied back its log, which it does now and then by itself.
    ///
    /// Room that is not given back is used again, so this is for a file that will not grow to its
    /// size again soon.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn shrink(&self, at_most: u64) -> Result<Shrunk, StorageError> {
        self.shared.writer.call(move |session| shrink::shrink(session, at_most)).await
    }
}

/// Creates the file, if there is none, for its owner alone, since it holds signing secrets; SQLite
/// gives its other files the same permissions.
///
/// A file that is there is not even opened: closing it would give up the locks that SQLite has on
/// it in this process.
fn create_private(path: &Path) -> io::Result<()> {
    match private().create_new(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ if path.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Ok(()),
    }
}

/// Takes the lock file beside the database; held as long as the file is open.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let failed = |source| OpenError::Io { path: lock_path.clone(), source };
    let file = private().create(true).truncate(false).open(&lock_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            note_process(&file);
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let noted = fs::read_to_string(&lock_path).ok();
            let process = noted.and_then(|noted| noted.trim().parse().ok());
            Err(OpenError::InUse { path: path.to_owned(), process })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Tells in the lock file whose it is, for an operator. It holds without: a full disk is no reason
/// not to start.
fn note_process(mut file: &File) {
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
}

/// Options for a file to write, which is its owner's alone if it is created.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[async_trait]
impl Storage for SqliteStorage {
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        self.shared.writer.call(move |session| triggers::write(session, &write)).await
    }

    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        self.shared.reader.call(move |session| triggers::changes(session, after, limit)).await
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        // Here, where several do so at once, and not in the one thread that writes.
        for new in records.iter().filter_map(|record| record.event.as_ref()) {
            new.json();
        }
        self.shared.writer.call(move |session| record::record_all(session, &records)).await
    }

    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        self.shared.reader.call(move |session| query::cursors(session, &keys)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError> {
        self.shared.writer.claim(move |session| claim::claim(session, &claim)).await
    }

    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        self.shared.writer.call(move |session| settle::settle_all(session, &settlements, now)).await
    }

    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StorageError> {
        self.shared.reader.call(move |session| query::events(session, &query)).await
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Page<Delivery>, StorageError> {
        self.shared.reader.call(move |session| query::deliveries(session, &query)).await
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<LoggedAttempt>, StorageError> {
        self.shared.reader.call(move |session| query::attempts(session, delivery)).await
    }

    async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError> {
        self.shared.writer.call(move |session| settle::replay(session, &replay)).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        self.shared.reader.call(|session| query::backlog(session)).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StorageError> {
        let prune = move |session: &mut Session| prune::prune(session, &prune);
        let pruned = self.shared.writer.call(prune).await?;
        if pruned.is_nothing() {
            self.shared.forget_endpoints().await?;
        }
        Ok(pruned)
    }
}
