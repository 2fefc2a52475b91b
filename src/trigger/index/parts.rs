//! Cuts texts into the parts that tails may know.
//!
//! No hash is made of a part that begins as none does that a trigger holds on to. The hash of a
//! part together with that of its tail is the key under which the triggers lie that hold on to it.

use super::access::{Part, Plain, Tail};
use super::beginnings::{self, Beginnings};
use super::hash::Hasher;
use super::tailed::TailInUse;
use crate::event::node::Leaf;

/// Shows the key of every part of a text that any of these plain tails may know.
#[inline]
pub(super) fn each_of_text(
    hasher: &Hasher,
    tails: &[TailInUse],
    text: &str,
    show: &mut impl FnMut(u64),
) {
    // They are sorted so that these stand last; narrower ones are looked for like all others.
    let is_window = |tail: &&TailInUse| width_of_window(tail) >= beginnings::WIDTH;
    let windows = tails.iter().rev().take_while(is_window).count();
    let (others, windows) = tails.split_at(tails.len() - windows);
    for tail in others {
        let Some(plain) = tail.plain else { continue };
        let mut show = |value| show(hasher.pair(tail.shared.hash.get(), value));
        each_of_tail(hasher, plain.part, tail.beginnings, text, &mut show);
    }
    if windows.is_empty() {
        return;
    }
    // One way through the text for all of them.
    let known = windows.iter().fold(Beginnings::default(), |known, tail| known.or(tail.beginnings));
    let bytes = text.as_bytes();
    for (at, beginning) in bytes.windows(beginnings::WIDTH).map(Beginnings::of).enumerate() {
        if !known.may_have(beginning) {
            continue;
        }
        for tail in windows.iter().filter(|tail| tail.beginnings.may_have(beginning)) {
            if let Some(part) = bytes.get(at..at + width_of_window(tail)) {
                show(hasher.pair(tail.shared.hash.get(), hasher.bytes(part)));
            }
        }
    }
}

/// How wide a window is; 0, if the tail knows something else.
fn width_of_window(tail: &TailInUse) -> usize {
    match tail.plain {
        Some(Plain { part: Part::Window(width), .. }) => usize::from(width),
        _ => 0,
    }
}

/// Shows the hash of every part of a leaf that a tail may know; the tail's own is not in it.
pub(super) fn each_of_leaf(
    hasher: &Hasher,
    tail: &Tail,
    known: Beginnings,
    leaf: Leaf<'_>,
    show: &mut dyn FnMut(u64),
) {
    match tail.part {
        Part::Presence => show(hasher.presence()),
        Part::Whole if !tail.folded => show(hasher.leaf(leaf)),
        part if tail.folded => {
            if let Some(lower) = leaf.with_text(str::to_lowercase) {
                each_of_tail(hasher, part, known, &lower, show);
            }
        }
        part => {
            leaf.with_text(|text| each_of_tail(hasher, part, known, text, show));
        }
    }
}

/// Shows the hash of every part of a text that a tail may know.
#[inline]
fn each_of_tail(
    hasher: &Hasher,
    part: Part,
    known: Beginnings,
    text: &str,
    show: &mut (impl FnMut(u64) + ?Sized),
) {
    let bytes = text.as_bytes();
    let mut show_known = |part: &[u8]| {
        if known.may_have(Beginnings::of(part)) {
            show(hasher.bytes(part));
        }
    };
    match part {
        Part::Whole => show(hasher.bytes(bytes)),
        Part::Presence => show(hasher.presence()),
        Part::Head(width) => {
            if let Some(head) = bytes.get(..usize::from(width)) {
                show_known(head);
            }
        }
        Part::End(width) => {
            if let Some(start) = bytes.len().checked_sub(usize::from(width)) {
                show_known(&bytes[start..]);
            }
        }
        Part::Window(width) => bytes.windows(usize::from(width)).for_each(show_known),
    }
}
