//! The contract of [`Storage`], each rule by its number, and what its methods say of themselves.

use artifact_triggers::delivery::{DeadReason, State};
use artifact_triggers::storage::{EventQuery, Recorded, StorageError, TriggerState, TriggerWrite};
use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};

pub(crate) use super::batches::*;
pub(crate) use super::order::*;
pub(crate) use super::retention::*;
use super::*;

fn all_events() -> EventQuery {
    EventQuery::of_scope(Scope::root())
}

pub(crate) async fn rule_01_an_event_is_seen_with_all_its_deliveries(storage: &dyn Storage) {
    let writes = join_all((0..20).map(|n| storage.record(vec![record(n, &[1, 2, 3])])));
    let looks = async {
        for _ in 0..20 {
            let seen = storage.deliveries(everything()).await.unwrap().items;
            assert_eq!(seen.len() % 3, 0, "all of an event or none");
        }
    };
    let (written, ()) = join(writes, looks).await;
    assert!(written.iter().all(|answer| answer.as_ref().unwrap() == &[Recorded::Stored]));
    assert_eq!(storage.deliveries(everything()).await.unwrap().items.len(), 60);
}

pub(crate) async fn rule_01_a_call_that_fails_takes_nothing_from_others(storage: &dyn Storage) {
    storage.write_trigger(TriggerWrite::Create(trigger(1, "a"))).await.unwrap();
    let calls = (0..20).map(|n| {
        let fails = storage.write_trigger(TriggerWrite::Create(trigger(1, "a")));
        join(storage.record(vec![record(n, &[1])]), fails)
    });
    for (recorded, written) in join_all(calls).await {
        assert_eq!(recorded.unwrap(), [Recorded::Stored]);
        assert!(matches!(written, Err(StorageError::Conflict { .. })), "{written:?}");
    }
    assert_eq!(storage.events(all_events()).await.unwrap().items.len(), 20);
    assert_eq!(take(storage, at(100), 100).await.len(), 20);
}

pub(crate) async fn rule_01_cursors_are_read_all_at_one_time(storage: &dyn Storage) {
    let writes = async {
        let mut before = None;
        for n in 0..100 {
            let value = Some(n.to_string());
            let cursors =
                ["first", "last"].map(|key| set(key, before.as_deref(), value.as_deref())).to_vec();
            let moved = Record { cursors, ..record(n, &[]) };
            assert_eq!(storage.record(vec![moved]).await.unwrap(), [Recorded::Stored]);
            before = value;
        }
    };
    let looks = async {
        for _ in 0..100 {
            let between = (0..500).map(|n| format!("none-{n}"));
            let keys = ["first".to_owned()].into_iter().chain(between).chain(["last".to_owned()]);
            let found = storage.cursors(keys.collect()).await.unwrap();
            assert_eq!(found.first(), found.last());
        }
    };
    join(writes, looks).await;
}

pub(crate) async fn rule_02_what_was_answered_is_there(storage: &dyn Storage) {
    storage.record(vec![record(1, &[1])]).await.unwrap();
    assert_eq!(storage.events(all_events()).await.unwrap().items, [event(1)]);
    let lease = take(storage, at(10), 1).await.remove(0).lease;
    assert_eq!(states(storage).await, [StateName::Leased]);
    settle_one(storage, lease, Settlement::Delivered).await;
    assert_eq!(states(storage).await, [StateName::Delivered]);
    assert_eq!(storage.attempts(lease.delivery).await.unwrap().len(), 1);
}

pub(crate) async fn rule_03_a_dropped_call_took_effect_whole_or_not(storage: &dyn Storage) {
    for n in 0..30 {
        // Polled once and dropped, whether it has answered or not.
        let _ = storage.record(vec![record(n, &[1, 2])]).now_or_never();
        let _ = storage.claim(claim(at(100), 1)).now_or_never();
    }
    storage.record(vec![record(99, &[])]).await.unwrap();
    let events = storage.events(all_events()).await.unwrap().items;
    let deliveries = storage.deliveries(everything()).await.unwrap().items;
    for event in &events[..events.len() - 1] {
        assert_eq!(deliveries.iter().filter(|delivery| delivery.event == event.id).count(), 2);
    }
    assert_eq!(deliveries.len(), 2 * (events.len() - 1));
    // What a claim took that nobody heard of comes back.
    assert_eq!(take(storage, at(200), 100).await.len(), deliveries.len());
}

