//! The distribution receiver, told what a real registry said.
//!
//! `tests/data/distribution/` holds what registry 2.8.2 posted while images, an index, a chart and
//! a signature were pushed, mounted, pulled, tagged and deleted. `expected.json` has the notice of
//! each; `UPDATE_EXPECTED=1` writes it anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::Event;
use artifact_triggers::incoming::distribution::DistributionReceiver;
use artifact_triggers::incoming::known::{Decision, SkipReason, decide, keys};
use artifact_triggers::incoming::{Incoming, MAX_BODY_BYTES, Notice, ReceiveError, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::secret::Secret;
use artifact_triggers::signature::Verifier;
use artifact_triggers::storage::CursorMove;
use serde_json::{Value, json};

const V1: &str = "application/vnd.docker.distribution.events.v1+json";
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const OTHER: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

fn data(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/distribution")).join(path)
}

fn capture(path: &str) -> Vec<u8> {
    fs::read(data(path)).unwrap()
}

fn now() -> Timestamp {
    "2026-11-23T15:00:00Z".parse().unwrap()
}

fn receiver() -> DistributionReceiver {
    DistributionReceiver::new("acme/platform".parse().unwrap(), Verifier::accept_unverified())
}

fn open_as(
    receiver: &DistributionReceiver,
    content_type: &str,
    body: &[u8],
) -> Result<Vec<Notice>, ReceiveError> {
    let headers = [("Content-Type", content_type)].into_iter().collect();
    receiver.open(Incoming { headers: &headers, body }, now())
}

fn open(body: &[u8]) -> Result<Vec<Notice>, ReceiveError> {
    open_as(&receiver(), V1, body)
}

/// The only notice of an envelope.
fn one(body: &[u8]) -> Notice {
    let [notice] = <[Notice; 1]>::try_from(open(body).unwrap()).unwrap();
    notice
}

/// An event with the least that is needed, and what is given in the place of its members.
fn told(action: &str, target: Value, others: Value) -> Value {
    let mut event = json!({
        "id": "e1",
        "timestamp": "2026-11-23T14:42:23.514977024Z",
        "action": action,
        "target": {"repository": "library/hello"},
    });
    let Value::Object(target) = target else { panic!("a target is an object") };
    let Value::Object(others) = others else { panic!("members are an object") };
    event["target"].as_object_mut().unwrap().extend(target);
    event.as_object_mut().unwrap().extend(others);
    event
}

fn envelope(events: &[Value]) -> Vec<u8> {
    json!({ "events": events }).to_string().into_bytes()
}

fn event_of(action: &str, target: Value, others: Value) -> Event {
    one(&envelope(&[told(action, target, others)])).event
}

/// The event's JSON without package URLs, which depend on a feature.
fn as_json(event: &Event) -> Value {
    let mut json = serde_json::to_value(event).unwrap();
    for part in ["artifact", "from"] {
        if let Some(part) = json.get_mut(part) {
            part.as_object_mut().unwrap().remove("purl");
        }
    }
    json
}

#[test]
fn every_field_of_every_capture_is_mapped_as_expected() {
    let found: BTreeMap<String, Value> = (1..=45)
        .map(|n| {
            let notice = one(&capture(&format!("all/{n:03}.body")));
            let change = format!("{:?}", notice.change);
            (format!("{n:03}"), json!({"change": change, "event": as_json(&notice.event)}))
        })
        .collect();
    let path = data("expected.json");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
    }
    let expected: BTreeMap<String, Value> =
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for (n, notice) in &found {
        assert_eq!(Some(notice), expected.get(n), "capture {n}");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn every_event_reads_back_from_its_json() {
    for n in 1..=45 {
        let event = one(&capture(&format!("all/{n:03}.body"))).event;
        assert_eq!(Event::from_json(&event.to_json()).unwrap(), event, "capture {n}");
    }
}

/// What is known, as a storage keeps it.
#[derive(Debug, Default)]
struct Known(BTreeMap<String, String>);

impl Known {
    fn tell(&mut self, notice: Notice) -> Result<Event, SkipReason> {
        let values: Vec<_> = keys(&notice).iter().map(|key| self.0.get(key).cloned()).collect();
        match decide(notice, &values) {
            Decision::Publish { event, cursors } => {
                for cursor in cursors {
                    self.move_cursor(cursor);
                }
                Ok(*event)
            }
            Decision::Skip { reason } => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    fn move_cursor(&mut self, cursor: CursorMove) {
        match cursor {
            CursorMove::Set { key, expected, value } => {
                assert_eq!(self.0.get(&key), expected.as_ref(), "{key}");
                match value {
                    Some(value) => drop(self.0.insert(key, value)),
                    None => drop(self.0.remove(&key)),
                }
            }
            CursorMove::RemoveBelow { prefix } => self.0.retain(|key, _| !key.starts_with(&prefix)),
            other => panic!("{other:?}"),
        }
    }
}

/// Capture, what is told, repository, tag, role.
const SEQUENCE: &str = "
001 blob.ingested library/hello - blob
002 blob.ingested library/hello - blob
003 artifact.ingested library/hello v1.0.0 manifest
004 blob.downloaded library/hello - blob
005 blob.mounted team/app - blob
006 blob.ingested team/app - blob
007 artifact.ingested team/app - child
008 blob.ingested team/app - blob
009 blob.ingested team/app - blob
010 artifact.ingested team/app - child
011 artifact.ingested team/app multi index
012 artifact.downloaded library/hello v1.0.0 manifest
013 blob.downloaded library/hello - blob
014 blob.downloaded library/hello - blob
015 artifact.downloaded library/hello v1.0.0 manifest
016 blob.downloaded library/hello - blob
017 blob.downloaded library/hello - blob
018 blob.downloaded library/hello - blob
019 artifact.ingested library/hello latest manifest
020 blob.mounted other/repo - blob
021 artifact.downloaded library/hello v1.0.0 manifest
022 artifact.deleted library/hello - -
023 tag.deleted library/hello latest -
024 tag.deleted library/hello v1.0.0 -
025 blob.deleted library/hello - blob
026 blob.ingested charts/mychart - blob
027 blob.ingested charts/mychart - blob
028 blob.ingested charts/mychart - blob
029 blob.ingested charts/mychart - blob
030 blob.ingested charts/mychart - blob
031 artifact.ingested charts/mychart 1.2.3 manifest
032 artifact.signed charts/mychart sha256-bd767b20092a4381ae6a99820ee1ccf32435334cc08f4d3c5af973ee09a29c07.sig referrer
033 artifact.ingested charts/mychart - child
034 unchanged
035 artifact.downloaded charts/mychart 1.2.3 manifest
036 artifact.downloaded charts/mychart 1.2.3 manifest
037 artifact.deleted charts/mychart - -
038 tag.deleted charts/mychart 1.2.3 -
039 blob.downloaded library/hello - blob
040 blob.mounted retry/hello - blob
041 blob.ingested retry/hello - blob
042 artifact.ingested retry/hello one manifest
043 blob.downloaded retry/hello - blob
044 blob.downloaded retry/hello - blob
045 artifact.ingested retry/hello two manifest
";

fn summary(event: &Event) -> String {
    let artifact = event.artifact.as_ref().unwrap();
    let json = serde_json::to_value(artifact).unwrap();
    let role = json["oci"]["role"].as_str().unwrap_or("-").to_owned();
    let tag = artifact.tags.first().map_or("-", String::as_str);
    format!("{} {} {tag} {role}", event.kind, artifact.repository.as_deref().unwrap())
}

#[test]
fn the_whole_sequence_gives_the_right_kinds_in_order() {
    let mut known = Known::default();
    let found: Vec<String> = (1..=45)
        .map(|n| match known.tell(one(&capture(&format!("all/{n:03}.body")))) {
            Ok(event) => format!("{n:03} {}", summary(&event)),
            Err(reason) => {
                assert_eq!(reason, SkipReason::Unchanged);
                format!("{n:03} unchanged")
            }
        })
        .collect();
    assert_eq!(found, SEQUENCE.trim().lines().collect::<Vec<_>>());
}

#[test]
fn a_tag_that_moves_is_an_update_with_the_old_digest() {
    let mut known = Known::default();
    let push = |digest: &str, id: &str| {
        let target = json!({"tag": "v1", "digest": digest, "mediaType": "application/vnd.oci.image.manifest.v1+json"});
        one(&envelope(&[told("push", target, json!({"id": id}))]))
    };
    assert_eq!(known.tell(push(DIGEST, "1")).unwrap().kind.as_str(), "artifact.ingested");
    let updated = known.tell(push(OTHER, "2")).unwrap();
    assert_eq!(updated.kind.as_str(), "artifact.updated");
    assert_eq!(updated.artifact.unwrap().digest.as_deref(), Some(OTHER));
    let from = updated.from.unwrap();
    assert_eq!(from.digest.as_deref(), Some(DIGEST));
    assert_eq!(from.repository.as_deref(), Some("library/hello"));
    assert_eq!(from.tags, ["v1"]);
}

#[test]
fn what_was_deleted_and_pushed_again_is_ingested_again() {
    let mut known = Known::default();
    let again = || one(&capture("all/003.body"));
    assert_eq!(known.tell(again()).unwrap().kind.as_str(), "artifact.ingested");
    assert_eq!(known.tell(again()), Err(SkipReason::Unchanged));
    assert_eq!(
        known.tell(one(&capture("all/022.body"))).unwrap().kind.as_str(),
        "artifact.deleted"
    );
    assert_eq!(known.tell(again()).unwrap().kind.as_str(), "artifact.ingested");
}

#[test]
fn a_resent_envelope_gives_the_same_event_ids() {
    let later: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
    let headers: Headers = [("content-type", V1)].into_iter().collect();
    let ids: Vec<_> = (1..=5)
        .map(|n| {
            let body = capture(&format!("retry-503/{n:03}.body"));
            let incoming = Incoming { headers: &headers, body: &body };
            let at = if n == 1 { now() } else { later };
            receiver().open(incoming, at).unwrap()[0].event.id
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(ids[0], one(&capture("all/042.body")).event.id, "and it is the one in all/");
}

#[test]
fn an_event_without_an_id_gets_one_from_what_identifies_it() {
    let id = |action: &str, target: Value, others: Value| event_of(action, target, others).id;
    let base = || id("delete", json!({"tag": "v1"}), json!({"id": ""}));
    assert_eq!(base(), base());
    assert_eq!(base(), id("delete", json!({"tag": "v1"}), json!({"id": null})));
    let others = [
        id("delete", json!({"tag": "v2"}), json!({"id": ""})),
        id("delete", json!({"tag": "v1", "digest": DIGEST}), json!({"id": ""})),
        id("delete", json!({"tag": "v1", "repository": "a"}), json!({"id": ""})),
        id("pull", json!({"tag": "v1"}), json!({"id": ""})),
        id("delete", json!({"tag": "v1"}), json!({"id": "", "request": {"id": "r"}})),
        id("delete", json!({"tag": "v1"}), json!({"id": "", "source": {"instanceID": "i"}})),
        // One nanosecond later.
        id(
            "delete",
            json!({"tag": "v1"}),
            json!({"id": "", "timestamp": "2026-11-23T14:42:23.514977025Z"}),
        ),
    ];
    for (n, other) in others.iter().enumerate() {
        assert_ne!(*other, base(), "{n}");
        assert!(!others[..n].contains(other), "{n}");
    }
}

#[test]
fn the_same_event_told_to_two_scopes_is_an_event_of_each() {
    let other = DistributionReceiver::new("acme".parse().unwrap(), Verifier::accept_unverified());
    let body = capture("all/003.body");
    assert_ne!(open_as(&other, V1, &body).unwrap()[0].event.id, one(&body).event.id);
}

/// The request of `filtered/001.json`, with another `Authorization`.
fn captured_headers(authorization: &[&str]) -> Headers {
    let request: Value = serde_json::from_slice(&capture("filtered/001.json")).unwrap();
    let fields = request["headers"].as_array().unwrap().iter();
    let fields = fields.map(|field| (field[0].as_str().unwrap(), field[1].as_str().unwrap()));
    let others = fields.filter(|(name, _)| *name != "Authorization");
    others.chain(authorization.iter().map(|value| ("Authorization", *value))).collect()
}

#[test]
fn only_the_agreed_authorization_is_let_in() {
    let verifier = Verifier::header_token("authorization", Secret::new("Bearer testbed-token"));
    let receiver = DistributionReceiver::new("acme".parse().unwrap(), verifier);
    let body = capture("filtered/001.body");
    let status = |authorization: &[&str]| {
        let headers = captured_headers(authorization);
        let answer = receiver.open(Incoming { headers: &headers, body: &body }, now());
        answer.map(|notices| notices.len()).map_err(|error| {
            assert!(!error.to_string().contains("testbed-token"), "{error}");
            error.status()
        })
    };
    assert_eq!(status(&["Bearer testbed-token"]), Ok(1));
    assert_eq!(status(&[]), Err(401));
    assert_eq!(status(&[""]), Err(401));
    assert_eq!(status(&["Bearer wrong"]), Err(401));
    assert_eq!(status(&["Bearer testbed-token", "Bearer testbed-token"]), Err(401));
    assert!(!format!("{receiver:?}").contains("testbed-token"));
}

#[test]
fn only_the_registrys_media_types_are_understood() {
    let body = capture("all/003.body");
    for ours in [
        V1,
        "application/vnd.docker.distribution.events.v2+json",
        "Application/VND.docker.distribution.events.V1+JSON ; charset=utf-8",
    ] {
        assert!(open_as(&receiver(), ours, &body).is_ok(), "{ours}");
    }
    let prefix = &V1[..V1.len() - 1];
    for other in ["", ";", "application/json", prefix, "x/y; application/json"] {
        let error = open_as(&receiver(), other, &body).unwrap_err();
        assert_eq!(error.status(), 415);
        let message = error.to_string();
        assert!(message.contains(V1) && message.contains(&format!("{other:?}")), "{message}");
    }
    for doubled in [vec![], vec![("content-type", V1), ("Content-Type", V1)]] {
        let headers: Headers = doubled.into_iter().collect();
        let incoming = Incoming { headers: &headers, body: &body };
        assert_eq!(receiver().open(incoming, now()).unwrap_err().status(), 415);
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_looked_at() {
    let mut body = capture("all/003.body");
    body.resize(MAX_BODY_BYTES, b' ');
    assert!(open(&body).is_ok());
    body.push(b' ');
    let error = open(&body).unwrap_err();
    assert_eq!(error.status(), 413);
    assert_eq!(error.to_string(), "body: expected at most 4194304 bytes, found 4194305");
    assert!(open_as(&receiver().with_max_body_bytes(body.len()), V1, &body).is_ok());
    let secret = Verifier::header_token("authorization", Secret::new("x"));
    let unverified = DistributionReceiver::new("acme".parse().unwrap(), secret);
    assert_eq!(open_as(&unverified, V1, &body).unwrap_err().status(), 413);
}

#[test]
fn version_3_writes_empty_texts_for_what_is_absent() {
    let target = json!({"mediaType": "", "digest": "", "size": 0, "tag": "v1", "url": ""});
    let others =
        json!({"actor": {"name": ""}, "source": {"addr": "", "instanceID": ""}, "request": {}});
    let notice = one(&envelope(&[told("delete", target, others)]));
    assert_eq!(format!("{:?}", notice.change), r#"DeleteTag { tag: "v1" }"#);
    let expected = json!({
        "package_type": "oci", "repository": "library/hello", "name": "hello", "tags": ["v1"],
    });
    let json = as_json(&notice.event);
    assert_eq!(json["artifact"], expected);
    assert_eq!(json["actor"], json!({"kind": "anonymous"}));
    assert_eq!(json["source"], json!({"name": "distribution", "id": "e1"}));
}
