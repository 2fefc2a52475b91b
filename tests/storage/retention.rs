//! Rules 17 and 18: what of the history goes, what stays, and what a delivery without contents is.

use artifact_triggers::delivery::{DeadReason, State};
use artifact_triggers::storage::{Cutoff, EventQuery, Pruned};

use super::*;

/// Deliveries of events 1, 2, …, one each, settled so at 901, 902, …
async fn settled(storage: &dyn Storage, settlements: &[Settlement]) -> Vec<Lease> {
    let last = u32::try_from(settlements.len()).unwrap();
    storage.record((1..=last).map(|n| record(n, &[1])).collect()).await.unwrap();
    let mut leases = Vec::new();
    for (n, claimed) in (901..).zip(take(storage, at(800), settlements.len()).await) {
        let mut one = settle(claimed.lease, settlements[leases.len()].clone(), 1);
        one.attempts[0] = one.attempts[0].clone().with_error("refused").with_response(b"busy");
        assert_eq!(storage.settle(vec![one], at(n)).await.unwrap(), [Settled::Done]);
        leases.push(claimed.lease);
    }
    leases
}

fn dead() -> Settlement {
    Settlement::Dead(DeadReason::Exhausted)
}

fn prune() -> Prune {
    Prune::new(at(1_000), 100)
}

/// Deliveries, events and contents that went until nothing was left to do, which has to come.
async fn all_of(storage: &dyn Storage, prune: &Prune) -> (usize, usize, usize) {
    let mut total = Pruned::default();
    for _ in 0..1_000 {
        let pruned = storage.prune(prune.clone()).await.unwrap();
        assert!(pruned.deliveries.max(pruned.events).max(pruned.contents) <= prune.limit);
        if pruned.is_nothing() {
            return (total.deliveries, total.events, total.contents);
        }
        total.add(pruned);
    }
    panic!("it goes on for ever: {total:?}");
}

async fn events_left(storage: &dyn Storage) -> Vec<EventId> {
    let all = EventQuery::of_scope(Scope::root());
    storage.events(all).await.unwrap().items.iter().map(|event| event.id).collect()
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<EventId> {
    let mut ids: Vec<_> = numbers.into_iter().map(|n| event(n).id).collect();
    ids.sort_unstable();
    ids
}

pub(crate) async fn rule_17_each_outcome_has_a_cutoff_of_its_own(storage: &dyn Storage) {
    let (delivered, cancelled) = (Settlement::Delivered, Settlement::Cancelled);
    let all = [delivered, dead(), Settlement::Parked, cancelled, Settlement::Retry { at: at(999) }];
    settled(storage, &[all.clone(), all].concat()).await;
    // Of each the first is settled at 901 to 905, the second at 906 to 910.
    for (state, before) in [
        (StateName::Delivered, 906),
        (StateName::Dead, 908),
        (StateName::Parked, 903),
        (StateName::Cancelled, 905),
        (StateName::Waiting, 1_000),
    ] {
        let prune = prune().with(state, Cutoff::before(at(before)));
        let gone = match state {
            StateName::Delivered | StateName::Cancelled => 1,
            StateName::Dead => 2,
            _ => 0,
        };
        assert_eq!(all_of(storage, &prune).await, (gone, 0, 0), "{state:?}");
        assert_eq!(
            storage.events(EventQuery::of_scope(Scope::root())).await.unwrap().items.len(),
            10
        );
    }
    let mut left = states(storage).await;
    left.sort_by_key(|state| format!("{state:?}"));
    let (parked, waiting) = (StateName::Parked, StateName::Waiting);
    assert_eq!(
        left,
        [StateName::Cancelled, StateName::Delivered, parked, parked, waiting, waiting]
    );
}

pub(crate) async fn rule_17_all_but_the_newest_of_an_outcome_go(storage: &dyn Storage) {
    let mut settlements = vec![Settlement::Delivered; 5];
    settlements.extend([dead(), dead()]);
    let leases = settled(storage, &settlements).await;
    let newest = |state, number| prune().with(state, Cutoff::at_most(number));
    assert_eq!(all_of(storage, &newest(StateName::Delivered, 5)).await, (0, 0, 0));
    assert_eq!(all_of(storage, &newest(StateName::Delivered, 2)).await, (3, 0, 0));
    assert_eq!(all_of(storage, &newest(StateName::Dead, 9)).await, (0, 0, 0));
    let left = storage.deliveries(everything()).await.unwrap().items;
    let mut left: Vec<_> = left.iter().map(|delivery| delivery.id).collect();
    let mut expected: Vec<_> = leases[3..].iter().map(|lease| lease.delivery).collect();
    left.sort_unstable();
    expected.sort_unstable();
    assert_eq!(left, expected);
    // What is replayed is a dead letter no longer, and one that is settled anew is among the newest.
    let first = everything().with_id(leases[5].delivery);
    storage.replay(again(first, at(950))).await.unwrap();
    assert_eq!(all_of(storage, &newest(StateName::Dead, 1)).await, (0, 0, 0));
    let lease = take(storage, at(950), 1).await[0].lease;
    storage.settle(vec![settle(lease, dead(), 1)], at(960)).await.unwrap();
    assert_eq!(all_of(storage, &newest(StateName::Dead, 1)).await, (1, 0, 0));
    let left = storage.deliveries(everything().with_state(StateName::Dead)).await.unwrap().items;
    assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [lease.delivery]);
}

