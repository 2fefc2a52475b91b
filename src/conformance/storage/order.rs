//! Rule 15: deliveries with one ordering key go one after the other.

use super::samples::{again, at, event, everything, in_order, settle_one, states, take};
use super::{Answer as _, Subject, expect_eq};
use crate::delivery::{DeadReason, Lease, OnDead, Settlement, State, StateName};
use crate::id::EventId;
use crate::storage::{Fate, Prune, Replay, Storage};

const BLOCK: OnDead = OnDead::Block;
const SKIP: OnDead = OnDead::Skip;

/// Takes the one delivery that can be claimed, which is to be that of an event.
async fn only_due(storage: &dyn Storage, n: u32, words: &str) -> Lease {
    let taken = take(storage, at(1_000), 9).await;
    let events: Vec<EventId> = taken.iter().map(|claimed| claimed.delivery.event).collect();
    expect_eq!(events, [event(n).id], "whose turn it is, {words}");
    taken[0].lease
}

async fn record_in_order(storage: &dyn Storage, events: &[u32], on_dead: OnDead) {
    let records = events.iter().map(|n| in_order(*n, 1, on_dead)).collect();
    storage.record(records).await.answer();
}

pub(super) async fn rule_15_one_key_goes_in_the_order_of_recording(storage: Subject) {
    record_in_order(&*storage, &[5, 3, 9], SKIP).await;
    storage.record(vec![in_order(7, 2, SKIP)]).await.answer();
    let first = take(&*storage, at(1_000), 9).await;
    let mut events: Vec<EventId> = first.iter().map(|c| c.delivery.event).collect();
    events.sort_unstable();
    expect_eq!(events, [5, 7].map(|n| event(n).id), "the first of each of two keys");
    let lease = first.iter().find(|c| c.delivery.event == event(5).id).expect("it is there").lease;
    settle_one(&*storage, lease, Settlement::Retry { at: at(500) }).await;
    let lease = only_due(&*storage, 5, "the first being tried again").await;
    settle_one(&*storage, lease, Settlement::Delivered).await;
    let lease = only_due(&*storage, 3, "the first being delivered").await;
    settle_one(&*storage, lease, Settlement::Delivered).await;
    only_due(&*storage, 9, "two being delivered").await;
}

pub(super) async fn rule_15_a_dead_letter_that_blocks_is_waited_for(storage: Subject) {
    record_in_order(&*storage, &[1, 2], BLOCK).await;
    let lease = only_due(&*storage, 1, "two being there").await;
    settle_one(&*storage, lease, Settlement::Dead(DeadReason::Exhausted)).await;
    let none = take(&*storage, at(2_000), 9).await.len();
    expect_eq!(none, 0, "deliveries that are given behind a dead letter that blocks");
    let expected = [StateName::Dead, StateName::Queued];
    expect_eq!(states(&*storage).await, expected, "a dead letter that blocks and the next");
    storage.replay(again(everything(), at(100))).await.answer();
    let lease = only_due(&*storage, 1, "the first being replayed").await;
    settle_one(&*storage, lease, Settlement::Delivered).await;
    only_due(&*storage, 2, "the first being delivered after all").await;
}

pub(super) async fn rule_15_a_dead_letter_that_does_not_block_is_passed(storage: Subject) {
    record_in_order(&*storage, &[1, 2, 3], SKIP).await;
    let lease = only_due(&*storage, 1, "three being there").await;
    settle_one(&*storage, lease, Settlement::Dead(DeadReason::Exhausted)).await;
    let lease = only_due(&*storage, 2, "the first being dead").await;
    storage.replay(again(everything(), at(100))).await.answer();
    let expected = [StateName::Queued, StateName::Leased, StateName::Queued];
    expect_eq!(states(&*storage).await, expected, "one replayed, one at work and one behind it");
    settle_one(&*storage, lease, Settlement::Delivered).await;
    only_due(&*storage, 1, "what is replayed going before what came later").await;
}

pub(super) async fn rule_15_what_is_discarded_or_pruned_holds_nobody_up(storage: Subject) {
    record_in_order(&*storage, &[1, 2, 3], BLOCK).await;
    let lease = only_due(&*storage, 1, "three being there").await;
    settle_one(&*storage, lease, Settlement::Dead(DeadReason::Exhausted)).await;
    let discard = Replay { fate: Fate::Discarded, ..again(everything(), at(950)) };
    let taken = storage.replay(discard).await.answer();
    expect_eq!(taken, [lease.delivery], "what is discarded");
    let lease = only_due(&*storage, 2, "the first being discarded").await;
    settle_one(&*storage, lease, Settlement::Dead(DeadReason::Exhausted)).await;
    let pruned = storage.prune(Prune::older(at(951), at(951), 9)).await.answer();
    expect_eq!(pruned.deliveries, 2, "deliveries that are pruned");
    only_due(&*storage, 3, "those before it being pruned").await;
}

pub(super) async fn rule_15_a_parked_one_that_blocks_is_waited_for(storage: Subject) {
    let mut first = in_order(1, 1, BLOCK);
    first.deliveries[0].0.state = State::Parked;
    storage.record(vec![first, in_order(2, 1, BLOCK)]).await.answer();
    let expected = [StateName::Parked, StateName::Queued];
    expect_eq!(states(&*storage).await, expected, "one that is parked and blocks, and the next");
    storage.replay(again(everything(), at(100))).await.answer();
    only_due(&*storage, 1, "the parked one being replayed").await;
}
