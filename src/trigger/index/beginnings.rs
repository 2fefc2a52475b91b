//! What parts begin with: a look at four bytes before a table is asked.

/// A set of beginnings that may say yes to what is not in it, and never no to what is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beginnings {
    bits: [u64; 2],
}

/// Of how many bytes a beginning is.
pub(super) const WIDTH: usize = 4;

impl Beginnings {
    /// The beginning of a part, in one word.
    #[inline]
    pub(super) fn of(part: &[u8]) -> u32 {
        match part.first_chunk::<WIDTH>() {
            Some(first) => u32::from_le_bytes(*first),
            None => part.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, beginning: u32) {
        let (word, bit) = Self::place(beginning);
        self.bits[word] |= 1 << bit;
    }

    /// What is in either.
    #[inline]
    pub(super) fn or(self, other: Self) -> Self {
        Self { bits: [self.bits[0] | other.bits[0], self.bits[1] | other.bits[1]] }
    }

    /// Whether a part that begins so may be known.
    #[inline]
    pub(super) fn may_have(self, beginning: u32) -> bool {
        let (word, bit) = Self::place(beginning);
        self.bits[word] >> bit & 1 != 0
    }

    /// The word and the bit of a beginning.
    #[inline]
    fn place(beginning: u32) -> (usize, u32) {
        // Fibonacci hashing: the highest bits depend on all others.
        let spread = beginning.wrapping_mul(0x9e37_79b9);
        ((spread >> 31) as usize, spread >> 25 & 63)
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
    fn what_is_in_either_may_be_there() {
        let [mut one, mut other] = [Beginnings::default(); 2];
        one.add(Beginnings::of(b"part"));
        other.add(Beginnings::of(b"else"));
        let both = one.or(other);
        assert!(
            both.may_have(Beginnings::of(b"part-of-it")) && both.may_have(Beginnings::of(b"else"))
        );
        assert!(!one.may_have(Beginnings::of(b"else")));
    }
}
