//! Rules 9 and 10: who may settle, and what a settlement writes.

use super::samples::{
    MINUTE, again, all_events, at, batched, claim, companions, event, everything, record, set,
    settle, settle_one, states, take,
};
use super::{Answer as _, Subject, expect_eq};
use crate::action::RunRef;
use crate::delivery::{
    Attempt, CancelReason, DeadReason, Lease, Outcome, Settlement, State, StateName,
};
use crate::storage::{Claim, ClaimOf, Record, Settle, Settled};

pub(super) async fn rule_09_a_lost_lease_settles_nothing(storage: Subject) {
    storage.record(vec![record(1, &[1])]).await.answer();
    let lost = take(&*storage, at(10), 1).await.remove(0).lease;
    let held = take(&*storage, at(100), 1).await.remove(0).lease;
    let answer = settle_one(&*storage, lost, Settlement::Delivered).await;
    expect_eq!(answer, Settled::LeaseLost, "the lease that another claim followed");
    expect_eq!(states(&*storage).await, [StateName::Leased], "what the lost lease left");
    // It ran out long ago, but nobody else has it.
    let answer = settle_one(&*storage, held, Settlement::Delivered).await;
    expect_eq!(answer, Settled::Done, "a lease that ran out and was given to nobody else");
    let answer = settle_one(&*storage, held, Settlement::Cancelled(CancelReason::Discarded)).await;
    expect_eq!(answer, Settled::LeaseLost, "a lease that is settled already");
    expect_eq!(states(&*storage).await, [StateName::Delivered], "what was settled first");
    let log = storage.attempts(held.delivery).await.answer().len();
    expect_eq!(log, 1, "attempts in the log, without those that were not settled");
}

pub(super) async fn rule_09_a_lost_lease_logs_and_records_nothing(storage: Subject) {
    storage.record(vec![record(1, &[1]), record(2, &[2])]).await.answer();
    let lost = take(&*storage, at(10), 9).await;
    take(&*storage, at(100), 9).await;
    let follows = |n, lease| {
        let records = vec![Record { cursors: vec![set("k", None, Some("v"))], ..record(n, &[3]) }];
        Settle { records, ..settle(lease, Settlement::Dead(DeadReason::Gone), 1) }
    };
    let batch = vec![follows(50, lost[0].lease), follows(51, lost[1].lease)];
    let answers = storage.settle(batch, at(101)).await.answer();
    expect_eq!(answers, [Settled::LeaseLost; 2], "two lost leases");
    let events = storage.events(all_events()).await.answer().items.len();
    expect_eq!(events, 2, "events, without those that were to follow");
    expect_eq!(states(&*storage).await, [StateName::Leased; 2], "deliveries, without theirs");
    let cursors = storage.cursors(vec!["k".to_owned()]).await.answer();
    expect_eq!(cursors, [None], "the cursor that was to follow");
    let log = storage.attempts(lost[0].lease.delivery).await.answer().len();
    expect_eq!(log, 0, "attempts in the log");
}

pub(super) async fn rule_09_a_lease_that_is_extended_lasts_longer(storage: Subject) {
    storage.record(vec![record(1, &[1])]).await.answer();
    let lease = take(&*storage, at(10), 1).await[0].lease;
    let settlement = Settlement::Extended { until: at(200) };
    let extended = Settle { lease, settlement, attempts: Vec::new(), records: Vec::new() };
    let answer = storage.settle(vec![extended.clone()], at(60)).await.answer();
    expect_eq!(answer, [Settled::Done], "a lease that is extended");
    let none = take(&*storage, at(199), 1).await.len();
    expect_eq!(none, 0, "deliveries that are given before their extended lease runs out");
    let next = take(&*storage, at(200), 1).await;
    let attempts: Vec<u32> = next.iter().map(|claimed| claimed.delivery.attempts).collect();
    expect_eq!(attempts, [2], "attempts once it ran out, the extended one staying counted");
    let answer = storage.settle(vec![extended], at(210)).await.answer();
    expect_eq!(answer, [Settled::LeaseLost], "a lease that is extended when another has it");
}

