//! Which keys are read and written, and what of one stretch of time is left in the next.

use super::super::tests::{SECOND, at, child_of, event, index_of, of_artifact, trigger};
use super::*;

#[test]
fn keys_are_of_the_stretches_before_now_and_next() {
    let newest = Coalesce::newest();
    let keys = |now| Places::of(&newest, trigger(), &event(0), now).keys();
    assert_eq!(Places::prefix(trigger()), format!("coalesce/{}/", trigger()));
    let (now, next) = (keys(at(0)), keys(at(0) + Coalesce::NEWEST_KNOWN));
    assert_eq!(now.len(), 4);
    assert_eq!(now[1..3], next[0..2], "a stretch later what was next is now");
    assert!(now[3].contains("/slot/") && now[3] != next[3]);
    assert_eq!(keys(at(0)), keys(at(60)), "within a stretch they stay");
}

#[test]
fn who_decides_of_the_same_decides_by_the_same_names() {
    let newest = Coalesce::newest();
    let names = |event: &Event, now| Places::of(&newest, trigger(), event, now).names().to_vec();
    let other = of_artifact(0, Artifact::new("generic", "b"));
    assert_eq!(names(&event(1), at(1)).len(), 1);
    assert_eq!(names(&event(1), at(1)), names(&event(2), at(90_000)));
    assert_ne!(names(&event(1), at(1)), names(&other, at(1)));
    let within = Coalesce::index_within(SECOND);
    let index = index_of(0, &[1, 2]);
    let children = Places::of(&within, trigger(), &index, at(0)).names().to_vec();
    let child = Places::of(&within, trigger(), &child_of(0, 2), at(0)).names().to_vec();
    assert_eq!((children.len(), &children[1..]), (2, &child[..]));
}

#[test]
fn of_what_comes_from_elsewhere_nothing_is_remembered() {
    let all_of = Coalesce::all_of(["a", "b"]);
    let names_of = |registry: &str| {
        let image = Artifact::new("oci", "app").with_tag("1").with_registry(registry);
        Places::of(&all_of, trigger(), &of_artifact(0, image), at(0)).names().len()
    };
    assert_eq!(["a", "b", "c"].map(names_of), [1, 1, 0]);
}

#[test]
fn each_text_moves_from_what_was_read_under_its_own_name() {
    let within = Coalesce::index_within(SECOND);
    let places = Places::of(&within, trigger(), &index_of(0, &[1, 2]), at(0));
    let keys = places.keys();
    // The second name has a text in the next stretch, where another node's clock is.
    let mut values: Vec<Option<String>> =
        ["a0", "a1", "", "b0", "b1", "b2", "slot"].map(|text| Some(text.to_owned())).to_vec();
    values[2] = None;
    assert_eq!(places.read(&values), [Some("a1"), Some("b2")]);
    let texts = [Some("a".to_owned()), Some("b".to_owned())];
    let moves = places.moves(&values, &texts);
    let read: Vec<_> = moves.iter().map(|(key, read, _)| (key.clone(), read.clone())).collect();
    assert_eq!(read, keys.iter().cloned().zip(values.clone()).collect::<Vec<_>>());
    let written: Vec<_> = moves.iter().map(|(_, _, to)| to.as_deref()).collect();
    assert_eq!(written[..6], [None, Some("a"), None, None, None, Some("b")]);
    // Whose the slot is that now has is said once, and what had it before is forgotten.
    let own = moves[6].2.clone();
    let forgotten = places.forgotten(&values).unwrap();
    assert!(keys[1].starts_with(&forgotten) && !keys[0].starts_with(&forgotten), "{forgotten}");
    values[6] = own;
    assert_eq!(places.moves(&values, &texts).len(), 6);
    assert_eq!(places.forgotten(&values), None);
    // Of what nothing is remembered of nothing moves.
    let nothing = Places::of(&within, trigger(), &event(0), at(0));
    assert!(nothing.keys().is_empty() && nothing.moves(&[], &[]).is_empty());
}
