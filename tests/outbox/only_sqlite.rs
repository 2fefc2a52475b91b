//! What only the outbox in SQLite promises: an event is left by a transaction of the embedder's, or
//! not at all; by many writers at once, in any language; and is told once, whatever crashes.

use std::future::ready;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::action::{Action, ActionCall, ActionError, Done};
use artifact_triggers::engine::{Engine, EngineOptions};
use artifact_triggers::event::{Event, EventKind, Scope};
use artifact_triggers::outbox::sqlite::rusqlite::{Connection, TransactionBehavior};
use artifact_triggers::outbox::sqlite::{INSERT, LeaveError, SqliteOutbox, prepare, record_in};
use artifact_triggers::outbox::{Outbox, OutboxDone};
use artifact_triggers::storage::{EventQuery, MemoryStorage};
use artifact_triggers::trigger::{KindPattern, Trigger};
use async_trait::async_trait;
use futures_util::FutureExt as _;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::rules::{Bench, MINUTE};

/// A file of an embedder's, with a table of its own.
fn embedders_file() -> (PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let connection = connect(&path);
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.execute_batch("CREATE TABLE uploads (name TEXT PRIMARY KEY)").unwrap();
    prepare(&connection).unwrap();
    (path, folder)
}

fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(MINUTE).unwrap();
    connection
}

pub(super) fn bench() -> Bench {
    let (path, folder) = embedders_file();
    let outbox = || Box::new(SqliteOutbox::open(&path).unwrap());
    let (first, second) = (outbox(), outbox());
    let (left, seen) = (connect(&path), connect(&path));
    Bench {
        takers: [first, second],
        leave: Box::new(move |json| {
            assert_eq!(left.execute(INSERT, [json]).unwrap(), 1);
            ready(()).boxed()
        }),
        refused: Box::new(move || {
            let _kept = &folder;
            let sql = "SELECT event, reason FROM artifact_triggers_outbox_refused";
            let mut statement = seen.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            ready(rows.map(Result::unwrap).collect()).boxed()
        }),
    }
}

fn event(name: &str) -> Event {
    Event::builder(EventKind::PING).attribute("name", name).build().unwrap()
}

/// Keeps the names of events in the order in which it is told of them.
#[derive(Debug, Clone, Default)]
struct Heard {
    names: Arc<Mutex<Vec<String>>>,
    news: Arc<Notify>,
}

#[async_trait]
impl Action for Heard {
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
        self.names.lock().unwrap().push(call.event.attributes["name"].clone());
        self.news.notify_one();
        Ok(Done::default())
    }
}

impl Heard {
    async fn so_many(&self, number: usize) -> Vec<String> {
        while self.names.lock().unwrap().len() < number {
            self.news.notified().await;
        }
        self.names.lock().unwrap().clone()
    }
}

/// An engine that delivers to [`Heard`] in the order of the outbox.
async fn engine(storage: MemoryStorage, path: &Path) -> (Engine, Heard) {
    let heard = Heard::default();
    let options = EngineOptions::default().with_outbox_interval(Duration::from_millis(1));
    let engine = Engine::builder(storage)
        .action("hear", heard.clone())
        .outbox(SqliteOutbox::open(path).unwrap())
        .options(options)
        .build()
        .await
        .unwrap();
    let all: KindPattern = "*".parse().unwrap();
    let policy = artifact_triggers::delivery::DeliveryPolicy::default();
    let policy = policy.with_order(artifact_triggers::delivery::Order::Strict);
    let trigger = Trigger::builder("all").on_any(all).action("hear").policy(policy);
    let _ = engine.ensure_trigger(trigger.build().unwrap()).await.unwrap();
    (engine, heard)
}

