//! A second judge, as plain as can be, written from the words of the manual: a pattern is expanded
//! into flat rules, an event into leaves and objects that know which elements of which arrays they
//! lie in, and then every choice of elements is tried.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

/// Elements that were chosen: of the array at a place, the one of an index.
type Choice = BTreeMap<String, usize>;

/// Something that stands in an event.
struct Found<'e> {
    path: Vec<String>,
    value: &'e Value,
    /// The elements that it lies in, of arrays of objects.
    within: Choice,
}

/// What a flat rule asks for.
#[derive(Clone)]
enum Goal<'p> {
    /// A leaf at a path satisfies one of these conditions.
    Leaf(Vec<String>, &'p Vec<Value>),
    /// The object at a path, judged on its own, satisfies all of these patterns.
    Each(Vec<String>, Vec<&'p Value>),
    /// The object at a path, judged on its own, does not satisfy this.
    Not(Vec<String>, &'p Value),
}

pub(crate) fn matches(pattern: &Value, event: &Value) -> bool {
    let (mut leaves, mut objects) = (Vec::new(), Vec::new());
    let mut path = Vec::new();
    flatten(event, "", &mut path, &Choice::new(), &Choice::new(), &mut leaves, &mut objects);
    let rules = expand(pattern, &[]);
    rules.iter().any(|rule| choose(rule, &mut Vec::new(), &Choice::new(), &leaves, &objects))
}

fn flatten<'e>(
    value: &'e Value,
    place: &str,
    path: &mut Vec<String>,
    within: &Choice,
    pending: &Choice,
    leaves: &mut Vec<Found<'e>>,
    objects: &mut Vec<Found<'e>>,
) {
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let mut pending = pending.clone();
                pending.insert(place.to_owned(), at);
                let place = format!("{place}/{at}");
                flatten(item, &place, path, within, &pending, leaves, objects);
            }
        }
        Value::Object(members) => {
            let mut within = within.clone();
            within.extend(pending.clone());
            objects.push(Found { path: path.clone(), value, within: within.clone() });
            for (name, member) in members {
                path.push(name.clone());
                let place = format!("{place}/{name}");
                flatten(member, &place, path, &within, &Choice::new(), leaves, objects);
                path.pop();
            }
        }
        // Elements that are no objects bind nothing.
        _ => leaves.push(Found { path: path.clone(), value, within: within.clone() }),
    }
}

/// The flat rules of a pattern: one for each way to resolve its `$or`s.
fn expand<'p>(pattern: &'p Value, path: &[String]) -> Vec<Vec<Goal<'p>>> {
    let mut rules = vec![Vec::new()];
    for (name, value) in pattern.as_object().unwrap() {
        let below = || [path, std::slice::from_ref(name)].concat();
        let all = || value.as_array().unwrap();
        let ways: Vec<Vec<Goal<'p>>> = match (name.as_str(), value) {
            ("$or", _) => all().iter().flat_map(|branch| expand(branch, path)).collect(),
            ("$and", _) => vec![vec![Goal::Each(path.to_vec(), all().iter().collect())]],
            ("$not", _) => vec![vec![Goal::Not(path.to_vec(), value)]],
            (_, Value::Array(any)) => vec![vec![Goal::Leaf(below(), any)]],
            _ => expand(value, &below()),
        };
        let product = |rule: &Vec<Goal<'p>>| -> Vec<Vec<Goal<'p>>> {
            ways.iter().map(|way| [rule.as_slice(), way].concat()).collect()
        };
        rules = rules.iter().flat_map(product).collect();
    }
    rules
}

