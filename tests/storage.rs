//! The storage contract, rule by rule, for each storage of the crate; and what only SQLite promises.

use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{
    Attempt, Claimed, DeadReason, Delivery, EndpointKey, Lease, Outcome, Settlement, State,
    StateName,
};
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::id::TriggerId;
use artifact_triggers::payload::{PayloadFormat, TriggerName};
use artifact_triggers::storage::{
    Claim, CursorMove, DeliveryQuery, EventQuery, MemoryStorage, Record, Recorded, Replay, Settle,
    Settled, Storage, StorageError, TriggerWrite,
};
use artifact_triggers::trigger::Trigger;

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000) + Duration::from_secs(seconds)
}

fn trigger_id(n: u8) -> TriggerId {
    TriggerId::derived(at(0), &[&[n]])
}

fn event(n: u32) -> Event {
    let artifact = Artifact::new("generic", format!("artifact-{n}"));
    let source = artifact_triggers::event::Source::new("test").with_id(n.to_string());
    Event::builder(EventKind::ARTIFACT_INGESTED)
        .source(source)
        .scope("acme/x".parse().unwrap())
        .occurred_at(at(n.into()))
        .artifact(artifact)
        .build_at(at(n.into()), &artifact_triggers::entropy::OsEntropy)
        .unwrap()
}

/// An event with a delivery to each of some triggers, each with an endpoint of its own.
fn record(n: u32, triggers: &[u8]) -> Record {
    let event = event(n);
    let event_json: Arc<[u8]> = event.to_json().into();
    let deliveries = triggers.iter().map(|trigger| {
        let id = trigger_id(*trigger);
        let endpoint = EndpointKey::new(format!("https://{trigger}.example"));
        let scope = "acme".parse().unwrap();
        let delivery = Delivery::new(event.id, id, scope, endpoint, at(n.into()));
        let name = TriggerName { id, name: "t" };
        (delivery, PayloadFormat::Native.render(&event, &event_json, name))
    });
    let deliveries = deliveries.collect();
    Record { event: Arc::new(event), event_json, deliveries, cursors: Vec::new() }
}

fn everything() -> DeliveryQuery {
    DeliveryQuery::of_scope(Scope::root())
}

fn claim(now: Timestamp, limit: usize) -> Claim {
    Claim { now, lease: MINUTE, limit, per_endpoint: usize::MAX, quotas: Vec::new() }
}

async fn take(storage: &dyn Storage, now: Timestamp, limit: usize) -> Vec<Claimed> {
    storage.claim(claim(now, limit)).await.unwrap().deliveries
}

fn settle(lease: Lease, settlement: Settlement, number: u32) -> Settle {
    let attempt = Attempt::new(number, at(1), at(2), Outcome::Transient).with_status(500);
    Settle { lease, settlement, attempts: vec![attempt], records: Vec::new() }
}

async fn settle_one(storage: &dyn Storage, lease: Lease, settlement: Settlement) -> Settled {
    storage.settle(vec![settle(lease, settlement, 1)], at(900)).await.unwrap()[0]
}

async fn states(storage: &dyn Storage) -> Vec<StateName> {
    let deliveries = storage.deliveries(everything()).await.unwrap();
    deliveries.iter().map(|delivery| delivery.state.name()).collect()
}

fn spec(name: &str) -> artifact_triggers::trigger::TriggerSpec {
    Trigger::builder(name).on(EventKind::PING).action("a").build().unwrap()
}

fn trigger(n: u8, name: &str) -> Arc<Trigger> {
    Arc::new(Trigger::new(trigger_id(n), spec(name), at(0)))
}

async fn rule_04_an_event_is_stored_once(storage: &dyn Storage) {
    let mut moved = record(1, &[1, 2]);
    moved.cursors = vec![set("k", None, Some("v"))];
    let answers = storage.record(vec![record(1, &[1]), record(1, &[1]), moved]).await.unwrap();
    assert_eq!(answers, [Recorded::Stored, Recorded::Duplicate, Recorded::Duplicate]);
    assert_eq!(storage.deliveries(everything()).await.unwrap().len(), 1);
    assert_eq!(storage.cursors(vec!["k".to_owned()]).await.unwrap(), [None]);
}

