//! What an operator does with a SQLite file, and what goes wrong with one: backups, shrinking,
//! clear errors.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use artifact_triggers::conformance::storage::samples::{
    at, claim, everything, record, settle_one, take,
};
use artifact_triggers::delivery::Settlement;
use artifact_triggers::event::Scope;
use artifact_triggers::id::EventId;
use artifact_triggers::storage::sqlite::{BackupError, OpenError, SqliteStorage};
use artifact_triggers::storage::{EventQuery, Prune, Recorded, Storage as _, StorageError};

use super::only_sqlite::temporary;

fn check(file: &Path) -> String {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

async fn events(storage: &SqliteStorage) -> Vec<EventId> {
    let all = EventQuery::of_scope(Scope::root()).with_limit(1_000_000);
    storage.events(all).await.unwrap().items.iter().map(|event| event.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_has_all_of_one_moment_while_others_publish() {
    let (storage, folder) = temporary();
    for n in 0..300 {
        storage.record(vec![record(n, &[1, 2])]).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn({
        let (storage, stop) = (storage.clone(), stop.clone());
        async move {
            let mut n = 300;
            while !stop.load(Ordering::SeqCst) && n < 100_000 {
                storage.record(vec![record(n, &[1, 2])]).await.unwrap();
                n += 1;
            }
            n
        }
    });
    let mut copies = Vec::new();
    for n in 0..5 {
        let before = events(&storage).await;
        let copy = folder.path().join(format!("copy-{n}.db"));
        storage.backup_to(&copy).await.unwrap();
        copies.push((copy, before));
    }
    stop.store(true, Ordering::SeqCst);
    let count = publisher.await.unwrap();
    assert_eq!(events(&storage).await.len(), usize::try_from(count).unwrap());
    for (copy, before) in copies {
        let storage = SqliteStorage::open(&copy).unwrap();
        let found = events(&storage).await;
        assert!(found.starts_with(&before), "what was answered before is in it");
        let query = everything().with_limit(1_000_000);
        let deliveries = storage.deliveries(query).await.unwrap().items;
        assert_eq!(deliveries.len(), 2 * found.len(), "no event without its deliveries");
        drop(storage);
        assert_eq!(check(&copy), "ok");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_leaves_nothing_where_it_fails() {
    let (storage, folder) = temporary();
    storage.record(vec![record(1, &[1])]).await.unwrap();
    let [copy, partial] = ["copy.db", "copy.db.partial"].map(|name| folder.path().join(name));
    for taken in [&copy, &partial, &folder.path().join("triggers.db")] {
        if !taken.exists() {
            fs::write(taken, "somebody's").unwrap();
        }
        let content = fs::read(taken).unwrap();
        let to = if *taken == partial { &copy } else { taken };
        let error = storage.backup_to(to).await.unwrap_err();
        assert!(matches!(&error, BackupError::Exists { path } if path == taken), "{error}");
        assert_eq!(fs::read(taken).unwrap(), content);
        if taken.ends_with("triggers.db") {
            continue;
        }
        fs::remove_file(taken).unwrap();
    }
    let error = storage.backup_to(folder.path().join("missing/copy.db")).await.unwrap_err();
    assert!(matches!(error, BackupError::Io { .. }), "{error}");
    storage.backup_to(&copy).await.unwrap();
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    let own = ["triggers.db", "triggers.db-shm", "triggers.db-wal", "triggers.db.lock"];
    assert_eq!(names, [&["copy.db"], &own[..]].concat());
}

#[tokio::test]
async fn what_pruning_frees_is_given_back_piece_by_piece() {
    let (storage, folder) = temporary();
    let file = folder.path().join("triggers.db");
    for n in 0..400 {
        storage.record(vec![record(n, &[1])]).await.unwrap();
    }
    for claimed in take(&storage, at(1_000), 399).await {
        settle_one(&storage, claimed.lease, Settlement::Delivered).await;
    }
    while storage.prune(Prune::older(at(2_000), at(2_000), 100)).await.unwrap().deliveries > 0 {}
    drop(storage);
    let before = fs::metadata(&file).unwrap().len();
    let storage = SqliteStorage::open(&file).unwrap();
    assert_eq!(storage.shrink(4_095).await.unwrap().given_back, 0, "less than a page");
    let mut given_back = 0;
    let mut published = 1_000;
    loop {
        let shrunk = storage.shrink(64 << 10).await.unwrap();
        assert!(shrunk.given_back <= 64 << 10, "{shrunk:?}");
        given_back += shrunk.given_back;
        storage.record(vec![record(published, &[1])]).await.unwrap();
        published += 1;
        if shrunk.left == 0 {
            break;
        }
        assert!(shrunk.given_back > 0, "{shrunk:?}");
    }
    assert_eq!(storage.shrink(u64::MAX).await.unwrap().left, 0);
    drop(storage);
    let after = fs::metadata(&file).unwrap().len();
    assert!(given_back > before / 2, "{given_back} of {before}");
    assert!(after < before / 2, "{after} of {before}");
    assert_eq!(check(&file), "ok");
}

#[tokio::test]
async fn a_file_that_cannot_be_shrunk_can_once_it_was_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["triggers.db", "new.db"].map(|name| folder.path().join(name));
    let file = rusqlite::Connection::open(&old).unwrap();
    file.execute_batch("PRAGMA auto_vacuum = NONE; CREATE TABLE t (a); DROP TABLE t").unwrap();
    drop(file);
    let freed = async |path: &Path| {
        let storage = SqliteStorage::open(path).unwrap();
        for n in 0..50 {
            storage.record(vec![record(n, &[1])]).await.unwrap();
        }
        for claimed in take(&storage, at(1_000), 100).await {
            settle_one(&storage, claimed.lease, Settlement::Delivered).await;
        }
        storage.prune(Prune::older(at(2_000), at(2_000), 100)).await.unwrap();
        storage
    };
    let storage = freed(&old).await;
    let shrunk = storage.shrink(1 << 20).await.unwrap();
    assert!(shrunk.given_back == 0 && shrunk.left > 0, "{shrunk:?}");
    storage.backup_to(&new).await.unwrap();
    let shrunk = freed(&new).await.shrink(1 << 20).await.unwrap();
    assert!(shrunk.given_back > 0 && shrunk.left == 0, "{shrunk:?}");
}

#[test]
fn who_has_the_file_open_is_told() {
    let (storage, folder) = temporary();
    let path = folder.path().join("triggers.db");
    let error = SqliteStorage::open(&path).unwrap_err();
    assert!(error.to_string().ends_with("in use by this process (its lock file is taken)"));
    drop(storage);
    let lock = fs::File::options().write(true).open(folder.path().join("triggers.db.lock"));
    let lock = lock.unwrap();
    lock.lock().unwrap();
    for (noted, expected, words) in [
        ("4000000000\n", Some(4_000_000_000), "in use by process 4000000000"),
        ("no number", None, "in use by another process"),
    ] {
        fs::write(folder.path().join("triggers.db.lock"), noted).unwrap();
        let error = SqliteStorage::open(&path).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(
            matches!(error, OpenError::InUse { process, .. } if process == expected),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn whichever_page_is_damaged_it_is_called_damage() {
    let (storage, folder) = temporary();
    storage.record((0..60).map(|n| record(n, &[1, 2])).collect()).await.unwrap();
    for claimed in take(&storage, at(1_000), 60).await {
        settle_one(&storage, claimed.lease, Settlement::Delivered).await;
    }
    drop(storage);
    let path = folder.path().join("triggers.db");
    let whole = fs::read(&path).unwrap();
    let pages = whole.len() / 8_192;
    let (mut told, mut refused) = (0, 0);
    for page in 0..pages {
        let mut damaged = whole.clone();
        // The first has the header of the file before its own.
        let begin = page * 8_192 + if page == 0 { 100 } else { 0 };
        damaged[begin..begin + 64].fill(0xEE);
        fs::write(&path, &damaged).unwrap();
        let storage = match SqliteStorage::open(&path) {
            Ok(storage) => storage,
            Err(OpenError::Corrupt { .. }) => {
                refused += 1;
                continue;
            }
            Err(other) => panic!("page {page}: {other:?}"),
        };
        let all = EventQuery::of_scope(Scope::root()).with_limit(1_000);
        let answers = [
            storage.events(all).await.map(drop),
            storage.deliveries(everything().with_limit(1_000)).await.map(drop),
            storage.claim(claim(at(1_000), 100)).await.map(drop),
            storage.backlog().await.map(drop),
            storage.record(vec![record(5_000, &[1, 2])]).await.map(drop),
            storage.prune(Prune::older(at(2_000), at(2_000), 100)).await.map(drop),
        ];
        for error in answers.into_iter().filter_map(Result::err) {
            assert!(matches!(error, StorageError::Corrupt { .. }), "page {page}: {error:?}");
            told += 1;
        }
        drop(storage);
        for beside in ["triggers.db-wal", "triggers.db-shm"] {
            let _ = fs::remove_file(folder.path().join(beside));
        }
    }
    assert!(told > pages / 2 && refused > 0, "{told} told, {refused} refused, of {pages} pages");
    fs::write(&path, &whole).unwrap();
    let storage = SqliteStorage::open(&path).unwrap();
    assert_eq!(storage.record(vec![record(5_000, &[1])]).await.unwrap(), [Recorded::Stored]);
}
