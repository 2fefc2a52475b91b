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
