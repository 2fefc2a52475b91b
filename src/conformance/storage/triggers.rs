//! Rules 11 and 12: triggers, their revisions and the feed of their changes.

use std::sync::Arc;

use super::samples::{at, spec, trigger};
use super::{Answer as _, Subject, expect_eq};
use crate::storage::{StorageError, TriggerState, TriggerWrite};
use crate::trigger::Trigger;

/// What a refused write is refused with, or that it was not.
fn refusal(answer: Result<(), StorageError>) -> &'static str {
    match answer {
        Ok(()) => "none",
        Err(StorageError::Conflict { .. }) => "Conflict",
        Err(StorageError::NotFound { .. }) => "NotFound",
        Err(error) => panic!("expected an answer, found the error {error:?}"),
    }
}

pub(super) async fn rule_11_revisions_and_names_are_compared(storage: Subject) {
    let write = async |write: TriggerWrite| refusal(storage.write_trigger(write).await);
    let first = trigger(1, "a");
    let create = |n, name: &str| TriggerWrite::Create(trigger(n, name));
    let update = |from: &Trigger, name: &str| {
        TriggerWrite::Update(Arc::new(from.changed(spec(name), None, at(1))))
    };
    expect_eq!(write(update(&first, "a")).await, "NotFound", "an update of what is not there");
    expect_eq!(write(create(1, "a")).await, "none", "a trigger that is new");
    expect_eq!(write(create(1, "b")).await, "Conflict", "one whose id is taken");
    expect_eq!(write(create(2, "a")).await, "Conflict", "one whose name is taken in its scope");
    expect_eq!(write(update(&first, "b")).await, "none", "an update from revision 1");
    expect_eq!(write(update(&first, "c")).await, "Conflict", "another update from revision 1");
    expect_eq!(write(create(2, "a")).await, "none", "one whose name is free again");
    let renamed = trigger(2, "a");
    expect_eq!(write(update(&renamed, "b")).await, "Conflict", "an update to a name that is taken");
    expect_eq!(write(TriggerWrite::Delete(first.id)).await, "none", "a deletion");
    expect_eq!(write(TriggerWrite::Delete(first.id)).await, "NotFound", "a second deletion");
    expect_eq!(write(create(3, "b")).await, "none", "one that takes a deleted one's name");
}

pub(super) async fn rule_12_the_feed_tells_the_last_change_of_each_trigger(storage: Subject) {
    let (a, b, c) = (trigger(1, "a"), trigger(2, "b"), trigger(3, "c"));
    for one in [&a, &b, &c] {
        storage.write_trigger(TriggerWrite::Create(one.clone())).await.answer();
    }
    let changed = Arc::new(a.changed(spec("a2"), None, at(1)));
    storage.write_trigger(TriggerWrite::Update(changed.clone())).await.answer();
    storage.write_trigger(TriggerWrite::Delete(b.id)).await.answer();
    let mut told = Vec::new();
    let mut after = 0;
    loop {
        let page = storage.trigger_changes(after, 2).await.answer();
        let Some(last) = page.last() else { break };
        let rises = page.iter().map(|change| change.sequence).is_sorted_by(|a, b| a < b);
        assert!(rises && page[0].sequence > after, "expected rising numbers, found {page:?}");
        after = last.sequence;
        told.extend(page.into_iter().map(|change| (change.id, change.trigger)));
    }
    let expected = [
        (c.id, TriggerState::Stored(c)),
        (a.id, TriggerState::Stored(changed)),
        (b.id, TriggerState::Deleted),
    ];
    expect_eq!(told, expected, "the changes from 0 on, page by page");
    let rest = storage.trigger_changes(after, 10).await.answer();
    assert!(rest.is_empty(), "changes behind the last: expected none, found {rest:?}");
}
