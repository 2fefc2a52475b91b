//! The default payload of Harbor's webhooks.
//!
//! What Harbor has no type for has the kind in capitals, its full stops as underscores.

use serde_json::{Map, Value, json};

use super::Payload;
use crate::event::{Artifact, Event};

pub(super) fn render(event: &Event) -> Payload {
    let actor = event.actor.as_ref();
    let operator = actor.and_then(|actor| actor.name.as_deref().or(actor.id.as_deref()));
    let mut data = Map::new();
    if let Some(artifact) = &event.artifact {
        data.insert("resources".to_owned(), json!(resources(event, artifact)));
        data.extend(repository(artifact).map(|value| ("repository".to_owned(), value)));
    }
    if !event.attributes.is_empty() {
        data.insert("custom_attributes".to_owned(), json!(event.attributes));
    }
    let body = json!({
        "type": type_of(event.kind.as_str()),
        "occur_at": event.occurred_at.to_datetime().timestamp(),
        "operator": operator.unwrap_or_default(),
        "event_data": data,
    });
    Payload::new("application/json", body.to_string().into_bytes())
}

fn type_of(kind: &str) -> String {
    match kind {
        "artifact.ingested" | "artifact.updated" => "PUSH_ARTIFACT".to_owned(),
        "artifact.downloaded" => "PULL_ARTIFACT".to_owned(),
        "artifact.deleted" => "DELETE_ARTIFACT".to_owned(),
        "scan.completed" => "SCANNING_COMPLETED".to_owned(),
        "scan.failed" => "SCANNING_FAILED".to_owned(),
        "quota.exceeded" => "QUOTA_EXCEED".to_owned(),
        "retention.completed" => "TAG_RETENTION".to_owned(),
        // `quota.warning` is one of Harbor's own in this form.
        other => other.replace(['.', '-'], "_").to_ascii_uppercase(),
    }
}

/// One for each tag. What has none has its digest for a tag, as Harbor tells it.
fn resources(event: &Event, artifact: &Artifact) -> Vec<Value> {
    let tags: Vec<Option<&str>> = if artifact.tags.is_empty() {
        vec![artifact.version.as_deref().or(artifact.digest.as_deref())]
    } else {
        artifact.tags.iter().map(|tag| Some(tag.as_str())).collect()
    };
    let overview = event.data.as_ref().and_then(|data| data.get("scan_overview"));
    let resource = |tag: Option<&str>| {
        let mut resource = Map::new();
        let address = tag.and_then(|tag| address(artifact, tag));
        let texts = [
            ("digest", artifact.digest.clone()),
            ("tag", tag.map(str::to_owned)),
            ("resource_url", address.or_else(|| artifact.url.clone())),
        ];
        for (name, text) in texts {
            resource.extend(text.map(|text| (name.to_owned(), json!(text))));
        }
        resource.extend(overview.map(|value| ("scan_overview".to_owned(), value.clone())));
        Value::Object(resource)
    };
    tags.into_iter().map(resource).collect()
}

/// What a client pulls by: `host/repository:tag`, or `@` and the digest.
fn address(artifact: &Artifact, tag: &str) -> Option<String> {
    let (host, repository) = artifact.registry.as_ref().zip(artifact.repository.as_ref())?;
    let sign = if Some(tag) == artifact.digest.as_deref() { '@' } else { ':' };
    Some(format!("{host}/{repository}{sign}{tag}"))
}

fn repository(artifact: &Artifact) -> Option<Value> {
    let full = artifact.repository.as_ref().or(artifact.name.as_ref())?;
    let (namespace, name) = full.split_once('/').unwrap_or(("", full));
    Some(json!({"name": name, "namespace": namespace, "repo_full_name": full}))
}
