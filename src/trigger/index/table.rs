//! A table from hashes to entries, of which copies are free and changes cost little.
//!
//! A tree of some branches a level, by the bits of the hash from the highest down. What lies in it
//! is never changed while somebody else holds it: a change copies the way from the root to one
//! leaf, some hundred bytes a level, and shares the rest. Entries of one hash lie in a tree of
//! their own, by the hash of their identity, so that a million of them are no more work to change
//! than one.

use std::fmt;
use std::sync::Arc;

/// What a table keeps.
pub(super) trait Entry: Clone {
    /// What the entry is told apart by among those of its key, as a hash of its own.
    fn identity(&self) -> u64;
    /// Whether it is the same as another.
    fn is_same(&self, other: &Self) -> bool;
    /// Reads what a copy will write to, so that the processor fetches many of these at once.
    fn touch(&self) -> usize;
}

/// Entries by their keys, which are hashes. A level has `WAYS` branches, a power of two, and at
/// most `LEAF` entries lie together: the more of both, the fewer places a search reads one after
/// the other, and the more a change copies.
#[derive(Clone)]
pub(super) struct Table<E, const WAYS: usize = 16, const LEAF: usize = 32> {
    root: Node<E, WAYS, LEAF>,
    len: usize,
}

#[derive(Clone)]
enum Node<E, const WAYS: usize, const LEAF: usize> {
    Empty,
    /// At most `LEAF` entries, in the order of their keys: a key and its entry lie side by side, so
    /// that a search reads them together.
    Leaf(Leaf<E>),
    Branches(Arc<[Node<E, WAYS, LEAF>; WAYS]>),
    /// More entries than a leaf takes, all of one key; by the hash of their identity.
    OneKey(Arc<(u64, Node<E, WAYS, LEAF>)>),
}

type Leaf<E> = Arc<[(u64, E)]>;

/// Where the entries of a key lie, if there are any. Nothing of them is read yet.
pub(super) enum Lead<'t, E, const WAYS: usize, const LEAF: usize> {
    /// The key, its leaf, and about where it must be there.
    Leaf(u64, &'t [(u64, E)], usize),
    Subtree(Subtree<'t, E, WAYS, LEAF>),
}

/// Entries that are all of one key.
pub(super) struct Subtree<'t, E, const WAYS: usize, const LEAF: usize>(&'t Node<E, WAYS, LEAF>);

/// Below so many entries, branches become a leaf again.
const MIN_BRANCHES: usize = 8;

impl<E, const WAYS: usize, const LEAF: usize> Default for Table<E, WAYS, LEAF> {
    fn default() -> Self {
        Self { root: Node::Empty, len: 0 }
    }
}

impl<E, const WAYS: usize, const LEAF: usize> fmt::Debug for Table<E, WAYS, LEAF> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} entries)", self.len)
    }
}

impl<E, const WAYS: usize, const LEAF: usize> Table<E, WAYS, LEAF> {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the entries of a key lie.
    pub(super) fn lead(&self, key: u64) -> Lead<'_, E, WAYS, LEAF> {
        let mut node = &self.root;
        let mut depth = 0;
        loop {
            match node {
                Node::Branches(branches) => {
                    node = &branches[branch::<WAYS>(key, depth)];
                    depth += WAYS.ilog2();
                }
                Node::Leaf(leaf) => return Lead::Leaf(key, leaf, guess(key, depth, leaf.len())),
                Node::OneKey(entries) if entries.0 == key => {
                    return Lead::Subtree(Subtree(&entries.1));
                }
                Node::OneKey(_) | Node::Empty => return Lead::Leaf(key, &[], 0),
            }
        }
    }

    /// Shows the entries of a key.
    pub(super) fn each<'t>(&'t self, key: u64, show: impl FnMut(&'t E)) {
        self.lead(key).each(show);
    }

    /// One of the entries of a key.
    pub(super) fn first(&self, key: u64) -> Option<&E> {
        self.lead(key).first()
    }

    /// Reads what a copy of the table will write to.
    pub(super) fn touch(&self) -> usize {
        self.root.holders()
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &E> {
        let mut stack = vec![&self.root];
        let leaves = std::iter::from_fn(move || {
            loop {
                match stack.pop()? {
                    Node::Empty => {}
                    Node::Leaf(leaf) => return Some(&**leaf),
                    Node::Branches(branches) => stack.extend(branches.iter()),
                    Node::OneKey(entries) => stack.push(&entries.1),
                }
            }
        });
        leaves.flatten().map(|(_, entry)| entry)
    }
}

