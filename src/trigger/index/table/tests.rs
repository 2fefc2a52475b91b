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

fn of_key<const WAYS: usize, const LEAF: usize>(
    table: &Table<Named, WAYS, LEAF>,
    key: u64,
) -> Vec<Named> {
    let mut found = Vec::new();
    table.each(key, |entry| found.push(*entry));
    found.sort_unstable();
    found
}

type Change = (bool, u64, u32);

/// Makes the changes to a table and to a set, and compares these and copies of both.
fn compare<const WAYS: usize, const LEAF: usize>(
    changes: &[Change],
    copied_at: usize,
) -> Result<(), TestCaseError> {
    let mut table: Table<Named, WAYS, LEAF> = Table::default();
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
    Ok(())
}

/// Keys that share few, many or all of their bits.
fn key() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, (0..64_u32, 0..4_u64).prop_map(|(shift, low)| low << shift), any::<u64>()]
}

proptest! {
    #[test]
    fn a_table_has_what_a_set_has_and_a_copy_what_it_had(
        changes in prop::collection::vec((any::<bool>(), key(), 0..60_u32), 0..400),
        copied_at in 0..400_usize,
    ) {
        compare::<16, 32>(&changes, copied_at)?;
        compare::<32, 16>(&changes, copied_at)?;
    }
}

#[test]
fn a_table_that_is_emptied_again_has_no_nodes() {
    let keys = |n: u32| u64::from(n % 500).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut table: Table<Named> = Table::default();
    (0..5_000).for_each(|n| assert!(table.insert(keys(n), Named(n)), "{n}"));
    (0..5_000).for_each(|n| assert!(table.remove(keys(n), &Named(n)), "{n}"));
    assert!(matches!(table.root, Node::Empty));
}
