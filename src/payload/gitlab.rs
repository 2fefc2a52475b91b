//! GitLab's pipeline trigger: a branch or tag to run, and variables that say what happened.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Payload, TriggerName};
use crate::document::{Object, Problems, cut, join};
use crate::event::Event;

/// What the [`GitlabPipeline`](super::PayloadFormat::GitlabPipeline) format is to know.
///
/// The trigger's token is no part of it: it belongs into the query of the endpoint's URL, which is
/// kept like a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct GitlabPipeline {
    /// The branch or tag whose pipeline is run.
    pub git_ref: String,
    /// Variables to set besides, over those of the event. They are no secrets: whoever sees the
    /// trigger sees them.
    pub variables: BTreeMap<String, String>,
}

/// The longest name of a branch or tag, in bytes.
const MAX_REF_BYTES: usize = 255;
/// The most variables.
const MAX_VARIABLES: usize = 64;
/// The longest value of a variable, in bytes.
const MAX_VALUE_BYTES: usize = 4096;

impl GitlabPipeline {
    /// Runs the pipeline of a branch or tag.
    pub fn new(git_ref: impl Into<String>) -> Self {
        Self { git_ref: git_ref.into(), variables: BTreeMap::new() }
    }

    /// Sets a variable besides.
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    pub(super) fn take(object: &mut Object, problems: &mut Problems) -> Option<Self> {
        let git_ref = object.required("ref", problems);
        let variables = object.optional("variables", problems).unwrap_or_default();
        Some(Self { git_ref: git_ref?, variables })
    }

    pub(super) fn to_value(&self) -> Value {
        json!({"ref": self.git_ref, "variables": self.variables})
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        let is_ref = |c: char| !c.is_control() && !c.is_whitespace() && !"~^:?*[\\".contains(c);
        if self.git_ref.is_empty()
            || self.git_ref.len() > MAX_REF_BYTES
            || !self.git_ref.chars().all(is_ref)
        {
            let found = cut(&self.git_ref);
            let expected = format!("expected a branch or tag of 1 to {MAX_REF_BYTES} bytes");
            problems.add(format!("{path}.ref"), format!("{expected}, found {found:?}"));
        }
        let path = format!("{path}.variables");
        if self.variables.len() > MAX_VARIABLES {
            let found = self.variables.len();
            problems.add(&path, format!("expected at most {MAX_VARIABLES}, found {found}"));
        }
        for (name, value) in &self.variables {
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if name.is_empty() || name.len() > 255 || !name.bytes().all(is_name) {
                let expected = "expected a name of letters, digits and underscores";
                problems.add(join(&path, name), expected);
            }
            if value.len() > MAX_VALUE_BYTES {
                let found = value.len();
                let message = format!("expected at most {MAX_VALUE_BYTES} bytes, found {found}");
                problems.add(join(&path, name), message);
            }
        }
    }

    pub(super) fn render(&self, event: &Event, trigger: TriggerName<'_>) -> Payload {
        let mut variables = of_event(event, trigger);
        let own = self.variables.iter().map(|(name, value)| (name.as_str(), value.clone()));
        variables.extend(own);
        let body = json!({"ref": self.git_ref, "variables": variables});
        Payload::new("application/json", body.to_string().into_bytes())
    }
}

/// What happened, as variables. A text with `$` is left out: GitLab would put the value of another
/// variable into it, and whoever pushes must not choose which.
fn of_event<'n>(event: &Event, trigger: TriggerName<'_>) -> BTreeMap<&'n str, String> {
    let artifact = event.artifact.clone().unwrap_or_default();
    let from = event.from.clone().unwrap_or_default();
    let actor = event.actor.as_ref();
    let values = [
        ("EVENT_ID", Some(event.id.to_string())),
        ("EVENT_KIND", Some(event.kind.to_string())),
        ("EVENT_TIME", Some(event.occurred_at.to_string())),
        ("EVENT_SCOPE", Some(event.scope.to_string())),
        ("EVENT_ACTOR", actor.and_then(|actor| actor.name.clone().or_else(|| actor.id.clone()))),
        ("EVENT_TRIGGER", Some(trigger.name.to_owned())),
        ("ARTIFACT_REGISTRY", artifact.registry),
        ("ARTIFACT_REPOSITORY", artifact.repository),
        ("ARTIFACT_TYPE", artifact.package_type),
        ("ARTIFACT_NAMESPACE", artifact.namespace),
        ("ARTIFACT_NAME", artifact.name),
        ("ARTIFACT_VERSION", artifact.version),
        ("ARTIFACT_TAG", artifact.tags.into_iter().next()),
        ("ARTIFACT_DIGEST", artifact.digest),
        ("ARTIFACT_PURL", artifact.purl),
        ("ARTIFACT_URL", artifact.url),
        ("ARTIFACT_FROM_REPOSITORY", from.repository),
        ("ARTIFACT_FROM_DIGEST", from.digest),
    ];
    let known = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.filter(|(_, value)| !value.is_empty() && !value.contains('$')).collect()
}
