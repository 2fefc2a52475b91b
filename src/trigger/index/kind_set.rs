//! Which kinds a trigger wants, in one word.

use std::sync::Arc;

use super::hash::Hasher;
use crate::event::EventKind;
use crate::trigger::KindPattern;

/// A bit for each of the patterns that an index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct KindSet(u64);

/// Stands for all patterns beyond those that have a bit of their own.
const OTHER: u64 = 1 << 63;
/// No pattern: says that the trigger lies in more than one place.
const REPEATED: u64 = 1 << 62;
/// How many patterns have a bit.
const KNOWN: usize = 62;

impl KindSet {
    /// The same, of a trigger that lies in more than one place.
    pub(super) fn repeated(self) -> Self {
        Self(self.0 | REPEATED)
    }

    /// Whether the trigger lies in more than one place.
    pub(super) fn is_repeated(self) -> bool {
        self.0 & REPEATED != 0
    }

    /// Whether two have a pattern in common, or one has patterns without a bit of their own.
    pub(super) fn may_meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the patterns themselves must be asked.
    pub(super) fn is_other(self) -> bool {
        self.0 & OTHER != 0
    }
}

/// The patterns that have a bit: those that triggers of the index have, as long as there is a bit
/// left. One that no trigger has any more makes room for another.
#[derive(Clone)]
pub(super) struct KnownKinds {
    patterns: Arc<Patterns>,
    /// How many triggers have each.
    users: [u32; KNOWN],
}

#[derive(Clone, Default)]
struct Patterns {
    /// Their hashes: one that fits a single kind has the hash of that.
    hashes: Vec<u64>,
    /// The places of those that fit more than one kind.
    stems: u64,
    texts: Vec<KindPattern>,
}

impl Default for KnownKinds {
    fn default() -> Self {
        Self { patterns: Arc::default(), users: [0; KNOWN] }
    }
}

impl KnownKinds {
    /// The set of the patterns of a trigger that is put in.
    pub(super) fn add(&mut self, patterns: &[KindPattern], hasher: &Hasher) -> KindSet {
        let mut set = 0;
        for pattern in patterns {
            let bit = self.place(pattern, hasher).map_or(OTHER, |at| {
                self.users[at] += u32::from(set & 1 << at == 0);
                1 << at
            });
            set |= bit;
        }
        KindSet(set)
    }

    /// Takes the set of a trigger back that is taken out.
    pub(super) fn remove(&mut self, set: KindSet) {
        for (at, users) in self.users.iter_mut().enumerate() {
            *users -= u32::from(set.0 & 1 << at != 0);
        }
    }

    /// The place of a pattern; a new one or that of one without users, if there is any.
    fn place(&mut self, pattern: &KindPattern, hasher: &Hasher) -> Option<usize> {
        if let Some(at) = self.patterns.texts.iter().position(|known| known == pattern) {
            return Some(at);
        }
        let free = self.users.iter().position(|users| *users == 0)?;
        let Patterns { hashes, stems, texts } = Arc::make_mut(&mut self.patterns);
        if free == texts.len() {
            hashes.push(0);
            texts.push(pattern.clone());
        }
        hashes[free] = hasher.bytes(pattern.as_str().as_bytes());
        *stems = *stems & !(1 << free) | u64::from(pattern.has_stem()) << free;
        texts[free] = pattern.clone();
        Some(free)
    }

    /// The set of the patterns that an event's kind fits.
    pub(super) fn of_event(&self, kind: &EventKind, hasher: &Hasher) -> KindSet {
        let Patterns { hashes, stems, texts } = &*self.patterns;
        let hash = hasher.bytes(kind.as_str().as_bytes());
        let mut exact = hashes.iter().zip(texts);
        let exact = exact.position(|(known, text)| *known == hash && text.matches(kind));
        let mut set = exact.map_or(OTHER, |at| OTHER | 1 << at);
        let mut stems = *stems;
        while stems != 0 {
            let at = stems.trailing_zeros();
            if texts[at as usize].matches(kind) {
                set |= 1 << at;
            }
            stems &= stems - 1;
        }
        KindSet(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(n: usize) -> [KindPattern; 1] {
        [format!("kind.k{n}").parse().unwrap()]
    }

    #[test]
    fn a_kind_fits_itself_what_is_above_it_and_whatever_has_no_bit() {
        let hasher = Hasher::random();
        let mut kinds = KnownKinds::default();
        let texts = ["scan.done", "scan.*", "*", "scan.done.*", "scan", "tag.*"];
        let sets: Vec<KindSet> =
            texts.iter().map(|text| kinds.add(&[text.parse().unwrap()], &hasher)).collect();
        let event = kinds.of_event(&"scan.done".parse().unwrap(), &hasher);
        let fits: Vec<bool> = sets.iter().map(|set| set.may_meet(event)).collect();
        assert_eq!(fits, [true, true, true, false, false, false]);
        assert!(event.may_meet(KindSet(OTHER)));
    }

    #[test]
    fn a_pattern_that_no_trigger_has_any_more_makes_room() {
        let hasher = Hasher::random();
        let mut kinds = KnownKinds::default();
        let sets: Vec<KindSet> = (0..KNOWN).map(|n| kinds.add(&patterns(n), &hasher)).collect();
        let again = kinds.add(&patterns(5), &hasher);
        assert_eq!(again, sets[5]);
        assert!(kinds.add(&patterns(100), &hasher).is_other());
        kinds.remove(again);
        assert!(kinds.add(&patterns(101), &hasher).is_other(), "another still has it");
        let before = kinds.clone();
        kinds.remove(sets[5]);
        let new = kinds.add(&patterns(102), &hasher);
        assert!(!new.is_other());
        let met = |kinds: &KnownKinds, n: usize| {
            let event = kinds.of_event(&format!("kind.k{n}").parse().unwrap(), &hasher);
            new.may_meet(event)
        };
        assert_eq!([met(&kinds, 102), met(&kinds, 5)], [true, false]);
        assert_eq!([met(&before, 102), met(&before, 5)], [false, true], "as it was");
    }
}