fn set(key: &str, expected: Option<&str>, value: Option<&str>) -> CursorMove {
    let own = |text: Option<&str>| text.map(str::to_owned);
    CursorMove::Set { key: key.to_owned(), expected: own(expected), value: own(value) }
}

async fn rule_05_a_cursor_that_moved_stops_the_record(storage: &dyn Storage) {
    let with = |n, cursors| Record { cursors, ..record(n, &[1]) };
    let first =
        vec![set("a/1", None, Some("x")), set("a/2", None, Some("y")), set("b", None, Some("z"))];
    let second = vec![set("b", Some("z"), None), set("a/1", Some("wrong"), Some("w"))];
    let third =
        vec![set("a/1", Some("x"), Some("w")), CursorMove::RemoveBelow { prefix: "a/2".into() }];
    let records = vec![with(1, first), with(2, second), with(3, third)];
    let answers = storage.record(records).await.unwrap();
    assert_eq!(answers, [Recorded::Stored, Recorded::CursorMoved, Recorded::Stored]);
    let keys = ["a/1", "a/2", "b", "c"].map(str::to_owned).to_vec();
    let values = storage.cursors(keys).await.unwrap();
    assert_eq!(values, [Some("w".to_owned()), None, Some("z".to_owned()), None]);
    assert_eq!(storage.events(EventQuery::of_scope(Scope::root())).await.unwrap().len(), 2);
}

async fn removing_below_a_prefix_takes_it_literally(storage: &dyn Storage) {
    let keys = ["a%b/1", "a_b/1", "axb/1", "a%b", "a%c"];
    let cursors = keys.iter().map(|key| set(key, None, Some("v"))).collect();
    let removal = vec![CursorMove::RemoveBelow { prefix: "a%b/".into() }];
    let records =
        vec![Record { cursors, ..record(1, &[]) }, Record { cursors: removal, ..record(2, &[]) }];
    storage.record(records).await.unwrap();
    let left = storage.cursors(keys.map(str::to_owned).to_vec()).await.unwrap();
    let left: Vec<bool> = left.iter().map(Option::is_some).collect();
    assert_eq!(left, [false, true, true, true, true]);
}

async fn rule_07_claims_are_disjoint_due_and_within_quotas(storage: &dyn Storage) {
    let records = (0..10).map(|n| record(n, &[1, 2, 3])).collect();
    storage.record(records).await.unwrap();
    let mut asked = claim(at(4), 100);
    asked.per_endpoint = 2;
    asked.quotas = vec![
        (EndpointKey::new("https://2.example"), 0),
        (EndpointKey::new("https://3.example"), 3),
    ];
    let claims = storage.claim(asked).await.unwrap();
    let count =
        |n: u8| claims.deliveries.iter().filter(|c| c.delivery.trigger == trigger_id(n)).count();
    assert_eq!((count(1), count(2), count(3)), (2, 0, 3));
    assert!(claims.next_due.unwrap() <= at(4), "quotas hold some back");
    let times: Vec<_> =
        claims.deliveries.iter().filter(|c| c.delivery.trigger == trigger_id(3)).collect();
    assert!(times.is_sorted_by_key(|claimed| claimed.delivery.created_at), "the longest due first");
    let rest = take(storage, at(4), 100).await;
    assert_eq!(rest.len(), 15 - 5);
    let later = storage.claim(claim(at(4), 100)).await.unwrap();
    assert!(later.deliveries.is_empty());
    assert_eq!(later.next_due, Some(at(5)));
}

async fn rule_07_endpoints_take_turns(storage: &dyn Storage) {
    let many: Vec<Record> = (0..50).map(|n| record(n, &[1])).collect();
    storage.record(many).await.unwrap();
    storage.record(vec![record(60, &[2]), record(61, &[3])]).await.unwrap();
    let mut asked = claim(at(100), 4);
    asked.per_endpoint = 3;
    let mut served = std::collections::HashSet::new();
    for _ in 0..3 {
        for claimed in storage.claim(asked.clone()).await.unwrap().deliveries {
            served.insert(claimed.delivery.trigger);
        }
    }
    assert_eq!(served.len(), 3, "a long backlog keeps nobody waiting");
}

