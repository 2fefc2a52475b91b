//! Backups: a consistent copy while the storage is in use, by a connection and a thread of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::commit::unavailable;
use super::{Shared, private};
use crate::storage::StorageError;

/// Why there is no backup. Nothing that was there has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is a file of that name, or what a backup to it left when the process was killed. Name
    /// another, or delete it.
    #[error("{path:?} exists already, and a backup overwrites nothing")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be created, brought to disk or given its name.
    #[error("{path:?} cannot be written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The copy broke off: the disk is full, or the storage cannot be read.
    #[error("the copy broke off")]
    Storage {
        /// What happened.
        source: StorageError,
    },
}

/// Makes a backup. The storage stays open and locked until it is done.
pub(super) async fn run(shared: Arc<Shared>, to: PathBuf) -> Result<(), BackupError> {
    let (answer, answered) = oneshot::channel();
    let thread = std::thread::Builder::new().name("artifact-triggers-sqlite-backup".to_owned());
    let place = to.clone();
    let started = thread.spawn(move || {
        let done = back_up(&shared.path, &to);
        // Nobody may be waiting any more.
        let _ = answer.send(done);
    });
    started.map_err(|source| BackupError::Io { path: place, source })?;
    answered.await.unwrap_or_else(|_| {
        let reason = "the thread of the backup ended".to_owned();
        Err(BackupError::Storage { source: StorageError::Unavailable { reason } })
    })
}

fn back_up(from: &Path, to: &Path) -> Result<(), BackupError> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let file = private().create_new(true).open(&partial).map_err(|source| {
        let path = partial.clone();
        match source.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists { path },
            _ => BackupError::Io { path, source },
        }
    })?;
    let done = copy(from, &partial).and_then(|()| {
        let failed = |source| BackupError::Io { path: to.to_owned(), source };
        file.sync_all().and_then(|()| fs::rename(&partial, to)).map_err(failed)?;
        sync_folder(to).map_err(failed)
    });
    if done.is_err() {
        // What is said is why there is no backup; this would only hide it.
        let _ = fs::remove_file(&partial);
    }
    done
}

/// Copies everything that is there at one moment. Others write on meanwhile.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let failed = |error| BackupError::Storage { source: unavailable(error) };
    let to = to.to_str().ok_or_else(|| BackupError::Io {
        path: to.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidFilename, "its path is not UTF-8"),
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags).map_err(failed)?;
    // Also of a file that was made without it.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    connection.execute("VACUUM INTO ?1", [to]).map(drop).map_err(failed)
}

/// Brings a new name in a folder to disk, where folders can be synced.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}
