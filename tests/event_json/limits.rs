//! Each stated limit, at it and above it.

use artifact_triggers::document::Problems;
use artifact_triggers::event::{Event, EventKind, MAX_COUNT, MAX_EVENT_BYTES, MAX_TEXT_BYTES};
use serde_json::{Value, json};

use super::{full, least, parse, printed, problems};
use crate::pointer::with;

#[test]
fn a_hostile_document_has_not_more_than_the_most_problems_and_short_paths() {
    let long = "n".repeat(100_000);
    let attributes: serde_json::Map<_, _> =
        (0..1_000).map(|n| (format!("{long:.400}{n}"), json!(1))).collect();
    let found = parse(&with(least(), "/attributes", Value::Object(attributes))).unwrap_err();
    assert_eq!(found.len(), Problems::MAX);
    assert!(found.iter().all(|problem| problem.path().len() < 100), "{found}");
    for pointer in ["/id", "/kind", "/scope", "/occurred_at", "/spec_version", "/source/name"] {
        let found = problems(&with(least(), pointer, json!(format!("{long}\n"))));
        assert!(found[0].len() < 400, "{pointer} {}", found[0].len());
    }
}

#[test]
fn texts_have_at_most_their_limit_and_are_neither_empty_nor_of_control_characters() {
    let most = "é".repeat(MAX_TEXT_BYTES / 2);
    for (pointer, path) in [
        ("/source/name", "source.name"),
        ("/source/instance", "source.instance"),
        ("/source/id", "source.id"),
        ("/artifact/registry", "artifact.registry"),
        ("/artifact/repository", "artifact.repository"),
        ("/artifact/namespace", "artifact.namespace"),
        ("/artifact/name", "artifact.name"),
        ("/artifact/version", "artifact.version"),
        ("/artifact/tags/0", "artifact.tags[0]"),
        ("/artifact/purl", "artifact.purl"),
        ("/artifact/url", "artifact.url"),
        ("/artifact/files/0/name", "artifact.files[0].name"),
        ("/artifact/files/0/media_type", "artifact.files[0].media_type"),
        ("/artifact/oci/media_type", "artifact.oci.media_type"),
        ("/artifact/oci/artifact_type", "artifact.oci.artifact_type"),
        ("/artifact/oci/role", "artifact.oci.role"),
        ("/artifact/oci/platform/architecture", "artifact.oci.platform.architecture"),
        ("/artifact/oci/platform/os", "artifact.oci.platform.os"),
        ("/artifact/oci/platform/variant", "artifact.oci.platform.variant"),
        ("/actor/id", "actor.id"),
        ("/actor/name", "actor.name"),
        ("/actor/kind", "actor.kind"),
        ("/actor/address", "actor.address"),
        ("/correlation/trace_parent", "correlation.trace_parent"),
        ("/correlation/trace_state", "correlation.trace_state"),
        ("/correlation/request_id", "correlation.request_id"),
        ("/correlation/hops/0", "correlation.hops[0]"),
    ] {
        parse(&with(full(), pointer, json!(most))).unwrap();
        for (text, expected) in [
            (format!("{most}x"), "expected at most 4096 bytes, found 4097"),
            (String::new(), "expected a text, found an empty one; leave it out instead"),
            ("a\u{0}b".to_owned(), "expected no control characters, found \"a\\0b\""),
        ] {
            let found = problems(&with(full(), pointer, json!(text)));
            assert_eq!(found, [format!("{path}: {expected}")]);
        }
    }
}

#[test]
fn short_texts_by_name_may_be_empty_and_have_several_lines() {
    for pointer in ["/attributes", "/artifact/oci/annotations"] {
        let document = |name: &str, value: &str| with(full(), pointer, json!({name: value}));
        parse(&document(&"n".repeat(MAX_TEXT_BYTES), &"v\n".repeat(MAX_TEXT_BYTES / 2))).unwrap();
        for (name, value, expected) in [
            ("", "v".to_owned(), "expected a text, found an empty one"),
            ("a\nb", "v".to_owned(), "expected no control characters"),
            ("n", "v".repeat(MAX_TEXT_BYTES + 1), "expected at most 4096 bytes, found 4097"),
        ] {
            let found = problems(&document(name, &value));
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
    }
}

#[test]
fn lists_and_maps_have_at_most_their_limit() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for (pointer, path, item) in [
        ("/artifact/tags", "artifact.tags", json!("t")),
        ("/artifact/files", "artifact.files", json!({"name": "f"})),
        ("/artifact/oci/child_digests", "artifact.oci.child_digests", json!(digest)),
        ("/correlation/hops", "correlation.hops", json!("h")),
        ("/attributes", "attributes", Value::Null),
        ("/artifact/oci/annotations", "artifact.oci.annotations", Value::Null),
    ] {
        let of = |count: usize| match &item {
            Value::Null => Value::Object((0..count).map(|n| (n.to_string(), json!("v"))).collect()),
            item => Value::Array(vec![item.clone(); count]),
        };
        parse(&with(full(), pointer, of(MAX_COUNT))).unwrap();
        let found = problems(&with(full(), pointer, of(MAX_COUNT + 1)));
        assert_eq!(found, [format!("{path}: expected at most 1024, found 1025")]);
    }
}

/// `[[[…]]]` with so many brackets.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

#[test]
fn what_is_kept_is_nested_no_deeper_than_it_can_be_read_back() {
    for (pointer, path) in [
        ("/data", "data"),
        ("/x", "x"),
        ("/source/x", "source.x"),
        ("/artifact/x", "artifact.x"),
        ("/artifact/files/1/x", "artifact.files[1].x"),
        ("/artifact/oci/x", "artifact.oci.x"),
        ("/artifact/oci/platform/x", "artifact.oci.platform.x"),
        ("/actor/x", "actor.x"),
        ("/correlation/x", "correlation.x"),
    ] {
        let deepest = with(full(), pointer, nested(64));
        assert_eq!(printed(&parse(&deepest).unwrap()), deepest);
        let found = problems(&with(full(), pointer, nested(65)));
        assert_eq!(found, [format!("{path}: expected at most 64 levels of objects and arrays")]);
    }
    let built = Event::builder(EventKind::PING).data(nested(65)).build().unwrap_err();
    assert_eq!(built.to_string(), "data: expected at most 64 levels of objects and arrays");
    let built = Event::builder(EventKind::PING).data(nested(64)).build().unwrap();
    assert_eq!(Event::from_json(&built.to_json()).unwrap(), built);
    let hostile = format!("{{\"data\": {}", "[".repeat(500_000));
    let found = Event::from_json(hostile.as_bytes()).unwrap_err().to_string();
    assert!(found.starts_with("expected JSON: recursion limit exceeded"), "{found}");
}

#[test]
fn an_event_has_at_most_a_mebibyte() {
    let json = serde_json::to_vec(&least()).unwrap();
    let padded = |size: usize| [json.as_slice(), &vec![b' '; size - json.len()]].concat();
    Event::from_json(&padded(MAX_EVENT_BYTES)).unwrap();
    let found = Event::from_json(&padded(MAX_EVENT_BYTES + 1)).unwrap_err().to_string();
    assert_eq!(found, "expected at most 1048576 bytes of JSON, found 1048577");
}
