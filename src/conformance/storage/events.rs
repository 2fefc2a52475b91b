//! Rules 4 to 6: what `record` stores, and what it leaves.

use std::sync::Arc;

use super::samples::{all_events, at, everything, record, set, take};
use super::{Answer as _, Subject, expect_eq};
use crate::storage::{CursorMove, Record, Recorded};

pub(super) async fn rule_04_an_event_is_stored_once(storage: Subject) {
    let mut moved = record(1, &[1, 2]);
    moved.cursors = vec![set("k", None, Some("v"))];
    let answers = storage.record(vec![record(1, &[1]), record(1, &[1]), moved]).await.answer();
    let expected = [Recorded::Stored, Recorded::Duplicate, Recorded::Duplicate];
    expect_eq!(answers, expected, "one event three times in a batch");
    let again = storage.record(vec![record(1, &[1, 2, 3])]).await.answer();
    expect_eq!(again, [Recorded::Duplicate], "the event once more");
    let deliveries = storage.deliveries(everything()).await.answer().items.len();
    expect_eq!(deliveries, 1, "deliveries, none of them a duplicate's");
    let cursors = storage.cursors(vec!["k".to_owned()]).await.answer();
    expect_eq!(cursors, [None], "the cursor that a duplicate was to move");
    let events = storage.events(all_events()).await.answer().items.len();
    expect_eq!(events, 1, "events");
}

pub(super) async fn rule_04_a_record_without_an_event_stores_the_rest(storage: Subject) {
    storage.record(vec![record(1, &[1])]).await.answer();
    let later = Record { event: None, ..record(1, &[1, 2]) };
    let moved = Record::of_cursors(vec![set("k", None, Some("v"))]);
    let answers = storage.record(vec![later.clone(), moved, later]).await.answer();
    expect_eq!(answers, [Recorded::Stored; 3], "records without an event");
    let deliveries = storage.deliveries(everything()).await.answer().items.len();
    expect_eq!(deliveries, 2, "the delivery that was there and the one that is new");
    let cursors = storage.cursors(vec!["k".into()]).await.answer();
    expect_eq!(cursors, [Some("v".to_owned())], "the cursor that was moved once");
}

pub(super) async fn rule_05_a_cursor_that_moved_stops_the_record(storage: Subject) {
    let with = |n, cursors| Record { cursors, ..record(n, &[1]) };
    let first =
        vec![set("a/1", None, Some("x")), set("a/2", None, Some("y")), set("b", None, Some("z"))];
    let second = vec![set("b", Some("z"), None), set("a/1", Some("wrong"), Some("w"))];
    let third =
        vec![set("a/1", Some("x"), Some("w")), CursorMove::RemoveBelow { prefix: "a/2".into() }];
    let alone = Record::of_cursors(vec![set("b", None, Some("again"))]);
    let records = vec![with(1, first), with(2, second), with(3, third), alone];
    let answers = storage.record(records).await.answer();
    let (stored, moved) = (Recorded::Stored, Recorded::CursorMoved);
    let words = "four records, of which the second and the last expect what is not there";
    expect_eq!(answers, [stored, moved, stored, moved], "{words}");
    let keys = ["a/1", "a/2", "b", "c"].map(str::to_owned).to_vec();
    let values = storage.cursors(keys).await.answer();
    let expected = [Some("w".to_owned()), None, Some("z".to_owned()), None];
    expect_eq!(values, expected, "the cursors a/1, a/2, b and c");
    let events = storage.events(all_events()).await.answer().items.len();
    expect_eq!(events, 2, "events, without that of the record that was stopped");
    let deliveries = storage.deliveries(everything()).await.answer().items.len();
    expect_eq!(deliveries, 2, "deliveries, without that of the record that was stopped");
}

pub(super) async fn rule_05_removing_below_a_prefix_takes_it_literally(storage: Subject) {
    let keys = ["a%b/1", "a_b/1", "axb/1", "a%b", "a%c"];
    let cursors = keys.iter().map(|key| set(key, None, Some("v"))).collect();
    let removal = vec![CursorMove::RemoveBelow { prefix: "a%b/".into() }];
    let records =
        vec![Record { cursors, ..record(1, &[]) }, Record { cursors: removal, ..record(2, &[]) }];
    storage.record(records).await.answer();
    let left = storage.cursors(keys.map(str::to_owned).to_vec()).await.answer();
    let left: Vec<bool> = left.iter().map(Option::is_some).collect();
    let expected = [false, true, true, true, true];
    expect_eq!(left, expected, "whether {keys:?} are there after the removal below a%b/");
}

pub(super) async fn rule_06_a_delivery_is_stored_once(storage: Subject) {
    storage.record(vec![record(1, &[1])]).await.answer();
    let mut deliveries = record(1, &[1, 2]).deliveries;
    deliveries[0].1.body = Arc::from(*b"another");
    let second = Record { deliveries, ..record(2, &[]) };
    let answer = storage.record(vec![second]).await.answer();
    expect_eq!(answer, [Recorded::Stored], "a record with one known delivery and a new one");
    let taken = take(&*storage, at(10), 9).await;
    expect_eq!(taken.len(), 2, "deliveries, the known one and the new one");
    let known = &record(1, &[1]).deliveries[0];
    let found = taken.iter().find(|claimed| claimed.delivery.id == known.0.id);
    let found = found.map(|claimed| &claimed.payload);
    expect_eq!(found, Some(&known.1), "what the known delivery sends");
}
