//! Rules 13, 14 and 17 to 19: time, pages, replay, prune and backlog.

use std::sync::Arc;
use std::time::Duration;

use super::samples::{
    MINUTE, again, all_events, at, claim, endpoint, event, everything, in_order, record, settle,
    settle_one, states, take, trigger, trigger_id,
};
use super::{Answer as _, Subject, expect_eq};
use crate::clock::Timestamp;
use crate::delivery::{CancelReason, DeadReason, Lease, OnDead, Settlement, State, StateName};
use crate::event::Scope;
use crate::storage::{
    Backlog, Claim, ClaimOf, DeliveryQuery, EventQuery, Fate, Prune, Pruned, Replay, StorageError,
    TriggerWrite,
};
use crate::trigger::Trigger;

/// How many deliveries and events went.
fn gone(pruned: Pruned) -> (usize, usize) {
    (pruned.deliveries, pruned.events)
}

pub(super) async fn rule_13_time_is_the_callers(storage: Subject) {
    let given = async |now| take(&*storage, now, 1).await.len();
    storage.record(vec![record(50, &[1])]).await.answer();
    expect_eq!(given(Timestamp::MIN).await, 0, "deliveries that are given at the earliest time");
    expect_eq!(given(at(49)).await, 0, "deliveries that are given a second before they are due");
    let first = take(&*storage, Timestamp::MAX, 1).await.remove(0);
    let lease = State::Leased { until: Timestamp::MAX };
    expect_eq!(first.delivery.state, lease, "a lease at the latest time");
    expect_eq!(given(at(50)).await, 0, "deliveries that are given while that lease lasts");
    let again = take(&*storage, Timestamp::MAX, 1).await.remove(0);
    let (token, before) = (again.lease.token, first.lease.token);
    assert!(token > before, "a later token: expected more than {before}, found {token}");
    settle_one(&*storage, again.lease, Settlement::Retry { at: Timestamp::MIN }).await;
    expect_eq!(given(Timestamp::MIN).await, 1, "deliveries that are due at the earliest time");
}

pub(super) async fn rule_13_the_largest_and_the_smallest_of_everything_is_taken(storage: Subject) {
    let mut most = record(1, &[1, 2]);
    most.deliveries[0].0.attempts = u32::MAX;
    most.deliveries[1].0.state = State::Waiting { due: Timestamp::MAX };
    storage.record(vec![most]).await.answer();
    let asked = Claim { lease: Duration::MAX, ..claim(Timestamp::MAX, usize::MAX) };
    let taken = storage.claim(asked).await.answer();
    expect_eq!(taken.deliveries.len(), 2, "deliveries that are given at the latest time");
    let most = taken.deliveries.iter().map(|claimed| claimed.delivery.attempts).max();
    expect_eq!(most, Some(u32::MAX), "attempts where there were as many as can be");
    for claimed in taken.deliveries {
        settle_one(&*storage, claimed.lease, Settlement::Parked).await;
    }
    let query = everything().with_limit(usize::MAX);
    let replayed = storage.replay(again(query.clone(), Timestamp::MIN)).await.answer().len();
    expect_eq!(replayed, 2, "deliveries that are replayed, with no limit");
    let told = storage.deliveries(query).await.answer().items.len();
    expect_eq!(told, 2, "deliveries that are told, with no limit");
    let told = storage.events(all_events().with_limit(usize::MAX)).await.answer().items.len();
    expect_eq!(told, 1, "events that are told, with no limit");
    let none = storage.trigger_changes(u64::MAX, usize::MAX).await.answer();
    assert!(none.is_empty(), "changes behind the last number: expected none, found {none:?}");
    let mut first = Trigger::clone(&trigger(1, "a"));
    first.revision = 0;
    let update = storage.write_trigger(TriggerWrite::Update(Arc::new(first))).await;
    let is_refused = matches!(update, Err(StorageError::NotFound { .. }));
    assert!(is_refused, "an update to revision 0: expected NotFound, found {update:?}");
    let none = take(&*storage, Timestamp::MAX, 0).await.len();
    expect_eq!(none, 0, "deliveries that a claim of none gives");
    for (time, limit) in [(Timestamp::MIN, usize::MAX), (Timestamp::MAX, 0)] {
        let pruned = storage.prune(Prune::older(time, at(0), limit)).await.answer();
        expect_eq!(gone(pruned), (0, 0), "what is pruned before {time}, at most {limit}");
    }
}

pub(super) async fn rule_14_pages_are_in_the_order_of_ids(storage: Subject) {
    storage.record([5, 1, 9, 3, 7].map(|n| record(n, &[1, 2])).to_vec()).await.answer();
    let mut told = Vec::new();
    let mut query = everything().with_limit(3);
    loop {
        let page = storage.deliveries(query.clone()).await.answer().items;
        told.extend(page.iter().map(|delivery| delivery.id));
        match page.last() {
            Some(last) if page.len() == 3 => query = query.with_after(last.id),
            _ => break,
        }
    }
    let mut expected: Vec<_> = [5, 1, 9, 3, 7]
        .iter()
        .flat_map(|n| record(*n, &[1, 2]).deliveries)
        .map(|d| d.0.id)
        .collect();
    expected.sort_unstable();
    expect_eq!(told, expected, "deliveries in pages of three, until one is short");
    let first = storage.events(all_events().with_limit(4)).await.answer().items;
    let rest = all_events().with_after(first.last().expect("a page that is not empty").id);
    let rest = storage.events(rest).await.answer().items;
    let expected = [1, 3, 5, 7, 9].map(event);
    expect_eq!([first, rest].concat(), expected, "events in two pages");
}

