//! What rules promise when many ask at once: tasks on several threads, of one storage or of a node
//! each.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::atomicity::parts;
use super::samples::{
    again, all_events, at, claim, endpoint, everything, in_order, record, set, settle_one, spec,
    states, take, trigger,
};
use super::{Answer as _, Subject, expect_eq};
use crate::delivery::{CancelReason, Claimed, DeadReason, OnDead, Settlement, StateName};
use crate::id::{DeliveryId, EventId, OrderingKey, TriggerId};
use crate::storage::{
    Prune, Record, Recorded, Settled, Storage, StorageError, TriggerState, TriggerWrite,
};

/// How many ask at once.
const MANY: usize = 8;
/// How often one looks again for what others are at, before it is taken for lost.
const LOOKS: usize = 2_000;

type Shared = Arc<dyn Storage>;

/// What each of many comes to, each at work on a thread of its own.
async fn each_of<T, F>(storages: &[Shared], work: impl Fn(u32, Shared) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let shared = storages.iter().cycle().take(MANY.max(storages.len()));
    let tasks = (0..).zip(shared).map(|(n, storage)| tokio::spawn(work(n, storage.clone())));
    let tasks: Vec<_> = tasks.collect();
    let mut came = Vec::new();
    for task in tasks {
        match task.await {
            Ok(one) => came.push(one),
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
    }
    came
}

fn alone(storage: &Subject) -> Vec<Shared> {
    vec![storage.shared()]
}

pub(super) async fn rule_01_of_an_event_all_or_nothing_is_seen_by_threads(storage: Subject) {
    each_of(&alone(&storage), |who, storage| async move {
        for n in 0..10 {
            if who % 2 == 0 {
                storage.record(vec![record(who * 10 + n, &[1, 2, 3])]).await.answer();
                continue;
            }
            let events = storage.events(all_events()).await.answer().items;
            let all = everything().with_limit(1_000);
            let seen = storage.deliveries(all).await.answer().items;
            expect_eq!(
                parts(&events, &seen),
                [0; 0],
                "events that are seen with fewer than their three"
            );
        }
    })
    .await;
}

pub(super) async fn rule_04_of_many_that_record_an_event_one_stores_it(storage: Subject) {
    let answers = each_of(&alone(&storage), |_, storage| async move {
        let mut stored = 0;
        for n in 0..20 {
            let answer = storage.record(vec![record(n, &[1])]).await.answer();
            stored += usize::from(answer == [Recorded::Stored]);
        }
        stored
    })
    .await;
    expect_eq!(answers.iter().sum::<usize>(), 20, "events of twenty that somebody stored");
    let deliveries = storage.deliveries(everything()).await.answer().items.len();
    expect_eq!(deliveries, 20, "deliveries of twenty events");
}

pub(super) async fn rule_05_a_cursor_is_moved_once_by_many(storage: Subject) {
    moves_once(&alone(&storage)).await;
}

/// Many count on in one cursor, each step with an event of its own.
pub(super) async fn moves_once(storages: &[Shared]) {
    const STEPS: u32 = 10;
    let steps = each_of(storages, |who, storage| async move {
        let mut done = 0;
        for _ in 0..LOOKS {
            let there = storage.cursors(vec!["steps".to_owned()]).await.answer().remove(0);
            let next = there.as_ref().map_or(0, |n| n.parse::<u32>().expect("it is a number")) + 1;
            let moved = set("steps", there.as_deref(), Some(&next.to_string()));
            let step = Record { cursors: vec![moved], ..record(who * STEPS + done, &[]) };
            done += u32::from(storage.record(vec![step]).await.answer() == [Recorded::Stored]);
            if done == STEPS {
                break;
            }
        }
        done
    })
    .await;
    let steps: u32 = steps.iter().sum();
    let last = storages[0].cursors(vec!["steps".to_owned()]).await.answer().remove(0);
    expect_eq!(last, Some(steps.to_string()), "the cursor, after as many steps as were stored");
    let events = storages[0].events(all_events().with_limit(1_000)).await.answer().items.len();
    expect_eq!(events, steps as usize, "the events that were stored with the steps");
}

pub(super) async fn rule_07_what_many_claim_is_disjoint(storage: Subject) {
    claims_are_disjoint(&alone(&storage)).await;
}

/// Many claim until nothing is left.
pub(super) async fn claims_are_disjoint(storages: &[Shared]) {
    let records = (0..100).map(|n| record(n, &[1, 2, 3])).collect();
    storages[0].record(records).await.answer();
    let taken = each_of(storages, |_, storage| async move {
        let mut taken = Vec::new();
        loop {
            let some = take(&*storage, at(1_000), 7).await;
            if some.is_empty() {
                return taken;
            }
            taken.extend(some.into_iter().map(|claimed| claimed.lease.delivery));
        }
    })
    .await;
    let mut taken: Vec<DeliveryId> = taken.concat();
    // One that finds nothing may have met others that were at what was left, and gave it back.
    taken.extend(take(&*storages[0], at(1_000), 1_000).await.iter().map(|c| c.lease.delivery));
    let distinct: BTreeSet<_> = taken.iter().collect();
    expect_eq!(
        taken.len(),
        distinct.len(),
        "leases that many got, and deliveries that they are of"
    );
    expect_eq!(distinct.len(), 300, "deliveries that many got of three hundred");
}

pub(super) async fn rule_09_of_many_that_settle_a_lease_one_does(storage: Subject) {
    storage.record((0..20).map(|n| record(n, &[1])).collect()).await.answer();
    let leases: Arc<Vec<_>> =
        Arc::new(take(&*storage, at(100), 20).await.iter().map(|c| c.lease).collect());
    let done = each_of(&alone(&storage), |who, storage| {
        let leases = leases.clone();
        async move {
            let settlement = match who % 2 {
                0 => Settlement::Delivered,
                _ => Settlement::Cancelled(CancelReason::TriggerDeleted),
            };
            let mut done = Vec::new();
            for lease in leases.iter() {
                if settle_one(&*storage, *lease, settlement.clone()).await == Settled::Done {
                    done.push((lease.delivery, settlement.name()));
                }
            }
            done
        }
    })
    .await
    .concat();
    expect_eq!(done.len(), 20, "settlements of twenty leases that were written down");
    for (delivery, name) in done {
        let found = storage.deliveries(everything().with_id(delivery)).await.answer().items;
        let found: Vec<bool> = found
            .iter()
            .map(|one| (one.state.name() == StateName::Delivered) == (name == "delivered"))
            .collect();
        expect_eq!(
            found,
            [true],
            "whether a delivery is what its one settlement ({name}) made of it"
        );
        let log = storage.attempts(delivery).await.answer().len();
        expect_eq!(log, 1, "attempts in its log");
    }
}

pub(super) async fn rule_11_of_many_updates_of_a_revision_one_is_made(storage: Subject) {
    let written = |answers: Vec<Result<(), StorageError>>| {
        let refused =
            answers.iter().filter(|one| matches!(one, Err(StorageError::Conflict { .. })));
        (answers.iter().filter(|one| one.is_ok()).count(), refused.count())
    };
    let created = each_of(&alone(&storage), |who, storage| async move {
        let n = u8::try_from(who).expect("there are few");
        storage.write_trigger(TriggerWrite::Create(trigger(n, "a"))).await
    })
    .await;
    expect_eq!(written(created), (1, MANY - 1), "(written, refused) of many that take a name");
    let first = trigger(100, "b");
    storage.write_trigger(TriggerWrite::Create(first.clone())).await.answer();
    let updated = each_of(&alone(&storage), |who, storage| {
        let changed = Arc::new(first.changed(spec(&format!("b-{who}")), None, at(1)));
        async move { storage.write_trigger(TriggerWrite::Update(changed)).await }
    })
    .await;
    expect_eq!(written(updated), (1, MANY - 1), "(written, refused) of many updates of a revision");
}

pub(super) async fn rule_12_who_follows_the_feed_under_writes_misses_nothing(storage: Subject) {
    feed_is_followed(&alone(&storage)).await;
}

/// Half of many write, the others follow what is written.
pub(super) async fn feed_is_followed(storages: &[Shared]) {
    const EACH: u8 = 12;
    let writers = MANY.max(storages.len()).div_ceil(2);
    let left = Arc::new(AtomicUsize::new(writers));
    let before = storages[0].trigger_changes(0, 10_000).await.answer().len();
    let told = each_of(storages, |who, storage| {
        let left = left.clone();
        async move {
            if who % 2 == 0 {
                write_triggers(&*storage, u8::try_from(who).expect("few") * EACH, EACH).await;
                left.fetch_sub(1, Ordering::SeqCst);
                return BTreeMap::new();
            }
            let (mut told, mut after) = (BTreeMap::new(), 0);
            loop {
                // Read first: what was written before they ended is told now.
                let over = left.load(Ordering::SeqCst) == 0;
                let page = storage.trigger_changes(after, 5).await.answer();
                match page.last() {
                    Some(last) => after = last.sequence,
                    None if over => return told,
                    None => tokio::task::yield_now().await,
                }
                told.extend(page.into_iter().map(|change| (change.id, shown(&change.trigger))));
            }
        }
    })
    .await;
    let all = storages[0].trigger_changes(0, 10_000).await.answer();
    let all: BTreeMap<TriggerId, String> =
        all.iter().map(|change| (change.id, shown(&change.trigger))).collect();
    let written = all.len() - before;
    expect_eq!(written, writers * usize::from(EACH), "triggers that were written");
    for one in told.into_iter().filter(|told| !told.is_empty()) {
        let missed: Vec<_> = all.iter().filter(|(id, shown)| one.get(id) != Some(shown)).collect();
        assert!(
            missed.is_empty(),
            "changes that who followed missed: expected none, found {missed:?}"
        );
    }
}

/// Creates triggers, and changes or deletes each.
async fn write_triggers(storage: &dyn Storage, first: u8, count: u8) {
    for n in first..first + count {
        let one = trigger(n, &format!("t{n}"));
        storage.write_trigger(TriggerWrite::Create(one.clone())).await.answer();
        let next = match n % 2 {
            0 => TriggerWrite::Update(Arc::new(one.changed(spec(&format!("u{n}")), None, at(1)))),
            _ => TriggerWrite::Delete(one.id),
        };
        storage.write_trigger(next).await.answer();
    }
}

/// The name of a trigger that is there, or that it is not.
fn shown(state: &TriggerState) -> String {
    match state {
        TriggerState::Stored(trigger) => trigger.spec.name.clone(),
        other => format!("{other:?}"),
    }
}

pub(super) async fn rule_14_pages_under_writes_tell_what_is_there_once(storage: Subject) {
    let there: Vec<u32> = (0..40).map(|n| n * 2).collect();
    storage.record(there.iter().map(|n| record(*n, &[1])).collect()).await.answer();
    let walks = each_of(&alone(&storage), |who, storage| async move {
        if who % 2 == 0 {
            come_and_go(&*storage, who).await;
            return Vec::new();
        }
        let mut walks = Vec::new();
        for _ in 0..4 {
            walks.push(walk(&*storage).await);
        }
        walks
    })
    .await
    .concat();
    let mut events: Vec<EventId> = there.iter().map(|n| super::samples::event(*n).id).collect();
    events.sort_unstable();
    for (deliveries, told) in walks {
        let of = |told: &[EventId]| -> Vec<EventId> {
            told.iter().copied().filter(|id| events.binary_search(id).is_ok()).collect()
        };
        let count = deliveries.len();
        let deliveries = of(&deliveries);
        let words = "deliveries that pages tell of those that are there throughout";
        expect_eq!(deliveries.len(), 40, "{words} ({count} in all)");
        let distinct: BTreeSet<_> = deliveries.iter().collect();
        expect_eq!(distinct.len(), 40, "{words}, each once");
        expect_eq!(of(&told), events, "events that pages tell of those that are there throughout");
    }
}

/// Records between what is there, delivers that and prunes it.
async fn come_and_go(storage: &dyn Storage, who: u32) {
    for n in 0..8 {
        let number = (n * 4 + who / 2) * 2 + 1;
        storage.record(vec![record(number, &[2])]).await.answer();
        let mut asked = claim(at(500), 2);
        asked.quotas = vec![(endpoint(1), 0)];
        for Claimed { lease, .. } in storage.claim(asked).await.answer().deliveries {
            settle_one(storage, lease, Settlement::Delivered).await;
        }
        storage.prune(Prune::older(at(1_000), at(1_000), 2)).await.answer();
    }
}

/// The events of all deliveries, and all events, page by page.
async fn walk(storage: &dyn Storage) -> (Vec<EventId>, Vec<EventId>) {
    let (mut deliveries, mut events) = (Vec::new(), Vec::new());
    let mut query = everything().with_limit(3);
    loop {
        let page = storage.deliveries(query.clone()).await.answer().items;
        deliveries.extend(page.iter().map(|delivery| delivery.event));
        match page.last() {
            Some(last) if page.len() == 3 => query = query.with_after(last.id),
            _ => break,
        }
    }
    let mut query = all_events().with_limit(3);
    loop {
        let page = storage.events(query.clone()).await.answer().items;
        events.extend(page.iter().map(|event| event.id));
        match page.last() {
            Some(last) if page.len() == 3 => query = query.with_after(last.id),
            _ => return (deliveries, events),
        }
    }
}

/// What goes of an ordering key.
#[derive(Debug, Default)]
struct Going {
    is_held: bool,
    /// Of all that went, in the order in which they did.
    events: Vec<EventId>,
}

pub(super) async fn rule_15_of_a_key_many_never_hold_two(storage: Subject) {
    let records = (0..30_u8).map(|n| in_order(n.into(), n % 3, OnDead::Skip)).collect();
    storage.record(records).await.answer();
    let held: Arc<Mutex<BTreeMap<OrderingKey, Going>>> = Arc::default();
    each_of(&alone(&storage), |_, storage| {
        let held = held.clone();
        async move {
            for _ in 0..LOOKS {
                let taken = take(&*storage, at(1_000), 2).await;
                for Claimed { delivery, lease, .. } in taken {
                    let key = delivery.turn.expect("all have an order").key;
                    let begins = |going: &mut Going| {
                        going.events.push(delivery.event);
                        std::mem::replace(&mut going.is_held, true)
                    };
                    let was_held =
                        begins(held.lock().expect("nobody panics").entry(key).or_default());
                    expect_eq!(was_held, false, "whether another of its key is held");
                    tokio::task::yield_now().await;
                    held.lock().expect("nobody panics").entry(key).or_default().is_held = false;
                    settle_one(&*storage, lease, Settlement::Delivered).await;
                }
                let done: usize = held
                    .lock()
                    .expect("nobody panics")
                    .values()
                    .map(|going| going.events.len())
                    .sum();
                if done == 30 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let went: Vec<Vec<EventId>> =
        held.lock().expect("nobody panics").values().map(|going| going.events.clone()).collect();
    let in_order = went.iter().all(|events| events.is_sorted());
    expect_eq!((went.concat().len(), in_order), (30, true), "(deliveries that went, in order)");
}

pub(super) async fn rule_19_what_many_replay_is_disjoint(storage: Subject) {
    storage.record((0..40).map(|n| record(n, &[1])).collect()).await.answer();
    for claimed in take(&*storage, at(100), 40).await {
        settle_one(&*storage, claimed.lease, Settlement::Dead(DeadReason::Exhausted)).await;
    }
    let taken = each_of(&alone(&storage), |_, storage| async move {
        let mut taken = Vec::new();
        loop {
            let some = storage.replay(again(everything().with_limit(3), at(100))).await.answer();
            if some.is_empty() {
                return taken;
            }
            taken.extend(some);
        }
    })
    .await
    .concat();
    let distinct: BTreeSet<_> = taken.iter().collect();
    expect_eq!(taken.len(), distinct.len(), "answers of many replays, and deliveries they are of");
    let waiting = states(&*storage).await;
    expect_eq!(waiting, [StateName::Waiting; 40], "what was replayed");
}
