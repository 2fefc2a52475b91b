//! Explain: why an event concerns a trigger or does not.

use super::Engine;
use crate::event::{Event, Scope};
use crate::id::TriggerId;
use crate::trigger::explain::Explanation;

/// The most triggers that one call looks at.
const MAX_LOOKED_AT: usize = 10_000;

impl Engine {
    /// Why an event matches a trigger or does not; `None` if there is no such trigger at or below
    /// the scope.
    pub fn explain(&self, scope: &Scope, id: TriggerId, event: &Event) -> Option<Explanation> {
        self.trigger(scope, id).map(|trigger| trigger.explain(event))
    }

    /// The enabled triggers that see the event's scope and do not match it, at most so many, those
    /// that came nearest first. At most 10,000 triggers are looked at, in no order; this takes some
    /// microseconds for each.
    pub fn nearest_misses(&self, event: &Event, limit: usize) -> Vec<(TriggerId, Explanation)> {
        let index = self.core.index();
        let seeing = index.seeing(&event.scope, MAX_LOOKED_AT);
        let explained = seeing.iter().map(|trigger| (trigger.id, trigger.explain(event)));
        let mut misses: Vec<_> = explained.filter(|(_, explained)| !explained.held).collect();
        misses.sort_by_key(|(id, explained)| (u8::MAX - explained.nearness, *id));
        misses.truncate(limit);
        misses
    }
}
