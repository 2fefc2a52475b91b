//! What rules promise among nodes that share a storage.

use std::sync::Arc;

use super::many::{claims_are_disjoint, feed_is_followed, moves_once};
use super::samples::{at, record, settle_one, spec, states, take, trigger};
use super::{Answer as _, Subject, expect_eq};
use crate::delivery::{Settlement, StateName};
use crate::storage::{Settled, TriggerState, TriggerWrite};

/// How many share it.
const NODES: usize = 3;

pub(super) async fn rule_05_a_cursor_is_moved_once_among_nodes(storage: Subject) {
    moves_once(&storage.nodes(NODES).await).await;
}

pub(super) async fn rule_07_what_nodes_claim_is_disjoint(storage: Subject) {
    claims_are_disjoint(&storage.nodes(NODES).await).await;
}

pub(super) async fn rule_09_a_lease_that_another_node_took_over_settles_nothing(storage: Subject) {
    let nodes = storage.nodes(2).await;
    let (one, other) = (&*nodes[0], &*nodes[1]);
    one.record(vec![record(1, &[1])]).await.answer();
    let lost = take(one, at(10), 1).await.remove(0).lease;
    let none = take(other, at(69), 1).await.len();
    expect_eq!(none, 0, "deliveries that a node gets while another one's lease lasts");
    let held = take(other, at(70), 1).await;
    expect_eq!(held.len(), 1, "deliveries that a node gets once another one's lease ran out");
    let (token, before) = (held[0].lease.token, lost.token);
    assert!(token > before, "another node's token: expected more than {before}, found {token}");
    let answer = settle_one(one, lost, Settlement::Delivered).await;
    expect_eq!(answer, Settled::LeaseLost, "the lease that another node took over");
    let answer = settle_one(other, held[0].lease, Settlement::Delivered).await;
    expect_eq!(answer, Settled::Done, "the lease of the node that has it");
    expect_eq!(states(one).await, [StateName::Delivered], "what the other node settled");
}

pub(super) async fn rule_12_a_node_follows_the_changes_of_others(storage: Subject) {
    let nodes = storage.nodes(NODES).await;
    let one = trigger(200, "one");
    nodes[0].write_trigger(TriggerWrite::Create(one.clone())).await.answer();
    let told = nodes[1].trigger_changes(0, 9).await.answer();
    let states: Vec<_> = told.iter().map(|change| change.trigger.clone()).collect();
    expect_eq!(states, [TriggerState::Stored(one.clone())], "what another node created");
    let changed = Arc::new(one.changed(spec("two"), None, at(1)));
    nodes[1].write_trigger(TriggerWrite::Update(changed.clone())).await.answer();
    let told = nodes[0].trigger_changes(told[0].sequence, 9).await.answer();
    let states: Vec<_> = told.iter().map(|change| change.trigger.clone()).collect();
    expect_eq!(states, [TriggerState::Stored(changed)], "what another node changed");
    nodes[2].write_trigger(TriggerWrite::Delete(one.id)).await.answer();
    let told = nodes[1].trigger_changes(told[0].sequence, 9).await.answer();
    let states: Vec<_> = told.iter().map(|change| change.trigger.clone()).collect();
    expect_eq!(states, [TriggerState::Deleted], "what another node deleted");
    feed_is_followed(&nodes).await;
}
