//! Revised: a trigger's JSON that somebody changed who does not see its secrets.
//!
//! In: a document in which secrets may stand as they are shown, and the trigger as it is stored.
//! Out: a whole spec. What is stored goes to the origin that it was stored for and to no other.

use serde_json::{Map, Value};
use url::{Origin, Url};

use super::target::{REDACTED, Secrets};
use super::{Endpoint, MAX_TRIGGER_BYTES, Target, Trigger, TriggerSpec};
use crate::document::{self, Problems};

/// A spec that was made of a document and what is stored.
#[derive(Debug)]
pub(crate) struct Revised {
    pub(crate) spec: TriggerSpec,
    /// The paths of what was stored and is not in it, since its origin is another one.
    pub(crate) dropped: Vec<String>,
}

const WEBHOOK: &str = "target.webhook";
/// The members that a trigger is shown with beside its spec, and its id.
const SET_BY_ENGINE: [&str; 4] = ["revision", "suspended", "created_at", "updated_at"];

impl Trigger {
    /// The spec of a document, with what it keeps of this trigger: its scope, and of its secrets
    /// what is absent or `[redacted]`. What only the engine sets may be in it and changes nothing;
    /// the id of another trigger is refused.
    pub(crate) fn revised(&self, json: &[u8]) -> Result<Revised, Problems> {
        let mut value = document::parse(json, MAX_TRIGGER_BYTES)?;
        if let Some(members) = value.as_object_mut() {
            members.entry("scope").or_insert_with(|| Value::from(self.spec.scope.as_str()));
            members.retain(|name, _| !SET_BY_ENGINE.contains(&name.as_str()));
            let own = self.id.to_string();
            if let Some(id) = members.remove("id").filter(|id| id.as_str() != Some(&own)) {
                return Err(Problems::at("id", format!("expected {own:?}, found {id}")));
            }
        }
        let mut dropped = Vec::new();
        if let Target::Webhook(stored) = &self.spec.target {
            let mut problems = Problems::default();
            match value.pointer_mut("/target/webhook").and_then(Value::as_object_mut) {
                Some(given) => {
                    let mut keeping = Keeping::new(stored, given, &mut dropped, &mut problems);
                    keeping.url(given);
                    keeping.secrets(given);
                    keeping.headers(given);
                    keeping.auth(given);
                }
                None => dropped.extend(all_credentials(stored)),
            }
            if !problems.is_empty() {
                return Err(problems);
            }
        }
        Ok(Revised { spec: TriggerSpec::from_value(value)?, dropped })
    }
}

/// The paths of all that an endpoint has.
fn all_credentials(endpoint: &Endpoint) -> Vec<String> {
    let path = |name: &str| format!("{WEBHOOK}.{name}");
    let secrets = (!endpoint.secrets.is_empty()).then(|| path("secrets"));
    let headers = endpoint.headers.iter().map(|(name, _)| path(&format!("headers.{name}")));
    let auth = endpoint.auth.as_ref().map(|_| path("auth"));
    secrets.into_iter().chain(headers).chain(auth).collect()
}

/// Fills a webhook's document with what is kept.
struct Keeping<'a> {
    /// What is stored, as it is written.
    exposed: Value,
    /// The same as it is shown.
    shown: Value,
    /// Whether what is stored may be kept.
    same_origin: bool,
    dropped: &'a mut Vec<String>,
    problems: &'a mut Problems,
}

impl<'a> Keeping<'a> {
    fn new(
        stored: &Endpoint,
        given: &Map<String, Value>,
        dropped: &'a mut Vec<String>,
        problems: &'a mut Problems,
    ) -> Self {
        let same_origin = origin(given.get("url")).is_some_and(|url| url == stored.url.origin());
        let exposed = stored.to_value(Secrets::Exposed);
        let shown = stored.to_value(Secrets::Redacted);
        Self { exposed, shown, same_origin, dropped, problems }
    }

    fn drop(&mut self, name: &str) {
        self.dropped.push(format!("{WEBHOOK}.{name}"));
    }

    /// As it was shown, to the letter, it is the one that is stored.
    fn url(&self, given: &mut Map<String, Value>) {
        if given.get("url") == self.shown.get("url") {
            given.insert("url".to_owned(), self.exposed["url"].clone());
        }
    }

