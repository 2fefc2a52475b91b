//! A table from hashes to entries, of which copies are free and changes cost little.
//!
//! A tree of sixteen branches a level, by the bits of the hash from the highest down. What lies in
//! it is never changed while somebody else holds it: a change copies the way from the root to one
//! leaf, some hundred bytes a level, and shares the rest. Entries of one hash lie in a tree of their
//! own, by the hash of their identity, so that a million of them are no more work to change than one.

use std::fmt;
use std::sync::Arc;

/// What a table keeps.
pub(super) trait Entry: Clone {
    /// What the entry is told apart by among those of its key, as a hash of its own; and whether it
    /// is the same as another.
    fn identity(&self) -> u64;
    /// Whether it is the same as another, perhaps in another revision.
    fn is_same(&self, other: &Self) -> bool;
    /// Reads what a copy will write to, so that the processor fetches many of these at once.
    fn touch(&self) -> usize;
}

/// Entries by their keys, which are hashes. At most `LEAF` of them lie together: the more, the fewer
/// places a search reads, and the more a change copies.
#[derive(Clone)]
pub(super) struct Table<E, const LEAF: usize = 32> {
    root: Node<E, LEAF>,
    len: usize,
}

#[derive(Clone)]
enum Node<E, const LEAF: usize> {
    Leaf(Leaf<E>),
    Branches(Arc<[Node<E, LEAF>; 16]>),
    /// More entries than a leaf takes, all of one key; by the hash of their identity.
    OneKey(u64, Arc<Node<E, LEAF>>),
}

/// At most `LEAF` entries, in the order of their keys. The keys lie close to each other: a look
/// that finds nothing reads no more.
#[derive(Clone)]
struct Leaf<E> {
    keys: Arc<[u64]>,
    entries: Arc<[E]>,
}

/// Below so many entries, branches become a leaf again.
const MIN_BRANCHES: usize = 8;
/// How many bits of a key a level takes.
const BITS: u32 = 4;

impl<E, const LEAF: usize> Default for Table<E, LEAF> {
    fn default() -> Self {
        Self { root: Node::empty(), len: 0 }
    }
}

impl<E, const LEAF: usize> fmt::Debug for Table<E, LEAF> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} entries)", self.len)
    }
}

impl<E, const LEAF: usize> Table<E, LEAF> {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Shows the entries of a key.
    pub(super) fn each<'t>(&'t self, key: u64, mut show: impl FnMut(&'t E)) {
        let mut node = &self.root;
        let mut depth = 0;
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.each(key, depth, show),
                Node::Branches(branches) => {
                    node = &branches[branch(key, depth)];
                    depth += BITS;
                }
                Node::OneKey(theirs, entries) => {
                    if *theirs == key {
                        entries.each(&mut show);
                    }
                    return;
                }
            }
        }
    }

    /// Reads what a copy of the table will write to.
    pub(super) fn touch(&self) -> usize {
        self.root.holders()
    }

    /// One of the entries of a key.
    pub(super) fn first(&self, key: u64) -> Option<&E> {
        let mut found = None;
        self.each(key, |entry| found = Some(entry));
        found
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &E> {
        let mut stack = vec![&self.root];
        let leaves = std::iter::from_fn(move || {
            loop {
                match stack.pop()? {
                    Node::Leaf(leaf) => return Some(&*leaf.entries),
                    Node::Branches(branches) => stack.extend(branches.iter()),
                    Node::OneKey(_, entries) => stack.push(entries),
                }
            }
        });
        leaves.flatten()
    }
}

impl<E: Entry, const LEAF: usize> Table<E, LEAF> {
    /// Puts an entry in, in the place of the same one if that is there; tells whether it was not.
    pub(super) fn insert(&mut self, key: u64, entry: E) -> bool {
        let root = std::mem::replace(&mut self.root, Node::empty());
        let (root, added) = root.insert(key, 0, entry, Kind::Keys);
        self.root = root;
        self.len += usize::from(added);
        added
    }

