//! Triggers: *when* (kinds, scope, filter) → *what* (a target) → *how* (a delivery policy).
//!
//! In: a [`TriggerSpec`] that a person or a program writes. Out: a [`Trigger`], the stored spec
//! with id and revision. Only `build` and the parser validate, and they report every problem at
//! once.

pub mod explain;
pub mod filter;
pub mod index;

mod builder;
mod feed;
mod kinds;
mod line;
#[cfg(feature = "engine")]
mod revised;
#[cfg(feature = "engine")]
mod rotation;
#[cfg(feature = "engine")]
mod sealing;
mod target;
mod watch;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

pub use builder::TriggerBuilder;
#[cfg(feature = "engine")]
pub(crate) use feed::ENGINE;
pub(crate) use feed::TRIGGER;
pub use kinds::KindPattern;
#[cfg(feature = "engine")]
pub(crate) use sealing::OpenError;
pub use target::{
    ActionTarget, ClientAuth, ClientCredentials, Credential, Endpoint, EndpointAuth,
    EndpointSecret, Target,
};
pub use watch::{FirstPoll, OnChange, VersionRule, VersionRuleError, Watch};

use crate::clock::Timestamp;
use crate::delivery::DeliveryPolicy;
use crate::document::{self, Field, Object, Problems, join};
use crate::event::{EventKind, Scope};
use crate::id::TriggerId;
#[cfg(feature = "template")]
use crate::payload::PayloadFormat;
#[cfg(feature = "schedule")]
use crate::schedule::Schedule;
use filter::{Filter, FilterLimits};
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
    /// When the engine makes an event for it. One with a schedule gets these, of kind
    /// `schedule.fired`, and none else, whoever publishes it.
    #[cfg(feature = "schedule")]
    pub schedule: Option<Schedule>,
    /// What the engine polls for it. One with a watch gets the events of what polls find, and none
    /// else, whoever publishes it. In a box, since few triggers have one.
    pub watch: Option<Box<Watch>>,
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
            let spec = Self::take(&mut object, &FilterLimits::default(), problems);
            spec.check(problems);
            object.finish(problems);
            Some(spec)
        })
    }

    /// Takes the members of a spec out of an object that may have others. What it gives counts only
    /// if no problem was found.
    fn take(object: &mut Object, limits: &FilterLimits, problems: &mut Problems) -> Self {
        let name = object.required("name", problems);
        let scope = object.optional("scope", problems).unwrap_or_default();
        #[cfg(feature = "schedule")]
        let schedule: Option<Schedule> = object.optional("schedule", problems);
        #[cfg(not(feature = "schedule"))]
        let schedule =
            object.absent("schedule", "needs the feature schedule of this crate", problems);
        let watch: Option<Watch> = object.optional("watch", problems);
        let of_feed = match (&schedule, &watch) {
            (Some(_), _) => Some(of_schedules()),
            (None, Some(_)) => Some(vec![KindPattern::any()]),
            (None, None) => None,
        };
        let kinds = match of_feed {
            Some(_) => object.optional("kinds", problems).or(of_feed),
            None => object.required("kinds", problems),
        };
        let filter = object.optional::<Value>("filter", problems);
        let filter_path = object.path("filter");
        let filter = match filter {
            Some(value) => Filter::read(&value, &filter_path, limits, problems),
            None => Some(Filter::everything()),
        };
        let target = object.required("target", problems);
        let policy = object.optional("policy", problems).unwrap_or_default();
        let enabled = object.optional("enabled", problems).unwrap_or(true);
        let labels = object.optional("labels", problems).unwrap_or_default();
        // What is missing was reported; something in its place lets the rest be checked.
        Self {
            name: name.unwrap_or_else(|| "?".to_owned()),
            scope,
            kinds: kinds.unwrap_or_else(|| vec![KindPattern::any()]),
            #[cfg(feature = "schedule")]
            schedule,
            watch: watch.map(Box::new),
            filter: filter.unwrap_or_default(),
            target: target.unwrap_or_else(Target::nowhere),
            policy,
            enabled,
            labels,
        }
    }

    /// Reports what is wrong with the spec, whoever made it.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn validate(&self) -> Result<(), Problems> {
        Problems::gather(|problems| {
            self.check(problems);
            Some(())
        })
    }

    /// Reports what is wrong with it when it is written.
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
        self.check_feed(problems);
        self.check_use(problems);
        #[cfg(feature = "template")]
        self.try_template(problems);
        if let Target::Webhook(endpoint) = &self.target
            && endpoint.sealed.is_some()
        {
            problems.add("target.webhook.sealed", "is not a member of this object");
        }
        let found = self.expose_json().len();
        if found > MAX_TRIGGER_BYTES {
            let expected = format!("expected at most {MAX_TRIGGER_BYTES} bytes of JSON");
            problems.add("", format!("{expected}, found {found} when written in full"));
        }
    }

    /// Reports what a template cannot make of the events that the trigger may get.
    #[cfg(feature = "template")]
    fn try_template(&self, problems: &mut Problems) {
        if let Target::Webhook(Endpoint { format: PayloadFormat::Template(template), .. }) =
            &self.target
        {
            let kinds = kinds::examples(&self.kinds);
            template.try_out(&kinds, "target.webhook.format.template", problems);
        }
    }

    /// Reports what no trigger may do, neither when it is written nor when it is read.
    fn check_use(&self, problems: &mut Problems) {
        self.target.check("target", problems);
        let longest = match self.target {
            Target::Webhook(_) => DeliveryPolicy::MAX_TIMEOUT,
            Target::Action(_) => DeliveryPolicy::MAX_ACTION_TIMEOUT,
        };
        self.policy.check("policy", longest, problems);
        if self.policy.batch.is_some() {
            self.check_batch("policy.batch", problems);
        }
    }

    /// Reports a target that cannot get several events at once.
    fn check_batch(&self, path: &str, problems: &mut Problems) {
        let found = match &self.target {
            Target::Webhook(endpoint) if endpoint.format.has_batches() => return,
            Target::Webhook(endpoint) => format!("the format {}", endpoint.format.as_str()),
            Target::Action(_) => "an action".to_owned(),
        };
        let expected = "expected a webhook of format native, cloudevents-structured, cdevents (not binary), \
             distribution, slack, teams or discord beside it";
        problems.add(path, format!("{expected}, found {found}"));
    }

    /// What the trigger waits for, as a sentence for logs and pages.
    ///
    /// ```
    /// use artifact_triggers::event::EventKind;
    /// use artifact_triggers::trigger::{Trigger, filter::field};
    ///
    /// let spec = Trigger::builder("t")
    ///     .scope("acme".parse()?)
    ///     .on(EventKind::ARTIFACT_INGESTED)
    ///     .filter(field::tags().is("latest"))
    ///     .action("a")
    ///     .build()?;
    /// let expected = r#"when artifact.ingested happens at or below acme, if artifact.tags is "latest""#;
    /// assert_eq!(spec.to_sentence(), expected);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_sentence(&self) -> String {
        let kinds: Vec<&str> = self.kinds.iter().map(KindPattern::as_str).collect();
        let kinds = kinds.join(" or ");
        let place = match self.scope.as_str() {
            "" => "anywhere".to_owned(),
            scope => format!("at or below {}", scope.escape_debug()),
        };
        let when = self.feed().unwrap_or_else(|| format!("{kinds} happens {place}"));
        if self.filter == Filter::everything() {
            return format!("when {when}");
        }
        format!("when {when}, if {}", self.filter.to_sentence())
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
        self.with_feed(members)
    }

    /// Adds what feeds it, if anything does.
    fn with_feed(&self, mut members: Map<String, Value>) -> Map<String, Value> {
        #[cfg(feature = "schedule")]
        members.extend(self.schedule.iter().map(|one| ("schedule".to_owned(), one.to_value())));
        members.extend(self.watch.iter().map(|one| ("watch".to_owned(), one.to_value())));
        members
    }
}