/// Tries every way to satisfy the goals: by something that is there, or, told at the end, by
/// nothing being there in the elements that were chosen.
fn choose<'p>(
    goals: &[Goal<'p>],
    absent: &mut Vec<Goal<'p>>,
    choice: &Choice,
    leaves: &[Found<'_>],
    objects: &[Found<'_>],
) -> bool {
    let Some((goal, rest)) = goals.split_first() else {
        return absent.iter().all(|goal| holds_by_absence(goal, choice, leaves, objects));
    };
    let (path, among) = match goal {
        Goal::Leaf(path, _) => (path, leaves),
        Goal::Each(path, _) | Goal::Not(path, _) => (path, objects),
    };
    let holds = |value: &Value| match goal {
        Goal::Leaf(_, any) => any.iter().any(|condition| leaf_holds(condition, value)),
        Goal::Each(_, patterns) => patterns.iter().all(|pattern| matches(pattern, value)),
        Goal::Not(_, pattern) => !matches(pattern, value),
    };
    let by_presence = among.iter().filter(|found| found.path == *path).any(|found| {
        let joined = join(choice, &found.within);
        joined.is_some_and(|choice| {
            holds(found.value) && choose(rest, absent, &choice, leaves, objects)
        })
    });
    if by_presence {
        return true;
    }
    absent.push(goal.clone());
    let by_absence = choose(rest, absent, choice, leaves, objects);
    absent.pop();
    by_absence
}

fn holds_by_absence(
    goal: &Goal<'_>,
    choice: &Choice,
    leaves: &[Found<'_>],
    objects: &[Found<'_>],
) -> bool {
    let nothing = |path: &Vec<String>, among: &[Found<'_>]| {
        let mut there = among.iter().filter(|found| found.path == *path);
        there.all(|found| join(choice, &found.within).is_none())
    };
    let empty = Value::Object(serde_json::Map::new());
    match goal {
        Goal::Leaf(path, any) => {
            let wants_absence = any.iter().any(|c| c.get("exists") == Some(&Value::Bool(false)));
            wants_absence && nothing(path, leaves)
        }
        Goal::Each(path, patterns) => {
            nothing(path, objects) && patterns.iter().all(|pattern| matches(pattern, &empty))
        }
        Goal::Not(path, pattern) => nothing(path, objects) && !matches(pattern, &empty),
    }
}

fn join(one: &Choice, other: &Choice) -> Option<Choice> {
    let agrees = |(place, at): (&String, &usize)| one.get(place).is_none_or(|there| there == at);
    let mut joined = one.clone();
    joined.extend(other.clone());
    other.iter().all(agrees).then_some(joined)
}

fn leaf_holds(condition: &Value, leaf: &Value) -> bool {
    let Value::Object(operator) = condition else { return equal(condition, leaf) };
    let (name, wanted) = operator.iter().next().unwrap();
    let text = leaf.as_str();
    let wanted_text = wanted.as_str().unwrap_or_default();
    match name.as_str() {
        "exactly" => equal(wanted, leaf),
        "exists" => *wanted == Value::Bool(true),
        "anything-but" => match wanted {
            Value::Array(values) => !values.iter().any(|value| equal(value, leaf)),
            Value::Object(inner) => {
                let (name, values) = inner.iter().next().unwrap();
                let one = [values.clone()];
                let values = values.as_array().map_or(one.as_slice(), Vec::as_slice);
                let fits = |value| leaf_holds(&serde_json::json!({ name: value }), leaf);
                !values.iter().any(fits)
            }
            value => !equal(value, leaf),
        },
        "numeric" => leaf.is_number() && in_range(wanted.as_array().unwrap(), leaf),
        "prefix" | "suffix" if wanted.is_object() => {
            let folded = wanted["equals-ignore-case"].as_str().unwrap().to_lowercase();
            let lower = text.map(str::to_lowercase);
            lower.is_some_and(|text| match name.as_str() {
                "prefix" => text.starts_with(&folded),
                _ => text.ends_with(&folded),
            })
        }
        _ => text.is_some_and(|text| text_fits(name, wanted_text, text)),
    }
}

fn text_fits(operator: &str, wanted: &str, text: &str) -> bool {
    let chars = |text: &str| text.chars().collect::<Vec<char>>();
    match operator {
        "prefix" => text.starts_with(wanted),
        "suffix" => text.ends_with(wanted),
        "contains" => text.contains(wanted),
        "equals-ignore-case" => text.to_lowercase() == wanted.to_lowercase(),
        "wildcard" => wildcard(&chars(wanted), &chars(text)),
        "glob" => glob(&chars(wanted), &chars(text)),
        "regex" => regex::Regex::new(wanted).unwrap().is_match(text),
        "semver" => {
            let requirement = semver::VersionReq::parse(wanted).unwrap();
            semver::Version::parse(text).is_ok_and(|version| requirement.matches(&version))
        }
        "cidr" => {
            let network: ipnet::IpNet = wanted.parse().unwrap();
            text.parse::<IpAddr>().is_ok_and(|address| network.contains(&address))
        }
        other => panic!("{other} is no operator"),
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_number(), b.as_number()) {
        (Some(a), Some(b)) => match (a.as_i128(), b.as_i128()) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        _ => a == b,
    }
}

fn in_range(range: &[Value], leaf: &Value) -> bool {
    use std::cmp::Ordering;
    let compare = |bound: &Value| match (leaf.as_i64(), bound.as_i64()) {
        (Some(leaf), Some(bound)) => leaf.cmp(&bound),
        _ => leaf.as_f64().unwrap().total_cmp(&bound.as_f64().unwrap()),
    };
    range.chunks(2).all(|pair| match pair[0].as_str().unwrap() {
        "=" => equal(&pair[1], leaf),
        "<" => compare(&pair[1]) == Ordering::Less,
        "<=" => compare(&pair[1]) != Ordering::Greater,
        ">" => compare(&pair[1]) == Ordering::Greater,
        _ => compare(&pair[1]) != Ordering::Less,
    })
}

fn wildcard(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|n| wildcard(rest, &text[n..])),
        ['\\', first, rest @ ..] | [first, rest @ ..] => {
            text.first() == Some(first) && wildcard(rest, &text[1..])
        }
    }
}

fn glob(pattern: &[char], text: &[char]) -> bool {
    let any = |rest: &[char], most: usize| (0..=most).any(|n| glob(rest, &text[n..]));
    match pattern {
        [] => text.is_empty(),
        ['*', '*', rest @ ..] => any(rest, text.len()),
        ['*', rest @ ..] => any(rest, text.iter().position(|c| *c == '/').unwrap_or(text.len())),
        ['?', rest @ ..] => !text.is_empty() && text[0] != '/' && glob(rest, &text[1..]),
        ['\\', first, rest @ ..] | [first, rest @ ..] => {
            text.first() == Some(first) && glob(rest, &text[1..])
        }
    }
}
