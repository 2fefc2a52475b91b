//! Triggers: *when* (kinds, scope, filter) → *what* (a target) → *how* (a delivery policy).
//!
//! In: a [`TriggerSpec`] that a person or a program writes. Out: a [`Trigger`], the stored spec with
//! id and revision. Only `build` and the parser validate, and they report every problem at once.

pub mod filter;
pub mod index;

mod kinds;
mod target;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

pub use kinds::KindPattern;
pub use target::{ActionTarget, Endpoint, Target};

use crate::clock::Timestamp;
use crate::delivery::DeliveryPolicy;
use crate::document::{self, Field, Object, Problems, join};
use crate::event::{EventKind, Scope};
use crate::id::TriggerId;
use crate::signature::standard_webhooks::SigningSecret;
use filter::Filter;
use target::Secrets;

/// The largest trigger, in bytes of its JSON: as it is given, and as it is written in full.
pub const MAX_TRIGGER_BYTES: usize = 256 * 1024;
/// The longest name of a trigger or a label, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The most kinds, labels or secrets of a trigger.
pub const MAX_ENTRIES: usize = 64;

/// What a trigger is to do.
///
/// Its JSON shows secrets and header values as `[redacted]`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TriggerSpec {
    /// The name that people know, unique within the scope.
    pub name: String,
    /// It sees the events at and below this scope.
    pub scope: Scope,
    /// It wants events of any of these kinds.
    pub kinds: Vec<KindPattern>,
    /// It wants events that satisfy this.
    pub filter: Filter,
    /// Where they go.
    pub target: Target,
    /// How they are delivered.
    pub policy: DeliveryPolicy,
    /// Whether it is enabled. What happens while it is not is not delivered later.
    pub enabled: bool,
    /// Short texts for people and their tools.
    pub labels: BTreeMap<String, String>,
}

impl TriggerSpec {
    /// Parses a trigger from its [JSON](crate::manual::wire_format).
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        Self::from_value(document::parse(json, MAX_TRIGGER_BYTES)?)
    }

    /// Parses a trigger from a JSON value.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn from_value(value: Value) -> Result<Self, Problems> {
        Problems::gather(|problems| {
            let mut object = Object::root(value, problems)?;
            let spec = Self::take(&mut object, problems);
            object.finish(problems);
            Some(spec)
        })
    }

    /// Takes the members of a spec out of an object that may have others. What it gives counts only
    /// if no problem was found.
    fn take(object: &mut Object, problems: &mut Problems) -> Self {
        let name = object.required("name", problems);
        let scope = object.optional("scope", problems).unwrap_or_default();
        let kinds = object.required("kinds", problems);
        let filter = object.optional::<Value>("filter", problems);
        let filter_path = object.path("filter");
        let filter = match filter {
            Some(value) => Filter::read(&value, &filter_path, problems),
            None => Some(Filter::everything()),
        };
        let target = object.required("target", problems);
        let policy = object.optional("policy", problems).unwrap_or_default();
        let enabled = object.optional("enabled", problems).unwrap_or(true);
        let labels = object.optional("labels", problems).unwrap_or_default();
        // What is missing was reported; something in its place lets the rest be checked.
        let spec = Self {
            name: name.unwrap_or_else(|| "?".to_owned()),
            scope,
            kinds: kinds.unwrap_or_else(|| vec![KindPattern::any()]),
            filter: filter.unwrap_or_default(),
            target: target.unwrap_or_else(Target::nowhere),
            policy,
            enabled,
            labels,
        };
        spec.check(problems);
        spec
    }

    /// Reports what is wrong with the spec, whoever made it.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn validate(&self) -> Result<(), Problems> {
        Problems::gather(|problems| {
            self.check(problems);
            self.filter.check("filter", problems);
            Some(())
        })
    }

    fn check(&self, problems: &mut Problems) {
        check_name("name", &self.name, problems);
        if self.kinds.is_empty() || self.kinds.len() > MAX_ENTRIES {
            let found = self.kinds.len();
            problems.add("kinds", format!("expected 1 to {MAX_ENTRIES} kinds, found {found}"));
        }
        if self.labels.len() > MAX_ENTRIES {
            let found = self.labels.len();
            problems.add("labels", format!("expected at most {MAX_ENTRIES} labels, found {found}"));
        }
        for (name, value) in &self.labels {
            check_name("labels", name, problems);
            check_name(&join("labels", name), value, problems);
        }
        self.target.check("target", problems);
        self.policy.check("policy", problems);
        let found = self.expose_json().len();
        if found > MAX_TRIGGER_BYTES {
            let expected = format!("expected at most {MAX_TRIGGER_BYTES} bytes of JSON");
            problems.add("", format!("{expected}, found {found} when written in full"));
        }
    }

    /// The spec as JSON, with its secrets.
    fn expose_json(&self) -> Zeroizing<Vec<u8>> {
        let members = self.members(Secrets::Exposed);
        Zeroizing::new(serde_json::to_vec(&members).expect("the keys are strings"))
    }

    fn members(&self, secrets: Secrets) -> Map<String, Value> {
        let value = json!({
            "name": self.name,
            "scope": self.scope,
            "kinds": self.kinds,
            "filter": self.filter,
            "target": self.target.to_value(secrets),
            "policy": self.policy,
            "enabled": self.enabled,
            "labels": self.labels,
        });
        let Value::Object(members) = value else { unreachable!("it was written as an object") };
        members
    }
}

