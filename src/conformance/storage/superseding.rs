//! Rule 21: what a record supersedes gives way to its own deliveries.

use std::collections::BTreeSet;

use super::samples::{at, event, everything, in_order, record, set, settle_one, take, trigger_id};
use super::{Answer as _, Subject, expect_eq};
use crate::clock::Timestamp;
use crate::delivery::{CancelReason, DeadReason, OnDead, Settlement, State};
use crate::id::DeliveryId;
use crate::storage::{Cutoff, Prune, Record, Recorded, Storage};

const SUPERSEDED: State = State::Cancelled { reason: CancelReason::Superseded };

/// The delivery of an event to trigger 1.
fn of(n: u32) -> DeliveryId {
    DeliveryId::of(event(n).id, trigger_id(1))
}

/// An event with a delivery to trigger 1 that takes the place of those of others.
fn instead(n: u32, of_events: &[u32]) -> Record {
    Record { supersedes: of_events.iter().map(|n| of(*n)).collect(), ..record(n, &[1]) }
}

/// Where the deliveries of events to trigger 1 stand.
async fn states_of(storage: &dyn Storage, events: &[u32]) -> Vec<State> {
    let mut states = Vec::new();
    for n in events {
        let found = storage.deliveries(everything().with_id(of(*n))).await.answer().items;
        states.extend(found.into_iter().map(|delivery| delivery.state));
    }
    states
}

fn waiting(due: Timestamp) -> State {
    State::Waiting { due }
}

pub(super) async fn rule_21_what_waits_is_cancelled_and_what_takes_its_place_is_not(
    storage: Subject,
) {
    let mut later = record(1, &[1, 2]);
    later.deliveries[0].0.state = waiting(at(500));
    let records = vec![later, record(2, &[1]), instead(3, &[1, 2, 40])];
    let answers = storage.record(records).await.answer();
    expect_eq!(answers, [Recorded::Stored; 3], "three records, the last in the place of others");
    let states = states_of(&*storage, &[1, 2, 3]).await;
    expect_eq!(states, [SUPERSEDED, SUPERSEDED, waiting(at(3))], "where they stand");
    let backlog = storage.backlog().await.answer();
    let counts: Vec<u64> = backlog.iter().map(|one| one.deliveries).collect();
    expect_eq!(counts, [1, 1], "what is left for each of the two endpoints");
    let taken = take(&*storage, at(1_000), 9).await;
    let mut taken: Vec<DeliveryId> = taken.iter().map(|one| one.delivery.id).collect();
    taken.sort_unstable();
    let mut left = vec![of(3), DeliveryId::of(event(1).id, trigger_id(2))];
    left.sort_unstable();
    expect_eq!(taken, left, "what is given: what took their place, and that of another trigger");
}

pub(super) async fn rule_21_what_is_leased_or_done_stays_as_it_is(storage: Subject) {
    let all: Vec<u32> = (1..=4).collect();
    storage.record(all.iter().map(|n| record(*n, &[1])).collect()).await.answer();
    let mut taken = take(&*storage, at(10), 9).await;
    taken.sort_by_key(|claimed| claimed.delivery.created_at);
    settle_one(&*storage, taken[1].lease, Settlement::Delivered).await;
    settle_one(&*storage, taken[2].lease, Settlement::Dead(DeadReason::Exhausted)).await;
    settle_one(&*storage, taken[3].lease, Settlement::Parked).await;
    let before = states_of(&*storage, &all).await;
    storage.record(vec![instead(5, &all)]).await.answer();
    expect_eq!(states_of(&*storage, &all).await, before, "what is leased, done or parked");
    // Once it waits again, it gives way.
    settle_one(&*storage, taken[0].lease, Settlement::Retry { at: at(950) }).await;
    storage.record(vec![instead(6, &[1])]).await.answer();
    expect_eq!(states_of(&*storage, &[1]).await, [SUPERSEDED], "one that was to be tried again");
    let log = storage.attempts(of(1)).await.answer();
    expect_eq!(log.len(), 1, "attempts in its log");
}

pub(super) async fn rule_04_a_duplicate_supersedes_nothing(storage: Subject) {
    storage.record(vec![record(1, &[1]), record(2, &[])]).await.answer();
    let answers = storage.record(vec![instead(2, &[1])]).await.answer();
    expect_eq!(answers, [Recorded::Duplicate], "an event once more");
    expect_eq!(states_of(&*storage, &[1]).await, [waiting(at(1))], "what it was to supersede");
}

