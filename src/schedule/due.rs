//! What is due: decided from the last due time that was fired, and the time now.

use std::time::Duration;

use super::{MAX_MISSED, Missed, Schedule};
use crate::clock::Timestamp;
use crate::id::TriggerId;

/// What follows from a schedule now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The due times to be fired now, in their order.
    pub fire: Vec<Timestamp>,
    /// Up to which due time everything is fired or left out, once these are: what is to be
    /// remembered.
    pub seen: Timestamp,
    /// When to look again; `None` if nothing comes due any more.
    pub again_at: Option<Timestamp>,
}

impl Schedule {
    /// What is to be fired now for a trigger, of which everything up to `seen` was.
    pub fn due(&self, trigger: TriggerId, seen: Timestamp, now: Timestamp) -> Due {
        let mut due = Due { fire: Vec::new(), seen, again_at: None };
        let mut next = self.first_to_look_at(seen, now);
        while let Some(at) = next {
            let fires_at = self.fires_at(trigger, at);
            if fires_at > now {
                due.again_at = Some(fires_at);
                break;
            }
            due.seen = at;
            due.fire.push(at);
            let most = self.most_kept();
            if due.fire.len() > most {
                due.fire.remove(0);
            }
            next = self.next_after(at);
        }
        if self.0.missed == Missed::Skip {
            due.fire.retain(|at| now.since(self.fires_at(trigger, *at)) < Self::GRACE);
        }
        due
    }

    /// When what is due at a time is fired for a trigger: then, or later by its part of the
    /// [jitter](Self::with_jitter). The same on every node.
    pub fn fires_at(&self, trigger: TriggerId, due: Timestamp) -> Timestamp {
        due + trigger.spread(b"jitter", due, self.0.jitter)
    }

    /// How long after a due time it may be fired without counting as missed.
    #[cfg(feature = "engine")]
    pub(crate) fn longest_delay(&self) -> Duration {
        self.0.jitter.saturating_add(Self::GRACE)
    }

    /// How many due times that have passed are of interest.
    fn most_kept(&self) -> usize {
        match self.0.missed {
            Missed::Skip | Missed::Once => 1,
            Missed::All(most) => most.clamp(1, MAX_MISSED) as usize,
        }
    }

    /// The first due time after what was seen that can matter. After years without anybody there,
    /// walking through each minute of them would take long.
    fn first_to_look_at(&self, seen: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let mut back = Duration::from_secs(60);
        // The jitter may hold back what was due before now.
        let recent = now.before(self.0.jitter);
        loop {
            let from = recent.before(back);
            if from <= seen {
                return self.next_after(seen);
            }
            let enough = self.upcoming(from, self.most_kept() + 1);
            let has_enough = enough.len() > self.most_kept() && enough[self.most_kept()] <= recent;
            if has_enough {
                return self.next_after(from);
            }
            back = back.saturating_mul(4);
        }
    }
}
