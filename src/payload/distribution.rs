//! The envelope of the Docker / OCI distribution registry's notifications.
//!
//! Its words are push, pull, mount and delete, of what has a digest, a tag or a repository. What
//! they cannot say has the kind itself for an action: never is less told than happened, and never
//! more.

use serde_json::{Map, Value, json};

use super::Payload;
use crate::event::{Artifact, Event, OciFacts};

/// What the envelope is called.
pub(super) const MEDIA_TYPE: &str = "application/vnd.docker.distribution.events.v1+json";
/// What stands around the events.
pub(super) const OPEN: &[u8] = b"{\"events\":[";
pub(super) const CLOSE: &[u8] = b"]}";

const HELM_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const BLOB: &str = "application/octet-stream";

pub(super) fn render(event: &Event) -> Payload {
    let tags: Vec<Option<&str>> = match &event.artifact {
        Some(artifact) if !artifact.tags.is_empty() && !goes_as_a_whole(event) => {
            artifact.tags.iter().map(|tag| Some(tag.as_str())).collect()
        }
        _ => vec![None],
    };
    let mut body = OPEN.to_vec();
    for (n, tag) in tags.iter().enumerate() {
        let mut told = notification(event, *tag);
        // One event a tag, each with an id of its own.
        let id = if n == 0 { event.id.to_string() } else { format!("{}-{n}", event.id) };
        told["id"] = json!(id);
        if n > 0 {
            body.push(b',');
        }
        body.extend_from_slice(told.to_string().as_bytes());
    }
    body.extend_from_slice(CLOSE);
    Payload::new(MEDIA_TYPE, body)
}

/// The events of a body that was rendered here, without what stands around them.
#[cfg(feature = "engine")]
pub(super) fn events(body: &[u8]) -> Option<&[u8]> {
    body.strip_prefix(OPEN)?.strip_suffix(CLOSE)
}

/// Whether what is deleted is not a tag: then it is told once, whatever tags it had.
fn goes_as_a_whole(event: &Event) -> bool {
    let has_digest = event.artifact.as_ref().is_some_and(|artifact| artifact.digest.is_some());
    match event.kind.as_str() {
        "artifact.deleted" | "blob.deleted" => has_digest,
        kind => kind == "repository.deleted",
    }
}

fn notification(event: &Event, tag: Option<&str>) -> Value {
    let mut request = Map::new();
    put(&mut request, "id", event.correlation.request_id.as_deref());
    let actor = event.actor.as_ref();
    put(&mut request, "addr", actor.and_then(|actor| actor.address.as_deref()));
    let registry = event.artifact.as_ref().and_then(|artifact| artifact.registry.as_deref());
    put(&mut request, "host", registry);
    let mut who = Map::new();
    put(&mut who, "name", actor.and_then(|actor| actor.name.as_deref().or(actor.id.as_deref())));
    let mut source = Map::new();
    put(&mut source, "instanceID", event.source.instance.as_deref());
    json!({
        "timestamp": event.occurred_at,
        "action": action(event, tag),
        "target": target(event, tag),
        "request": request,
        "actor": who,
        "source": source,
    })
}

fn put(into: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        into.insert(name.to_owned(), value.into());
    }
}

/// The registry's word, if what it means is what happened.
fn action<'e>(event: &'e Event, tag: Option<&str>) -> &'e str {
    let artifact = event.artifact.as_ref();
    let has_digest = artifact.is_some_and(|artifact| artifact.digest.is_some());
    let has_repository = artifact.is_some_and(|artifact| artifact.repository.is_some());
    match event.kind.as_str() {
        _ if !has_repository => event.kind.as_str(),
        "artifact.ingested" | "artifact.updated" | "artifact.signed" | "artifact.attested"
        | "sbom.attached" | "blob.ingested"
            if has_digest =>
        {
            "push"
        }
        "artifact.downloaded" | "blob.downloaded" => "pull",
        "blob.mounted" if has_digest => "mount",
        "artifact.deleted" | "blob.deleted" if has_digest => "delete",
        "tag.deleted" if tag.is_some() => "delete",
        "repository.deleted" => "delete",
        kind => kind,
    }
}

fn target(event: &Event, tag: Option<&str>) -> Value {
    let mut target = Map::new();
    let artifact = event.artifact.as_ref();
    let kind = event.kind.as_str();
    target.insert("repository".to_owned(), json!(repository(event)));
    let Some(artifact) = artifact else { return Value::Object(target) };
    // What is deleted is a tag, or what has a digest, or all of the repository.
    let is_digest = !matches!(kind, "tag.deleted" | "repository.deleted");
    put(&mut target, "digest", artifact.digest.as_deref().filter(|_| is_digest));
    put(&mut target, "tag", tag);
    put(&mut target, "size", artifact.size);
    put(&mut target, "length", artifact.size);
    put(&mut target, "url", artifact.url.as_deref());
    let facts = artifact.oci.clone().unwrap_or_default();
    let blob = kind.starts_with("blob.").then_some(BLOB);
    put(&mut target, "mediaType", facts.media_type.as_deref().or(blob));
    put_facts(&mut target, artifact, &facts);
    if kind == "blob.mounted" {
        let from = event.from.as_ref().and_then(|from| from.repository.as_deref());
        put(&mut target, "fromRepository", from);
    }
    Value::Object(target)
}

fn put_facts(target: &mut Map<String, Value>, artifact: &Artifact, facts: &OciFacts) {
    put(target, "artifactType", facts.artifact_type.as_deref());
    put(target, "platform", facts.platform.as_ref().map(|platform| json!(platform)));
    let annotations = (!facts.annotations.is_empty()).then(|| json!(facts.annotations));
    put(target, "annotations", annotations);
    let mut references: Vec<Value> =
        facts.child_digests.iter().map(|digest| json!({"digest": digest})).collect();
    // What tells a chart from an image is the type of its configuration.
    if artifact.package_type.as_deref() == Some("helm") {
        references.insert(0, json!({"mediaType": HELM_CONFIG}));
    }
    if !references.is_empty() {
        target.insert("references".to_owned(), json!(references));
    }
}

/// The repository; where there is none, the package, the scope or the source: a target names one.
fn repository(event: &Event) -> String {
    let artifact = event.artifact.as_ref();
    let package = |artifact: &Artifact| {
        let name = artifact.name.clone()?;
        let space = artifact.namespace.as_ref();
        Some(space.map_or_else(|| name.clone(), |space| format!("{space}/{name}")))
    };
    let known =
        artifact.and_then(|artifact| artifact.repository.clone().or_else(|| package(artifact)));
    known.unwrap_or_else(|| match event.scope.as_str() {
        "" => event.source.name.clone(),
        scope => scope.to_owned(),
    })
}
