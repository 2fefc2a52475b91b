use serde_json::{Value, json};

use super::*;
use crate::event::{ActorKind, Event, MAX_COUNT, MAX_EVENT_BYTES, OciRole};
use crate::incoming::{Incoming, ReceiveError};

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn receiver() -> DistributionReceiver {
    DistributionReceiver::new("acme".parse().unwrap(), Verifier::accept_unverified())
}

/// An event with the least that is needed, and members in the place of its own.
fn told(action: &str, target: &Value, others: &Value) -> Value {
    let mut event = json!({
        "id": "e1",
        "timestamp": "2026-11-23T14:42:23.514977024Z",
        "action": action,
        "target": {"repository": "library/hello"},
    });
    for (at, members) in [("/target", target), ("", others)] {
        let place = event.pointer_mut(at).and_then(Value::as_object_mut).unwrap();
        place.extend(members.as_object().unwrap().clone());
    }
    event
}

fn open(receiver: &DistributionReceiver, events: &Value) -> Result<Vec<Notice>, ReceiveError> {
    let body = json!({ "events": events }).to_string();
    let headers = [("content-type", MEDIA_TYPES[1])].into_iter().collect();
    let incoming = Incoming { headers: &headers, body: body.as_bytes() };
    receiver.open(incoming, Timestamp::UNIX_EPOCH)
}

fn notice(action: &str, target: &Value, others: &Value) -> Notice {
    open(&receiver(), &json!([told(action, target, others)])).unwrap().remove(0)
}

fn event(action: &str, target: &Value, others: &Value) -> Event {
    notice(action, target, others).event
}

fn kind(action: &str, target: &Value) -> String {
    event(action, target, &json!({})).kind.to_string()
}

fn error(events: &Value) -> String {
    let error = open(&receiver(), events).unwrap_err();
    assert_eq!(error.status(), 400);
    error.to_string()
}

#[test]
fn a_deletion_is_of_what_the_target_names() {
    let change = |target: &Value| notice("delete", target, &json!({})).change;
    assert_eq!(kind("delete", &json!({"digest": DIGEST})), "artifact.deleted");
    let digest = DIGEST.to_owned();
    assert_eq!(change(&json!({"digest": DIGEST})), Change::DeleteDigest { digest });
    assert_eq!(kind("delete", &json!({"tag": "v1"})), "tag.deleted");
    assert_eq!(change(&json!({"tag": "v1"})), Change::DeleteTag { tag: "v1".to_owned() });
    assert_eq!(kind("delete", &json!({})), "repository.deleted");
    assert_eq!(change(&json!({})), Change::DeleteRepository);
    let blob = json!({"digest": DIGEST, "mediaType": "application/octet-stream"});
    assert_eq!(kind("delete", &blob), "blob.deleted");
}

#[test]
fn manifests_are_told_from_blobs_by_media_type_tag_and_url() {
    let pushed = |media_type: &str, tag: &str, url: &str| {
        let target = json!({"digest": DIGEST, "mediaType": media_type, "tag": tag, "url": url});
        kind("push", &target)
    };
    for media_type in [
        MANIFEST,
        INDEX,
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.oci.artifact.manifest.v1+json",
    ] {
        assert_eq!(pushed(media_type, "", ""), "artifact.ingested", "{media_type}");
    }
    assert_eq!(pushed("application/octet-stream", "", ""), "blob.ingested");
    assert_eq!(pushed("x/unknown", "", ""), "blob.ingested");
    assert_eq!(pushed("x/unknown", "v1", ""), "artifact.ingested");
    assert_eq!(pushed("x/unknown", "", "http://r/v2/a/manifests/sha256:1"), "artifact.ingested");
    assert_eq!(pushed("", "", "http://r/v2/a/blobs/sha256:1"), "blob.ingested");
    assert_eq!(pushed("", "", ""), "artifact.ingested");
    assert_eq!(kind("pull", &json!({"mediaType": "application/octet-stream"})), "blob.downloaded");
    assert_eq!(kind("pull", &json!({"mediaType": INDEX})), "artifact.downloaded");
}

#[test]
fn the_role_of_what_is_pulled_by_digest_is_not_known() {
    let role = |action: &str, target: Value| {
        event(action, &target, &json!({})).artifact.unwrap().oci.and_then(|oci| oci.role)
    };
    let manifest = || json!({"digest": DIGEST, "mediaType": MANIFEST});
    assert_eq!(role("push", manifest()), Some(OciRole::Child));
    assert_eq!(role("pull", manifest()), None);
    assert_eq!(role("delete", json!({"digest": DIGEST})), None);
    assert_eq!(role("delete", json!({"tag": "v1"})), None);
    assert_eq!(role("pull", json!({"mediaType": INDEX})), Some(OciRole::Index));
    assert_eq!(role("mount", json!({"digest": DIGEST})), Some(OciRole::Blob));
}