fn check_name(path: &str, name: &str, problems: &mut Problems) {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let found: String = name.chars().take(80).collect();
        let expected = format!("expected 1 to {MAX_NAME_BYTES} bytes without control characters");
        problems.add(path, format!("{expected}, found {found:?}"));
    }
}

impl Serialize for TriggerSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.members(Secrets::Redacted).serialize(serializer)
    }
}

/// A stored trigger.
///
/// Its JSON shows secrets and header values as `[redacted]`; [`expose_json`](Self::expose_json)
/// is what a storage writes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trigger {
    /// The trigger's id.
    pub id: TriggerId,
    /// Counts its changes from 1 on; an update names the one it was made from.
    pub revision: u64,
    /// What it is to do.
    pub spec: TriggerSpec,
    /// Why the engine suspended it, if it did (told as `trigger.disabled`). What matches meanwhile
    /// is parked, and can be replayed.
    pub suspended: Option<SuspendReason>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Why the engine suspended a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SuspendReason {
    /// Its endpoint said that it is gone (410).
    EndpointGone,
}

impl Field for SuspendReason {
    const EXPECTED: &'static str = "endpoint_gone";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        if value.as_str() == Some("endpoint_gone") {
            return Some(Self::EndpointGone);
        }
        document::mismatch(&value, Self::EXPECTED, path, problems);
        None
    }
}

impl Trigger {
    /// Begins a trigger with a name that wants nothing and goes nowhere yet.
    ///
    /// ```
    /// use artifact_triggers::event::EventKind;
    /// use artifact_triggers::signature::standard_webhooks::SigningSecret;
    /// use artifact_triggers::trigger::Trigger;
    ///
    /// let spec = Trigger::builder("scan-on-push")
    ///     .scope("acme/platform".parse()?)
    ///     .on(EventKind::ARTIFACT_INGESTED)
    ///     .on(EventKind::ARTIFACT_UPDATED)
    ///     .webhook("https://scanner.example.com/hook", SigningSecret::generate())
    ///     .build()?;
    /// assert_eq!(spec.kinds.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(name: impl Into<String>) -> TriggerBuilder {
        TriggerBuilder::new(name.into())
    }

    /// A stored trigger of its first revision.
    pub fn new(id: TriggerId, spec: TriggerSpec, now: Timestamp) -> Self {
        Self { id, revision: 1, spec, suspended: None, created_at: now, updated_at: now }
    }

    /// The trigger after a change.
    pub fn changed(
        &self,
        spec: TriggerSpec,
        suspended: Option<SuspendReason>,
        now: Timestamp,
    ) -> Self {
        let revision = self.revision + 1;
        Self { revision, spec, suspended, updated_at: now, ..self.clone() }
    }

    /// The trigger as a storage writes it, with its secrets.
    pub fn expose_json(&self) -> Zeroizing<Vec<u8>> {
        let members = self.members(Secrets::Exposed);
        Zeroizing::new(serde_json::to_vec(&members).expect("the keys are strings"))
    }

    /// Reads what [`expose_json`](Self::expose_json) wrote.
    ///
    /// # Errors
    /// What is wrong with it; it was changed by somebody else then.
    pub fn from_exposed_json(json: &[u8]) -> Result<Self, Problems> {
        // Beside the spec there are id, revision and times.
        let value = document::parse(json, MAX_TRIGGER_BYTES + 1024)?;
        Problems::gather(|problems| {
            let mut object = Object::root(value, problems)?;
            let id = object.required("id", problems);
            let revision = object.required("revision", problems);
            let suspended = object.optional("suspended", problems);
            let created_at = object.required("created_at", problems);
            let updated_at = object.required("updated_at", problems);
            let spec = TriggerSpec::take(&mut object, problems);
            Some(Self {
                id: id?,
                revision: revision?,
                spec,
                suspended,
                created_at: created_at?,
                updated_at: updated_at?,
            })
        })
    }

    fn members(&self, secrets: Secrets) -> Map<String, Value> {
        let mut members = self.spec.members(secrets);
        members.insert("id".to_owned(), json!(self.id));
        members.insert("revision".to_owned(), json!(self.revision));
        members.insert("suspended".to_owned(), json!(self.suspended));
        members.insert("created_at".to_owned(), json!(self.created_at));
        members.insert("updated_at".to_owned(), json!(self.updated_at));
        members
    }
}

