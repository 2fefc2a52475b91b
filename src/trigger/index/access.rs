//! What a trigger holds on to: the part of its filter that a look into a table can decide.
//!
//! In: a filter's pattern. Out: [`Way`]s. An event that satisfies the filter has, for one of the
//! ways, the texts in its slots, and [what its tail asks for](super::tailed). The ways are chosen
//! to leave as few other events as they can.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::beginnings::Beginnings;
use super::hash::Hasher;
use crate::event::node::Leaf;
use crate::trigger::filter::slot::{Slot, is_tags};
use crate::trigger::filter::{Clause, Condition, Literal, Pattern, Text};

/// Slots whose texts are known as a whole.
pub(super) type SlotPair = [Option<Slot>; 2];

/// A way from an event to a trigger.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Way {
    pub(super) slots: SlotPair,
    /// The hash of the texts in the slots.
    pub(super) key: u64,
    pub(super) tail: Option<(Tail, Known)>,
}

/// The part of a value that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    pub(super) hash: u64,
    /// What it [begins with](Beginnings::of), if it is bytes.
    pub(super) beginning: u32,
}

/// What else is known: something of the values at a path. A key of the table of tails is its own
/// hash together with that of the part.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tail {
    pub(super) at: At,
    pub(super) part: Part,
    /// In lower case.
    pub(super) folded: bool,
}

/// A tail of texts as they stand in a slot or in the tags, as most tails are: in few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Plain {
    /// Or else the tags.
    pub(super) slot: Option<Slot>,
    pub(super) part: Part,
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum At {
    Slot(Slot),
    Tags,
    Path(Arc<Vec<Box<str>>>),
    /// At any path; the path is part of the key.
    Anywhere,
}

/// Which part of a value is known; tails are sorted so, windows last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Whole,
    /// That it is there at all.
    Presence,
    /// So many bytes at its beginning.
    Head(u8),
    /// So many bytes at its end.
    End(u8),
    /// So many bytes anywhere in it.
    Window(u8),
}

impl Tail {
    /// The same in few bytes, where that is all.
    pub(super) fn plain(&self) -> Option<Plain> {
        let slot = match self.at {
            At::Slot(slot) => Some(slot),
            At::Tags => None,
            At::Path(_) | At::Anywhere => return None,
        };
        (!self.folded).then_some(Plain { slot, part: self.part })
    }

    /// What tells the parts of this tail from those of others.
    pub(super) fn hash(&self, hasher: &Hasher) -> NonZeroU64 {
        let at = match &self.at {
            At::Slot(slot) => u64::from(slot.0),
            At::Tags => 100,
            At::Anywhere => 101,
            At::Path(path) => hasher.path(path.iter().map(|name| &**name)),
        };
        let part = match self.part {
            Part::Whole => 0,
            Part::Presence => 1,
            Part::Head(width) => 0x1_0000 | u64::from(width),
            Part::End(width) => 0x2_0000 | u64::from(width),
            Part::Window(width) => 0x3_0000 | u64::from(width),
        };
        NonZeroU64::MIN | hasher.pair(at, part << 1 | u64::from(self.folded))
    }

    /// The same, found without a list of paths; only of what is quickly looked up for every leaf.
    pub(super) fn anywhere(&self, value: u64, hasher: &Hasher) -> Option<(Self, u64)> {
        match (&self.at, self.part) {
            (At::Path(path), Part::Whole | Part::Presence) if !self.folded => {
                let path = hasher.path(path.iter().map(|name| &**name));
                let tail = Self { at: At::Anywhere, part: self.part, folded: false };
                Some((tail, hasher.pair(path, value)))
            }
            _ => None,
        }
    }
}

/// The most ways to one trigger. One that would need more has a way that needs less of the event.
const MAX_WAYS: usize = 32;
/// The lengths of text that keys are made of: few, so that an event is cut to few of them.
const WIDTHS: [u8; 12] = [64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1];
/// A whole value tells more than any part of one.
const WHOLE: u16 = 100;
/// Below this, something else is worth looking for.
const WEAK: u16 = 4;

/// The ways to what a pattern wants; one that any event has, if there is nothing to hold on to.
pub(super) fn ways(pattern: &Pattern, hasher: &Hasher) -> Vec<Way> {
    let mut demands = Demands::default();
    demands.collect(pattern, &mut Vec::new());
    demands.ways(hasher).ways
}

/// What must be there for a pattern to hold.
#[derive(Clone, Default)]
struct Demands<'p> {
    leaves: Vec<Demand<'p>>,
    /// The branches of each `$or`, and the path that it stands at.
    choices: Vec<(&'p [Pattern], Vec<&'p str>)>,
}

