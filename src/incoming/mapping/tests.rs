use serde_json::json;

use super::*;
use crate::incoming::known::{Decision, decide, keys};
use crate::incoming::{Change, Incoming, ReceiveError};

fn mapping(json: &serde_json::Value) -> Result<Mapping, String> {
    Mapping::from_json(json.to_string().as_bytes()).map_err(|problems| problems.to_string())
}

fn open(
    mapping_json: &serde_json::Value,
    body: &serde_json::Value,
) -> Result<Vec<Notice>, ReceiveError> {
    let mapping = mapping(mapping_json).unwrap();
    let scope = "acme".parse().unwrap();
    let receiver = MappingReceiver::new(mapping, scope, Verifier::accept_unverified());
    let body = body.to_string();
    let incoming = Incoming { headers: &Headers::new(), body: body.as_bytes() };
    receiver.open(incoming, Timestamp::from_unix_seconds(1_764_000_000))
}

fn minimal() -> serde_json::Value {
    json!({"source": "ci", "kind": "artifact.ingested", "artifact": {"name": "{/name}"}})
}

fn with(members: serde_json::Value) -> serde_json::Value {
    let mut mapping = minimal();
    let serde_json::Value::Object(members) = members else { panic!("members") };
    mapping.as_object_mut().unwrap().extend(members);
    mapping
}

#[test]
fn every_member_of_a_mapping_does_what_it_says() {
    let mapping = json!({
        "source": "nightly",
        "instance": "{#/host}",
        "each": "/built",
        "kind": {"at": "/did", "table": {"push": "artifact.copied"}},
        "id": "{#/run}-{/name}",
        "time": {"at": "#/at", "as": "milliseconds"},
        "artifact": {
            "registry": "r.example", "repository": "{#/group}/{/name}", "package_type": "OCI",
            "namespace": "{#/group}", "name": "{/name}", "version": "{/version}",
            "tags": ["{/tags}", "{/name}-{/version}"], "digest": "sha256:{/sha256}",
            "url": "https://r.example/{/name}", "media_type": "application/{/kind}",
            "size": "{/size}"
        },
        "from": {"repository": "staging/{/name}"},
        "actor": {"kind": "robot", "name": "{#/user}", "id": "{#/uid}"},
        "request_id": "{#/run}",
        "trace_parent": "{#/trace}",
        "attributes": {"commit": "{#/commit}", "branch": "{#/branch}"},
        "data": "/notes"
    });
    let body = json!({
        "host": "ci-1", "run": 17, "at": 1_764_000_000_250.0, "group": "acme", "user": "bot",
        "uid": 7, "trace": "00-1-2-01", "commit": "abc", "built": [{
            "did": "push", "name": "app", "version": "1.2", "tags": ["1", "", "latest"],
            "sha256": "a".repeat(64), "kind": "x", "size": 12, "notes": {"a": [1]}
        }]
    });
    let notices = open(&mapping, &body).unwrap();
    let mut event = serde_json::to_value(&notices[0].event).unwrap();
    let members = event.as_object_mut().unwrap();
    for name in ["id", "spec_version", "received_at"] {
        members.remove(name);
    }
    members["artifact"].as_object_mut().unwrap().remove("purl");
    members["from"].as_object_mut().unwrap().remove("purl");
    assert_eq!(
        event,
        json!({
            "kind": "artifact.copied", "scope": "acme", "occurred_at": "2025-11-24T16:00:00.250Z",
            "source": {"name": "nightly", "instance": "ci-1", "id": "17-app"},
            "artifact": {
                "registry": "r.example", "repository": "acme/app", "package_type": "oci",
                "namespace": "acme", "name": "app", "version": "1.2",
                "tags": ["1", "latest", "app-1.2"], "digest": format!("sha256:{}", "a".repeat(64)),
                "url": "https://r.example/app", "oci": {"media_type": "application/x"}, "size": 12
            },
            "from": {"repository": "staging/app"},
            "actor": {"kind": "robot", "name": "bot", "id": "7"},
            "correlation": {"request_id": "17", "trace_parent": "00-1-2-01"},
            "attributes": {"commit": "abc"},
            "data": {"a": [1]}
        })
    );
}

#[test]
fn each_item_is_an_event_of_its_own() {
    let mapping = with(json!({"each": "/items", "id": "{#/run}"}));
    let body = json!({"run": 1, "items": [{"name": "a"}, {"name": "b"}]});
    let notices = open(&mapping, &body).unwrap();
    let names: Vec<_> = notices.iter().map(|it| it.event.artifact.clone().unwrap().name).collect();
    assert_eq!(names, [Some("a".to_owned()), Some("b".to_owned())]);
    assert_ne!(notices[0].event.id, notices[1].event.id);
    assert_eq!(open(&mapping, &json!({"items": []})), Ok(Vec::new()));
    let error = open(&mapping, &json!({"items": {}})).unwrap_err().to_string();
    assert_eq!(error, "items: expected an array, found an object");
    let error = open(&mapping, &json!({"items": vec![1; 1_001]})).unwrap_err().to_string();
    assert_eq!(error, "items: expected at most 1000 events, found 1001");
}

