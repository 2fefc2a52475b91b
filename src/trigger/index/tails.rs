//! The tails that are in use, each kept once: however many registries have triggers that ask for
//! the same field, what an event reads of the tail is near.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, Weak};

use super::access::Tail;
use super::hash::Hasher;

/// A tail, and what tells its parts from those of others.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tail: Tail,
    pub(super) hash: NonZeroU64,
}

/// All tails of an index and its clones. Only who changes an index asks for one.
#[derive(Clone, Default)]
pub(super) struct Tails(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    by_hash: HashMap<NonZeroU64, Vec<Weak<Shared>>>,
    /// At so many, those that nobody has any more are forgotten.
    full: usize,
}

impl Tails {
    /// The one that is kept of a tail.
    pub(super) fn shared(&self, tail: Tail, hasher: &Hasher) -> Arc<Shared> {
        let hash = tail.hash(hasher);
        let Known { by_hash, full } =
            &mut *self.0.lock().expect("no code panics while it holds it");
        let alike = by_hash.entry(hash).or_default();
        let known = alike.iter().filter_map(Weak::upgrade).find(|known| known.tail == tail);
        if let Some(known) = known {
            return known;
        }
        alike.retain(|known| known.strong_count() > 0);
        let new = Arc::new(Shared { tail, hash });
        alike.push(Arc::downgrade(&new));
        if by_hash.len() > *full {
            by_hash.retain(|_, alike| {
                alike.retain(|known| known.strong_count() > 0);
                !alike.is_empty()
            });
            *full = 2 * by_hash.len().max(64);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::{At, Part};
    use super::*;

    fn tail(name: usize) -> Tail {
        let path = Arc::new(vec![Box::from(name.to_string())]);
        Tail { at: At::Path(path), part: Part::Whole, folded: false }
    }

    #[test]
    fn a_tail_is_kept_once_and_as_long_as_somebody_has_it() {
        let (tails, hasher) = (Tails::default(), Hasher::random());
        let first = tails.shared(tail(0), &hasher);
        assert!(Arc::ptr_eq(&first, &tails.clone().shared(tail(0), &hasher)));
        for name in 1..10_000 {
            drop(tails.shared(tail(name), &hasher));
        }
        assert!(Arc::ptr_eq(&first, &tails.shared(tail(0), &hasher)));
        for _ in 0..100 {
            drop(tails.shared(tail(10_000), &hasher));
        }
        let known = tails.0.lock().unwrap();
        assert!(known.by_hash.len() < 200);
        assert!(known.by_hash.values().all(|alike| alike.len() < 2));
    }
}
