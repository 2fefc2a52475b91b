//! Rules 17 and 18: what of the history goes, what stays, and what a delivery without contents is.

use super::samples::{
    again, all_events, at, event, everything, in_order, record, settle, settle_one, states, take,
};
use super::{Answer as _, Subject, expect_eq};
use crate::delivery::{CancelReason, DeadReason, Lease, OnDead, Settlement, StateName};
use crate::event::Scope;
use crate::id::EventId;
use crate::storage::{Cutoff, Fate, NewEvent, Prune, Pruned, Record, Replay, Settled, Storage};

/// Deliveries of events 1, 2, …, one each, settled so at 901, 902, …
async fn settled(storage: &dyn Storage, settlements: &[Settlement]) -> Vec<Lease> {
    let last = u32::try_from(settlements.len()).expect("there are few");
    storage.record((1..=last).map(|n| record(n, &[1])).collect()).await.answer();
    let mut leases = Vec::new();
    for (n, claimed) in (901..).zip(take(storage, at(800), settlements.len()).await) {
        let mut one = settle(claimed.lease, settlements[leases.len()].clone(), 1);
        one.attempts[0] = one.attempts[0].clone().with_error("refused").with_response(b"busy");
        expect_eq!(storage.settle(vec![one], at(n)).await.answer(), [Settled::Done], "a lease");
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
        let pruned = storage.prune(prune.clone()).await.answer();
        let most = pruned.deliveries.max(pruned.events).max(pruned.contents);
        assert!(most <= prune.limit, "expected at most {}, found {pruned:?}", prune.limit);
        if pruned.is_nothing() {
            return (total.deliveries, total.events, total.contents);
        }
        total.add(pruned);
    }
    panic!("it goes on for ever: {total:?}");
}

async fn events_left(storage: &dyn Storage) -> Vec<EventId> {
    let all = all_events();
    storage.events(all).await.answer().items.iter().map(|event| event.id).collect()
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<EventId> {
    let mut ids: Vec<_> = numbers.into_iter().map(|n| event(n).id).collect();
    ids.sort_unstable();
    ids
}

pub(super) async fn rule_17_each_outcome_has_a_cutoff_of_its_own(storage: Subject) {
    let (delivered, cancelled) =
        (Settlement::Delivered, Settlement::Cancelled(CancelReason::Discarded));
    let all = [delivered, dead(), Settlement::Parked, cancelled, Settlement::Retry { at: at(999) }];
    settled(&*storage, &[all.clone(), all].concat()).await;
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
        let words = "(deliveries, events, contents) that go of";
        expect_eq!(all_of(&*storage, &prune).await, (gone, 0, 0), "{words} {state:?}");
        expect_eq!(events_left(&*storage).await.len(), 10, "events, whose cutoff is none");
    }
    let mut left = states(&*storage).await;
    left.sort_by_key(|state| format!("{state:?}"));
    let (parked, waiting) = (StateName::Parked, StateName::Waiting);
    let expected = [StateName::Cancelled, StateName::Delivered, parked, parked, waiting, waiting];
    expect_eq!(left, expected, "states that are left");
}

pub(super) async fn rule_17_all_but_the_newest_of_an_outcome_go(storage: Subject) {
    let mut settlements = vec![Settlement::Delivered; 5];
    settlements.extend([dead(), dead()]);
    let leases = settled(&*storage, &settlements).await;
    let newest = |state, number| prune().with(state, Cutoff::at_most(number));
    expect_eq!(
        all_of(&*storage, &newest(StateName::Delivered, 5)).await,
        (0, 0, 0),
        "(deliveries, events, contents) that go"
    );
    expect_eq!(
        all_of(&*storage, &newest(StateName::Delivered, 2)).await,
        (3, 0, 0),
        "(deliveries, events, contents) that go"
    );
    expect_eq!(
        all_of(&*storage, &newest(StateName::Dead, 9)).await,
        (0, 0, 0),
        "(deliveries, events, contents) that go"
    );
    let left = storage.deliveries(everything()).await.answer().items;
    let mut left: Vec<_> = left.iter().map(|delivery| delivery.id).collect();
    let mut expected: Vec<_> = leases[3..].iter().map(|lease| lease.delivery).collect();
    left.sort_unstable();
    expected.sort_unstable();
    expect_eq!(left, expected, "the newest, which are left");
    // What is replayed is a dead letter no longer, and one that is settled anew is among the
    // newest.
    let first = everything().with_id(leases[5].delivery);
    storage.replay(again(first, at(950))).await.answer();
    expect_eq!(
        all_of(&*storage, &newest(StateName::Dead, 1)).await,
        (0, 0, 0),
        "(deliveries, events, contents) that go"
    );
    let lease = take(&*storage, at(950), 1).await[0].lease;
    storage.settle(vec![settle(lease, dead(), 1)], at(960)).await.answer();
    expect_eq!(
        all_of(&*storage, &newest(StateName::Dead, 1)).await,
        (1, 0, 0),
        "(deliveries, events, contents) that go"
    );
    let left = storage.deliveries(everything().with_state(StateName::Dead)).await.answer().items;
    let left: Vec<_> = left.iter().map(|one| one.id).collect();
    expect_eq!(left, [lease.delivery], "the dead letter that was settled last");
}

