//! The triggers that hold on to the same texts, and each to something else besides.

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::access::{At, Known, Plain, Tail};
use super::beginnings::Beginnings;
use super::place::{Held, Keys, Near};
use super::probe::Probe;
use super::table::{Entry, Lead, Table};
use super::tails::Shared;

/// The most tails below the texts of a shelf: what would need another one lies there without a
/// tail.
const MAX_TAILS: usize = 64;

/// What holds on to the same texts in the slots, and to something else.
#[derive(Clone, Default)]
pub(super) struct Tailed {
    /// Sorted, so that the plain ones of one slot lie beside each other, windows last.
    tails: Arc<[TailInUse]>,
    /// By the hash of a tail and of the part that it knows; searched many times for one event.
    held: Table<Held, 16, 64>,
}

/// A tail that triggers have.
#[derive(Clone)]
pub(super) struct TailInUse {
    pub(super) shared: Arc<Shared>,
    holders: u32,
    /// What the tail is, if it is so little, here too: for most events that is all that is read.
    pub(super) plain: Option<Plain>,
    /// What the parts begin with that triggers hold on to, or did while the tail was in use.
    pub(super) beginnings: Beginnings,
}

impl Tailed {
    pub(super) fn is_empty(&self) -> bool {
        self.tails.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }

    /// Puts a trigger in, and tells below which tail and key; `None` if there is no room for its
    /// tail.
    pub(super) fn insert(
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
        let (plain, beginnings) = (shared.tail.plain(), Beginnings::default());
        let at = self.tails.partition_point(|known| known.plain <= plain);
        let new = TailInUse { shared, holders: 0, plain, beginnings };
        let (before, behind) = self.tails.split_at(at);
        self.tails = before.iter().cloned().chain([new]).chain(behind.iter().cloned()).collect();
        Some(at)
    }

    pub(super) fn remove(&mut self, tail: NonZeroU64, key: u64, held: &Held) {
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
    pub(super) fn fetch(&self) {
        std::hint::black_box((self.tails.first().map(|tail| tail.holders), self.held.touch()));
    }

    /// Shows to the judge whatever an event may concern.
    pub(super) fn search<'i>(&'i self, probe: &mut Probe<'_>, near: &mut Near<'i, '_, '_>) {
        let mut leads = Leads { below: self, waiting: [const { None }; 16], len: 0 };
        for tails in self.tails.chunk_by(TailInUse::is_beside) {
            probe.each_part(tails, |key| leads.follow_soon(key, near));
        }
        leads.follow(near);
    }
}

impl TailInUse {
    /// Whether both are plain and know parts of the same texts.
    fn is_beside(&self, other: &Self) -> bool {
        self.plain.zip(other.plain).is_some_and(|(one, other)| one.slot == other.slot)
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
        for (key, lead) in self.waiting[..self.len].iter().flatten() {
            let mut is_new = None;
            lead.each(|held| {
                if *is_new.get_or_insert_with(|| near.seen.is_new((table, *key))) {
                    near.add(held);
                }
            });
        }
        self.len = 0;
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
    pub(super) fn is_new(&mut self, key: (usize, u64)) -> bool {
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
