//! The JSON of events: what is written, what is kept, and what is refused with which words.

mod limits;
#[path = "../pointer/mod.rs"]
mod pointer;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::document::Problems;
use artifact_triggers::entropy::OsEntropy;
use artifact_triggers::event::{Artifact, Event, EventKind, Source};
use pointer::{pointers, with};
use proptest::prelude::*;
use serde_json::{Value, json};

const FULL: &str = include_str!("../data/event_full.json");

fn full() -> Value {
    serde_json::from_str(FULL).unwrap()
}

/// The shortest event there is.
fn least() -> Value {
    json!({
        "spec_version": "1.0",
        "id": "evt_0193e5d2f0a07c3e8f00d1a2b3c4d5e6",
        "kind": "ping",
        "source": {"name": "registry"},
        "occurred_at": "2026-11-23T14:42:23Z",
        "received_at": "2026-11-23T14:42:23Z",
    })
}

fn parse(document: &Value) -> Result<Event, Problems> {
    Event::from_json(&serde_json::to_vec(document).unwrap())
}

fn printed(event: &Event) -> Value {
    serde_json::from_slice(&event.to_json()).unwrap()
}

/// What is wrong with a document, as lines.
fn problems(document: &Value) -> Vec<String> {
    parse(document).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn every_member_is_read_and_written_back_as_it_was() {
    let event = parse(&full()).unwrap();
    assert_eq!(printed(&event), full());
    assert_eq!(Event::from_json(&event.to_json()).unwrap(), event);
    // Every member is in the golden document, so none is in the unknown rest.
    let artifact = event.artifact.as_ref().unwrap();
    let oci = artifact.oci.as_ref().unwrap();
    let rests = [
        &event.extra,
        &event.source.extra,
        &artifact.extra,
        &oci.extra,
        &oci.platform.as_ref().unwrap().extra,
        &artifact.files[0].extra,
        &event.actor.as_ref().unwrap().extra,
        &event.correlation.extra,
    ];
    assert!(rests.iter().all(|rest| rest.is_empty()), "{rests:?}");
}

#[test]
fn the_least_event_is_written_without_what_it_has_not() {
    let event = parse(&least()).unwrap();
    assert_eq!(printed(&event), with(least(), "/scope", json!("")));
}

#[test]
fn null_is_as_good_as_absent() {
    let mut document = least();
    for name in ["scope", "artifact", "from", "actor", "correlation", "attributes", "data"] {
        document[name] = Value::Null;
    }
    assert_eq!(parse(&document).unwrap(), parse(&least()).unwrap());
    let without_id = with(least(), "/id", Value::Null);
    assert_eq!(problems(&without_id), ["id: expected an event id, found nothing"]);
}

#[test]
fn what_is_not_known_is_kept_at_every_level() {
    let mut document = full();
    for parent in [
        "",
        "/source",
        "/artifact",
        "/artifact/oci",
        "/artifact/oci/platform",
        "/artifact/files/0",
        "/from",
        "/actor",
        "/correlation",
    ] {
        document = with(document, &format!("{parent}/x_later"), json!({"a": [1, null]}));
    }
    document = with(document, "/actor/kind", json!("agent"));
    document = with(document, "/artifact/oci/role", json!("delta"));
    assert_eq!(printed(&parse(&document).unwrap()), document);
}

#[test]
fn what_is_kept_takes_no_known_members_place() {
    let event = parse(&full()).unwrap();
    let kept = |extra: fn(&mut Event) -> &mut serde_json::Map<String, Value>, pointer: &str| {
        for name in full().pointer(pointer).unwrap().as_object().unwrap().keys() {
            let mut event = event.clone();
            extra(&mut event).insert(name.clone(), json!("x"));
            let found = event.validate().unwrap_err().to_string();
            let path = pointer.replacen('/', "", 1).replace("/0", "[0]").replace('/', ".");
            let expected =
                format!("{path}.{name}: is a known member; expected its field to be set instead");
            assert_eq!(found, expected.trim_start_matches('.'));
        }
    };
    kept(|event| &mut event.extra, "");
    kept(|event| &mut event.source.extra, "/source");
    kept(|event| &mut event.actor.as_mut().unwrap().extra, "/actor");
    kept(|event| &mut event.correlation.extra, "/correlation");
    kept(|event| &mut event.artifact.as_mut().unwrap().extra, "/artifact");
    kept(|event| &mut event.artifact.as_mut().unwrap().files[0].extra, "/artifact/files/0");
    kept(|event| &mut oci(event).extra, "/artifact/oci");
    kept(|event| &mut oci(event).platform.as_mut().unwrap().extra, "/artifact/oci/platform");
}

fn oci(event: &mut Event) -> &mut artifact_triggers::event::OciFacts {
    event.artifact.as_mut().unwrap().oci.as_mut().unwrap()
}

#[test]
fn documents_of_any_minor_version_parse_and_others_do_not() {
    for version in ["1.0", "1.1", "1.27"] {
        let event = parse(&with(least(), "/spec_version", json!(version))).unwrap();
        assert_eq!(event.spec_version, version);
    }
    for version in ["", "1", "1.", "2.0", "10.0", "01.0", "1.0.0", "1.x", " 1.0", "1.0000000000"] {
        let document = with(least(), "/spec_version", json!(version));
        let expected = format!("spec_version: expected version 1.x, found {version:?}");
        assert_eq!(problems(&document), [expected]);
    }
}

#[test]
fn a_wrong_type_is_named_by_its_path_with_what_was_found_and_expected() {
    for (pointer, value, expected) in [
        ("/id", json!(7), "id: expected an event id, found 7"),
        ("/kind", json!([]), "kind: expected a kind of event, found an array"),
        ("/scope", json!({}), "scope: expected a scope, found an object"),
        ("/source", json!("me"), "source: expected an object, found a string"),
        ("/source/name", json!(true), "source.name: expected a string, found true"),
        ("/occurred_at", json!(0), "occurred_at: expected a time as RFC 3339 has it, found 0"),
        ("/artifact/tags", json!("v1"), "artifact.tags: expected an array, found a string"),
        ("/artifact/tags/1", json!(1.5), "artifact.tags[1]: expected a string, found 1.5"),
        (
            "/artifact/size",
            json!(-1),
            "artifact.size: expected a whole number of 0 or more, found -1",
        ),
        (
            "/artifact/size",
            json!(1.5),
            "artifact.size: expected a whole number of 0 or more, found 1.5",
        ),
        ("/artifact/files/1", json!("a"), "artifact.files[1]: expected an object, found a string"),
        (
            "/artifact/files/0/size",
            json!("1"),
            "artifact.files[0].size: expected a whole number of 0 or more, found \"1\"",
        ),
        ("/artifact/oci/role", json!(1), "artifact.oci.role: expected a string, found 1"),
        (
            "/artifact/oci/platform/os",
            json!(1),
            "artifact.oci.platform.os: expected a string, found 1",
        ),
        (
            "/artifact/oci/annotations/empty",
            json!(1),
            "artifact.oci.annotations.empty: expected a string, found 1",
        ),
        ("/from", json!([]), "from: expected an object, found an array"),
        ("/actor/kind", json!({}), "actor.kind: expected a string, found an object"),
        ("/correlation/hops/0", json!(0), "correlation.hops[0]: expected a string, found 0"),
        ("/attributes", json!([]), "attributes: expected an object, found an array"),
        ("/attributes/team", json!(1), "attributes.team: expected a string, found 1"),
    ] {
        assert_eq!(problems(&with(full(), pointer, value)), [expected]);
    }
}

#[test]
fn a_malformed_value_is_named_by_its_path() {
    for (pointer, value, expected) in [
        ("/id", json!("trg_0193e5d2f0a07c3e8f00d1a2b3c4d5e6"), "id: expected an id such as evt_"),
        ("/kind", json!("Pushed"), "kind: expected a kind: lower-case words"),
        ("/scope", json!("a//b"), "scope: expected a scope: up to 16 segments"),
        ("/occurred_at", json!("yesterday"), "occurred_at: expected a time as RFC 3339 has it"),
        (
            "/artifact/package_type",
            json!("OCI"),
            "artifact.package_type: expected a package type in lower case",
        ),
        ("/artifact/digest", json!("v1"), "artifact.digest: expected a digest such as sha256:"),
        (
            "/artifact/oci/child_digests/1",
            json!("x"),
            "artifact.oci.child_digests[1]: expected a digest",
        ),
        ("/artifact/files/0/digest", json!("x"), "artifact.files[0].digest: expected a digest"),
        ("/correlation/cause", json!("evt_1"), "correlation.cause: expected an id such as evt_"),
    ] {
        let found = problems(&with(full(), pointer, value));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
    }
}

#[test]
fn a_digest_is_no_tag_and_no_version() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let mut document = with(full(), "/artifact/version", json!(digest));
    document = with(document, "/artifact/tags/1", json!(digest));
    let expected = [
        format!("artifact.version: expected a version, found the digest {digest:?}"),
        format!("artifact.tags[1]: expected a tag, found the digest {digest:?}"),
    ];
    assert_eq!(problems(&document), expected);
}