    /// Takes an entry out, and tells whether it was there.
    pub(super) fn remove(&mut self, key: u64, entry: &E) -> bool {
        let removed = self.root.remove(key, 0, entry);
        self.len -= usize::from(removed);
        removed
    }
}

/// The branch that a key leads to at a depth, counted in bits.
fn branch(key: u64, depth: u32) -> usize {
    let rest = key.checked_shl(depth).unwrap_or(0);
    usize::try_from(rest >> (u64::BITS - BITS)).expect("four bits fit")
}

impl<E> Leaf<E> {
    /// Shows the entries of a key. As keys are spread evenly, what is left of it at a depth tells
    /// about where it must be.
    fn each<'t>(&'t self, key: u64, depth: u32, mut show: impl FnMut(&'t E)) {
        let keys = &*self.keys;
        if keys.is_empty() {
            return;
        }
        let rest = key.checked_shl(depth).unwrap_or(0);
        let share = (u128::from(rest) * keys.len() as u128) >> u64::BITS;
        let mut at = usize::try_from(share).expect("it is less than the number of keys");
        while at > 0 && keys[at - 1] >= key {
            at -= 1;
        }
        while let Some(theirs) = keys.get(at).filter(|theirs| **theirs <= key) {
            if *theirs == key {
                show(&self.entries[at]);
            }
            at += 1;
        }
    }
}

impl<E: Entry> Leaf<E> {
    fn of(items: impl Iterator<Item = (u64, E)>) -> Self {
        let (keys, entries): (Vec<u64>, Vec<E>) = items.unzip();
        Self { keys: keys.into(), entries: entries.into() }
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn position(&self, key: u64, entry: &E) -> Option<usize> {
        let first = self.keys.partition_point(|theirs| *theirs < key);
        let same = self.keys[first..].iter().take_while(|theirs| **theirs == key).count();
        (first..first + same).find(|at| self.entries[*at].is_same(entry))
    }

    /// A copy with one entry more, or another in its place.
    fn with(&self, key: u64, entry: E) -> (Self, bool) {
        self.touch();
        let known = self.position(key, &entry);
        let at = known.unwrap_or_else(|| self.keys.partition_point(|theirs| *theirs < key));
        let behind = at + usize::from(known.is_some());
        let keys = self.keys[..at].iter().copied().chain([key]);
        let entries = self.entries[..at].iter().cloned().chain([entry]);
        let leaf = Self {
            keys: keys.chain(self.keys[behind..].iter().copied()).collect(),
            entries: entries.chain(self.entries[behind..].iter().cloned()).collect(),
        };
        (leaf, known.is_none())
    }

    /// A copy with one entry less.
    fn without(&self, at: usize) -> Self {
        self.touch();
        let keys = self.keys[..at].iter().chain(&self.keys[at + 1..]);
        let entries = self.entries[..at].iter().chain(&self.entries[at + 1..]);
        Self { keys: keys.copied().collect(), entries: entries.cloned().collect() }
    }

    fn items(&self) -> impl Iterator<Item = (u64, &E)> {
        self.keys.iter().copied().zip(&*self.entries)
    }

    fn touch(&self) {
        std::hint::black_box(self.entries.iter().map(Entry::touch).sum::<usize>());
    }
}

/// What the bits of a tree are taken from.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Keys,
    /// Within one key: the hashes of identities. If those are used up, a leaf grows instead.
    Identities,
}

impl<E, const LEAF: usize> Node<E, LEAF> {
    fn empty() -> Self {
        Self::Leaf(Leaf { keys: Arc::from([]), entries: Arc::from([]) })
    }

    fn each<'t>(&'t self, show: &mut impl FnMut(&'t E)) {
        match self {
            Self::Leaf(leaf) => leaf.entries.iter().for_each(show),
            Self::Branches(branches) => branches.iter().for_each(|branch| branch.each(show)),
            Self::OneKey(_, entries) => entries.each(show),
        }
    }
}

