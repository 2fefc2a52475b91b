//! The suite of the storage contract, for each storage of the crate and the example's; and what
//! only SQLite promises.

#[path = "../examples/own_storage"]
mod example {
    mod change;
    mod content;
    mod journal;
    pub(crate) mod storage;
}
#[path = "storage/crash_loops.rs"]
mod crash_loops;
#[path = "storage/only_sqlite.rs"]
mod only_sqlite;
#[path = "storage/operating.rs"]
mod operating;

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
