//! The mapping receiver and its document, broken in every way.

use artifact_triggers::incoming::mapping::{Mapping, MappingReceiver, ready};
use artifact_triggers::incoming::{Incoming, Notice, ReceiveError, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::signature::Verifier;
use serde_json::{Value, json};

use crate::malformed::{check_notices, is_about, problems, variants};
use crate::sample;

/// A mapping that has every member, and a body that has all that it takes.
fn whole() -> (Value, Value) {
    let mapping = json!({
        "source": "nightly", "instance": "{#/host}", "each": "/built",
        "when": [
            {"at": "/ok", "is": [true, 1, "yes"]}, {"at": "/did", "is_not": ["rm"]},
            {"at": "/skip", "exists": false}
        ],
        "kind": {"at": "/did", "table": {"push": "artifact.ingested", "ping": null},
                 "otherwise": "webhook.received"},
        "kind_is_final": false, "id": "{#/run}-{/name}",
        "time": {"at": "#/at", "as": "milliseconds"},
        "artifact": {
            "registry": "r.example", "repository": "acme/{/name}", "package_type": "{/type|oci}",
            "namespace": "{/group}", "name": "{/name}", "version": "{/version}",
            "tags": ["{/tags}", "x-{/name}"], "digest": "sha256:{/sha256}", "url": "{/url}",
            "media_type": "{/media}", "size": "{/size}"
        },
        "from": {"repository": "staging/{/name}"},
        "actor": {"kind": "robot", "name": "{#/user}", "id": "{#/uid}"},
        "request_id": "{#/run}", "trace_parent": "{#/trace}",
        "attributes": {"commit": "{#/commit}"}, "data": "/notes"
    });
    let body = json!({
        "host": "ci-1", "run": 17, "at": 1_764_000_000_250.0, "user": "bot", "uid": 7,
        "trace": "00-1-2-01", "commit": "abc", "built": [{
            "ok": true, "did": "push", "type": "OCI", "group": "g", "name": "app",
            "version": "1.2", "tags": ["1", "latest"], "sha256": "a".repeat(64),
            "url": "https://r.example/app", "media": "a/b", "size": 12, "notes": {"a": [1]}
        }]
    });
    (mapping, body)
}

fn open(mapping: Mapping, body: &[u8]) -> Result<Vec<Notice>, ReceiveError> {
    let scope = "acme".parse().unwrap();
    let receiver = MappingReceiver::new(mapping, scope, Verifier::accept_unverified());
    receiver.open(Incoming { headers: &Headers::new(), body }, sample::now())
}

#[test]
fn a_body_of_the_wrong_shape_is_named_or_harmless() {
    let (mapping, body) = whole();
    let mapping = Mapping::from_json(mapping.to_string().as_bytes()).unwrap();
    assert_eq!(open(mapping.clone(), body.to_string().as_bytes()).map(|it| it.len()), Ok(1));
    let (mut refused, mut taken) = (0, 0);
    for (path, broken) in variants(&body) {
        match open(mapping.clone(), broken.to_string().as_bytes()) {
            Ok(notices) => {
                check_notices(&notices, &|| format!("{path} in {broken}"));
                taken += 1;
            }
            Err(error) => {
                assert_eq!(error.status(), 400, "{path}: {error}");
                let about = problems(&error).iter().any(|problem| is_about(problem, &path));
                assert!(about, "{path} in {broken}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100 && taken > 200, "{refused} refused, {taken} taken");
    let text = body.to_string();
    for length in 0..text.len() {
        assert_eq!(open(mapping.clone(), &text.as_bytes()[..length]).unwrap_err().status(), 400);
    }
}

#[test]
fn a_mapping_of_the_wrong_shape_is_named_or_works() {
    let (mapping, body) = whole();
    let body = body.to_string();
    let (mut refused, mut taken) = (0, 0);
    for (path, broken) in variants(&mapping) {
        match Mapping::from_json(broken.to_string().as_bytes()) {
            Ok(mapping) => {
                if let Ok(notices) = open(mapping, body.as_bytes()) {
                    check_notices(&notices, &|| format!("{path} in {broken}"));
                }
                taken += 1;
            }
            Err(problems) => {
                let is_here = |found: &str| is_about(found, &path) || path.starts_with(found);
                let about = problems.iter().any(|problem| is_here(problem.path()));
                assert!(about, "{path} in {broken}: {problems}");
                refused += 1;
            }
        }
    }
    assert!(refused > 300 && taken > 100, "{refused} refused, {taken} taken");
}

#[test]
fn a_mapping_that_is_cut_off_anywhere_is_none() {
    let (mapping, _) = whole();
    for text in [mapping.to_string(), ready::CURL.trim_end().to_owned()] {
        for length in 0..text.len() {
            assert!(Mapping::from_json(&text.as_bytes()[..length]).is_err(), "{length}");
        }
    }
}
