//! The triggers of one scope, under what they hold on to.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::num::NonZeroU64;
use std::sync::Arc;

use super::access::{SlotPair, Way};
use super::hash::Hasher;
use super::kind_set::KindSet;
use super::probe::{Probe, View};
use super::table::{Entry, Table};
use super::tailed::{Seen, Tailed};
use super::tails::Tails;
use crate::event::{EventKind, Scope};
use crate::trigger::Trigger;
use crate::trigger::filter::Screened;

/// How many shelves are looked at together.
const TOGETHER: usize = 3;

/// Where the triggers of a scope lie.
#[derive(Clone)]
pub(super) struct Place(Arc<PlaceOf>);

#[derive(Clone)]
struct PlaceOf {
    scope: Scope,
    shelves: Vec<Shelf>,
}

/// What holds on to texts of the same slots.
#[derive(Clone)]
struct Shelf {
    slots: SlotPair,
    /// By the texts in the slots.
    whole: Table<Held, 32, 32>,
    /// By the texts in the slots: what holds on to something else besides.
    tailed: Table<Tailed, 32, 16>,
}

/// Where in a place a trigger lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    slots: SlotPair,
    key: u64,
    /// The hash of the tail and the key below it, if it lies below one.
    tail: Option<(NonZeroU64, u64)>,
}

/// What keys are made with.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) hasher: Hasher,
    pub(super) tails: Tails,
}

/// A trigger under something that it holds on to.
#[derive(Clone)]
pub(super) struct Held {
    kinds: KindSet,
    trigger: Arc<Trigger>,
}

impl Place {
    pub(super) fn new(scope: Scope) -> Self {
        Self(Arc::new(PlaceOf { scope, shelves: Vec::new() }))
    }

    /// Whether it is the place of a scope.
    pub(super) fn is_of(&self, scope: &str) -> bool {
        self.0.scope.as_str() == scope
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.shelves.is_empty()
    }

    /// Puts a trigger in, and tells where it lies.
    pub(super) fn insert(&mut self, way: &Way, held: Held, keys: &Keys) -> Spot {
        let shelves = &mut Arc::make_mut(&mut self.0).shelves;
        let known = shelves.iter().position(|shelf| shelf.slots == way.slots);
        let at = known.unwrap_or_else(|| {
            let (whole, tailed) = (Table::default(), Table::default());
            shelves.push(Shelf { slots: way.slots, whole, tailed });
            shelves.len() - 1
        });
        let tail = shelves[at].insert(way, held, keys);
        Spot { slots: way.slots, key: way.key, tail }
    }

    /// Takes a trigger away from where it lies.
    pub(super) fn remove(&mut self, spot: Spot, held: &Held) {
        let shelves = &mut Arc::make_mut(&mut self.0).shelves;
        let Some(at) = shelves.iter().position(|shelf| shelf.slots == spot.slots) else { return };
        shelves[at].remove(spot, held);
        if shelves[at].whole.is_empty() && shelves[at].tailed.is_empty() {
            shelves.swap_remove(at);
        }
    }

    /// All triggers, perhaps more than once.
    pub(super) fn triggers(&self) -> impl Iterator<Item = &Arc<Trigger>> {
        self.0.shelves.iter().flat_map(Shelf::triggers)
    }

    pub(super) fn search<'i>(&'i self, probe: &mut Probe<'_>, near: &mut Near<'i, '_, '_>) {
        // Some shelves at once, and of each step first all that will be read, so that the processor
        // fetches it together.
        for shelves in self.0.shelves.chunks(TOGETHER) {
            let mut leads = [const { None }; TOGETHER];
            for (shelf, lead) in shelves.iter().zip(&mut leads) {
                let Some(key) = probe.key(shelf.slots) else { continue };
                let (tailed, whole) = (shelf.tailed.lead(key), shelf.whole.lead(key));
                tailed.touch();
                whole.touch();
                *lead = Some((tailed, whole));
            }
            let mut below = [None; TOGETHER];
            for (lead, below) in leads.iter().zip(&mut below) {
                let Some((tailed, whole)) = lead else { continue };
                *below = tailed.first();
                if let Some(tailed) = below {
                    tailed.fetch();
                }
                whole.each(|held| near.add(held));
            }
            for tailed in below.iter().flatten() {
                tailed.search(probe, near);
            }
        }
    }
}