async fn rule_08_a_claim_counts_and_leases_and_a_lost_lease_is_given_anew(storage: &dyn Storage) {
    storage.record(vec![record(1, &[1])]).await.unwrap();
    let first = take(storage, at(10), 1).await.remove(0);
    assert_eq!(first.delivery.attempts, 1);
    assert_eq!(first.delivery.state, State::Leased { until: at(70) });
    assert!(take(storage, at(69), 1).await.is_empty());
    let second = take(storage, at(70), 1).await.remove(0);
    assert_eq!((second.delivery.attempts, second.delivery.id), (2, first.delivery.id));
    assert!(second.lease.token > first.lease.token);
    assert_eq!(second.payload, first.payload);
    assert_eq!(second.delivery.message_id, first.delivery.message_id);
}

async fn rule_09_a_lost_lease_settles_nothing(storage: &dyn Storage) {
    storage.record(vec![record(1, &[1])]).await.unwrap();
    let lost = take(storage, at(10), 1).await.remove(0).lease;
    let held = take(storage, at(100), 1).await.remove(0).lease;
    assert_eq!(settle_one(storage, lost, Settlement::Delivered).await, Settled::LeaseLost);
    assert_eq!(states(storage).await, [StateName::Leased]);
    // It ran out long ago, but nobody else has it.
    assert_eq!(settle_one(storage, held, Settlement::Delivered).await, Settled::Done);
    assert_eq!(settle_one(storage, held, Settlement::Cancelled).await, Settled::LeaseLost);
    assert_eq!(states(storage).await, [StateName::Delivered]);
    let log = storage.attempts(held.delivery).await.unwrap();
    assert_eq!(log.len(), 1, "what was not settled was not logged");
}

async fn rule_10_each_settlement_leads_where_it_says(storage: &dyn Storage) {
    let cases = [
        (Settlement::Delivered, State::Delivered, 1),
        (Settlement::Retry { at: at(500) }, State::Waiting { due: at(500) }, 1),
        (Settlement::Dead(DeadReason::Gone), State::Dead { reason: DeadReason::Gone }, 1),
        (Settlement::Cancelled, State::Cancelled, 1),
        (Settlement::Parked, State::Parked, 0),
        (Settlement::Released { at: at(600) }, State::Waiting { due: at(600) }, 0),
    ];
    for (n, (settlement, state, attempts)) in (1..).zip(cases) {
        storage.record(vec![record(n, &[1])]).await.unwrap();
        let lease = take(storage, at(100), 1).await.remove(0).lease;
        let follows = Settle { records: vec![record(n + 50, &[])], ..settle(lease, settlement, 1) };
        assert_eq!(storage.settle(vec![follows], at(200)).await.unwrap(), [Settled::Done]);
        let found =
            storage.deliveries(everything().with_id(lease.delivery)).await.unwrap().remove(0);
        assert_eq!((found.state, found.attempts), (state, attempts));
        let told = EventQuery::of_scope(Scope::root()).with_id(event(n + 50).id);
        assert_eq!(storage.events(told).await.unwrap().len(), 1, "the event that follows");
    }
    let throttled = Outcome::Throttled { retry_after: Some(MINUTE) };
    let attempt = Attempt::new(2, at(3), at(4), throttled)
        .with_status(429)
        .with_error("slow down")
        .with_response("naïve".as_bytes());
    let lease = take(storage, at(550), 1).await.remove(0).lease;
    let logged =
        Settle { attempts: vec![attempt.clone()], ..settle(lease, Settlement::Delivered, 2) };
    storage.settle(vec![logged], at(560)).await.unwrap();
    let log = storage.attempts(lease.delivery).await.unwrap();
    assert_eq!((log[1].position, &log[1].attempt), (2, &attempt));
}