pub(crate) async fn rule_17_events_go_by_age_and_number_once_they_have_no_deliveries(
    storage: &dyn Storage,
) {
    settled(storage, &[Settlement::Delivered, dead()]).await;
    storage.record((3..=6).map(|n| record(n, &[])).collect()).await.unwrap();
    let old = prune().with_events(Cutoff::before(at(4)));
    assert_eq!(all_of(storage, &old).await, (0, 1, 0), "1 and 2 have deliveries, 3 has none");
    assert_eq!(events_left(storage).await, ids([1, 2, 4, 5, 6]));
    let newest = prune().with_events(Cutoff::at_most(2));
    assert_eq!(all_of(storage, &newest).await, (0, 1, 0));
    assert_eq!(events_left(storage).await, ids([1, 2, 5, 6]));
    let delivered = newest.with(StateName::Delivered, Cutoff::before(at(1_000)));
    assert_eq!(
        all_of(storage, &delivered).await,
        (1, 1, 0),
        "the event goes with its last delivery"
    );
    assert_eq!(events_left(storage).await, ids([2, 5, 6]));
    storage.record(vec![Record { event: None, ..record(5, &[1]) }]).await.unwrap();
    let all = prune().with_events(Cutoff::at_most(0));
    assert_eq!(all_of(storage, &all).await, (0, 1, 0));
    assert_eq!(events_left(storage).await, ids([2, 5]), "one that got a delivery later stays too");
}

pub(crate) async fn rule_17_of_a_held_scope_nothing_goes_as_long_as_it_is_held(
    storage: &dyn Storage,
) {
    let mut records: Vec<Record> = (1..=6).map(|n| record(n, &[1])).collect();
    for (n, scope) in [(0, "acme/x/y"), (1, "acme/xy"), (2, "other")] {
        let mut elsewhere = event(n + 1);
        elsewhere.scope = scope.parse().unwrap();
        let new = NewEvent::of(elsewhere);
        records[usize::try_from(n).unwrap()].event = Some(new);
    }
    // A delivery of a trigger in the scope, of an event that is nowhere.
    records[3].deliveries[0].0.scope = "acme/x".parse().unwrap();
    records[3].event = None;
    storage.record(records).await.unwrap();
    for claimed in take(storage, at(10), 9).await {
        settle_one(storage, claimed.lease, Settlement::Delivered).await;
    }
    let all = Prune::older(at(990), at(1_000), 2).with_contents_before(at(990));
    let held = all.clone().with_held(vec!["acme/x".parse().unwrap(), "none".parse().unwrap()]);
    // Events 1, 5 and 6 are in the scope, and the trigger of the fourth delivery.
    let (deliveries, events, _) = all_of(storage, &held).await;
    assert_eq!((deliveries, events), (2, 2));
    assert_eq!(events_left(storage).await, ids([1, 5, 6]));
    let left = storage.deliveries(everything()).await.unwrap().items;
    assert!(left.len() == 4 && !left.iter().any(|one| one.contents_dropped), "{left:?}");
    let narrower = all.clone().with_held(vec!["acme/x/y".parse().unwrap()]);
    assert_eq!(all_of(storage, &narrower).await.0, 3);
    assert_eq!(events_left(storage).await, ids([1]));
    assert_eq!(all_of(storage, &all.clone().with_held(vec![Scope::root()])).await, (0, 0, 0));
    assert_eq!(all_of(storage, &all).await.0, 1);
    assert_eq!(events_left(storage).await, []);
}

