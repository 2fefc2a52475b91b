//! Rules 7 and 8: what a claim gives, to whom it leases it, and what it tells of the rest.

use super::samples::{
    MINUTE, at, claim, endpoint, everything, record, settle_one, take, trigger_id,
};
use super::{Answer as _, Subject, expect_eq};
use crate::clock::Timestamp;
use crate::delivery::{CancelReason, Claimed, DeadReason, Lease, Settlement, State};
use crate::id::DeliveryId;
use crate::storage::{Claim, ClaimOf};

fn ids(claimed: &[Claimed]) -> Vec<DeliveryId> {
    let mut ids: Vec<_> = claimed.iter().map(|one| one.delivery.id).collect();
    ids.sort_unstable();
    ids
}

fn id_of(n: u32, trigger: u8) -> DeliveryId {
    record(n, &[trigger]).deliveries[0].0.id
}

pub(super) async fn rule_07_what_is_waiting_and_due_is_given_once(storage: Subject) {
    storage.record((1..=9).map(|n| record(n, &[1])).collect()).await.answer();
    let settlements = [
        Settlement::Delivered,
        Settlement::Dead(DeadReason::Exhausted),
        Settlement::Cancelled(CancelReason::TriggerDeleted),
        Settlement::Parked,
        Settlement::Retry { at: at(50) },
    ];
    let taken = take(&*storage, at(5), 9).await;
    expect_eq!(taken.len(), 5, "deliveries that are due in second 5");
    for (claimed, settlement) in taken.iter().zip(settlements) {
        settle_one(&*storage, claimed.lease, settlement).await;
    }
    let first = ids(&take(&*storage, at(7), 1).await);
    let second = ids(&take(&*storage, at(7), 9).await);
    let mut both = [first, second].concat();
    both.sort_unstable();
    let mut expected = [6, 7].map(|n| id_of(n, 1));
    expected.sort_unstable();
    expect_eq!(both, expected, "what two claims give of what is waiting and due in second 7");
    let none = take(&*storage, at(7), 9).await.len();
    expect_eq!(none, 0, "deliveries that a third claim gives in the same second");
    let late: Vec<_> = take(&*storage, at(55), 9).await;
    let mut expected = [5, 8, 9].map(|n| id_of(n, 1));
    expected.sort_unstable();
    expect_eq!(ids(&late), expected, "what is waiting and due in second 55");
}

pub(super) async fn rule_07_a_quota_bounds_what_an_endpoint_gets(storage: Subject) {
    storage.record((0..10).map(|n| record(n, &[1, 2, 3])).collect()).await.answer();
    let mut asked = claim(at(4), 100);
    asked.per_endpoint = 2;
    asked.quotas = vec![(endpoint(2), 0), (endpoint(3), 3)];
    let claims = storage.claim(asked).await.answer();
    let count =
        |n: u8| claims.deliveries.iter().filter(|c| c.delivery.trigger == trigger_id(n)).count();
    let found = (count(1), count(2), count(3));
    expect_eq!(found, (2, 0, 3), "what three endpoints get whose quotas are 2, 0 and 3");
    let rest = take(&*storage, at(4), 100).await.len();
    expect_eq!(rest, 15 - 5, "what a claim without quotas gives of the rest");
}

pub(super) async fn rule_07_the_longest_due_of_an_endpoint_come_first(storage: Subject) {
    storage.record([5, 2, 8, 1, 9].map(|n| record(n, &[1])).to_vec()).await.answer();
    let mut order = Vec::new();
    for limit in [2, 3] {
        let taken = take(&*storage, at(100), limit).await;
        order.extend(taken.iter().map(|claimed| claimed.delivery.created_at));
    }
    expect_eq!(order, [1, 2, 5, 8, 9].map(at), "when those were due that two claims gave");
}

