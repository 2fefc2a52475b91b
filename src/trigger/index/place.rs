//! The triggers of one scope, under what they hold on to.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use super::access::{At, Known, SlotPair, Tail, Way};
use super::beginnings::Beginnings;
use super::hash::Hasher;
use super::kind_set::KindSet;
use super::probe::{Probe, View};
use super::table::{Entry, Table};
use crate::event::{EventKind, Scope};
use crate::trigger::Trigger;
use crate::trigger::filter::{Screen, Screened};

/// The most tails below the texts of a shelf: what would need another one lies there without a tail.
pub(super) const MAX_TAILS: usize = 64;

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
    whole: Table<Held>,
    /// By the texts in the slots: what holds on to something else besides.
    tailed: Table<Tailed>,
}

/// What holds on to the same texts in the slots, and to something else.
#[derive(Clone, Default)]
struct Tailed {
    tails: Arc<[TailInUse]>,
    /// By the hash of a tail and of the part that it knows; searched many times for one event.
    held: Table<Held, 64>,
}

#[derive(Clone)]
struct TailInUse {
    tail: Tail,
    hash: u64,
    holders: u32,
    /// What the parts begin with that triggers hold on to.
    beginnings: Beginnings,
}

/// Where in a place a trigger lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    slots: SlotPair,
    key: u64,
    /// The hash of the tail and the key below it, if it lies below one.
    tail: Option<(u64, u64)>,
}

/// A trigger under something that it holds on to.
#[derive(Clone)]
pub(super) struct Held {
    kinds: KindSet,
    screen: Screen,
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
    pub(super) fn insert(&mut self, way: &Way, held: Held, hasher: &Hasher) -> Spot {
        let shelves = &mut Arc::make_mut(&mut self.0).shelves;
        let known = shelves.iter().position(|shelf| shelf.slots == way.slots);
        let at = known.unwrap_or_else(|| {
            let (whole, tailed) = (Table::default(), Table::default());
            shelves.push(Shelf { slots: way.slots, whole, tailed });
            shelves.len() - 1
        });
        let tail = shelves[at].insert(way, held, hasher);
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
        // First what is found by whole texts, so that all of it is fetched at once.
        let mut tailed = [None; 4];
        let mut len = 0;
        for shelf in &self.0.shelves {
            let Some(key) = probe.key(shelf.slots) else { continue };
            if let Some(found) = shelf.tailed.first(key) {
                found.fetch();
                if len == tailed.len() {
                    found.search(probe, near);
                } else {
                    tailed[len] = Some(found);
                    len += 1;
                }
            }
            shelf.whole.each(key, |held| near.add(held));
        }
        for tailed in tailed.iter().flatten() {
            tailed.search(probe, near);
        }
    }
}

impl Shelf {
    fn triggers(&self) -> impl Iterator<Item = &Arc<Trigger>> {
        let tailed = self.tailed.iter().flat_map(|tailed| tailed.held.iter());
        self.whole.iter().chain(tailed).map(|held| &held.trigger)
    }

    /// Puts a trigger in, and tells below which tail and key, if it lies below one.
    fn insert(&mut self, way: &Way, held: Held, hasher: &Hasher) -> Option<(u64, u64)> {
        if let Some(held_by) = &way.tail {
            let mut tailed = self.tailed.first(way.key).cloned().unwrap_or_default();
            let spot = tailed.insert(held_by, &held, hasher);
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
        if tailed.tails.is_empty() {
            self.tailed.remove(spot.key, &tailed);
        } else {
            self.tailed.insert(spot.key, tailed);
        }
    }
}

impl Tailed {
    /// Puts a trigger in, and tells below which tail and key; `None` if there is no room for its
    /// tail.
    fn insert(
        &mut self,
        (tail, known): &(Tail, Known),
        held: &Held,
        hasher: &Hasher,
    ) -> Option<(u64, u64)> {
        let own = std::iter::once((tail.clone(), known.hash));
        let mut tails = own.chain(tail.anywhere(known.hash, hasher));
        let (at, value) =
            tails.find_map(|(tail, value)| Some((self.place(tail, hasher)?, value)))?;
        let tail = &mut Arc::make_mut(&mut self.tails)[at];
        let key = hasher.pair(tail.hash, value);
        tail.holders += u32::from(self.held.insert(key, held.clone()));
        tail.beginnings.add(known.beginning);
        Some((tail.hash, key))
    }

