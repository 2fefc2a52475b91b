mod equivalence;

use serde_json::json;

use super::HarnessOperator as Op;
use super::*;

const PAYLOAD: &str = "<+trigger.payload.a>";
const BUILD: &str = "<+trigger.artifact.build>";

fn one(key: &str, operator: Op, value: &str) -> Vec<HarnessCondition> {
    vec![HarnessCondition::new(key, operator, value)]
}

fn filter(conditions: &[HarnessCondition]) -> Filter {
    from_harness(conditions, &HarnessOptions::default()).unwrap()
}

fn holds(key: &str, operator: Op, value: &str, event: &Value) -> bool {
    filter(&one(key, operator, value)).matches_value(event)
}

fn told(problems: &Problems) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn each_operator_holds_as_the_table_of_harness_says() {
    // The input: absent, empty, null; then those texts.
    let inputs = [
        None,
        Some(json!("")),
        Some(json!(null)),
        Some(json!("v1")),
        Some(json!("V1")),
        Some(json!("xv1\n")),
    ];
    let rows = [
        (Op::Equals, "", [true, true, true, false, false, false]),
        (Op::Equals, "v1", [false, false, false, true, false, false]),
        (Op::NotEquals, "", [false, false, false, true, true, true]),
        (Op::NotEquals, "v1", [true, true, true, false, true, true]),
        (Op::StartsWith, "", [true; 6]),
        (Op::StartsWith, "v", [false, false, false, true, false, false]),
        (Op::EndsWith, "", [true; 6]),
        (Op::EndsWith, "1", [false, false, false, true, true, false]),
        (Op::Contains, "", [true; 6]),
        (Op::Contains, "v", [false, false, false, true, false, true]),
        (Op::DoesNotContain, "v", [true, true, true, false, true, false]),
        (Op::Regex, "", [true; 6]),
        (Op::Regex, "v", [false; 6]),
        (Op::Regex, "v.", [false, false, false, true, false, false]),
        (Op::Regex, ".v.+", [false, false, false, false, false, true]),
        (Op::Regex, ".*", [false, false, false, true, true, true]),
        (Op::Regex, "v1|V1", [false, false, false, true, true, false]),
        (Op::In, "", [true; 6]),
        (Op::In, "x, v1", [false, false, false, true, false, false]),
        (Op::In, "v.", [false; 6]),
        (Op::In, "x,", [false, true, false, false, false, false]),
        (Op::NotIn, "", [true; 6]),
        (Op::NotIn, "x, v1", [true, true, true, false, true, true]),
    ];
    for (operator, value, expected) in rows {
        for (input, expected) in inputs.iter().zip(expected) {
            let data = input.as_ref().map_or(json!({}), |input| json!({ "a": input }));
            let found = holds(PAYLOAD, operator, value, &json!({ "data": data }));
            assert_eq!(found, expected, "{operator} {value:?} of {input:?}");
        }
    }
}

#[test]
fn each_key_looks_at_its_field() {
    let event = json!({
        "kind": "artifact.ingested",
        "artifact": {"version": "1.2", "tags": ["v1", "latest"]},
        "data": {"a": {"b c": "deep"}, "headers": {"x-event": "push"}},
    });
    let cases = [
        ("<+trigger.payload.a['b c']>", "deep"),
        ("<+eventPayload['a'][\"b c\"]>", "deep"),
        ("<+trigger.header['X-Event']>", "push"),
        (BUILD, "1.2"),
        ("<+trigger.manifest.version>", "1.2"),
        ("<+lastPublished.tag>", "latest"),
        ("<+lastPublished.tag>", "v1"),
        ("<+trigger.type>", "artifact.ingested"),
        ("<+trigger.event>", "artifact.ingested"),
    ];
    for (key, value) in cases {
        assert!(holds(key, Op::Equals, value, &event), "{key} should be {value}");
        assert!(!holds(key, Op::NotEquals, value, &event), "{key} should be {value}");
        assert!(!holds(key, Op::Equals, "other", &event), "{key}");
    }
}

#[test]
fn the_tags_are_the_build_only_of_an_event_without_a_version() {
    let both = json!({"artifact": {"version": "1", "tags": ["a"]}});
    let tags = json!({"artifact": {"tags": ["a", "b"]}});
    let neither = json!({"artifact": {"name": "app"}});
    assert!(!holds(BUILD, Op::Equals, "a", &both));
    assert!(holds(BUILD, Op::NotEquals, "a", &both));
    assert!(holds(BUILD, Op::Equals, "b", &tags));
    assert!(!holds(BUILD, Op::NotIn, "b,c", &tags));
    assert!(!holds(BUILD, Op::Equals, "", &tags));
    assert!(holds(BUILD, Op::NotEquals, "", &tags));
    assert!(holds(BUILD, Op::Equals, "", &neither));
    assert!(holds(BUILD, Op::NotEquals, "a", &neither));
    assert!(!holds(BUILD, Op::NotEquals, "", &neither));
}