impl Shelf {
    fn triggers(&self) -> impl Iterator<Item = &Arc<Trigger>> {
        let tailed = self.tailed.iter().flat_map(Tailed::iter);
        self.whole.iter().chain(tailed).map(|held| &held.trigger)
    }

    /// Puts a trigger in, and tells below which tail and key, if it lies below one.
    fn insert(&mut self, way: &Way, held: Held, keys: &Keys) -> Option<(NonZeroU64, u64)> {
        if let Some(held_by) = &way.tail {
            let mut tailed = self.tailed.first(way.key).cloned().unwrap_or_default();
            let spot = tailed.insert(held_by, &held, keys);
            if spot.is_some() {
                self.tailed.insert(way.key, tailed);
                return spot;
            }
        }
        self.whole.insert(way.key, held);
        None
    }

    fn remove(&mut self, spot: Spot, held: &Held) {
        let Some((tail, key)) = spot.tail else {
            self.whole.remove(spot.key, held);
            return;
        };
        let Some(mut tailed) = self.tailed.first(spot.key).cloned() else { return };
        tailed.remove(tail, key, held);
        if tailed.is_empty() {
            self.tailed.remove(spot.key, &tailed);
        } else {
            self.tailed.insert(spot.key, tailed);
        }
    }
}

impl Held {
    /// A trigger under one of so many things that it holds on to.
    pub(super) fn new(trigger: &Arc<Trigger>, kinds: KindSet, ways: usize) -> Self {
        let kinds = if ways > 1 { kinds.repeated() } else { kinds };
        Self { kinds, trigger: trigger.clone() }
    }

    /// Whether the trigger wants the event.
    fn wants(&self, kind: &EventKind, event: &View<'_>) -> bool {
        match self.trigger.spec.filter.screen().judge(event.slots) {
            Screened::No => false,
            _ if self.kinds.is_other() && !self.wants_kind(kind) => false,
            Screened::Yes => true,
            Screened::Perhaps => self.trigger.spec.filter.holds(event.root),
        }
    }

    fn wants_kind(&self, kind: &EventKind) -> bool {
        self.trigger.spec.kinds.iter().any(|pattern| pattern.matches(kind))
    }
}

/// The triggers that hold on to something that an event has, on their way to being judged: some at
/// once, so that what is read of them is fetched together.
pub(super) struct Near<'i, 'e, 'f> {
    kind: &'e EventKind,
    kinds: KindSet,
    event: View<'e>,
    pub(super) seen: Seen,
    waiting: [Option<&'i Held>; 16],
    len: usize,
    /// Whether one was found that lies in more than one place.
    repeated: bool,
    found: &'f mut Vec<&'i Arc<Trigger>>,
}

impl<'i, 'e, 'f> Near<'i, 'e, 'f> {
    pub(super) fn new(
        kind: &'e EventKind,
        kinds: KindSet,
        event: View<'e>,
        found: &'f mut Vec<&'i Arc<Trigger>>,
    ) -> Self {
        let (seen, waiting) = (Seen::default(), [None; 16]);
        Self { kind, kinds, event, seen, waiting, len: 0, repeated: false, found }
    }

    pub(super) fn add(&mut self, held: &'i Held) {
        if !self.kinds.may_meet(held.kinds) {
            return;
        }
        held.trigger.spec.filter.screen().touch();
        self.waiting[self.len] = Some(held);
        self.len += 1;
        if self.len == self.waiting.len() {
            self.judge();
        }
    }

    fn judge(&mut self) {
        for held in self.waiting[..self.len].iter().flatten() {
            if held.wants(self.kind, &self.event) {
                self.repeated |= held.kinds.is_repeated();
                self.found.push(&held.trigger);
            }
        }
        self.len = 0;
    }

    /// Judges those that are waiting, and tells whether some may have been found more than once.
    pub(super) fn judge_all(&mut self) -> bool {
        self.judge();
        self.repeated
    }
}

impl Entry for Held {
    /// Where the trigger is in memory, spread evenly: nothing of the trigger is read for it.
    fn identity(&self) -> u64 {
        (Arc::as_ptr(&self.trigger) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.trigger, &other.trigger)
    }

    fn touch(&self) -> usize {
        Arc::strong_count(&self.trigger)
    }
}

impl Entry for Place {
    fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.scope.hash(&mut hasher);
        hasher.finish()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.0.scope == other.0.scope
    }

    fn touch(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}
