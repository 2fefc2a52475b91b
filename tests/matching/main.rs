//! The index finds what plain evaluation finds: for generated triggers and events, from events and
//! from their JSON, while triggers come and go, and for who holds a snapshot meanwhile.

mod generate;
#[path = "../filter_language/naive.rs"]
mod naive;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::id::TriggerId;
use artifact_triggers::trigger::Trigger;
use artifact_triggers::trigger::filter::Filter;
use artifact_triggers::trigger::index::TriggerIndex;
use generate::Random;
use serde_json::{Value, json};

/// A trigger, and its filter as it was written.
type Written = (Arc<Trigger>, Value);

/// The rule as the documentation says it, the filter judged by plain evaluation, which must agree
/// with the naive one.
fn concerns_by_both((trigger, filter): &Written, event: &Event, json: &Value) -> bool {
    let plain = trigger.spec.filter.matches(event);
    assert_eq!(plain, naive::matches(filter, json), "{filter}\n{json}");
    concerns(trigger, event)
}

/// The rule as the documentation says it.
fn concerns(trigger: &Trigger, event: &Event) -> bool {
    trigger.spec.enabled
        && trigger.spec.scope.contains(&event.scope)
        && trigger.spec.kinds.iter().any(|pattern| pattern.matches(&event.kind))
        && trigger.spec.filter.matches(event)
}

fn found(index: &TriggerIndex, event: &Event) -> Vec<TriggerId> {
    index.matching(event).iter().map(|trigger| trigger.id).collect()
}

