//! The outbox: the contract; transactions of the embedder's, by this client and by any other.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::event::{Event, EventKind, MAX_EVENT_BYTES};
use artifact_triggers::outbox::postgres::{LeaveError, PostgresOutbox};
use artifact_triggers::outbox::{Outbox as _, OutboxDone};
use artifact_triggers::storage::postgres::{PostgresOptions, PostgresStorage};
use futures_util::FutureExt as _;

use super::rules::Bench;
use super::server::{client, options, url};

contract!(rules, super::bench().await);

const MINUTE: Duration = Duration::from_secs(60);

async fn storage() -> (PostgresStorage, PostgresOptions) {
    let options = options();
    (PostgresStorage::connect(&url(), &options).await.unwrap(), options)
}

async fn bench() -> Bench {
    let (storage, options) = storage().await;
    let schema = options.schema;
    let client = Arc::new(client().await);
    let seen = client.clone();
    let insert = format!("INSERT INTO {schema}.outbox (event) VALUES ($1)");
    let refused = format!("SELECT event, reason FROM {schema}.outbox_refused ORDER BY position");
    Bench {
        takers: [0, 1].map(|_| Box::new(PostgresOutbox::of(&storage)) as Box<_>),
        leave: Box::new(move |json| {
            let (client, insert) = (client.clone(), insert.clone());
            async move { assert_eq!(client.execute(&insert, &[&json]).await.unwrap(), 1) }.boxed()
        }),
        refused: Box::new(move || {
            let (seen, refused) = (seen.clone(), refused.clone());
            async move {
                let rows = seen.query(&refused, &[]).await.unwrap();
                rows.iter().map(|row| (row.get(0), row.get(1))).collect()
            }
            .boxed()
        }),
    }
}

fn event(name: &str) -> Event {
    Event::builder(EventKind::PING).attribute("name", name).build().unwrap()
}

/// The names of the events that wait.
async fn waiting(outbox: &PostgresOutbox) -> Vec<String> {
    let now = artifact_triggers::clock::Timestamp::now();
    let entries = outbox.take(100, MINUTE).await.unwrap();
    let name = |event: Event| event.attributes["name"].as_str().to_owned();
    entries.iter().map(|entry| name(entry.event(now).unwrap())).collect()
}

#[tokio::test]
async fn what_is_committed_is_there_and_what_is_rolled_back_is_not() {
    let (storage, _) = storage().await;
    let outbox = PostgresOutbox::of(&storage);
    let mut client = client().await;
    for (name, commits) in [("a", true), ("b", false), ("c", true)] {
        let transaction = client.transaction().await.unwrap();
        outbox.record_in(&transaction, &event(name)).await.unwrap();
        if commits {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
    }
    assert_eq!(waiting(&outbox).await, ["a", "c"]);
}

#[tokio::test]
async fn an_event_that_could_never_be_published_is_not_left() {
    let (storage, _) = storage().await;
    let outbox = PostgresOutbox::of(&storage);
    let client = client().await;
    let mut wrong = event("a");
    wrong.attributes.insert(String::new(), "x".to_owned());
    let refused = outbox.record_in(&client, &wrong).await.unwrap_err();
    assert!(matches!(refused, LeaveError::Invalid(_)), "{refused}");
    assert!(waiting(&outbox).await.is_empty());
}

#[tokio::test]
async fn any_client_leaves_an_event_by_a_function_which_tells_what_is_wrong() {
    let (storage, options) = storage().await;
    let schema = &options.schema;
    let psql = |sql: String| {
        let run = Command::new("psql").args([&url(), "-v", "ON_ERROR_STOP=1", "-c", &sql]).output();
        run.unwrap()
    };
    let leave = |json: &str| format!("SELECT {schema}.record_event('{json}')");
    let ping = |name: &str| {
        let at = "2026-11-25T00:00:00Z";
        format!(r#"{{"kind": "ping", "occurred_at": "{at}", "attributes": {{"name": "{name}"}}}}"#)
    };
    assert!(psql(leave(&ping("a"))).status.success());
    assert!(psql(format!("BEGIN; {}; ROLLBACK", leave(&ping("b")))).status.success());
    assert!(psql(format!("BEGIN; {}; COMMIT", leave(&ping("c")))).status.success());
    for (json, told) in [
        ("[]", "event: expected an object, found array"),
        (r#"{"occurred_at": "2026-11-25T00:00:00Z"}"#, "kind: expected a string, found nothing"),
        (r#"{"kind": "ping", "occurred_at": 7}"#, "occurred_at: expected a string, found number"),
    ] {
        let refused = psql(leave(json));
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && error.contains(told), "{error}");
    }
    assert_eq!(waiting(&PostgresOutbox::of(&storage)).await, ["a", "c"]);
}

#[tokio::test]
async fn what_is_too_large_or_refused_in_odd_words_holds_nothing_up() {
    let (storage, options) = storage().await;
    let outbox = PostgresOutbox::of(&storage);
    let client = client().await;
    let insert = format!("INSERT INTO {}.outbox (event) VALUES ($1)", options.schema);
    let large = "x".repeat(3 * MAX_EVENT_BYTES);
    client.execute(&insert, &[&large]).await.unwrap();
    let taken = outbox.take(9, MINUTE).await.unwrap();
    assert_eq!(taken[0].json.len(), MAX_EVENT_BYTES + 1, "as much as tells that it is too large");
    let refused = OutboxDone::refused(taken[0].position, "a\0b");
    outbox.done(vec![refused]).await.unwrap();
    assert!(outbox.take(9, MINUTE).await.unwrap().is_empty());
    let kept = format!("SELECT event, reason FROM {}.outbox_refused", options.schema);
    let kept = client.query_one(&kept, &[]).await.unwrap();
    assert_eq!((kept.get(0), kept.get(1)), (large.as_str(), "a\u{fffd}b"));
}
