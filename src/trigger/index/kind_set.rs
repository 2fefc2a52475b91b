//! Which kinds a trigger wants, in one word.

use std::sync::Arc;

use crate::event::EventKind;
use crate::trigger::KindPattern;

/// A bit for each of the patterns that an index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KindSet(u64);

/// Stands for all patterns beyond those that have a bit of their own.
const OTHER: u64 = 1 << 63;

impl KindSet {
    /// Whether two have a pattern in common, or one has patterns without a bit of their own.
    pub(super) fn may_meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the patterns themselves must be asked.
    pub(super) fn is_other(self) -> bool {
        self.0 & OTHER != 0
    }
}

/// The patterns that have a bit: the first 63 that triggers of an index had. They are never
/// forgotten, there being few kinds in a registry; those of more kinds cost a look at their triggers.
#[derive(Clone, Default)]
pub(super) struct KnownKinds(Arc<Vec<KindPattern>>);

impl KnownKinds {
    /// The set of a trigger's patterns.
    pub(super) fn of_trigger(&mut self, patterns: &[KindPattern]) -> KindSet {
        let bits = patterns.iter().map(|pattern| {
            let known = self.0.iter().position(|known| known == pattern);
            match known {
                Some(at) => 1 << at,
                None if self.0.len() < OTHER.trailing_zeros() as usize => {
                    Arc::make_mut(&mut self.0).push(pattern.clone());
                    1 << (self.0.len() - 1)
                }
                None => OTHER,
            }
        });
        KindSet(bits.fold(0, |set, bit| set | bit))
    }

    /// The set of the patterns that an event's kind fits.
    pub(super) fn of_event(&self, kind: &EventKind) -> KindSet {
        let fitting = self.0.iter().enumerate().filter(|(_, pattern)| pattern.matches(kind));
        KindSet(fitting.fold(OTHER, |set, (at, _)| set | 1 << at))
    }
}