impl<E: Entry, const LEAF: usize> Node<E, LEAF> {
    /// Puts an entry in, and tells whether it is one more.
    fn insert(self, key: u64, depth: u32, entry: E, kind: Kind) -> (Self, bool) {
        match self {
            Self::Leaf(leaf) => {
                let (leaf, added) = leaf.with(key, entry);
                (Self::of_leaf(leaf, key, depth, kind), added)
            }
            Self::Branches(mut branches) => {
                let slot = &mut shared(&mut branches)[branch(key, depth)];
                let old = std::mem::replace(slot, Self::empty());
                let (new, added) = old.insert(key, depth + BITS, entry, kind);
                *slot = new;
                (Self::Branches(branches), added)
            }
            Self::OneKey(theirs, entries) if theirs == key => {
                let inner = Arc::unwrap_or_clone(entries);
                let identity = entry.identity();
                let (inner, added) = inner.insert(identity, 0, entry, Kind::Identities);
                (Self::OneKey(theirs, Arc::new(inner)), added)
            }
            Self::OneKey(theirs, entries) => {
                let mut branches: [Self; 16] = std::array::from_fn(|_| Self::empty());
                branches[branch(theirs, depth)] = Self::OneKey(theirs, entries);
                Self::Branches(Arc::new(branches)).insert(key, depth, entry, kind)
            }
        }
    }

    /// A leaf that an entry of a key was put into, or what becomes of it if it is too large.
    fn of_leaf(leaf: Leaf<E>, key: u64, depth: u32, kind: Kind) -> Self {
        if leaf.len() <= LEAF {
            return Self::Leaf(leaf);
        }
        let one_key = leaf.keys.iter().all(|theirs| *theirs == key);
        match kind {
            Kind::Keys if one_key => {
                let inner = leaf.entries.iter().fold(Self::empty(), |node, entry| {
                    node.insert(entry.identity(), 0, entry.clone(), Kind::Identities).0
                });
                Self::OneKey(key, Arc::new(inner))
            }
            // Identities that are hashed alike cannot be told apart any further.
            Kind::Identities if one_key => Self::Leaf(leaf),
            _ => Self::split(&leaf, depth),
        }
    }

    /// Puts the entries of a leaf under a branch each.
    fn split(leaf: &Leaf<E>, depth: u32) -> Self {
        Self::Branches(Arc::new(std::array::from_fn(|at| {
            let own = leaf.items().filter(|(key, _)| branch(*key, depth) == at);
            Self::Leaf(Leaf::of(own.map(|(key, entry)| (key, entry.clone()))))
        })))
    }

    fn remove(&mut self, key: u64, depth: u32, entry: &E) -> bool {
        match self {
            Self::Leaf(leaf) => {
                let Some(at) = leaf.position(key, entry) else { return false };
                *leaf = leaf.without(at);
                true
            }
            Self::Branches(branches) => {
                let slot = &mut shared(branches)[branch(key, depth)];
                let removed = slot.remove(key, depth + BITS, entry);
                if removed && let Some(leaf) = few(&branches[..]) {
                    *self = Self::Leaf(leaf);
                }
                removed
            }
            Self::OneKey(theirs, entries) => {
                if *theirs != key {
                    return false;
                }
                let identity = entry.identity();
                let mut inner = (**entries).clone();
                let removed = inner.remove(identity, 0, entry);
                if removed {
                    let key = *theirs;
                    *self = match inner {
                        Self::Leaf(leaf) if leaf.len() <= MIN_BRANCHES => {
                            let entries = leaf.entries.iter().cloned();
                            Self::Leaf(Leaf::of(entries.map(|entry| (key, entry))))
                        }
                        inner => Self::OneKey(key, Arc::new(inner)),
                    };
                }
                removed
            }
        }
    }
}