/// The kinds that a trigger with a schedule wants.
fn of_schedules() -> Vec<KindPattern> {
    vec![EventKind::SCHEDULE_FIRED.into()]
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
    /// Since when its schedule or watch counts: since it was made, got this schedule, began to
    /// watch, or was enabled last.
    pub fed_since: Option<Timestamp>,
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
    /// All its attempts failed for as long as its policy allows.
    Failing,
}

impl SuspendReason {
    const ALL: [Self; 2] = [Self::EndpointGone, Self::Failing];

    /// The reason's name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndpointGone => "endpoint_gone",
            Self::Failing => "failing",
        }
    }
}

impl Field for SuspendReason {
    const EXPECTED: &'static str = "endpoint_gone or failing";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|reason| value.as_str() == Some(reason.as_str()));
        document::or_mismatch(known, &value, Self::EXPECTED, path, problems)
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
        let fed_since = spec.is_fed().then_some(now);
        let (suspended, created_at, updated_at) = (None, now, now);
        Self { id, revision: 1, spec, suspended, fed_since, created_at, updated_at }
    }

    /// The trigger after a change.
    pub fn changed(
        &self,
        spec: TriggerSpec,
        suspended: Option<SuspendReason>,
        now: Timestamp,
    ) -> Self {
        let revision = self.revision + 1;
        let fed_since = self.fed_since_change(&spec, now);
        Self { revision, spec, suspended, fed_since, updated_at: now, ..self.clone() }
    }

    /// The trigger as a storage writes it, with its secrets.
    pub fn expose_json(&self) -> Zeroizing<Vec<u8>> {
        let members = self.members(Secrets::Exposed);
        Zeroizing::new(serde_json::to_vec(&members).expect("the keys are strings"))
    }

    /// Reads what [`expose_json`](Self::expose_json) wrote. The limits of names, labels, kinds and
    /// filters, and of the size of the whole, hold for who writes a trigger; one that a more
    /// generous version stored stays readable.
    ///
    /// # Errors
    /// What is wrong with it; it was changed by somebody else then.
    pub fn from_exposed_json(json: &[u8]) -> Result<Self, Problems> {
        let value = document::parse(json, usize::MAX)?;
        Problems::gather(|problems| {
            let mut object = Object::root(value, problems)?;
            let id = object.required("id", problems);
            let revision = object.required("revision", problems);
            let suspended = object.optional("suspended", problems);
            let fed_since = object.optional("fed_since", problems);
            let created_at = object.required("created_at", problems);
            let updated_at = object.required("updated_at", problems);
            let spec = TriggerSpec::take(&mut object, &FilterLimits::of_stored(), problems);
            spec.check_use(problems);
            Some(Self {
                id: id?,
                revision: revision?,
                spec,
                suspended,
                fed_since,
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
        members.extend(self.fed_since.map(|since| ("fed_since".to_owned(), json!(since))));
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

#[cfg(test)]
mod tests;
