//! Trigger conditions of Harness, translated to filters and back.
//!
//! In: a list of `{key, operator, value}`, all of which must hold, as Harness stores them. Out: a
//! [`Filter`] that holds where Harness would let the trigger fire. The way back says which
//! conditions a filter was, and refuses what Harness has no words for.
//!
//! The *input* is what the key names on the event; it is blank where there is none, where it is
//! null and where it is an empty text.
//!
//! | operator | with a blank value | otherwise | pattern |
//! |---|---|---|---|
//! | `Equals` | holds for a blank input | for an equal one | `["v"]`; blank `[null, "", {"exists": false}]` |
//! | `NotEquals` | holds for an input that is not blank | where `Equals` doesn't | `$not` of that |
//! | `StartsWith` | always holds | for a text that begins so | `[{"prefix": "v"}]` |
//! | `EndsWith` | always holds | for a text that ends so | `[{"suffix": "v"}]` |
//! | `Contains` | always holds | for a text that has it | `[{"contains": "v"}]` |
//! | `DoesNotContain` | is refused | where `Contains` doesn't | `$not` of that |
//! | `Regex` | always holds | for a text, not blank, that fits as a whole | `[{"regex": "(?s)\\A(?:v)\\z"}]` |
//! | `In` | always holds | for one equal to an item | `["a", "b"]` |
//! | `NotIn` | always holds | where `In` doesn't | `$not` of that |
//!
//! So `NotEquals`, `NotIn` and `DoesNotContain` hold for an input that is absent. A condition that
//! always holds leaves nothing in the filter.
//!
//! | key | field of the event |
//! |---|---|
//! | `<+trigger.payload.a.b>`, `<+eventPayload.a.b>` | `data.a.b`; `['a name']` for names that need quotes |
//! | `<+trigger.header['Name']>` | `data.headers.name`: a receiver that wants such conditions keeps the fields there, names in lower case |
//! | `<+trigger.artifact.build>` | `artifact.version`; `artifact.tags` of an event that has no version |
//! | `<+trigger.manifest.version>` | `artifact.version` |
//! | `<+lastPublished.tag>` | `artifact.tags` |
//! | `<+trigger.type>`, `<+trigger.event>` | `kind` |
//!
//! # What is decided here
//! - **Values of `kind` are not translated.** Harness has `Webhook`, `Artifact` and such as types
//!   and `PUSH`, `PR` and such as events; its registry has `artifact_created`, `artifact_updated`
//!   and `artifact_deleted`. Here they are [kinds](crate::event::EventKind): `artifact.ingested`,
//!   `artifact.updated`, `artifact.deleted` …
//! - **Numbers and booleans in a payload** equal the text that JSON writes them by: `Equals 5`
//!   holds for `"5"` and for `5`, `Equals true` for `"true"` and for `true`. Of numbers the value
//!   counts, so that `1.0` and `1` are the same. `StartsWith`, `EndsWith`, `Contains` and `Regex`
//!   look at texts only; Harness looks at the digits too.
//! - **Where the event has an array**, a condition holds if it does for any of the elements, and
//!   `NotEquals`, `NotIn` and `DoesNotContain` if it does for all of them. A `Regex` that the empty
//!   text fits also wants that no element is blank. Harness compares the array's text. Each
//!   condition looks for its own element. A step `[0]` in a key is refused.
//! - **Objects** and empty arrays have no text: they count as absent.
//! - **Items of `In`** are separated by commas and trimmed; double quotes keep a comma in an item,
//!   `""` within them is a quote. An item that is empty equals the empty text, not an absent field.
//! - **`In` and `NotIn` take no regexes.** In Harness each item that has no equal is tried as one,
//!   so that `1.0` fits `1x0`; [`HarnessOptions::with_compat`] keeps that.
//! - **Regexes** are those of the crate `regex`: what looks around and refers back is refused,
//!   `\d`, `\w` and `\s` are Unicode's.
//! - A text of blanks alone is not blank.

mod back;
mod condition;
mod key;
mod list;
mod pattern;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use back::to_harness;
pub use condition::{HarnessCondition, HarnessOperator, ParseOperatorError};

use super::{Filter, MAX_FILTER_BYTES, MAX_FILTER_DEPTH};
use crate::document::{self, Field, Problems, mismatch};
use key::Key;

/// How Harness's oddities are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HarnessOptions {
    /// Whether `In` and `NotIn` try their items as regexes too, as Harness does.
    pub compat: bool,
}

impl HarnessOptions {
    /// Sets whether `In` and `NotIn` try their items as regexes too: full matches, which never hold
    /// for a blank input, as `Regex` has it. An item that is no regex is refused then.
    pub fn with_compat(mut self, compat: bool) -> Self {
        self.compat = compat;
        self
    }
}

