//! Claims and settles what waits.

use std::time::{Duration, Instant};

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Attempt, Outcome, Settlement};
use artifact_triggers::storage::{Claim, ClaimOf, Settle, Storage};

/// Claims and settles so many. Tells how long the claim took.
pub(super) async fn take_and_settle(storage: &impl Storage, limit: usize) -> Duration {
    let now = Timestamp::now();
    let claim = Claim {
        now,
        due_by: now,
        lease: Duration::from_secs(60),
        limit,
        per_endpoint: usize::MAX,
        quotas: Vec::new(),
        of: ClaimOf::Endpoints,
    };
    let began = Instant::now();
    let claims = storage.claim(claim).await.expect("it answers").deliveries;
    let took = began.elapsed();
    assert_eq!(claims.len(), limit);
    let settlements = claims.into_iter().map(|claimed| Settle {
        lease: claimed.lease,
        settlement: Settlement::Delivered,
        attempts: vec![Attempt::new(1, now, now, Outcome::Accepted).with_status(204)],
        records: Vec::new(),
    });
    storage.settle(settlements.collect(), now).await.expect("it answers");
    took
}
