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
            json!({"anything-but": [2, 1]}),
            vec![json!("b"), json!("1"), json!(3)],
            vec![json!(2), json!(1.0)],
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
fn what_is_said_side_by_side_is_said_of_the_same_element_through_or_too() {
    let filter = filter(&json!({
        "files": {"name": ["a"]},
        "$or": [{"files": {"size": [1]}}, {"files": {"size": [2]}, "b": [true]}],
    }));
    let event = |files: Value| json!({"files": files, "b": true});
    assert!(filter.matches_value(&event(json!([{"name": "b"}, {"name": "a", "size": 2}]))));
    assert!(!filter.matches_value(&event(json!([{"name": "a"}, {"name": "b", "size": 1}]))));
}

#[test]
fn what_is_absent_is_absent_from_the_element_that_satisfies_the_rest_or_from_all() {
    let elements = json!({"a": [{"b": 1, "c": 1}, {"c": 2}]});
    let absent = json!({"exists": false});
    assert!(!filter(&json!({"a": {"b": [absent]}})).matches_value(&elements));
    assert!(filter(&json!({"a": {"b": [absent], "c": [2]}})).matches_value(&elements));
    assert!(!filter(&json!({"a": {"b": [absent], "c": [1]}})).matches_value(&elements));
    assert!(filter(&json!({"a": {"d": [absent]}})).matches_value(&elements));
}

#[test]
fn filters_that_say_the_same_print_the_same() {
    for (one, other, printed) in [
        (json!({"b": ["x", 1.0], "a": [null]}), json!({"a": [null], "b": [1, "x", "x"]}), None),
        (json!({"a": [{"wildcard": "x*"}]}), json!({"a": [{"prefix": "x"}]}), None),
        (json!({"a": [{"wildcard": "*x*"}]}), json!({"a": [{"contains": "x"}]}), None),
        (json!({"a": [{"glob": "x/y"}]}), json!({"a": [{"exactly": "x/y"}]}), None),
        (
            json!({"a": [{"equals-ignore-case": "Ab"}]}),
            json!({"a": [{"equals-ignore-case": "aB"}]}),
            None,
        ),
        (json!({"a": [{"equals-ignore-case": "1.0"}]}), json!({"a": ["1.0"]}), None),
        (json!({"a": [{"numeric": ["=", 1]}]}), json!({"a": [1.0]}), None),
        (
            json!({"a": [{"anything-but": ["y", "x"]}]}),
            json!({"a": [{"anything-but": ["x", "y", "x"]}]}),
            None,
        ),
        (json!({"a": ["x", {"exists": true}]}), json!({"a": [{"exists": true}]}), None),
        (json!({"$or": [{"a": ["x"]}, {"a": ["y"]}]}), json!({"a": ["y", "x"]}), None),
        (
            json!({"$and": [{"a": ["x"]}, {"$and": [{"b": ["y"]}]}]}),
            json!({"a": ["x"], "b": ["y"]}),
            None,
        ),
        (json!({"$not": {"$not": {"a": ["x"]}}}), json!({"a": ["x"]}), None),
        (
            json!({"$and": [{"a": ["y"]}, {"a": ["x"]}, {"a": ["y"]}]}),
            json!({"$and": [{"a": ["x"]}, {"a": ["y"]}]}),
            Some(r#"{"$and":[{"a":["x"]},{"a":["y"]}]}"#),
        ),
    ] {
        let (one, other) = (filter(&one), filter(&other));
        assert_eq!(one, other);
        if let Some(printed) = printed {
            assert_eq!(one.to_string(), printed);
        }
    }
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
        "id": [{"numeric": [">", 5, "<", 5]}, {"regex": "("}, {"semver": ">=1.x.y"}, {"cidr": "10/8"}],
        "from": {"tags": [{"anything-but": ["a", 1]}, {"version": {"nix": "1"}}, {"contains": ""}]},
        "$or": [],
        "data": {},
        "actor": {"kind": [{"anything-but": [true]}, {"anything-but": []}, {"exists": "yes"}]},
    }));
    let expected = [
        "artifact.name: expected at least one item",
        "artifact.version[0].prefx: is no operator",
        "artifact.tags: expected a list of conditions or an object of fields, found \"latest\"",
        "kind[0].prefix: expected a text or {\"equals-ignore-case\": a text}, found 5",
        "kind[1].wildcard: has two * side by side",
        "kind[2]: expected an object with exactly one operator",
        "scope[0]: expected a condition, found an array",
        "$xor: is no operator",
        "$or: expected at least one item",
        "id[0].numeric: expected a range from a lower to a higher number",
        "id[1].regex: is not a regular expression: unclosed group",
        "id[2].semver: \">=1.x.y\" is not a version requirement (expected e.g. \">=1.2, <2\")",
        "id[3].cidr: expected a network such as 10.0.0.0/8 or 2001:db8::/32, found \"10/8\"",
        "from.tags[0].anything-but: expected all texts or all numbers, found both",
        "from.tags[1].version.nix: ",
        "from.tags[2].contains: expected a text, found an empty one",
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
    let or = json!([{"a": [1]}, {"b": [1]}]);
    let many =
        (0..10).fold(json!({"$or": or}), |inner, n| json!({"$or": or, n.to_string(): inner}));
    assert!(problems(&many)[0].contains("at most 1000 combinations of $or, found 2048"));
    assert!(
        problems(&json!({"a": [{"regex": "(a{100}){100}"}]}))[0].contains("at most 65536 bytes")
    );
    // What is stored is the normal form, which must be readable again.
    let longer = json!({"a": [{"equals-ignore-case": "\u{130}".repeat(400)}]});
    assert!(problems(&longer)[0].contains("at most 1024 bytes, found 1200"));
    let semver = json!({"a": [{"semver": format!("1.0.0-{}", "a".repeat(1_018))}]});
    assert!(problems(&semver)[0].contains("at most 1024 bytes, found 1025"));
    let large = Filter::from_json(&vec![b' '; MAX_FILTER_BYTES + 1]).unwrap_err();
    assert!(large.to_string().contains("at most 65536 bytes"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Filter::from_json(&bytes);
    }
}
