//! Backlog: which endpoints have so much waiting that what is published for them is parked.

use std::collections::HashSet;
use std::sync::Arc;

use super::Core;
use crate::delivery::{Delivery, State};
use crate::storage::StorageError;

impl Core {
    /// Takes in which endpoints have as much waiting as may be, if that is limited.
    pub(super) async fn look_at_backlog(&self) -> Result<(), StorageError> {
        let Some(most) = self.options.max_backlog else { return Ok(()) };
        let backlog = self.storage.backlog().await?;
        let full = backlog.into_iter().filter(|one| one.deliveries >= most);
        let full: HashSet<_> = full.map(|one| one.endpoint).collect();
        self.full.store(Arc::new(full));
        Ok(())
    }

    /// Parks a delivery that would be waiting, if its endpoint has as much as may be.
    pub(super) fn park_beyond_backlog(&self, delivery: &mut Delivery) {
        let is_waiting = matches!(delivery.state, State::Waiting { .. });
        if is_waiting && self.full.load().contains(&delivery.endpoint) {
            delivery.state = State::Parked;
        }
    }
}