pub(super) async fn rule_14_what_comes_and_goes_between_pages_moves_no_place(storage: Subject) {
    storage.record((10..20).map(|n| record(n, &[1])).collect()).await.answer();
    let page = storage.deliveries(everything().with_limit(4)).await.answer().items;
    let events = storage.events(all_events().with_limit(4)).await.answer().items;
    // Two come before what was told, one behind it; and one of those that were told goes.
    storage.record([1, 2, 30].map(|n| record(n, &[1])).to_vec()).await.answer();
    let first = Claim { of: ClaimOf::One(page[0].id), ..claim(at(100), 1) };
    let lease = storage.claim(first).await.answer().deliveries[0].lease;
    settle_one(&*storage, lease, Settlement::Delivered).await;
    let pruned = storage.prune(Prune::older(at(1_000), at(1_000), 9)).await.answer();
    expect_eq!(gone(pruned), (1, 1), "what goes between two pages");
    let rest = everything().with_after(page[3].id);
    let rest = storage.deliveries(rest).await.answer().items;
    let rest: Vec<_> = rest.iter().map(|delivery| delivery.event).collect();
    let expected: Vec<_> = (14..20).chain([30]).map(|n| event(n).id).collect();
    expect_eq!(rest, expected, "the events of the deliveries behind those that were told before");
    let rest = storage.events(all_events().with_after(events[3].id)).await.answer().items;
    let rest: Vec<_> = rest.iter().map(|event| event.id).collect();
    expect_eq!(rest, expected, "the events behind those that were told before");
}

pub(super) async fn rule_14_queries_select_by_each_of_their_fields(storage: Subject) {
    storage.record(vec![record(1, &[1, 2]), record(2, &[1])]).await.answer();
    let lease = take(&*storage, at(1), 1).await.remove(0).lease;
    settle_one(&*storage, lease, Settlement::Delivered).await;
    let count = async |query: DeliveryQuery| storage.deliveries(query).await.answer().items.len();
    for (found, expected, words) in [
        (count(everything().with_event(event(1).id)).await, 2, "of an event"),
        (count(everything().with_trigger(trigger_id(1))).await, 2, "of a trigger"),
        (count(everything().with_state(StateName::Waiting)).await, 2, "that are waiting"),
        (count(everything().with_id(lease.delivery)).await, 1, "of an id"),
        (count(everything().with_from(at(2))).await, 1, "made from a time on"),
        (count(everything().with_until(at(2))).await, 2, "made before a time"),
    ] {
        expect_eq!(found, expected, "deliveries {words}");
    }
    let events = async |query: EventQuery| storage.events(query).await.answer().items.len();
    for (found, expected, words) in [
        (events(all_events().with_id(event(1).id)).await, 1, "of an id"),
        (events(all_events().with_from(at(2))).await, 1, "received from a time on"),
        (events(all_events().with_until(at(2))).await, 1, "received before a time"),
    ] {
        expect_eq!(found, expected, "events {words}");
    }
    for (scope, expected) in
        [("acme", (3, 2)), ("acme/x", (0, 2)), ("acm", (0, 0)), ("acme/x/y", (0, 0))]
    {
        let of: Scope = scope.parse().expect("it is a scope");
        let deliveries = count(DeliveryQuery::of_scope(of.clone())).await;
        let found = (deliveries, events(EventQuery::of_scope(of)).await);
        expect_eq!(found, expected, "deliveries and events at and below the scope {scope}");
    }
}

pub(super) async fn rule_19_a_replay_takes_what_is_dead_or_parked_and_nothing_else(
    storage: Subject,
) {
    storage.record((1..=7).map(|n| record(n, &[1])).collect()).await.answer();
    let settlements = [
        Settlement::Dead(DeadReason::Exhausted),
        Settlement::Parked,
        Settlement::Delivered,
        Settlement::Cancelled(CancelReason::TriggerDeleted),
        Settlement::Retry { at: at(999) },
    ];
    let leases: Vec<Lease> =
        take(&*storage, at(6), 9).await.iter().map(|claimed| claimed.lease).collect();
    for (lease, settlement) in leases.iter().zip(settlements) {
        settle_one(&*storage, *lease, settlement).await;
    }
    let replay = |limit| again(everything().with_limit(limit), at(50));
    let long_ago = Replay { unchanged_since: Some(at(9)), ..replay(9) };
    let taken = storage.replay(long_ago).await.answer();
    expect_eq!(taken, [], "what is replayed that has not changed for long");
    for (limit, expected) in [(1, vec![leases[0].delivery]), (9, vec![leases[1].delivery])] {
        let taken = storage.replay(replay(limit)).await.answer();
        expect_eq!(
            taken,
            expected,
            "what is replayed, at most {limit}, of one dead and one parked"
        );
    }
    let taken = storage.replay(replay(9)).await.answer();
    expect_eq!(taken, [], "what is replayed when nothing is dead or parked");
    let discard = Replay { fate: Fate::Discarded, ..replay(9) };
    let taken = storage.replay(discard).await.answer();
    expect_eq!(taken, [], "what is discarded when nothing is dead or parked");
    let again = take(&*storage, at(50), 9).await;
    let attempts: Vec<u32> = again.iter().map(|claimed| claimed.delivery.attempts).collect();
    expect_eq!(attempts, [1, 1, 1], "attempts of two that were replayed and one that is new");
}

