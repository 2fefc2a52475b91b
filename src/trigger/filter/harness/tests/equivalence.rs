//! Filters against a plain evaluator, written from the table of `harness.rs` and nothing else.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use super::{BUILD, Op, PAYLOAD, filter};
use crate::trigger::filter::harness::*;

type Fits = fn(&str) -> bool;

/// Regexes, and by hand which texts they fit as a whole.
const REGEXES: [(&str, Fits); 6] = [
    ("v[0-9]+", |text| {
        let digits = text.strip_prefix('v').unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    }),
    ("a|5", |text| text == "a" || text == "5"),
    (".*", |_| true),
    ("b?", |text| text.is_empty() || text == "b"),
    ("1.0", |text| text.chars().count() == 3 && text.starts_with('1') && text.ends_with('0')),
    ("a.b", |text| text.chars().count() == 3 && text.starts_with('a') && text.ends_with('b')),
];

/// Lists, and by hand their items.
const LISTS: [(&str, &[&str]); 9] = [
    ("", &[]),
    ("a", &["a"]),
    ("a ,v1", &["a", "v1"]),
    ("5, true,x", &["5", "true", "x"]),
    ("\"a,b\", \"1.0\"", &["a,b", "1.0"]),
    ("b,", &["b", ""]),
    ("b?,1x", &["b?", "1x"]),
    ("v[0-9]+,A", &["v[0-9]+", "A"]),
    ("\"say \"\"a\"\"\"", &["say \"a\""]),
];

const TEXTS: [&str; 15] = [
    "",
    "a",
    "A",
    "b",
    "ab",
    "v",
    "v1",
    "a\nb",
    "5",
    "true",
    "1.0",
    "1x0",
    " a",
    "a,b",
    "say \"a\"",
];

const KEYS: [&str; 6] = [
    PAYLOAD,
    "<+eventPayload.b['c d']>",
    "<+trigger.header['X-Event']>",
    BUILD,
    "<+lastPublished.tag>",
    "<+trigger.event>",
];

fn fits(regex: &str, text: &str) -> bool {
    match REGEXES.iter().find(|(known, _)| *known == regex) {
        Some((_, fits)) => fits(text),
        None => regex == text,
    }
}

/// The table, for one input.
fn table(operator: Op, value: &str, input: Option<&str>, compat: bool) -> bool {
    let text = input.filter(|input| !input.is_empty());
    let items = || LISTS.iter().find(|(list, _)| *list == value).unwrap().1;
    match (operator, value) {
        (Op::Equals, "") => text.is_none(),
        (Op::NotEquals, "") => text.is_some(),
        (Op::Equals, _) => input == Some(value),
        (Op::NotEquals, _) => input != Some(value),
        (Op::DoesNotContain, _) => !table(Op::Contains, value, input, compat),
        (_, "") => true,
        (Op::StartsWith, _) => text.is_some_and(|text| text.starts_with(value)),
        (Op::EndsWith, _) => text.is_some_and(|text| text.ends_with(value)),
        (Op::Contains, _) => text.is_some_and(|text| text.contains(value)),
        (Op::Regex, _) => text.is_some_and(|text| fits(value, text)),
        (Op::In, _) => items()
            .iter()
            .any(|item| input == Some(item) || compat && text.is_some_and(|text| fits(item, text))),
        (Op::NotIn, _) => !table(Op::In, value, input, compat),
    }
}

/// The text of a leaf; of numbers and booleans where equality is asked for.
fn text_of(operator: Op, leaf: &Value) -> Option<String> {
    match leaf {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        _ if [Op::Equals, Op::In].contains(&operator) => Some(leaf.to_string()),
        _ => None,
    }
}

fn harness_plain(
    conditions: &[HarnessCondition],
    compat: bool,
    lookup: impl Fn(&str) -> Vec<Value>,
) -> bool {
    conditions.iter().all(|HarnessCondition { key, operator, value }| {
        let leaves = lookup(key);
        let (positive, negated) = match operator {
            Op::NotEquals => (Op::Equals, true),
            Op::NotIn if !value.is_empty() => (Op::In, true),
            Op::DoesNotContain => (Op::Contains, true),
            other => (*other, false),
        };
        let of = |text: Option<&str>| table(positive, value, text, compat);
        if let [] | [_] = leaves.as_slice() {
            // Nothing but the table is in play.
            let text = leaves.first().and_then(|leaf| text_of(positive, leaf));
            return table(*operator, value, text.as_deref(), compat);
        }
        let is_blank = |leaf: &Value| *leaf == json!("") || *leaf == json!(null);
        let any = leaves.iter().any(|leaf| of(text_of(positive, leaf).as_deref()));
        let wants_no_blank = leaves.iter().any(is_blank) && fits_nothing(positive, value, compat);
        (any && !wants_no_blank) != negated
    })
}