impl<'t, E, const WAYS: usize, const LEAF: usize> Lead<'t, E, WAYS, LEAF> {
    /// Reads what a search will read first, so that the processor fetches many of these at once.
    pub(super) fn touch(&self) {
        if let Self::Leaf(_, leaf, at) = self {
            std::hint::black_box(leaf.get(*at).map(|(key, _)| *key));
        }
    }

    /// Shows the entries.
    pub(super) fn each(&self, mut show: impl FnMut(&'t E)) {
        match *self {
            Self::Leaf(key, leaf, at) => {
                let same = leaf[first_at(leaf, key, at)..].iter();
                same.take_while(|(theirs, _)| *theirs == key).for_each(|(_, entry)| show(entry));
            }
            Self::Subtree(Subtree(node)) => node.each(&mut show),
        }
    }

    /// One of the entries.
    pub(super) fn first(&self) -> Option<&'t E> {
        match *self {
            Self::Leaf(key, leaf, at) => {
                let (theirs, entry) = leaf.get(first_at(leaf, key, at))?;
                (*theirs == key).then_some(entry)
            }
            Self::Subtree(Subtree(node)) => node.any(),
        }
    }
}

impl<E: Entry, const WAYS: usize, const LEAF: usize> Table<E, WAYS, LEAF> {
    /// Reads what copies on the way to an entry will write to, so that the processor fetches all of
    /// it at once: the counts of who holds each branch, and what a leaf has. A change does so
    /// itself; who changes two tables can have what both need fetched together.
    pub(super) fn touch_way(&self, key: u64, entry: &E) {
        let (mut node, mut key, mut depth, mut read) = (&self.root, key, 0, 0);
        loop {
            match node {
                Node::Branches(branches) => {
                    if Arc::strong_count(branches) > 1 {
                        read += branches.iter().map(Node::holders).sum::<usize>();
                    }
                    node = &branches[branch::<WAYS>(key, depth)];
                    depth += WAYS.ilog2();
                }
                Node::OneKey(entries) => (node, key, depth) = (&entries.1, entry.identity(), 0),
                Node::Leaf(leaf) => {
                    read += leaf.iter().map(|(_, entry)| entry.touch()).sum::<usize>();
                    break;
                }
                Node::Empty => break,
            }
        }
        std::hint::black_box(read);
    }

    /// Puts an entry in, in the place of the same one if that is there; tells whether it was not.
    pub(super) fn insert(&mut self, key: u64, entry: E) -> bool {
        self.touch_way(key, &entry);
        let added = self.root.insert(key, 0, entry, Kind::Keys);
        self.len += usize::from(added);
        added
    }

    /// Takes an entry out, and tells whether it was there.
    pub(super) fn remove(&mut self, key: u64, entry: &E) -> bool {
        self.touch_way(key, entry);
        let removed = self.root.remove(key, 0, entry);
        self.len -= usize::from(removed);
        removed
    }
}

/// The branch that a key leads to at a depth, counted in bits.
fn branch<const WAYS: usize>(key: u64, depth: u32) -> usize {
    let rest = key.checked_shl(depth).unwrap_or(0);
    usize::try_from(rest >> (u64::BITS - WAYS.ilog2())).expect("it is one of the ways")
}

