//! Pruning: deletes of the history what a policy does not keep, piece by piece.

use super::Engine;
use crate::observer::Transition;
use crate::storage::{Pruned, Retention, StorageError};

/// How much is pruned in one write.
const PRUNE_BATCH: usize = 1_000;

impl Engine {
    /// Deletes of the history what a policy does not keep, as of now. To delete all that is older
    /// than a span, say [`Retention::for_span`]: dead letters go too then, so choose it
    /// accordingly.
    ///
    /// # Errors
    /// The storage's; what was deleted until then stays deleted.
    pub async fn prune(&self, retention: &Retention) -> Result<Pruned, StorageError> {
        let prune = retention.at(self.core.clock.now(), PRUNE_BATCH);
        let mut total = Pruned::default();
        loop {
            let pruned = self.core.storage.prune(prune.clone()).await?;
            if pruned.deliveries > 0 {
                // One that was waited for may have gone.
                self.core.wake();
            }
            if pruned.is_nothing() {
                return Ok(total);
            }
            self.core.observers.tell(&Transition::Pruned { pruned });
            total.add(pruned);
        }
    }
}
