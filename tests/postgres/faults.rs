//! Faults: connections that are cut, callers that give up, rows that cannot be read.

use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Attempt, DeadReason, Outcome, Settlement, State};
use artifact_triggers::event::Scope;
use artifact_triggers::storage::postgres::PostgresStorage;
use artifact_triggers::storage::{DeliveryQuery, Settle, Settled, Storage as _, StorageError};
use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};

use super::sample::{everything, record, settle, take};
use super::server::{client, options, url};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_though_connections_are_cut() {
    let options = options();
    let name = format!("cut_{}", options.schema);
    let named = format!("{}?application_name={name}", url());
    let storage = PostgresStorage::connect(&named, &options).await.unwrap();
    let admin = client().await;
    let publishers = join_all((0..8_u32).map(|n| {
        let storage = storage.clone();
        async move {
            let mut stored = Vec::new();
            for _ in 0..60 {
                let one = record(n, Timestamp::now());
                let id = one.event_id().unwrap();
                match storage.record(vec![one]).await {
                    Ok(_) => stored.push(id),
                    Err(StorageError::Unavailable { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            stored
        }
    }));
    let cuts = async {
        let cut =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        let mut cut_off = 0;
        for _ in 0..30 {
            cut_off += admin.query(cut, &[&name]).await.unwrap().len();
        }
        cut_off
    };
    let (stored, cut_off) = join(publishers, cuts).await;
    let stored: Vec<_> = stored.into_iter().flatten().collect();
    assert!(cut_off > 0 && !stored.is_empty(), "{cut_off} cut, {} stored", stored.len());
    let told = storage.deliveries(everything()).await;
    let told = match told {
        Err(_) => storage.deliveries(everything()).await.unwrap(),
        Ok(page) => page,
    };
    let events: std::collections::HashSet<_> = told.items.iter().map(|one| one.event).collect();
    let lost: Vec<_> = stored.iter().filter(|id| !events.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_connection_that_answers_another() {
    let options = options().with_connections(1);
    let storage = PostgresStorage::connect(&url(), &options).await.unwrap();
    for polls in 0..40 {
        let now = Timestamp::now();
        // Polled a few times, as far as it comes, and dropped.
        let mut call = Box::pin(storage.deliveries(everything()));
        for _ in 0..polls % 4 {
            let _ = (&mut call).now_or_never();
            tokio::task::yield_now().await;
        }
        drop(call);
        let one = record(1, now);
        let id = one.event_id();
        storage.record(vec![one]).await.unwrap();
        let claimed = take(&storage, Timestamp::now(), 1).await.remove(0);
        assert_eq!(Some(claimed.delivery.event), id);
        assert_eq!(settle(&storage, &claimed, Settlement::Delivered, now).await, Settled::Done);
    }
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_and_holds_up_nobody() {
    let options = options();
    let storage = PostgresStorage::connect(&url(), &options).await.unwrap();
    let now = Timestamp::now();
    let records: Vec<_> = (0..4).map(|_| record(1, now)).collect();
    let broken: Vec<_> = records[..3].iter().map(|one| one.deliveries[0].0.id).collect();
    let whole = records[3].deliveries[0].0.id;
    storage.record(records).await.unwrap();
    let admin = client().await;
    let uuid = |id: artifact_triggers::id::DeliveryId| {
        id.to_string().trim_start_matches("dlv_").to_owned()
    };
    let schema = &options.schema;
    let of = |n: usize| {
        format!("(SELECT seq FROM {schema}.deliveries WHERE id = '{}')", uuid(broken[n]))
    };
    admin
        .batch_execute(&format!(
            "UPDATE {schema}.payloads SET headers = 'no JSON' WHERE delivery = {};
             DELETE FROM {schema}.payloads WHERE delivery = {};
             UPDATE {schema}.deliveries SET scope = '//' WHERE seq = {}",
            of(0),
            of(1),
            of(2)
        ))
        .await
        .unwrap();
    let taken = take(&storage, now, 9).await;
    assert_eq!(taken.iter().map(|one| one.lease.delivery).collect::<Vec<_>>(), [whole]);
    let page = storage.deliveries(everything().with_limit(2)).await.unwrap();
    let dead = State::Dead { reason: DeadReason::Unreadable };
    assert_eq!(page.items.len(), 2);
    let all = DeliveryQuery::of_scope(Scope::root());
    let all = storage.deliveries(all).await.unwrap();
    assert_eq!(all.items.iter().filter(|one| one.state == dead).count(), 2);
    assert!(all.unreadable.iter().any(|told| told.contains(&broken[2].to_string())));
    assert!(take(&storage, now + Duration::from_secs(30), 9).await.is_empty());
}

#[tokio::test]
async fn a_character_that_the_server_cannot_keep_holds_nothing_up() {
    let storage = PostgresStorage::connect(&url(), &options()).await.unwrap();
    let now = Timestamp::now();
    storage.record(vec![record(1, now)]).await.unwrap();
    let claimed = take(&storage, Timestamp::now(), 1).await.remove(0);
    let mut attempt = Attempt::new(1, now, now, Outcome::Transient);
    (attempt.error, attempt.response) = (Some("a\0b".to_owned()), Some("\0".to_owned()));
    let (lease, records) = (claimed.lease, Vec::new());
    let settlement = Settlement::Delivered;
    let settle = Settle { lease, settlement, attempts: vec![attempt], records };
    assert_eq!(storage.settle(vec![settle], now).await.unwrap(), [Settled::Done]);
    let log = storage.attempts(lease.delivery).await.unwrap();
    assert_eq!(log[0].attempt.error.as_deref(), Some("a\u{fffd}b"));
}