async fn rule_11_revisions_and_names_are_compared(storage: &dyn Storage) {
    let conflict = |result| matches!(result, Err(StorageError::Conflict { .. }));
    let missing = |result| matches!(result, Err(StorageError::NotFound { .. }));
    let first = trigger(1, "a");
    let update = |from: &Trigger, name: &str| {
        TriggerWrite::Update(Arc::new(from.changed(spec(name), None, at(1))))
    };
    assert!(missing(storage.write_trigger(update(&first, "a")).await));
    storage.write_trigger(TriggerWrite::Create(first.clone())).await.unwrap();
    assert!(conflict(storage.write_trigger(TriggerWrite::Create(trigger(1, "b"))).await));
    assert!(conflict(storage.write_trigger(TriggerWrite::Create(trigger(2, "a"))).await));
    storage.write_trigger(update(&first, "b")).await.unwrap();
    assert!(conflict(storage.write_trigger(update(&first, "c")).await), "it is at revision 2 now");
    storage.write_trigger(TriggerWrite::Create(trigger(2, "a"))).await.unwrap();
    storage.write_trigger(TriggerWrite::Delete(first.id)).await.unwrap();
    assert!(missing(storage.write_trigger(TriggerWrite::Delete(first.id)).await));
    storage.write_trigger(TriggerWrite::Create(trigger(3, "b"))).await.unwrap();
}

