//! Samples: an event of each kind, with all that one of the kind may tell.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Actor, ActorKind, Artifact, Correlation, Event, EventKind, File, OciFacts, OciRole, Platform,
    SPEC_VERSION, Source,
};
use crate::clock::Timestamp;
use crate::id::EventId;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OLD_DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

impl Event {
    /// An event of a kind such as there may be, for previews and tests: always the same, with all
    /// members that an event of the kind may have.
    ///
    /// ```
    /// use artifact_triggers::event::{Event, EventKind};
    ///
    /// let event = Event::sample(EventKind::ARTIFACT_UPDATED);
    /// assert_eq!(event.artifact.unwrap().tags, ["1.4.2", "latest"]);
    /// ```
    pub fn sample(kind: EventKind) -> Self {
        let at = Timestamp::from_unix_seconds(1_795_444_943);
        let data = data(&kind);
        Self {
            spec_version: SPEC_VERSION.to_owned(),
            id: EventId::derived(at, &[b"sample", kind.as_str().as_bytes()]),
            scope: "acme/platform".parse().expect("it is a scope"),
            source: Source::new("registry").with_instance("node-1").with_id("4711"),
            occurred_at: at,
            received_at: at,
            artifact: subject(&kind),
            from: origin(&kind),
            actor: Some(
                Actor::new(ActorKind::User, "Ada Lovelace")
                    .with_id("u-17")
                    .with_address("2001:db8::1"),
            ),
            correlation: Correlation {
                trace_parent: Some(
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
                ),
                trace_state: Some("vendor=1".to_owned()),
                request_id: Some("r-1".to_owned()),
                cause: Some(EventId::derived(at, &[b"cause"])),
                hops: Vec::new(),
                extra: Map::new(),
            },
            attributes: BTreeMap::from([("team".to_owned(), "platform".to_owned())]),
            data,
            extra: Map::new(),
            kind,
        }
    }
}

/// The first word of a kind: what it is about.
fn stem(kind: &EventKind) -> &str {
    kind.as_str().split('.').next().unwrap_or_default()
}

fn subject(kind: &EventKind) -> Option<Artifact> {
    match stem(kind) {
        "artifact" | "blob" | "policy" | "delivery" | "sbom" | "scan" | "tag" => Some(image()),
        "quota" | "repository" | "retention" => Some(Artifact {
            registry: Some("registry.example".to_owned()),
            repository: Some("library/hello".to_owned()),
            package_type: Some("oci".to_owned()),
            ..Artifact::default()
        }),
        _ => None,
    }
}

fn image() -> Artifact {
    let mut facts = OciFacts::of_role(OciRole::Manifest)
        .with_media_type("application/vnd.oci.image.manifest.v1+json")
        .with_artifact_type("application/vnd.oci.image.config.v1+json")
        .with_parent_digest(OLD_DIGEST)
        .with_subject_digest(OLD_DIGEST);
    facts.child_digests = vec![DIGEST.to_owned()];
    facts.platform = Some(Platform::new("linux", "arm64").with_variant("v8"));
    let title = "org.opencontainers.image.title".to_owned();
    facts.annotations = BTreeMap::from([(title, "Hello".to_owned())]);
    Artifact::new("oci", "hello")
        .with_registry("registry.example")
        .with_repository("library/hello")
        .with_namespace("library")
        .with_version("1.4.2")
        .with_tag("1.4.2")
        .with_tag("latest")
        .with_digest(DIGEST)
        .with_purl(format!("pkg:oci/hello@{DIGEST}?repository_url=registry.example/library/hello"))
        .with_url("https://registry.example/v2/library/hello/manifests/1.4.2")
        .with_size(3_127)
        .with_oci(facts)
        .with_file(
            File::new("hello-1.4.2.tgz")
                .with_size(1_024)
                .with_digest(DIGEST)
                .with_media_type("application/gzip"),
        )
}

/// Where it came from, of the kinds that tell that.
fn origin(kind: &EventKind) -> Option<Artifact> {
    let place = Artifact::default().with_registry("staging.example");
    let place = place.with_repository("library/hello");
    match kind.as_str() {
        "artifact.updated" | "tag.moved" => Some(place.with_digest(OLD_DIGEST)),
        "artifact.promoted" | "artifact.copied" | "artifact.moved" | "blob.mounted" => Some(place),
        _ => None,
    }
}

fn data(kind: &EventKind) -> Option<Value> {
    match stem(kind) {
        "scan" | "policy" => Some(json!({"critical": 0, "high": 2, "report": "r-17"})),
        "delivery" => Some(json!({"kind": "artifact.ingested"})),
        "schedule" | "webhook" | "quota" | "retention" => Some(json!({"note": "sample"})),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_of_each_kind_is_an_event_that_may_be_published() {
        for kind in EventKind::KNOWN {
            let event = Event::sample(kind.clone());
            assert_eq!(event.validate(), Ok(()), "{kind}");
            assert_eq!(Event::from_json(&event.to_json()).unwrap(), event, "{kind}");
            assert_eq!(event, Event::sample(kind.clone()), "{kind}");
        }
    }

    #[test]
    fn samples_of_different_kinds_have_different_ids() {
        let ids: std::collections::BTreeSet<EventId> =
            EventKind::KNOWN.iter().map(|kind| Event::sample(kind.clone()).id).collect();
        assert_eq!(ids.len(), EventKind::KNOWN.len());
    }
}
