//! The contract of outboxes, rule by rule.

use std::time::Duration;

use artifact_triggers::outbox::{Outbox, OutboxDone};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// What was set aside, each with the reason.
type Refused = Vec<(String, String)>;

/// An outbox with two takers, seen from outside.
pub(crate) struct Bench {
    pub(crate) takers: [Box<dyn Outbox>; 2],
    pub(crate) leave: Box<dyn Fn(String) -> BoxFuture<'static, ()>>,
    pub(crate) refused: Box<dyn Fn() -> BoxFuture<'static, Refused>>,
}

impl Bench {
    async fn leave_all(&self, entries: &[&str]) {
        for json in entries {
            (self.leave)((*json).to_owned()).await;
        }
    }

    /// What a taker is given.
    async fn take(&self, by: usize, limit: usize, lease: Duration) -> Vec<String> {
        let taken = self.takers[by].take(limit, lease).await.unwrap();
        taken.into_iter().map(|entry| String::from_utf8(entry.json).unwrap()).collect()
    }
}

pub(crate) async fn rule_02_the_first_are_given_in_their_order(bench: Bench) {
    assert_eq!(bench.take(0, 9, MINUTE).await, [""; 0]);
    bench.leave_all(&["c", "a", "b"]).await;
    assert_eq!(bench.take(0, 2, MINUTE).await, ["c", "a"]);
    assert_eq!(bench.take(0, 9, MINUTE).await, ["c", "a", "b"]);
}

pub(crate) async fn rule_03_another_is_given_nothing_until_the_lease_is_over(bench: Bench) {
    bench.leave_all(&["a", "b"]).await;
    assert_eq!(bench.take(0, 1, MINUTE).await, ["a"]);
    assert_eq!(bench.take(1, 9, MINUTE).await, [""; 0]);
    assert_eq!(bench.take(0, 1, Duration::ZERO).await, ["a"], "the same one may take again");
    assert_eq!(bench.take(1, 9, MINUTE).await, ["a", "b"], "its lease is over");
    assert_eq!(bench.take(0, 9, MINUTE).await, [""; 0]);
}

pub(crate) async fn rule_04_what_is_published_goes_and_what_is_refused_is_set_aside(bench: Bench) {
    bench.leave_all(&["a", "b", "c"]).await;
    let taken = bench.takers[0].take(9, MINUTE).await.unwrap();
    let done = vec![
        OutboxDone::published(taken[0].position),
        OutboxDone::refused(taken[1].position, "no event"),
    ];
    bench.takers[0].done(done).await.unwrap();
    assert_eq!(bench.take(1, 9, MINUTE).await, ["c"]);
    assert_eq!((bench.refused)().await, [("b".to_owned(), "no event".to_owned())]);
}

pub(crate) async fn rule_05_done_ends_the_lease_of_its_taker_alone(bench: Bench) {
    bench.leave_all(&["a"]).await;
    bench.take(0, 9, MINUTE).await;
    bench.takers[0].done(Vec::new()).await.unwrap();
    assert_eq!(bench.take(1, 9, MINUTE).await, ["a"]);
    bench.takers[0].done(Vec::new()).await.unwrap();
    assert_eq!(bench.take(0, 9, MINUTE).await, [""; 0]);
}

pub(crate) async fn rule_06_a_position_is_given_once(bench: Bench) {
    bench.leave_all(&["a"]).await;
    let late = bench.takers[0].take(9, Duration::ZERO).await.unwrap()[0].position;
    bench.take(1, 9, MINUTE).await;
    bench.takers[1].done(vec![OutboxDone::published(late)]).await.unwrap();
    bench.leave_all(&["b"]).await;
    bench.takers[0].done(vec![OutboxDone::published(late)]).await.unwrap();
    assert_eq!(bench.take(1, 9, MINUTE).await, ["b"]);
}

pub(crate) async fn rule_07_the_key_of_an_entry_is_its_alone(bench: Bench) {
    bench.leave_all(&["a", "a"]).await;
    let first = bench.takers[0].take(9, MINUTE).await.unwrap();
    assert_eq!(bench.takers[0].take(9, MINUTE).await.unwrap(), first);
    assert_ne!(first[0].key, first[1].key);
}

pub(crate) async fn rule_08_a_dropped_call_loses_nothing(bench: Bench) {
    bench.leave_all(&["a", "b"]).await;
    for _ in 0..20 {
        // Polled once and dropped, whether it has answered or not.
        let _ = bench.takers[0].take(1, MINUTE).now_or_never();
    }
    assert_eq!(bench.take(0, 9, MINUTE).await, ["a", "b"]);
}

/// Makes a module of tests, one for each rule, of an outbox.
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
            crate::rules::$rule($bench).await;
        })*
    };
}
