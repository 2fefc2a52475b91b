//! The triggers of one scope, under what they hold on to.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::num::NonZeroU64;
use std::sync::Arc;

use super::access::{At, Known, SlotPair, Tail, Way};
use super::beginnings::Beginnings;
use super::hash::Hasher;
use super::kind_set::KindSet;
use super::probe::{Probe, View};
use super::table::{Entry, Lead, Table};
use super::tails::{Shared, Tails};
use crate::event::{EventKind, Scope};
use crate::trigger::Trigger;
use crate::trigger::filter::Screened;

/// The most tails below the texts of a shelf: what would need another one lies there without a
/// tail.
pub(super) const MAX_TAILS: usize = 64;
/// How many shelves are looked at together.
const TOGETHER: usize = 4;

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

/// What holds on to the same texts in the slots, and to something else.
#[derive(Clone, Default)]
struct Tailed {
    tails: Arc<[TailInUse]>,
    /// By the hash of a tail and of the part that it knows; searched many times for one event.
    held: Table<Held, 16, 64>,
}

#[derive(Clone)]
struct TailInUse {
    shared: Arc<Shared>,
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
            for (lead, below) in leads.into_iter().zip(&mut below) {
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
        let tailed = self.tailed.iter().flat_map(|tailed| tailed.held.iter());
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
        Keys { hasher, tails }: &Keys,
    ) -> Option<(NonZeroU64, u64)> {
        let own = std::iter::once((tail.clone(), known.hash));
        let mut ways = own.chain(tail.anywhere(known.hash, hasher));
        let (at, value) = ways.find_map(|(tail, value)| {
            let shared = tails.shared(tail, hasher);
            Some((self.place(shared)?, value))
        })?;
        let tail = &mut Arc::make_mut(&mut self.tails)[at];
        let hash = tail.shared.hash;
        let key = hasher.pair(hash.get(), value);
        tail.holders += u32::from(self.held.insert(key, held.clone()));
        tail.beginnings.add(known.beginning);
        Some((hash, key))
    }

    /// The place of a tail among those in use; a new one, if there is room.
    fn place(&mut self, shared: Arc<Shared>) -> Option<usize> {
        if let Some(at) = self.tails.iter().position(|known| Arc::ptr_eq(&known.shared, &shared)) {
            return Some(at);
        }
        if self.tails.len() >= MAX_TAILS && shared.tail.at != At::Anywhere {
            return None;
        }
        let new = TailInUse { shared, holders: 0, beginnings: Beginnings::default() };
        self.tails = self.tails.iter().cloned().chain([new]).collect();
        Some(self.tails.len() - 1)
    }

    fn remove(&mut self, tail: NonZeroU64, key: u64, held: &Held) {
        let Some(at) = self.tails.iter().position(|known| known.shared.hash == tail) else {
            return;
        };
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
        std::hint::black_box((self.tails.first().map(|tail| tail.holders), self.held.touch()));
    }

    fn search<'i>(&'i self, probe: &mut Probe<'_>, near: &mut Near<'i, '_, '_>) {
        let mut leads = Leads { below: self, waiting: [const { None }; 16], len: 0 };
        for TailInUse { shared, beginnings, .. } in &*self.tails {
            probe.each_part(shared, *beginnings, |key| leads.follow_soon(key, near));
        }
        leads.follow(near);
    }
}

/// Keys that are looked up: some at once, so that what is read for them is fetched together.
struct Leads<'i> {
    below: &'i Tailed,
    waiting: [Option<(u64, Lead<'i, Held, 16, 64>)>; 16],
    len: usize,
}

impl<'i> Leads<'i> {
    fn follow_soon(&mut self, key: u64, near: &mut Near<'i, '_, '_>) {
        let lead = self.below.held.lead(key);
        lead.touch();
        self.waiting[self.len] = Some((key, lead));
        self.len += 1;
        if self.len == self.waiting.len() {
            self.follow(near);
        }
    }

    fn follow(&mut self, near: &mut Near<'i, '_, '_>) {
        let table = std::ptr::from_ref(self.below) as usize;
        for (key, lead) in self.waiting[..self.len].iter_mut().filter_map(Option::take) {
            let mut is_new = None;
            lead.each(|held| {
                if *is_new.get_or_insert_with(|| near.seen.is_new((table, key))) {
                    near.add(held);
                }
            });
        }
        self.len = 0;
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
    seen: Seen,
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

    fn add(&mut self, held: &'i Held) {
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
    pub(super) fn judge_all(mut self) -> bool {
        self.judge();
        self.repeated
    }
}

/// Which keys of which tables were looked at, so that a text that repeats itself costs no more than
/// its length.
#[derive(Default)]
pub(super) struct Seen {
    first: [(usize, u64); 8],
    len: usize,
    more: Option<HashSet<(usize, u64)>>,
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
        self.more.get_or_insert_default().insert(key)
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
