//! What the webhooks of a Harness registry send.
//!
//! Source: what such a registry sends. It knows three words for what happened; what it has none for
//! is told by the kind, its full stops as underscores. What an event does not know is left out:
//! there are no ids of a database in it.

use serde_json::{Map, Value, json};

use super::encode::header_value;
use super::{Payload, TriggerName};
use crate::document::{Object, Problems, cut};
use crate::event::{Actor, ActorKind, Artifact, Event, EventKind};

/// What the [`Harness`](super::PayloadFormat::Harness) format is to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Harness {
    /// What stands in the middle of the names of header fields, such as
    /// `x-gitness-artifact-registry-trigger`; `Gitness` unless it is set.
    pub prefix: String,
}

impl Default for Harness {
    fn default() -> Self {
        Self { prefix: "Gitness".to_owned() }
    }
}

impl Harness {
    /// The longest prefix, in bytes.
    pub const MAX_PREFIX_BYTES: usize = 40;

    /// Sets what stands in the middle of the names of header fields.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    pub(super) fn take(object: &mut Object, problems: &mut Problems) -> Self {
        let prefix = object.optional("prefix", problems);
        Self { prefix: prefix.unwrap_or_else(|| Self::default().prefix) }
    }

    pub(super) fn to_value(&self) -> Value {
        json!({"prefix": self.prefix})
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        let is_inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let length = 1..=Self::MAX_PREFIX_BYTES;
        if !length.contains(&self.prefix.len()) || !self.prefix.bytes().all(is_inner) {
            let most = Self::MAX_PREFIX_BYTES;
            let expected = format!("expected 1 to {most} letters, digits and hyphens");
            let found = cut(&self.prefix);
            problems.add(format!("{path}.prefix"), format!("{expected}, found {found:?}"));
        }
    }

    /// The names of the header fields, in the order of their values.
    pub(super) fn header_names(&self) -> Vec<String> {
        let prefix = self.prefix.to_ascii_lowercase();
        [
            "artifact-registry-trigger",
            "webhook-parent-type",
            "webhook-parent-id",
            "webhook-uid",
            "webhook-identifier",
        ]
        .map(|name| format!("x-{prefix}-{name}"))
        .to_vec()
    }

    pub(super) fn render(&self, event: &Event, trigger: TriggerName<'_>) -> Payload {
        let word = trigger_word(&event.kind);
        let mut body = Map::new();
        body.insert("trigger".to_owned(), json!(word));
        let artifact = event.artifact.as_ref();
        let parts = [
            ("registry", artifact.and_then(registry)),
            ("principal", event.actor.as_ref().map(principal)),
            ("artifact_info", artifact.map(artifact_info)),
            ("old_artifact_info", event.from.as_ref().map(artifact_info)),
        ];
        for (name, part) in parts {
            insert(&mut body, name, part);
        }
        let body = serde_json::to_vec(&body).expect("the keys are strings");
        let mut payload = Payload::new("application/json", body);
        let values = [
            word,
            "registry".to_owned(),
            event.scope.to_string(),
            trigger.id.to_string(),
            trigger.name.to_owned(),
        ];
        let fields = self.header_names().into_iter().zip(values);
        payload.headers.extend(fields.map(|(name, value)| (name, header_value(&value))));
        payload
    }
}

fn insert(into: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        into.insert(name.to_owned(), value.into());
    }
}

/// What happened, by the words that such a registry has.
fn trigger_word(kind: &EventKind) -> String {
    match kind.as_str() {
        "artifact.ingested" => "artifact_created".to_owned(),
        other => other.replace('.', "_"),
    }
}

/// A registry there is a repository here, but for images: theirs is all of the host.
fn registry(artifact: &Artifact) -> Option<Value> {
    let host = artifact.registry.as_deref();
    let name = if is_image(artifact) { host } else { artifact.repository.as_deref().or(host) };
    Some(json!({"name": name?}))
}

fn is_image(artifact: &Artifact) -> bool {
    artifact.oci.is_some() || artifact.package_type.as_deref() == Some("oci")
}

fn principal(actor: &Actor) -> Value {
    let number: Option<u64> = actor.id.as_deref().and_then(|id| id.parse().ok());
    let kind = match &actor.kind {
        Some(ActorKind::User) => Some("user"),
        Some(ActorKind::Robot) => Some("serviceaccount"),
        Some(ActorKind::Internal) => Some("service"),
        Some(ActorKind::Anonymous) => Some("anonymous"),
        Some(ActorKind::Other(kind)) => Some(kind.as_str()),
        None => None,
    };
    let mut principal = Map::new();
    insert(&mut principal, "id", number);
    insert(&mut principal, "uid", actor.id.as_deref().or(actor.name.as_deref()));
    insert(&mut principal, "display_name", actor.name.as_deref());
    insert(&mut principal, "type", kind);
    Value::Object(principal)
}

fn artifact_info(artifact: &Artifact) -> Value {
    let kind = artifact.package_type.as_deref().map(|kind| match kind {
        "oci" => "DOCKER".to_owned(),
        other => other.to_ascii_uppercase(),
    });
    let name = name_of(artifact);
    let tag = artifact.tags.first().or(artifact.version.as_ref()).map(String::as_str);
    let mut inner = Map::new();
    insert(&mut inner, "name", name.clone());
    if is_image(artifact) {
        insert_image(&mut inner, artifact, tag);
    } else {
        insert(&mut inner, "ref", reference(name.as_deref(), tag, artifact));
        insert(&mut inner, "package_type", kind.clone());
        insert(&mut inner, "version", tag);
    }
    let mut info = Map::new();
    insert(&mut info, "type", kind);
    insert(&mut info, "name", name);
    insert(&mut info, "version", tag.or(artifact.digest.as_deref()));
    info.insert("artifact".to_owned(), Value::Object(inner));
    Value::Object(info)
}

/// Images have an address that clients pull from; a chart's tells its scheme.
fn insert_image(inner: &mut Map<String, Value>, artifact: &Artifact, tag: Option<&str>) {
    let reference = reference(name_of(artifact).as_deref(), tag, artifact);
    let scheme = if artifact.package_type.as_deref() == Some("helm") { "oci://" } else { "" };
    let url = artifact.registry.as_ref().zip(reference.as_ref());
    insert(inner, "url", url.map(|(host, reference)| format!("{scheme}{host}/{reference}")));
    insert(inner, "ref", reference);
    insert(inner, "tag", tag);
    insert(inner, "digest", artifact.digest.as_deref());
}

/// Of an image the path behind the host, of a package its name with its namespace.
fn name_of(artifact: &Artifact) -> Option<String> {
    if is_image(artifact) && artifact.repository.is_some() {
        return artifact.repository.clone();
    }
    let name = artifact.name.as_ref()?;
    Some(
        artifact.namespace.as_ref().map_or_else(|| name.clone(), |space| format!("{space}/{name}")),
    )
}

fn reference(name: Option<&str>, tag: Option<&str>, artifact: &Artifact) -> Option<String> {
    let name = name?;
    Some(match (tag, &artifact.digest) {
        (Some(tag), _) => format!("{name}:{tag}"),
        (None, Some(digest)) => format!("{name}@{digest}"),
        (None, None) => name.to_owned(),
    })
}
