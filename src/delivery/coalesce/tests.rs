//! What is decided, over made-up streams of events, against what it should come to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::event::{Artifact, Event, EventKind, OciFacts, OciRole};
use crate::id::{DeliveryId, EventId, TriggerId};

pub(super) const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000) + SECOND * u32::try_from(seconds).unwrap()
}

pub(super) fn trigger() -> TriggerId {
    TriggerId::derived(at(0), &[b"t"])
}

pub(super) fn of_artifact(n: u64, artifact: Artifact) -> Event {
    Event::builder(EventKind::ARTIFACT_INGESTED)
        .id(EventId::derived(at(0), &[&n.to_be_bytes()]))
        .occurred_at(at(n))
        .artifact(artifact)
        .build_at(at(n), &crate::entropy::OsEntropy)
        .unwrap()
}

pub(super) fn event(n: u64) -> Event {
    of_artifact(n, Artifact::new("generic", "a"))
}

fn delivery(event: &Event) -> DeliveryId {
    DeliveryId::of(event.id, trigger())
}

/// A storage as far as it matters here.
#[derive(Debug, Default)]
struct Book {
    texts: BTreeMap<String, String>,
    /// What waits, and when it is due.
    waiting: BTreeMap<DeliveryId, Timestamp>,
    /// In the order in which they went, and when.
    went: Vec<(DeliveryId, Timestamp)>,
    superseded: BTreeSet<DeliveryId>,
    not_made: usize,
}

impl Book {
    fn values(&self, places: &Places) -> Vec<Option<String>> {
        places.keys().iter().map(|key| self.texts.get(key).cloned()).collect()
    }

    /// Takes an event by a node whose clock says a time.
    fn take(&mut self, coalesce: &Coalesce, event: &Event, now: Timestamp) -> Fate {
        let places = Places::of(coalesce, trigger(), event, now);
        let id = delivery(event);
        let decision = coalesce.decide(event, id, &places, &self.values(&places), now);
        for (key, expected, _) in &decision.moves {
            assert_eq!(self.texts.get(key), expected.as_ref(), "{key} is where it is expected");
        }
        if let Some(prefix) = decision.forgotten {
            self.texts.retain(|key, _| !key.starts_with(&prefix));
        }
        for (key, _, value) in decision.moves {
            assert!(key.starts_with(&Places::prefix(trigger())), "{key} goes with its trigger");
            match value {
                Some(value) => drop(self.texts.insert(key, value)),
                None => drop(self.texts.remove(&key)),
            }
        }
        for id in decision.supersedes {
            if self.waiting.remove(&id).is_some() {
                self.superseded.insert(id);
            }
        }
        match decision.fate {
            // What is due before it is made goes when it is made.
            Fate::Goes { due } => drop(self.waiting.insert(id, due.max(now))),
            Fate::Superseded => drop(self.superseded.insert(id)),
            Fate::NotMade => self.not_made += 1,
        }
        decision.fate
    }

    /// Lets go what is due by a time.
    fn go(&mut self, now: Timestamp) {
        let mut due: Vec<_> =
            self.waiting.iter().filter(|(_, at)| **at <= now).map(|(id, at)| (*at, *id)).collect();
        due.sort_unstable();
        for (at, id) in due {
            self.waiting.remove(&id);
            self.went.push((id, at));
        }
    }

    fn ids(&self) -> Vec<DeliveryId> {
        self.went.iter().map(|(id, _)| *id).collect()
    }
}

/// Takes events, one in each of some seconds, and lets go what is due between them.
fn stream(coalesce: &Coalesce, seconds: &BTreeSet<u64>) -> Book {
    let mut book = Book::default();
    for n in seconds {
        book.go(at(*n));
        book.take(coalesce, &event(*n), at(*n));
    }
    book.go(Timestamp::MAX);
    book
}

fn any_seconds() -> impl Strategy<Value = BTreeSet<u64>> {
    prop::collection::btree_set(0_u64..2_000, 1..60)
}