fn found_in_json(index: &TriggerIndex, event: &Event) -> Vec<TriggerId> {
    let mut found = Vec::new();
    index.find_json(&event.to_json(), &mut found).unwrap();
    let mut ids: Vec<TriggerId> = found.iter().map(|trigger| trigger.id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn the_index_finds_what_a_scan_finds_while_triggers_come_and_go() {
    let (mut judged, mut matched) = (0_u32, 0_u32);
    for seed in 0..30 {
        let random = &mut Random::new(seed);
        let mut index = TriggerIndex::new();
        let mut all: BTreeMap<TriggerId, Written> = BTreeMap::new();
        for number in 0..160 {
            let (trigger, filter) = generate::trigger(random, number);
            let trigger = Arc::new(trigger);
            index.insert(trigger.clone());
            all.insert(trigger.id, (trigger, filter));
            // One in four goes again, one in four is changed.
            let some = all.keys().nth(random.below(all.len())).copied().unwrap();
            match random.below(4) {
                0 => {
                    index.remove(some);
                    all.remove(&some);
                }
                1 => {
                    let (other, filter) = generate::trigger(random, number);
                    let changed = all[&some].0.changed(other.spec, None, other.created_at);
                    let changed = Arc::new(changed);
                    index.insert(changed.clone());
                    all.insert(some, (changed, filter));
                }
                _ => {}
            }
        }
        assert_eq!(index.len(), all.len());
        for _ in 0..40 {
            let event = generate::event(random);
            let json: Value = serde_json::from_slice(&event.to_json()).unwrap();
            let concerned = all.values().filter(|each| concerns_by_both(each, &event, &json));
            let expected: Vec<TriggerId> = concerned.map(|(trigger, _)| trigger.id).collect();
            let found = found(&index, &event);
            let is_wrong = |id: &TriggerId| expected.contains(id) != found.contains(id);
            let wrong = all.values().filter(|(trigger, _)| is_wrong(&trigger.id));
            let wrong: Vec<String> = wrong.map(|(_, filter)| filter.to_string()).collect();
            assert_eq!(wrong, [""; 0], "seed {seed}: {event:#?}");
            assert_eq!(found, expected, "seed {seed}: {event:#?}");
            assert_eq!(found_in_json(&index, &event), expected, "seed {seed}, JSON: {event:#?}");
            judged += u32::try_from(all.len()).unwrap();
            matched += u32::try_from(expected.len()).unwrap();
        }
        for id in all.keys() {
            index.remove(*id);
        }
        assert!(index.is_empty() && index.matching(&generate::event(random)).is_empty());
    }
    println!("{judged} pairs of a trigger and an event, of which {matched} match");
    assert!(judged > 100_000 && matched > judged / 50, "{judged} {matched}");
}

#[test]
fn a_snapshot_is_whole_and_stays_as_it_is_while_others_change_the_index() {
    let random = &mut Random::new(4_711);
    let events: Vec<Event> = (0..20).map(|_| generate::event(random)).collect();
    let shared = std::sync::Mutex::new(TriggerIndex::new());
    let ended = AtomicBool::new(false);
    let rounds: usize = std::thread::scope(|threads| {
        let read = || {
            let mut rounds = 0;
            while !ended.load(Ordering::Relaxed) || rounds == 0 {
                let snapshot = shared.lock().unwrap().clone();
                for event in &events {
                    let mut expected: Vec<TriggerId> =
                        snapshot.iter().filter(|t| concerns(t, event)).map(|t| t.id).collect();
                    expected.sort_unstable();
                    assert_eq!(found(&snapshot, event), expected);
                }
                rounds += 1;
            }
            rounds
        };
        let readers: Vec<_> = (0..3).map(|_| threads.spawn(read)).collect();
        for number in 0..1_500 {
            let trigger = Arc::new(generate::trigger(random, number % 300).0);
            // As an engine does it: a copy is changed, and takes the place of the one before.
            let mut next = shared.lock().unwrap().clone();
            if random.below(2) == 0 {
                next.remove(trigger.id);
            } else {
                next.insert(trigger);
            }
            *shared.lock().unwrap() = next;
        }
        ended.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    println!("{rounds} snapshots were compared");
}

fn ingested(artifact: Artifact) -> Event {
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap()
}

fn index_of(filters: impl IntoIterator<Item = serde_json::Value>) -> TriggerIndex {
    let mut index = TriggerIndex::new();
    for (number, filter) in (0..).zip(filters) {
        let random = &mut Random::new(1);
        let (mut trigger, _) = generate::trigger(random, number);
        trigger.spec.scope = "".parse().unwrap();
        trigger.spec.enabled = true;
        trigger.spec.kinds = vec!["*".parse().unwrap()];
        trigger.spec.filter = Filter::from_value(&filter).unwrap();
        index.insert(Arc::new(trigger));
    }
    index
}

#[test]
fn many_different_fields_to_hold_on_to_are_found_all_the_same() {
    let names = 0..500;
    let index = index_of(names.map(|n| json!({"attributes": {format!("team-{n}"): ["x"]}})));
    let event = ingested(Artifact::new("oci", "app"));
    for n in [0, 63, 64, 499] {
        let mut event = event.clone();
        event.attributes.insert(format!("team-{n}"), "x".to_owned());
        assert_eq!(index.matching(&event).len(), 1, "{n}");
    }
    assert_eq!(index.matching(&event).len(), 0);
}

#[test]
fn more_beginnings_at_different_paths_than_have_room_are_found_and_taken_out_again() {
    let filter = |n| {
        let label = format!("team-{n}");
        json!({"artifact": {"registry": ["r"]}, "attributes": {label: [{"prefix": "blue-"}]}})
    };
    let mut index = index_of((0..200).map(filter));
    let mut triggers: Vec<Arc<Trigger>> = index.iter().cloned().collect();
    let found = |index: &TriggerIndex, n: usize, value: &str| {
        let mut event = ingested(Artifact::new("oci", "app").with_registry("r"));
        event.attributes.insert(format!("team-{n}"), value.to_owned());
        index.matching(&event).len()
    };
    for n in 0..200 {
        assert_eq!((found(&index, n, "blue-1"), found(&index, n, "green-1")), (1, 0), "{n}");
    }
    triggers.sort_by_key(|trigger| trigger.spec.name[1..].parse::<usize>().unwrap());
    triggers.iter().step_by(3).for_each(|trigger| index.remove(trigger.id));
    for n in 0..200 {
        assert_eq!(found(&index, n, "blue-1"), usize::from(n % 3 > 0), "{n}");
    }
    for trigger in &triggers {
        index.remove(trigger.id);
    }
    assert!(index.is_empty());
    for trigger in triggers {
        index.insert(trigger);
    }
    assert_eq!((0..200).map(|n| found(&index, n, "blue-1")).sum::<usize>(), 200);
}

#[test]
fn more_kinds_than_have_a_bit_are_told_apart() {
    let mut index = TriggerIndex::new();
    for number in 0..200_u32 {
        let (mut trigger, _) = generate::trigger(&mut Random::new(1), number);
        trigger.spec.scope = "".parse().unwrap();
        trigger.spec.enabled = true;
        trigger.spec.kinds = vec![format!("acme.kind-{number}").parse().unwrap()];
        trigger.spec.filter = Filter::everything();
        index.insert(Arc::new(trigger));
    }
    for number in [0, 62, 63, 64, 199] {
        let kind: EventKind = format!("acme.kind-{number}").parse().unwrap();
        let event = Event::builder(kind).build().unwrap();
        let found = index.matching(&event);
        assert_eq!(found.len(), 1, "{number}");
        assert_eq!(found[0].spec.name, format!("t{number}"));
    }
}

#[test]
fn json_that_is_no_event_is_refused_by_the_field() {
    let index = index_of([json!({})]);
    for (json, expected) in [
        ("{", "expected JSON"),
        (r#"{"kind": "ping"}"#, "scope: expected a string"),
        (r#"{"scope": "/", "kind": 5}"#, "scope: expected a scope"),
        (r#"{"scope": "", "kind": "ping", "artifact": [1]}"#, "artifact: expected an object"),
        (r#"{"scope": "", "kind": "ping", "artifact": {"tags": "x"}}"#, "artifact.tags: expected"),
    ] {
        let problems = index.find_json(json.as_bytes(), &mut Vec::new()).unwrap_err().to_string();
        assert!(problems.contains(expected), "{json}: {problems}");
    }
}