impl Serialize for Trigger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.members(Secrets::Redacted).serialize(serializer)
    }
}

/// Makes a [`TriggerSpec`]; only [`build`](Self::build) checks.
#[derive(Clone)]
pub struct TriggerBuilder {
    name: String,
    scope: Scope,
    kinds: Vec<KindPattern>,
    filter: Filter,
    url: Option<String>,
    endpoint: Endpoint,
    action: Option<ActionTarget>,
    policy: DeliveryPolicy,
    enabled: bool,
    labels: BTreeMap<String, String>,
}

/// Leaves the URL out: it may hold a token.
impl fmt::Debug for TriggerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl TriggerBuilder {
    fn new(name: String) -> Self {
        Self {
            name,
            scope: Scope::root(),
            kinds: Vec::new(),
            filter: Filter::everything(),
            url: None,
            // The address is replaced by `url` when the trigger is built.
            endpoint: Endpoint::new(target::no_url()),
            action: None,
            policy: DeliveryPolicy::default(),
            enabled: true,
            labels: BTreeMap::new(),
        }
    }

    /// Sets the scope; the root if it is not set.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Wants events of a kind, besides those of the kinds named before.
    pub fn on(mut self, kind: EventKind) -> Self {
        self.kinds.push(KindPattern::from(kind));
        self
    }

    /// Wants events of the kinds of a pattern, besides those of the kinds named before.
    pub fn on_any(mut self, pattern: KindPattern) -> Self {
        self.kinds.push(pattern);
        self
    }

    /// Sets which events of those kinds it wants; all if it is not set.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Sends to an HTTP endpoint, signed with a secret.
    pub fn webhook(mut self, url: impl Into<String>, secret: SigningSecret) -> Self {
        self.url = Some(url.into());
        self.endpoint.secrets.push(secret);
        self
    }

    /// Sends to an HTTP endpoint, not signed.
    pub fn unsigned_webhook(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Signs with a further secret, while receivers change over.
    pub fn secret(mut self, secret: SigningSecret) -> Self {
        self.endpoint.secrets.push(secret);
        self
    }

    /// Sets the form in which events are sent.
    pub fn format(mut self, format: crate::payload::PayloadFormat) -> Self {
        self.endpoint.format = format;
        self
    }

    /// Sends a header field of your own. Its value is treated as a secret.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<str>) -> Self {
        self.endpoint.headers.push(name.into(), value.as_ref());
        self
    }

    /// Runs an action that is registered with the engine, instead of sending to an endpoint.
    pub fn action(mut self, name: impl Into<String>) -> Self {
        self.action = Some(ActionTarget::new(name));
        self
    }

    /// Runs a registered action with a configuration that it understands.
    pub fn action_with(mut self, name: impl Into<String>, config: Value) -> Self {
        self.action = Some(ActionTarget::new(name).with_config(config));
        self
    }

    /// Sets how deliveries are tried.
    pub fn policy(mut self, policy: DeliveryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Begins disabled.
    pub fn disabled(mut self) -> Self {
        self.enabled = false;
        self
    }

    /// Adds a short text for people and their tools.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Makes the spec.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn build(mut self) -> Result<TriggerSpec, Problems> {
        Problems::gather(|problems| {
            let target = match (self.url, self.action) {
                (Some(url), None) => {
                    let url = target::parse_url(&url, "target.webhook.url", problems);
                    self.endpoint.url = url.unwrap_or(self.endpoint.url);
                    self.endpoint.sort_headers();
                    Target::Webhook(self.endpoint)
                }
                (None, Some(action)) => Target::Action(action),
                (url, _) => {
                    let found = if url.is_some() { "both" } else { "nothing" };
                    let message = format!("expected a webhook or an action, found {found}");
                    problems.add("target", message);
                    Target::nowhere()
                }
            };
            let spec = TriggerSpec {
                name: self.name,
                scope: self.scope,
                kinds: self.kinds,
                filter: self.filter,
                target,
                policy: self.policy,
                enabled: self.enabled,
                labels: self.labels,
            };
            spec.check(problems);
            spec.filter.check("filter", problems);
            Some(spec)
        })
    }
}

#[cfg(test)]
mod tests;
