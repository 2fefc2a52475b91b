//! Faults that cannot be caused from outside.

use std::time::Duration;

use futures_util::future::join_all;

use super::commit::Session;
use super::{SqliteOptions, SqliteStorage, Synchronous};
use crate::delivery::{Delivery, EndpointKey, Settlement};
use crate::event::{Artifact, Event, EventKind, Scope};
use crate::id::TriggerId;
use crate::payload::Payload;
use crate::storage::{
    Claim, DeliveryQuery, EventQuery, NewEvent, Prune, Record, Recorded, Settle, Storage as _,
    StorageError,
};

/// An event with a delivery whose body has a size.
fn record(bytes: usize) -> Record {
    let artifact = Artifact::new("generic", "a");
    let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap();
    let trigger = TriggerId::derived(event.received_at, &[]);
    let endpoint = EndpointKey::new("https://a.example");
    let scope = event.scope.clone();
    let delivery = Delivery::new(event.id, trigger, scope, endpoint, event.received_at);
    let payload = Payload { headers: Vec::new(), body: vec![0; bytes].into() };
    let deliveries = vec![(delivery, payload)];
    Record::of_event(NewEvent::of(event), deliveries)
}

async fn limit_pages(storage: &SqliteStorage, pages: u32) {
    let limit = move |session: &mut super::commit::Session| {
        let set = session.connection.pragma_update(None, "max_page_count", pages);
        set.map_err(super::commit::unavailable)
    };
    storage.shared.writer.call(limit).await.unwrap();
}

#[tokio::test]
async fn what_a_failed_call_wrote_is_undone_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(folder.path().join("triggers.db")).unwrap();
    let keys: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let calls = keys.iter().enumerate().map(|(n, key)| {
        let key = key.clone();
        storage.shared.writer.call(move |session| {
            let insert = "INSERT INTO cursors (key, value) VALUES (?1, 'v')";
            session.connection.execute(insert, [&key]).map_err(super::commit::unavailable)?;
            let fails = StorageError::NotFound { what: key.clone() };
            if n % 4 == 1 { Err(fails) } else { Ok(()) }
        })
    });
    let answers = join_all(calls).await;
    let found = storage.cursors(keys.clone()).await.unwrap();
    for (n, (answer, found)) in answers.into_iter().zip(found).enumerate() {
        match answer {
            Ok(()) => assert!(n % 4 != 1 && found.is_some(), "{n}"),
            Err(StorageError::NotFound { what }) => {
                assert_eq!((&what, n % 4, found), (&keys[n], 1, None));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_takes_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(folder.path().join("triggers.db")).unwrap();
    limit_pages(&storage, 60).await;
    let mut stored = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        let records: Vec<Record> = [10, 9_000, 20_000, 10].map(record).to_vec();
        let calls = records.iter().map(|one| storage.record(vec![one.clone()]));
        for (one, answer) in records.iter().zip(join_all(calls).await) {
            match answer {
                Ok(answer) => {
                    assert_eq!(answer, [Recorded::Stored]);
                    stored.extend(one.event_id());
                }
                Err(StorageError::Unavailable { reason }) => {
                    assert!(reason.contains("disk is full"), "{reason}");
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(refused > 0 && !stored.is_empty());
    limit_pages(&storage, 10_000).await;
    assert_eq!(storage.record(vec![record(10)]).await.unwrap(), [Recorded::Stored]);
    let all = EventQuery::of_scope(Scope::root()).with_limit(1_000);
    let found: Vec<_> =
        storage.events(all).await.unwrap().items.iter().map(|event| event.id).collect();
    assert_eq!(found.len(), stored.len() + 1);
    assert!(stored.iter().all(|id| found.contains(id)));
    let all = DeliveryQuery::of_scope(Scope::root()).with_limit(1_000);
    let deliveries = storage.deliveries(all).await.unwrap().items;
    assert_eq!(deliveries.len(), found.len(), "no event without its delivery");
}

#[tokio::test]
async fn an_endpoint_that_nothing_is_there_of_is_forgotten_by_prune_and_can_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(folder.path().join("triggers.db")).unwrap();
    let endpoints = || {
        storage.shared.writer.call(|session| {
            let count = "SELECT count(*) FROM endpoints";
            let count = session.connection.query_row(count, [], |row| row.get::<_, i64>(0));
            let kept = session.first_due.borrow().as_ref().map(super::first_due::FirstDue::len);
            count.map(|count| (count, kept)).map_err(super::commit::unavailable)
        })
    };
    let now = crate::clock::Timestamp::now();
    let claim = |now| Claim {
        now,
        due_by: now,
        lease: Duration::from_secs(60),
        limit: 10,
        per_endpoint: 10,
        quotas: Vec::new(),
        of: crate::storage::ClaimOf::Endpoints,
    };
    for _ in 0..2 {
        storage.record(vec![record(10)]).await.unwrap();
        let claims = storage.claim(claim(now + Duration::from_secs(60))).await.unwrap();
        assert_eq!(claims.deliveries.len(), 1);
        storage.prune(Prune::older(now + Duration::from_secs(3_600), now, 10)).await.unwrap();
        assert_eq!(endpoints().await.unwrap(), (1, Some(1)));
        let lease = claims.deliveries[0].lease;
        let settlement = Settlement::Delivered;
        let settle = Settle { lease, settlement, attempts: Vec::new(), records: Vec::new() };
        storage.settle(vec![settle], now).await.unwrap();
        for _ in 0..2 {
            storage.prune(Prune::older(now + Duration::from_secs(3_600), now, 10)).await.unwrap();
        }
        assert_eq!(endpoints().await.unwrap(), (0, Some(0)));
    }
}

#[tokio::test]
async fn only_claims_do_not_wait_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let full = SqliteStorage::open(folder.path().join("full.db")).unwrap();
    let options = SqliteOptions::default().with_synchronous(Synchronous::Normal);
    let normal = SqliteStorage::open_with(folder.path().join("normal.db"), &options).unwrap();
    let found = |session: &mut Session| {
        let found = session.connection.pragma_query_value(None, "synchronous", |row| row.get(0));
        Ok(found.unwrap_or(-1_i64))
    };
    for _ in 0..3 {
        let writer = &full.shared.writer;
        assert_eq!(writer.call_with(Synchronous::Normal, found).await.unwrap(), 1);
        assert_eq!(writer.call(found).await.unwrap(), 2);
        assert_eq!(normal.shared.writer.call(found).await.unwrap(), 1);
    }
}
