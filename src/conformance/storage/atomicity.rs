//! Rules 1 to 3: each call takes effect whole or not at all, for others, for good, and if it is
//! dropped.

use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};

use super::samples::{
    all_events, at, claim, event, everything, record, set, settle, settle_one, states, take,
    trigger,
};
use super::{Answer as _, Subject, expect_eq};
use crate::delivery::{Delivery, Settlement, StateName};
use crate::event::Event;
use crate::storage::{Record, Recorded, Settle, StorageError, TriggerWrite};

/// Of events that have three deliveries, how many those have that do not, looked at before and
/// after.
pub(super) fn parts(before: &[Event], after: &[Delivery]) -> Vec<usize> {
    let of = |event: &Event| after.iter().filter(|one| one.event == event.id).count();
    let mut found: Vec<usize> = before.iter().map(of).filter(|count| *count != 3).collect();
    // Deliveries whose event was not seen yet.
    let unseen =
        after.iter().filter(|one| before.iter().all(|event| event.id != one.event)).count();
    found.extend((!unseen.is_multiple_of(3)).then_some(unseen));
    found
}

pub(super) async fn rule_01_an_event_is_seen_with_all_its_deliveries(storage: Subject) {
    let writes = join_all((0..20).map(|n| storage.record(vec![record(n, &[1, 2, 3])])));
    let looks = async {
        for _ in 0..20 {
            let events = storage.events(all_events()).await.answer().items;
            let seen = storage.deliveries(everything()).await.answer().items;
            expect_eq!(
                parts(&events, &seen),
                [0; 0],
                "events that are seen with fewer than their three"
            );
        }
    };
    let (written, ()) = join(writes, looks).await;
    for answer in written {
        expect_eq!(answer.answer(), [Recorded::Stored], "an event that is new");
    }
    let seen = storage.deliveries(everything()).await.answer().items.len();
    expect_eq!(seen, 60, "the deliveries of twenty events");
}

pub(super) async fn rule_01_a_call_that_fails_takes_nothing_from_others(storage: Subject) {
    storage.write_trigger(TriggerWrite::Create(trigger(1, "a"))).await.answer();
    let calls = (0..20).map(|n| {
        let fails = storage.write_trigger(TriggerWrite::Create(trigger(1, "a")));
        join(storage.record(vec![record(n, &[1])]), fails)
    });
    for (recorded, written) in join_all(calls).await {
        expect_eq!(recorded.answer(), [Recorded::Stored], "an event beside a call that fails");
        let is_refused = matches!(written, Err(StorageError::Conflict { .. }));
        assert!(is_refused, "an id that is taken: expected Conflict, found {written:?}");
    }
    let events = storage.events(all_events()).await.answer().items.len();
    expect_eq!(events, 20, "the events beside calls that fail");
    let taken = take(&*storage, at(100), 100).await.len();
    expect_eq!(taken, 20, "the deliveries beside calls that fail");
}

pub(super) async fn rule_01_cursors_are_read_all_at_one_time(storage: Subject) {
    let writes = async {
        let mut before = None;
        for n in 0..100 {
            let value = Some(n.to_string());
            let cursors =
                ["first", "last"].map(|key| set(key, before.as_deref(), value.as_deref())).to_vec();
            let moved = Record { cursors, ..record(n, &[]) };
            let answer = storage.record(vec![moved]).await.answer();
            expect_eq!(answer, [Recorded::Stored], "two cursors that are where they are expected");
            before = value;
        }
    };
    let looks = async {
        for _ in 0..100 {
            let between = (0..500).map(|n| format!("none-{n}"));
            let keys = ["first".to_owned()].into_iter().chain(between).chain(["last".to_owned()]);
            let found = storage.cursors(keys.collect()).await.answer();
            expect_eq!(found.last(), found.first(), "two cursors that move together");
        }
    };
    join(writes, looks).await;
}

pub(super) async fn rule_01_a_settlement_is_seen_with_its_log_and_its_events(storage: Subject) {
    storage.record((0..20).map(|n| record(n, &[1])).collect()).await.answer();
    let taken = take(&*storage, at(100), 20).await;
    let writes = join_all((100..).zip(&taken).map(|(n, claimed)| {
        let records = vec![record(n, &[])];
        let one = Settle { records, ..settle(claimed.lease, Settlement::Delivered, 1) };
        storage.settle(vec![one], at(101))
    }));
    let looks = async {
        for _ in 0..20 {
            for (n, claimed) in (100..).zip(&taken) {
                let told = all_events().with_id(event(n).id);
                if storage.events(told).await.answer().items.is_empty() {
                    continue;
                }
                let id = claimed.lease.delivery;
                let found = storage.deliveries(everything().with_id(id)).await.answer().items;
                let states: Vec<_> = found.iter().map(|found| found.state.name()).collect();
                expect_eq!(states, [StateName::Delivered], "of what is settled the event is seen");
                let log = storage.attempts(id).await.answer().len();
                expect_eq!(log, 1, "attempts in the log of what is settled");
            }
        }
    };
    join(writes, looks).await;
}

pub(super) async fn rule_02_what_was_answered_is_there(storage: Subject) {
    storage.record(vec![record(1, &[1])]).await.answer();
    let events = storage.events(all_events()).await.answer().items;
    expect_eq!(events, [event(1)], "the event that was recorded");
    let lease = take(&*storage, at(10), 1).await.remove(0).lease;
    expect_eq!(states(&*storage).await, [StateName::Leased], "what was claimed");
    settle_one(&*storage, lease, Settlement::Delivered).await;
    expect_eq!(states(&*storage).await, [StateName::Delivered], "what was settled");
    let log = storage.attempts(lease.delivery).await.answer().len();
    expect_eq!(log, 1, "attempts in the log of what was settled");
}

pub(super) async fn rule_03_a_dropped_call_took_effect_whole_or_not(storage: Subject) {
    for n in 0..30 {
        // Polled once and dropped, whether it has answered or not.
        let _ = storage.record(vec![record(n, &[1, 2])]).now_or_never();
        let _ = storage.claim(claim(at(100), 1)).now_or_never();
    }
    for n in 0..30 {
        // What was dropped may still go on for a while; what is half there stays so.
        let mut found = (0, 0);
        for _ in 0..100 {
            let told = storage.events(all_events().with_id(event(n).id)).await.answer().items;
            let made = everything().with_event(event(n).id);
            let made = storage.deliveries(made).await.answer().items.len();
            found = (told.len(), made);
            if made == 2 * told.len() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let words = "deliveries of an event of two whose record was dropped";
        expect_eq!(found.1, 2 * found.0, "{words}");
    }
    // What a claim took that nobody heard of comes back.
    let taken = take(&*storage, at(200), 100).await.len();
    let leased =
        states(&*storage).await.iter().filter(|state| **state == StateName::Leased).count();
    expect_eq!(taken, leased, "deliveries that can be claimed a lease after a dropped claim");
}
