//! What only SQLite promises: files, locks, crashes, many callers at once.

use std::path::Path;

use artifact_triggers::conformance::storage::samples::{
    again, at, batched, claim, companions, event, everything, in_order, record, set, settle_one,
    states, take, trigger,
};
use artifact_triggers::delivery::{OnDead, Settlement, StateName};
use artifact_triggers::event::Scope;
use artifact_triggers::storage::sqlite::{OpenError, SqliteStorage};
use artifact_triggers::storage::{
    Claim, ClaimOf, EventQuery, Prune, Record, Recorded, Settled, Storage, TriggerChange,
    TriggerState, TriggerWrite,
};
use tempfile::TempDir;

pub(super) fn temporary() -> (SqliteStorage, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open(folder.path()), folder)
}

fn open(folder: &Path) -> SqliteStorage {
    SqliteStorage::open(folder.join("triggers.db")).unwrap()
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_reopening_and_leases_are_free() {
    let (storage, folder) = temporary();
    storage.write_trigger(TriggerWrite::Create(trigger(1, "a"))).await.unwrap();
    let cursors = vec![set("k", None, Some("v"))];
    storage.record(vec![Record { cursors, ..record(1, &[1, 2]) }]).await.unwrap();
    let claimed = take(&storage, at(10), 1).await.remove(0);
    let events = storage.events(EventQuery::of_scope(Scope::root())).await.unwrap().items;
    drop(storage);
    let storage = open(folder.path());
    assert_eq!(storage.events(EventQuery::of_scope(Scope::root())).await.unwrap().items, events);
    assert_eq!(storage.cursors(vec!["k".into()]).await.unwrap(), [Some("v".into())]);
    let changes = storage.trigger_changes(0, 10).await.unwrap();
    assert_eq!(changes[0].trigger, TriggerState::Stored(trigger(1, "a")));
    assert_eq!(states(&storage).await, [StateName::Waiting, StateName::Waiting]);
    let again = take(&storage, at(10), 9).await;
    let same = again.iter().find(|c| c.delivery.id == claimed.delivery.id).unwrap();
    assert_eq!((same.delivery.attempts, &same.payload), (1, &claimed.payload));
    assert!(same.lease.token > claimed.lease.token);
    assert_eq!(
        settle_one(&storage, claimed.lease, Settlement::Delivered).await,
        Settled::LeaseLost
    );
}

#[tokio::test]
async fn a_claim_writes_nothing_and_a_settlement_writes_what_it_counted() {
    let (storage, folder) = temporary();
    storage.record((0..3).map(|n| record(n, &[1])).collect()).await.unwrap();
    let log = || std::fs::read(folder.path().join("triggers.db-wal")).unwrap();
    let before = log();
    let lost = take(&storage, at(10), 2).await.remove(0).lease;
    let taken = take(&storage, at(100), 9).await;
    assert!(log() == before);
    let held = taken.iter().find(|claimed| claimed.delivery.attempts == 2).unwrap().lease;
    assert!(held.token > lost.token);
    settle_one(&storage, held, Settlement::Retry { at: at(500) }).await;
    assert!(log() != before);
    drop(storage);
    let storage = open(folder.path());
    let query = everything().with_id(held.delivery);
    assert_eq!(storage.deliveries(query).await.unwrap().items[0].attempts, 2);
}

#[tokio::test]
async fn rule_12_a_trigger_that_cannot_be_read_is_told_so_and_holds_up_no_other() {
    let (storage, folder) = temporary();
    for n in 1..=5 {
        let create = TriggerWrite::Create(trigger(n, &format!("t{n}")));
        storage.write_trigger(create).await.unwrap();
    }
    drop(storage);
    tamper(
        folder.path(),
        "UPDATE triggers SET document = CAST('no JSON' AS BLOB) WHERE sequence = 1;
         UPDATE triggers SET document = CAST('{' AS BLOB) WHERE sequence = 2;
         UPDATE triggers SET document = (SELECT document FROM triggers WHERE sequence = 5)
             WHERE sequence = 4;",
    );
    let storage = open(folder.path());
    let told = |changes: Vec<TriggerChange>| changes.into_iter().map(|change| change.trigger);
    let states: Vec<_> = told(storage.trigger_changes(0, 9).await.unwrap()).collect();
    let unreadable = |reason: &str| TriggerState::Unreadable { reason: reason.to_owned() };
    assert_eq!(states[0], unreadable("expected JSON: expected ident at line 1 column 2"));
    assert_eq!(
        states[1],
        unreadable("expected JSON: EOF while parsing an object at line 1 column 1")
    );
    assert_eq!(states[2], TriggerState::Stored(trigger(3, "t3")));
    assert_eq!(states[3], unreadable(&format!("it is trigger {}", trigger(5, "t5").id)));
    assert_eq!(states[4], TriggerState::Stored(trigger(5, "t5")));
    storage.write_trigger(TriggerWrite::Delete(trigger(1, "t1").id)).await.unwrap();
    let last = told(storage.trigger_changes(5, 9).await.unwrap()).collect::<Vec<_>>();
    assert_eq!(last, [TriggerState::Deleted]);
}

/// Changes the file behind the storage's back.
fn tamper(folder: &Path, sql: &str) {
    rusqlite::Connection::open(folder.join("triggers.db")).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn rule_07_what_cannot_be_read_is_dead_and_holds_up_no_other() {
    let (storage, folder) = temporary();
    storage.record((0..8).map(|n| record(n, &[1])).collect()).await.unwrap();
    drop(storage);
    tamper(
        folder.path(),
        "UPDATE deliveries SET state = 9 WHERE seq = 1;
         UPDATE deliveries SET scope = '//' WHERE seq = 2;
         UPDATE payloads SET headers = 'no JSON' WHERE delivery = 3;
         UPDATE deliveries SET event = x'00' WHERE seq = 4;
         UPDATE deliveries SET attempts = -1 WHERE seq = 5;
         DELETE FROM payloads WHERE delivery = 6;",
    );
    let storage = open(folder.path());
    let of = ClaimOf::One(record(2, &[1]).deliveries[0].0.id);
    let alone = storage.claim(Claim { of, ..claim(at(100), 1) }).await.unwrap();
    assert!(alone.deliveries.is_empty());
    let claims = storage.claim(claim(at(100), 2)).await.unwrap();
    let whole: Vec<_> = claims.deliveries.iter().map(|claimed| claimed.delivery.event).collect();
    assert_eq!(whole, [event(6).id, event(7).id]);
    assert!(take(&storage, at(100), 9).await.is_empty());
    drop(storage);
    let file = rusqlite::Connection::open(folder.path().join("triggers.db")).unwrap();
    let sql = "SELECT count(*) FROM deliveries WHERE reason = 'unreadable' AND state = 3";
    assert_eq!(file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 6);
}

#[tokio::test]
async fn rule_14_what_cannot_be_read_is_told_takes_nobodys_place_and_is_not_replayed() {
    let (storage, folder) = temporary();
    storage.record((0..8).map(|n| record(n, &[1])).collect()).await.unwrap();
    let first = storage.deliveries(everything()).await.unwrap().items.remove(0);
    drop(storage);
    tamper(
        folder.path(),
        "UPDATE deliveries SET state = 3, reason = 'exhausted', claim_at = NULL;
         UPDATE deliveries SET reason = 'none that is known' WHERE seq = 1;
         UPDATE deliveries SET scope = '//' WHERE seq = 2;
         UPDATE deliveries SET event = x'00' WHERE seq = 3;
         UPDATE deliveries SET endpoint = 99 WHERE seq = 5;
         UPDATE events SET document = CAST('no JSON' AS BLOB) WHERE seq IN (1, 2, 4);",
    );
    let storage = open(folder.path());
    let page = storage.deliveries(everything().with_limit(2)).await.unwrap();
    let of: Vec<_> = page.items.iter().map(|delivery| delivery.event).collect();
    assert_eq!(of, [event(3).id, event(5).id]);
    assert_eq!(page.unreadable.len(), 4, "{:?}", page.unreadable);
    assert!(page.unreadable[0].contains(&first.id.to_string()), "{:?}", page.unreadable);
    let events = storage.events(EventQuery::of_scope(Scope::root()).with_limit(3)).await.unwrap();
    let found: Vec<_> = events.items.iter().map(|event| event.id).collect();
    assert_eq!(found, [event(2).id, event(4).id, event(5).id]);
    assert_eq!(events.unreadable.len(), 3, "{:?}", events.unreadable);
    let replayed = storage.replay(again(everything().with_limit(3), at(900))).await.unwrap();
    assert_eq!(replayed.len(), 3);
    let rest = storage.deliveries(everything().with_state(StateName::Dead)).await.unwrap();
    assert_eq!((rest.items.len(), rest.unreadable.len()), (1, 4));
}

#[tokio::test]
async fn rule_15_what_cannot_be_read_does_not_hold_up_its_order() {
    let (storage, folder) = temporary();
    storage.record((1..4).map(|n| in_order(n, 1, OnDead::Skip)).collect()).await.unwrap();
    drop(storage);
    tamper(folder.path(), "DELETE FROM payloads WHERE delivery < 3");
    let storage = open(folder.path());
    let taken = take(&storage, at(100), 9).await;
    let whole: Vec<_> = taken.iter().map(|claimed| claimed.delivery.event).collect();
    assert_eq!(whole, [event(3).id]);
}

#[tokio::test]
async fn a_file_of_the_first_schema_is_brought_up_to_date_with_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = rusqlite::Connection::open(folder.path().join("triggers.db")).unwrap();
    file.execute_batch(include_str!("../../src/storage/sqlite/schema/001.sql")).unwrap();
    file.pragma_update(None, "user_version", 1).unwrap();
    file.execute_batch(
        "INSERT INTO endpoints VALUES (1, 'https://1.example');
         INSERT INTO deliveries (id, message, event, trigger_id, scope, endpoint, state, claim_at,
             attempts, created_at, changed_at)
         VALUES (zeroblob(16), zeroblob(16), zeroblob(16), zeroblob(16), 'acme', 1, 0, 0, 0, 0, 0);
         INSERT INTO payloads VALUES (1, '[]', x'7b7d');",
    )
    .unwrap();
    drop(file);
    let storage = open(folder.path());
    let taken = take(&storage, at(100), 9).await;
    assert_eq!((taken.len(), taken[0].delivery.turn), (1, None));
    storage
        .record(vec![in_order(1, 1, OnDead::Block), in_order(2, 1, OnDead::Block)])
        .await
        .unwrap();
    assert_eq!(take(&storage, at(100), 9).await.len(), 1);
}

#[tokio::test]
async fn a_file_of_the_second_schema_takes_what_goes_in_batches() {
    let folder = tempfile::tempdir().unwrap();
    let file = rusqlite::Connection::open(folder.path().join("triggers.db")).unwrap();
    for schema in [
        include_str!("../../src/storage/sqlite/schema/001.sql"),
        include_str!("../../src/storage/sqlite/schema/002.sql"),
        "INSERT INTO endpoints VALUES (1, 'https://shared.example');
         INSERT INTO deliveries (id, message, event, trigger_id, scope, endpoint, state, claim_at,
             attempts, created_at, changed_at)
         VALUES (zeroblob(16), zeroblob(16), zeroblob(16), zeroblob(16), 'acme', 1, 0, 0, 0, 0, 0);
         INSERT INTO payloads VALUES (1, '[]', x'7b7d');",
    ] {
        file.execute_batch(schema).unwrap();
    }
    file.pragma_update(None, "user_version", 2).unwrap();
    drop(file);
    let storage = open(folder.path());
    storage.record(vec![batched(1, &[1], at(100))]).await.unwrap();
    let of = ClaimOf::Companions(vec![companions(1, at(100), 9)]);
    let given = storage.claim(Claim { of, ..claim(at(1), 9) }).await.unwrap().deliveries;
    assert_eq!((given.len(), given[0].delivery.batched), (1, true));
    let taken = take(&storage, at(1), 9).await;
    assert_eq!((taken.len(), taken[0].delivery.batched), (1, false));
}

#[tokio::test]
async fn a_file_of_the_third_schema_gives_up_its_leases_and_goes_on_with_its_logs() {
    let folder = tempfile::tempdir().unwrap();
    let file = rusqlite::Connection::open(folder.path().join("triggers.db")).unwrap();
    for schema in [
        include_str!("../../src/storage/sqlite/schema/001.sql"),
        include_str!("../../src/storage/sqlite/schema/002.sql"),
        include_str!("../../src/storage/sqlite/schema/003.sql"),
        "INSERT INTO endpoints VALUES (1, 'https://1.example');
         INSERT INTO deliveries (id, message, event, trigger_id, scope, endpoint, state, claim_at,
             attempts, token, created_at, changed_at)
         VALUES (zeroblob(16), zeroblob(16), zeroblob(16), zeroblob(16), 'acme', 1, 1, 4e15, 3, 7, 0, 0);
         INSERT INTO payloads VALUES (1, '[]', x'7b7d');
         INSERT INTO attempts VALUES (1, 1, 1, 0, 0, 'transient', NULL, NULL, NULL, NULL);
         INSERT INTO attempts VALUES (1, 2, 2, 0, 0, 'transient', NULL, NULL, NULL, NULL);",
    ] {
        file.execute_batch(schema).unwrap();
    }
    file.pragma_update(None, "user_version", 3).unwrap();
    drop(file);
    let storage = open(folder.path());
    assert_eq!(states(&storage).await, [StateName::Waiting]);
    let taken = take(&storage, at(0), 9).await.remove(0);
    assert_eq!(taken.delivery.attempts, 4);
    assert!(taken.lease.token > 7);
    settle_one(&storage, taken.lease, Settlement::Delivered).await;
    let log = storage.attempts(taken.lease.delivery).await.unwrap();
    assert_eq!(log.iter().map(|logged| logged.position).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(log.iter().all(|logged| logged.attempt.run.is_none()));
}

#[tokio::test]
async fn rule_16_a_companion_that_cannot_be_read_holds_up_no_other() {
    let (storage, folder) = temporary();
    storage.record((1..4).map(|n| batched(n, &[1], at(1))).collect()).await.unwrap();
    drop(storage);
    tamper(folder.path(), "DELETE FROM payloads WHERE delivery < 3");
    let storage = open(folder.path());
    let of = ClaimOf::Companions(vec![companions(1, at(100), 9)]);
    let given = storage.claim(Claim { of, ..claim(at(1), 9) }).await.unwrap().deliveries;
    assert_eq!(given.len(), 1);
    drop(storage);
    let file = rusqlite::Connection::open(folder.path().join("triggers.db")).unwrap();
    let sql = "SELECT count(*) FROM deliveries WHERE reason = 'unreadable' AND state = 3";
    assert_eq!(file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
}

#[tokio::test]
async fn companions_are_found_by_one_look_whatever_else_waits() {
    let (storage, folder) = temporary();
    drop(storage);
    let file = rusqlite::Connection::open(folder.path().join("triggers.db")).unwrap();
    let sql = "EXPLAIN QUERY PLAN SELECT d.seq FROM deliveries d INDEXED BY deliveries_in_batches
               WHERE d.batched = 1 AND d.claim_at IS NOT NULL AND d.trigger_id = ?1
                   AND d.endpoint = ?2 AND (d.attempts = 0) = ?3 AND d.claim_at > ?4 AND d.claim_at <= ?5
               ORDER BY d.claim_at, d.id";
    let mut plan = file.prepare(sql).unwrap();
    let values = rusqlite::params![[0_u8; 16], 1, true, 1, 2];
    let steps = plan.query_map(values, |row| row.get::<_, String>(3)).unwrap();
    let steps: Vec<String> = steps.map(Result::unwrap).collect();
    let look = "SEARCH d USING INDEX deliveries_in_batches \
                (trigger_id=? AND endpoint=? AND <expr>=? AND claim_at>? AND claim_at<?)";
    assert_eq!(steps, [look]);
}

#[tokio::test]
async fn what_is_pruned_leaves_nothing_behind() {
    let (storage, folder) = temporary();
    storage.record((0..3).map(|n| record(n, &[1])).collect()).await.unwrap();
    for claimed in take(&storage, at(10), 2).await {
        settle_one(&storage, claimed.lease, Settlement::Delivered).await;
    }
    assert_eq!(storage.prune(Prune::older(at(1_000), at(1_000), 9)).await.unwrap().deliveries, 2);
    drop(storage);
    let file = rusqlite::Connection::open(folder.path().join("triggers.db")).unwrap();
    let count = |table| {
        let sql = format!("SELECT count(*) FROM {table}");
        file.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(["deliveries", "payloads", "attempts", "events"].map(count), [1, 1, 0, 1]);
}

#[tokio::test]
async fn what_is_held_is_come_upon_once_and_held_again_after_a_reopening() {
    let (storage, folder) = temporary();
    storage.record((0..30).map(|n| record(n, &[1])).collect()).await.unwrap();
    for claimed in take(&storage, at(100), 30).await {
        settle_one(&storage, claimed.lease, Settlement::Delivered).await;
    }
    let all = Prune::older(at(1_000), at(1_000), 10);
    let held = all.clone().with_held(vec!["acme".parse().unwrap()]);
    for _ in 0..3 {
        let pruned = storage.prune(held.clone()).await.unwrap();
        assert_eq!((pruned.deliveries, pruned.events, pruned.passed), (0, 0, 20));
    }
    assert!(storage.prune(held.clone()).await.unwrap().is_nothing());
    drop(storage);
    let storage = open(folder.path());
    let one = record(40, &[]);
    storage.record(vec![one]).await.unwrap();
    assert_eq!(
        storage.prune(held.clone()).await.unwrap().passed,
        1,
        "it is not held up by the others"
    );
    assert!(storage.prune(held).await.unwrap().is_nothing());
    let mut total = artifact_triggers::storage::Pruned::default();
    for _ in 0..5 {
        total.add(storage.prune(all.clone()).await.unwrap());
    }
    assert_eq!((total.deliveries, total.events), (30, 31));
}

#[tokio::test]
async fn rule_02_what_was_answered_is_there_after_a_crash() {
    let (storage, folder) = temporary();
    for n in 0..20 {
        storage.record(vec![record(n, &[1, 2])]).await.unwrap();
    }
    let lease = take(&storage, at(100), 1).await.remove(0).lease;
    settle_one(&storage, lease, Settlement::Delivered).await;
    // As the disk stands if the process is killed now.
    let disk = tempfile::tempdir().unwrap();
    for name in ["triggers.db", "triggers.db-wal"] {
        std::fs::copy(folder.path().join(name), disk.path().join(name)).unwrap();
    }
    let after = open(disk.path());
    let (found, expected) = (after.deliveries(everything()), storage.deliveries(everything()));
    assert_eq!(found.await.unwrap(), expected.await.unwrap());
    assert_eq!(after.attempts(lease.delivery).await.unwrap().len(), 1);
    assert_eq!(take(&after, at(100), 100).await.len(), 39);
}

#[tokio::test]
async fn rule_03_what_is_half_written_at_a_crash_is_not_there() {
    let (storage, folder) = temporary();
    storage.record(vec![record(1, &[1])]).await.unwrap();
    let whole = std::fs::metadata(folder.path().join("triggers.db-wal")).unwrap().len();
    storage.record(vec![record(2, &[1, 2, 3])]).await.unwrap();
    let log = std::fs::read(folder.path().join("triggers.db-wal")).unwrap();
    for length in (usize::try_from(whole).unwrap()..log.len()).step_by(5_000) {
        let disk = tempfile::tempdir().unwrap();
        std::fs::copy(folder.path().join("triggers.db"), disk.path().join("triggers.db")).unwrap();
        std::fs::write(disk.path().join("triggers.db-wal"), &log[..length]).unwrap();
        assert_eq!(states(&open(disk.path())).await, [StateName::Waiting], "{length} bytes");
    }
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let (storage, folder) = temporary();
    let error = SqliteStorage::open(folder.path().join("triggers.db")).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(storage);
    open(folder.path());
}

#[cfg(unix)]
#[test]
fn another_path_to_the_same_file_finds_the_same_lock() {
    let (_storage, folder) = temporary();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink("triggers.db", &link).unwrap();
    let beside = tempfile::tempdir().unwrap();
    let linked_folder = beside.path().join("folder");
    std::os::unix::fs::symlink(folder.path(), &linked_folder).unwrap();
    let name = folder.path().file_name().unwrap();
    let roundabout = folder.path().join("..").join(name).join(".").join("triggers.db");
    for path in [link, linked_folder.join("triggers.db"), roundabout] {
        let error = SqliteStorage::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{path:?}: {error}");
    }
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    tamper(folder.path(), "PRAGMA user_version = 99");
    let error = SqliteStorage::open(folder.path().join("triggers.db")).unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { found: 99, known: 7 }), "{error}");
}

#[tokio::test]
async fn what_is_no_database_or_a_damaged_one_is_refused_and_left_alone() {
    let (storage, folder) = temporary();
    storage.record((0..50).map(|n| record(n, &[1, 2])).collect()).await.unwrap();
    drop(storage);
    let path = folder.path().join("triggers.db");
    let truncated = std::fs::read(&path).unwrap()[..3 * 8192 + 100].to_vec();
    for content in [b"no database, but long enough to be looked at. ".repeat(99), truncated] {
        std::fs::write(&path, &content).unwrap();
        let error = SqliteStorage::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_folder_or_a_place_that_cannot_be_written_is_refused() {
    use std::io::ErrorKind;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let places = [
        (folder.path().to_owned(), ErrorKind::IsADirectory),
        (folder.path().join("missing/triggers.db"), ErrorKind::NotFound),
        (folder.path().join("file/triggers.db"), ErrorKind::NotADirectory),
        #[cfg(target_os = "linux")]
        ("/sys/triggers.db".into(), ErrorKind::PermissionDenied),
    ];
    for (place, expected) in places {
        match SqliteStorage::open(&place).unwrap_err() {
            OpenError::Io { path, source } => assert_eq!((path, source.kind()), (place, expected)),
            other => panic!("{place:?}: {other:?}"),
        }
    }
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_storage, folder) = temporary();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{entry:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_lose_nothing_and_share_nothing() {
    let (storage, _folder) = temporary();
    let publishers = (0..16_u32).map(|p| {
        let storage = storage.clone();
        tokio::spawn(async move {
            for n in 0..50 {
                let answer = storage.record(vec![record(p * 1_000 + n, &[1, 2])]).await.unwrap();
                assert_eq!(answer, [Recorded::Stored]);
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let claimers = (0..8).map(|_| {
        let storage = storage.clone();
        tokio::spawn(async move {
            let mut leases = Vec::new();
            loop {
                let taken = take(&storage, at(1_000_000), 37).await;
                if taken.is_empty() {
                    return leases;
                }
                leases.extend(taken.into_iter().map(|claimed| claimed.lease.delivery));
            }
        })
    });
    let claimers: Vec<_> = claimers.collect();
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.unwrap());
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((count, all.len()), (1_600, 1_600));
}