pub(super) async fn rule_17_events_go_by_age_and_number_once_they_have_no_deliveries(
    storage: Subject,
) {
    settled(&*storage, &[Settlement::Delivered, dead()]).await;
    storage.record((3..=6).map(|n| record(n, &[])).collect()).await.answer();
    let old = prune().with_events(Cutoff::before(at(4)));
    expect_eq!(all_of(&*storage, &old).await, (0, 1, 0), "1 and 2 have deliveries, 3 has none");
    expect_eq!(events_left(&*storage).await, ids([1, 2, 4, 5, 6]), "events that are left");
    let newest = prune().with_events(Cutoff::at_most(2));
    expect_eq!(
        all_of(&*storage, &newest).await,
        (0, 1, 0),
        "(deliveries, events, contents) that go"
    );
    expect_eq!(events_left(&*storage).await, ids([1, 2, 5, 6]), "events that are left");
    let delivered = newest.with(StateName::Delivered, Cutoff::before(at(1_000)));
    expect_eq!(
        all_of(&*storage, &delivered).await,
        (1, 1, 0),
        "the event goes with its last delivery"
    );
    expect_eq!(events_left(&*storage).await, ids([2, 5, 6]), "events that are left");
    storage.record(vec![Record { event: None, ..record(5, &[1]) }]).await.answer();
    let all = prune().with_events(Cutoff::at_most(0));
    expect_eq!(all_of(&*storage, &all).await, (0, 1, 0), "(deliveries, events, contents) that go");
    expect_eq!(
        events_left(&*storage).await,
        ids([2, 5]),
        "one that got a delivery later stays too"
    );
}

pub(super) async fn rule_17_of_a_held_scope_nothing_goes_as_long_as_it_is_held(storage: Subject) {
    let mut records: Vec<Record> = (1..=6).map(|n| record(n, &[1])).collect();
    for (n, scope) in [(0, "acme/x/y"), (1, "acme/xy"), (2, "other")] {
        let mut elsewhere = event(n + 1);
        elsewhere.scope = scope.parse().expect("it is a scope");
        let new = NewEvent::of(elsewhere);
        records[usize::try_from(n).expect("there are few")].event = Some(new);
    }
    // A delivery of a trigger in the scope, of an event that is nowhere.
    records[3].deliveries[0].0.scope = "acme/x".parse().expect("it is a scope");
    records[3].event = None;
    storage.record(records).await.answer();
    for claimed in take(&*storage, at(10), 9).await {
        settle_one(&*storage, claimed.lease, Settlement::Delivered).await;
    }
    let all = Prune::older(at(990), at(1_000), 2).with_contents_before(at(990));
    let held = all.clone().with_held(vec![
        "acme/x".parse().expect("it is a scope"),
        "none".parse().expect("it is a scope"),
    ]);
    // Events 1, 5 and 6 are in the scope, and the trigger of the fourth delivery.
    let (deliveries, events, _) = all_of(&*storage, &held).await;
    expect_eq!((deliveries, events), (2, 2), "(deliveries, events) that are not held");
    expect_eq!(events_left(&*storage).await, ids([1, 5, 6]), "events that are left");
    let left = storage.deliveries(everything()).await.answer().items;
    let dropped = left.iter().filter(|one| one.contents_dropped).count();
    expect_eq!((left.len(), dropped), (4, 0), "(deliveries, without contents) that are held");
    let narrower = all.clone().with_held(vec!["acme/x/y".parse().expect("it is a scope")]);
    expect_eq!(all_of(&*storage, &narrower).await.0, 3, "deliveries that go");
    expect_eq!(events_left(&*storage).await, ids([1]), "events that are left");
    expect_eq!(
        all_of(&*storage, &all.clone().with_held(vec![Scope::root()])).await,
        (0, 0, 0),
        "(deliveries, events, contents) that go"
    );
    expect_eq!(all_of(&*storage, &all).await.0, 1, "deliveries that go");
    expect_eq!(events_left(&*storage).await, [], "events that are left");
}

