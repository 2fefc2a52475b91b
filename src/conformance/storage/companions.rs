//! Rule 16: claims of what may go in one request with others.

use super::samples::{again, at, batched, claim, companions, event, everything, settle_one, take};
use super::{Answer as _, Subject, expect_eq};
use crate::clock::Timestamp;
use crate::delivery::{Claimed, DeadReason, EndpointKey, Lease, Settlement};
use crate::storage::{Claim, ClaimOf, Companions, Settled, Storage};

/// Claims companions and tells the numbers of their events, with their leases.
async fn take_companions(
    storage: &dyn Storage,
    now: Timestamp,
    asked: Vec<Companions>,
) -> (Vec<u32>, Vec<Lease>) {
    let of = ClaimOf::Companions(asked);
    let claims = storage.claim(Claim { of, ..claim(now, 100) }).await.answer();
    expect_eq!(claims.next_due, None, "when the next is due, which a claim of endpoints tells");
    let number = |claimed: &Claimed| {
        (0..100).find(|n| event(*n).id == claimed.delivery.event).expect("it is one of them")
    };
    let taken = claims.deliveries.iter();
    taken.map(|claimed| (number(claimed), claimed.lease)).unzip()
}

pub(super) async fn rule_16_companions_are_of_one_trigger_and_endpoint_and_may_not_be_due(
    storage: Subject,
) {
    let mut alone = batched(4, &[1], at(10));
    alone.deliveries[0].0.batched = false;
    let mut elsewhere = batched(5, &[1], at(10));
    elsewhere.deliveries[0].0.endpoint = EndpointKey::new("https://other.example");
    let records = vec![
        batched(1, &[1, 2], at(30)),
        batched(2, &[1, 2], at(20)),
        batched(3, &[1, 2], at(31)),
        alone,
        elsewhere,
    ];
    storage.record(records).await.answer();
    let all = || vec![companions(1, at(30), 9)];
    let (taken, leases) = take_companions(&*storage, at(10), all()).await;
    expect_eq!(taken, [2, 1], "companions due by second 30, the longest due first");
    let (again, _) = take_companions(&*storage, at(10), all()).await;
    expect_eq!(again, [0_u32; 0], "companions while their leases last");
    let answer = settle_one(&*storage, leases[0], Settlement::Delivered).await;
    expect_eq!(answer, Settled::Done, "the lease of a companion");
    let waiting = take(&*storage, at(10), 9).await.len();
    expect_eq!(waiting, 2, "what is no companion and due");
    let late = take(&*storage, at(70), 9).await;
    expect_eq!(late.len(), 7, "what is due later, with what was leased as a companion");
    let found = late.iter().find(|claimed| claimed.lease.delivery == leases[1].delivery);
    let found = found.map(|c| (c.lease.token > leases[1].token, c.delivery.attempts));
    expect_eq!(found, Some((true, 2)), "whether its token is later, and its attempts");
}

pub(super) async fn rule_16_what_was_attempted_is_no_companion_before_it_is_due(storage: Subject) {
    storage.record((1..5).map(|n| batched(n, &[1], at(n.into()))).collect()).await.answer();
    for claimed in take(&*storage, at(2), 9).await {
        settle_one(&*storage, claimed.lease, Settlement::Retry { at: at(50) }).await;
    }
    let first = take(&*storage, at(3), 9).await[0].lease;
    settle_one(&*storage, first, Settlement::Released { at: at(60) }).await;
    let (taken, leases) = take_companions(&*storage, at(49), vec![companions(1, at(90), 9)]).await;
    let words = "companions: one that was released and so not attempted, then one that is due";
    expect_eq!(taken, [3, 4], "{words}");
    for lease in leases {
        settle_one(&*storage, lease, Settlement::Released { at: at(45) }).await;
    }
    let (taken, _) = take_companions(&*storage, at(50), vec![companions(1, at(90), 3)]).await;
    let mut tried: Vec<u32> = taken.iter().copied().take(2).collect();
    tried.sort_unstable();
    expect_eq!(tried, [1, 2], "the first companions, which were attempted");
    expect_eq!(taken.len(), 3, "companions, with one that was not attempted");
}

pub(super) async fn rule_16_companions_fit_their_number_and_bytes(storage: Subject) {
    let of_size = |n: u32, bytes: usize| {
        let mut record = batched(n, &[1, 2], at(n.into()));
        for (_, payload) in &mut record.deliveries {
            payload.body = vec![b'x'; bytes].into();
        }
        record
    };
    let records = [(1, 40), (2, 60), (3, 30), (4, 10)].map(|(n, bytes)| of_size(n, bytes)).to_vec();
    storage.record(records).await.answer();
    let ask =
        |trigger, limit, max_bytes| Companions { max_bytes, ..companions(trigger, at(90), limit) };
    let (none, _) = take_companions(&*storage, at(0), vec![ask(1, 9, 39)]).await;
    expect_eq!(none, [0_u32; 0], "companions behind a first one that does not fit");
    let asked = vec![ask(1, 9, 129), ask(2, 1, 999)];
    let (taken, _) = take_companions(&*storage, at(0), asked).await;
    expect_eq!(taken, [1, 2, 1], "companions of two requests, by their bytes and their number");
    let of = ClaimOf::Companions(vec![ask(1, 1, 30), ask(2, 9, 999)]);
    let both = storage.claim(Claim { of, ..claim(at(0), 3) }).await.answer();
    let bodies: Vec<usize> = both.deliveries.iter().map(|c| c.payload.body.len()).collect();
    expect_eq!(bodies, [30, 60, 30], "the sizes of companions, three being asked for in all");
}

pub(super) async fn rule_16_what_was_replayed_may_go_with_others_and_what_is_done_does_not(
    storage: Subject,
) {
    storage.record((1..4).map(|n| batched(n, &[1], at(1))).collect()).await.answer();
    let (_, leases) = take_companions(&*storage, at(1), vec![companions(1, at(1), 9)]).await;
    expect_eq!(leases.len(), 3, "companions that are due");
    settle_one(&*storage, leases[0], Settlement::Delivered).await;
    settle_one(&*storage, leases[1], Settlement::Parked).await;
    settle_one(&*storage, leases[2], Settlement::Dead(DeadReason::Exhausted)).await;
    let all = || vec![companions(1, at(900), 9)];
    let (taken, _) = take_companions(&*storage, at(500), all()).await;
    expect_eq!(taken, [0_u32; 0], "companions among what is done");
    let replayed = storage.replay(again(everything(), at(700))).await.answer().len();
    expect_eq!(replayed, 2, "what is replayed");
    let (taken, _) = take_companions(&*storage, at(500), all()).await;
    expect_eq!(taken.len(), 2, "companions that were replayed");
}