#[test]
fn a_number_or_boolean_of_a_payload_equals_its_text() {
    let cases = [
        ("5", json!(5), true),
        ("5", json!("5"), true),
        ("5", json!(5.0), true),
        ("1.0", json!(1), true),
        ("1.5", json!(1.5), true),
        ("-3", json!(-3), true),
        ("true", json!(true), true),
        ("05", json!(5), false),
        ("1.50", json!(1.5), false),
        ("1e1", json!(10), false),
        ("true", json!(1), false),
        ("null", json!(null), false),
        ("[5]", json!([[5]]), false),
    ];
    for (value, input, expected) in cases {
        let event = json!({"data": {"a": input}});
        assert_eq!(holds(PAYLOAD, Op::Equals, value, &event), expected, "{value} {input}");
        assert_eq!(holds(PAYLOAD, Op::NotEquals, value, &event), !expected, "{value} {input}");
        let list = format!("x,{value}");
        assert_eq!(holds(PAYLOAD, Op::In, &list, &event), expected, "{value} {input}");
    }
    let tag = filter(&one("<+lastPublished.tag>", Op::Equals, "5"));
    assert_eq!(tag.to_value(), json!({"artifact": {"tags": ["5"]}}), "tags are texts");
}

#[test]
fn of_an_array_any_element_counts_and_for_a_negation_all() {
    let event = json!({"data": {"a": ["x", ["y", 5]]}});
    assert!(holds(PAYLOAD, Op::In, "y,z", &event));
    assert!(holds(PAYLOAD, Op::Equals, "5", &event));
    assert!(!holds(PAYLOAD, Op::NotEquals, "y", &event));
    assert!(holds(PAYLOAD, Op::NotIn, "a,b", &event));
    assert!(holds(PAYLOAD, Op::Regex, ".*", &event));
    let with_blank = json!({"data": {"a": ["x", ""]}});
    assert!(holds(PAYLOAD, Op::Regex, "x", &with_blank));
    assert!(!holds(PAYLOAD, Op::Regex, ".*", &with_blank));
}

#[test]
fn in_an_array_of_objects_each_condition_looks_for_its_own_element() {
    let event = json!({"data": {"items": [{"n": "x"}, {"m": "y"}]}});
    let (n, m) = ("<+trigger.payload.items.n>", "<+trigger.payload.items.m>");
    let both = [one(n, Op::Equals, "x"), one(m, Op::Equals, "y")].concat();
    assert!(filter(&both).matches_value(&event));
    assert!(!holds(n, Op::NotEquals, "x", &event));
}

#[test]
fn a_field_of_an_array_of_objects_is_absent_if_no_element_has_it() {
    let event = json!({"data": {"items": [{"n": "x"}, {"m": "y"}]}});
    let items = "<+trigger.payload.items.n>";
    assert!(!holds(items, Op::Equals, "", &event));
    assert!(holds(items, Op::NotEquals, "", &event));
    assert!(holds("<+trigger.payload.items.o>", Op::Equals, "", &event));
}

#[test]
fn what_always_holds_leaves_no_constraint() {
    let blank = [Op::StartsWith, Op::EndsWith, Op::Contains, Op::Regex, Op::In, Op::NotIn];
    let conditions: Vec<_> = blank.iter().flat_map(|op| one(PAYLOAD, *op, "")).collect();
    assert_eq!(filter(&conditions), Filter::everything());
    assert_eq!(filter(&[]), Filter::everything());
    assert_eq!(to_harness(&Filter::everything()).unwrap(), []);
}

#[test]
fn items_are_tried_as_regexes_only_if_asked_for() {
    let holds = |value: &str, compat: bool, input: &Value| {
        let options = HarnessOptions::default().with_compat(compat);
        let event = json!({"data": {"a": input}});
        let is_in = from_harness(&one(PAYLOAD, Op::In, value), &options).unwrap();
        let is_not = from_harness(&one(PAYLOAD, Op::NotIn, value), &options).unwrap();
        assert_ne!(is_in.matches_value(&event), is_not.matches_value(&event), "{value} {input}");
        is_in.matches_value(&event)
    };
    assert!(!holds("1.0", false, &json!("1x0")));
    assert!(holds("1.0", true, &json!("1x0")));
    assert!(holds("1.0", true, &json!("1.0")));
    assert!(!holds("1.0", true, &json!("11.0")), "a regex has to fit as a whole");
    assert!(holds("a, v.*", true, &json!("v1")));
    assert!(!holds("a, v.*", true, &json!("A")));
    assert!(!holds("a, .*", true, &json!("")), "no regex holds for a blank input");
    assert!(!holds("a, .*", true, &Value::Null));
    assert!(holds("a, .*, ", true, &json!("")), "but an empty item equals it");
}

