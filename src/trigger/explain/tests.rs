use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::entropy::OsEntropy;
use crate::event::{Artifact, EventKind, File};
use crate::id::TriggerId;
use crate::trigger::TriggerSpec;

fn event() -> Event {
    let mut image = Artifact::new("oci", "hello")
        .with_repository("library/hello")
        .with_tag("latest")
        .with_tag("v1");
    image.files =
        vec![File::new("a.jar").with_size(1), File::new("b.jar").with_size(2), File::new("c.txt")];
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(image).build().unwrap()
}

fn explain(filter: &Value) -> Explanation {
    Filter::from_value(filter).unwrap().explain(&event())
}

#[test]
fn the_text_names_what_was_found_nearest_misses_first() {
    let filter = json!({
        "artifact": {"repository": [{"prefix": "team/"}], "version": [{"semver": ">=1"}]},
        "$or": [{"actor": {"kind": ["robot"]}}, {"kind": ["artifact.ingested"]}],
    });
    let expected = r#"[ ] all of these
  [ ] all of these, of the same artifact
    [ ] artifact.repository begins with "team/": found "library/hello"
    [ ] artifact.version is a semantic version that meets ">=1": nothing there
  [x] any of these
    [ ] actor.kind is "robot": nothing there
    [x] kind is "artifact.ingested": found "artifact.ingested"
"#;
    assert_eq!(explain(&filter).to_string(), expected);
}

#[test]
fn of_an_array_of_objects_the_nearest_elements_are_shown() {
    let filter = json!({"artifact": {"files": {"name": ["b.jar"], "size": [1]}}});
    let expected = r#"[ ] all of these, of the same artifact.files
  [ ] element 0: all of these, of the same artifact.files
    [ ] artifact.files.name is "b.jar": found "a.jar"
    [x] artifact.files.size is 1: found 1
  [ ] element 1: all of these, of the same artifact.files
    [ ] artifact.files.size is 1: found 2
    [x] artifact.files.name is "b.jar": found "b.jar"
  [ ] element 2: all of these, of the same artifact.files
    [ ] artifact.files.name is "b.jar": found "c.txt"
    [ ] artifact.files.size is 1: nothing there
"#;
    assert_eq!(explain(&filter).to_string(), expected);
}

#[test]
fn the_json_has_what_the_text_has() {
    let expected = json!({
        "wants": "artifact.tags is \"v2\"",
        "held": false,
        "nearness": 50,
        "found": ["\"latest\"", "\"v1\""],
    });
    let explanation = explain(&json!({"artifact": {"tags": ["v2"]}}));
    assert_eq!(serde_json::to_value(explanation).unwrap(), expected);
}

#[test]
fn what_each_part_satisfies_and_no_one_element_does_is_told() {
    let filter = json!({
        "artifact": {"files": {"name": ["a.jar"]}},
        "$or": [{"artifact": {"files": {"size": [2]}}}, {"artifact": {"files": {"size": [3]}}}],
    });
    let explanation = explain(&filter);
    assert!(!explanation.held);
    assert_eq!(explanation.parts[0].wants, "one and the same element satisfies all of it");
}

fn of_data(filter: &Value, data: Value) -> Explanation {
    let mut event = event();
    event.data = Some(data);
    Filter::from_value(&json!({ "data": filter })).unwrap().explain(&event)
}

/// All texts of an explanation that say what is wanted.
fn wants(explanation: &Explanation) -> Vec<&str> {
    let inner = explanation.parts.iter().flat_map(wants);
    std::iter::once(explanation.wants.as_str()).chain(inner).collect()
}