#[test]
fn a_tag_that_names_a_subject_makes_a_referrer() {
    let hex = "ab".repeat(32);
    for (suffix, expected) in [
        (".sig", "artifact.signed"),
        (".att", "artifact.attested"),
        (".sbom", "sbom.attached"),
        ("", "artifact.ingested"),
    ] {
        let target = json!({"digest": DIGEST, "mediaType": MANIFEST, "tag": format!("sha256-{hex}{suffix}")});
        let event = event("push", &target, &json!({}));
        assert_eq!(event.kind.as_str(), expected);
        let oci = event.artifact.unwrap().oci.unwrap();
        assert_eq!(oci.role, Some(OciRole::Referrer));
        assert_eq!(oci.subject_digest, Some(format!("sha256:{hex}")));
    }
    for tag in [
        "sha256-ab.sig".to_owned(),
        format!("sha256-{hex}.sigs"),
        format!("sha256-{}.sig", hex.to_uppercase()),
        format!("sha512-{hex}.sig"),
        format!("x-sha256-{hex}.sig"),
        format!("sha256-{}é.sig", &hex[1..]),
    ] {
        let target = json!({"digest": DIGEST, "mediaType": MANIFEST, "tag": tag});
        let event = event("push", &target, &json!({}));
        assert_eq!(event.kind.as_str(), "artifact.ingested", "{tag}");
        assert_eq!(event.artifact.unwrap().oci.unwrap().role, Some(OciRole::Manifest), "{tag}");
    }
}

#[test]
fn the_configuration_tells_the_type_unless_it_is_a_plain_one() {
    let artifact = |manifest: &str, config: &str| {
        let references = json!([{"mediaType": config, "digest": DIGEST}]);
        let target = json!({"digest": DIGEST, "mediaType": manifest, "references": references});
        event("push", &target, &json!({})).artifact.unwrap()
    };
    let told = |manifest: &str, config: &str| artifact(manifest, config).oci.unwrap().artifact_type;
    let wasm = "application/vnd.wasm.config.v0+json";
    assert_eq!(told(MANIFEST, wasm).as_deref(), Some(wasm));
    assert_eq!(told(INDEX, wasm), None, "the first reference of an index is a child");
    for plain in ["application/vnd.oci.image.config.v1+json", "application/vnd.oci.empty.v1+json"] {
        assert_eq!(told(MANIFEST, plain), None);
    }
    for no_type in ["", "config", "a/b\n", "a/b/c", &format!("a/{}", "b".repeat(128))] {
        assert_eq!(told(MANIFEST, no_type), None, "{no_type:?}");
    }
    let chart = artifact(MANIFEST, crate::incoming::media::HELM_CONFIG);
    assert_eq!(chart.package_type.as_deref(), Some("helm"));
    let plain = artifact(MANIFEST, wasm);
    assert_eq!(plain.package_type.as_deref(), Some("oci"));
}

#[test]
fn version_3_tells_type_platform_and_annotations_itself() {
    let target = json!({
        "digest": DIGEST,
        "mediaType": MANIFEST,
        "artifactType": "application/spdx+json",
        "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
        "annotations": {"org.opencontainers.image.version": "1.0", "empty": ""},
    });
    let oci = event("push", &target, &json!({})).artifact.unwrap().oci.unwrap();
    assert_eq!(oci.artifact_type.as_deref(), Some("application/spdx+json"));
    assert_eq!(oci.platform.unwrap().variant.as_deref(), Some("v8"));
    assert_eq!(oci.annotations.len(), 2);
}

#[test]
fn the_registry_is_as_asked_for_or_linked_or_addressed_or_overridden() {
    let registry = |receiver: &DistributionReceiver, host: &str, url: &str| {
        let others = json!({"request": {"host": host}, "source": {"addr": "node:5000"}});
        let event = told("delete", &json!({"tag": "v1", "url": url}), &others);
        let event = open(receiver, &json!([event])).unwrap().remove(0).event;
        (event.artifact.unwrap().registry.unwrap(), event.data.unwrap())
    };
    let (plain, named) = (receiver(), receiver().with_registry("Ours"));
    assert_eq!(registry(&plain, "R.Example:5000", "https://u/v2/").0, "r.example:5000");
    assert_eq!(registry(&plain, "", "https://u.example:5443/v2/").0, "u.example:5443");
    assert_eq!(registry(&plain, "", "https://[2001:db8::1]/v2/").0, "[2001:db8::1]");
    for no_host in ["", "/v2/", "not a url", "data:x"] {
        assert_eq!(registry(&plain, "", no_host).0, "node:5000", "{no_host:?}");
    }
    // Who pulls chooses what it asks for; that must not refuse the whole envelope.
    let endless = "a".repeat(5_000);
    assert_eq!(registry(&plain, &endless, "https://u.example/v2/").0, "u.example");
    let (name, data) = registry(&named, "r.example", "https://u/v2/");
    assert_eq!(name, "Ours");
    assert_eq!(data["request"]["host"], "r.example", "what was told is kept");
}