/// A leaf at a path must satisfy any of these conditions.
#[derive(Clone)]
struct Demand<'p> {
    at: At,
    any: &'p [Condition],
}

/// Ways to a trigger, and how much they tell.
struct Found {
    ways: Vec<Way>,
    strength: u16,
}

impl<'p> Demands<'p> {
    fn collect(&mut self, pattern: &'p Pattern, path: &mut Vec<&'p str>) {
        for clause in &pattern.clauses {
            match clause {
                Clause::Leaf { any, .. } if any.iter().any(Condition::holds_for_nothing) => {}
                Clause::Leaf { name, any } => {
                    path.push(name);
                    let at = match Slot::of_path(path) {
                        Some(slot) => At::Slot(slot),
                        None if is_tags(path) => At::Tags,
                        None => {
                            At::Path(Arc::new(path.iter().map(|name| Box::from(*name)).collect()))
                        }
                    };
                    self.leaves.push(Demand { at, any });
                    path.pop();
                }
                Clause::Nested { name, pattern } => {
                    path.push(name);
                    self.collect(pattern, path);
                    path.pop();
                }
                Clause::And(patterns) => {
                    for pattern in patterns {
                        self.collect(pattern, path);
                    }
                }
                Clause::Or(branches) => self.choices.push((branches, path.clone())),
                Clause::Not(_) => {}
            }
        }
    }

    fn ways(&self, hasher: &Hasher) -> Found {
        let found = self.ways_of_leaves(hasher);
        if found.strength >= WEAK {
            return found;
        }
        let better = self.choices.iter().filter_map(|choice| self.ways_of_choice(choice, hasher));
        let best = better.max_by_key(|other| other.strength);
        best.filter(|best| best.strength > found.strength).unwrap_or(found)
    }

    /// The ways through each branch of an `$or`, if they are few enough.
    fn ways_of_choice(
        &self,
        (branches, path): &(&'p [Pattern], Vec<&'p str>),
        hasher: &Hasher,
    ) -> Option<Found> {
        let mut all = Found { ways: Vec::new(), strength: u16::MAX };
        for branch in *branches {
            let mut demands = Self { leaves: self.leaves.clone(), choices: Vec::new() };
            demands.collect(branch, &mut path.clone());
            let found = demands.ways(hasher);
            all.ways.extend(found.ways);
            all.strength = all.strength.min(found.strength);
            if all.ways.len() > MAX_WAYS {
                return None;
            }
        }
        Some(all)
    }

    fn ways_of_leaves(&self, hasher: &Hasher) -> Found {
        let (slots, keys) = self.whole_slots(hasher);
        let named = slots[0].is_some_and(Slot::names_the_artifact);
        let mut found = Found {
            strength: if named {
                2 * WHOLE
            } else if slots[0].is_some() {
                WHOLE
            } else {
                0
            },
            ways: Vec::new(),
        };
        let least = if named { WHOLE } else { u16::from(slots[0].is_some()) };
        let rest = self.leaves.iter().filter(|demand| !is_one_of(&demand.at, slots));
        let tail = rest
            .filter(|demand| demand.any.len() * keys.len() <= MAX_WAYS)
            .map(|demand| demand.tails(hasher))
            .max_by_key(|tails| weakest(tails));
        let way = |key: &u64, tail| Way { slots, key: *key, tail };
        if let Some(tails) = tail.filter(|tails| weakest(tails) >= least) {
            found.strength += weakest(&tails).max(1);
            for tail in tails {
                found.ways.extend(keys.iter().map(|key| way(key, Some(tail.clone()))));
            }
        } else {
            found.ways.extend(keys.iter().map(|key| way(key, None)));
        }
        found
    }

    /// The slots of which whole texts are known, best first, and a key for each combination.
    fn whole_slots(&self, hasher: &Hasher) -> (SlotPair, Vec<u64>) {
        let mut known: Vec<(Slot, Vec<u64>)> = self
            .leaves
            .iter()
            .filter_map(|demand| match &demand.at {
                At::Slot(slot) => demand.whole_texts(hasher).map(|texts| (*slot, texts)),
                _ => None,
            })
            .collect();
        known.sort_by_key(|(slot, texts)| (*slot, texts.len()));
        known.dedup_by_key(|(slot, _)| *slot);
        let mut slots = [None; 2];
        let mut keys = vec![hasher.start()];
        let mut free = slots.iter_mut();
        for (slot, texts) in known {
            if keys.len() * texts.len() <= MAX_WAYS
                && let Some(place) = free.next()
            {
                *place = Some(slot);
                let with_text = |key| texts.iter().map(move |text| hasher.pair(key, *text));
                keys = keys.into_iter().flat_map(with_text).collect();
            }
        }
        (slots, keys)
    }
}