#[test]
fn that_an_or_holds_only_jointly_with_what_is_beside_it_is_told() {
    let filter = json!({
        "rows": {"f": [{"exists": false}]},
        "$or": [{"rows": {"n": ["x"]}}, {"rows": {"n": ["y"]}}],
    });
    let explanation = of_data(&filter, json!({"rows": [{"n": "x"}, {"f": 1}]}));
    assert!(explanation.held);
    let told: Vec<_> = explanation.parts.iter().map(|part| (&*part.wants, part.held)).collect();
    let expected = [
        ("data.rows.f is not there", false),
        ("one and the same element satisfies all of it", true),
        ("any of these", true),
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_element_that_decides_is_shown_wherever_it_stands() {
    let filter = json!({"rows": {"n": [77], "m": [1]}});
    let rows =
        |count: usize| -> Vec<Value> { (0..count).map(|n| json!({"n": n, "m": 1})).collect() };
    let held = of_data(&filter, json!({"rows": rows(100)}));
    let shown: Vec<_> =
        held.parts.iter().filter(|part| part.held).map(|part| &*part.wants).collect();
    assert_eq!((held.held, shown), (true, vec!["element 77: all of these, of the same data.rows"]));
    assert_eq!((held.parts.len(), held.left_out), (MAX_ELEMENTS, 97));

    let absent = json!({"rows": {"gone": [{"exists": false}]}});
    let mut some = rows(100);
    some[90]["gone"] = json!(true);
    let missed = of_data(&absent, json!({ "rows": some }));
    assert!(!missed.held);
    assert_eq!(missed.parts[0].wants, "element 90: data.rows.gone is not there");
    assert_eq!(missed.parts[0].found.as_deref().unwrap(), ["true"]);
}

#[test]
fn that_all_elements_lack_something_else_is_told() {
    let filter = json!({"rows": {"$or": [{"a": [{"exists": false}]}, {"b": [{"exists": false}]}]}});
    let explanation = of_data(&filter, json!({"rows": [{"a": 1}, {"b": 1}]}));
    assert!(!explanation.held);
    assert_eq!(explanation.parts[0].wants, "all elements satisfy it in one and the same way");
}

#[test]
fn the_leaf_that_fits_is_among_those_that_are_shown() {
    let tags: Vec<String> = (0..20).map(|n| format!("v{n}")).collect();
    let explanation = of_data(&json!({"tags": ["v15"]}), json!({ "tags": tags }));
    let found = explanation.found.as_deref().unwrap();
    assert_eq!((found.len(), found[7].as_str(), explanation.left_out), (8, r#""v15""#, 12));
}

#[test]
fn an_object_or_an_empty_list_at_the_path_of_a_leaf_is_told() {
    let filter = json!({"x": [{"exists": true}]});
    for (data, found) in [
        (json!({"x": {"y": 1}}), "an object, which is no leaf"),
        (json!({"x": []}), "an empty list, which has no leaf"),
    ] {
        let explanation = of_data(&filter, data);
        assert_eq!((explanation.held, explanation.nearness), (false, 0));
        assert_eq!(explanation.to_string(), format!("[ ] data.x is there: found {found}\n"));
    }
    assert_eq!(of_data(&filter, json!({})).to_string(), "[ ] data.x is there: nothing there\n");
}

fn trigger(filter: Filter) -> Trigger {
    let mut spec: TriggerSpec =
        Trigger::builder("t").on(EventKind::ARTIFACT_INGESTED).action("a").build().unwrap();
    spec.filter = filter;
    Trigger::new(TriggerId::new(Timestamp::UNIX_EPOCH, &OsEntropy), spec, Timestamp::UNIX_EPOCH)
}

#[test]
fn that_a_trigger_is_suspended_is_told() {
    let mut trigger = trigger(Filter::everything());
    let state = |trigger: &Trigger| {
        let explanation = trigger.explain(&event());
        assert!(explanation.held);
        let is_state = |part: &&Explanation| part.wants == "the trigger is enabled";
        explanation.parts.iter().find(is_state).unwrap().found.clone().unwrap()
    };
    assert_eq!(state(&trigger), ["enabled"]);
    trigger.suspended = Some(SuspendReason::EndpointGone);
    assert_eq!(state(&trigger), ["suspended: its endpoint is gone, what matches is parked"]);
}

#[test]
fn the_parts_of_an_explanation_are_as_many_as_is_said_and_no_more() {
    let any: Vec<Value> = (0..340).map(|n| json!({"a": [n], "b": [n], "c": [n]})).collect();
    let filter = Filter::from_value(&json!({"data": {"rows": {"$or": any}}})).unwrap();
    let mut event = event();
    event.data = Some(json!({"rows": vec![json!({"a": 1}); 100]}));
    assert_eq!(wants(&filter.explain(&event)).len(), MAX_PARTS);
    assert_eq!(wants(&trigger(filter).explain(&event)).len(), MAX_PARTS);
}

#[test]
fn what_has_no_room_is_the_least_telling() {
    let fields = |count: usize| (0..count).map(|n| (format!("f{n:04}"), json!(n)));
    let mut wanted: Value = fields(1_010).map(|(name, n)| (name, json!([n]))).collect();
    wanted["z"] = json!(["missing"]);
    let explanation = of_data(&wanted, fields(1_010).collect());
    assert_eq!(explanation.parts[0].wants, r#"data.z is "missing""#);
    assert!(!explanation.parts[0].held && explanation.left_out == 12);

    let any: Vec<Value> = (0..340).map(|n| json!({"a": [1], "b": [n + 1], "c": [n]})).collect();
    let explanation = of_data(&json!({ "$or": any }), json!({"a": 1, "b": 340, "c": 500}));
    let nearest = &explanation.parts[0];
    assert_eq!((nearest.nearness, nearest.parts.len()), (83, 3));
    assert!(explanation.left_out > 0);
}

#[test]
fn no_text_of_an_explanation_is_longer_than_is_said() {
    fn check(explanation: &Explanation) {
        assert!(explanation.wants.chars().count() <= MAX_WORDS, "{}", explanation.wants);
        let found = explanation.found.iter().flatten();
        assert!(found.clone().count() <= MAX_FOUND);
        found.for_each(|found| assert!(found.chars().count() <= MAX_FOUND_CHARS, "{found}"));
        explanation.parts.iter().for_each(check);
    }
    let long = "\u{202e}".repeat(300);
    let texts: Vec<&str> = vec![&long; 20];
    let filter = json!({"data": {&*long: {"x": {"y": [{"anything-but": [long, "é"]}], "z": [1]}}}});
    let mut trigger = trigger(Filter::from_value(&filter).unwrap());
    trigger.spec.kinds = vec![KindPattern::any(); 10_000];
    trigger.spec.name = long.repeat(100);
    let mut event = event();
    event.data = Some(json!({&*long: {"x": [{"y": texts, "z": long.repeat(100)}]}}));
    let explanation = trigger.explain(&event);
    check(&explanation);
    let cut = wants(&explanation).into_iter().filter(|wants| wants.ends_with('…')).count();
    assert!(cut >= 4, "{explanation}");
}

#[test]
fn what_takes_too_long_to_judge_is_left_out_and_the_verdict_is_told() {
    let any: Vec<Value> = (0..300).map(|n| json!({"a": [{"exists": false}], "b": [n]})).collect();
    let filter = json!({"m": [1], "x": {"y": {"z": {"$or": any}}}});
    let row =
        (0..3).fold(json!({"b": 1_000}), |inner, n| json!({["z", "y", "x"][n]: vec![inner; 25]}));
    let mut data = row;
    data["m"] = json!(2);
    let explanation = of_data(&filter, data);
    assert!(!explanation.held);
    let told: Vec<_> = explanation.parts.iter().map(|part| (&*part.wants, part.held)).collect();
    assert_eq!((told, explanation.left_out), (vec![("data.m is 1", false)], 1));
}

#[test]
fn an_explanation_is_of_bounded_size() {
    let many: Vec<Value> = (0..500).map(|n| json!({"data": {n.to_string(): [n]}})).collect();
    let filter = json!({"$and": many, "data": {"x": {"y": ["z".repeat(1_000)], "z": [1]}}});
    let filter = Filter::from_value(&filter).unwrap();
    let row = json!({"y": "\u{202e}".repeat(10_000), "z": 2});
    let mut event = event();
    event.data = Some(json!({"x": vec![row; 5_000]}));
    let explanation = filter.explain(&event);
    assert!(!explanation.held);
    let (text, json) = (explanation.to_string(), serde_json::to_string(&explanation).unwrap());
    assert!(text.len() < 300_000 && json.len() < 500_000, "{} {}", text.len(), json.len());
    assert!(!text.contains('\u{202e}') && text.contains("more left out"));
}

#[test]
fn an_explanation_of_arrays_within_arrays_is_bounded_too() {
    let filter = Filter::from_value(&json!({"data": {"a": ["x".repeat(500)]}})).unwrap();
    let mut event = event();
    event.data = Some((0..9).fold(json!({}), |inner, _| json!([inner, inner, inner])));
    let text = filter.explain(&event).to_string();
    assert!(text.len() < 600_000, "{}", text.len());
}

fn pattern() -> impl Strategy<Value = Value> {
    let condition = prop_oneof![
        Just(json!("x")),
        Just(json!(1)),
        Just(json!({"exists": false})),
        Just(json!({"anything-but": "x"})),
    ];
    let leaf =
        ("[ab]", prop::collection::vec(condition, 1..3)).prop_map(|(n, any)| json!({n: any}));
    leaf.prop_recursive(4, 16, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            ("[ab]", inner.clone()).prop_map(|(name, pattern)| json!({ name: pattern })),
            list().prop_map(|all| json!({"$or": all})),
            list().prop_map(|all| json!({"$and": all})),
            inner.clone().prop_map(|pattern| json!({"$not": pattern})),
            (inner.clone(), list()).prop_map(|(pattern, any)| json!({"a": pattern, "$or": any})),
        ]
    })
}

fn data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!("x")), Just(json!(1)), Just(json!(null)), Just(json!([]))];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_explained_as_held_matches(pattern in pattern(), data in data()) {
        let filter = Filter::from_value(&json!({"data": pattern})).unwrap();
        let mut event = event();
        event.data = Some(data);
        let explanation = filter.explain(&event);
        prop_assert_eq!(explanation.held, filter.matches(&event), "{}", explanation);
        prop_assert_eq!(explanation.held, explanation.nearness == 100);
    }
}