/// About where a key must be in a leaf: as keys are spread evenly, what is left of it at a depth
/// tells.
fn guess(key: u64, depth: u32, len: usize) -> usize {
    let rest = key.checked_shl(depth).unwrap_or(0);
    let share = (u128::from(rest) * len as u128) >> u64::BITS;
    usize::try_from(share).expect("it is less than the number of keys")
}

/// Where the entries of a key begin, or would; looked for from a guess on.
fn first_at<E>(leaf: &[(u64, E)], key: u64, guess: usize) -> usize {
    let (before, behind) = leaf.split_at(guess);
    let back = before.iter().rev().take_while(|(theirs, _)| *theirs >= key).count();
    if back > 0 {
        return guess - back;
    }
    guess + behind.iter().take_while(|(theirs, _)| *theirs < key).count()
}

/// Where an entry lies in a leaf, or else where it belongs.
fn position<E: Entry>(leaf: &[(u64, E)], key: u64, entry: &E) -> Result<usize, usize> {
    let first = leaf.partition_point(|(theirs, _)| *theirs < key);
    let same = leaf[first..].iter().take_while(|(theirs, _)| *theirs == key).count();
    (first..first + same).find(|at| leaf[*at].1.is_same(entry)).ok_or(first)
}

/// A copy of a leaf, with other entries in the place of some.
fn with<E: Entry, const N: usize>(
    leaf: &[(u64, E)],
    range: std::ops::Range<usize>,
    new: [(u64, E); N],
) -> Leaf<E> {
    let (before, behind) = (&leaf[..range.start], &leaf[range.end..]);
    before.iter().cloned().chain(new).chain(behind.iter().cloned()).collect()
}

/// What the bits of a tree are taken from.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Keys,
    /// Within one key: the hashes of identities. If those are used up, a leaf grows instead.
    Identities,
}

impl<E, const WAYS: usize, const LEAF: usize> Node<E, WAYS, LEAF> {
    fn each<'t>(&'t self, show: &mut impl FnMut(&'t E)) {
        match self {
            Self::Empty => {}
            Self::Leaf(leaf) => leaf.iter().for_each(|(_, entry)| show(entry)),
            Self::Branches(branches) => branches.iter().for_each(|branch| branch.each(show)),
            Self::OneKey(entries) => entries.1.each(show),
        }
    }

    fn any(&self) -> Option<&E> {
        match self {
            Self::Empty => None,
            Self::Leaf(leaf) => leaf.first().map(|(_, entry)| entry),
            Self::Branches(branches) => branches.iter().find_map(Self::any),
            Self::OneKey(entries) => entries.1.any(),
        }
    }

    /// How many hold it: a copy of what leads to it will count one more.
    fn holders(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Leaf(leaf) => Arc::strong_count(leaf),
            Self::Branches(branches) => Arc::strong_count(branches),
            Self::OneKey(entries) => Arc::strong_count(entries),
        }
    }

    fn of_items(items: impl Iterator<Item = (u64, E)>) -> Self {
        let leaf: Leaf<E> = items.collect();
        if leaf.is_empty() { Self::Empty } else { Self::Leaf(leaf) }
    }
}

impl<E: Entry, const WAYS: usize, const LEAF: usize> Node<E, WAYS, LEAF> {
    /// Puts an entry in, and tells whether it is one more.
    fn insert(&mut self, key: u64, depth: u32, entry: E, kind: Kind) -> bool {
        match self {
            Self::Empty => {
                *self = Self::Leaf(Arc::from([(key, entry)]));
                true
            }
            Self::Leaf(leaf) => {
                let at = position(leaf, key, &entry);
                let (range, added) = match at {
                    Ok(at) => (at..at + 1, false),
                    Err(at) => (at..at, true),
                };
                *self = Self::of_leaf(with(leaf, range, [(key, entry)]), key, depth, kind);
                added
            }
            Self::Branches(branches) => {
                let branch = &mut Arc::make_mut(branches)[branch::<WAYS>(key, depth)];
                branch.insert(key, depth + WAYS.ilog2(), entry, kind)
            }
            Self::OneKey(entries) if entries.0 == key => {
                let identity = entry.identity();
                Arc::make_mut(entries).1.insert(identity, 0, entry, Kind::Identities)
            }
            Self::OneKey(entries) => {
                let mut branches = [const { Self::Empty }; WAYS];
                branches[branch::<WAYS>(entries.0, depth)] = Self::OneKey(entries.clone());
                *self = Self::Branches(Arc::new(branches));
                self.insert(key, depth, entry, kind)
            }
        }
    }

