//! Clocks: the server's time is the only one that counts, however wrong a node's is.

use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Settlement, State};
use artifact_triggers::storage::postgres::PostgresStorage;
use artifact_triggers::storage::{Settled, Storage as _};

use super::sample::{MINUTE, claim, record, settle, take};
use super::server::{options, url};

/// How wrong a clock may be here.
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

/// Two nodes that share their tables.
async fn nodes() -> [PostgresStorage; 2] {
    let options = options();
    let first = PostgresStorage::connect(&url(), &options).await.unwrap();
    [first, PostgresStorage::connect(&url(), &options).await.unwrap()]
}

fn is_near(found: Timestamp, expected: Timestamp) -> bool {
    found.since(expected).max(expected.since(found)) < MINUTE
}

#[tokio::test]
async fn a_node_that_is_ahead_takes_nothing_before_its_time() {
    let [right, ahead] = nodes().await;
    let now = Timestamp::now();
    let wrong = now + HALF_AN_HOUR;
    right.record(vec![record(1, now)]).await.unwrap();
    let claimed = take(&right, now, 1).await.remove(0);
    // Neither what is leased to another, nor what that other retries in a while.
    let claims = ahead.claim(claim(wrong, 9)).await.unwrap();
    assert!(claims.deliveries.is_empty());
    assert!(is_near(claims.next_due.unwrap(), wrong + MINUTE), "told in its own time");
    let retry = Settlement::Retry { at: now + 10 * MINUTE };
    assert_eq!(settle(&right, &claimed, retry, now).await, Settled::Done);
    let claims = ahead.claim(claim(wrong + 2 * MINUTE, 9)).await.unwrap();
    assert!(claims.deliveries.is_empty());
    let expected = wrong + 12 * MINUTE;
    assert!(is_near(claims.next_due.unwrap(), expected), "{claims:?}");
}

#[tokio::test]
async fn what_a_node_with_a_wrong_clock_writes_is_due_at_the_right_time() {
    for (wrong, name) in [
        (Timestamp::now() + HALF_AN_HOUR, "ahead"),
        (Timestamp::now().before(HALF_AN_HOUR), "behind"),
    ] {
        let [right, other] = nodes().await;
        let now = Timestamp::now();
        other.record(vec![record(1, wrong), record(2, wrong)]).await.unwrap();
        let claimed = take(&other, wrong, 1).await.remove(0);
        let State::Leased { until } = claimed.delivery.state else { panic!("{claimed:?}") };
        assert_eq!(until, wrong + MINUTE, "{name}: in its own time");
        assert!(is_near(claimed.due, wrong), "{name}: {}", claimed.due);
        // The other delivery is due for all, the one that is leased is not.
        let found = take(&right, now, 9).await;
        assert_eq!(found.len(), 1, "{name}");
        assert_ne!(found[0].lease.delivery, claimed.lease.delivery);
        // A retry at once is at once for all.
        settle(&other, &claimed, Settlement::Retry { at: wrong }, wrong).await;
        let found = take(&right, now + 2 * Duration::from_secs(1), 9).await;
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].lease.delivery, claimed.lease.delivery);
    }
}

#[tokio::test]
async fn a_lease_runs_out_by_the_servers_time() {
    let [right, behind] = nodes().await;
    let now = Timestamp::now();
    right.record(vec![record(1, now)]).await.unwrap();
    let lease = Duration::from_millis(300);
    let short = artifact_triggers::storage::Claim { lease, ..claim(now, 1) };
    let first = right.claim(short).await.unwrap().deliveries.remove(0);
    let wrong = now.before(HALF_AN_HOUR);
    // It is there once the lease has run out, and not before.
    let mut looks = 0;
    let second = loop {
        let found = take(&behind, wrong + looks * Duration::from_secs(1), 1).await;
        looks += 1;
        if let [claimed] = found.as_slice() {
            break claimed.clone();
        }
        assert!(looks < 10_000, "it was never given");
    };
    assert!(second.lease.token > first.lease.token);
    assert_eq!(settle(&right, &first, Settlement::Delivered, now).await, Settled::LeaseLost);
    assert_eq!(settle(&behind, &second, Settlement::Delivered, wrong).await, Settled::Done);
}

#[tokio::test]
async fn what_was_committed_long_after_it_was_due_is_found_too() {
    let [node, other] = nodes().await;
    let now = Timestamp::now();
    // The node knows the endpoint, and looks for what is due behind what it found.
    node.record(vec![record(1, now), record(1, now)]).await.unwrap();
    let claimed = take(&node, now, 2).await;
    settle(&node, &claimed[0], Settlement::Delivered, now).await;
    let late = claimed[1].clone();
    settle(&other, &late, Settlement::Retry { at: now.before(10 * MINUTE) }, now).await;
    let mut found = Vec::new();
    for look in 1..=20 {
        found.extend(take(&node, now + look * Duration::from_secs(2), 1).await);
    }
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].lease.delivery, late.lease.delivery);
}