/// Whether the empty text fits a regex of the condition, and is asked for by no item.
fn fits_nothing(operator: Op, value: &str, compat: bool) -> bool {
    match operator {
        Op::Regex => !value.is_empty() && fits(value, ""),
        Op::In if compat => {
            let items = LISTS.iter().find(|(list, _)| *list == value).unwrap().1;
            !items.contains(&"") && items.iter().any(|item| fits(item, ""))
        }
        _ => false,
    }
}

fn condition() -> impl Strategy<Value = HarnessCondition> {
    let blank = prop::bool::weighted(0.2);
    let parts = (select(&KEYS[..]), select(Op::ALL), blank, any::<Index>());
    parts.prop_map(|(key, operator, blank, index)| {
        let value = match operator {
            Op::DoesNotContain => index.get(&TEXTS[1..]),
            _ if blank => "",
            Op::In | Op::NotIn => index.get(&LISTS).0,
            Op::Regex => index.get(&REGEXES).0,
            _ => index.get(&TEXTS),
        };
        HarnessCondition::new(key, operator, value)
    })
}

fn text() -> impl Strategy<Value = Value> {
    select(&TEXTS[..]).prop_map(Value::from)
}

fn leaf() -> impl Strategy<Value = Value> {
    let scalars = [json!(5), json!(7), json!(1.5), json!(true), json!(false)];
    prop_oneof![6 => text(), 2 => select(scalars.to_vec()), 1 => Just(Value::Null)]
}

/// The leaves of a field, and what stands there.
fn field(leaf: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Vec<Value>> {
    prop_oneof![
        Just(Vec::new()),
        leaf.clone().prop_map(|leaf| vec![leaf]),
        prop::collection::vec(leaf, 0..4)
    ]
}

fn standing(leaves: &[Value], empty: &Value) -> Value {
    match leaves {
        [] => empty.clone(),
        [leaf] => leaf.clone(),
        _ => json!(leaves),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_filter_holds_where_harness_lets_the_trigger_fire(
        conditions in prop::collection::vec(condition(), 0..4),
        compat: bool,
        payload in prop::collection::vec(field(leaf().boxed()), 2),
        texts in prop::collection::vec(field(text().boxed()), 3),
        kind in text(),
        empty in select(vec![json!([]), json!({}), json!({"z": 1}), json!([[], {}])]),
    ) {
        let stands = |leaves: &[Value]| standing(leaves, &empty);
        let event = json!({
            "kind": kind,
            "artifact": {"version": stands(&texts[0]), "tags": stands(&texts[1])},
            "data": {
                "a": stands(&payload[0]),
                "b": {"c d": stands(&payload[1])},
                "headers": {"x-event": stands(&texts[2])},
            },
        });
        let build = if texts[0].is_empty() { &texts[1] } else { &texts[0] };
        let lookup = |key: &str| match KEYS.iter().position(|known| *known == key).unwrap() {
            0 => payload[0].clone(),
            1 => payload[1].clone(),
            2 => texts[2].clone(),
            3 => build.clone(),
            4 => texts[1].clone(),
            _ => vec![kind.clone()],
        };
        let options = HarnessOptions::default().with_compat(compat);
        let filter = from_harness(&conditions, &options).unwrap();
        let expected = harness_plain(&conditions, compat, lookup);
        prop_assert_eq!(filter.matches_value(&event), expected, "{} of {}", filter.to_value(), event);
    }

    #[test]
    fn a_filter_told_as_conditions_is_the_same_filter_again(
        conditions in prop::collection::vec(condition(), 0..6),
    ) {
        let made = filter(&conditions);
        let told = to_harness(&made).unwrap();
        prop_assert!(told.len() <= conditions.len(), "{told:?} of {conditions:?}");
        prop_assert_eq!(filter(&told), made);
    }
}
