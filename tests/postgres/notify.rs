//! Notifications: who listens hears of what another stores, and who must not notify does not.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::storage::Storage as _;
use artifact_triggers::storage::postgres::PostgresStorage;
use futures_util::FutureExt as _;

use super::sample::{record, take};
use super::server::{client, options, url};

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_hears_of_what_another_stored_and_finds_it_at_once() {
    let options = options();
    let publisher = PostgresStorage::connect(&url(), &options).await.unwrap();
    let worker = PostgresStorage::connect(&url(), &options).await.unwrap();
    let mut hints = worker.listen(&url()).await.unwrap();
    for round in 0..3 {
        let now = Timestamp::now();
        assert!(take(&worker, now, 9).await.is_empty(), "round {round}");
        publisher.record(vec![record(1, now), record(2, now)]).await.unwrap();
        hints.next().await.unwrap();
        assert_eq!(take(&worker, Timestamp::now(), 9).await.len(), 2, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writes_are_few_notifications_and_who_must_not_notify_does_not() {
    let options = options();
    let loud = PostgresStorage::connect(&url(), &options).await.unwrap();
    let quiet = options.clone().with_notifies(false);
    let quiet = PostgresStorage::connect(&url(), &quiet).await.unwrap();
    let mut hints = loud.listen(&url()).await.unwrap();
    for _ in 0..20 {
        quiet.record(vec![record(1, Timestamp::now())]).await.unwrap();
    }
    assert!(hints.next().now_or_never().is_none());
    for _ in 0..20 {
        loud.record(vec![record(1, Timestamp::now())]).await.unwrap();
    }
    hints.next().await.unwrap();
    let mut told = 1;
    let pause = std::time::Duration::from_millis(300);
    while let Ok(Some(())) = tokio::time::timeout(pause, hints.next()).await {
        told += 1;
    }
    assert!(told < 15, "{told} for 20 writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_whose_connection_is_cut_says_so() {
    let options = options();
    let storage = PostgresStorage::connect(&url(), &options).await.unwrap();
    let name = format!("cut_{}", options.schema);
    let mut hints = storage.listen(&format!("{}?application_name={name}", url())).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
    assert_eq!(client().await.query(cut, &[&name]).await.unwrap().len(), 1);
    assert_eq!(hints.next().await, None);
}