pub(super) async fn rule_07_what_is_left_is_told(storage: Subject) {
    let left = async |asked: Claim| {
        let claims = storage.claim(asked).await.answer();
        (claims.deliveries.len(), claims.next_due, claims.held_back)
    };
    let nothing = (0, None, false);
    expect_eq!(left(claim(at(0), 9)).await, nothing, "(given, next due, held back) of nothing");
    storage.record(vec![record(1, &[1, 2]), record(2, &[2]), record(7, &[3])]).await.answer();
    storage.record(vec![record(5, &[1, 2])]).await.answer();
    let mut asked = claim(at(3), 9);
    asked.per_endpoint = 1;
    let found = left(asked).await;
    let words = "(given, next due, held back), with a quota of 1 that holds one back, and one of \
                 another endpoint to come in second 5";
    expect_eq!(found, (2, Some(at(5)), true), "{words}");
    let found = left(claim(at(3), 9)).await;
    expect_eq!(found, (1, Some(at(5)), false), "(given, next due, held back), without quotas");
    let mut asked = claim(at(4), 9);
    asked.quotas = vec![(endpoint(1), 0), (endpoint(2), 0)];
    let found = left(asked).await;
    expect_eq!(found, (0, Some(at(7)), false), "(given, next due, held back), two being skipped");
    let found = left(claim(at(10), 9)).await;
    let words = "(given, next due, held back), with leases that run out from second 63 on";
    expect_eq!(found, (3, Some(at(63)), false), "{words}");
}

pub(super) async fn rule_07_a_claim_of_one_gives_that_one_if_it_is_due(storage: Subject) {
    storage.record(vec![record(1, &[1, 2])]).await.answer();
    let wanted = record(1, &[2]).deliveries[0].0.id;
    let one = async |now: Timestamp| {
        let mut asked = Claim { of: ClaimOf::One(wanted), ..claim(now, 9) };
        asked.quotas = vec![(endpoint(2), 0)];
        ids(&storage.claim(asked).await.answer().deliveries)
    };
    expect_eq!(one(at(0)).await, [], "what is given of one that is not due");
    expect_eq!(one(at(1)).await, [wanted], "what is given of one that is due, whatever the quotas");
    expect_eq!(one(at(2)).await, [], "what is given of one whose lease lasts");
    expect_eq!(one(at(61)).await, [wanted], "what is given of one whose lease ran out");
}

pub(super) async fn rule_07_a_claim_gives_what_came_due_by_a_time(storage: Subject) {
    storage.record((1..=5).map(|n| record(n, &[1])).collect()).await.answer();
    let earlier = Claim { due_by: at(2), ..claim(at(9), 9) };
    let taken = storage.claim(earlier).await.answer().deliveries;
    let created: Vec<_> = taken.iter().map(|claimed| claimed.delivery.created_at).collect();
    expect_eq!(created, [1, 2].map(at), "when those were due that are given in second 9, due by 2");
    let until: Vec<_> = taken.iter().map(|claimed| claimed.delivery.state.clone()).collect();
    let lease = State::Leased { until: at(9) + MINUTE };
    expect_eq!(until, [lease.clone(), lease], "how long they are leased, from now on");
    let later = Claim { due_by: at(4), ..claim(at(3), 9) };
    let taken = storage.claim(later).await.answer().deliveries.len();
    expect_eq!(taken, 2, "deliveries that are given in second 3, due by 4");
}

pub(super) async fn rule_08_a_claim_counts_and_leases_and_a_lost_lease_is_given_anew(
    storage: Subject,
) {
    storage.record(vec![record(1, &[1])]).await.answer();
    let first = take(&*storage, at(10), 1).await.remove(0);
    expect_eq!(first.delivery.attempts, 1, "attempts that a first claim counts");
    expect_eq!(first.delivery.state, State::Leased { until: at(70) }, "the state of what is given");
    expect_eq!(first.due, at(1), "since when it could be claimed");
    let stored = storage.deliveries(everything()).await.answer().items;
    expect_eq!(stored.first(), Some(&first.delivery), "what is stored, and what was given");
    let none = take(&*storage, at(69), 1).await.len();
    expect_eq!(none, 0, "deliveries that are given before their lease runs out");
    let taken = take(&*storage, at(70), 1).await;
    expect_eq!(taken.len(), 1, "deliveries that are given once their lease has run out");
    let second = &taken[0];
    expect_eq!(second.delivery.attempts, 2, "attempts that a second claim counts");
    expect_eq!(second.due, at(70), "since when it could be claimed again");
    let Lease { token, .. } = first.lease;
    assert!(
        second.lease.token > token,
        "the token of a second claim: expected more than {token}, found {}",
        second.lease.token
    );
    expect_eq!(second.payload, first.payload, "what is sent again");
    expect_eq!(second.delivery.message_id, first.delivery.message_id, "the id it is sent under");
}