pub(super) async fn rule_17_the_oldest_go_first_and_no_more_than_the_limit(storage: Subject) {
    let leases = settled(&*storage, &[Settlement::Delivered, dead(), Settlement::Delivered]).await;
    let all = Prune::older(at(1_000), at(1_000), 1);
    for expected in [0, 2] {
        let one = all.clone().with(StateName::Dead, Cutoff::default());
        expect_eq!(storage.prune(one).await.answer().deliveries, 1, "deliveries, at most one");
        let gone = everything().with_id(leases[expected].delivery);
        let left = storage.deliveries(gone).await.answer().items.len();
        expect_eq!(left, 0, "whether the oldest is left");
    }
    let none = Prune { limit: 0, ..all.clone() };
    let nothing = storage.prune(none).await.answer();
    expect_eq!(nothing, Pruned::default(), "what goes by a limit of 0");
    expect_eq!(all_of(&*storage, &all).await.0, 1, "deliveries that go");
    expect_eq!(events_left(&*storage).await, [], "events that are left");
}

pub(super) async fn rule_18_without_contents_a_delivery_keeps_its_log_and_is_not_replayed(
    storage: Subject,
) {
    let settlements = [Settlement::Delivered, dead(), Settlement::Parked, dead()];
    let leases = settled(&*storage, &settlements).await;
    let drop = prune().with_contents_before(at(904));
    expect_eq!(all_of(&*storage, &drop).await, (0, 0, 3), "(deliveries, events, contents) that go");
    let found = storage.deliveries(everything()).await.answer().items;
    for (n, lease) in leases.iter().enumerate() {
        let delivery = found.iter().find(|one| one.id == lease.delivery).unwrap();
        expect_eq!(delivery.contents_dropped, n < 3, "whether the contents of {n} were dropped");
        expect_eq!(delivery.state, settlements[n].state(), "the state without contents");
        let log = storage.attempts(lease.delivery).await.answer();
        let response = log[0].attempt.response.as_deref();
        expect_eq!(response, (n == 3).then_some("busy"), "what was answered to {n}");
        expect_eq!(log[0].attempt.error.as_deref(), Some("refused"), "the error in the log");
    }
    let replayed = storage.replay(again(everything(), at(950))).await.answer();
    expect_eq!(replayed, [leases[3].delivery], "what is replayed: the one with contents");
    let claimed = take(&*storage, at(950), 9).await;
    let sent = claimed.iter().map(|one| (one.lease.delivery, !one.payload.body.is_empty()));
    let sent: Vec<_> = sent.collect();
    expect_eq!(sent, [(leases[3].delivery, true)], "what is claimed, and whether with a body");
    let delivered = settle(claimed[0].lease, Settlement::Delivered, 1);
    storage.settle(vec![delivered], at(970)).await.answer();
    let discard = Replay { fate: Fate::Discarded, ..again(everything(), at(960)) };
    expect_eq!(storage.replay(discard).await.answer().len(), 2, "what is discarded");
    expect_eq!(all_of(&*storage, &drop).await, (0, 0, 0), "(deliveries, events, contents) that go");
    // They still stand in their line.
    let newest = prune().with(StateName::Cancelled, Cutoff::at_most(1));
    expect_eq!(
        all_of(&*storage, &newest).await,
        (1, 0, 0),
        "(deliveries, events, contents) that go"
    );
}

pub(super) async fn rule_15_a_dead_letter_without_contents_blocks_until_it_goes(storage: Subject) {
    storage.record([1, 2].map(|n| in_order(n, 1, OnDead::Block)).to_vec()).await.answer();
    let first = take(&*storage, at(10), 9).await.remove(0).lease;
    settle_one(&*storage, first, dead()).await;
    expect_eq!(
        all_of(&*storage, &prune().with_contents_before(at(901))).await,
        (0, 0, 1),
        "(deliveries, events, contents) that go"
    );
    let replayed = storage.replay(again(everything(), at(950))).await.answer();
    expect_eq!(replayed, [], "what is replayed without contents");
    expect_eq!(take(&*storage, at(960), 9).await.len(), 0, "what goes behind what blocks");
    let gone = prune().with(StateName::Dead, Cutoff::before(at(901)));
    expect_eq!(all_of(&*storage, &gone).await, (1, 0, 0), "(deliveries, events, contents) that go");
    let next = take(&*storage, at(1_000), 9).await;
    expect_eq!(next.len(), 1, "what goes once that went");
    expect_eq!(next[0].due, at(1_000), "when it came due");
    expect_eq!(next[0].delivery.state.name(), StateName::Leased, "its state");
}
