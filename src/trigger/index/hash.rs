//! The hashes that keys are made of, seeded so that nobody outside can make keys that meet.

use std::hash::{BuildHasher, Hasher as _, RandomState};

use foldhash::fast::FixedState;

use crate::event::node::Leaf;

/// Hashes what triggers hold on to and what events have, alike.
#[derive(Clone)]
pub(super) struct Hasher {
    state: FixedState,
}

impl Hasher {
    /// A hasher that agrees with no other.
    pub(super) fn random() -> Self {
        Self { state: FixedState::with_seed(RandomState::new().hash_one(())) }
    }

    /// What a key begins with.
    #[expect(clippy::unused_self, reason = "keys are made by a hasher")]
    pub(super) fn start(&self) -> u64 {
        0
    }

    /// What stands for a value of which only is known that it is there.
    #[expect(clippy::unused_self, reason = "keys are made by a hasher")]
    pub(super) fn presence(&self) -> u64 {
        1
    }

    pub(super) fn bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    pub(super) fn pair(&self, one: u64, other: u64) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write_u64(one);
        hasher.write_u64(other);
        hasher.finish()
    }

    /// A path, name by name, so that a walk can go on with it.
    pub(super) fn path<'n>(&self, names: impl Iterator<Item = &'n str>) -> u64 {
        names.fold(self.start(), |path, name| self.pair(path, self.bytes(name.as_bytes())))
    }

    /// A leaf by its value: numbers that are equal, and texts however they are kept, have one hash.
    pub(super) fn leaf(&self, leaf: Leaf<'_>) -> u64 {
        match leaf {
            Leaf::Null => 2,
            Leaf::Bool(value) => 3 + u64::from(value),
            Leaf::Number(number) => self.pair(5, self.bytes(&number.bits())),
            Leaf::Text(text) => self.bytes(text.as_bytes()),
            Leaf::Shown(shown) => self.bytes(shown.to_string().as_bytes()),
        }
    }
}