pub(crate) async fn rule_17_the_oldest_go_first_and_no_more_than_the_limit(storage: &dyn Storage) {
    let leases = settled(storage, &[Settlement::Delivered, dead(), Settlement::Delivered]).await;
    let all = Prune::older(at(1_000), at(1_000), 1);
    for expected in [0, 2] {
        let one = all.clone().with(StateName::Dead, Cutoff::default());
        assert_eq!(storage.prune(one).await.unwrap().deliveries, 1);
        let gone = everything().with_id(leases[expected].delivery);
        assert!(storage.deliveries(gone).await.unwrap().items.is_empty());
    }
    let none = Prune { limit: 0, ..all.clone() };
    assert!(storage.prune(none).await.unwrap().is_nothing());
    assert_eq!(all_of(storage, &all).await.0, 1);
    assert_eq!(events_left(storage).await, []);
}

pub(crate) async fn rule_18_without_contents_a_delivery_keeps_its_log_and_is_not_replayed(
    storage: &dyn Storage,
) {
    let settlements = [Settlement::Delivered, dead(), Settlement::Parked, dead()];
    let leases = settled(storage, &settlements).await;
    let drop = prune().with_contents_before(at(904));
    assert_eq!(all_of(storage, &drop).await, (0, 0, 3));
    let found = storage.deliveries(everything()).await.unwrap().items;
    for (n, lease) in leases.iter().enumerate() {
        let delivery = found.iter().find(|one| one.id == lease.delivery).unwrap();
        assert_eq!(delivery.contents_dropped, n < 3);
        assert_eq!(delivery.state, settlements[n].state());
        let log = storage.attempts(lease.delivery).await.unwrap();
        let response = log[0].attempt.response.as_deref();
        assert_eq!(response, (n == 3).then_some("busy"));
        assert_eq!(log[0].attempt.error.as_deref(), Some("refused"));
    }
    let replayed = storage.replay(again(everything(), at(950))).await.unwrap();
    assert_eq!(replayed, [leases[3].delivery]);
    let claimed = take(storage, at(950), 9).await;
    let sent = claimed.iter().map(|one| (one.lease.delivery, !one.payload.body.is_empty()));
    assert_eq!(sent.collect::<Vec<_>>(), [(leases[3].delivery, true)]);
    let discard = Replay { fate: Fate::Discarded, ..again(everything(), at(960)) };
    assert_eq!(storage.replay(discard).await.unwrap().len(), 2);
    assert_eq!(all_of(storage, &drop).await, (0, 0, 0));
    // They still stand in their line.
    let newest = prune().with(StateName::Cancelled, Cutoff::at_most(1));
    assert_eq!(all_of(storage, &newest).await, (1, 0, 0));
}

pub(crate) async fn rule_18_a_dead_letter_without_contents_blocks_until_it_goes(
    storage: &dyn Storage,
) {
    storage.record([1, 2].map(|n| in_order(n, 1, OnDead::Block)).to_vec()).await.unwrap();
    let first = take(storage, at(10), 9).await.remove(0).lease;
    settle_one(storage, first, dead()).await;
    assert_eq!(all_of(storage, &prune().with_contents_before(at(901))).await, (0, 0, 1));
    assert_eq!(storage.replay(again(everything(), at(950))).await.unwrap(), []);
    assert!(take(storage, at(960), 9).await.is_empty());
    let gone = prune().with(StateName::Dead, Cutoff::before(at(901)));
    assert_eq!(all_of(storage, &gone).await, (1, 0, 0));
    let next = take(storage, at(1_000), 9).await;
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].due, at(1_000), "due when it went, not before");
    assert!(matches!(next[0].delivery.state, State::Leased { .. }));
}
