//! What parts begin with: a look at four bytes before a table is asked.

/// A set of beginnings that may say yes to what is not in it, and never no to what is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beginnings {
    bits: u128,
}

/// Of how many bytes a beginning is.
const WIDTH: usize = 4;

impl Beginnings {
    /// The beginning of a part, in one word.
    #[inline]
    pub(super) fn of(part: &[u8]) -> u32 {
        match part.first_chunk::<WIDTH>() {
            Some(first) => u32::from_le_bytes(*first),
            None => part.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)),
        }
    }

    /// The beginnings of all parts of a text that are at least as long as a beginning.
    pub(super) fn of_all(text: &[u8]) -> Self {
        let mut all = Self::default();
        text.windows(WIDTH).for_each(|part| all.add(Self::of(part)));
        all
    }

    #[inline]
    pub(super) fn add(&mut self, beginning: u32) {
        self.bits |= Self::bit(beginning);
    }

    /// Whether a part that begins so may be known.
    #[inline]
    pub(super) fn may_have(self, beginning: u32) -> bool {
        self.bits & Self::bit(beginning) != 0
    }

    /// Whether a part of so many bytes may be known and be among [all of a text](Self::of_all).
    #[inline]
    pub(super) fn may_meet(self, all: Self, width: usize) -> bool {
        width < WIDTH || self.bits & all.bits != 0
    }

    #[inline]
    fn bit(beginning: u32) -> u128 {
        // Fibonacci hashing: the highest bits depend on all others.
        1 << (beginning.wrapping_mul(0x9e37_79b9) >> 25)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_may_be_there_and_most_else_is_not() {
        let mut beginnings = Beginnings::default();
        let known: Vec<String> = (0..8).map(|n| format!("{n:x}-part")).collect();
        for part in &known {
            beginnings.add(Beginnings::of(part.as_bytes()));
        }
        assert!(known.iter().all(|part| beginnings.may_have(Beginnings::of(part.as_bytes()))));
        let others = (0..1_000).map(|n| format!("{n}x"));
        let taken = others.filter(|part| beginnings.may_have(Beginnings::of(part.as_bytes())));
        assert!(taken.count() < 100);
    }

    #[test]
    fn a_part_that_is_in_a_text_is_never_denied() {
        for part in ["p", "par", "part", "rt-of-it", "t"] {
            let mut known = Beginnings::default();
            known.add(Beginnings::of(part.as_bytes()));
            assert!(known.may_meet(Beginnings::of_all(b"a part-of-it"), part.len()), "{part}");
        }
        let mut known = Beginnings::default();
        known.add(Beginnings::of(b"else"));
        assert!(!known.may_meet(Beginnings::of_all(b"a part-of-it"), 4));
    }
}
