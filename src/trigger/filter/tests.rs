use proptest::prelude::*;
use serde_json::json;

use super::*;

fn filter(value: &Value) -> Filter {
    Filter::from_value(value).unwrap()
}

fn problems(value: &Value) -> Vec<String> {
    let problems = Filter::from_value(value).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn each_condition_holds_for_what_it_describes_and_for_nothing_else() {
    let cases = [
        (json!("a"), vec![json!("a")], vec![json!("A"), json!(1), json!(null), json!(["b"])]),
        (
            json!(1),
            vec![json!(1), json!(1.0), json!([2, 1])],
            vec![json!("1"), json!(2), json!(true)],
        ),
        (json!(null), vec![json!(null)], vec![json!("null"), json!([]), json!(0)]),
        (json!(true), vec![json!(true)], vec![json!("true"), json!(1)]),
        (
            json!({"prefix": "ab"}),
            vec![json!("ab"), json!("abc")],
            vec![json!("a"), json!("Ab"), json!(1)],
        ),
        (json!({"suffix": "ab"}), vec![json!("ab"), json!("cab")], vec![json!("b"), json!("abc")]),
        (
            json!({"prefix": {"equals-ignore-case": "aB"}}),
            vec![json!("ABc"), json!("ab")],
            vec![json!("ba")],
        ),
        (json!({"suffix": {"equals-ignore-case": "aB"}}), vec![json!("cAB")], vec![json!("abc")]),
        (json!({"equals-ignore-case": "aB"}), vec![json!("Ab")], vec![json!("abc"), json!(5)]),
        (
            json!({"wildcard": "a*b*c"}),
            vec![json!("abc"), json!("axxbxc")],
            vec![json!("ab"), json!("acb")],
        ),
        (json!({"wildcard": "a\\*b"}), vec![json!("a*b")], vec![json!("axb"), json!("a\\*b")]),
        (
            json!({"anything-but": "a"}),
            vec![json!("b"), json!(null), json!(["a", "b"])],
            vec![json!("a"), json!([])],
        ),
        (
            json!({"anything-but": ["a", 1]}),
            vec![json!("b"), json!("1")],
            vec![json!("a"), json!(1.0)],
        ),
        (json!({"anything-but": {"prefix": "a"}}), vec![json!("b"), json!(7)], vec![json!("ab")]),
        (
            json!({"anything-but": {"suffix": ["a", "b"]}}),
            vec![json!("ac")],
            vec![json!("xa"), json!("xb")],
        ),
        (json!({"anything-but": {"wildcard": "*x*"}}), vec![json!("ab")], vec![json!("axb")]),
        (
            json!({"anything-but": {"equals-ignore-case": ["A"]}}),
            vec![json!("b")],
            vec![json!("a")],
        ),
        (
            json!({"exists": true}),
            vec![json!("a"), json!(null), json!([1])],
            vec![json!({}), json!([])],
        ),
        (json!({"exists": false}), vec![json!({"b": 1}), json!([])], vec![json!("a"), json!(null)]),
    ];
    for (condition, fitting, others) in cases {
        let filter = filter(&json!({"a": [condition]}));
        for value in fitting {
            assert!(filter.matches_value(&json!({"a": value})), "{filter:?} should fit {value}");
        }
        for value in others {
            assert!(
                !filter.matches_value(&json!({"a": value})),
                "{filter:?} should not fit {value}"
            );
        }
    }
}

#[test]
fn what_is_absent_satisfies_only_exists_false() {
    for condition in [json!({"anything-but": "a"}), json!({"exists": true}), json!(null)] {
        assert!(
            !filter(&json!({"a": [condition.clone()]})).matches_value(&json!({})),
            "{condition}"
        );
        assert!(!filter(&json!({"a": {"b": [condition]}})).matches_value(&json!({"a": 1})));
    }
    assert!(filter(&json!({"a": {"b": [{"exists": false}]}})).matches_value(&json!({})));
}

#[test]
fn fields_mean_all_lists_mean_any() {
    let filter = filter(&json!({"a": ["1", "2"], "b": {"c": [true]}}));
    assert!(filter.matches_value(&json!({"a": "2", "b": {"c": true}})));
    assert!(!filter.matches_value(&json!({"a": "2", "b": {"c": false}})));
    assert!(!filter.matches_value(&json!({"a": "3", "b": {"c": true}})));
}

#[test]
fn or_and_not_combine_patterns() {
    let filter =
        filter(&json!({"$or": [{"a": [1]}, {"b": [1]}], "$not": {"c": [1]}, "$and": [{"d": [1]}]}));
    assert!(filter.matches_value(&json!({"b": 1, "d": 1})));
    assert!(!filter.matches_value(&json!({"d": 1})));
    assert!(!filter.matches_value(&json!({"a": 1, "c": 1, "d": 1})));
    assert!(!filter.matches_value(&json!({"a": 1})));
}

#[test]
fn one_element_of_an_array_must_satisfy_all_that_is_said_of_it() {
    let filter = filter(&json!({"files": {"name": ["a"], "size": [1]}}));
    assert!(filter.matches_value(&json!({"files": [{"name": "b"}, {"name": "a", "size": 1}]})));
    assert!(
        !filter
            .matches_value(&json!({"files": [{"name": "a", "size": 2}, {"name": "b", "size": 1}]}))
    );
}

#[test]
fn large_numbers_are_compared_exactly() {
    let filter = filter(&json!({"a": [9_007_199_254_740_993_u64]}));
    assert!(!filter.matches_value(&json!({"a": 9_007_199_254_740_992_u64})));
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_path() {
    let found = problems(&json!({
        "artifact": {"name": [], "version": [{"prefx": "1"}], "tags": "latest"},
        "kind": [{"prefix": 5}, {"wildcard": "a**b"}, {"prefix": "a", "suffix": "b"}],
        "scope": [["a"]],
        "$xor": [],
        "$or": [],
        "data": {},
        "actor": {"kind": [{"anything-but": [true]}, {"anything-but": []}, {"exists": "yes"}]},
    }));
    let expected = [
        "artifact.name: expected at least one item",
        "artifact.version[0].prefx: is no operator",
        "artifact.tags: expected a list of conditions or an object of fields, found \"latest\"",
        "kind[0].prefix: expected a text, found 5",
        "kind[1].wildcard: has two * side by side",
        "kind[2]: expected an object with exactly one operator",
        "scope[0]: expected a condition, found an array",
        "$xor: is no operator",
        "$or: expected at least one item",
        "data: expected at least one field",
        "actor.kind[0].anything-but[0]: expected a text or a number, found true",
        "actor.kind[1].anything-but: expected at least one item",
        "actor.kind[2].exists: expected true or false, found \"yes\"",
    ];
    for expected in expected {
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{expected} in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn limits_are_kept() {
    let deep = (0..20).fold(json!(["x"]), |inner, _| json!({"a": inner}));
    assert!(problems(&deep)[0].contains("at most 16 levels"));
    let many: Vec<Value> = (0..1025).map(|n| json!(n)).collect();
    assert!(problems(&json!({"a": many}))[0].contains("at most 1024 conditions"));
    assert!(problems(&json!({"a": ["x".repeat(1025)]}))[0].contains("at most 1024 bytes"));
    assert!(problems(&json!({"a": [{"wildcard": "*a".repeat(17)}]}))[0].contains("at most 16 *"));
    let large = Filter::from_json(&vec![b' '; MAX_FILTER_BYTES + 1]).unwrap_err();
    assert!(large.to_string().contains("at most 65536 bytes"));
}

/// The plainest way to say what a wildcard means, to compare with.
fn fits(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|n| fits(rest, &text[n..])),
        [first, rest @ ..] => text.first() == Some(first) && fits(rest, &text[1..]),
    }
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let text = "[a-c]{1,3}";
    let leaf = prop_oneof![
        text.prop_map(Condition::equals),
        any::<i32>().prop_map(Condition::equals),
        Just(Condition::Equals(Value::Null)),
        text.prop_map(Condition::prefix),
        text.prop_map(|t| Condition::Suffix(Text::any_case(t))),
        text.prop_map(|t| Condition::EqualsIgnoreCase(Text::any_case(t))),
        any::<bool>().prop_map(Condition::Exists),
        prop::collection::vec(text, 1..3).prop_map(Condition::anything_but),
        prop::collection::vec(text, 1..3)
            .prop_map(|t| Condition::AnythingBut(t.into_iter().map(Condition::prefix).collect())),
    ];
    leaf.boxed()
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let leaf = ("[a-c]", prop::collection::vec(any_condition(), 1..3))
        .prop_map(|(name, any)| Pattern { clauses: vec![Clause::Leaf { name, any }] });
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            ("[a-c]", inner.clone()).prop_map(|(name, pattern)| Clause::Nested { name, pattern }),
            list().prop_map(Clause::Or),
            list().prop_map(Clause::And),
            inner.clone().prop_map(Clause::Not),
        ]
        .prop_map(|clause| Pattern { clauses: vec![clause] })
    })
}

proptest! {
    #[test]
    fn a_printed_filter_parses_to_itself(root in any_pattern()) {
        let filter = Filter { root };
        prop_assert_eq!(Filter::from_value(&filter.to_value()).unwrap(), filter);
    }

    #[test]
    fn a_wildcard_fits_what_its_definition_says(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
        prop_assume!(!pattern.contains("**"));
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let expected = fits(&chars(&pattern), &chars(&text));
        prop_assert_eq!(Wildcard::parse(&pattern).unwrap().matches(&text), expected);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Filter::from_json(&bytes);
    }
}