#[test]
fn every_problem_is_told_with_its_path() {
    let json = r#"[
        {"key": "<+trigger.branch>", "operator": "Equals", "value": "main"},
        {"key": "<+trigger.payload.a[0]>", "operator": "Like", "value": "x"},
        {"key": "<+trigger.payload.a>", "operator": "DoesNotContain"},
        {"key": "<+trigger.payload.$or>", "operator": "In", "value": "\"a"},
        {"key": "<+trigger.payload.a>", "operator": "In", "value": "a,\"b"},
        {"operator": "Equals", "value": 5, "jexl": ""},
        "x",
        {"key": "<+trigger.payload.a>", "operator": "Equals", "value": null}
    ]"#;
    let problems = from_harness_json(json.as_bytes(), &HarnessOptions::default()).unwrap_err();
    let expected = [
        "[0].key: expected <+trigger.payload.…>, ",
        "[1].operator: expected Equals, NotEquals, In, ",
        "[1].key: has the index [0], ",
        "[2].value: expected a text",
        "[3].key: has the name \"$or\"",
        "[4].value: expected a list with commas, found a double quote that nothing closes",
        "[5].key: expected a string, found nothing",
        "[5].value: expected a string, found 5",
        "[5].jexl: is not a member of this object",
        "[6]: expected an object, found a string",
    ];
    let found = told(&problems);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n should begin with\n{expected}");
    }
}

#[test]
fn a_value_that_is_no_regex_is_refused_where_it_stands() {
    for value in ["a)|(b", "(?=a)b", r"(a)\1", "[", "(?x)a # b", "a{1000}{1000}{1000}"] {
        let conditions = [
            HarnessCondition::new(PAYLOAD, Op::Regex, "v[0-9]+"),
            HarnessCondition::new(PAYLOAD, Op::Regex, value),
        ];
        let found = told(&from_harness(&conditions, &HarnessOptions::default()).unwrap_err());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("[1].value: expected a regex"), "{found:?}");
    }
    let compat = HarnessOptions::default().with_compat(true);
    let found = told(&from_harness(&one(PAYLOAD, Op::In, "a,(?=b)c"), &compat).unwrap_err());
    assert!(found[0].starts_with("[0].value: \"(?=b)c\": expected a regex"), "{found:?}");
}

#[test]
fn what_is_too_much_for_a_filter_is_refused_where_it_stands() {
    let deep = format!("<+trigger.payload{}>", ".a".repeat(MAX_FILTER_DEPTH));
    let deeper = format!("<+trigger.payload{}>", ".a".repeat(100_000));
    let long = "x".repeat(MAX_FILTER_BYTES);
    for (key, value, path) in [
        (deep.as_str(), "x", "[0].key"),
        (deeper.as_str(), "x", "[0].key"),
        (PAYLOAD, long.as_str(), "[0].value"),
    ] {
        let problems = from_harness(&one(key, Op::Equals, value), &HarnessOptions::default());
        let problems = problems.unwrap_err();
        assert_eq!(problems.len(), 1, "{problems}");
        assert_eq!(problems.iter().next().unwrap().path(), path);
    }
    let deepest = format!("<+trigger.payload{}>", ".a".repeat(MAX_FILTER_DEPTH - 4));
    let beside = [one(&deepest, Op::NotEquals, "x"), one(&deepest, Op::NotIn, "y,z")].concat();
    assert_eq!(to_harness(&filter(&beside)).unwrap().len(), 2);
    let many: Vec<_> =
        (0..2_000).flat_map(|n| one(PAYLOAD, Op::NotEquals, &format!("v{n}"))).collect();
    let found = told(&from_harness(&many, &HarnessOptions::default()).unwrap_err());
    assert!(found[0].starts_with("makes a filter that is refused: "), "{found:?}");
}

#[test]
fn a_condition_is_read_and_written_as_harness_stores_it() {
    let json = json!([{"key": "<+lastPublished.tag>", "operator": "NotIn", "value": "a, b"}]);
    let conditions: Vec<HarnessCondition> = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(conditions, one("<+lastPublished.tag>", Op::NotIn, "a, b"));
    assert_eq!(serde_json::to_value(&conditions).unwrap(), json);
    let from_value = from_harness_value(&json, &HarnessOptions::default()).unwrap();
    assert_eq!(from_value, filter(&conditions));
    for operator in Op::ALL {
        assert_eq!(serde_json::to_value(operator).unwrap(), json!(operator.as_str()));
    }
    let found = told(&from_harness_json(b"{}", &HarnessOptions::default()).unwrap_err());
    assert_eq!(found, ["expected a list of conditions, found an object"]);
}

