//! Query plans: each statement that is used looks up what it needs. Without an index that it counts
//! on, a test fails and names it. (Those of prune stand with it.)

use std::collections::BTreeSet;
use std::time::Duration;

use super::tests::{claim, record};
use super::{SqliteStorage, commit};
use crate::clock::Timestamp;
use crate::delivery::{OnDead, Settlement, StateName, Turn};
use crate::event::Scope;
use crate::id::{DeliveryId, EventId, OrderingKey};
use crate::storage::{
    Claim, ClaimOf, Companions, CursorMove, DeliveryQuery, EventQuery, Fate, Record, Replay,
    Settle, Storage as _,
};

/// What the plans of statements are that begin, or go on, with some words, in the order in which
/// SQLite tells them.
const PLANS: [(&str, &[&str]); 21] = [
    // Claims.
    (
        "SELECT claim_at, id, seq FROM deliveries INDEXED BY claimable",
        &["SEARCH deliveries USING COVERING INDEX claimable (endpoint=? AND claim_at>?)"],
    ),
    (
        "SELECT d.endpoint, e.key FROM deliveries d INDEXED BY claimable",
        &[
            "SEARCH d USING COVERING INDEX claimable (endpoint>?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    (
        "p.body FROM deliveries d LEFT JOIN payloads p",
        &[
            "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)",
            "SEARCH p USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
        ],
    ),
    (
        "SELECT claim_at, id, seq FROM deliveries INDEXED BY deliveries_in_batches",
        &["SEARCH deliveries USING INDEX deliveries_in_batches \
         (trigger_id=? AND endpoint=? AND <expr>=? AND claim_at>? AND claim_at<?)"],
    ),
    (
        "SELECT d.claim_at, d.seq, d.endpoint, e.key",
        &[
            "SEARCH d USING INDEX sqlite_autoindex_deliveries_1 (id=?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    ),
    // What another takes the place of.
    (
        "UPDATE deliveries SET state = ?2, reason = ?3, claim_at = NULL, changed_at = ?4",
        &["SEARCH deliveries USING INDEX sqlite_autoindex_deliveries_1 (id=?)"],
    ),
    // Settlements, and what goes next in an order.
    (
        "UPDATE deliveries SET state = ?2, reason = ?3, claim_at = ?4, changed_at = ?5",
        &["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)"],
    ),
    (
        "UPDATE deliveries SET logged = ?2",
        &["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)"],
    ),
    (
        "UPDATE deliveries SET state = 0, claim_at = max(changed_at, ?2)",
        &[
            "SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)",
            "SCALAR SUBQUERY 1",
            "SEARCH deliveries USING COVERING INDEX deliveries_in_order (ordering=? AND state=?)",
            "SCALAR SUBQUERY 2",
            "SEARCH deliveries USING COVERING INDEX deliveries_in_order (ordering=? AND state=?)",
            "CORRELATED SCALAR SUBQUERY 3",
            "SEARCH d USING INDEX deliveries_in_order (ordering=? AND state=? AND seq<?)",
        ],
    ),
    // Pages, and replay.
    (
        "WHERE 1 AND 1 ORDER BY d.id",
        &[
            "SCAN d USING INDEX sqlite_autoindex_deliveries_1",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
        ],
    ),
    (
        "WHERE d.id > ?1 AND 1 ORDER BY d.id",
        &[
            "SEARCH d USING INDEX sqlite_autoindex_deliveries_1 (id>?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
        ],
    ),
    (
        "WHERE d.id = ?1 AND 1 ORDER BY d.id",
        &[
            "SEARCH d USING INDEX sqlite_autoindex_deliveries_1 (id=?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
        ],
    ),
    (
        "WHERE d.event = ?1 AND d.id > ?2 AND 1 ORDER BY d.id",
        &[
            "SEARCH d USING INDEX deliveries_of_event (event=? AND id>?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
        ],
    ),
    (
        "WHERE d.trigger_id = ?1 AND d.id > ?2 AND 1 ORDER BY d.id",
        &[
            "SEARCH d USING INDEX deliveries_of_trigger (trigger_id=? AND id>?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
        ],
    ),
    (
        "d.claim_at IS NULL AND d.state IN (3, 5) ORDER BY d.id",
        &[
            "SEARCH d USING INDEX deliveries_to_replay (id>?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
        ],
    ),
    (
        "UPDATE deliveries SET state = ?2, reason = ?7, claim_at = ?3, attempts = ?4",
        &["SEARCH deliveries USING INDEX sqlite_autoindex_deliveries_1 (id=?)"],
    ),
    (
        "SELECT id, document FROM events WHERE id > ?1 ORDER BY id",
        &["SEARCH events USING INDEX sqlite_autoindex_events_1 (id>?)"],
    ),
    (
        "SELECT a.position, a.number",
        &[
            "SEARCH d USING COVERING INDEX sqlite_autoindex_deliveries_1 (id=?)",
            "SEARCH a USING PRIMARY KEY (delivery=?)",
        ],
    ),
    // The backlog: all of it, in an index that has nothing else.
    (
        "SELECT e.key, count(*), min(d.claim_at), d.endpoint",
        &[
            "SCAN d USING COVERING INDEX claimable",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    ),
    ("SELECT value FROM cursors", &["SEARCH cursors USING PRIMARY KEY (key=?)"]),
    (
        "DELETE FROM cursors WHERE key >= ?1",
        &["SEARCH cursors USING PRIMARY KEY (key>? AND key<?)"],
    ),
];

/// Scans that are meant, beside those of [`PLANS`].
const SCANS: [&str; 3] = [
    "SCAN openings",
    "SCAN json_each VIRTUAL TABLE INDEX 1:",
    "SCAN d USING INDEX sqlite_autoindex_deliveries_1",
];

#[tokio::test]
async fn each_statement_finds_what_it_needs_by_the_index_that_is_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(folder.path().join("triggers.db")).unwrap();
    do_everything(&storage).await;
    let plans = [
        storage.shared.writer.call(|session| plans(session)).await.unwrap(),
        storage.shared.reader.call(|session| plans(session)).await.unwrap(),
    ]
    .concat();
    let mut wrong = Vec::new();
    for (words, expected) in PLANS {
        let mut of = plans.iter().filter(|(sql, _)| sql.contains(words)).peekable();
        if of.peek().is_none() {
            wrong.push(format!("no statement has {words:?}"));
        }
        let others = of.filter(|(_, plan)| plan != expected);
        wrong.extend(others.map(|(sql, plan)| format!("{sql}\n  has the plan {plan:#?}")));
    }
    for (sql, plan) in &plans {
        let is_pinned = PLANS.iter().any(|(words, _)| sql.contains(words));
        let meant = |step: &String| !step.starts_with("SCAN") || SCANS.contains(&step.as_str());
        if !is_pinned && !plan.iter().all(meant) {
            wrong.push(format!("{sql}\n  scans: {plan:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The statements that a session has prepared, with the steps of their plans.
fn plans(
    session: &commit::Session,
) -> Result<Vec<(String, Vec<String>)>, crate::storage::StorageError> {
    let prepared: BTreeSet<String> = session.prepared.borrow().clone();
    let explained = prepared.iter().filter(|sql| {
        ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| sql.starts_with(verb))
    });
    let plan = |sql: &String| {
        let mut statement = session.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next()? {
            steps.push(row.get::<_, String>(3)?);
        }
        Ok((sql.split_whitespace().collect::<Vec<_>>().join(" "), steps))
    };
    explained.map(plan).collect::<rusqlite::Result<_>>().map_err(commit::unavailable)
}

/// Calls the methods of the storage in each of their ways.
async fn do_everything(storage: &SqliteStorage) {
    let now = Timestamp::now() + Duration::from_secs(1);
    let root = || DeliveryQuery::of_scope(Scope::root());
    let key = OrderingKey::derived(now, &[]);
    let mut records: Vec<Record> = (0..9).map(|_| record(10)).collect();
    for one in &mut records[..2] {
        one.deliveries[0].0.turn = Some(Turn { key, on_dead: OnDead::Block });
    }
    records[2].deliveries[0].0.batched = true;
    let batched = records[2].deliveries[0].0.clone();
    let older = records[3].deliveries[0].0.id;
    storage.record(records).await.unwrap();
    let below = CursorMove::RemoveBelow { prefix: "c".into() };
    let set = CursorMove::Set { key: "c".into(), expected: None, value: Some("v".into()) };
    let (cursors, supersedes) = (vec![set, below], vec![older]);
    storage.record(vec![Record { cursors, supersedes, ..record(1) }]).await.unwrap();
    let companions = Companions {
        trigger: batched.trigger,
        endpoint: batched.endpoint,
        until: now,
        limit: 1,
        max_bytes: 1_000,
    };
    for of in [ClaimOf::Companions(vec![companions]), ClaimOf::One(batched.id)] {
        storage.claim(Claim { of, ..claim(now) }).await.unwrap();
    }
    let settlements = [
        Settlement::Extended { until: now },
        Settlement::Delivered,
        Settlement::Parked,
        Settlement::Retry { at: now },
    ];
    for (claimed, settlement) in
        storage.claim(claim(now)).await.unwrap().deliveries.into_iter().zip(settlements)
    {
        let attempt =
            crate::delivery::Attempt::new(1, now, now, crate::delivery::Outcome::Transient);
        let (lease, attempts, records) = (claimed.lease, vec![attempt], Vec::new());
        let settle = Settle { lease, settlement, attempts, records };
        storage.settle(vec![settle], now).await.unwrap();
    }
    let query = root().with_after(DeliveryId::from_bytes([0; 16]));
    let replay = Replay { query, unchanged_since: None, now, fate: Fate::Discarded };
    storage.replay(replay).await.unwrap();
    let after = DeliveryId::from_bytes([0; 16]);
    for query in [
        root(),
        root().with_after(after),
        root().with_id(batched.id),
        root().with_event(batched.event).with_after(after),
        root().with_trigger(batched.trigger).with_after(after),
        root().with_state(StateName::Leased),
        root().with_state(StateName::Waiting),
    ] {
        storage.deliveries(query).await.unwrap();
    }
    let events = EventQuery::of_scope(Scope::root()).with_after(EventId::from_bytes([0; 16]));
    storage.events(events).await.unwrap();
    storage.attempts(batched.id).await.unwrap();
    storage.cursors(vec!["c".into()]).await.unwrap();
    storage.trigger_changes(0, 1).await.unwrap();
    storage.backlog().await.unwrap();
}
