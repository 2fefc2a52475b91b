//! Claim: takes due deliveries under a lease, to no endpoint more than it can take.

use std::time::Duration;

use super::Core;
use super::batch::Together;
use super::gate::{Asking, RunId, Slot};
use crate::clock::Timestamp;
use crate::delivery::Claimed;
use crate::observer::Transition;
use crate::storage::{Claim, ClaimOf, Claims, StorageError};

/// How soon to look again when the storage has something due and gives nothing: another node is at
/// it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a claim gave.
#[derive(Debug)]
pub(super) struct Taken {
    /// What goes together, with its place at the endpoint.
    pub(super) deliveries: Vec<(Vec<Claimed>, Slot)>,
    /// What is to be given back at once.
    pub(super) returned: Vec<Claimed>,
    pub(super) next: NextClaim,
    /// Whether an attempt of the run that ends makes room for what may be due.
    pub(super) when_free: bool,
}

/// When there may be something to claim again, whatever ends meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextClaim {
    /// At once.
    Now,
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
        let asking = Asking { run, runs: *self.runs.borrow() };
        let Some(quotas) = self.gate.quotas(asking, now) else {
            let next = NextClaim::WhenWoken;
            let (deliveries, returned) = (Vec::new(), Vec::new());
            return Ok(Taken { deliveries, returned, next, when_free: false });
        };
        let mut outlook = quotas.outlook;
        let due_by = self.due_by(now);
        let claim = Claim {
            now,
            due_by,
            lease: self.options.lease,
            limit,
            per_endpoint: quotas.per_endpoint,
            quotas: quotas.own,
            of: ClaimOf::Endpoints,
        };
        let Claims { deliveries, next_due, held_back } = self.storage.claim(claim).await?;
        let Together { going, returned } = self.together(deliveries, limit, now).await;
        let given: usize = returned.len() + going.iter().map(Vec::len).sum::<usize>();
        for claimed in &returned {
            self.observers.tell(&Transition::Claimed { delivery: &claimed.delivery });
        }
        // They are begun now, however long the storage took: an endpoint's rate counts from here.
        let begun_at = self.clock.now();
        let occupy = |together: Vec<Claimed>| {
            for claimed in &together {
                self.observers.tell(&Transition::Claimed { delivery: &claimed.delivery });
            }
            let slot = self.gate.occupy(together[0].delivery.endpoint.clone(), run, begun_at);
            (together, slot)
        };
        let deliveries: Vec<_> = going.into_iter().map(occupy).collect();
        // Endpoints that were skipped hold nothing back; those that got all they could take may.
        if held_back {
            let served = deliveries.iter().map(|(together, _)| &together[0].delivery.endpoint);
            self.gate.look_out(asking, served, self.clock.now(), &mut outlook);
        }
        let again = (held_back && deliveries.is_empty()).then_some(now + LOOK_AGAIN);
        // What comes due later is not waited for in a drain.
        let next_due = next_due.filter(|_| due_by == now);
        let later = next_due.into_iter().chain(again).min();
        let next = match outlook.at.into_iter().chain(later).min() {
            _ if outlook.now || given >= limit => NextClaim::Now,
            Some(at) => NextClaim::At(at),
            None => NextClaim::WhenWoken,
        };
        Ok(Taken { deliveries, returned, next, when_free: outlook.when_free })
    }
}
