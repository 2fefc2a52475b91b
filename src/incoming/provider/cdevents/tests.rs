use serde_json::{Value, json};

use super::*;
use crate::incoming::provider::{Provider, ProviderReceiver};
use crate::incoming::{Incoming, ReceiveError, Receiver};
use crate::signature::Verifier;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn open(headers: &[(&str, &str)], body: &str) -> Result<Vec<Notice>, ReceiveError> {
    let verifier = Verifier::accept_unverified();
    let receiver = ProviderReceiver::new(Provider::CdEvents, "acme".parse().unwrap(), verifier);
    let incoming = Incoming { headers: &headers.iter().copied().collect(), body: body.as_bytes() };
    receiver.open(incoming, Timestamp::from_unix_seconds(1_764_000_000))
}

/// A sample made from the specification's schema, as data of a CloudEvent in binary mode.
fn told(kind: &str, subject: &str) -> Result<Vec<Notice>, ReceiveError> {
    let data = json!({
        "context": {
            "version": "0.4.1",
            "id": "271069a8-fc18-44f1-b38f-9d70a1695819",
            "source": "/event/source/123",
            "type": kind,
            "timestamp": "2023-03-20T14:27:05.315384Z",
        },
        "subject": {
            "id": subject,
            "source": "/event/source/123",
            "type": "artifact",
            "content": { "user": "mybot-myapp" },
        },
    });
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "271069a8-fc18-44f1-b38f-9d70a1695819"),
        ("ce-source", "/event/source/123"),
        ("ce-type", kind),
        ("content-type", "application/cdevents+json; charset=utf-8"),
    ];
    open(&headers, &data.to_string())
}

fn one(kind: &str, subject: &str) -> Notice {
    told(kind, subject).unwrap().remove(0)
}

#[test]
fn a_published_image_is_ingested_by_its_digest_whatever_the_versions() {
    for version in ["", ".0.1.0", ".0.2.0", ".0.3.0-draft", ".1.0.0"] {
        for colon in [":", "%3A"] {
            let digest = DIGEST.replace(':', colon);
            let subject = format!("pkg:oci/app@{digest}?repository_url=ghcr.io/acme/app&tag=1.2");
            let notice = one(&format!("dev.cdevents.artifact.published{version}"), &subject);
            let event = notice.event;
            let push = Change::Push { tag: Some("1.2".to_owned()), digest: DIGEST.to_owned() };
            assert_eq!(notice.change, push);
            assert_eq!(event.kind, EventKind::ARTIFACT_INGESTED);
            assert_eq!(event.occurred_at.to_string(), "2023-03-20T14:27:05.315384Z");
            assert_eq!(event.source.instance.as_deref(), Some("/event/source/123"));
            let id = "271069a8-fc18-44f1-b38f-9d70a1695819";
            assert_eq!(event.source.id.as_deref(), Some(id));
            assert_eq!(event.actor.unwrap().name.as_deref(), Some("mybot-myapp"));
            let artifact = event.artifact.unwrap();
            assert_eq!(artifact.digest.as_deref(), Some(DIGEST));
            assert_eq!(artifact.tags, ["1.2"]);
            assert_eq!(artifact.registry.as_deref(), Some("ghcr.io"));
            assert_eq!(artifact.repository.as_deref(), Some("acme/app"));
            assert_eq!(event.data.unwrap()["subject"]["id"], Value::from(subject));
        }
    }
}

#[test]
fn each_predicate_has_its_kind() {
    let digest = DIGEST.to_owned();
    let image = format!("pkg:oci/app@{DIGEST}");
    let tag = "1.0.219".to_owned();
    let crate_ = "pkg:cargo/serde@1.0.219";
    for (kind, subject, expected, change) in [
        ("published", crate_, "artifact.ingested", Change::PushTag { tag: tag.clone() }),
        ("published", "my-app", "artifact.ingested", Change::None),
        ("deleted", &image, "artifact.deleted", Change::DeleteDigest { digest }),
        ("deleted", crate_, "artifact.deleted", Change::DeleteTag { tag }),
        ("downloaded", crate_, "artifact.downloaded", Change::None),
        ("signed", &image, "artifact.signed", Change::None),
        ("packaged", &image, "artifact.packaged", Change::None),
    ] {
        let notice = one(&format!("dev.cdevents.artifact.{kind}.0.2.0"), subject);
        assert_eq!(notice.event.kind.as_str(), expected);
        assert_eq!(notice.change, change, "{kind} {subject}");
    }
    let named = one("dev.cdevents.artifact.published.0.2.0", "my-app").event.artifact.unwrap();
    assert_eq!(named.name.as_deref(), Some("my-app"));
}

#[test]
fn what_is_about_no_artifact_is_a_webhook_that_stands_for_itself() {
    for kind in ["dev.cdevents.pipelinerun.finished.0.2.0", "dev.cdeventsx.acme-tool.done.1.0.0"] {
        let event = one(kind, "/namespace/run-1").event;
        assert_eq!(event.kind, EventKind::WEBHOOK_RECEIVED);
        assert_eq!(event.artifact, None);
        assert_eq!(event.data.unwrap()["context"]["type"], kind);
    }
}

