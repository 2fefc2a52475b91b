//! Where a trigger's deliveries go: an HTTP endpoint or an in-process action.

mod auth;
mod credential;
mod endpoint;

use serde_json::{Value, json};

use super::check_name;
use crate::delivery::EndpointKey;
use crate::document::{Field, Object, Path, Problems, check_depth};

pub use auth::{ClientAuth, ClientCredentials, EndpointAuth};
pub use credential::{Credential, EndpointSecret};
pub use endpoint::Endpoint;
#[cfg(feature = "engine")]
pub(super) use endpoint::REDACTED;
pub(super) use endpoint::{no_url, parse_url};

/// Whether secrets are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    Redacted,
    Exposed,
}

/// Where a trigger's deliveries go.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "a trigger has one, and most have a webhook")]
pub enum Target {
    /// An HTTP endpoint.
    Webhook(Endpoint),
    /// A named in-process handler.
    Action(ActionTarget),
}

impl Target {
    /// What deliveries to this target share limits with.
    pub fn key(&self) -> EndpointKey {
        match self {
            Self::Webhook(endpoint) => EndpointKey::of_url(&endpoint.url),
            Self::Action(action) => EndpointKey::new(format!("action:{}", action.name)),
        }
    }

    /// Stands for a target that could not be read, while the rest is checked.
    pub(super) fn nowhere() -> Self {
        Self::Action(ActionTarget::new("?"))
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        match self {
            Self::Webhook(endpoint) => endpoint.check(&format!("{path}.webhook"), problems),
            Self::Action(action) => {
                check_name(&format!("{path}.action.name"), &action.name, problems);
                check_depth(Path::At(&format!("{path}.action.config")), &action.config, problems);
            }
        }
    }

    pub(super) fn to_value(&self, secrets: Secrets) -> Value {
        match self {
            Self::Webhook(endpoint) => json!({"webhook": endpoint.to_value(secrets)}),
            Self::Action(action) => json!({"action": action.to_value()}),
        }
    }
}

impl Field for Target {
    const EXPECTED: &'static str = "an object with webhook or action";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let before = problems.len();
        let webhook = object.optional("webhook", problems).map(Self::Webhook);
        let action = object.optional("action", problems).map(Self::Action);
        object.finish(problems);
        match (webhook, action) {
            (Some(target), None) | (None, Some(target)) => Some(target),
            (None, None) if problems.len() > before => None,
            _ => {
                problems.add(path, format!("expected {}, exactly one of them", Self::EXPECTED));
                None
            }
        }
    }
}
/// A named in-process handler, with what it is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ActionTarget {
    /// The name that it was registered under.
    pub name: String,
    /// What the handler is told; anything that it understands.
    pub config: Value,
}

impl ActionTarget {
    /// An action without configuration.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), config: Value::Null }
    }

    /// Sets what the handler is told.
    pub fn with_config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    fn to_value(&self) -> Value {
        json!({"name": self.name, "config": self.config})
    }
}

impl Field for ActionTarget {
    const EXPECTED: &'static str = "an action (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let name = object.required("name", problems);
        let config = object.optional("config", problems).unwrap_or_default();
        object.finish(problems);
        Some(Self { name: name?, config })
    }
}
