//! What the parts begin with that a tail knows: a look at four bytes before a table is asked.

/// A set of beginnings that may say yes to what is not in it, and never no to what is.
#[derive(Debug, Clone, Default)]
pub(super) struct Beginnings {
    bits: u64,
}

impl Beginnings {
    /// The beginning of a part, in one word.
    pub(super) fn of(part: &[u8]) -> u32 {
        match part.first_chunk::<4>() {
            Some(first) => u32::from_le_bytes(*first),
            None => part.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)),
        }
    }

    pub(super) fn add(&mut self, beginning: u32) {
        self.bits |= Self::bit(beginning);
    }

    /// Whether a part that begins so may be known.
    pub(super) fn may_have(&self, beginning: u32) -> bool {
        self.bits & Self::bit(beginning) != 0
    }

    fn bit(beginning: u32) -> u64 {
        // Fibonacci hashing: the highest bits depend on all others.
        1 << (beginning.wrapping_mul(0x9e37_79b9) >> 26)
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
        assert!(taken.count() < 200);
    }
}
