//! Makes a trigger's spec in Rust; only `build` checks.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::filter::{Draft, Filter};
#[cfg(feature = "schedule")]
use super::of_schedules;
use super::target::{self, ActionTarget, Endpoint, EndpointAuth, EndpointSecret, Target};
use super::{KindPattern, TriggerSpec, Watch};
use crate::delivery::DeliveryPolicy;
use crate::document::Problems;
use crate::event::{EventKind, Scope};
#[cfg(feature = "schedule")]
use crate::schedule::Schedule;
use crate::signature::{Scheme, SigningSecret};

/// Makes a [`TriggerSpec`]; only [`build`](Self::build) checks.
#[derive(Clone)]
pub struct TriggerBuilder {
    name: String,
    scope: Scope,
    kinds: Vec<KindPattern>,
    #[cfg(feature = "schedule")]
    schedule: Option<Schedule>,
    watch: Option<Box<Watch>>,
    filter: Draft,
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
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            scope: Scope::root(),
            kinds: Vec::new(),
            #[cfg(feature = "schedule")]
            schedule: None,
            watch: None,
            filter: Filter::everything().into(),
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

    /// Has the engine make an event for it whenever a schedule comes due, of kind `schedule.fired`;
    /// no other event reaches it. The kinds need not be named.
    ///
    /// ```
    /// use artifact_triggers::schedule::Schedule;
    /// use artifact_triggers::trigger::Trigger;
    ///
    /// let spec = Trigger::builder("nightly-retention")
    ///     .schedule(Schedule::cron("0 3 * * *")?.in_zone("Europe/Berlin")?)
    ///     .action("retain")
    ///     .build()?;
    /// assert_eq!(spec.to_sentence(), "when its schedule comes due, 0 3 * * * (Europe/Berlin)");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "schedule")]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Has the engine poll an upstream for it, and make an event of each change that it finds; no
    /// other event reaches it. All kinds if none is named.
    ///
    /// ```
    /// use artifact_triggers::trigger::{Trigger, Watch};
    ///
    /// let spec = Trigger::builder("new-serde")
    ///     .watch(Watch::new("crates", "serde"))
    ///     .action("rebuild")
    ///     .build()?;
    /// assert_eq!(spec.to_sentence(), "when a poll of crates finds a change of serde");
    /// # Ok::<(), artifact_triggers::document::Problems>(())
    /// ```
    pub fn watch(mut self, watch: Watch) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// Sets which events of those kinds it wants: a [`Filter`], or a [`Draft`] of one that is
    /// checked when the trigger is built. All if it is not set.
    pub fn filter(mut self, filter: impl Into<Draft>) -> Self {
        self.filter = filter.into();
        self
    }

    /// Sends to an HTTP endpoint, signed with a secret.
    pub fn webhook(mut self, url: impl Into<String>, secret: SigningSecret) -> Self {
        self.url = Some(url.into());
        self.endpoint.secrets.push(secret.into());
        self
    }

    /// Sends to an HTTP endpoint, not signed.
    pub fn unsigned_webhook(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Signs with a further secret, while receivers change over.
    pub fn secret(mut self, secret: SigningSecret) -> Self {
        self.endpoint.secrets.push(secret.into());
        self
    }

    /// Signs with a further secret, while it is active; also one that a provider holds.
    pub fn secret_with(mut self, secret: EndpointSecret) -> Self {
        self.endpoint.secrets.push(secret);
        self
    }

    /// Proves to the endpoint who it is, beside the signature.
    pub fn auth(mut self, auth: EndpointAuth) -> Self {
        self.endpoint.auth = Some(auth);
        self
    }

    /// Sets how messages are signed; by Standard Webhooks if it is not set.
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.endpoint.scheme = scheme;
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
            #[cfg(feature = "schedule")]
            if self.schedule.is_some() && self.kinds.is_empty() {
                self.kinds = of_schedules();
            }
            if self.watch.is_some() && self.kinds.is_empty() {
                self.kinds = vec![KindPattern::any()];
            }
            let spec = TriggerSpec {
                name: self.name,
                scope: self.scope,
                kinds: self.kinds,
                #[cfg(feature = "schedule")]
                schedule: self.schedule,
                watch: self.watch,
                filter: self.filter.read("filter", problems).unwrap_or_default(),
                target,
                policy: self.policy,
                enabled: self.enabled,
                labels: self.labels,
            };
            spec.check(problems);
            Some(spec)
        })
    }
}
