//! Claim: takes due deliveries under a lease, to no endpoint more than it can take.

use super::Core;
use super::load::{RunId, Slot};
use crate::clock::Timestamp;
use crate::delivery::Claimed;
use crate::observer::Transition;
use crate::storage::{Claim, StorageError};

/// What a claim gave.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) deliveries: Vec<(Claimed, Slot)>,
    pub(super) next: NextClaim,
}

/// When there is something to claim again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextClaim {
    /// At once: all that was asked for was given.
    Now,
    /// Once an attempt ends: what is due is of endpoints that have all they can take.
    WhenFree,
    /// Then.
    At(Timestamp),
    /// Not before something new comes in.
    WhenWoken,
}

impl Core {
    /// Takes at most `limit` deliveries that are due, for a run.
    pub(super) async fn claim(&self, run: RunId, limit: usize) -> Result<Taken, StorageError> {
        let _alone = self.claiming.lock().await;
        let now = self.clock.now();
        let most = self.options.per_endpoint;
        let share = most.div_ceil((*self.runs.borrow()).max(1));
        let claim = Claim {
            now,
            lease: self.options.lease,
            limit,
            per_endpoint: share,
            quotas: self.load.quotas(run, most, share),
        };
        let holds_back = claim.quotas.iter().any(|(_, quota)| *quota == 0);
        let claims = self.storage.claim(claim).await?;
        let next = match claims.next_due {
            _ if claims.deliveries.len() >= limit => NextClaim::Now,
            Some(at) if at <= now => NextClaim::WhenFree,
            // Endpoints that were skipped are not in `next_due`: look again when one is free.
            _ if holds_back => NextClaim::WhenFree,
            Some(at) => NextClaim::At(at),
            None => NextClaim::WhenWoken,
        };
        let occupy = |claimed: Claimed| {
            self.observers.tell(&Transition::Claimed { delivery: &claimed.delivery });
            let slot = self.load.occupy(claimed.delivery.endpoint.clone(), run);
            (claimed, slot)
        };
        Ok(Taken { deliveries: claims.deliveries.into_iter().map(occupy).collect(), next })
    }
}
