//! The keys that an event has: what the ways to its triggers are looked up by.

use super::access::{At, Plain, SlotPair};
use super::hash::Hasher;
use super::parts;
use super::tailed::TailInUse;
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
        Self { hasher, event, hashes: [0; SLOTS], hashed: 0, leaves: None }
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

    /// Shows the keys under which triggers may lie that hold on to parts of the event's texts: for
    /// plain tails of the same texts, or for one other tail. A key may be shown more than once.
    #[inline]
    pub(super) fn each_part(&mut self, tails: &[TailInUse], mut show: impl FnMut(u64)) {
        let Self { hasher, event, .. } = *self;
        match tails.first().and_then(|tail| tail.plain) {
            Some(Plain { slot: Some(slot), .. }) => {
                if let Some(text) = event.slots.get(slot) {
                    parts::each_of_text(hasher, tails, text, &mut show);
                }
            }
            Some(Plain { slot: None, .. }) => {
                event.slots.each_tag(|tag| parts::each_of_text(hasher, tails, tag, &mut show));
            }
            None => tails.iter().for_each(|tail| self.each_part_of_other(tail, &mut show)),
        }
    }

    /// The same for a tail that is not plain.
    fn each_part_of_other(
        &mut self,
        TailInUse { shared, beginnings, .. }: &TailInUse,
        mut show: impl FnMut(u64),
    ) {
        let Self { hasher, event, leaves, .. } = self;
        let Shared { tail, hash } = &**shared;
        let known = *beginnings;
        let mut show = |value| show(hasher.pair(hash.get(), value));
        let each = |leaf, show: &mut dyn FnMut(u64)| {
            parts::each_of_leaf(hasher, tail, known, leaf, show);
        };
        match &tail.at {
            At::Slot(slot) => {
                if let Some(text) = event.slots.get(*slot) {
                    each(Leaf::Text(text), &mut show);
                }
            }
            At::Tags => event.slots.each_tag(|tag| each(Leaf::Text(tag), &mut show)),
            At::Path(path) => {
                each_leaf_at(event.root, path, &mut |leaf| each(leaf, &mut show));
            }
            At::Anywhere => {
                let leaves = leaves.get_or_insert_with(|| {
                    let mut leaves = Vec::new();
                    collect_leaves(event.root, hasher.start(), hasher, &mut leaves);
                    leaves
                });
                for (path, leaf) in leaves {
                    each(*leaf, &mut |value| show(hasher.pair(*path, value)));
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
