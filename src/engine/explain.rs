//! Explain: why an event concerns a trigger or does not.

use std::sync::Arc;

use super::Engine;
use crate::event::{Event, Scope};
use crate::id::TriggerId;
use crate::trigger::Trigger;
use crate::trigger::explain::{Explanation, MAX_STEPS, Weighed};
use crate::trigger::filter::meter::Steps;

/// The most triggers that one call looks at.
const MAX_LOOKED_AT: usize = 10_000;
/// The most misses that one call explains.
const MAX_EXPLAINED: usize = 100;
/// The steps that one call takes to find the nearest, and again to explain them.
const STEPS: usize = 4 * MAX_STEPS;

impl Engine {
    /// Why an event matches a trigger or does not; `None` if there is no such trigger at or below
    /// the scope.
    pub fn explain(&self, scope: &Scope, id: TriggerId, event: &Event) -> Option<Explanation> {
        self.trigger(scope, id).map(|trigger| trigger.explain(event))
    }

    /// The enabled triggers that see the event's scope and do not match it, at most so many and at
    /// most 100, those that came nearest first.
    ///
    /// # Cost
    /// At most 10,000 triggers are looked at, in no order, and only those that are given are
    /// explained. Finding them takes at most four times [`MAX_STEPS`], explaining them as many, and
    /// looking at what was found at most [`MAX_STEPS`] for each. A trigger that takes more than its
    /// share of these to judge is passed over.
    pub fn nearest_misses(&self, event: &Event, limit: usize) -> Vec<(TriggerId, Explanation)> {
        let misses = self.nearest_misses_within(&Scope::root(), event, limit, |_| true);
        misses.into_iter().map(|(trigger, explanation)| (trigger.id, explanation)).collect()
    }

    /// Those of them that are at or below a scope that the event is in, and that are asked for.
    pub(super) fn nearest_misses_within(
        &self,
        scope: &Scope,
        event: &Event,
        limit: usize,
        is_asked_for: impl Fn(&Trigger) -> bool,
    ) -> Vec<(Arc<Trigger>, Explanation)> {
        let known = self.core.known();
        let mut seeing = known.index.seeing_within(scope, &event.scope, MAX_LOOKED_AT);
        seeing.retain(|trigger| is_asked_for(trigger));
        let limit = limit.min(MAX_EXPLAINED);
        let misses = nearest(&seeing, event, limit);
        let share = STEPS / misses.len().max(1);
        let explained = misses.into_iter().map(|(trigger, near)| {
            let steps = share.min(MAX_STEPS);
            (trigger.clone(), trigger.explain_within(event, near.filter_held, steps))
        });
        explained.collect()
    }
}

/// Those that came nearest to match without doing so, in order.
fn nearest<'i>(
    seeing: &[&'i Arc<Trigger>],
    event: &Event,
    limit: usize,
) -> Vec<(&'i Arc<Trigger>, Weighed)> {
    let mut steps = Steps::new(STEPS);
    let mut misses = Vec::new();
    for (n, trigger) in seeing.iter().enumerate() {
        let share = steps.left() / (seeing.len() - n);
        match trigger.weigh(event, share, &mut steps) {
            Some(near) if !near.whole.held => misses.push((*trigger, near)),
            _ => {}
        }
    }
    misses.sort_by_key(|(trigger, near)| (u8::MAX - near.whole.nearness, trigger.id));
    misses.truncate(limit);
    misses
}
