use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::event::{Artifact, EventKind, File};

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
