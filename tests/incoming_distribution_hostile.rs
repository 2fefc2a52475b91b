//! The distribution receiver, told what no registry says.
//!
//! Whatever comes in, the answer is notices or an error that says where, and never a panic.

use std::fs;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::Event;
use artifact_triggers::incoming::distribution::DistributionReceiver;
use artifact_triggers::incoming::known::{decide, keys};
use artifact_triggers::incoming::{Incoming, Notice, ParseError, ReceiveError, Receiver};
use artifact_triggers::signature::Verifier;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const V1: &str = "application/vnd.docker.distribution.events.v1+json";

fn captures() -> impl Iterator<Item = Vec<u8>> {
    let all = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/distribution/all");
    (1..=45).map(move |n| fs::read(format!("{all}/{n:03}.body")).unwrap())
}

/// Opens a body and checks what must hold of any answer.
fn open(body: &[u8]) -> Result<Vec<Notice>, ReceiveError> {
    let scope = "acme".parse().unwrap();
    let receiver = DistributionReceiver::new(scope, Verifier::accept_unverified());
    let headers = [("content-type", V1)].into_iter().collect();
    let answer = receiver.open(Incoming { headers: &headers, body }, Timestamp::UNIX_EPOCH);
    match &answer {
        Ok(notices) => notices.iter().for_each(check_notice),
        Err(error) => check_error(error),
    }
    answer
}

/// It can be decided and stored.
fn check_notice(notice: &Notice) {
    let event = &notice.event;
    assert_eq!(Event::from_json(&event.to_json()).as_ref(), Ok(event));
    for value in [None, Some("manifest"), Some("blob"), Some("sha256:0")] {
        let values = vec![value.map(ToOwned::to_owned); keys(notice).len()];
        decide(notice.clone(), &values);
    }
}

/// It says where, and of what is no JSON at all, that.
fn check_error(error: &ReceiveError) {
    let ReceiveError::NotUnderstood(ParseError::Document(problems)) = error else {
        panic!("{error}");
    };
    assert_eq!(error.status(), 400);
    assert!(!problems.is_empty());
    for problem in problems {
        let (path, message) = (problem.path(), problem.message());
        let says_where = path.starts_with("events");
        assert!(says_where || (path.is_empty() && message.starts_with("expected")), "{problem}");
    }
}

#[test]
fn a_capture_cut_off_anywhere_is_an_error() {
    for body in captures() {
        for end in 0..body.len() {
            assert!(open(&body[..end]).is_err(), "{}", String::from_utf8_lossy(&body[..end]));
        }
        assert_eq!(open(&body).map(|notices| notices.len()), Ok(1));
    }
}

/// The pointers to all values within one, its own first.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(n, value)| pointers(value, &format!("{at}/{n}"), found));
        }
        _ => {}
    }
}

/// A pointer as the problems write paths.
fn path(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1);
    parts.fold(String::new(), |path, part| match part.parse::<usize>() {
        Ok(n) => format!("{path}[{n}]"),
        Err(_) if path.is_empty() => part.to_owned(),
        Err(_) => format!("{path}.{part}"),
    })
}

fn wrong_values() -> Vec<Value> {
    let texts = ["", "x", "\u{0}", "/", "sha256:", "é🦀"].map(|text| json!(text));
    let others = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!([]),
        json!([1]),
        json!({}),
        json!({"": 1}),
        json!("x".repeat(5_000)),
    ];
    texts.into_iter().chain(others).collect()
}

#[test]
fn a_capture_with_any_value_in_the_place_of_any_other_is_notices_or_an_error() {
    let wrong = wrong_values();
    for body in captures() {
        let capture: Value = serde_json::from_slice(&body).unwrap();
        let mut places = Vec::new();
        pointers(&capture, "", &mut places);
        for place in &places {
            for value in &wrong {
                let mut changed = capture.clone();
                *changed.pointer_mut(place).unwrap() = value.clone();
                drop(open(changed.to_string().as_bytes()));
            }
        }
    }
}

