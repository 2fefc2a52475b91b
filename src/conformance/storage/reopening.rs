//! What rules promise across a crash: what a storage answered for is there when it is opened again.

use futures_util::FutureExt as _;

use super::samples::{
    MINUTE, all_events, at, claim, event, everything, record, set, settle_one, spec, states, take,
    trigger,
};
use super::{Answer as _, Subject, expect_eq};
use crate::delivery::{Settlement, StateName};
use crate::storage::{Record, TriggerState, TriggerWrite};

pub(super) async fn rule_02_what_was_answered_is_there_after_a_reopening(storage: Subject) {
    let cursors = vec![set("k", None, Some("v"))];
    storage.record(vec![Record { cursors, ..record(1, &[1, 2]) }]).await.answer();
    let taken = take(&*storage, at(10), 1).await.remove(0);
    settle_one(&*storage, taken.lease, Settlement::Retry { at: at(50) }).await;
    let before = storage.deliveries(everything()).await.answer().items;
    let log = storage.attempts(taken.lease.delivery).await.answer();
    let storage = storage.reopened().await;
    let events = storage.events(all_events()).await.answer().items;
    expect_eq!(events, [event(1)], "events after a reopening");
    let found = storage.deliveries(everything()).await.answer().items;
    expect_eq!(found, before, "deliveries after a reopening");
    let found = storage.attempts(taken.lease.delivery).await.answer();
    expect_eq!(found, log, "the log of a delivery after a reopening");
    let found = storage.cursors(vec!["k".to_owned()]).await.answer();
    expect_eq!(found, [Some("v".to_owned())], "a cursor after a reopening");
    let again = take(&*storage, at(50), 9).await;
    let again = again.iter().find(|claimed| claimed.lease.delivery == taken.lease.delivery);
    let again = again.map(|claimed| (claimed.delivery.attempts, &claimed.payload));
    expect_eq!(again, Some((2, &taken.payload)), "attempts and payload after a reopening");
}

pub(super) async fn rule_02_leases_come_back_after_a_reopening(storage: Subject) {
    storage.record((1..=5).map(|n| record(n, &[1])).collect()).await.answer();
    take(&*storage, at(10), 3).await;
    let storage = storage.reopened().await;
    let taken = take(&*storage, at(10) + MINUTE, 9).await.len();
    expect_eq!(taken, 5, "deliveries that can be claimed a lease after a crash");
}

pub(super) async fn rule_03_what_was_under_way_is_there_whole_or_not_after_a_reopening(
    storage: Subject,
) {
    storage.record(vec![record(99, &[1, 2])]).await.answer();
    for n in 0..20 {
        // Polled once and dropped: the crash comes while it is under way.
        let _ = storage.record(vec![record(n, &[1, 2])]).now_or_never();
        let _ = storage.claim(claim(at(100), 1)).now_or_never();
    }
    let storage = storage.reopened().await;
    let deliveries = storage.deliveries(everything()).await.answer().items;
    for n in (0..20).chain([99]) {
        let told = storage.events(all_events().with_id(event(n).id)).await.answer().items.len();
        let made = deliveries.iter().filter(|one| one.event == event(n).id).count();
        expect_eq!(made, 2 * told, "deliveries of an event of two that was under way at a crash");
    }
    let taken = take(&*storage, at(100) + MINUTE, 100).await.len();
    expect_eq!(taken, deliveries.len(), "deliveries that can be claimed a lease after a crash");
    let leased = states(&*storage).await;
    expect_eq!(leased, vec![StateName::Leased; taken], "what was claimed after a crash");
}

pub(super) async fn rule_02_triggers_and_their_changes_are_there_after_a_reopening(
    storage: Subject,
) {
    let (one, other) = (trigger(1, "one"), trigger(2, "other"));
    for trigger in [&one, &other] {
        storage.write_trigger(TriggerWrite::Create(trigger.clone())).await.answer();
    }
    let last = storage.trigger_changes(0, 9).await.answer().last().map(|change| change.sequence);
    let last = last.expect("changes were made");
    let storage = storage.reopened().await;
    let told = storage.trigger_changes(0, 9).await.answer();
    let found: Vec<_> = told.into_iter().map(|change| change.trigger).collect();
    let expected = [one.clone(), other].map(TriggerState::Stored);
    expect_eq!(found, expected, "triggers after a reopening");
    let changed = std::sync::Arc::new(one.changed(spec("new"), None, at(1)));
    storage.write_trigger(TriggerWrite::Update(changed.clone())).await.answer();
    let told = storage.trigger_changes(last, 9).await.answer();
    let found: Vec<_> = told.into_iter().map(|change| change.trigger).collect();
    let expected = [TriggerState::Stored(changed)];
    expect_eq!(found, expected, "what changed since, to who followed from before the crash");
}
