//! Backlog: which endpoints have so much waiting that what is published for them is parked.

use std::collections::HashSet;
use std::sync::Arc;

use super::Core;
use crate::delivery::{Delivery, State};

impl Core {
    /// Takes in which endpoints have as much waiting as may be, if that is limited. What was found
    /// last holds if the storage fails.
    pub(super) async fn look_at_backlog(&self) {
        let Some(most) = self.options.max_backlog else { return };
        let Ok(backlog) = self.storage.backlog().await else { return };
        let full = backlog.into_iter().filter(|one| one.deliveries >= most);
        let full: HashSet<_> = full.map(|one| one.endpoint).collect();
        self.full.store(Arc::new(full));
    }

    /// Parks a delivery that would be waiting, if its endpoint has as much as may be.
    pub(super) fn park_beyond_backlog(&self, delivery: &mut Delivery) {
        let is_waiting = matches!(delivery.state, State::Waiting { .. });
        if is_waiting && self.full.load().contains(&delivery.endpoint) {
            delivery.state = State::Parked;
        }
    }
}