/// The second of an event for which nothing goes within a span: neither itself nor a later one.
fn without_a_stand_in(book: &Book, seconds: &BTreeSet<u64>, span: Duration) -> Option<u64> {
    let of: BTreeMap<DeliveryId, u64> =
        seconds.iter().map(|n| (delivery(&event(*n)), *n)).collect();
    let went: Vec<(u64, Timestamp)> = book.went.iter().map(|(id, due)| (of[id], *due)).collect();
    let stands = |n: u64| went.iter().any(|(m, due)| *m >= n && *due <= at(n) + span);
    seconds.iter().copied().find(|n| !stands(*n))
}

proptest! {
    #[test]
    fn quiet_goes_once_for_each_burst_with_its_last(
        seconds in any_seconds(),
        span in 1_u64..120,
    ) {
        let book = stream(&Coalesce::quiet(Duration::from_secs(span)), &seconds);
        // The last of a burst is the one that nothing follows within the span.
        let all: Vec<u64> = seconds.iter().copied().collect();
        let is_last = |n: &usize| all.get(n + 1).is_none_or(|next| next - all[*n] >= span);
        let last: Vec<(DeliveryId, Timestamp)> = (0..all.len())
            .filter(is_last)
            .map(|n| (delivery(&event(all[n])), at(all[n] + span)))
            .collect();
        prop_assert_eq!(book.went, last);
    }

    #[test]
    fn quiet_ends_by_its_longest_wait_and_no_burst_is_lost(
        seconds in any_seconds(),
        span in 1_u64..60,
        more in 0_u64..100,
    ) {
        let longest = Duration::from_secs(span + more);
        let quiet = Coalesce::quiet(Duration::from_secs(span)).with_max_wait(longest);
        let book = stream(&quiet, &seconds);
        prop_assert_eq!(without_a_stand_in(&book, &seconds, longest), None);
        prop_assert_eq!(book.went.len() + book.superseded.len(), seconds.len());
    }

    #[test]
    fn at_most_every_goes_first_at_once_and_then_once_in_a_span_with_the_last(
        seconds in any_seconds(),
        span in 1_u64..300,
    ) {
        let book = stream(&Coalesce::at_most_every(Duration::from_secs(span)), &seconds);
        let first = *seconds.first().unwrap();
        prop_assert_eq!(book.went[0], (delivery(&event(first)), at(first)));
        for pair in book.went.windows(2) {
            prop_assert!(pair[1].1.since(pair[0].1) >= Duration::from_secs(span));
        }
        let span = Duration::from_secs(span);
        prop_assert_eq!(without_a_stand_in(&book, &seconds, span), None);
    }

    #[test]
    fn the_newest_is_left_in_whatever_order_they_come(
        order in Just((0_u64..12).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut book = Book::default();
        for n in &order {
            // All in the same second, so that nothing goes in between.
            book.take(&Coalesce::newest(), &event(*n), at(100));
        }
        let left: Vec<DeliveryId> = book.waiting.into_keys().collect();
        prop_assert_eq!(left, [delivery(&event(11))]);
        prop_assert_eq!(book.superseded.len(), 11);
    }

    /// Three nodes whose clocks differ, and are set now and then.
    #[test]
    fn whatever_clocks_say_the_last_that_came_goes_and_every_other_goes_or_has_one_that_does(
        steps in prop::collection::vec((0_u64..30, 0_u64..90, 0_u64..4), 1..60),
        kind in 0_u8..3,
    ) {
        let coalesce = match kind {
            0 => Coalesce::quiet(SECOND * 20).with_max_wait(SECOND * 50),
            1 => Coalesce::at_most_every(SECOND * 20),
            _ => Coalesce::quiet(SECOND * 20).with_per(Per::Trigger),
        };
        let mut book = Book::default();
        let mut time = 10_000;
        let mut all = Vec::new();
        for (step, (pause, skew, late)) in (0..).zip(steps) {
            time += pause;
            // What is due goes late now and then.
            if late > 0 {
                book.go(at(time));
            }
            book.take(&coalesce, &event(step), at(time + skew));
            all.push(delivery(&event(step)));
            prop_assert!(!book.superseded.contains(all.last().unwrap()));
        }
        book.go(Timestamp::MAX);
        let went: BTreeSet<DeliveryId> = book.ids().into_iter().collect();
        prop_assert!(went.contains(all.last().unwrap()), "the last that came");
        prop_assert_eq!(went.len() + book.superseded.len(), all.len(), "none is lost");
    }

    #[test]
    fn what_nobody_can_read_says_nothing(text in any::<String>(), kind in 0_usize..5) {
        let coalesce = &all_kinds()[kind];
        let event = event(5).clone();
        let places = Places::of(coalesce, trigger(), &event, at(5));
        let values: Vec<Option<String>> = places.keys().iter().map(|_| Some(text.clone())).collect();
        let decision = coalesce.decide(&event, delivery(&event), &places, &values, at(5));
        let none = vec![None; values.len()];
        let expected = coalesce.decide(&event, delivery(&event), &places, &none, at(5));
        prop_assert_eq!(decision.fate, expected.fate);
        prop_assert_eq!(decision.supersedes, expected.supersedes);
    }

    #[test]
    fn a_version_goes_once_when_it_is_everywhere(
        steps in prop::collection::vec((0_usize..4, any::<bool>()), 1..40),
    ) {
        let registries = ["a", "b", "c", "elsewhere"];
        let all_of = Coalesce::all_of(["a", "b", "c"]);
        let mut book = Book::default();
        let (mut there, mut went) = (BTreeSet::new(), 0);
        let mut expected = 0;
        for (n, (registry, is_removed)) in (0..).zip(steps) {
            let image = Artifact::new("oci", "app").with_tag("1").with_registry(registries[registry]);
            let mut event = of_artifact(n, image);
            if is_removed {
                event.kind = EventKind::TAG_DELETED;
                there.remove(&registry);
            } else if registry < 3 {
                there.insert(registry);
            }
            // Once it is nowhere any more it is as if it had never been.
            if there.is_empty() {
                went = 0;
            }
            if there.len() == 3 && went == 0 {
                (went, expected) = (1, expected + 1);
            }
            let fate = book.take(&all_of, &event, at(n));
            let goes = matches!(fate, Fate::Goes { .. });
            prop_assert_eq!(goes, book.waiting.contains_key(&delivery(&event)));
            prop_assert_eq!(book.waiting.len(), expected, "after step {}", n);
        }
    }

    #[test]
    fn what_is_kept_is_bounded_by_what_comes_within_a_few_stretches(
        per_hour in 1_u32..20,
    ) {
        let coalesce = Coalesce::quiet(HOUR);
        let mut book = Book::default();
        let mut most = 0;
        for n in 0..per_hour * 30 {
            let artifact = Artifact::new("generic", format!("a{n}"));
            let now = at(0) + HOUR / per_hour * n;
            book.take(&coalesce, &of_artifact(n.into(), artifact), now);
            most = most.max(book.texts.len());
        }
        // Four stretches of an hour, and the four that say which they are.
        prop_assert!(most <= usize::try_from(per_hour).unwrap() * 4 + 4 + 4, "{} are kept", most);
    }
}

fn all_kinds() -> [Coalesce; 5] {
    [
        Coalesce::newest(),
        Coalesce::quiet(SECOND),
        Coalesce::at_most_every(SECOND),
        Coalesce::index_within(SECOND),
        Coalesce::all_of(["a", "b"]),
    ]
}

fn digest(n: u8) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

fn manifest(second: u64, n: u8, facts: OciFacts) -> Event {
    let image = Artifact::new("oci", "app").with_repository("acme/app").with_digest(digest(n));
    of_artifact(second, image.with_oci(facts))
}

pub(super) fn child_of(second: u64, n: u8) -> Event {
    manifest(second, n, OciFacts::of_role(OciRole::Child))
}

pub(super) fn index_of(second: u64, children: &[u8]) -> Event {
    let mut facts = OciFacts::of_role(OciRole::Index);
    facts.child_digests = children.iter().map(|n| digest(*n)).collect();
    manifest(second, 99, facts)
}

#[test]
fn an_index_stands_for_its_children_whichever_come_first() {
    let within = Coalesce::index_within(SECOND * 10);
    let mut book = Book::default();
    book.take(&within, &child_of(0, 1), at(0));
    book.take(&within, &child_of(1, 2), at(1));
    assert_eq!(book.waiting.len(), 2, "they wait");
    let index = index_of(2, &[1, 2, 3]);
    assert_eq!(book.take(&within, &index, at(2)), Fate::Goes { due: at(2) });
    assert_eq!(book.take(&within, &child_of(3, 3), at(3)), Fate::Superseded, "one comes late");
    assert_eq!(book.superseded.len(), 3);
    book.go(Timestamp::MAX);
    assert_eq!(book.ids(), [delivery(&index)]);
}

#[test]
fn children_without_their_index_go_after_the_wait_and_others_at_once() {
    let within = Coalesce::index_within(SECOND * 10);
    let mut book = Book::default();
    let (one, other) = (child_of(0, 1), child_of(4, 2));
    assert_eq!(book.take(&within, &one, at(0)), Fate::Goes { due: at(10) });
    assert_eq!(book.take(&within, &other, at(4)), Fate::Goes { due: at(14) });
    let tagged = manifest(5, 3, OciFacts::of_role(OciRole::Manifest));
    assert_eq!(book.take(&within, &tagged, at(5)), Fate::Goes { due: at(5) });
    assert_eq!(book.take(&within, &event(6), at(6)), Fate::Goes { due: at(6) }, "no image");
    book.go(at(12));
    // Too late for the first.
    book.take(&within, &index_of(12, &[1, 2]), at(12));
    assert_eq!(book.superseded, [delivery(&other)].into());
    assert!(book.ids().contains(&delivery(&one)));
    let later = child_of(40, 1);
    assert_eq!(book.take(&within, &later, at(40)), Fate::Goes { due: at(50) }, "of another push");
}

#[test]
fn what_comes_when_the_wait_ends_comes_too_late() {
    let within = Coalesce::index_within(SECOND * 10);
    let mut book = Book::default();
    book.take(&within, &child_of(0, 1), at(0));
    book.take(&within, &index_of(10, &[1, 2]), at(10));
    assert!(book.superseded.is_empty(), "the child goes");
    let child = book.take(&within, &child_of(20, 2), at(20));
    assert_eq!(child, Fate::Goes { due: at(30) }, "the index has gone");
}

#[test]
fn a_delivery_that_is_not_of_the_newest_is_outdated_as_long_as_that_is_known() {
    let newest = Coalesce::newest();
    let mut book = Book::default();
    let (old, new) = (event(1), event(2));
    let is_outdated = |book: &Book, event: &Event, now| {
        let places = Places::of(&newest, trigger(), event, now);
        newest.is_outdated(event, delivery(event), &places, &book.values(&places))
    };
    assert!(!is_outdated(&book, &old, at(0)), "nothing is known");
    book.take(&newest, &old, at(1));
    assert!(!is_outdated(&book, &old, at(1)));
    book.take(&newest, &new, at(2));
    assert_eq!([is_outdated(&book, &old, at(3)), is_outdated(&book, &new, at(3))], [true, false]);
    let other = of_artifact(0, Artifact::new("generic", "b"));
    assert!(!is_outdated(&book, &other, at(3)), "of another artifact");
    let days = |n: u64| Duration::from_secs(n * 86_400);
    assert!(is_outdated(&book, &old, at(2) + days(29)), "it is known for a month");
    let later = at(2) + Coalesce::NEWEST_KNOWN * 2;
    assert!(!is_outdated(&book, &old, later), "it is forgotten");
}

#[test]
fn of_two_that_occurred_at_one_time_the_one_that_comes_later_is_the_newer() {
    let newest = Coalesce::newest();
    let mut book = Book::default();
    let (one, mut other) = (event(1), event(2));
    other.occurred_at = one.occurred_at;
    book.take(&newest, &one, at(5));
    book.take(&newest, &other, at(6));
    assert_eq!(book.waiting.into_keys().collect::<Vec<_>>(), [delivery(&other)]);
}

#[test]
fn an_event_from_a_clock_that_is_ahead_silences_nothing() {
    let newest = Coalesce::newest();
    let mut book = Book::default();
    let (mut ahead, next) = (event(1), event(2));
    ahead.occurred_at = at(1_000_000);
    book.take(&newest, &ahead, at(1));
    let places = Places::of(&newest, trigger(), &next, at(2));
    assert!(!newest.is_outdated(&next, delivery(&next), &places, &book.values(&places)));
    assert_eq!(book.take(&newest, &next, at(2)), Fate::Goes { due: at(2) });
    assert!(newest.is_outdated(&ahead, delivery(&ahead), &places, &book.values(&places)));
    assert_eq!(book.waiting.into_keys().collect::<Vec<_>>(), [delivery(&next)]);
}

#[test]
fn a_version_is_forgotten_after_a_while_and_may_go_again() {
    let all_of = Coalesce::all_of(["a", "b"]).with_places(PlaceOf::Registry, HOUR);
    let in_registry = |n, registry| {
        of_artifact(n, Artifact::new("npm", "x").with_version("1").with_registry(registry))
    };
    let mut book = Book::default();
    assert_eq!(book.take(&all_of, &in_registry(0, "a"), at(0)), Fate::NotMade);
    assert_eq!(book.take(&all_of, &in_registry(1, "b"), at(3_600)), Fate::NotMade, "too late");
    assert_eq!(book.take(&all_of, &in_registry(2, "a"), at(3_700)), Fate::Goes { due: at(3_700) });
    assert_eq!(book.take(&all_of, &in_registry(3, "a"), at(3_800)), Fate::NotMade, "once");
    let without = of_artifact(4, Artifact::new("npm", "x").with_registry("a"));
    assert_eq!(book.take(&all_of, &without, at(3_900)), Fate::NotMade, "no version");
}

#[test]
fn a_namespace_tells_packages_apart_and_images_not() {
    let all_of = Coalesce::all_of(["a", "b"]);
    let goes = |of_type: &str| {
        let mut book = Book::default();
        let artifact = |registry: &str, namespace: &str| {
            let one = Artifact::new(of_type, "x").with_version("1").with_namespace(namespace);
            one.with_registry(registry)
        };
        book.take(&all_of, &of_artifact(0, artifact("a", "library")), at(0));
        book.take(&all_of, &of_artifact(1, artifact("b", "mirror")), at(1)) != Fate::NotMade
    };
    assert_eq!([goes("oci"), goes("maven")], [true, false]);
}

/// Who has the end of a stretch behind it, and who does not yet, decide from the same.
#[test]
fn at_the_end_of_a_stretch_nodes_with_different_clocks_see_each_others_texts() {
    let every = Coalesce::at_most_every(SECOND * 60);
    let (span, stretch) = (SECOND * 60, 120);
    let stretches = at(0).since(Timestamp::MIN).as_secs() / stretch + 1;
    let end = Timestamp::MIN + Duration::from_secs(stretches * stretch);
    let (early, late) = (end.before(SECOND), end + SECOND);
    for (first, second) in [(early, late), (late, early)] {
        let mut book = Book::default();
        assert_eq!(book.take(&every, &event(1), first), Fate::Goes { due: first });
        let fate = book.take(&every, &event(2), second);
        assert_eq!(fate, Fate::Goes { due: (first + span).min(second + span) });
        book.take(&every, &event(3), first);
        assert_eq!(book.superseded, [delivery(&event(2))].into());
    }
}

#[test]
fn a_burst_is_over_when_it_is_due() {
    let quiet = Coalesce::quiet(SECOND * 10).with_max_wait(SECOND * 15);
    for second in [10, 100] {
        let mut book = Book::default();
        book.take(&quiet, &event(0), at(0));
        let next = book.take(&quiet, &event(second), at(second));
        assert_eq!(next, Fate::Goes { due: at(second + 10) }, "a burst of its own");
        assert!(book.superseded.is_empty());
    }
}

#[test]
fn spans_are_as_the_manual_says() {
    let days = |span: Duration| span.as_secs() / 86_400;
    let longest = [Coalesce::MAX_SPAN, Coalesce::WITHIN, Coalesce::MAX_WITHIN];
    assert_eq!(longest.map(days), [7, 7, 90]);
    assert_eq!(days(Coalesce::NEWEST_KNOWN), 30);
}