#[test]
fn the_actor_is_who_logged_in_and_where_the_request_came_from() {
    let actor = |name: &str, addr: &str| {
        let others = json!({"actor": {"name": name}, "request": {"addr": addr}});
        event("pull", &json!({}), &others).actor.unwrap()
    };
    let known = actor("ada", "192.0.2.1:5000");
    assert_eq!((known.kind, known.name.as_deref()), (Some(ActorKind::User), Some("ada")));
    let nobody = actor("", "");
    assert_eq!(
        (nobody.kind, nobody.name, nobody.address),
        (Some(ActorKind::Anonymous), None, None)
    );
    for (addr, expected) in [
        ("192.0.2.1:5000", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]:5000", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[fe80::1%eth0]:5000", "fe80::1%eth0"),
        ("2001:db8::1", "2001:db8::1"),
        ("proxy.example:80", "proxy.example"),
        ("@", "@"),
        (":80", ":80"),
        ("[", "["),
        ("[]", "[]"),
    ] {
        assert_eq!(actor("", addr).address.as_deref(), Some(expected));
    }
}

#[test]
fn nothing_that_was_told_is_lost() {
    let target = json!({"length": 5, "fromRepository": "x", "new": 1});
    let others = json!({
        "request": {"method": "HEAD", "useragent": "curl", "new": 2},
        "actor": {"name": "ada", "new": 3},
        "source": {"addr": "node:5000", "new": 4},
        "new": {"a": [5]},
    });
    let expected = json!({
        "timestamp": "2026-11-23T14:42:23.514977024Z",
        "target": {"length": 5, "fromRepository": "x", "new": 1},
        "request": {"method": "HEAD", "useragent": "curl", "new": 2},
        "actor": {"new": 3},
        "source": {"new": 4},
        "new": {"a": [5]},
    });
    assert_eq!(event("pull", &target, &others).data, Some(expected));
}

#[test]
fn another_action_is_a_kind_of_its_own() {
    let restored = notice("restore", &json!({"tag": "v1"}), &json!({}));
    assert_eq!(restored.event.kind.as_str(), "distribution.restore");
    assert_eq!(restored.change, Change::None);
    let error = error(&json!([told("Push!", &json!({}), &json!({}))]));
    assert!(error.starts_with("events[0].action: expected push,"), "{error}");
    assert!(error.contains("\"Push!\""), "{error}");
}