pub(super) async fn rule_19_a_replay_spreads_renames_and_selects_by_time(storage: Subject) {
    storage.record((1..=4).map(|n| record(n, &[1])).collect()).await.answer();
    let taken = take(&*storage, at(10), 9).await;
    for claimed in &taken {
        settle_one(&*storage, claimed.lease, Settlement::Dead(DeadReason::Exhausted)).await;
    }
    let before = storage.deliveries(everything()).await.answer().items;
    let query = everything().with_from(at(2)).with_until(at(4));
    let fate = Fate::Again { due: at(100), spacing: MINUTE, new_message_ids: true };
    let replay = Replay { query, unchanged_since: None, now: at(90), fate };
    let replayed = storage.replay(replay).await.answer();
    let expected = [taken[1].delivery.id, taken[2].delivery.id];
    expect_eq!(replayed, expected, "what is replayed of those made in the seconds 2 and 3");
    let waiting = everything().with_state(StateName::Waiting);
    let found = storage.deliveries(waiting).await.answer().items;
    let dues: Vec<State> = found.iter().map(|delivery| delivery.state.clone()).collect();
    let expected = [100, 160].map(|due| State::Waiting { due: at(due) });
    expect_eq!(dues, expected, "when they are due, a minute apart");
    let expected = before[1].message_id.next();
    expect_eq!(found[0].message_id, expected, "the id under which it is sent as a new message");
}

pub(super) async fn rule_17_prune_takes_what_is_final_and_old(storage: Subject) {
    storage.record((1..=4).map(|n| record(n, &[1])).collect()).await.answer();
    storage.record(vec![record(5, &[])]).await.answer();
    let leases: Vec<Lease> = take(&*storage, at(3), 2).await.iter().map(|c| c.lease).collect();
    for (lease, time) in leases.iter().zip([10, 20]) {
        let delivered = settle(*lease, Settlement::Delivered, 1);
        storage.settle(vec![delivered], at(time)).await.answer();
    }
    let pruned = storage.prune(Prune::older(at(20), at(20), 100)).await.answer();
    expect_eq!(gone(pruned), (1, 2), "what is pruned that ended before second 20");
    let log = storage.attempts(leases[0].delivery).await.answer().len();
    expect_eq!(log, 0, "attempts in the log of what was pruned");
    let left = [StateName::Delivered, StateName::Waiting, StateName::Waiting];
    expect_eq!(states(&*storage).await, left, "what is left");
    let pruned = storage.prune(Prune::older(at(1_000), at(1_000), 1)).await.answer();
    expect_eq!(gone(pruned), (1, 1), "what is pruned of the rest, at most one of each");
}

pub(super) async fn rule_17_prune_leaves_what_is_not_final(storage: Subject) {
    storage.record(vec![record(1, &[1]), record(2, &[2])]).await.answer();
    take(&*storage, at(1), 1).await;
    let queue = [3, 4].map(|n| in_order(n, 1, OnDead::Skip)).to_vec();
    storage.record(queue).await.answer();
    let before = states(&*storage).await;
    let pruned = storage.prune(Prune::older(at(9_000), at(9_000), 100)).await.answer();
    expect_eq!(gone(pruned), (0, 0), "what is pruned of what is at work");
    expect_eq!(states(&*storage).await, before, "what is at work after a prune");
    let events = storage.events(all_events()).await.answer().items.len();
    expect_eq!(events, 4, "events whose deliveries are at work");
}

pub(super) async fn rule_20_the_backlog_is_told_by_endpoint(storage: Subject) {
    storage.record(vec![record(1, &[1, 2, 3]), record(2, &[1, 3])]).await.answer();
    let taken = take(&*storage, at(1), 9).await;
    let lease = |n| taken.iter().find(|c| c.delivery.trigger == trigger_id(n)).map(|c| c.lease);
    let two = lease(2).expect("it was due");
    settle_one(&*storage, two, Settlement::Delivered).await;
    let of =
        |n, deliveries, due| Backlog { endpoint: endpoint(n), deliveries, oldest_due: at(due) };
    let found = storage.backlog().await.answer();
    expect_eq!(found, [of(1, 2, 2), of(3, 2, 2)], "what waits or is leased of each endpoint");
}
