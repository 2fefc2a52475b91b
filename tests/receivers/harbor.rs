//! Bodies that Harbor 2.9.0 itself formatted. They stay outside of this repository; where they are
//! not at hand, the test says so.

use std::fs;
use std::path::PathBuf;

use artifact_triggers::event::Event;
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::incoming::{Change, Incoming, Notice, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::secret::Secret;
use serde_json::{Value, json};

use crate::sample::{self, as_json};

const DIGEST: &str = "sha256:a0e576ed4b83211856892d7c8b237b3e611497dfd445e880f7f2e91a30e0b7fa";

fn captures() -> Option<PathBuf> {
    let path =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/captures/harbor-2.9.0"));
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: there are no captures in {}", path.display());
    None
}

/// The only notice of a capture, verified by the secret that its sender was given.
fn open(captures: &std::path::Path, n: usize) -> Notice {
    let read = |extension| fs::read(captures.join(format!("{n:03}.{extension}"))).unwrap();
    let request: Value = serde_json::from_slice(&read("json")).unwrap();
    let fields: Vec<(String, String)> = serde_json::from_value(request["headers"].clone()).unwrap();
    let headers: Headers = fields.into_iter().collect();
    let verifier = Provider::Harbor.verifier(&Secret::new("Bearer testbed-secret")).unwrap();
    let receiver = ProviderReceiver::new(Provider::Harbor, "acme".parse().unwrap(), verifier);
    let incoming = Incoming { headers: &headers, body: &read("body") };
    let [notice] =
        <[Notice; 1]>::try_from(receiver.open(incoming, sample::now()).unwrap()).unwrap();
    notice
}

/// What an event has but for what the id and the time of receipt follow from.
fn told(event: &Event) -> Value {
    let mut json = as_json(event);
    for member in ["id", "received_at", "scope", "spec_version", "source"] {
        json.as_object_mut().unwrap().remove(member);
    }
    json
}

/// The image that all of them are about, in both payloads.
fn image(tags: &[&str], role: Option<&str>) -> Value {
    let mut image = json!({
        "registry": "harbor.example", "repository": "library/hello", "package_type": "oci",
        "namespace": "library", "name": "hello", "digest": DIGEST,
    });
    if !tags.is_empty() {
        image["tags"] = json!(tags);
    }
    if let Some(role) = role {
        image["oci"] = json!({"role": role});
    }
    image
}

fn expected(kind: &str, artifact: &Value, resource_url: Option<&str>, more: &Value) -> Value {
    let mut data = more.clone();
    if let Some(url) = resource_url {
        data["resource_url"] = json!(format!("harbor.example/library/hello{url}"));
        data["repository"] =
            json!({"date_created": 1_767_322_045, "name": "hello", "repo_type": "private"});
    }
    json!({
        "kind": kind, "occurred_at": "2026-01-02T03:04:05Z", "artifact": artifact, "data": data,
        "actor": {"kind": "user", "name": "admin"},
    })
}

/// What each of the six is, in the order of the captures; the next six are the same as CloudEvents.
fn all() -> [(Change, Value); 6] {
    let push = Change::Push { tag: Some("v1.0.0".to_owned()), digest: DIGEST.to_owned() };
    let delete = Change::DeleteDigest { digest: DIGEST.to_owned() };
    let tagged = |role| image(&["v1.0.0"], role);
    let by_tag = Some(":v1.0.0");
    let by_digest = format!("@{DIGEST}");
    let overview = json!({"scan_overview": {
        "application/vnd.security.vulnerability.report; version=1.1": {
            "duration": 3, "report_id": "a1", "scan_status": "Success", "severity": "High",
            "summary": {"fixable": 1, "summary": {"High": 1, "Low": 1}, "total": 2},
        }
    }});
    let details = "adding 1.0 MiB of storage resource, which when updated to current usage of 10 MiB \
                   will exceed the configured upper limit of 10 MiB.";
    let replication = json!({"replication": {
        "harbor_hostname": "harbor.example", "job_status": "Success", "artifact_type": "image",
        "authentication_type": "basic", "override_mode": true, "trigger_type": "MANUAL",
        "policy_creator": "admin", "execution_timestamp": 1_767_323_045,
    }});
    let exceeded = json!({"custom_attributes": {"Details": details}});
    let host = json!({"registry": "harbor.example"});
    let replicated = "harbor.replication.status.changed";
    let none = json!({});
    let (pushed, known) = (tagged(Some("manifest")), tagged(None));
    [
        (push, expected("artifact.ingested", &pushed, by_tag, &none)),
        (Change::None, expected("artifact.downloaded", &image(&[], None), Some(&by_digest), &none)),
        (delete, expected("artifact.deleted", &known, by_tag, &none)),
        (Change::None, expected("scan.completed", &known, by_tag, &overview)),
        (Change::None, expected("quota.exceeded", &known, by_tag, &exceeded)),
        (Change::None, expected(replicated, &host, None, &replication)),
    ]
}

#[test]
fn what_harbor_itself_formatted_is_mapped_in_every_field() {
    let Some(captures) = captures() else { return };
    for (n, (change, event)) in (1..).zip(all()) {
        let default = open(&captures, n);
        assert_eq!((&default.change, &told(&default.event)), (&change, &event), "{n}");
        assert_eq!(default.event.source.name, "harbor");
        assert_eq!((default.event.source.id, default.event.source.instance), (None, None));
        // The same as a CloudEvent, with the id that it has then.
        let cloud_event = open(&captures, n + 6);
        assert_eq!((&cloud_event.change, &told(&cloud_event.event)), (&change, &event), "{n}");
        let source = cloud_event.event.source;
        assert_eq!(source.instance.as_deref(), Some("/projects/1/webhook/policies/3"));
        assert_eq!(source.id.map(|id| id.len()), Some(36), "a UUID");
    }
}
