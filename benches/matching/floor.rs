//! The second reference, a floor: the bare hash look-ups of the keys that the triggers hold on to,
//! in a prebuilt table, and a touch of what is found. Nothing is verified.
//!
//! A trigger holds on to its registry together with its exact repository, else with what its
//! repositories or its tags must begin with, else to its registry alone. For an event all keys are
//! made anew: its scopes with its kind, its registry, its registry with its repository, and its
//! registry with those beginnings of repository and tags whose length is in use there.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use artifact_triggers::event::Event;

use super::rule::{Field, Rule, Test};

type Table<V> = HashMap<u64, V, BuildHasherDefault<Ready>>;

/// Keys are hashes already.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b ^ 0x9e37_79b9_7f4a_7c15);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    let halves = (product as u64, (product >> 64) as u64);
    halves.0 ^ halves.1
}

/// The hash of a whole text. Its last eight bytes are read at once, together with some of those
/// before them.
fn hash(seed: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let last = match bytes.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let mut state = seed;
    for word in bytes.as_chunks::<8>().0 {
        state = fold(state ^ u64::from_le_bytes(*word), 0xa076_1d64_78bd_642f);
    }
    fold(state ^ last, 0xe703_7ed1_a0b4_28db ^ bytes.len() as u64)
}

const LONGEST: usize = 63;

/// A text with zeroes behind it, so that the hashes of its beginnings can be made in one pass.
struct Text([u8; LONGEST + 1]);

impl Text {
    /// Cuts what is longer; nothing here is.
    fn new(text: &str) -> Self {
        let mut padded = [0; LONGEST + 1];
        let length = text.len().min(LONGEST);
        padded[..length].copy_from_slice(&text.as_bytes()[..length]);
        Self(padded)
    }

    fn hashes(&self, seed: u64) -> Hashes<'_> {
        Hashes { words: self.0.as_chunks().0, state: seed, done: 0 }
    }
}

struct Hashes<'t> {
    words: &'t [[u8; 8]],
    state: u64,
    done: usize,
}

impl Hashes<'_> {
    /// The hash of so many bytes; each call asks for more than the one before.
    fn upto(&mut self, length: usize) -> u64 {
        let length = length.min(LONGEST);
        while self.done < length / 8 {
            let word = u64::from_le_bytes(self.words[self.done]);
            self.state = fold(self.state ^ word, 0xa076_1d64_78bd_642f);
            self.done += 1;
        }
        let word = u64::from_le_bytes(self.words[self.done]);
        let rest = word & ((1 << (length % 8 * 8)) - 1);
        fold(self.state ^ rest, 0xe703_7ed1_a0b4_28db ^ length as u64)
    }
}

const KIND: u64 = 1;
const REGISTRY: u64 = 2;
const REPOSITORY: u64 = 3;
const REPOSITORY_HEAD: u64 = 5;
const TAG_HEAD: u64 = 7;

/// The lengths of the beginnings that are in use in a registry, a bit each.
#[derive(Default, Clone, Copy)]
struct Lengths {
    repository: u64,
    tag: u64,
}

#[derive(Default)]
pub(crate) struct Floor {
    /// By scope and kind; apart, since it is small and stays near.
    kinds: Table<Vec<u32>>,
    table: Table<Vec<u32>>,
    lengths: Table<Lengths>,
}

impl Floor {
    pub(crate) fn add(&mut self, number: usize, rule: &Rule) {
        let number = u32::try_from(number).expect("there are fewer");
        for kind in &rule.kinds {
            // One entry says that the kind is wanted at the root.
            let kind = hash(hash(KIND, ""), super::rule::KINDS[*kind].0.as_str());
            self.kinds.entry(kind).or_insert_with(|| vec![number]);
        }
        if rule.kinds.is_empty() {
            self.kinds.entry(hash(hash(KIND, ""), "artifact.")).or_insert_with(|| vec![number]);
        }
        let Some(Test::Exact(registry)) = rule.test(Field::Registry) else { return };
        let registry = hash(REGISTRY, registry);
        let lengths = self.lengths.entry(registry).or_default();
        let head = |field| rule.test(field).map(Test::head).filter(|head| !head.is_empty());
        let key = if let Some(Test::Exact(repository)) = rule.test(Field::Repository) {
            hash(registry ^ REPOSITORY, repository)
        } else if let Some(head) = head(Field::Repository) {
            lengths.repository |= 1 << head.len();
            beginning(registry ^ REPOSITORY_HEAD, head)
        } else if let Some(head) = head(Field::Tags) {
            lengths.tag |= 1 << head.len();
            beginning(registry ^ TAG_HEAD, head)
        } else {
            registry
        };
        self.table.entry(key).or_default().push(number);
    }

    /// The sum of what was found, so that it is looked at.
    pub(crate) fn touch(&self, event: &Event) -> u64 {
        let mut sum = 0;
        self.each(event, |found| {
            sum += found.into_iter().flatten().map(|number| u64::from(*number)).sum::<u64>();
        });
        sum
    }

    /// How many look-ups there are for an event, and how many of them find something.
    pub(crate) fn look_ups(&self, event: &Event) -> (usize, usize) {
        let (mut all, mut found_some) = (0, 0);
        self.each(event, |found| {
            all += 1;
            found_some += usize::from(found.is_some());
        });
        (all, found_some)
    }

    #[inline]
    fn each<'f>(&'f self, event: &Event, mut look: impl FnMut(Option<&'f Vec<u32>>)) {
        let kind = event.kind.as_str();
        let above = kind.find('.').map_or(kind, |dot| &kind[..=dot]);
        for scope in event.scope.ancestors() {
            let scope = hash(KIND, scope);
            look(self.kinds.get(&hash(scope, kind)));
            look(self.kinds.get(&hash(scope, above)));
        }
        let Some(artifact) = &event.artifact else { return };
        let Some(registry) = &artifact.registry else { return };
        let registry = hash(REGISTRY, registry);
        let Some(lengths) = self.lengths.get(&registry) else { return };
        look(self.table.get(&registry));
        if let Some(repository) = &artifact.repository {
            look(self.table.get(&hash(registry ^ REPOSITORY, repository)));
            self.heads(registry ^ REPOSITORY_HEAD, lengths.repository, repository, &mut look);
        }
        for tag in &artifact.tags {
            self.heads(registry ^ TAG_HEAD, lengths.tag, tag, &mut look);
        }
    }

    #[inline]
    fn heads<'f>(
        &'f self,
        seed: u64,
        mut lengths: u64,
        text: &str,
        look: &mut impl FnMut(Option<&'f Vec<u32>>),
    ) {
        let words = Text::new(text);
        let mut hashes = words.hashes(seed);
        while lengths != 0 {
            let length = lengths.trailing_zeros() as usize;
            if length > text.len() {
                break;
            }
            look(self.table.get(&hashes.upto(length)));
            lengths &= lengths - 1;
        }
    }
}

/// The hash of a whole text that others begin with.
fn beginning(seed: u64, text: &str) -> u64 {
    Text::new(text).hashes(seed).upto(text.len())
}