/// The filter that holds where all conditions do.
///
/// ```
/// use artifact_triggers::event::{Artifact, Event, EventKind};
/// use artifact_triggers::trigger::filter::harness::{
///     HarnessCondition, HarnessOperator, HarnessOptions, from_harness, to_harness,
/// };
///
/// let conditions = [
///     HarnessCondition::new("<+trigger.artifact.build>", HarnessOperator::StartsWith, "v"),
///     HarnessCondition::new("<+trigger.payload.env>", HarnessOperator::NotEquals, "dev"),
/// ];
/// let filter = from_harness(&conditions, &HarnessOptions::default())?;
///
/// let image = Artifact::new("oci", "hello").with_tag("v1");
/// let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(image).build()?;
/// assert!(filter.matches(&event));
///
/// let again = from_harness(&to_harness(&filter)?, &HarnessOptions::default())?;
/// assert_eq!(again, filter);
/// # Ok::<(), artifact_triggers::document::Problems>(())
/// ```
///
/// # Errors
/// Every problem at once, with paths such as `[1].key`: a key that names nothing of an event, a
/// value that is no list or no regex, a limit of the [filter's](super) exceeded.
pub fn from_harness(
    conditions: &[HarnessCondition],
    options: &HarnessOptions,
) -> Result<Filter, Problems> {
    Problems::gather(|problems| {
        let mut all = Vec::new();
        for (n, condition) in conditions.iter().enumerate() {
            all.extend(translate(condition, &at(n), options, problems).unwrap_or_default());
        }
        whole(&all, problems)
    })
}

/// The same, from the JSON of the list: `[{"key": …, "operator": …, "value": …}, …]`.
///
/// A `value` that is absent or null is blank.
///
/// # Errors
/// As [`from_harness`], and what is wrong with the JSON: no list, a member that conditions don't
/// have, an unknown operator.
pub fn from_harness_json(json: &[u8], options: &HarnessOptions) -> Result<Filter, Problems> {
    from_harness_value(&document::parse(json, MAX_FILTER_BYTES)?, options)
}

/// The same, from a JSON value.
///
/// # Errors
/// As [`from_harness_json`].
pub fn from_harness_value(value: &Value, options: &HarnessOptions) -> Result<Filter, Problems> {
    Problems::gather(|problems| {
        let Value::Array(items) = value else {
            mismatch(value, "a list of conditions", "", problems);
            return None;
        };
        let mut all = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let patterns = HarnessCondition::read(item.clone(), &at(n), problems)
                .and_then(|condition| translate(&condition, &at(n), options, problems));
            all.extend(patterns.unwrap_or_default());
        }
        whole(&all, problems)
    })
}

fn at(n: usize) -> String {
    format!("[{n}]")
}

/// What one condition wants: patterns that must all hold.
fn translate(
    condition: &HarnessCondition,
    path: &str,
    options: &HarnessOptions,
    problems: &mut Problems,
) -> Option<Vec<Value>> {
    let key = read_key(&condition.key, path, problems)?;
    let found =
        pattern::of(&key, condition.operator, &condition.value, options).and_then(|found| {
            let checked = Filter::from_value(&all_of(found.clone()));
            checked.map(|_| found).map_err(|problems| first_message(&problems))
        });
    found.map_err(|message| problems.add(format!("{path}.value"), message)).ok()
}

fn read_key(text: &str, path: &str, problems: &mut Problems) -> Option<Key> {
    let key = Key::parse(text).and_then(|key| {
        // What is wrong with this is wrong with the key, whatever stands beside it.
        let is_there = pattern::any_of(&key, vec![json!({"exists": true})]);
        let checked = Filter::from_value(&json!({"$and": [{"$not": is_there}]}));
        checked.map(|_| key).map_err(|problems| first_message(&problems))
    });
    key.map_err(|message| problems.add(format!("{path}.key"), message)).ok()
}

fn first_message(problems: &Problems) -> String {
    problems.iter().next().map(|problem| problem.message().to_owned()).unwrap_or_default()
}

/// The filter that holds where all patterns do, if nothing was wrong with any.
fn whole(patterns: &[Value], problems: &mut Problems) -> Option<Filter> {
    if !problems.is_empty() {
        return None;
    }
    // By their text: in one order, and each once, whatever the conditions were.
    let patterns: BTreeMap<String, Value> = patterns
        .iter()
        .map(|pattern| {
            let pattern = normal(pattern);
            (pattern.to_string(), pattern)
        })
        .collect();
    let refused = |found: Problems| {
        for problem in &found {
            problems.add("", format!("makes a filter that is refused: {problem}"));
        }
    };
    Filter::from_value(&all_of(patterns.into_values().collect())).map_err(refused).ok()
}

/// The pattern as filters print it.
fn normal(pattern: &Value) -> Value {
    Filter::from_value(pattern).map_or_else(|_| pattern.clone(), |filter| filter.to_value())
}

/// One pattern that holds where all do.
fn all_of(mut patterns: Vec<Value>) -> Value {
    match patterns.len() {
        0 => json!({}),
        1 => patterns.remove(0),
        _ => json!({"$and": patterns}),
    }
}

#[cfg(test)]
mod tests;