fn is_one_of(at: &At, slots: SlotPair) -> bool {
    matches!(at, At::Slot(slot) if slots.contains(&Some(*slot)))
}

impl Demand<'_> {
    /// The hashes of the texts that it must be one of, if it is so.
    fn whole_texts(&self, hasher: &Hasher) -> Option<Vec<u64>> {
        let hash = |condition: &Condition| match condition {
            Condition::Equals(Literal::Text(text)) => Some(hasher.bytes(text.as_bytes())),
            _ => None,
        };
        self.any.iter().map(hash).collect()
    }

    /// What each of the conditions can be known by.
    fn tails(&self, hasher: &Hasher) -> Vec<(Tail, Known)> {
        let tail = |condition: &Condition| {
            let (part, folded, known) = known_part(condition, hasher);
            (Tail { at: self.at.clone(), part, folded }, known)
        };
        self.any.iter().map(tail).collect()
    }
}

/// How much the tail tells that tells least.
fn weakest(tails: &[(Tail, Known)]) -> u16 {
    let strength = |(tail, _): &(Tail, Known)| match tail.part {
        Part::Whole => WHOLE,
        Part::Presence => 0,
        Part::Head(width) | Part::End(width) | Part::Window(width) => width.into(),
    };
    tails.iter().map(strength).min().unwrap_or(0)
}

type KnownPart = (Part, bool, Known);

/// The part of a value that a condition knows, and whether in lower case.
fn known_part(condition: &Condition, hasher: &Hasher) -> KnownPart {
    let whole =
        |leaf, folded| (Part::Whole, folded, Known { hash: hasher.leaf(leaf), beginning: 0 });
    match condition {
        Condition::Equals(literal) => whole(literal.as_leaf(), false),
        Condition::EqualsIgnoreCase(text) => whole(Leaf::Text(text.as_str()), true),
        Condition::Prefix(text) => head_of(text.as_str(), is_folded(text), hasher),
        Condition::Suffix(text) => end_of(text.as_str(), is_folded(text), hasher),
        Condition::Contains(text) => window_of(text, hasher),
        Condition::Regex(regex) => window_of(regex.required(), hasher),
        Condition::Glob(glob) => longest(glob.head(), &glob.longest_inner(), glob.tail(), hasher),
        Condition::Wildcard(pattern) => match pattern.literals() {
            [first, middle @ .., last] => {
                let inner = middle.iter().max_by_key(|text| text.len()).map_or("", |text| text);
                longest(first, inner, last, hasher)
            }
            _ => presence(hasher),
        },
        _ => presence(hasher),
    }
}

fn is_folded(text: &Text) -> bool {
    matches!(text, Text::IgnoreCase(_))
}

fn presence(hasher: &Hasher) -> KnownPart {
    (Part::Presence, false, Known { hash: hasher.presence(), beginning: 0 })
}

/// The part that tells most of texts that begin, go on and end so.
fn longest(first: &str, inner: &str, last: &str, hasher: &Hasher) -> KnownPart {
    if first.len() >= inner.len().max(last.len()) {
        head_of(first, false, hasher)
    } else if last.len() >= inner.len() {
        end_of(last, false, hasher)
    } else {
        window_of(inner, hasher)
    }
}

/// The longest width that a text has.
fn width(text: &str) -> Option<u8> {
    WIDTHS.into_iter().find(|width| usize::from(*width) <= text.len())
}

fn head_of(text: &str, folded: bool, hasher: &Hasher) -> KnownPart {
    let Some(width) = width(text) else { return presence(hasher) };
    (Part::Head(width), folded, known(&text.as_bytes()[..usize::from(width)], hasher))
}

fn end_of(text: &str, folded: bool, hasher: &Hasher) -> KnownPart {
    let Some(width) = width(text) else { return presence(hasher) };
    (Part::End(width), folded, known(&text.as_bytes()[text.len() - usize::from(width)..], hasher))
}

fn window_of(text: &str, hasher: &Hasher) -> KnownPart {
    let Some(width) = width(text) else { return presence(hasher) };
    (Part::Window(width), false, known(&text.as_bytes()[..usize::from(width)], hasher))
}

fn known(part: &[u8], hasher: &Hasher) -> Known {
    Known { hash: hasher.bytes(part), beginning: Beginnings::of(part) }
}