async fn rule_12_the_feed_tells_the_last_change_of_each_trigger(storage: &dyn Storage) {
    let (a, b, c) = (trigger(1, "a"), trigger(2, "b"), trigger(3, "c"));
    for one in [&a, &b, &c] {
        storage.write_trigger(TriggerWrite::Create(one.clone())).await.unwrap();
    }
    let changed = Arc::new(a.changed(spec("a2"), None, at(1)));
    storage.write_trigger(TriggerWrite::Update(changed.clone())).await.unwrap();
    storage.write_trigger(TriggerWrite::Delete(b.id)).await.unwrap();
    let mut told = Vec::new();
    let mut after = 0;
    loop {
        let page = storage.trigger_changes(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(last.sequence > after);
        after = last.sequence;
        told.extend(page.into_iter().map(|change| (change.id, change.trigger)));
    }
    assert_eq!(told, [(c.id, Some(c)), (a.id, Some(changed)), (b.id, None)]);
    assert!(storage.trigger_changes(after, 10).await.unwrap().is_empty());
}

async fn rule_14_pages_are_in_the_order_of_ids(storage: &dyn Storage) {
    let records = [5, 1, 9, 3, 7].map(|n| record(n, &[1, 2])).to_vec();
    storage.record(records).await.unwrap();
    let mut told = Vec::new();
    let mut query = everything().with_limit(3);
    loop {
        let page = storage.deliveries(query.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        query = query.with_after(last.id);
        told.extend(page);
    }
    assert_eq!(told.len(), 10);
    assert!(told.is_sorted_by_key(|delivery| delivery.id));
    let events = storage.events(EventQuery::of_scope(Scope::root()).with_limit(4)).await.unwrap();
    let rest = EventQuery::of_scope(Scope::root()).with_after(events[3].id);
    assert_eq!(storage.events(rest).await.unwrap().len(), 1);
    assert_eq!(events[0], event(1));
}

async fn queries_select_by_scope_event_trigger_and_state(storage: &dyn Storage) {
    storage.record(vec![record(1, &[1, 2]), record(2, &[1])]).await.unwrap();
    let lease = take(storage, at(1), 1).await.remove(0).lease;
    settle_one(storage, lease, Settlement::Delivered).await;
    let count = async |query: DeliveryQuery| storage.deliveries(query).await.unwrap().len();
    assert_eq!(count(everything().with_event(event(1).id)).await, 2);
    assert_eq!(count(everything().with_trigger(trigger_id(1))).await, 2);
    assert_eq!(count(everything().with_state(StateName::Waiting)).await, 2);
    assert_eq!(count(everything().with_id(lease.delivery)).await, 1);
    for (scope, deliveries, events) in
        [("acme", 3, 2), ("acme/x", 0, 2), ("acm", 0, 0), ("acme/x/y", 0, 0)]
    {
        let scope: Scope = scope.parse().unwrap();
        assert_eq!(count(DeliveryQuery::of_scope(scope.clone())).await, deliveries);
        assert_eq!(storage.events(EventQuery::of_scope(scope)).await.unwrap().len(), events);
    }
}

async fn replay_takes_what_is_dead_or_parked_and_nothing_else(storage: &dyn Storage) {
    let records = (1..=5).map(|n| record(n, &[1])).collect();
    storage.record(records).await.unwrap();
    let settlements = [
        Settlement::Dead(DeadReason::Exhausted),
        Settlement::Parked,
        Settlement::Delivered,
        Settlement::Cancelled,
        Settlement::Retry { at: at(999) },
    ];
    let leases: Vec<Lease> =
        take(storage, at(10), 9).await.iter().map(|claimed| claimed.lease).collect();
    for (lease, settlement) in leases.iter().zip(settlements) {
        settle_one(storage, *lease, settlement).await;
    }
    let replay = |limit| Replay { query: everything().with_limit(limit), due: at(50) };
    assert_eq!(storage.replay(replay(1)).await.unwrap(), [leases[0].delivery]);
    assert_eq!(storage.replay(replay(9)).await.unwrap(), [leases[1].delivery]);
    assert_eq!(storage.replay(replay(9)).await.unwrap(), []);
    let again = take(storage, at(50), 9).await;
    let attempts: Vec<u32> = again.iter().map(|claimed| claimed.delivery.attempts).collect();
    assert_eq!(attempts, [1, 1]);
    assert_eq!(settle_one(storage, leases[0], Settlement::Delivered).await, Settled::LeaseLost);
}

async fn prune_takes_what_is_final_and_old(storage: &dyn Storage) {
    storage.record((1..=4).map(|n| record(n, &[1])).collect()).await.unwrap();
    storage.record(vec![record(5, &[])]).await.unwrap();
    let leases: Vec<Lease> = take(storage, at(3), 2).await.iter().map(|c| c.lease).collect();
    storage.settle(vec![settle(leases[0], Settlement::Delivered, 1)], at(10)).await.unwrap();
    storage.settle(vec![settle(leases[1], Settlement::Delivered, 1)], at(20)).await.unwrap();
    let pruned = storage.prune(at(20), 100).await.unwrap();
    assert_eq!((pruned.deliveries, pruned.events), (1, 2));
    assert!(storage.attempts(leases[0].delivery).await.unwrap().is_empty());
    assert_eq!(
        states(storage).await,
        [StateName::Delivered, StateName::Waiting, StateName::Waiting]
    );
    let pruned = storage.prune(at(1_000), 1).await.unwrap();
    assert_eq!((pruned.deliveries, pruned.events), (1, 1));
}

macro_rules! contract {
    ($name:ident, $storage:expr) => {
        mod $name {
            use super::*;

            contract!(@ $storage,
                rule_04_an_event_is_stored_once,
                rule_05_a_cursor_that_moved_stops_the_record,
                removing_below_a_prefix_takes_it_literally,
                rule_07_claims_are_disjoint_due_and_within_quotas,
                rule_07_endpoints_take_turns,
                rule_08_a_claim_counts_and_leases_and_a_lost_lease_is_given_anew,
                rule_09_a_lost_lease_settles_nothing,
                rule_10_each_settlement_leads_where_it_says,
                rule_11_revisions_and_names_are_compared,
                rule_12_the_feed_tells_the_last_change_of_each_trigger,
                rule_14_pages_are_in_the_order_of_ids,
                queries_select_by_scope_event_trigger_and_state,
                replay_takes_what_is_dead_or_parked_and_nothing_else,
                prune_takes_what_is_final_and_old
            );
        }
    };
    (@ $storage:expr, $($rule:ident),*) => {
        $(#[tokio::test]
        async fn $rule() {
            let (storage, _kept) = $storage;
            super::$rule(&storage).await;
        })*
    };
}

contract!(memory, (MemoryStorage::new(), ()));

#[cfg(feature = "sqlite")]
contract!(sqlite, only_sqlite::temporary());

#[cfg(feature = "sqlite")]
mod only_sqlite {
    use std::path::Path;

    use artifact_triggers::storage::sqlite::{OpenError, SqliteStorage};
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

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
        let events = storage.events(EventQuery::of_scope(Scope::root())).await.unwrap();
        drop(storage);
        let storage = open(folder.path());
        assert_eq!(storage.events(EventQuery::of_scope(Scope::root())).await.unwrap(), events);
        assert_eq!(storage.cursors(vec!["k".into()]).await.unwrap(), [Some("v".into())]);
        let changes = storage.trigger_changes(0, 10).await.unwrap();
        assert_eq!(changes[0].trigger, Some(trigger(1, "a")));
        assert_eq!(states(&storage).await, [StateName::Waiting, StateName::Waiting]);
        let again = take(&storage, at(10), 9).await;
        let same = again.iter().find(|c| c.delivery.id == claimed.delivery.id).unwrap();
        assert_eq!((same.delivery.attempts, &same.payload), (2, &claimed.payload));
        assert_eq!(
            settle_one(&storage, claimed.lease, Settlement::Delivered).await,
            Settled::LeaseLost
        );
    }

    #[test]
    fn a_second_opening_is_refused_while_the_first_lasts() {
        let (storage, folder) = temporary();
        let error = SqliteStorage::open(folder.path().join("triggers.db")).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        drop(storage);
        open(folder.path());
    }

    #[test]
    fn a_newer_schema_or_a_file_that_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("triggers.db");
        let newer = rusqlite::Connection::open(&path).unwrap();
        newer.pragma_update(None, "user_version", 99).unwrap();
        drop(newer);
        let error = SqliteStorage::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::NewerSchema { found: 99, .. }), "{error}");
        std::fs::write(
            &path,
            "no database, just a text that is long enough to be looked at".repeat(99),
        )
        .unwrap();
        let error = SqliteStorage::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Sqlite(_)), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_storage, folder) = temporary();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            if !entry.file_name().to_string_lossy().ends_with(".lock") {
                assert_eq!(
                    entry.metadata().unwrap().permissions().mode() & 0o777,
                    0o600,
                    "{entry:?}"
                );
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_at_once_lose_nothing_and_share_nothing() {
        let (storage, _folder) = temporary();
        let publishers = (0..16_u32).map(|p| {
            let storage = storage.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    let answer =
                        storage.record(vec![record(p * 1_000 + n, &[1, 2])]).await.unwrap();
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

    /// One call, to be made of both storages.
    #[derive(Debug, Clone)]
    enum Call {
        Record(u32, Vec<u8>, Option<bool>),
        Claim { wait: u64, per_endpoint: usize },
        Settle { which: prop::sample::Index, to: u8, stale: bool },
        Replay(usize),
        Prune(u64, usize),
        Write { n: u8, name: u8, how: u8 },
        Cursor(u8, bool),
    }

    fn any_call() -> impl Strategy<Value = Call> {
        let triggers = prop::collection::vec(1_u8..4, 0..3);
        prop_oneof![
            4 => (0_u32..40, triggers, any::<Option<bool>>()).prop_map(|(n, t, c)| Call::Record(n, t, c)),
            3 => (0_u64..40, 1_usize..3)
                .prop_map(|(wait, per_endpoint)| Call::Claim { wait, per_endpoint }),
            3 => (any::<prop::sample::Index>(), 0_u8..6, any::<bool>())
                .prop_map(|(which, to, stale)| Call::Settle { which, to, stale }),
            1 => (0_usize..4).prop_map(Call::Replay),
            1 => (0_u64..2_000, 0_usize..4).prop_map(|(b, l)| Call::Prune(b, l)),
            1 => (1_u8..4, 0_u8..3, 0_u8..3).prop_map(|(n, name, how)| Call::Write { n, name, how }),
            1 => (0_u8..4, any::<bool>()).prop_map(|(k, below)| Call::Cursor(k, below)),
        ]
    }

    /// What both storages are asked with: time and the leases that were given.
    struct Run {
        now: Timestamp,
        leases: Vec<Lease>,
    }

    impl Run {
        /// Makes a call and tells all that can be seen of its answer.
        async fn make(&mut self, storage: &dyn Storage, call: &Call) -> String {
            match call {
                Call::Record(n, triggers, cursor) => {
                    let cursors = cursor
                        .iter()
                        .map(|fresh| set("c/1", (!fresh).then_some("v"), fresh.then_some("v")));
                    let one = Record { cursors: cursors.collect(), ..record(*n, triggers) };
                    format!("{:?}", storage.record(vec![one]).await)
                }
                Call::Claim { wait, per_endpoint } => {
                    self.now = self.now + Duration::from_secs(*wait);
                    let asked = Claim { per_endpoint: *per_endpoint, ..claim(self.now, 1_000) };
                    let mut claims = storage.claim(asked).await.unwrap();
                    // Whose turn it is first is not promised.
                    claims.deliveries.sort_by_key(|claimed| claimed.delivery.id);
                    self.leases.extend(claims.deliveries.iter().map(|claimed| claimed.lease));
                    format!("{claims:?}")
                }
                Call::Settle { which, to, stale } => {
                    if self.leases.is_empty() {
                        return String::new();
                    }
                    let mut lease = self.leases[which.index(self.leases.len())];
                    lease.token -= u64::from(*stale);
                    let settlement = match to {
                        0 => Settlement::Delivered,
                        1 => Settlement::Retry { at: self.now + MINUTE },
                        2 => Settlement::Dead(DeadReason::Exhausted),
                        3 => Settlement::Cancelled,
                        4 => Settlement::Parked,
                        _ => Settlement::Released { at: self.now },
                    };
                    let one = settle(lease, settlement, 1);
                    format!("{:?}", storage.settle(vec![one], self.now).await)
                }
                Call::Replay(limit) => {
                    let query = everything().with_limit(*limit);
                    format!("{:?}", storage.replay(Replay { query, due: self.now }).await)
                }
                Call::Prune(before, limit) => {
                    // What is deleted first of several is not promised, so all or nothing here.
                    let limit = if *limit == 0 { 0 } else { 1_000 };
                    format!("{:?}", storage.prune(at(*before), limit).await)
                }
                Call::Write { n, name, how } => {
                    let one = trigger(*n, &format!("name-{name}"));
                    let write = match how {
                        0 => TriggerWrite::Create(one),
                        1 => TriggerWrite::Update(Arc::new(one.changed(
                            one.spec.clone(),
                            None,
                            at(1),
                        ))),
                        _ => TriggerWrite::Delete(one.id),
                    };
                    format!("{:?}", storage.write_trigger(write).await)
                }
                Call::Cursor(key, below) => {
                    let cursors = if *below {
                        vec![CursorMove::RemoveBelow { prefix: format!("c/{key}") }]
                    } else {
                        vec![set(&format!("c/{key}"), None, Some("w"))]
                    };
                    let n = 1_000 + u32::from(*key) * 2 + u32::from(*below);
                    let one = Record { cursors, ..record(n, &[]) };
                    format!("{:?}", storage.record(vec![one]).await)
                }
            }
        }
    }

    async fn everything_told(storage: &dyn Storage) -> String {
        let deliveries = storage.deliveries(everything().with_limit(1_000)).await.unwrap();
        let mut attempts = Vec::new();
        for delivery in &deliveries {
            attempts.push(storage.attempts(delivery.id).await);
        }
        let events = storage.events(EventQuery::of_scope(Scope::root()).with_limit(1_000)).await;
        let cursors = storage.cursors((0..4).map(|n| format!("c/{n}")).collect()).await;
        let changes = storage.trigger_changes(0, 1_000).await;
        format!("{deliveries:?}{attempts:?}{events:?}{cursors:?}{changes:?}")
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        #[test]
        fn sqlite_answers_as_the_model_does(calls in prop::collection::vec(any_call(), 1..60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (sqlite, _folder) = temporary();
                let memory = MemoryStorage::new();
                let mut runs = [0, 1].map(|_| Run { now: at(0), leases: Vec::new() });
                for call in &calls {
                    let expected = runs[0].make(&memory, call).await;
                    let found = runs[1].make(&sqlite, call).await;
                    assert_eq!(found, expected, "{call:?}");
                }
                assert_eq!(everything_told(&sqlite).await, everything_told(&memory).await);
            });
        }
    }
}