pub(super) async fn rule_05_what_a_cursor_stops_supersedes_nothing(storage: Subject) {
    storage.record(vec![record(1, &[1])]).await.answer();
    let moved = Record { cursors: vec![set("k", Some("v"), None)], ..instead(2, &[1]) };
    let answers = storage.record(vec![moved]).await.answer();
    expect_eq!(answers, [Recorded::CursorMoved], "one that expects what is not there");
    expect_eq!(states_of(&*storage, &[1]).await, [waiting(at(1))], "what it was to supersede");
}

pub(super) async fn rule_21_what_has_no_event_supersedes_and_what_has_no_delivery_does_not(
    storage: Subject,
) {
    storage.record(vec![record(1, &[1])]).await.answer();
    let without = Record { deliveries: Vec::new(), ..instead(2, &[1]) };
    storage.record(vec![without]).await.answer();
    expect_eq!(states_of(&*storage, &[1]).await, [waiting(at(1))], "by one without a delivery");
    let cursors = vec![set("k", None, Some("v"))];
    let without = Record { event: None, cursors, ..instead(3, &[1]) };
    storage.record(vec![without]).await.answer();
    expect_eq!(states_of(&*storage, &[1]).await, [SUPERSEDED], "by one without an event");
}

pub(super) async fn rule_21_what_was_queued_behind_goes_on(storage: Subject) {
    let next = |n, of_events| {
        let supersedes = instead(n, of_events).supersedes;
        Record { supersedes, ..in_order(n, 1, OnDead::Skip) }
    };
    storage.record([1, 2, 3].map(|n| next(n, &[])).to_vec()).await.answer();
    // The one whose turn it is, and one that is queued.
    storage.record(vec![next(4, &[1, 2])]).await.answer();
    expect_eq!(states_of(&*storage, &[1, 2]).await, [SUPERSEDED; 2], "the first two in an order");
    let taken = take(&*storage, at(1_000), 9).await;
    let third = taken.iter().find(|claimed| claimed.delivery.id == of(3));
    let third = third.map(|claimed| claimed.lease);
    expect_eq!(third.is_some(), true, "whether the third one goes then");
    settle_one(&*storage, third.expect("it was found"), Settlement::Delivered).await;
    storage.record(vec![next(5, &[4])]).await.answer();
    let taken = take(&*storage, at(1_000), 9).await;
    let goes = taken.iter().any(|claimed| claimed.delivery.id == of(5));
    expect_eq!(goes, true, "whether the last goes once the one before it is superseded");
}

pub(super) async fn rule_21_what_was_superseded_is_pruned_as_cancelled(storage: Subject) {
    storage.record(vec![record(1, &[1]), instead(7, &[1])]).await.answer();
    let name = State::Cancelled { reason: CancelReason::Superseded }.name();
    let before = |second| Prune::new(at(1_000), 9).with(name, Cutoff::before(at(second)));
    let pruned = storage.prune(before(7)).await.answer();
    expect_eq!(pruned.deliveries, 0, "deliveries that go before the second in which it changed");
    let pruned = storage.prune(before(8)).await.answer();
    expect_eq!(pruned.deliveries, 1, "deliveries that go after it");
}

pub(super) async fn rule_21_what_many_claim_and_supersede_is_leased_or_cancelled(storage: Subject) {
    const ALL: u32 = 60;
    storage.record((0..ALL).map(|n| record(n, &[1])).collect()).await.answer();
    let claiming = storage.shared();
    let claims = tokio::spawn(async move {
        let mut taken = BTreeSet::new();
        for _ in 0..ALL {
            let some = take(&*claiming, at(1_000), 1).await;
            taken.extend(some.into_iter().map(|claimed| claimed.delivery.id));
        }
        taken
    });
    let superseding = storage.shared();
    let supersedes = tokio::spawn(async move {
        for n in (0..ALL).rev() {
            superseding.record(vec![instead(ALL + n, &[n])]).await.answer();
        }
    });
    let taken = claims.await.expect("claims are answered");
    supersedes.await.expect("records are answered");
    let all = storage.deliveries(everything().with_limit(1_000)).await.answer().items;
    for delivery in all {
        let is_leased = matches!(delivery.state, State::Leased { .. });
        let was_given = taken.contains(&delivery.id);
        expect_eq!(is_leased, was_given, "whether {} that is leased was given", delivery.id);
    }
}
