//! The suite of the storage contract, for each storage of the crate and the example's; and what only
//! SQLite promises.

#[path = "../examples/own_storage"]
mod example {
    mod change;
    mod content;
    mod journal;
    pub(crate) mod storage;
}
#[path = "storage/only_sqlite.rs"]
mod only_sqlite;
#[cfg(feature = "postgres")]
#[path = "postgres/server.rs"]
mod server;

use std::future::ready;
use std::path::{Path, PathBuf};

use artifact_triggers::conformance::storage::Subject;
use artifact_triggers::storage::MemoryStorage;
use artifact_triggers::storage::sqlite::SqliteStorage;
use example::storage::LogStorage;

mod memory {
    artifact_triggers::storage_conformance!(super::memory_storage);
}

mod sqlite {
    artifact_triggers::storage_conformance!(super::sqlite_storage);
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::sync::Arc;

    use artifact_triggers::conformance::storage::Subject;
    use artifact_triggers::storage::postgres::{PostgresOptions, PostgresStorage, TimeSource};

    use super::server;

    artifact_triggers::storage_conformance!(fresh);

    /// One that goes by the time of its callers.
    async fn fresh() -> Subject {
        let options = Arc::new(server::options().with_time(TimeSource::Caller));
        let (of_node, of_next) = (options.clone(), options.clone());
        Subject::new(connect(options).await)
            .with_nodes(move || connect(of_node.clone()))
            .with_reopening(move |storage| {
                drop(storage);
                connect(of_next.clone())
            })
            .with_cases(64)
    }

    async fn connect(options: Arc<PostgresOptions>) -> PostgresStorage {
        PostgresStorage::connect(&server::url(), &options).await.unwrap()
    }
}

// What integrators copy from keeps the contract too.
mod own_storage {
    artifact_triggers::storage_conformance!(super::log_storage);
}

async fn memory_storage() -> Subject {
    let storage = MemoryStorage::new();
    Subject::new(storage.clone()).with_nodes(move || ready(storage.clone()))
}

async fn sqlite_storage() -> Subject {
    let (storage, folder) = only_sqlite::temporary();
    let disk = folder.path().to_owned();
    Subject::new(storage)
        .with_reopening(move |storage| {
            let left = copy(&disk, &["triggers.db", "triggers.db-wal"]);
            drop(storage);
            ready(SqliteStorage::open(left.join("triggers.db")).unwrap())
        })
        .keeping(folder)
}

async fn log_storage() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().to_owned();
    Subject::new(LogStorage::open(disk.join("log.jsonl")).unwrap())
        .with_reopening(move |storage| {
            let left = copy(&disk, &["log.jsonl"]);
            drop(storage);
            ready(LogStorage::open(left.join("log.jsonl")).unwrap())
        })
        .with_cases(32)
        .keeping(folder)
}

/// The files as they stand on the disk if the process is killed now, in a folder of their own.
fn copy(disk: &Path, names: &[&str]) -> PathBuf {
    let folder = disk.join("after-a-crash");
    std::fs::create_dir(&folder).unwrap();
    for name in names {
        std::fs::copy(disk.join(name), folder.join(name)).unwrap();
    }
    folder
}
