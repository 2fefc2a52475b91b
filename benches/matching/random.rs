//! Numbers that look random and are the same in every run (splitmix64).

pub(crate) struct Random(u64);

impl Random {
    /// The numbers of one stream of many; streams have nothing to do with each other.
    pub(crate) fn new(seed: u64, stream: usize) -> Self {
        let mut random = Self(seed ^ (stream as u64).wrapping_mul(0xd605_1c7d_36f1_9a5d));
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another.
    #[expect(clippy::cast_possible_truncation, reason = "it is below a usize")]
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }
}
