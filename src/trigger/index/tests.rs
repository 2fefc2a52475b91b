use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::event::{Artifact, EventKind};
use crate::trigger::TriggerSpec;
use crate::trigger::filter::field;

fn trigger(n: u32, scope: &str, kinds: &[&str], name: Option<&str>, enabled: bool) -> Trigger {
    let mut builder = Trigger::builder(format!("t{n}")).scope(scope.parse().unwrap()).action("a");
    for kind in kinds {
        builder = builder.on_any(kind.parse().unwrap());
    }
    if let Some(name) = name {
        builder = builder.filter(field::name().is(name));
    }
    let mut spec: TriggerSpec = builder.build().unwrap();
    spec.enabled = enabled;
    let now = Timestamp::from_unix_seconds(i64::from(n));
    Trigger::new(TriggerId::derived(now, &[&n.to_be_bytes()]), spec, now)
}

fn event(scope: &str, kind: &str, name: &str) -> Event {
    let kind: EventKind = kind.parse().unwrap();
    let artifact = Artifact::new("generic", name).with_tag("t");
    Event::builder(kind).scope(scope.parse().unwrap()).artifact(artifact).build().unwrap()
}

/// The rule as the documentation says it.
fn concerns(trigger: &Trigger, event: &Event) -> bool {
    trigger.spec.enabled
        && trigger.spec.scope.contains(&event.scope)
        && trigger.spec.kinds.iter().any(|pattern| pattern.matches(&event.kind))
        && trigger.spec.filter.matches(event)
}

#[test]
fn a_newer_revision_takes_the_place_of_the_older_one_and_not_the_other_way_round() {
    let old = trigger(1, "a", &["artifact.*"], None, true);
    let mut spec = old.spec.clone();
    spec.scope = "b".parse().unwrap();
    let new = old.changed(spec, None, Timestamp::UNIX_EPOCH);
    let mut index = TriggerIndex::new();
    index.insert(Arc::new(old.clone()));
    index.insert(Arc::new(new));
    index.insert(Arc::new(old));
    assert_eq!(index.matching(&event("a", "artifact.ingested", "x")).len(), 0);
    assert_eq!(index.matching(&event("b", "artifact.ingested", "x")).len(), 1);
    assert_eq!(index.len(), 1);
}

#[test]
fn parts_of_texts_are_found_whatever_their_lengths_and_wherever_they_stand() {
    let text = "team-3/checkout-adapter-of-the-north-and-the-south-and-all-between-ü-9";
    let others = ["team-3", "r", "adapter", "south-and", &text[7..], &text.to_uppercase()];
    let mut triggers = Vec::new();
    for len in (1..text.len()).filter(|len| text.is_char_boundary(*len)) {
        let (head, end) = text.split_at(len);
        let middle = &text[len / 2..len];
        let repository = field::repository;
        let filters = [
            repository().starts_with(head),
            repository().ends_with(end),
            repository().contains(middle),
            field::tags().contains(end),
            repository().ends_with_ignoring_case(end),
        ];
        for filter in filters {
            let n = u32::try_from(triggers.len()).unwrap();
            let filter = field::registry().is("r").and(filter);
            let builder = Trigger::builder(format!("t{n}")).on_any("*".parse().unwrap());
            let spec = builder.filter(filter).action("a").build().unwrap();
            let id = TriggerId::derived(Timestamp::UNIX_EPOCH, &[&n.to_be_bytes()]);
            triggers.push(Arc::new(Trigger::new(id, spec, Timestamp::UNIX_EPOCH)));
        }
    }
    let mut index = TriggerIndex::new();
    triggers.iter().cloned().for_each(|trigger| index.insert(trigger));
    let mut found = 0;
    for round in 0..2 {
        for (repository, tag) in others.iter().flat_map(|one| [(text, *one), (one, text)]) {
            let artifact = Artifact::new("generic", "x").with_registry("r").with_tag(tag);
            let artifact = artifact.with_repository(repository);
            let builder = Event::builder("ping".parse().unwrap()).artifact(artifact);
            let event = builder.build().unwrap();
            let there = |(n, trigger): &(usize, &Arc<Trigger>)| {
                (round == 0 || n % 3 > 0) && concerns(trigger, &event)
            };
            let expected = triggers.iter().enumerate().filter(there).count();
            let matching = index.matching(&event);
            assert!(matching.iter().all(|trigger| concerns(trigger, &event)));
            assert_eq!(matching.len(), expected, "{repository} {tag}");
            found += expected;
        }
        triggers.iter().step_by(3).for_each(|trigger| index.remove(trigger.id));
    }
    assert!(found > 1_000, "{found}");
}

fn scope() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]", 0..4).prop_map(|segments| segments.join("/"))
}

fn pattern() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["*", "artifact.*", "artifact.ingested", "tag.*", "ping", "tag.moved"])
}

type Row = (String, Vec<&'static str>, Option<String>, bool);

fn row() -> impl Strategy<Value = Row> {
    (scope(), prop::collection::vec(pattern(), 1..4), prop::option::of("[xy]"), any::<bool>())
}

proptest! {
    #[test]
    fn the_index_finds_what_a_scan_finds(
        rows in prop::collection::vec(row(), 0..20),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        scope in scope(),
        kind in prop::sample::select(vec!["artifact.ingested", "tag.moved", "ping", "tag.moved.far"]),
        name in "[xy]",
    ) {
        let mut index = TriggerIndex::new();
        let mut all = Vec::new();
        for (n, (scope, kinds, name, enabled)) in rows.iter().enumerate() {
            let n = u32::try_from(n).unwrap();
            let trigger = Arc::new(trigger(n, scope, kinds, name.as_deref(), *enabled));
            index.insert(trigger.clone());
            all.push(trigger);
        }
        for choice in removed {
            if !all.is_empty() {
                index.remove(all.remove(choice.index(all.len())).id);
            }
        }
        let event = event(&scope, kind, &name);
        let expected: Vec<_> = all.iter().filter(|t| concerns(t, &event)).map(|t| t.id).collect();
        let found: Vec<_> = index.matching(&event).iter().map(|t| t.id).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(index.len(), all.len());
    }
}