#[test]
fn every_problem_is_told_at_once() {
    let document = json!({
        "id": "x",
        "source": {"instance": 1},
        "occurred_at": "now",
        "artifact": {"size": "big", "files": [{"name": 1}, {}], "oci": {"platform": 1}},
        "actor": 1,
        "correlation": {"hops": [""]},
        "attributes": {"a": 1, "b": 2},
    });
    let found = problems(&document);
    let paths: Vec<&str> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = [
        "spec_version",
        "id",
        "kind",
        "source.name",
        "source.instance",
        "occurred_at",
        "received_at",
        "artifact.size",
        "artifact.oci.platform",
        "artifact.files[0].name",
        "artifact.files[1].name",
        "actor",
        "attributes.a",
        "attributes.b",
        "correlation.hops[0]",
    ];
    assert_eq!(paths, expected, "{found:#?}");
}

#[test]
fn an_event_says_what_it_is_about() {
    for (kind, lacking, artifact) in [
        ("artifact.ingested", "a name, a repository or a digest", json!({"version": "1"})),
        ("artifact.acme", "a name, a repository or a digest", Value::Null),
        ("tag.moved", "tags", json!({"name": "a"})),
        ("repository.created", "a repository", json!({"name": "a"})),
    ] {
        let document = with(with(least(), "/kind", json!(kind)), "/artifact", artifact);
        assert_eq!(
            problems(&document),
            [format!("artifact: expected {lacking}, since the kind is {kind}")]
        );
    }
}