#[test]
fn every_problem_of_an_envelope_is_told_at_its_path_and_nothing_else() {
    let fine = told("pull", &json!({}), &json!({}));
    let events = json!([
        fine,
        told("push", &json!({"digest": "sha256:short", "size": -1}), &json!({"timestamp": "now"})),
        7,
        told("push", &json!({"tag": "v1"}), &json!({})),
        told("pull", &json!({"repository": "", "references": [{"digest": 1}, 2]}), &json!({})),
        told("pull", &json!({}), &json!({"request": {"host": "a\u{7}b"}})),
        told("pull", &json!({"tag": DIGEST}), &json!({"target": 3})),
        told("mount", &json!({}), &json!({})),
        {},
    ]);
    let found = error(&events);
    let found: Vec<&str> = found.split("; ").collect();
    let expected = [
        "events[1].timestamp: expected a time as RFC 3339 has it, such as 2026-11-23T14:42:23Z, found \"now\"",
        "events[1].target.size: expected a whole number of 0 or more, found -1",
        "events[1].target.digest: expected a digest such as sha256:e3b0c442…, found \"sha256:short\"",
        "events[2]: expected an object, found 7",
        "events[3].target.digest: expected a digest, since the action is push, found nothing",
        "events[4].target.repository: expected a string, found an empty one",
        "events[4].target.references[0].digest: expected a string, found 1",
        "events[4].target.references[1]: expected an object, found 2",
        "events[5].artifact.registry: expected no control characters, found \"a\\u{7}b\"",
        "events[6].target: expected an object, found 3",
        "events[7].target.digest: expected a digest, since the action is mount, found nothing",
        "events[8].timestamp: expected a string, found nothing",
        "events[8].action: expected a string, found nothing",
        "events[8].target: expected a target (an object), found nothing",
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_envelope_holds_any_number_of_events_up_to_the_limit() {
    let events = |n: usize| {
        let event = |n: usize| told("pull", &json!({}), &json!({"id": n.to_string()}));
        Value::Array((0..n).map(event).collect())
    };
    assert_eq!(open(&receiver(), &events(0)), Ok(Vec::new()));
    let all = open(&receiver(), &events(MAX_EVENTS)).unwrap();
    let ids: Vec<_> = all.iter().map(|notice| notice.event.source.id.clone().unwrap()).collect();
    assert_eq!(ids, (0..MAX_EVENTS).map(|n| n.to_string()).collect::<Vec<_>>(), "in their order");
    let message = error(&events(MAX_EVENTS + 1));
    assert_eq!(message, "events: expected at most 1000, found 1001");
}

#[test]
fn after_many_problems_the_rest_is_not_looked_at() {
    let message = error(&json!(vec![0; MAX_EVENTS]));
    assert_eq!(message.split("; ").count(), MAX_PROBLEMS + 1);
    assert!(message.ends_with("events[100]: was not looked at, nor what follows it"), "{message}");
    let wrong = json!(vec![0; 100_000]);
    let message = error(&json!([told("pull", &json!({"references": wrong}), &json!({})), 0]));
    assert_eq!(message.split("; ").count(), Problems::MAX);
    let wrong: serde_json::Map<_, _> = (0..5_000).map(|n| (n.to_string(), json!(0))).collect();
    let message = error(&json!([told("pull", &json!({"annotations": wrong}), &json!({}))]));
    assert_eq!(message, "events[0].target.annotations: expected at most 1024, found 5000");
}

#[test]
fn whoever_pushes_cannot_make_an_event_that_is_refused_for_its_size() {
    let children = vec![json!({"mediaType": "<".repeat(50), "digest": DIGEST}); 20_000];
    let target = json!({"digest": DIGEST, "mediaType": INDEX, "tag": "v1", "references": children});
    let index = event("push", &target, &json!({}));
    assert_eq!(
        index.artifact.as_ref().unwrap().oci.as_ref().unwrap().child_digests.len(),
        MAX_COUNT
    );
    let left_out = index.data.as_ref().unwrap()["left_out"].as_str().unwrap();
    assert!(left_out.ends_with("bytes make the event too large"), "{left_out}");
    assert!(index.to_json().len() <= MAX_EVENT_BYTES);
    let annotations: serde_json::Map<_, _> =
        (0..500).map(|n| (n.to_string(), json!("x".repeat(4_000)))).collect();
    let message = error(&json!([told("pull", &json!({"annotations": annotations}), &json!({}))]));
    assert!(message.starts_with("events[0]: expected at most 1048576 bytes"), "{message}");
}

#[test]
fn what_is_left_out_is_visible() {
    let blob = json!({"digest": DIGEST, "mediaType": "application/octet-stream"});
    let events = json!([
        told("push", &blob, &json!({})),
        told("mount", &blob, &json!({})),
        told("pull", &blob, &json!({})),
        told("pull", &json!({"tag": "v1"}), &json!({})),
        told("delete", &json!({"tag": "v1"}), &json!({})),
    ]);
    let left_out = |receiver: &DistributionReceiver| {
        let notices = open(receiver, &events).unwrap();
        notices.iter().map(|notice| notice.change == Change::LeftOut).collect::<Vec<_>>()
    };
    assert_eq!(left_out(&receiver()), [false; 5]);
    assert_eq!(left_out(&receiver().with_blobs(false)), [true, true, true, false, false]);
    assert_eq!(left_out(&receiver().with_downloads(false)), [false, false, true, true, false]);
}

#[cfg(feature = "purl")]
#[test]
fn artifacts_have_a_package_url_and_blobs_have_none() {
    let others = json!({"request": {"host": "r.example"}});
    let purl = |action: &str, target: &Value| event(action, target, &others).artifact.unwrap().purl;
    let manifest = json!({"digest": DIGEST, "mediaType": MANIFEST, "tag": "v1"});
    let expected =
        format!("pkg:oci/hello@{DIGEST}?repository_url=r.example%2Flibrary%2Fhello&tag=v1");
    assert_eq!(purl("push", &manifest), Some(expected));
    let blob = json!({"digest": DIGEST, "mediaType": "application/octet-stream"});
    assert_eq!(purl("push", &blob), None);
    let mounted = json!({"digest": DIGEST, "fromRepository": "a"});
    assert_eq!(purl("mount", &mounted), None);
    assert_eq!(event("mount", &mounted, &others).from.unwrap().purl, None);
}
