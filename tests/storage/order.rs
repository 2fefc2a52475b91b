//! Rule 15: deliveries with one ordering key go one after the other; and what replay, extension and
//! backlog promise.

use artifact_triggers::delivery::{DeadReason, State};
use artifact_triggers::storage::{Backlog, Recorded};

use super::*;

const BLOCK: OnDead = OnDead::Block;
const SKIP: OnDead = OnDead::Skip;

/// The one delivery that can be claimed, by the number of its event.
async fn only_due(storage: &dyn Storage) -> (u32, Lease) {
    let taken = take(storage, at(1_000), 9).await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    let claimed = &taken[0];
    let number = (0..100).find(|n| event(*n).id == claimed.delivery.event).unwrap();
    (number, claimed.lease)
}

async fn record_in_order(storage: &dyn Storage, events: &[u32], on_dead: OnDead) {
    let records = events.iter().map(|n| in_order(*n, 1, on_dead)).collect();
    storage.record(records).await.unwrap();
}

pub(crate) async fn rule_15_one_key_goes_in_the_order_of_recording(storage: &dyn Storage) {
    record_in_order(storage, &[5, 3, 9], SKIP).await;
    storage.record(vec![in_order(7, 2, SKIP)]).await.unwrap();
    let first = take(storage, at(1_000), 9).await;
    let mut events: Vec<EventId> = first.iter().map(|c| c.delivery.event).collect();
    events.sort_unstable();
    assert_eq!(events, [event(5).id, event(7).id], "each key has one");
    let lease = first.iter().find(|c| c.delivery.event == event(5).id).unwrap().lease;
    settle_one(storage, lease, Settlement::Retry { at: at(500) }).await;
    let (number, lease) = only_due(storage).await;
    assert_eq!(number, 5, "a retry keeps its turn");
    for expected in [3, 9] {
        let lease = if expected == 3 { lease } else { only_due(storage).await.1 };
        settle_one(storage, lease, Settlement::Delivered).await;
    }
    let (number, _) = only_due(storage).await;
    assert_eq!(number, 9);
}

pub(crate) async fn rule_15_a_dead_letter_that_blocks_is_waited_for(storage: &dyn Storage) {
    record_in_order(storage, &[1, 2], BLOCK).await;
    let (_, lease) = only_due(storage).await;
    settle_one(storage, lease, Settlement::Dead(DeadReason::Exhausted)).await;
    assert!(take(storage, at(2_000), 9).await.is_empty());
    assert_eq!(states(storage).await, [StateName::Dead, StateName::Queued]);
    storage.replay(again(everything(), at(100))).await.unwrap();
    let (number, lease) = only_due(storage).await;
    assert_eq!(number, 1, "replayed, it is still the first");
    settle_one(storage, lease, Settlement::Delivered).await;
    assert_eq!(only_due(storage).await.0, 2);
}

pub(crate) async fn rule_15_a_dead_letter_that_does_not_block_is_passed(storage: &dyn Storage) {
    record_in_order(storage, &[1, 2, 3], SKIP).await;
    let (_, lease) = only_due(storage).await;
    settle_one(storage, lease, Settlement::Dead(DeadReason::Exhausted)).await;
    let (number, lease) = only_due(storage).await;
    assert_eq!(number, 2);
    storage.replay(again(everything(), at(100))).await.unwrap();
    assert_eq!(states(storage).await, [StateName::Queued, StateName::Leased, StateName::Queued]);
    settle_one(storage, lease, Settlement::Delivered).await;
    assert_eq!(only_due(storage).await.0, 1, "what is replayed goes before what came later");
}

pub(crate) async fn rule_15_what_is_discarded_or_pruned_holds_nobody_up(storage: &dyn Storage) {
    record_in_order(storage, &[1, 2, 3], BLOCK).await;
    let (_, lease) = only_due(storage).await;
    settle_one(storage, lease, Settlement::Dead(DeadReason::Exhausted)).await;
    let discard = Replay { fate: Fate::Discarded, ..again(everything(), at(950)) };
    assert_eq!(storage.replay(discard).await.unwrap(), [lease.delivery]);
    let (number, lease) = only_due(storage).await;
    assert_eq!(number, 2);
    settle_one(storage, lease, Settlement::Dead(DeadReason::Exhausted)).await;
    let pruned = storage.prune(Prune::older(at(951), at(951), 9)).await.unwrap();
    assert_eq!(pruned.deliveries, 2);
    assert_eq!(only_due(storage).await.0, 3);
}