#[test]
fn defect_34_of_what_is_not_there_no_condition_holds_but_that() {
    for (condition, body, is_told) in [
        (json!({"at": "/s", "is": ["ok"]}), json!({"s": "ok"}), true),
        (json!({"at": "/s", "is": ["ok"]}), json!({"s": "no"}), false),
        (json!({"at": "/s", "is": ["ok"]}), json!({}), false),
        (json!({"at": "/s", "is_not": ["ok"]}), json!({"s": "no"}), true),
        (json!({"at": "/s", "is_not": ["ok"]}), json!({"s": "ok"}), false),
        (json!({"at": "/s", "is_not": ["ok"]}), json!({}), false),
        (json!({"at": "/s", "is_not": ["ok"]}), json!({"s": null}), false),
        (json!({"at": "/s", "exists": true}), json!({"s": 0}), true),
        (json!({"at": "/s", "exists": true}), json!({"s": null}), false),
        (json!({"at": "/s", "exists": false}), json!({}), true),
        // As they are: no text is a pattern, and no number a text.
        (json!({"at": "/s", "is": ["1.0"]}), json!({"s": "1x0"}), false),
        (json!({"at": "/s", "is": ["1"]}), json!({"s": 1}), false),
        (json!({"at": "/s", "is": [1, true]}), json!({"s": true}), true),
    ] {
        let mut body = body;
        body["name"] = json!("app");
        let notices = open(&with(json!({"when": [condition]})), &body).unwrap();
        let is_left_out = notices[0].change == Change::LeftOut;
        assert_eq!(is_left_out, !is_told, "{condition} of {body}");
    }
}

#[test]
fn defect_38_a_word_that_is_mapped_to_nothing_is_told_or_refused() {
    let table = json!({"at": "/did", "table": {"push": "artifact.ingested", "ping": null}});
    let of_table = with(json!({"kind": table}));
    let kind = |body| open(&of_table, &body).map(|notices| notices[0].event.kind.to_string());
    assert_eq!(kind(json!({"did": "push", "name": "a"})), Ok("artifact.ingested".to_owned()));
    let error = |body| open(&of_table, &body).unwrap_err().to_string();
    assert_eq!(error(json!({"did": "pull"})), "did: expected one of ping, push, found \"pull\"");
    assert_eq!(error(json!({})), "did: expected one of ping, push, found nothing");
    let left_out = open(&of_table, &json!({"did": "ping"})).unwrap().remove(0);
    assert_eq!(left_out.change, Change::LeftOut);
    assert!(matches!(decide(left_out, &[]), Decision::Skip { .. }));
    let mut with_otherwise = of_table;
    with_otherwise["kind"]["otherwise"] = json!("webhook.received");
    let told = open(&with_otherwise, &json!({"did": "pull", "name": "a"})).unwrap().remove(0);
    assert_eq!(told.event.kind, crate::event::EventKind::WEBHOOK_RECEIVED);
}

#[test]
fn times_are_read_as_the_mapping_says() {
    let time = |time: serde_json::Value, value: serde_json::Value| {
        let notices = open(&with(json!({"time": time})), &json!({"name": "a", "t": value}));
        notices.map(|notices| notices[0].event.occurred_at.to_string())
    };
    let seconds = || json!({"at": "/t", "as": "seconds"});
    for (how, value, expected) in [
        (json!("/t"), json!("2026-01-02T03:04:05+01:00"), "2026-01-02T02:04:05Z"),
        (json!("/t"), json!("2026-01-02 03:04:05 UTC"), "2026-01-02T03:04:05Z"),
        (seconds(), json!(1_764_000_000), "2025-11-24T16:00:00Z"),
        (seconds(), json!(1_764_000_000.5), "2025-11-24T16:00:00.500Z"),
        (seconds(), json!("1764000000"), "2025-11-24T16:00:00Z"),
        // What is not there is now.
        (seconds(), json!(null), "2025-11-24T16:00:00Z"),
        (json!("/t"), json!(""), "2025-11-24T16:00:00Z"),
    ] {
        assert_eq!(time(how, value), Ok(expected.to_owned()));
    }
    let error = time(seconds(), json!("soon")).unwrap_err().to_string();
    assert_eq!(error, "t: expected seconds since 1970, found \"soon\"");
    let error = time(json!("/t"), json!(17)).unwrap_err().to_string();
    assert_eq!(error, "t: expected a time such as 2026-11-23T14:42:23Z, found 17");
}