    /// A leaf that an entry of a key was put into, or what becomes of it if it is too large.
    fn of_leaf(leaf: Leaf<E>, key: u64, depth: u32, kind: Kind) -> Self {
        if leaf.len() <= LEAF {
            return Self::Leaf(leaf);
        }
        let one_key = leaf.iter().all(|(theirs, _)| *theirs == key);
        match kind {
            Kind::Keys if one_key => {
                let mut inner = Self::Empty;
                for (_, entry) in &*leaf {
                    inner.insert(entry.identity(), 0, entry.clone(), Kind::Identities);
                }
                Self::OneKey(Arc::new((key, inner)))
            }
            // Identities that are hashed alike cannot be told apart any further.
            Kind::Identities if one_key => Self::Leaf(leaf),
            _ => Self::split(&leaf, depth),
        }
    }

    /// Puts the entries of a leaf under a branch each.
    fn split(leaf: &[(u64, E)], depth: u32) -> Self {
        Self::Branches(Arc::new(std::array::from_fn(|at| {
            Self::of_items(
                leaf.iter().filter(|(key, _)| branch::<WAYS>(*key, depth) == at).cloned(),
            )
        })))
    }

    fn remove(&mut self, key: u64, depth: u32, entry: &E) -> bool {
        match self {
            Self::Empty => false,
            Self::Leaf(leaf) => {
                let Ok(at) = position(leaf, key, entry) else { return false };
                *self = match leaf.len() {
                    1 => Self::Empty,
                    _ => Self::Leaf(with(leaf, at..at + 1, [])),
                };
                true
            }
            Self::Branches(branches) => {
                let branch = &mut Arc::make_mut(branches)[branch::<WAYS>(key, depth)];
                let removed = branch.remove(key, depth + WAYS.ilog2(), entry);
                if removed && let Some(leaf) = few(&branches[..]) {
                    *self = leaf;
                }
                removed
            }
            Self::OneKey(entries) => {
                if entries.0 != key {
                    return false;
                }
                let inner = &mut Arc::make_mut(entries).1;
                let removed = inner.remove(entry.identity(), 0, entry);
                if let Self::Leaf(leaf) = inner
                    && leaf.len() <= MIN_BRANCHES
                {
                    *self = Self::of_items(leaf.iter().map(|(_, entry)| (key, entry.clone())));
                }
                removed
            }
        }
    }
}

/// A leaf of what branches have, if it is so little that a leaf takes it.
fn few<E: Entry, const WAYS: usize, const LEAF: usize>(
    branches: &[Node<E, WAYS, LEAF>],
) -> Option<Node<E, WAYS, LEAF>> {
    let mut len = 0;
    for branch in branches {
        match branch {
            Node::Empty => {}
            Node::Leaf(leaf) => len += leaf.len(),
            Node::Branches(_) | Node::OneKey(_) => return None,
        }
    }
    let items = branches.iter().filter_map(|branch| match branch {
        Node::Leaf(leaf) => Some(leaf.iter().cloned()),
        Node::Empty | Node::Branches(_) | Node::OneKey(_) => None,
    });
    (len <= MIN_BRANCHES).then(|| Node::of_items(items.flatten()))
}

#[cfg(test)]
mod tests;