#[test]
fn a_filter_tells_the_conditions_that_it_was_made_of() {
    let cases = [
        (one(PAYLOAD, Op::Equals, "5"), one(PAYLOAD, Op::Equals, "5")),
        (one(PAYLOAD, Op::In, "5"), one(PAYLOAD, Op::Equals, "5")),
        (one(PAYLOAD, Op::NotIn, " a , \"b,c\""), one(PAYLOAD, Op::NotIn, "a,\"b,c\"")),
        (one(PAYLOAD, Op::In, "\"\""), one(PAYLOAD, Op::In, "\"\"")),
        (one("<+eventPayload.a>", Op::NotEquals, ""), one(PAYLOAD, Op::NotEquals, "")),
        (one(PAYLOAD, Op::Regex, ".*"), one(PAYLOAD, Op::Regex, ".*")),
        (one("<+trigger.type>", Op::EndsWith, "x"), one("<+trigger.event>", Op::EndsWith, "x")),
        (one(BUILD, Op::DoesNotContain, "rc"), one(BUILD, Op::DoesNotContain, "rc")),
        (one(BUILD, Op::Equals, ""), one(BUILD, Op::Equals, "")),
        (
            one("<+trigger.payload.headers['X y']>", Op::Equals, "a"),
            one("<+trigger.payload.headers['X y']>", Op::Equals, "a"),
        ),
        (
            one("<+trigger.payload.headers.x>", Op::Equals, "a"),
            one("<+trigger.header['x']>", Op::Equals, "a"),
        ),
    ];
    for (conditions, expected) in cases {
        assert_eq!(to_harness(&filter(&conditions)).unwrap(), expected);
    }
}

#[test]
fn what_harness_cannot_say_is_refused_with_its_path() {
    let cases = [
        (json!({"artifact": {"name": ["a"]}}), "artifact.name: has no key"),
        (json!({"data": [1]}), "data: has no key"),
        (json!({"kind": [{"suffix": "a"}, "b"]}), "kind: has no operator"),
        (json!({"kind": [{"wildcard": "a*b"}]}), "kind: has no operator"),
        (json!({"kind": [{"exists": true}]}), "kind: has no operator"),
        (json!({"kind": [{"prefix": {"equals-ignore-case": "a"}}]}), "kind: has no operator"),
        (json!({"$not": {"kind": [{"prefix": "a"}]}}), "$not.kind: has no operator"),
        (json!({"kind": ["a", " b"]}), "kind: expected no text with blanks"),
        (json!({"kind": [null]}), "kind: expected {\"kind\":["),
        (json!({"data": {"a": ["5"]}}), "data.a: expected {\"data\":{\"a\":["),
        (json!({"data": {"a": ["x"], "b": ["y"]}}), "data: expected one field"),
        (json!({"data": {"$not": {"a": ["x"]}}}), "data.$not: has no counterpart"),
        (json!({"$not": {"kind": ["a"], "artifact": {"tags": ["b"]}}}), "$not: expected one field"),
        (json!({"$or": [{"kind": ["a"]}, {"data": {"a": ["b"]}}]}), "$or: has no counterpart"),
        (
            json!({"$or": [{"artifact": {"version": ["a"]}}, {"kind": ["b"]}]}),
            "$or: expected {\"$or\":[",
        ),
    ];
    for (pattern, expected) in &cases {
        let found = told(&to_harness(&Filter::from_value(pattern).unwrap()).unwrap_err());
        assert_eq!(found.len(), 1, "{pattern} {found:?}");
        assert!(found[0].starts_with(expected), "{found:?} should begin with {expected}");
    }
    let both = json!({"kind": [{"wildcard": "a*b"}], "artifact": {"name": ["a"], "tags": ["b"]}});
    let problems = to_harness(&Filter::from_value(&both).unwrap()).unwrap_err();
    assert_eq!(
        problems.iter().map(document::Problem::path).collect::<Vec<_>>(),
        ["artifact", "kind"]
    );
}

#[test]
fn a_regex_is_told_only_where_it_stands_as_conditions_have_it() {
    let cases = [
        (json!({"kind": [{"regex": "^v"}]}), "kind: has no operator"),
        (json!({"kind": [{"regex": "(?s)\\A(?:.*)\\z"}]}), "kind: expected {\"$not\":{\"kind\":["),
    ];
    for (pattern, expected) in cases {
        let found = told(&to_harness(&Filter::from_value(&pattern).unwrap()).unwrap_err());
        assert!(found[0].starts_with(expected), "{found:?} should begin with {expected}");
    }
}