#[test]
fn what_is_known_decides_unless_the_kind_is_final() {
    let digest = format!("sha256:{}", "b".repeat(64));
    let artifact = json!({"package_type": "oci", "repository": "acme/app", "tags": ["{/tags}"], "digest": "{/digest}"});
    let told = |kind: &str, is_final: bool, body: serde_json::Value| {
        let members = json!({"kind": kind, "artifact": artifact, "kind_is_final": is_final});
        open(&with(members), &body).unwrap().remove(0)
    };
    let one = json!({"tags": ["1"], "digest": digest});
    let push = Change::Push { tag: Some("1".to_owned()), digest: digest.clone() };
    let notice = told("artifact.ingested", false, one.clone());
    assert_eq!(notice.change, push);
    assert_eq!(notice.event.artifact.as_ref().unwrap().name.as_deref(), Some("app"));
    assert_eq!(keys(&notice).len(), 2);
    assert_eq!(told("artifact.ingested", true, one.clone()).change, Change::None);
    let several = json!({"tags": ["1", "2"], "digest": digest});
    assert_eq!(told("artifact.ingested", false, several).change, Change::None);
    let untold = Change::PushTag { tag: "1".to_owned() };
    assert_eq!(told("artifact.updated", false, json!({"tags": "1"})).change, untold);
    let deleted = Change::DeleteTag { tag: "1".to_owned() };
    assert_eq!(told("artifact.deleted", false, one.clone()).change, deleted);
    let of_digest = Change::DeleteDigest { digest: digest.clone() };
    assert_eq!(told("artifact.deleted", false, json!({"digest": digest})).change, of_digest);
    assert_eq!(told("scan.completed", false, one).change, Change::None);
}

#[test]
fn every_problem_with_a_mapping_is_told_at_its_path() {
    let problems = mapping(&json!({
        "source": "Not A Name", "instance": 1, "each": "items", "when": [
            {"at": "/a"}, {"at": "/a", "is": [], "exists": true}, {"is": [[]]}, 1
        ],
        "kind": {"at": 1, "table": {"a": "Not A Kind"}, "else": 1},
        "kind_is_final": "yes", "id": "{", "time": {"at": "/t", "as": "hours"},
        "artifact": {"name": "", "tags": "latest", "colour": "red"}, "from": [],
        "actor": {"kind": 1, "colour": 1}, "attributes": {"a": 1}, "data": "x", "colour": 1
    }));
    let told = problems.unwrap_err();
    let expected = [
        "source: expected a name in lower case, such as nightly-build, found \"Not A Name\"",
        "instance: expected a text, with pointers in braces (a string), found 1",
        "each: expected a JSON pointer such as /a/b, or #/a/b from the root, found \"items\"",
        "when[0]: expected one of is, is_not and exists",
        "when[1].is: expected at least one value, found none",
        "when[1]: expected one of is, is_not and exists",
        "when[2].at: expected a JSON pointer (a string), found nothing",
        "when[2].is[0]: expected a string, a number, true or false, found an array",
        "when[3]: expected an object, found 1",
        "kind.at: expected a JSON pointer (a string), found 1",
        "kind.else: is not a member of this object",
        "kind.table.a: expected a kind: lower-case words (a-z, 0-9, _, -) joined by dots, such as \
         artifact.ingested, of at most 128 bytes; found \"Not A Kind\"",
        "kind_is_final: expected true or false, found \"yes\"",
        "id: expected a closing brace, found none in \"{\"",
        "time.as: expected rfc3339, seconds or milliseconds, found \"hours\"",
        "artifact.name: expected a text, found an empty one",
        "artifact.tags: expected an array, found a string",
        "artifact.colour: is not a member of this object",
        "from: expected an object, found an array",
        "actor.kind: expected a string, found 1",
        "actor.colour: is not a member of this object",
        "attributes.a: expected a text, with pointers in braces (a string), found 1",
        "data: expected a JSON pointer such as /a/b, or #/a/b from the root, found \"x\"",
        "colour: is not a member of this object",
    ];
    assert_eq!(
        told.split("; ").collect::<Vec<_>>().join("\n"),
        expected.join("; ").split("; ").collect::<Vec<_>>().join("\n")
    );
    let missing = mapping(&json!({})).unwrap_err();
    assert!(missing.contains("source: expected a string, found nothing"), "{missing}");
    assert!(missing.contains("kind: expected a kind of event"), "{missing}");
    assert!(missing.contains("artifact: expected an object, found nothing"), "{missing}");
}

#[test]
fn a_mapping_is_read_by_serde_too() {
    let read: Mapping = serde_json::from_value(minimal()).unwrap();
    assert_eq!(read, mapping(&minimal()).unwrap());
    let error = serde_json::from_value::<Mapping>(json!({"source": 1})).unwrap_err().to_string();
    assert!(error.starts_with("source: expected a string, found 1; kind: "), "{error}");
}

#[test]
fn the_ready_mappings_are_mappings() {
    for (ready, source) in [
        (ready::GITHUB_ACTIONS, "github-actions"),
        (ready::GITLAB_CI, "gitlab-ci"),
        (ready::JENKINS, "jenkins"),
        (ready::CURL, "curl"),
    ] {
        let read = Mapping::from_json(ready.as_bytes()).unwrap();
        assert_eq!(read.source(), source);
        assert!(!read.is_anonymous());
    }
}
