//! Pruning: what of the history goes, and what stays.
//!
//! In: cutoffs by age and number for each kind, and what is held. Out, of the storage: how much
//! went.

use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::event::Scope;

/// Which of the history goes, and how much of it in one write.
///
/// ```
/// use artifact_triggers::clock::Timestamp;
/// use artifact_triggers::delivery::StateName;
/// use artifact_triggers::storage::{Cutoff, Prune};
///
/// let now = Timestamp::from_unix_seconds(1_700_000_000);
/// let prune = Prune::new(now, 1_000).with(StateName::Delivered, Cutoff::at_most(1_000_000));
/// assert_eq!(prune.cutoff(StateName::Dead), Cutoff::default());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prune {
    /// The time now.
    pub now: Timestamp,
    /// Which delivered ones go.
    pub delivered: Cutoff,
    /// Which dead ones go.
    pub dead: Cutoff,
    /// Which parked ones go.
    pub parked: Cutoff,
    /// Which cancelled ones go.
    pub cancelled: Cutoff,
    /// Which events go, of those without deliveries. They age from when they were received.
    pub events: Cutoff,
    /// Final deliveries that are older lose what they send and what was answered, and stay
    /// otherwise.
    pub contents_before: Option<Timestamp>,
    /// Of what is at or below these scopes nothing goes.
    pub held: Vec<Scope>,
    /// The most of each to take in one write.
    pub limit: usize,
}

/// Which of a kind go: the older ones, and those beyond a number. None if neither is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cutoff {
    /// Those that have been as they are since before this.
    pub before: Option<Timestamp>,
    /// Those of which at least so many of the kind are newer.
    pub at_most: Option<usize>,
}

impl Cutoff {
    /// Those that have been as they are since before a time.
    pub fn before(time: Timestamp) -> Self {
        Self { before: Some(time), at_most: None }
    }

    /// All but the newest.
    pub fn at_most(number: usize) -> Self {
        Self { before: None, at_most: Some(number) }
    }

    /// Whether one goes that has been as it is since a time, and of which so many are newer.
    pub fn takes(&self, since: Timestamp, newer: usize) -> bool {
        self.before.is_some_and(|before| since < before)
            || self.at_most.is_some_and(|number| number <= newer)
    }
}

/// The states whose deliveries may go, each for itself.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) const FINAL: [StateName; 4] =
    [StateName::Delivered, StateName::Dead, StateName::Parked, StateName::Cancelled];

/// What stands with what a held scope keeps, where that is written down.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn mark(held: &Scope) -> String {
    format!("/{held}")
}

impl Prune {
    /// Takes nothing yet.
    pub fn new(now: Timestamp, limit: usize) -> Self {
        let none = Cutoff::default();
        Self {
            now,
            delivered: none,
            dead: none,
            parked: none,
            cancelled: none,
            events: none,
            contents_before: None,
            held: Vec::new(),
            limit,
        }
    }

    /// Takes everything that is older, whatever came of it.
    pub fn older(before: Timestamp, now: Timestamp, limit: usize) -> Self {
        let old = Cutoff::before(before);
        Self {
            delivered: old,
            dead: old,
            parked: old,
            cancelled: old,
            events: old,
            ..Self::new(now, limit)
        }
    }

    /// Sets which deliveries of a final state go.
    pub fn with(mut self, state: StateName, cutoff: Cutoff) -> Self {
        match state {
            StateName::Delivered => self.delivered = cutoff,
            StateName::Dead => self.dead = cutoff,
            StateName::Parked => self.parked = cutoff,
            StateName::Cancelled => self.cancelled = cutoff,
            StateName::Waiting | StateName::Queued | StateName::Leased => {}
        }
        self
    }

    /// Sets which events go.
    pub fn with_events(mut self, cutoff: Cutoff) -> Self {
        self.events = cutoff;
        self
    }

    /// Sets what loses its contents.
    pub fn with_contents_before(mut self, time: Timestamp) -> Self {
        self.contents_before = Some(time);
        self
    }

    /// Sets of which scopes nothing goes.
    pub fn with_held(mut self, held: Vec<Scope>) -> Self {
        self.held = held;
        self
    }

    /// Which deliveries of a state go: of one that is not final, none.
    pub fn cutoff(&self, state: StateName) -> Cutoff {
        match state {
            StateName::Delivered => self.delivered,
            StateName::Dead => self.dead,
            StateName::Parked => self.parked,
            StateName::Cancelled => self.cancelled,
            StateName::Waiting | StateName::Queued | StateName::Leased => Cutoff::default(),
        }
    }

    /// The held scope that another is at or below, if there is one.
    pub fn holder(&self, scope: &Scope) -> Option<&Scope> {
        self.held.iter().find(|held| held.contains(scope))
    }
}

/// How much [`Storage::prune`](super::Storage::prune) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Pruned {
    /// Deliveries that were deleted, with their log.
    pub deliveries: usize,
    /// Events that were deleted.
    pub events: usize,
    /// Deliveries of which the contents were dropped.
    pub contents: usize,
    /// What was looked at and stays, and is not looked at again as long as it does.
    pub passed: usize,
}

impl Pruned {
    /// Whether nothing was done: then nothing is left to do.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Takes in what another call did.
    pub fn add(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.events += other.events;
        self.contents += other.contents;
        self.passed += other.passed;
    }
}
