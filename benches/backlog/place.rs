//! Where a backlog is kept, to be opened more than once.

use std::path::PathBuf;

use artifact_triggers::storage::Storage;
use artifact_triggers::storage::sqlite::{SqliteOptions, SqliteStorage, Synchronous};

use super::database;

pub(super) trait Place {
    /// As a registry has it.
    async fn open(&self) -> impl Storage;

    /// To be filled, without waiting for the disk.
    async fn open_fast(&self) -> impl Storage;
}

/// A file of SQLite's.
pub(super) struct File(pub(super) PathBuf);

impl Place for File {
    async fn open(&self) -> impl Storage {
        SqliteStorage::open(&self.0).expect("it opens")
    }

    async fn open_fast(&self) -> impl Storage {
        let options = SqliteOptions::default().with_synchronous(Synchronous::Normal);
        SqliteStorage::open_with(&self.0, &options).expect("it opens")
    }
}

/// A schema of PostgreSQL's.
pub(super) struct Schema(pub(super) String);

impl Place for Schema {
    async fn open(&self) -> impl Storage {
        database::storage(&self.0).await.expect("there is a server")
    }

    async fn open_fast(&self) -> impl Storage {
        self.open().await
    }
}
