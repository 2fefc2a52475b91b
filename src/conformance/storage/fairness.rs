//! Rule 7: endpoints take turns.

use std::collections::HashSet;

use super::samples::{at, claim, record, take, trigger_id};
use super::{Answer as _, Subject, expect_eq};
use crate::storage::Record;

pub(super) async fn rule_07_endpoints_take_turns(storage: Subject) {
    let many: Vec<Record> = (0..50).map(|n| record(n, &[1])).collect();
    storage.record(many).await.answer();
    storage.record(vec![record(60, &[2]), record(61, &[3])]).await.answer();
    let mut asked = claim(at(100), 4);
    asked.per_endpoint = 3;
    let mut served = HashSet::new();
    for _ in 0..3 {
        for claimed in storage.claim(asked.clone()).await.answer().deliveries {
            served.insert(claimed.delivery.trigger);
        }
    }
    expect_eq!(served.len(), 3, "endpoints that are served beside one with a long backlog");
}

pub(super) async fn rule_07_no_endpoint_has_two_turns_in_a_round(storage: Subject) {
    storage.record((0..4).map(|n| record(n, &[1, 2, 3])).collect()).await.answer();
    for n in 0..4 {
        let mut round = Vec::new();
        for _ in 0..3 {
            round.extend(take(&*storage, at(100), 1).await.iter().map(|c| c.delivery.trigger));
        }
        round.sort_unstable();
        expect_eq!(round, [1, 2, 3].map(trigger_id), "who is served in round {n}");
    }
}
