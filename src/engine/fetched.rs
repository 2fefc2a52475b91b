//! Fetched: answers of others that are kept for a while, each asked for by one at a time.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::clock::{Clock, Timestamp};

/// The most answers that are kept.
const MAX_KEPT: usize = 10_000;

/// Answers by what was asked.
#[derive(Debug)]
pub(super) struct Fetched<K, V>(std::sync::Mutex<HashMap<K, Slot<V>>>);

/// Where one answer is kept; locked while it is asked for.
type Slot<V> = Arc<Mutex<Option<Answer<V>>>>;

/// The turn to ask for an answer, and the one that is kept.
pub(super) type Turn<V> = OwnedMutexGuard<Option<Answer<V>>>;

/// An answer, and until when it counts.
#[derive(Debug, Clone)]
pub(super) struct Answer<V> {
    pub(super) value: V,
    pub(super) until: Timestamp,
}

impl<K, V> Default for Fetched<K, V> {
    fn default() -> Self {
        Self(std::sync::Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Fetched<K, V> {
    /// The answer that is kept, if it counts still and will do; else the one that `fetch` gets,
    /// which is kept. Whoever asks meanwhile waits for it. Tells besides whether it was kept
    /// before.
    pub(super) async fn get(
        &self,
        key: K,
        clock: &dyn Clock,
        will_do: impl Fn(&V) -> bool,
        fetch: impl Future<Output = Answer<V>>,
    ) -> (V, bool) {
        let mut kept = self.turn(key).await;
        if let Some(answer) = &*kept
            && clock.now() < answer.until
            && will_do(&answer.value)
        {
            return (answer.value.clone(), true);
        }
        let answer = fetch.await;
        *kept = Some(answer.clone());
        (answer.value, false)
    }

    /// What is kept under a key, once nobody else asks for it: the turn to ask, until dropped.
    pub(super) async fn turn(&self, key: K) -> Turn<V> {
        self.slot(key).lock_owned().await
    }

    /// Whether an answer is kept that counts now and will do.
    pub(super) fn has(&self, key: &K, now: Timestamp, will_do: impl Fn(&V) -> bool) -> bool {
        let slots = self.0.lock().expect("no code panics while it looks");
        let kept = slots.get(key).and_then(|slot| slot.try_lock().ok());
        kept.and_then(|kept| kept.as_ref().map(|kept| now < kept.until && will_do(&kept.value)))
            .unwrap_or_default()
    }

    fn slot(&self, key: K) -> Slot<V> {
        let mut slots = self.0.lock().expect("no code panics while it looks");
        if slots.len() >= MAX_KEPT && !slots.contains_key(&key) {
            forget_one(&mut slots);
        }
        slots.entry(key).or_default().clone()
    }
}

/// Forgets the answer that ends first, which costs no more than another question; one that is being
/// asked for only if there are no others.
fn forget_one<K: Eq + Hash + Clone, V>(slots: &mut HashMap<K, Slot<V>>) {
    let end = |slot: &Slot<V>| {
        let kept = slot.try_lock().ok()?;
        Some(kept.as_ref().map_or(Timestamp::MIN, |answer| answer.until))
    };
    let first = slots.iter().min_by_key(|(_, slot)| end(slot).unwrap_or(Timestamp::MAX));
    if let Some(key) = first.map(|(key, _)| key.clone()) {
        slots.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use futures_util::future::{join_all, pending};

    use super::*;
    use crate::clock::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Default)]
    struct Asked {
        kept: Fetched<u64, u64>,
        questions: AtomicU64,
    }

    impl Asked {
        async fn get(
            &self,
            key: u64,
            clock: &ManualClock,
            will_do: fn(&u64) -> bool,
        ) -> (u64, bool) {
            let fetch = async {
                let value = self.questions.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Answer { value, until: clock.now() + SECOND }
            };
            self.kept.get(key, clock, will_do, fetch).await
        }
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_question() {
        let (asked, clock) = (Asked::default(), ManualClock::at(Timestamp::UNIX_EPOCH));
        let answers = join_all((0..50).map(|_| asked.get(1, &clock, |_| true))).await;
        assert!(answers.iter().all(|(value, _)| *value == 0));
        assert_eq!(answers.iter().filter(|(_, was_kept)| !was_kept).count(), 1);
        assert_eq!(asked.get(2, &clock, |_| true).await, (1, false), "another key");
    }

    #[tokio::test]
    async fn an_answer_counts_until_its_time_and_only_if_it_will_do() {
        let (asked, clock) = (Asked::default(), ManualClock::at(Timestamp::UNIX_EPOCH));
        assert_eq!(asked.get(1, &clock, |_| true).await, (0, false));
        assert_eq!(asked.get(1, &clock, |value| *value > 0).await, (1, false));
        assert_eq!(asked.get(1, &clock, |_| true).await, (1, true));
        clock.set(clock.now() + SECOND);
        assert_eq!(asked.get(1, &clock, |_| true).await, (2, false));
    }

    #[tokio::test]
    async fn who_gives_up_holds_up_nobody() {
        let (asked, clock) = (Asked::default(), ManualClock::at(Timestamp::UNIX_EPOCH));
        assert!(asked.kept.get(1, &clock, |_| true, pending()).now_or_never().is_none());
        assert_eq!(asked.get(1, &clock, |_| true).await, (0, false));
    }

    #[tokio::test]
    async fn no_more_are_kept_than_may_be_and_what_ends_first_is_forgotten_first() {
        let (asked, clock) = (Asked::default(), ManualClock::at(Timestamp::UNIX_EPOCH));
        asked.get(u64::MAX, &clock, |_| true).await;
        clock.set(clock.now() + SECOND / 2);
        for key in 0..MAX_KEPT as u64 {
            asked.get(key, &clock, |_| true).await;
        }
        let is_kept = |key| asked.kept.has(&key, clock.now(), |_| true);
        assert_eq!(asked.kept.0.lock().unwrap().len(), MAX_KEPT);
        assert!(!is_kept(u64::MAX) && is_kept(0) && is_kept(MAX_KEPT as u64 - 1));
    }
}
