//! Rule 16: claims of what may go in one request with others.

use artifact_triggers::delivery::{DeadReason, State};

use super::*;

/// An event with a delivery to each of some triggers, all with one endpoint, that may go in one
/// request with others and is due at a time.
pub(crate) fn batched(n: u32, triggers: &[u8], due: Timestamp) -> Record {
    let mut record = record(n, triggers);
    for (delivery, _) in &mut record.deliveries {
        delivery.batched = true;
        delivery.endpoint = EndpointKey::new("https://shared.example");
        delivery.state = State::Waiting { due };
    }
    record
}

/// Asks for companions of a trigger to that endpoint.
pub(crate) fn companions(trigger: u8, until: Timestamp, limit: usize) -> Companions {
    Companions {
        trigger: trigger_id(trigger),
        endpoint: EndpointKey::new("https://shared.example"),
        until,
        limit,
        max_bytes: usize::MAX,
    }
}

/// Claims companions and tells the numbers of their events, with their leases.
async fn take_companions(
    storage: &dyn Storage,
    now: Timestamp,
    asked: Vec<Companions>,
) -> (Vec<u32>, Vec<Lease>) {
    let of = ClaimOf::Companions(asked);
    let claims = storage.claim(Claim { of, ..claim(now, 100) }).await.unwrap();
    assert_eq!(claims.next_due, None);
    let number = |claimed: &Claimed| {
        (0..100).find(|n| event(*n).id == claimed.delivery.event).expect("it is one of them")
    };
    let taken = claims.deliveries.iter();
    taken.map(|claimed| (number(claimed), claimed.lease)).unzip()
}

pub(crate) async fn rule_16_companions_are_of_one_trigger_and_endpoint_and_may_not_be_due(
    storage: &dyn Storage,
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
    storage.record(records).await.unwrap();
    let (taken, leases) = take_companions(storage, at(10), vec![companions(1, at(30), 9)]).await;
    assert_eq!(taken, [2, 1], "the longest due first, and none of the others");
    let (again, _) = take_companions(storage, at(10), vec![companions(1, at(30), 9)]).await;
    assert_eq!(again, [0_u32; 0], "their leases last");
    assert_eq!(settle_one(storage, leases[0], Settlement::Delivered).await, Settled::Done);
    let waiting = take(storage, at(10), 9).await;
    assert_eq!(waiting.len(), 2, "what is no companion is claimed when it is due");
    let late = take(storage, at(70), 9).await;
    assert_eq!(late.len(), 7, "and a lease that ran out is given anew");
    let lease = late.iter().find(|claimed| claimed.lease.delivery == leases[1].delivery).unwrap();
    assert!(lease.lease.token > leases[1].token && lease.delivery.attempts == 2);
    assert_eq!(settle_one(storage, leases[1], Settlement::Delivered).await, Settled::LeaseLost);
}

pub(crate) async fn rule_16_what_was_attempted_is_no_companion_before_it_is_due(
    storage: &dyn Storage,
) {
    let numbers = 1..5;
    storage.record(numbers.map(|n| batched(n, &[1], at(n.into()))).collect()).await.unwrap();
    for claimed in take(storage, at(2), 9).await {
        settle_one(storage, claimed.lease, Settlement::Retry { at: at(50) }).await;
    }
    let first = take(storage, at(3), 9).await[0].lease;
    settle_one(storage, first, Settlement::Released { at: at(60) }).await;
    let (taken, leases) = take_companions(storage, at(49), vec![companions(1, at(90), 9)]).await;
    assert_eq!(
        taken,
        [3, 4],
        "one that was released was not attempted; what is due could go without"
    );
    for lease in leases {
        settle_one(storage, lease, Settlement::Released { at: at(45) }).await;
    }
    let (taken, _) = take_companions(storage, at(50), vec![companions(1, at(90), 3)]).await;
    let (mut tried, new) = (taken[..2].to_vec(), taken[2]);
    tried.sort_unstable();
    assert_eq!(tried, [1, 2], "what was attempted goes first");
    assert!(new > 2, "{taken:?}");
}

pub(crate) async fn rule_16_companions_fit_their_number_and_bytes(storage: &dyn Storage) {
    let of_size = |n: u32, bytes: usize| {
        let mut record = batched(n, &[1, 2], at(n.into()));
        record
            .deliveries
            .iter_mut()
            .for_each(|(_, payload)| payload.body = vec![b'x'; bytes].into());
        record
    };
    let records = [(1, 40), (2, 60), (3, 30), (4, 10)].map(|(n, bytes)| of_size(n, bytes)).to_vec();
    storage.record(records).await.unwrap();
    let ask =
        |trigger, limit, max_bytes| Companions { max_bytes, ..companions(trigger, at(90), limit) };
    let (none, _) = take_companions(storage, at(0), vec![ask(1, 9, 39)]).await;
    assert_eq!(none, [0_u32; 0], "what is behind the first that does not fit waits with it");
    let asked = vec![ask(1, 9, 129), ask(2, 1, 999)];
    assert_eq!(take_companions(storage, at(0), asked).await.0, [1, 2, 1]);
    let of = ClaimOf::Companions(vec![ask(1, 1, 30), ask(2, 9, 999)]);
    let both = storage.claim(Claim { of, ..claim(at(0), 3) }).await.unwrap();
    let bodies: Vec<usize> = both.deliveries.iter().map(|c| c.payload.body.len()).collect();
    assert_eq!(bodies, [30, 60, 30], "as many as the claim asks for in all");
}

pub(crate) async fn rule_16_what_was_replayed_may_go_with_others_and_what_is_done_does_not(
    storage: &dyn Storage,
) {
    storage.record((1..4).map(|n| batched(n, &[1], at(1))).collect()).await.unwrap();
    let (_, leases) = take_companions(storage, at(1), vec![companions(1, at(1), 9)]).await;
    settle_one(storage, leases[0], Settlement::Delivered).await;
    settle_one(storage, leases[1], Settlement::Parked).await;
    settle_one(storage, leases[2], Settlement::Dead(DeadReason::Exhausted)).await;
    let all = || vec![companions(1, at(900), 9)];
    assert_eq!(take_companions(storage, at(500), all()).await.0.len(), 0);
    assert_eq!(storage.replay(again(everything(), at(700))).await.unwrap().len(), 2);
    assert_eq!(take_companions(storage, at(500), all()).await.0.len(), 2);
}
