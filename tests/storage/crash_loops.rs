//! A delivery that ends the process each time it is attempted is not attempted for ever, although
//! SQLite writes no leases.

use std::path::{Path, PathBuf};

use artifact_triggers::conformance::storage::samples::{
    at, batched, companions, everything, record, settle_one, take,
};
use artifact_triggers::delivery::Settlement;
use artifact_triggers::storage::sqlite::SqliteStorage;
use artifact_triggers::storage::{Claim, ClaimOf, Storage as _};

use super::only_sqlite::temporary;

fn open(folder: &Path) -> SqliteStorage {
    SqliteStorage::open(folder.join("triggers.db")).unwrap()
}

/// Opens what is left on the disk if the process is killed now.
fn crash(storage: SqliteStorage, folder: &mut PathBuf) -> SqliteStorage {
    *folder = super::copy(folder, &["triggers.db", "triggers.db-wal"]);
    drop(storage);
    open(folder)
}

fn log(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("triggers.db-wal")).unwrap()
}

async fn stored_attempts(storage: &SqliteStorage) -> Vec<u32> {
    let all = storage.deliveries(everything()).await.unwrap().items;
    all.iter().map(|delivery| delivery.attempts).collect()
}

#[tokio::test]
async fn an_attempt_that_ends_the_process_is_counted_from_the_second_time_on() {
    let (mut storage, disk) = temporary();
    let mut folder = disk.path().to_owned();
    storage.record(vec![record(1, &[1])]).await.unwrap();
    for attempts in [1, 1, 2, 3, 4] {
        assert_eq!(take(&storage, at(10), 9).await[0].delivery.attempts, attempts);
        storage = crash(storage, &mut folder);
    }
    assert_eq!(stored_attempts(&storage).await, [4]);
}

#[tokio::test]
async fn each_way_to_claim_counts_what_may_have_ended_the_process() {
    let (mut storage, disk) = temporary();
    let mut folder = disk.path().to_owned();
    storage.record(vec![batched(1, &[1], at(0)), batched(2, &[1], at(0))]).await.unwrap();
    storage = crash(storage, &mut folder);
    let one = storage.deliveries(everything()).await.unwrap().items[0].id;
    let together = ClaimOf::Companions(vec![companions(1, at(10), 9)]);
    for of in [ClaimOf::One(one), together] {
        let claim =
            Claim { of, ..artifact_triggers::conformance::storage::samples::claim(at(10), 9) };
        assert_eq!(storage.claim(claim).await.unwrap().deliveries.len(), 1);
    }
    storage = crash(storage, &mut folder);
    assert_eq!(stored_attempts(&storage).await, [1, 1]);
}

#[tokio::test]
async fn what_is_given_back_is_not_counted_after_a_crash_either() {
    let (mut storage, disk) = temporary();
    let mut folder = disk.path().to_owned();
    storage.record(vec![record(1, &[1])]).await.unwrap();
    storage = crash(storage, &mut folder);
    let lease = take(&storage, at(10), 9).await[0].lease;
    settle_one(&storage, lease, Settlement::Released { at: at(10) }).await;
    assert_eq!(stored_attempts(&storage).await, [0]);
}

#[tokio::test]
async fn only_what_was_stored_before_a_crash_is_counted_before_it_is_given() {
    let (mut storage, disk) = temporary();
    let mut folder = disk.path().to_owned();
    storage.record(vec![record(1, &[1])]).await.unwrap();
    storage = crash(storage, &mut folder);
    storage.record(vec![record(2, &[2])]).await.unwrap();
    let before = log(&folder);
    let taken = take(&storage, at(10), 1).await;
    assert!(log(&folder) != before);
    let (old, before) = (taken[0].delivery.id, log(&folder));
    let taken = take(&storage, at(10), 9).await;
    assert!(taken.len() == 1 && taken[0].delivery.id != old && log(&folder) == before);
}

#[tokio::test]
async fn a_file_that_was_closed_with_nothing_leased_has_claims_that_write_nothing() {
    let (mut storage, disk) = temporary();
    let mut folder = disk.path().to_owned();
    storage.record(vec![record(1, &[1])]).await.unwrap();
    storage = crash(storage, &mut folder);
    drop(storage);
    storage = open(&folder);
    let before = log(&folder);
    assert_eq!(take(&storage, at(10), 9).await.len(), 1);
    assert!(log(&folder) == before);
    // Closed with a lease, it is as after a crash.
    drop(storage);
    storage = open(&folder);
    let before = log(&folder);
    assert_eq!(take(&storage, at(10), 9).await.len(), 1);
    assert!(log(&folder) != before);
}
