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
        let known = self.core.known();
        let seeing = known.index.seeing(&event.scope, MAX_LOOKED_AT);
        let mut misses: Vec<(TriggerId, Explanation)> = Vec::new();
        for trigger in seeing {
            let explanation = trigger.explain(event);
            if !explanation.held {
                misses.push((trigger.id, explanation));
            }
            // No more are kept than are asked for, but for some that are sorted out together.
            if misses.len() > limit.saturating_add(100) {
                keep_nearest(&mut misses, limit);
            }
        }
        keep_nearest(&mut misses, limit);
        misses
    }
}

fn keep_nearest(misses: &mut Vec<(TriggerId, Explanation)>, limit: usize) {
    misses.sort_by_key(|(id, explanation)| (u8::MAX - explanation.nearness, *id));
    misses.truncate(limit);
}