    /// Where a member is absent: it is kept, or dropped if it has anything.
    fn absent(&mut self, name: &str, given: &mut Map<String, Value>) {
        let Some(stored) = self.exposed.get(name).cloned() else { return };
        if self.same_origin {
            given.insert(name.to_owned(), stored);
        } else if stored.as_array().is_none_or(|entries| !entries.is_empty()) {
            self.drop(name);
        }
    }

    /// The list says nothing of which is which, so that who keeps one keeps all, in their order.
    fn secrets(&mut self, given: &mut Map<String, Value>) {
        let Some(entries) = given.get_mut("secrets") else { return self.absent("secrets", given) };
        let Some(entries) = entries.as_array_mut() else { return };
        let redacted = entries.iter_mut().filter_map(held_text);
        let mut redacted: Vec<&mut Value> = redacted.filter(|text| *text == REDACTED).collect();
        if redacted.is_empty() {
            return;
        }
        if !self.same_origin {
            entries.retain_mut(|entry| held_text(entry).is_none_or(|text| text != REDACTED));
            return self.drop("secrets");
        }
        let mut stored = self.exposed["secrets"].clone();
        let stored: Vec<&mut Value> =
            stored.as_array_mut().into_iter().flatten().filter_map(held_text).collect();
        if redacted.len() != stored.len() {
            let (expected, found) = (stored.len(), redacted.len());
            let message =
                format!("expected {REDACTED} for all {expected} that are stored, or none");
            self.problems.add(format!("{WEBHOOK}.secrets"), format!("{message}, found {found}"));
            return;
        }
        for (text, stored) in redacted.iter_mut().zip(stored) {
            **text = stored.clone();
        }
    }

    fn headers(&mut self, given: &mut Map<String, Value>) {
        let Some(fields) = given.get_mut("headers") else {
            if self.same_origin {
                return self.absent("headers", given);
            }
            let names = self.exposed["headers"].as_object().into_iter().flat_map(Map::keys);
            self.dropped.extend(names.map(|name| format!("{WEBHOOK}.headers.{name}")));
            return;
        };
        let Some(fields) = fields.as_object_mut() else { return };
        let stored = self.exposed["headers"].as_object();
        let of = |name: &String| {
            stored?.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, v)| v)
        };
        if self.same_origin {
            for (name, value) in fields.iter_mut().filter(|(_, value)| **value == REDACTED) {
                // Where nothing is stored, reading refuses what stands there.
                *value = of(name).unwrap_or(value).clone();
            }
        } else {
            let gone = fields.iter().filter(|(_, value)| **value == REDACTED);
            let gone: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
            fields.retain(|_, value| *value != REDACTED);
            self.dropped.extend(gone.iter().map(|name| format!("{WEBHOOK}.headers.{name}")));
        }
    }

    /// What is kept of `auth` may go to the endpoint and, of OAuth, to the token endpoint: neither
    /// may be another one.
    fn auth(&mut self, given: &mut Map<String, Value>) {
        let Some(auth) = given.get_mut("auth") else { return self.absent("auth", given) };
        if !has_redacted(auth) {
            return;
        }
        let (Some(exposed), Some(shown)) = (self.exposed.get("auth"), self.shown.get("auth"))
        else {
            return;
        };
        let token_origin = |auth: &Value| origin(auth.pointer("/oauth2/token_url"));
        let same_tokens = token_origin(auth).is_none_or(|to| token_origin(exposed) == Some(to));
        if self.same_origin && same_tokens {
            fill(auth, exposed, shown);
        } else {
            given.remove("auth");
            self.drop("auth");
        }
    }
}

/// The text of a secret that the trigger holds, in either of its forms.
fn held_text(entry: &mut Value) -> Option<&mut Value> {
    match entry {
        Value::String(_) => Some(entry),
        Value::Object(members) => members.get_mut("secret"),
        _ => None,
    }
}

fn origin(url: Option<&Value>) -> Option<Origin> {
    Url::parse(url?.as_str()?).ok().map(|url| url.origin())
}

/// Whether anything in a document stands as it is shown.
fn has_redacted(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(has_redacted),
        Value::String(text) => text.contains(REDACTED),
        _ => false,
    }
}

/// Puts what is stored where a document has what is shown of it.
fn fill(given: &mut Value, exposed: &Value, shown: &Value) {
    if let (Value::Object(given), Value::Object(_)) = (&mut *given, exposed) {
        for (name, value) in given.iter_mut() {
            if let (Some(exposed), Some(shown)) = (exposed.get(name), shown.get(name)) {
                fill(value, exposed, shown);
            }
        }
    } else if given == shown {
        *given = exposed.clone();
    }
}
