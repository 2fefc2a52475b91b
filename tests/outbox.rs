//! The contract of outboxes, rule by rule, for each of the crate; and what only the one in SQLite
//! promises: transactions of the embedder's, in any language.

#[cfg(all(feature = "sqlite", feature = "tokio"))]
#[path = "outbox/only_sqlite.rs"]
mod only_sqlite;

use std::time::Duration;

use artifact_triggers::clock::{ManualClock, Timestamp};
use artifact_triggers::outbox::{MemoryOutbox, Outbox, OutboxDone};
use futures_util::FutureExt as _;

const MINUTE: Duration = Duration::from_secs(60);

/// An outbox with two takers, seen from outside.
struct Bench {
    takers: [Box<dyn Outbox>; 2],
    leave: Box<dyn Fn(&str)>,
    refused: Box<dyn Fn() -> Vec<(String, String)>>,
}

impl Bench {
    fn leave_all(&self, entries: &[&str]) {
        for json in entries {
            (self.leave)(json);
        }
    }

    /// What a taker is given.
    async fn take(&self, by: usize, limit: usize, lease: Duration) -> Vec<String> {
        let taken = self.takers[by].take(limit, lease).await.unwrap();
        taken.into_iter().map(|entry| String::from_utf8(entry.json).unwrap()).collect()
    }
}

async fn rule_02_the_first_are_given_in_their_order(bench: Bench) {
    assert_eq!(bench.take(0, 9, MINUTE).await, [""; 0]);
    bench.leave_all(&["c", "a", "b"]);
    assert_eq!(bench.take(0, 2, MINUTE).await, ["c", "a"]);
    assert_eq!(bench.take(0, 9, MINUTE).await, ["c", "a", "b"]);
}

async fn rule_03_another_is_given_nothing_until_the_lease_is_over(bench: Bench) {
    bench.leave_all(&["a", "b"]);
    assert_eq!(bench.take(0, 1, MINUTE).await, ["a"]);
    assert_eq!(bench.take(1, 9, MINUTE).await, [""; 0]);
    assert_eq!(bench.take(0, 1, Duration::ZERO).await, ["a"], "the same one may take again");
    assert_eq!(bench.take(1, 9, MINUTE).await, ["a", "b"], "its lease is over");
    assert_eq!(bench.take(0, 9, MINUTE).await, [""; 0]);
}

async fn rule_04_what_is_published_goes_and_what_is_refused_is_set_aside(bench: Bench) {
    bench.leave_all(&["a", "b", "c"]);
    let taken = bench.takers[0].take(9, MINUTE).await.unwrap();
    let done = vec![
        OutboxDone::published(taken[0].position),
        OutboxDone::refused(taken[1].position, "no event"),
    ];
    bench.takers[0].done(done).await.unwrap();
    assert_eq!(bench.take(1, 9, MINUTE).await, ["c"]);
    assert_eq!((bench.refused)(), [("b".to_owned(), "no event".to_owned())]);
}

async fn rule_05_done_ends_the_lease_of_its_taker_alone(bench: Bench) {
    bench.leave_all(&["a"]);
    bench.take(0, 9, MINUTE).await;
    bench.takers[0].done(Vec::new()).await.unwrap();
    assert_eq!(bench.take(1, 9, MINUTE).await, ["a"]);
    bench.takers[0].done(Vec::new()).await.unwrap();
    assert_eq!(bench.take(0, 9, MINUTE).await, [""; 0]);
}

async fn rule_06_a_position_is_given_once(bench: Bench) {
    bench.leave_all(&["a"]);
    let late = bench.takers[0].take(9, Duration::ZERO).await.unwrap()[0].position;
    bench.take(1, 9, MINUTE).await;
    bench.takers[1].done(vec![OutboxDone::published(late)]).await.unwrap();
    bench.leave_all(&["b"]);
    bench.takers[0].done(vec![OutboxDone::published(late)]).await.unwrap();
    assert_eq!(bench.take(1, 9, MINUTE).await, ["b"]);
}

async fn rule_07_the_key_of_an_entry_is_its_alone(bench: Bench) {
    bench.leave_all(&["a", "a"]);
    let first = bench.takers[0].take(9, MINUTE).await.unwrap();
    assert_eq!(bench.takers[0].take(9, MINUTE).await.unwrap(), first);
    assert_ne!(first[0].key, first[1].key);
}

async fn rule_08_a_dropped_call_loses_nothing(bench: Bench) {
    bench.leave_all(&["a", "b"]);
    for _ in 0..20 {
        // Polled once and dropped, whether it has answered or not.
        let _ = bench.takers[0].take(1, MINUTE).now_or_never();
    }
    assert_eq!(bench.take(0, 9, MINUTE).await, ["a", "b"]);
}

fn memory() -> Bench {
    let outbox = MemoryOutbox::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let (left, refused) = (outbox.clone(), outbox.clone());
    let text = |json| String::from_utf8(json).unwrap();
    Bench {
        takers: [Box::new(outbox.clone()), Box::new(outbox)],
        leave: Box::new(move |json| left.leave_json(json)),
        refused: Box::new(move || {
            let refused = refused.refused().into_iter();
            refused.map(|(json, reason)| (text(json), reason)).collect()
        }),
    }
}

macro_rules! contract {
    ($name:ident, $bench:expr) => {
        mod $name {
            contract!(@ $bench,
                rule_02_the_first_are_given_in_their_order,
                rule_03_another_is_given_nothing_until_the_lease_is_over,
                rule_04_what_is_published_goes_and_what_is_refused_is_set_aside,
                rule_05_done_ends_the_lease_of_its_taker_alone,
                rule_06_a_position_is_given_once,
                rule_07_the_key_of_an_entry_is_its_alone,
                rule_08_a_dropped_call_loses_nothing
            );
        }
    };
    (@ $bench:expr, $($rule:ident),*) => {
        $(#[tokio::test]
        async fn $rule() {
            super::$rule($bench).await;
        })*
    };
}

contract!(memory_outbox, crate::memory());

#[cfg(all(feature = "sqlite", feature = "tokio"))]
contract!(sqlite_outbox, crate::only_sqlite::bench());