#[test]
fn a_wrong_type_is_an_error_at_its_path() {
    let body =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/distribution/filtered/001.body"));
    let capture: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    for (place, wrong) in [
        ("/events", json!({})),
        ("/events/0", json!("x")),
        ("/events/0/id", json!(1)),
        ("/events/0/timestamp", json!(1)),
        ("/events/0/action", json!([])),
        ("/events/0/target", json!([])),
        ("/events/0/target/mediaType", json!(1)),
        ("/events/0/target/size", json!("1")),
        ("/events/0/target/digest", json!({})),
        ("/events/0/target/repository", json!(false)),
        ("/events/0/target/url", json!(1)),
        ("/events/0/target/tag", json!(1)),
        ("/events/0/target/references", json!({})),
        ("/events/0/target/references/1", json!(1)),
        ("/events/0/target/references/1/mediaType", json!(1)),
        ("/events/0/target/references/1/digest", json!(1)),
        ("/events/0/request", json!([])),
        ("/events/0/request/id", json!(1)),
        ("/events/0/request/addr", json!(1)),
        ("/events/0/request/host", json!(1)),
        ("/events/0/actor", json!("ada")),
        ("/events/0/source", json!("node")),
        ("/events/0/source/addr", json!(1)),
        ("/events/0/source/instanceID", json!(1)),
    ] {
        let mut changed = capture.clone();
        *changed.pointer_mut(place).unwrap() = wrong;
        let error = open(changed.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: expected ", path(place))), "{place}: {error}");
    }
}

#[test]
fn nesting_without_end_is_an_error() {
    for (open_with, close_with) in [("[", "]"), ("{\"events\":[", "]}")] {
        let body = format!("{}{}", open_with.repeat(100_000), close_with.repeat(100_000));
        assert!(open(body.as_bytes()).is_err());
    }
}

/// Values under the names that the registry uses, of any shape.
fn json() -> impl Strategy<Value = Value> {
    let word =
        "push|pull|mount|delete|v1|sha256:[0-9a-f]{64}|sha256-[0-9a-f]{64}\\.(sig|att)|.{0,6}";
    let media = "application/(octet-stream|vnd\\.oci\\.image\\.(manifest|index)\\.v1\\+json)";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from),
        media.prop_map(Value::from),
        Just(json!("2026-11-23T14:42:23.514977024Z")),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let name = prop::sample::select(vec![
            "id",
            "timestamp",
            "action",
            "target",
            "request",
            "actor",
            "source",
            "mediaType",
            "digest",
            "repository",
            "tag",
            "size",
            "url",
            "references",
            "host",
            "addr",
            "name",
        ]);
        let members = prop::collection::vec((name, inner.clone()), 0..8);
        let object = members.prop_map(|members| {
            Value::Object(
                members.into_iter().map(|(n, v)| (n.to_owned(), v)).collect::<Map<_, _>>(),
            )
        });
        prop_oneof![object, prop::collection::vec(inner, 0..3).prop_map(Value::Array)]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_notices_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(open(&body));
    }

    #[test]
    fn any_events_are_notices_or_an_error(events in json(), target in json(), other in json()) {
        let event = json!({
            "timestamp": "2026-11-23T14:42:23Z", "action": "push", "target": target, "request": other,
        });
        drop(open(json!({ "events": events }).to_string().as_bytes()));
        drop(open(json!({ "events": [event] }).to_string().as_bytes()));
    }

    #[test]
    fn any_names_are_notices_or_an_error(
        action in "push|pull|mount|delete|[a-z.]{1,9}|.{0,4}",
        names in prop::array::uniform6(".{0,12}"),
    ) {
        let [repository, tag, host, addr, url, actor] = names;
        let digest = format!("sha256:{}", "0".repeat(64));
        let event = json!({
            "timestamp": "2026-11-23T14:42:23Z",
            "action": action,
            "target": {"repository": repository, "tag": tag, "url": url, "digest": digest},
            "request": {"host": host, "addr": addr},
            "actor": {"name": actor},
        });
        drop(open(json!({ "events": [event] }).to_string().as_bytes()));
    }
}