pub(crate) async fn rule_04_an_event_is_stored_once(storage: &dyn Storage) {
    let mut moved = record(1, &[1, 2]);
    moved.cursors = vec![set("k", None, Some("v"))];
    let answers = storage.record(vec![record(1, &[1]), record(1, &[1]), moved]).await.unwrap();
    assert_eq!(answers, [Recorded::Stored, Recorded::Duplicate, Recorded::Duplicate]);
    assert_eq!(storage.deliveries(everything()).await.unwrap().items.len(), 1);
    assert_eq!(storage.cursors(vec!["k".to_owned()]).await.unwrap(), [None]);
}

pub(crate) async fn rule_05_a_cursor_that_moved_stops_the_record(storage: &dyn Storage) {
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
    assert_eq!(storage.events(all_events()).await.unwrap().items.len(), 2);
}

pub(crate) async fn removing_below_a_prefix_takes_it_literally(storage: &dyn Storage) {
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

pub(crate) async fn rule_06_a_delivery_is_stored_once(storage: &dyn Storage) {
    storage.record(vec![record(1, &[1])]).await.unwrap();
    let mut deliveries = record(1, &[1, 2]).deliveries;
    deliveries[0].1.body = Arc::from(*b"another");
    let second = Record { deliveries, ..record(2, &[]) };
    assert_eq!(storage.record(vec![second]).await.unwrap(), [Recorded::Stored]);
    let taken = take(storage, at(10), 9).await;
    assert_eq!(taken.len(), 2, "the one that is new was stored");
    let known = &record(1, &[1]).deliveries[0];
    let found = taken.iter().find(|claimed| claimed.delivery.id == known.0.id).unwrap();
    assert_eq!(found.payload, known.1, "and the known one left as it was");
}

pub(crate) async fn rule_07_claims_are_disjoint_due_and_within_quotas(storage: &dyn Storage) {
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
    assert!(claims.held_back && claims.next_due.is_none(), "quotas hold some back");
    let times: Vec<_> =
        claims.deliveries.iter().filter(|c| c.delivery.trigger == trigger_id(3)).collect();
    assert!(times.is_sorted_by_key(|claimed| claimed.delivery.created_at), "the longest due first");
    let rest = take(storage, at(4), 100).await;
    assert_eq!(rest.len(), 15 - 5);
    let later = storage.claim(claim(at(4), 100)).await.unwrap();
    assert!(later.deliveries.is_empty());
    assert_eq!((later.next_due, later.held_back), (Some(at(5)), false));
}

pub(crate) async fn rule_07_endpoints_take_turns(storage: &dyn Storage) {
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

pub(crate) async fn rule_07_no_endpoint_has_two_turns_in_a_round(storage: &dyn Storage) {
    storage.record((0..4).map(|n| record(n, &[1, 2, 3])).collect()).await.unwrap();
    for _ in 0..4 {
        let mut round = Vec::new();
        for _ in 0..3 {
            round.push(take(storage, at(100), 1).await[0].delivery.trigger);
        }
        round.sort_unstable();
        assert_eq!(round, [1, 2, 3].map(trigger_id));
    }
}

pub(crate) async fn rule_08_a_claim_counts_and_leases_and_a_lost_lease_is_given_anew(
    storage: &dyn Storage,
) {
    storage.record(vec![record(1, &[1])]).await.unwrap();
    let first = take(storage, at(10), 1).await.remove(0);
    assert_eq!(first.delivery.attempts, 1);
    assert_eq!(first.delivery.state, State::Leased { until: at(70) });
    assert_eq!(first.due, first.delivery.created_at);
    assert!(take(storage, at(69), 1).await.is_empty());
    let second = take(storage, at(70), 1).await.remove(0);
    assert_eq!((second.delivery.attempts, second.delivery.id), (2, first.delivery.id));
    assert_eq!(second.due, at(70));
    assert!(second.lease.token > first.lease.token);
    assert_eq!(second.payload, first.payload);
    assert_eq!(second.delivery.message_id, first.delivery.message_id);
}

pub(crate) async fn rule_09_a_lost_lease_settles_nothing(storage: &dyn Storage) {
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

pub(crate) async fn rule_10_each_settlement_leads_where_it_says(storage: &dyn Storage) {
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
            storage.deliveries(everything().with_id(lease.delivery)).await.unwrap().items.remove(0);
        assert_eq!((found.state, found.attempts), (state, attempts));
        let told = all_events().with_id(event(n + 50).id);
        assert_eq!(storage.events(told).await.unwrap().items.len(), 1, "the event that follows");
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

pub(crate) async fn rule_11_revisions_and_names_are_compared(storage: &dyn Storage) {
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

pub(crate) async fn rule_12_the_feed_tells_the_last_change_of_each_trigger(storage: &dyn Storage) {
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
    assert_eq!(
        told,
        [
            (c.id, TriggerState::Stored(c)),
            (a.id, TriggerState::Stored(changed)),
            (b.id, TriggerState::Deleted),
        ]
    );
    assert!(storage.trigger_changes(after, 10).await.unwrap().is_empty());
}

pub(crate) async fn rule_13_time_is_the_callers(storage: &dyn Storage) {
    storage.record(vec![record(50, &[1])]).await.unwrap();
    assert!(take(storage, Timestamp::MIN, 1).await.is_empty());
    assert!(take(storage, at(49), 1).await.is_empty());
    let first = take(storage, Timestamp::MAX, 1).await.remove(0);
    assert_eq!(first.delivery.state, State::Leased { until: Timestamp::MAX });
    assert!(take(storage, at(50), 1).await.is_empty(), "the time before the lease runs out");
    let again = take(storage, Timestamp::MAX, 1).await.remove(0);
    assert!(again.lease.token > first.lease.token);
    settle_one(storage, again.lease, Settlement::Retry { at: Timestamp::MIN }).await;
    assert_eq!(take(storage, Timestamp::MIN, 1).await.len(), 1);
}

pub(crate) async fn rule_14_pages_are_in_the_order_of_ids(storage: &dyn Storage) {
    let records = [5, 1, 9, 3, 7].map(|n| record(n, &[1, 2])).to_vec();
    storage.record(records).await.unwrap();
    let mut told = Vec::new();
    let mut query = everything().with_limit(3);
    loop {
        let page = storage.deliveries(query.clone()).await.unwrap().items;
        let Some(last) = page.last() else { break };
        query = query.with_after(last.id);
        told.extend(page);
    }
    assert_eq!(told.len(), 10);
    assert!(told.is_sorted_by_key(|delivery| delivery.id));
    let events = storage.events(all_events().with_limit(4)).await.unwrap().items;
    let rest = all_events().with_after(events[3].id);
    assert_eq!(storage.events(rest).await.unwrap().items.len(), 1);
    assert_eq!(events[0], event(1));
}

pub(crate) async fn the_largest_and_the_smallest_of_everything_is_taken(storage: &dyn Storage) {
    let mut most = record(1, &[1, 2]);
    most.deliveries[0].0.attempts = u32::MAX;
    most.deliveries[1].0.state = State::Waiting { due: Timestamp::MAX };
    storage.record(vec![most]).await.unwrap();
    let asked = Claim { lease: Duration::MAX, ..claim(Timestamp::MAX, usize::MAX) };
    let taken = storage.claim(asked).await.unwrap();
    assert_eq!(taken.deliveries.len(), 2);
    assert!(taken.deliveries.iter().any(|claimed| claimed.delivery.attempts == u32::MAX));
    for token in [0, u64::MAX] {
        let lease = Lease { token, ..taken.deliveries[0].lease };
        assert_eq!(settle_one(storage, lease, Settlement::Delivered).await, Settled::LeaseLost);
    }
    for claimed in taken.deliveries {
        settle_one(storage, claimed.lease, Settlement::Parked).await;
    }
    let query = everything().with_limit(usize::MAX);
    let replay = again(query.clone(), Timestamp::MIN);
    assert_eq!(storage.replay(replay).await.unwrap().len(), 2);
    assert_eq!(storage.deliveries(query).await.unwrap().items.len(), 2);
    assert_eq!(storage.events(all_events().with_limit(usize::MAX)).await.unwrap().items.len(), 1);
    assert!(storage.trigger_changes(u64::MAX, usize::MAX).await.unwrap().is_empty());
    let mut first = Trigger::clone(&trigger(1, "a"));
    first.revision = 0;
    let update = storage.write_trigger(TriggerWrite::Update(Arc::new(first))).await;
    assert!(matches!(update, Err(StorageError::NotFound { .. })));
    assert!(take(storage, Timestamp::MAX, 0).await.is_empty());
    assert_eq!(
        storage.prune(Prune::older(Timestamp::MAX, at(0), usize::MAX)).await.unwrap().deliveries,
        0
    );
    assert_eq!(
        storage.prune(Prune::older(Timestamp::MIN, at(0), usize::MAX)).await.unwrap().events,
        0
    );
}

pub(crate) async fn queries_select_by_scope_event_trigger_and_state(storage: &dyn Storage) {
    storage.record(vec![record(1, &[1, 2]), record(2, &[1])]).await.unwrap();
    let lease = take(storage, at(1), 1).await.remove(0).lease;
    settle_one(storage, lease, Settlement::Delivered).await;
    let count = async |query: DeliveryQuery| storage.deliveries(query).await.unwrap().items.len();
    assert_eq!(count(everything().with_event(event(1).id)).await, 2);
    assert_eq!(count(everything().with_trigger(trigger_id(1))).await, 2);
    assert_eq!(count(everything().with_state(StateName::Waiting)).await, 2);
    assert_eq!(count(everything().with_id(lease.delivery)).await, 1);
    for (scope, deliveries, events) in
        [("acme", 3, 2), ("acme/x", 0, 2), ("acm", 0, 0), ("acme/x/y", 0, 0)]
    {
        let scope: Scope = scope.parse().unwrap();
        assert_eq!(count(DeliveryQuery::of_scope(scope.clone())).await, deliveries);
        assert_eq!(storage.events(EventQuery::of_scope(scope)).await.unwrap().items.len(), events);
    }
}

pub(crate) async fn replay_takes_what_is_dead_or_parked_and_nothing_else(storage: &dyn Storage) {
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
    let replay = |limit| again(everything().with_limit(limit), at(50));
    let long_ago = Replay { unchanged_since: Some(at(9)), ..replay(9) };
    assert_eq!(storage.replay(long_ago).await.unwrap(), []);
    assert_eq!(storage.replay(replay(1)).await.unwrap(), [leases[0].delivery]);
    assert_eq!(storage.replay(replay(9)).await.unwrap(), [leases[1].delivery]);
    assert_eq!(storage.replay(replay(9)).await.unwrap(), []);
    let again = take(storage, at(50), 9).await;
    let attempts: Vec<u32> = again.iter().map(|claimed| claimed.delivery.attempts).collect();
    assert_eq!(attempts, [1, 1]);
    assert_eq!(settle_one(storage, leases[0], Settlement::Delivered).await, Settled::LeaseLost);
}

pub(crate) async fn prune_takes_what_is_final_and_old(storage: &dyn Storage) {
    storage.record((1..=4).map(|n| record(n, &[1])).collect()).await.unwrap();
    storage.record(vec![record(5, &[])]).await.unwrap();
    let leases: Vec<Lease> = take(storage, at(3), 2).await.iter().map(|c| c.lease).collect();
    storage.settle(vec![settle(leases[0], Settlement::Delivered, 1)], at(10)).await.unwrap();
    storage.settle(vec![settle(leases[1], Settlement::Delivered, 1)], at(20)).await.unwrap();
    let pruned = storage.prune(Prune::older(at(20), at(0), 100)).await.unwrap();
    assert_eq!((pruned.deliveries, pruned.events), (1, 2));
    assert!(storage.attempts(leases[0].delivery).await.unwrap().is_empty());
    assert_eq!(
        states(storage).await,
        [StateName::Delivered, StateName::Waiting, StateName::Waiting]
    );
    let pruned = storage.prune(Prune::older(at(1_000), at(0), 1)).await.unwrap();
    assert_eq!((pruned.deliveries, pruned.events), (1, 1));
}

/// Makes a module of tests, one for each rule, of a storage: `contract!(name, (storage, kept))`, where
/// the expression makes an empty one, and `kept` is what has to live as long.
macro_rules! contract {
    ($name:ident, $storage:expr) => {
        mod $name {
            use super::*;

            contract!(@ $storage,
                rule_01_an_event_is_seen_with_all_its_deliveries,
                rule_01_a_call_that_fails_takes_nothing_from_others,
                rule_01_cursors_are_read_all_at_one_time,
                rule_02_what_was_answered_is_there,
                rule_03_a_dropped_call_took_effect_whole_or_not,
                rule_04_an_event_is_stored_once,
                rule_05_a_cursor_that_moved_stops_the_record,
                removing_below_a_prefix_takes_it_literally,
                rule_06_a_delivery_is_stored_once,
                rule_07_claims_are_disjoint_due_and_within_quotas,
                rule_07_endpoints_take_turns,
                rule_07_no_endpoint_has_two_turns_in_a_round,
                rule_08_a_claim_counts_and_leases_and_a_lost_lease_is_given_anew,
                rule_09_a_lost_lease_settles_nothing,
                rule_10_each_settlement_leads_where_it_says,
                rule_11_revisions_and_names_are_compared,
                rule_12_the_feed_tells_the_last_change_of_each_trigger,
                rule_13_time_is_the_callers,
                rule_14_pages_are_in_the_order_of_ids,
                rule_15_one_key_goes_in_the_order_of_recording,
                rule_15_a_dead_letter_that_blocks_is_waited_for,
                rule_15_a_dead_letter_that_does_not_block_is_passed,
                rule_15_what_is_discarded_or_pruned_holds_nobody_up,
                rule_15_a_parked_one_that_blocks_is_waited_for,
                rule_16_companions_are_of_one_trigger_and_endpoint_and_may_not_be_due,
                rule_16_what_was_attempted_is_no_companion_before_it_is_due,
                rule_16_companions_fit_their_number_and_bytes,
                rule_16_what_was_replayed_may_go_with_others_and_what_is_done_does_not,
                rule_04_a_record_without_an_event_stores_the_rest,
                a_claim_of_one_gives_that_one_if_it_is_due,
                rule_09_a_lease_that_is_extended_lasts_longer,
                a_replay_spreads_renames_and_selects_by_time,
                the_backlog_is_told_by_endpoint,
                the_largest_and_the_smallest_of_everything_is_taken,
                queries_select_by_scope_event_trigger_and_state,
                replay_takes_what_is_dead_or_parked_and_nothing_else,
                prune_takes_what_is_final_and_old,
                rule_17_each_outcome_has_a_cutoff_of_its_own,
                rule_17_all_but_the_newest_of_an_outcome_go,
                rule_17_events_go_by_age_and_number_once_they_have_no_deliveries,
                rule_17_of_a_held_scope_nothing_goes_as_long_as_it_is_held,
                rule_17_the_oldest_go_first_and_no_more_than_the_limit,
                rule_18_without_contents_a_delivery_keeps_its_log_and_is_not_replayed,
                rule_18_a_dead_letter_without_contents_blocks_until_it_goes
            );
        }
    };
    (@ $storage:expr, $($rule:ident),*) => {
        $(#[tokio::test]
        async fn $rule() {
            let (storage, _kept) = $storage;
            crate::rules::$rule(&storage).await;
        })*
    };
}
