//! What Harbor writes, in either payload.

use serde_json::{Map, Value};

use super::super::super::cloudevents::CloudEvent;
use super::super::super::fields::{digest, keep, reference, required_text, seconds, text};
use super::super::super::oci::Reference;
use super::super::super::told::last_segment;
use super::what;
use crate::clock::Timestamp;
use crate::document::{Object, Problems};
use crate::event::{Artifact, MAX_COUNT};

/// What stands around the event's data.
pub(super) struct Hook {
    pub(super) id: Option<String>,
    pub(super) source: Option<String>,
    /// What happened, as CloudEvents call it.
    pub(super) what: String,
    pub(super) what_path: String,
    pub(super) occurred_at: Option<Timestamp>,
    pub(super) operator: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) data: Option<Object>,
    pub(super) data_path: String,
    /// What has no place of its own.
    pub(super) rest: Map<String, Value>,
}

impl Hook {
    pub(super) fn of_default(mut object: Object, problems: &mut Problems) -> Option<Self> {
        let name = required_text(&mut object, "type", problems);
        let occurred_at = seconds(&mut object, "occur_at", problems);
        let operator = text(&mut object, "operator", problems);
        let data = object.optional("event_data", problems);
        let [what_path, data_path] = ["type", "event_data"].map(|member| object.path(member));
        Some(Self {
            id: None,
            source: None,
            what: what(&name?),
            what_path,
            occurred_at,
            operator,
            request_id: None,
            data,
            data_path,
            rest: object.rest(),
        })
    }

    pub(super) fn of_cloud_event(mut event: CloudEvent, problems: &mut Problems) -> Option<Self> {
        let mut extension = |name| {
            let value = event.extensions.remove(name)?;
            value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let (operator, request_id) = (extension("operator"), extension("requestid"));
        let (what_path, data_path) = (event.path("type"), event.data_path());
        let Some(name) = event.kind.strip_prefix("harbor.") else {
            let found = crate::document::cut(&event.kind);
            problems.add(what_path, format!("expected a type harbor.…, found {found:?}"));
            return None;
        };
        let what = name.to_owned();
        let data = event.take_object(problems)?;
        Some(Self {
            id: Some(event.id),
            source: Some(event.source),
            what,
            what_path,
            occurred_at: event.time,
            operator,
            request_id,
            data: Some(data),
            data_path,
            rest: event.extensions,
        })
    }
}

/// What it happened to.
pub(super) struct Subject {
    repository: Option<String>,
    namespace: Option<String>,
    /// The host that a replication or a retention run tells.
    host: Option<String>,
    pub(super) resources: Vec<Resource>,
}

impl Subject {
    /// Takes it from the data, and leaves what has no place of its own in what is left of the hook.
    pub(super) fn read(hook: &mut Hook, problems: &mut Problems) -> Option<Self> {
        let mut subject = Self { repository: None, namespace: None, host: None, resources: vec![] };
        let Some(mut data) = hook.data.take() else { return Some(subject) };
        if let Some(mut repository) = data.optional::<Object>("repository", problems) {
            subject.repository = required_text(&mut repository, "repo_full_name", problems);
            subject.namespace = text(&mut repository, "namespace", problems);
            keep(&mut hook.rest, "repository", repository.rest());
        }
        let path = data.path("resources");
        let resources: Vec<Object> = data.optional("resources", problems).unwrap_or_default();
        if resources.len() > MAX_COUNT {
            let found = resources.len();
            problems.add(path, format!("expected at most {MAX_COUNT}, found {found}"));
            return None;
        }
        let resources = resources.into_iter().map(|one| Resource::read(one, problems));
        subject.resources = resources.collect();
        let rest = data.rest();
        let told = |of: &str, name: &str| {
            rest.get(of)?.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
        };
        subject.host = told("replication", "harbor_hostname");
        subject.host = subject.host.or_else(|| told("retention", "harbor_hostname"));
        subject.namespace = subject.namespace.or_else(|| told("retention", "project_name"));
        hook.rest.extend(rest);
        Some(subject)
    }

    /// Whether it names what it must where something happened to an artifact.
    pub(super) fn is_complete(&self, hook: &Hook, problems: &mut Problems) -> bool {
        let missing = match self {
            Self { repository: None, .. } => "repository",
            Self { resources, .. } if resources.is_empty() => "resources",
            _ => return true,
        };
        let path = format!("{}.{missing}", hook.data_path);
        problems.add(path, format!("expected it, since it is told of {}", hook.what));
        false
    }

    /// The artifact that one of the resources is, and what else is told of it.
    pub(super) fn artifact(&self, resource: Resource) -> (Artifact, Map<String, Value>) {
        let mut artifact = self.nothing();
        artifact.package_type = Some("oci".to_owned());
        artifact.registry = resource.host.or(artifact.registry);
        artifact.tags = resource.tags;
        artifact.digest = resource.digest;
        (artifact, resource.rest)
    }

    /// What it is about if it names no resource.
    pub(super) fn nothing(&self) -> Artifact {
        let mut artifact = Artifact::default();
        artifact.registry.clone_from(&self.host);
        artifact.name = self.repository.as_deref().map(|name| last_segment(name).to_owned());
        artifact.repository.clone_from(&self.repository);
        artifact.namespace.clone_from(&self.namespace);
        artifact
    }
}

/// One of `resources`.
pub(super) struct Resource {
    tags: Vec<String>,
    digest: Option<String>,
    host: Option<String>,
    rest: Map<String, Value>,
}

impl Resource {
    fn read(mut object: Object, problems: &mut Problems) -> Self {
        let digest = digest(&mut object, "digest", problems);
        let Reference { tag, digest: named } = reference(&mut object, "tag", problems);
        // It is no URL: it names the host and what a client would pull.
        let url = text(&mut object, "resource_url", problems);
        let mut rest = object.rest();
        let host = url.as_deref().and_then(|url| url.split('/').next());
        let host = host.filter(|host| !host.is_empty()).map(str::to_owned);
        if let Some(url) = url {
            rest.insert("resource_url".to_owned(), Value::String(url));
        }
        Self { tags: tag.into_iter().collect(), digest: digest.or(named), host, rest }
    }

    /// The resources, those of one digest as one with all their tags.
    pub(super) fn joined(resources: Vec<Self>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::new();
        for resource in resources {
            let same =
                |other: &&mut Self| resource.digest.is_some() && other.digest == resource.digest;
            match joined.iter_mut().find(same) {
                Some(other) => other.tags.extend(resource.tags),
                None => joined.push(resource),
            }
        }
        joined
    }
}