#[test]
fn a_document_that_was_cut_off_anywhere_is_refused() {
    let json = FULL.trim_end().as_bytes();
    for end in 0..json.len() {
        let found = Event::from_json(&json[..end]).unwrap_err().to_string();
        assert!(found.starts_with("expected JSON: EOF while parsing"), "{end}: {found}");
    }
}

#[test]
fn what_is_no_json_or_means_two_things_is_refused() {
    for (json, expected) in [
        (&b"\xff\xfe"[..], "expected JSON: expected value at line 1 column 1"),
        (b"{\"id\": \"\xc3\x28\"}", "expected JSON: invalid unicode code point"),
        (b"{\"id\": \"\\ud800\"}", "expected JSON: unexpected end of hex escape"),
        (b"{} {}", "expected JSON: trailing characters"),
        (b"{\"a\": 01}", "expected JSON: invalid number"),
        (b"{\"a\": 1e999}", "expected JSON: number out of range"),
        (b"{\"a\": NaN}", "expected JSON: expected value"),
        (b"{\"a\": 1,}", "expected JSON: trailing comma"),
        (b"{\"id\": 1, \"id\": 2}", "expected JSON: the member \"id\" is there twice"),
        (
            b"{\"x\": [{\"a\": 1, \"\\u0061\": 2}]}",
            "expected JSON: the member \"a\" is there twice",
        ),
        (b"[]", "expected an object, found an array"),
        (b"null", "expected an object, found null"),
    ] {
        let found = Event::from_json(json).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn equal_facts_told_twice_have_one_id_and_different_ones_have_two() {
    let told = |name: &str, instance: Option<&str>, id: &str, occurred: i64, received: i64| {
        let source = Source::new(name).with_id(id);
        let source = instance.map_or(source.clone(), |instance| source.with_instance(instance));
        let builder = Event::builder(EventKind::PING).source(source);
        let builder = builder.occurred_at(Timestamp::from_unix_seconds(occurred));
        builder.build_at(Timestamp::from_unix_seconds(received), &OsEntropy).unwrap().id
    };
    let first = told("harbor", Some("eu"), "17", 1_000, 2_000);
    assert_eq!(told("harbor", Some("eu"), "17", 1_000, 9_000), first);
    for other in [
        told("quay", Some("eu"), "17", 1_000, 2_000),
        told("harbor", Some("us"), "17", 1_000, 2_000),
        told("harbor", None, "17", 1_000, 2_000),
        told("harbor", Some("eu"), "18", 1_000, 2_000),
        told("harbor", Some("eu"), "17", 1_001, 2_000),
        told("harbore", Some("u"), "17", 1_000, 2_000),
    ] {
        assert_ne!(other, first);
    }
    // Where the source gives no id, every telling is a fact of its own.
    let plain =
        || Event::builder(EventKind::PING).build_at(Timestamp::UNIX_EPOCH, &OsEntropy).unwrap();
    assert_ne!(plain().id, plain().id);
    // An id that was set counts for more than a derived one.
    let set = Event::builder(EventKind::PING).source(Source::new("s").with_id("1")).id(first);
    assert_eq!(set.build().unwrap().id, first);
    // Without its time a resend would be another event, so it is asked for.
    let without = Event::builder(EventKind::PING).source(Source::new("s").with_id("1")).build();
    assert_eq!(without.unwrap_err().iter().next().unwrap().path(), "occurred_at");
}

#[test]
fn a_builder_is_held_to_the_same_limits() {
    let artifact = Artifact::new("OCI", "").with_tag(format!("sha256:{}", "a".repeat(64)));
    let found =
        Event::builder(EventKind::TAG_CREATED).artifact(artifact).attribute("", "v").build();
    let found = found.unwrap_err();
    let paths: Vec<&str> = found.iter().map(artifact_triggers::document::Problem::path).collect();
    assert_eq!(
        paths,
        ["artifact.name", "artifact.package_type", "artifact.tags[0]", "attributes."]
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "(evt_|sha256:)?[0-9a-f]{32}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{0,8}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_in_any_place_is_read_back_equal_or_refused(
        which in any::<prop::sample::Index>(),
        value in any_json(),
    ) {
        let mut all = Vec::new();
        pointers(&full(), "", &mut all);
        if let Ok(event) = parse(&with(full(), &all[which.index(all.len())], value)) {
            prop_assert_eq!(Event::from_json(&event.to_json()).unwrap(), event);
        }
    }

    #[test]
    fn any_data_comes_back_as_it_was(data in any_json()) {
        let event = Event::builder(EventKind::PING).data(data.clone()).build().unwrap();
        let back = Event::from_json(&event.to_json()).unwrap();
        // Null is as good as absent.
        prop_assert_eq!(back.data.unwrap_or_default(), data);
    }

    #[test]
    fn numbers_come_back_bit_for_bit(number in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO) {
        let event = Event::builder(EventKind::PING).data(json!([number])).build().unwrap();
        let back = Event::from_json(&event.to_json()).unwrap();
        let found = back.data.unwrap()[0].as_f64().unwrap();
        prop_assert_eq!(found.to_bits(), number.to_bits());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Event::from_json(&bytes).is_err());
    }

    #[test]
    fn one_changed_byte_is_read_or_refused_and_never_a_panic(which in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut json = FULL.as_bytes().to_vec();
        *which.get_mut(&mut json) = byte;
        if let Ok(event) = Event::from_json(&json) {
            prop_assert_eq!(Event::from_json(&event.to_json()).unwrap(), event);
        }
    }
}