/// The entries of branches, if they are so few that a leaf takes them.
fn few<E: Entry, const LEAF: usize>(branches: &[Node<E, LEAF>]) -> Option<Leaf<E>> {
    let mut len = 0;
    for branch in branches {
        match branch {
            Node::Leaf(leaf) => len += leaf.len(),
            Node::Branches(_) | Node::OneKey(..) => return None,
        }
    }
    let items = branches.iter().filter_map(|branch| match branch {
        Node::Leaf(leaf) => Some(leaf.items()),
        Node::Branches(_) | Node::OneKey(..) => None,
    });
    let items = items.flatten();
    (len <= MIN_BRANCHES).then(|| Leaf::of(items.map(|(key, entry)| (key, entry.clone()))))
}

/// The branches to write to: copied, if somebody else holds them.
fn shared<E: Entry, const LEAF: usize>(
    branches: &mut Arc<[Node<E, LEAF>; 16]>,
) -> &mut [Node<E, LEAF>; 16] {
    if Arc::strong_count(branches) > 1 {
        std::hint::black_box(branches.iter().map(Node::holders).sum::<usize>());
    }
    Arc::make_mut(branches)
}

impl<E, const LEAF: usize> Node<E, LEAF> {
    /// How many hold it: a copy of what leads to it will count one more.
    fn holders(&self) -> usize {
        match self {
            Self::Leaf(leaf) => Arc::strong_count(&leaf.keys) + Arc::strong_count(&leaf.entries),
            Self::Branches(branches) => Arc::strong_count(branches),
            Self::OneKey(_, entries) => Arc::strong_count(entries),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Named(u32);

    impl Entry for Named {
        fn identity(&self) -> u64 {
            // Few bits, so that some are hashed alike.
            u64::from(self.0 % 7) << 60
        }

        fn is_same(&self, other: &Self) -> bool {
            self == other
        }

        fn touch(&self) -> usize {
            0
        }
    }

    fn of_key(table: &Table<Named>, key: u64) -> Vec<Named> {
        let mut found = Vec::new();
        table.each(key, |entry| found.push(*entry));
        found.sort_unstable();
        found
    }

    /// Keys that share few, many or all of their bits.
    fn key() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..4_u64,
            (0..64_u32, 0..4_u64).prop_map(|(shift, low)| low << shift),
            any::<u64>()
        ]
    }

    proptest! {
        #[test]
        fn a_table_has_what_a_set_has_and_a_copy_what_it_had(
            changes in prop::collection::vec((any::<bool>(), key(), 0..60_u32), 0..400),
            copied_at in 0..400_usize,
        ) {
            let mut table: Table<Named> = Table::default();
            let mut model = BTreeSet::new();
            let mut copy = None;
            for (n, (insert, key, entry)) in changes.iter().enumerate() {
                if n == copied_at {
                    copy = Some((table.clone(), model.clone()));
                }
                if *insert {
                    table.insert(*key, Named(*entry));
                    model.insert((*key, Named(*entry)));
                } else {
                    let was_there = table.remove(*key, &Named(*entry));
                    prop_assert_eq!(was_there, model.remove(&(*key, Named(*entry))));
                }
            }
            for (table, model) in copy.into_iter().chain([(table, model)]) {
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.iter().count(), model.len());
                let keys: BTreeSet<u64> = changes.iter().map(|change| change.1).collect();
                for key in keys {
                    let expected = model.iter().filter(|(k, _)| *k == key).map(|(_, e)| *e);
                    prop_assert_eq!(of_key(&table, key), expected.collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_table_that_is_emptied_again_is_one_leaf() {
        let keys = |n: u32| u64::from(n % 500).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut table: Table<Named> = Table::default();
        (0..5_000).for_each(|n| assert!(table.insert(keys(n), Named(n)), "{n}"));
        (0..5_000).for_each(|n| assert!(table.remove(keys(n), &Named(n)), "{n}"));
        assert!(matches!(table.root, Node::Leaf(leaf) if leaf.keys.is_empty()));
    }
}