pub(crate) async fn rule_15_a_parked_one_that_blocks_is_waited_for(storage: &dyn Storage) {
    let mut first = in_order(1, 1, BLOCK);
    first.deliveries[0].0.state = State::Parked;
    storage.record(vec![first, in_order(2, 1, BLOCK)]).await.unwrap();
    assert_eq!(states(storage).await, [StateName::Parked, StateName::Queued]);
    storage.replay(again(everything(), at(100))).await.unwrap();
    assert_eq!(only_due(storage).await.0, 1);
}

pub(crate) async fn rule_04_a_record_without_an_event_stores_the_rest(storage: &dyn Storage) {
    storage.record(vec![record(1, &[1])]).await.unwrap();
    let later = Record { event: None, ..record(1, &[1, 2]) };
    let moved = Record::of_cursors(vec![set("k", None, Some("v"))]);
    let again = Record::of_cursors(vec![set("k", None, Some("w"))]);
    let answers = storage.record(vec![later.clone(), moved, again, later]).await.unwrap();
    let stored = Recorded::Stored;
    assert_eq!(answers, [stored, stored, Recorded::CursorMoved, stored]);
    assert_eq!(storage.deliveries(everything()).await.unwrap().items.len(), 2);
    assert_eq!(storage.cursors(vec!["k".into()]).await.unwrap(), [Some("v".to_owned())]);
}

pub(crate) async fn a_claim_of_one_gives_that_one_if_it_is_due(storage: &dyn Storage) {
    storage.record(vec![record(1, &[1, 2])]).await.unwrap();
    let wanted = record(1, &[2]).deliveries[0].0.id;
    let of = ClaimOf::One(wanted);
    let none = storage.claim(Claim { of: of.clone(), ..claim(at(0), 9) }).await.unwrap();
    assert!(none.deliveries.is_empty(), "it is not due");
    let one = storage.claim(Claim { of: of.clone(), ..claim(at(1), 9) }).await.unwrap();
    assert_eq!(one.deliveries.iter().map(|c| c.delivery.id).collect::<Vec<_>>(), [wanted]);
    let leased = storage.claim(Claim { of, ..claim(at(2), 9) }).await.unwrap();
    assert!(leased.deliveries.is_empty(), "its lease lasts");
}

pub(crate) async fn rule_09_a_lease_that_is_extended_lasts_longer(storage: &dyn Storage) {
    storage.record(vec![record(1, &[1])]).await.unwrap();
    let lease = take(storage, at(10), 1).await[0].lease;
    let extended = Settlement::Extended { until: at(200) };
    let settle = Settle { lease, settlement: extended, attempts: Vec::new(), records: Vec::new() };
    let answer = storage.settle(vec![settle.clone()], at(60)).await.unwrap();
    assert_eq!(answer, [Settled::Done]);
    assert!(take(storage, at(199), 1).await.is_empty());
    let next = take(storage, at(200), 1).await.remove(0);
    assert_eq!(next.delivery.attempts, 2, "the attempt stays counted");
    assert_eq!(storage.settle(vec![settle], at(210)).await.unwrap(), [Settled::LeaseLost]);
}

pub(crate) async fn a_replay_spreads_renames_and_selects_by_time(storage: &dyn Storage) {
    storage.record((1..=4).map(|n| record(n, &[1])).collect()).await.unwrap();
    let taken = take(storage, at(10), 9).await;
    for claimed in &taken {
        settle_one(storage, claimed.lease, Settlement::Dead(DeadReason::Exhausted)).await;
    }
    let query = everything().with_from(at(2)).with_until(at(4));
    let fate = Fate::Again { due: at(100), spacing: MINUTE, new_message_ids: true };
    let replay = Replay { query, unchanged_since: None, now: at(90), fate };
    let replayed = storage.replay(replay).await.unwrap();
    assert_eq!(replayed, [taken[1].delivery.id, taken[2].delivery.id]);
    let found =
        storage.deliveries(everything().with_state(StateName::Waiting)).await.unwrap().items;
    let dues: Vec<State> = found.iter().map(|delivery| delivery.state.clone()).collect();
    assert_eq!(dues, [State::Waiting { due: at(100) }, State::Waiting { due: at(160) }]);
    assert_eq!(found[0].message_id, taken[1].delivery.message_id.next());
}

pub(crate) async fn the_backlog_is_told_by_endpoint(storage: &dyn Storage) {
    storage.record(vec![record(1, &[1, 2]), record(2, &[1])]).await.unwrap();
    let lease = take(storage, at(1), 9).await;
    let two = lease.iter().find(|c| c.delivery.trigger == trigger_id(2)).unwrap().lease;
    settle_one(storage, two, Settlement::Delivered).await;
    let endpoint = EndpointKey::new("https://1.example");
    let expected = Backlog { endpoint, deliveries: 2, oldest_due: at(2) };
    assert_eq!(storage.backlog().await.unwrap(), [expected]);
}