#[test]
fn what_an_engine_sends_becomes_the_same_event_whatever_it_is_called() {
    let event = Event::builder(EventKind::TAG_MOVED)
        .scope("acme/platform".parse().unwrap())
        .artifact(Artifact::new("oci", "app").with_repository("acme/app").with_tag("1.2"))
        .build()
        .unwrap();
    let kind = "dev.cdeventsx.artifacttriggers-tag.moved.0.1.0";
    let sent = |id: &str| {
        let context = json!({
            "version": "0.4.1", "id": event.id, "source": "/registry", "type": kind,
            "timestamp": event.occurred_at,
        });
        let mut custom = serde_json::to_value(&event).unwrap();
        custom["id"] = json!(id);
        let subject = json!({
            "id": "pkg:oci/app?tag=1.2", "type": "artifacttriggers-tag",
            "content": { "kind": "tag.moved" },
        });
        let data = json!({
            "context": context, "subject": subject, "customData": custom,
            "customDataContentType": "application/json",
        });
        let envelope = json!({
            "specversion": "1.0", "id": event.id, "source": "/registry", "type": kind,
            "datacontenttype": "application/cdevents+json", "data": data,
        });
        let headers = [("content-type", "application/cloudevents+json")];
        open(&headers, &envelope.to_string()).unwrap().remove(0)
    };
    let notice = sent(&event.id.to_string());
    assert_eq!(notice.change, Change::None);
    assert_eq!(notice.event.kind, event.kind);
    assert_eq!(notice.event.scope, event.scope);
    assert_eq!(notice.event.artifact, event.artifact);
    assert_eq!(notice.event.correlation.cause, Some(event.id));
    // Somebody else's custom data may look like an event.
    assert_eq!(
        sent("evt_0193e5d2f0a07c3e8f00d1a2b3c4d5e6").event.kind.as_str(),
        "webhook.received"
    );
}

#[test]
fn what_an_engine_sends_in_each_version_comes_back() {
    use crate::id::TriggerId;
    use crate::payload::{Cdevents, CdeventsVersion, PayloadFormat, TriggerName};

    for kind in [EventKind::ARTIFACT_INGESTED, EventKind::ARTIFACT_DELETED, EventKind::TAG_MOVED] {
        let artifact = Artifact::new("oci", "app").with_repository("acme/app").with_tag("1.2");
        let event = Event::builder(kind)
            .scope("acme/platform".parse().unwrap())
            .artifact(artifact.with_registry("ghcr.io").with_digest(DIGEST))
            .build()
            .unwrap();
        for version in CdeventsVersion::ALL {
            for binary in [false, true] {
                let settings = Cdevents::default().with_version(version).with_binary(binary);
                let id = TriggerId::derived(event.occurred_at, &[]);
                let trigger = TriggerName { id, name: "t" };
                let format = PayloadFormat::Cdevents(settings);
                let payload = format.render(&event, &event.to_json(), trigger);
                let headers: Vec<(&str, &str)> =
                    payload.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let body = std::str::from_utf8(&payload.body).unwrap();
                let mut found = open(&headers, body).unwrap().remove(0).event;
                assert_eq!(found.correlation.cause, Some(event.id));
                found.correlation.cause = None;
                (found.id, found.received_at) = (event.id, event.received_at);
                assert_eq!(found, event, "{version:?}, binary {binary}");
            }
        }
    }
}

#[test]
fn structured_and_binary_give_the_same_event() {
    let kind = "dev.cdevents.artifact.published.0.2.0";
    let binary = one(kind, "pkg:cargo/serde@1.0.219");
    let envelope = json!({
        "specversion": "1.0",
        "id": "271069a8-fc18-44f1-b38f-9d70a1695819",
        "source": "/event/source/123",
        "type": kind,
        "datacontenttype": "application/cdevents+json",
        "data": binary.event.data,
    });
    let headers = [("content-type", "application/cloudevents+json")];
    assert_eq!(open(&headers, &envelope.to_string()).unwrap(), [binary]);
}

#[test]
fn what_is_missing_or_contradicts_itself_is_named() {
    let headers = [("content-type", "application/cloudevents+json")];
    let envelope = |kind: &str, data: Value| {
        let envelope = json!({
            "specversion": "1.0", "id": "1", "source": "/a", "type": kind, "data": data,
        });
        open(&headers, &envelope.to_string()).unwrap_err().to_string()
    };
    let kind = "dev.cdevents.artifact.published.0.2.0";
    assert_eq!(
        envelope(kind, json!({})),
        "data.context: expected an object, found nothing; \
         data.subject: expected an object, found nothing"
    );
    let data = json!({
        "context": { "id": "", "type": "dev.cdevents.artifact" },
        "subject": { "id": 1, "content": { "user": 2 } },
    });
    assert_eq!(
        envelope(kind, data),
        "data.context.id: expected a string, found an empty one; \
         data.context.source: expected a string, found nothing; \
         data.subject.id: expected a string, found 1; \
         data.subject.content.user: expected a string, found 2; \
         data.context.type: expected dev.cdevents., a subject and a predicate, found \
         \"dev.cdevents.artifact\""
    );
    let data = json!({
        "context": { "id": "1", "source": "/a", "type": "dev.cdevents.artifact.deleted.0.2.0" },
        "subject": { "id": "x" },
    });
    assert_eq!(
        envelope(kind, data),
        "type: expected the type in data.context, found \
         \"dev.cdevents.artifact.published.0.2.0\""
    );
    assert_eq!(envelope(kind, json!("x")), "data: expected an object, found a string");
}