pub(super) async fn rule_09_what_is_not_there_is_no_lease(storage: Subject) {
    let delivery = record(1, &[1]).deliveries[0].0.id;
    let answer = settle_one(&*storage, Lease { delivery, token: 1 }, Settlement::Delivered).await;
    expect_eq!(answer, Settled::LeaseLost, "a lease of a delivery that is not there");
    storage.record(vec![record(1, &[1])]).await.answer();
    for token in [0, 1, u64::MAX] {
        let answer = settle_one(&*storage, Lease { delivery, token }, Settlement::Delivered).await;
        expect_eq!(answer, Settled::LeaseLost, "token {token} of a delivery that nobody claimed");
    }
    expect_eq!(states(&*storage).await, [StateName::Waiting], "what nobody claimed");
    let held = take(&*storage, at(10), 1).await.remove(0).lease;
    for token in [0, held.token + 1, u64::MAX] {
        let answer = settle_one(&*storage, Lease { token, ..held }, Settlement::Delivered).await;
        expect_eq!(answer, Settled::LeaseLost, "token {token}, that of the lease being another");
    }
}

pub(super) async fn rule_09_a_lease_from_before_a_replay_settles_nothing(storage: Subject) {
    storage.record(vec![batched(1, &[1], at(1))]).await.answer();
    let first = take(&*storage, at(10), 1).await.remove(0).lease;
    settle_one(&*storage, first, Settlement::Dead(DeadReason::Exhausted)).await;
    storage.replay(again(everything(), at(20))).await.answer();
    let companions = ClaimOf::Companions(vec![companions(1, at(90), 9)]);
    let given = storage.claim(Claim { of: companions, ..claim(at(15), 9) }).await.answer();
    expect_eq!(given.deliveries.len(), 1, "companions that were replayed");
    let answer = settle_one(&*storage, first, Settlement::Delivered).await;
    expect_eq!(answer, Settled::LeaseLost, "a lease from before a replay");
    let second = given.deliveries[0].lease;
    take(&*storage, at(100), 1).await;
    let answer = settle_one(&*storage, second, Settlement::Delivered).await;
    expect_eq!(answer, Settled::LeaseLost, "the lease of a companion that another claim followed");
}

pub(super) async fn rule_10_each_settlement_leads_where_it_says(storage: Subject) {
    let superseded = CancelReason::Superseded;
    let cases = [
        (Settlement::Delivered, State::Delivered, 1),
        (Settlement::Retry { at: at(500) }, State::Waiting { due: at(500) }, 1),
        (Settlement::Dead(DeadReason::Gone), State::Dead { reason: DeadReason::Gone }, 1),
        (Settlement::Cancelled(superseded), State::Cancelled { reason: superseded }, 1),
        (Settlement::Parked, State::Parked, 0),
        (Settlement::Released { at: at(600) }, State::Waiting { due: at(600) }, 0),
    ];
    for (n, (settlement, state, attempts)) in (1..).zip(cases) {
        storage.record(vec![record(n, &[1])]).await.answer();
        let lease = take(&*storage, at(100), 1).await.remove(0).lease;
        let name = settlement.name();
        let follows = Settle { records: vec![record(n + 50, &[])], ..settle(lease, settlement, 1) };
        let answer = storage.settle(vec![follows], at(200)).await.answer();
        expect_eq!(answer, [Settled::Done], "{name}");
        let found =
            storage.deliveries(everything().with_id(lease.delivery)).await.answer().items.remove(0);
        let found = (found.state, found.attempts);
        expect_eq!(found, (state, attempts), "state and attempts after {name}");
        let told = all_events().with_id(event(n + 50).id);
        let events = storage.events(told).await.answer().items.len();
        expect_eq!(events, 1, "the event that follows from {name}");
    }
}

pub(super) async fn rule_10_what_was_attempted_is_logged_as_it_was(storage: Subject) {
    storage.record(vec![record(1, &[1])]).await.answer();
    let first = take(&*storage, at(10), 1).await.remove(0).lease;
    let retry = settle(first, Settlement::Retry { at: at(20) }, 1);
    let mut attempts = retry.attempts.clone();
    storage.settle(vec![retry], at(11)).await.answer();
    let throttled = Outcome::Throttled { retry_after: Some(MINUTE) };
    let attempt = Attempt::new(2, at(3), at(4), throttled)
        .with_status(429)
        .with_error("slow down")
        .with_response("naïve".as_bytes())
        .with_run(RunRef::of_id("7").with_url("https://ci.example/7"));
    attempts.push(attempt.clone());
    let second = take(&*storage, at(20), 1).await.remove(0).lease;
    let logged = Settle { attempts: vec![attempt], ..settle(second, Settlement::Delivered, 2) };
    storage.settle(vec![logged], at(21)).await.answer();
    let log = storage.attempts(second.delivery).await.answer();
    let found: Vec<_> = log.into_iter().map(|logged| (logged.position, logged.attempt)).collect();
    let expected: Vec<_> = (1..).zip(attempts).collect();
    expect_eq!(found, expected, "the log of a delivery, oldest first");
}
