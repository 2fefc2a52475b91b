//! Every sample of every provider, broken in every way: cut off at each byte, each member taken
//! away or replaced. What comes of it is an error that names the member, or events that can be
//! stored.

use artifact_triggers::event::Event;
use artifact_triggers::incoming::known::{decide, keys};
use artifact_triggers::incoming::{Notice, ParseError, ReceiveError};
use serde_json::{Map, Value, json};

use crate::sample::{self, Sample};

/// A step on the way to a value.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Member(String),
    Item(usize),
}

/// What a value is replaced by: one of each type, and those that are nearly right.
fn replacements() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |value, _| json!([value]));
    let long = "x".repeat(4_100);
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}\n"),
        json!("sha256:0"),
        json!("é/@:"),
        json!(long),
        json!([]),
        json!([null]),
        json!({}),
        deep,
    ]
}

/// The ways to all values below one.
fn ways(value: &Value, way: &mut Vec<Step>, ways_found: &mut Vec<Vec<Step>>) {
    let steps: Vec<Step> = match value {
        Value::Object(members) => members.keys().cloned().map(Step::Member).collect(),
        Value::Array(items) => (0..items.len()).map(Step::Item).collect(),
        _ => Vec::new(),
    };
    for step in steps {
        let below = at(value, std::slice::from_ref(&step)).clone();
        way.push(step);
        ways_found.push(way.clone());
        ways(&below, way, ways_found);
        way.pop();
    }
}

fn at<'a>(value: &'a Value, way: &[Step]) -> &'a Value {
    way.iter().fold(value, |value, step| match step {
        Step::Member(name) => &value[name.as_str()],
        Step::Item(n) => &value[*n],
    })
}

fn at_mut<'a>(value: &'a mut Value, way: &[Step]) -> &'a mut Value {
    way.iter().fold(value, |value, step| match step {
        Step::Member(name) => &mut value[name.as_str()],
        Step::Item(n) => &mut value[*n],
    })
}

/// The way as problems write it.
fn path(way: &[Step]) -> String {
    way.iter().fold(String::new(), |path, step| match step {
        Step::Member(name) if path.is_empty() => name.clone(),
        Step::Member(name) => format!("{path}.{name}"),
        Step::Item(n) => format!("{path}[{n}]"),
    })
}

/// Every sample with one value of its body replaced or taken away, and the path of that.
pub(crate) fn broken(sample: &Sample) -> Vec<(String, Sample)> {
    let bodies = variants(&sample.body).into_iter();
    bodies.map(|(path, body)| (path, sample.with_body(body))).collect()
}

/// A document with each of its values replaced or taken away, and the path of that.
pub(crate) fn variants(document: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    ways(document, &mut Vec::new(), &mut found);
    let mut variants = Vec::new();
    for way in found {
        for value in replacements() {
            let mut one = document.clone();
            *at_mut(&mut one, &way) = value;
            variants.push((path(&way), one));
        }
        let mut one = document.clone();
        let (last, parent) = way.split_last().unwrap();
        match (at_mut(&mut one, parent), last) {
            (Value::Object(members), Step::Member(name)) => drop(members.remove(name)),
            (Value::Array(items), Step::Item(n)) => drop(items.remove(*n)),
            _ => unreachable!("the way was found there"),
        }
        variants.push((path(&way), one));
    }
    variants
}

/// They can be stored, and decided whatever is known.
pub(crate) fn check_notices(notices: &[Notice], what: &dyn Fn() -> String) {
    for notice in notices {
        let event = &notice.event;
        assert_eq!(Event::from_json(&event.to_json()).as_ref(), Ok(event), "{}", what());
        for value in [None, Some("manifest"), Some("sha256:0")] {
            let values = vec![value.map(ToOwned::to_owned); keys(notice).len()];
            decide(notice.clone(), &values);
        }
    }
}

/// Whether one of the two contains the other's place, or the problem is with what the event has of
/// it.
pub(crate) fn is_about(problem: &str, broken: &str) -> bool {
    let of_event = ["artifact", "actor", "correlation", "from", "source", "data"];
    let is_below = |path: &str, root: &str| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    is_below(problem, broken)
        || is_below(broken, problem)
        || of_event
            .iter()
            .any(|part| is_below(problem, part) || problem.contains(&format!(".{part}")))
}

pub(crate) fn problems(error: &ReceiveError) -> Vec<String> {
    match error {
        ReceiveError::NotUnderstood(ParseError::Document(problems)) => {
            problems.iter().map(|problem| problem.path().to_owned()).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn a_body_that_is_cut_off_anywhere_is_no_json() {
    for sample in sample::all() {
        let body = sample.bytes();
        for length in 0..body.len() {
            let error = sample.open_body(&body[..length]).unwrap_err();
            assert_eq!(error.status(), 400, "{} at {length}", sample.name());
            assert!(error.to_string().contains("expected"), "{}: {error}", sample.name());
        }
    }
}

#[test]
fn a_member_of_the_wrong_type_or_missing_is_named_or_harmless() {
    let (mut refused, mut taken) = (0, 0);
    for sample in sample::all() {
        for (path, broken) in broken(&sample) {
            let what = || format!("{}: {path} in {}", sample.name(), broken.body);
            match broken.open() {
                Ok(notices) => {
                    check_notices(&notices, &what);
                    taken += 1;
                }
                Err(error) => {
                    assert_eq!(error.status(), 400, "{}", what());
                    let about = problems(&error).iter().any(|problem| is_about(problem, &path));
                    assert!(about, "{}: {error}", what());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 500 && taken > 500, "{refused} refused, {taken} taken");
}

#[test]
fn what_is_no_object_is_refused() {
    for sample in sample::all() {
        for body in ["", " ", "null", "1", "\"x\"", "[1]", "[[]]", "{}", "\u{feff}{}"] {
            if let Ok(notices) = sample.open_body(body.as_bytes()) {
                check_notices(&notices, &|| format!("{}: {body}", sample.name()));
                assert!(notices.is_empty(), "{}: {body}", sample.name());
            }
        }
    }
}

#[test]
fn header_fields_that_are_missing_or_not_text_are_named_or_harmless() {
    for sample in sample::all() {
        for n in 0..sample.headers.len() {
            let mut fields = vec![None, Some(String::new()), Some("\u{1}é".to_owned())];
            fields.push(Some("x".repeat(5_000)));
            for field in fields {
                let mut broken = sample.clone();
                match field {
                    Some(value) => broken.headers[n].1 = value,
                    None => drop(broken.headers.remove(n)),
                }
                match broken.open() {
                    Ok(notices) => check_notices(&notices, &|| sample.name()),
                    Err(error) => assert!([400, 415].contains(&error.status()), "{error}"),
                }
            }
        }
    }
}

#[test]
fn members_of_the_providers_that_are_new_are_kept_in_data() {
    // A CloudEvent has the members that its specification allows.
    let is_cloudevent =
        |sample: &Sample| sample.headers.iter().any(|(_, v)| v.contains("cloudevents"));
    for sample in sample::all().into_iter().filter(|sample| !is_cloudevent(sample)) {
        let mut extended = sample.clone();
        let new: Map<String, Value> =
            json!({"new_member": {"a": [1]}}).as_object().unwrap().clone();
        let Value::Object(members) = &mut extended.body else { continue };
        members.extend(new);
        for notice in extended.open().unwrap() {
            let data = notice.event.data.unwrap_or_default();
            // An event that an engine sent has such a member where it was.
            let kept = data.get("new_member").or(notice.event.extra.get("new_member"));
            assert_eq!(kept, Some(&json!({"a": [1]})), "{}", sample.name());
        }
    }
}