    /// The place of a tail among those in use; a new one, if there is room.
    fn place(&mut self, tail: Tail, hasher: &Hasher) -> Option<usize> {
        if let Some(at) = self.tails.iter().position(|known| known.tail == tail) {
            return Some(at);
        }
        if self.tails.len() >= MAX_TAILS && tail.at != At::Anywhere {
            return None;
        }
        let hash = tail.hash(hasher);
        let beginnings = Beginnings::default();
        let new = TailInUse { tail, hash, holders: 0, beginnings };
        self.tails = self.tails.iter().cloned().chain([new]).collect();
        Some(self.tails.len() - 1)
    }

    fn remove(&mut self, tail: u64, key: u64, held: &Held) {
        let Some(at) = self.tails.iter().position(|known| known.hash == tail) else { return };
        if self.held.remove(key, held) {
            let tail = &mut Arc::make_mut(&mut self.tails)[at];
            tail.holders -= 1;
            if tail.holders == 0 {
                let (before, behind) = (&self.tails[..at], &self.tails[at + 1..]);
                self.tails = before.iter().chain(behind).cloned().collect();
            }
        }
    }

    /// Reads what searching will read first.
    fn fetch(&self) {
        std::hint::black_box((self.tails.first().map(|tail| tail.hash), self.held.touch()));
    }

    fn search<'i>(&'i self, probe: &mut Probe<'_>, near: &mut Near<'i, '_, '_>) {
        for TailInUse { tail, hash, beginnings, .. } in &*self.tails {
            probe.each_part(tail, *hash, beginnings, |key| {
                let mut is_new = None;
                self.held.each(key, |held| {
                    let address = std::ptr::from_ref(self) as usize;
                    if *is_new.get_or_insert_with(|| near.seen.is_new((address, key))) {
                        near.add(held);
                    }
                });
            });
        }
    }
}

impl Held {
    pub(super) fn new(trigger: &Arc<Trigger>, kinds: KindSet) -> Self {
        Self { kinds, screen: trigger.spec.filter.screen().clone(), trigger: trigger.clone() }
    }

    /// Whether the trigger wants the event.
    fn wants(&self, kind: &EventKind, event: &View<'_>) -> bool {
        match self.screen.judge(event.slots) {
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
    seen: Seen,
    waiting: [Option<&'i Held>; 16],
    len: usize,
    found: &'f mut Vec<&'i Arc<Trigger>>,
}

impl<'i, 'e, 'f> Near<'i, 'e, 'f> {
    pub(super) fn new(
        kind: &'e EventKind,
        kinds: KindSet,
        event: View<'e>,
        found: &'f mut Vec<&'i Arc<Trigger>>,
    ) -> Self {
        Self { kind, kinds, event, seen: Seen::default(), waiting: [None; 16], len: 0, found }
    }

    fn add(&mut self, held: &'i Held) {
        if !self.kinds.may_meet(held.kinds) {
            return;
        }
        std::hint::black_box(held.screen.touch());
        self.waiting[self.len] = Some(held);
        self.len += 1;
        if self.len == self.waiting.len() {
            self.judge();
        }
    }

    /// Judges those that are waiting.
    pub(super) fn judge(&mut self) {
        let near = self.waiting[..self.len].iter().flatten();
        let concerned = near.filter(|held| held.wants(self.kind, &self.event));
        self.found.extend(concerned.map(|held| &held.trigger));
        self.len = 0;
    }
}

/// Which keys of which tables were looked at, so that a text that repeats itself costs no more than
/// its length.
#[derive(Default)]
pub(super) struct Seen {
    first: [(usize, u64); 16],
    len: usize,
    more: HashSet<(usize, u64)>,
}

impl Seen {
    fn is_new(&mut self, key: (usize, u64)) -> bool {
        if self.first[..self.len].contains(&key) {
            return false;
        }
        if self.len < self.first.len() {
            self.first[self.len] = key;
            self.len += 1;
            return true;
        }
        self.more.insert(key)
    }
}

impl Entry for Held {
    fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.trigger.id.hash(&mut hasher);
        hasher.finish()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.trigger.id == other.trigger.id
    }

    fn touch(&self) -> usize {
        Arc::strong_count(&self.trigger) + self.screen.touch()
    }
}

/// There is one for each key.
impl Entry for Tailed {
    fn identity(&self) -> u64 {
        0
    }

    fn is_same(&self, _: &Self) -> bool {
        true
    }

    fn touch(&self) -> usize {
        Arc::strong_count(&self.tails) + self.held.touch()
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
