//! The keys that an event has: what the ways to its triggers are looked up by.

use super::access::{At, Part, SlotPair, Tail};
use super::beginnings::Beginnings;
use super::hash::Hasher;
use super::tails::Shared;
use crate::event::node::{Leaf, Node, Shape as Form};
use crate::trigger::filter::slot::{SLOTS, Slot, Slots};

/// An event that is being looked up.
pub(super) struct Probe<'e> {
    hasher: &'e Hasher,
    event: View<'e>,
    /// The hashes of the texts in the slots: those in `hashed` are made.
    hashes: [u64; SLOTS],
    hashed: u32,
    /// Every leaf with the hash of its path; walked once, if some tail asks for them.
    leaves: Option<Vec<(u64, Leaf<'e>)>>,
    parts: Parts<'e>,
}

/// An event as filters judge it.
#[derive(Clone, Copy)]
pub(super) struct View<'e> {
    pub(super) slots: &'e Slots<'e>,
    pub(super) root: Node<'e>,
}

impl<'e> Probe<'e> {
    pub(super) fn new(hasher: &'e Hasher, slots: &'e Slots<'e>, root: Node<'e>) -> Self {
        let event = View { slots, root };
        let parts = Parts { hasher, recent: Default::default(), oldest: 0 };
        Self { hasher, event, hashes: [0; SLOTS], hashed: 0, leaves: None, parts }
    }

    pub(super) fn view(&self) -> View<'e> {
        self.event
    }

    /// The hash of the texts in the slots, if there is a text in each.
    pub(super) fn key(&mut self, slots: SlotPair) -> Option<u64> {
        slots.iter().flatten().try_fold(self.hasher.start(), |key, slot| {
            Some(self.hasher.pair(key, self.hash(*slot)?))
        })
    }

    fn hash(&mut self, slot: Slot) -> Option<u64> {
        let at = usize::from(slot.0);
        if self.hashed & 1 << at == 0 {
            self.hashes[at] = self.hasher.bytes(self.event.slots.get(slot)?.as_bytes());
            self.hashed |= 1 << at;
        }
        Some(self.hashes[at])
    }

    /// Shows the key of every part that a tail may know, of those that are known. The same one may
    /// be shown more than once.
    pub(super) fn each_part(
        &mut self,
        Shared { tail, hash }: &Shared,
        known: Beginnings,
        mut show: impl FnMut(u64),
    ) {
        let Self { hasher, event, parts, leaves, .. } = self;
        let mut show = |value| show(hasher.pair(hash.get(), value));
        match &tail.at {
            At::Slot(slot) => {
                if let Some(text) = event.slots.get(*slot) {
                    parts.each(tail, known, Leaf::Text(text), show);
                }
            }
            At::Tags => event.slots.each_tag(|tag| {
                parts.each(tail, known, Leaf::Text(tag), &mut show);
            }),
            At::Path(path) => each_leaf_at(event.root, path, &mut |leaf| {
                parts.each(tail, known, leaf, &mut show);
            }),
            At::Anywhere => {
                let leaves = leaves.get_or_insert_with(|| {
                    let mut leaves = Vec::new();
                    collect_leaves(event.root, hasher.start(), hasher, &mut leaves);
                    leaves
                });
                for (path, leaf) in leaves {
                    parts.each(tail, known, *leaf, |value| show(hasher.pair(*path, value)));
                }
            }
        }
    }
}

fn collect_leaves<'e>(
    node: Node<'e>,
    path: u64,
    hasher: &Hasher,
    leaves: &mut Vec<(u64, Leaf<'e>)>,
) {
    match node.shape() {
        Form::Leaf(leaf) => leaves.push((path, leaf)),
        Form::Array(len) => {
            for element in (0..len).filter_map(|at| node.element(at)) {
                collect_leaves(element, path, hasher, leaves);
            }
        }
        Form::Object => node.each_member(&mut |name, member| {
            let path = hasher.pair(path, hasher.bytes(name.as_bytes()));
            collect_leaves(member, path, hasher, leaves);
        }),
    }
}

/// Shows the leaves at a path, in every element of the arrays on the way.
fn each_leaf_at<'e>(node: Node<'e>, path: &[Box<str>], show: &mut impl FnMut(Leaf<'e>)) {
    match (node.shape(), path) {
        (Form::Array(len), _) => {
            for element in (0..len).filter_map(|at| node.element(at)) {
                each_leaf_at(element, path, show);
            }
        }
        (Form::Leaf(leaf), []) => show(leaf),
        (Form::Object, [name, rest @ ..]) => {
            if let Some(member) = node.member(name) {
                each_leaf_at(member, rest, show);
            }
        }
        (Form::Leaf(_), _) | (Form::Object, []) => {}
    }
}

/// Cuts leaves into the parts that tails may know.
struct Parts<'e> {
    hasher: &'e Hasher,
    /// What is in the texts that were looked through lately.
    recent: [(&'e str, Beginnings); 4],
    oldest: usize,
}

impl<'e> Parts<'e> {
    /// Shows the hash of every part of a leaf that a tail may know.
    #[inline]
    fn each(&mut self, tail: &Tail, known: Beginnings, leaf: Leaf<'e>, show: impl FnMut(u64)) {
        let hasher = self.hasher;
        if tail.folded {
            if let Some(lower) = leaf.with_text(str::to_lowercase) {
                each_part_of(hasher, tail.part, known, Leaf::Text(&lower), show);
            }
            return;
        }
        if let (Part::Window(width), Leaf::Text(text)) = (tail.part, leaf)
            && !known.may_meet(self.beginnings(text), usize::from(width))
        {
            return;
        }
        each_part_of(hasher, tail.part, known, leaf, show);
    }

    /// What all parts of a text begin with; found out once, however many tails ask.
    fn beginnings(&mut self, text: &'e str) -> Beginnings {
        let known = self.recent.iter().find(|(recent, _)| std::ptr::eq(*recent, text));
        if let Some((_, beginnings)) = known {
            return *beginnings;
        }
        let beginnings = Beginnings::of_all(text.as_bytes());
        self.recent[self.oldest] = (text, beginnings);
        self.oldest = (self.oldest + 1) % self.recent.len();
        beginnings
    }
}

fn each_part_of(
    hasher: &Hasher,
    part: Part,
    known: Beginnings,
    leaf: Leaf<'_>,
    mut show: impl FnMut(u64),
) {
    let width = match part {
        Part::Whole => return show(hasher.leaf(leaf)),
        Part::Presence => return show(hasher.presence()),
        Part::Head(width) | Part::End(width) | Part::Window(width) => usize::from(width),
    };
    leaf.with_text(|text| {
        let bytes = text.as_bytes();
        let Some(last) = bytes.len().checked_sub(width) else { return };
        let mut show = |part: &[u8]| {
            if known.may_have(Beginnings::of(part)) {
                show(hasher.bytes(part));
            }
        };
        match part {
            Part::Head(_) => show(&bytes[..width]),
            Part::End(_) => show(&bytes[last..]),
            _ => bytes.windows(width).for_each(show),
        }
    });
}