#[tokio::test]
async fn what_is_committed_is_told_and_what_is_rolled_back_is_not() {
    let (path, _folder) = embedders_file();
    let mut connection = connect(&path);
    let (engine, heard) = engine(MemoryStorage::new(), &path).await;
    engine.spawn(1);
    for (name, commits) in [("a", true), ("b", false), ("c", true)] {
        let transaction = connection.transaction().unwrap();
        transaction.execute("INSERT INTO uploads VALUES (?1)", [name]).unwrap();
        record_in(&transaction, &event(name)).unwrap();
        if commits {
            transaction.commit().unwrap();
            engine.wake_outbox();
        }
    }
    assert_eq!(heard.so_many(2).await, ["a", "c"]);
    engine.shutdown(MINUTE).await;
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let tables = ["uploads", "artifact_triggers_outbox", "artifact_triggers_outbox_lease"];
    assert_eq!(tables.map(count), [2, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_at_once_keep_each_their_order() {
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    let (path, _folder) = embedders_file();
    let (engine, heard) = engine(MemoryStorage::new(), &path).await;
    engine.spawn(2);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let mut connection = connect(&path);
            std::thread::spawn(move || {
                for n in 0..EACH {
                    let immediate = TransactionBehavior::Immediate;
                    let transaction = connection.transaction_with_behavior(immediate).unwrap();
                    record_in(&transaction, &event(&format!("{writer} {n}"))).unwrap();
                    transaction.commit().unwrap();
                }
            })
        })
        .collect();
    let heard = heard.so_many(WRITERS * EACH).await;
    engine.shutdown(MINUTE).await;
    for (writer, thread) in writers.into_iter().enumerate() {
        thread.join().unwrap();
        let own = heard.iter().filter_map(|name| name.strip_prefix(&format!("{writer} ")));
        let own: Vec<usize> = own.map(|n| n.parse().unwrap()).collect();
        assert_eq!(own, (0..EACH).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_a_crash_left_published_but_not_done_is_told_once() {
    let (path, _folder) = embedders_file();
    let connection = connect(&path);
    let storage = MemoryStorage::new();
    // One that has an id, and one by hand that has not.
    record_in(&connection, &event("a")).unwrap();
    let by_hand =
        r#"{"kind":"ping","occurred_at":"2026-11-26T00:00:00Z","attributes":{"name":"b"}}"#;
    connection.execute(INSERT, [by_hand]).unwrap();
    // As a process does that dies before it is done: it has published, and the lease runs out.
    let (first, heard) = engine(storage.clone(), &path).await;
    let dying = SqliteOutbox::open(&path).unwrap();
    for entry in dying.take(9, Duration::ZERO).await.unwrap() {
        first
            .publish(entry.event(artifact_triggers::clock::Timestamp::now()).unwrap())
            .await
            .unwrap();
    }
    first.spawn(1);
    assert_eq!(heard.so_many(2).await, ["a", "b"]);
    record_in(&connection, &event("c")).unwrap();
    assert_eq!(heard.so_many(3).await, ["a", "b", "c"]);
    first.shutdown(MINUTE).await;
    assert_eq!(storage_events(&first).await, 3);
}

async fn storage_events(engine: &Engine) -> usize {
    engine.events(EventQuery::of_scope(Scope::root())).await.unwrap().len()
}

#[tokio::test]
async fn what_is_no_event_is_set_aside_and_can_be_mended() {
    let (path, _folder) = embedders_file();
    let connection = connect(&path);
    for json in ["no JSON", r#"{"kind":"artifact.ingested","occurred_at":"2026-11-26T00:00:00Z"}"#]
    {
        connection.execute(INSERT, [json]).unwrap();
    }
    record_in(&connection, &event("good")).unwrap();
    let (engine, heard) = engine(MemoryStorage::new(), &path).await;
    engine.spawn(1);
    assert_eq!(heard.so_many(1).await, ["good"]);
    engine.shutdown(MINUTE).await;
    let sql = "SELECT reason FROM artifact_triggers_outbox_refused ORDER BY position";
    let mut statement = connection.prepare(sql).unwrap();
    let reasons = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let reasons: Vec<String> = reasons.map(Result::unwrap).collect();
    assert!(reasons[0].starts_with("expected JSON"), "{reasons:?}");
    assert!(reasons[1].starts_with("artifact: expected a name"), "{reasons:?}");
    let invalid = {
        let mut invalid = event("x");
        invalid.kind = EventKind::ARTIFACT_INGESTED;
        record_in(&connection, &invalid)
    };
    assert!(matches!(invalid, Err(LeaveError::Invalid(_))), "{invalid:?}");
}

#[tokio::test]
async fn another_language_leaves_events_in_its_own_transactions() {
    let (path, _folder) = embedders_file();
    let script = r#"
import json, sqlite3, sys
from datetime import datetime, timezone

connection = sqlite3.connect(sys.argv[1])
for name, commits in [("a", True), ("b", False), ("c", True)]:
    connection.execute("INSERT INTO uploads VALUES (?)", [name])
    event = {"kind": "ping", "attributes": {"name": name},
             "occurred_at": datetime.now(timezone.utc).isoformat()}
    connection.execute("INSERT INTO artifact_triggers_outbox (event) VALUES (?)",
                       [json.dumps(event)])
    connection.commit() if commits else connection.rollback()
"#;
    let ran = Command::new("python3").args(["-c", script]).arg(&path).status().unwrap();
    assert!(ran.success());
    let (engine, heard) = engine(MemoryStorage::new(), &path).await;
    engine.spawn(1);
    assert_eq!(heard.so_many(2).await, ["a", "c"]);
    engine.shutdown(MINUTE).await;
    assert_eq!(storage_events(&engine).await, 2);
}

#[tokio::test]
async fn large_entries_are_given_in_pieces_and_one_at_least() {
    let (path, _folder) = embedders_file();
    let connection = connect(&path);
    for megabytes in [9, 5, 5, 1] {
        connection.execute(INSERT, ["x".repeat(megabytes << 20)]).unwrap();
    }
    let outbox = SqliteOutbox::open(&path).unwrap();
    for expected in [1, 2, 1, 0] {
        let taken = outbox.take(9, MINUTE).await.unwrap();
        assert_eq!(taken.len(), expected);
        let done = taken.iter().map(|entry| OutboxDone::published(entry.position)).collect();
        outbox.done(done).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    assert!(SqliteOutbox::open(&path).is_err());
    assert!(!path.exists());
}
