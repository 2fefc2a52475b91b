//! Two who store many records at once.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::storage::postgres::PostgresStorage;
use artifact_triggers::storage::{CursorMove, Recorded, Storage as _};

use crate::sample::record;
use crate::server::{client_of, options, url_of};

const RECORDS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_move_the_same_cursors_in_another_order_never_wait_for_each_other() {
    // Of its own, since a server counts by databases.
    let name = format!("locks_{}", std::process::id());
    let create = format!("CREATE DATABASE {name}");
    client_of("postgres").await.batch_execute(&create).await.unwrap();
    let options = options();
    let one = PostgresStorage::connect(&url_of(&name), &options).await.unwrap();
    let other = PostgresStorage::connect(&url_of(&name), &options).await.unwrap();
    for round in 0..20 {
        let (up, down) =
            tokio::join!(store(one.clone(), round, false), store(other.clone(), round, true));
        let stored = up.iter().chain(&down).filter(|answer| **answer == Recorded::Stored).count();
        assert_eq!(stored, RECORDS, "each cursor is moved once");
    }
    drop((one, other));
    // What a connection counted is told once it is over.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let count = "SELECT deadlocks FROM pg_stat_database WHERE datname = $1";
    let row = client_of("postgres").await.query_one(count, &[&name]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

/// Moves the cursors of a round, from the first or from the last.
async fn store(storage: PostgresStorage, round: usize, backwards: bool) -> Vec<Recorded> {
    let mut records: Vec<_> = (0..RECORDS)
        .map(|n| {
            let mut one = record(1, Timestamp::now());
            let (key, value) = (format!("{round}/{n}"), Some("moved".to_owned()));
            one.cursors = vec![CursorMove::Set { key, expected: None, value }];
            one
        })
        .collect();
    if backwards {
        records.reverse();
    }
    tokio::spawn(async move { storage.record(records).await }).await.unwrap().unwrap()
}
