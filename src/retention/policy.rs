//! Policies: what is kept.
//!
//! In: JSON or calls. Out: a policy that keeps something.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::document::{self, Object, Problems, span};
use crate::trigger::filter::{Filter, FilterLimits, MAX_FILTER_BYTES};

/// Which versions are kept. A version is kept if any rule keeps it; what none keeps is deleted.
///
/// In JSON:
///
/// | member | keeps |
/// |---|---|
/// | `keep_last` | so many of each package, the newest |
/// | `keep_younger_than` | what was pushed within a span, such as `"30d"` |
/// | `keep_downloaded_within` | what was pulled within a span |
/// | `keep_matching` | what satisfies a [filter](crate::manual::filters) over the artifact: `{"tags": [{"semver": "*"}]}` |
/// | `for` | what does **not** satisfy a filter over the artifact: the policy is not for it |
///
/// ```
/// use artifact_triggers::retention::RetentionPolicy;
///
/// let policy = RetentionPolicy::from_json(br#"{
///     "for": {"repository": [{"glob": "acme/**"}]},
///     "keep_last": 10,
///     "keep_downloaded_within": "90d",
///     "keep_matching": {"tags": ["latest", {"glob": "v*"}]}
/// }"#)?;
/// assert_eq!(policy.keep_last, Some(10));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// What it is for; all if it is not set.
    pub select: Option<Filter>,
    /// How many of each package are kept at least, the newest first.
    pub keep_last: Option<u64>,
    /// What was pushed within this span is kept.
    pub keep_younger_than: Option<Duration>,
    /// What was pulled within this span is kept.
    pub keep_downloaded_within: Option<Duration>,
    /// What satisfies this is kept.
    pub keep_matching: Option<Filter>,
}

impl RetentionPolicy {
    /// A policy that keeps so many of each package, the newest.
    pub fn keep_last(count: u64) -> Self {
        Self { keep_last: Some(count), ..Self::default() }
    }

    /// Sets what it is for, by a filter over the artifact.
    pub fn with_select(mut self, filter: Filter) -> Self {
        self.select = Some(filter);
        self
    }

    /// Keeps what was pushed within a span.
    pub fn with_keep_younger_than(mut self, span: Duration) -> Self {
        self.keep_younger_than = Some(span);
        self
    }

    /// Keeps what was pulled within a span.
    pub fn with_keep_downloaded_within(mut self, span: Duration) -> Self {
        self.keep_downloaded_within = Some(span);
        self
    }

    /// Keeps what satisfies a filter over the artifact.
    pub fn with_keep_matching(mut self, filter: Filter) -> Self {
        self.keep_matching = Some(filter);
        self
    }

    /// Parses a policy from its JSON.
    ///
    /// # Errors
    /// Every problem at once, each with its path: a member of the wrong type, an unknown one, a
    /// filter that is wrong, or that nothing is kept.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        Self::from_value(document::parse(json, 2 * MAX_FILTER_BYTES)?)
    }

    /// Parses a policy from a JSON value.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_value(value: Value) -> Result<Self, Problems> {
        Problems::gather(|problems| {
            let mut object = Object::root(value, problems)?;
            let policy = Self {
                select: filter(&mut object, "for", problems),
                keep_last: object.optional("keep_last", problems),
                keep_younger_than: object.optional("keep_younger_than", problems),
                keep_downloaded_within: object.optional("keep_downloaded_within", problems),
                keep_matching: filter(&mut object, "keep_matching", problems),
            };
            object.finish(problems);
            if problems.is_empty() {
                policy.check(problems);
            }
            Some(policy)
        })
    }

    /// Reports a policy that keeps nothing: that would be a mistake more often than not.
    ///
    /// # Errors
    /// What is missing.
    pub fn validate(&self) -> Result<(), Problems> {
        Problems::gather(|problems| {
            self.check(problems);
            Some(())
        })
    }

    fn check(&self, problems: &mut Problems) {
        if self.keep_last == Some(0) {
            problems.add("keep_last", "expected 1 or more, found 0");
        }
        let keeps = self.keep_last.is_some()
            || self.keep_younger_than.is_some()
            || self.keep_downloaded_within.is_some()
            || self.keep_matching.is_some();
        if !keeps {
            let rules = "keep_last, keep_younger_than, keep_downloaded_within or keep_matching";
            problems.add("", format!("expected {rules}: without any, everything is deleted"));
        }
    }

    /// The policy as JSON; parses back to an equal policy, spans cut off below a millisecond.
    pub fn to_value(&self) -> Value {
        let span = |span: Option<Duration>| span.map(|span| Value::String(span::print(span)));
        let members = [
            ("for", self.select.as_ref().map(Filter::to_value)),
            ("keep_last", self.keep_last.map(Value::from)),
            ("keep_younger_than", span(self.keep_younger_than)),
            ("keep_downloaded_within", span(self.keep_downloaded_within)),
            ("keep_matching", self.keep_matching.as_ref().map(Filter::to_value)),
        ];
        let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(there.collect::<Map<_, _>>())
    }
}

fn filter(object: &mut Object, name: &str, problems: &mut Problems) -> Option<Filter> {
    let path = object.path(name);
    let value: Value = object.optional(name, problems)?;
    Filter::read(&value, &path, &FilterLimits::default(), problems)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(policy: Value) -> String {
        RetentionPolicy::from_value(policy).unwrap_err().to_string()
    }

    #[test]
    fn what_is_read_is_written_the_same() {
        let json = json!({
            "for": {"repository": [{"prefix": "acme/"}]},
            "keep_last": 3,
            "keep_younger_than": "30d",
            "keep_downloaded_within": "12h",
            "keep_matching": {"tags": ["latest"]},
        });
        let policy = RetentionPolicy::from_value(json.clone()).unwrap();
        assert_eq!(policy.to_value(), json);
        assert_eq!(policy.keep_younger_than, Some(Duration::from_secs(30 * 24 * 60 * 60)));
    }

    #[test]
    fn a_policy_that_keeps_nothing_is_refused() {
        let expected = "expected keep_last, keep_younger_than, keep_downloaded_within or \
                        keep_matching: without any, everything is deleted";
        assert_eq!(problems(json!({})), expected);
        assert_eq!(problems(json!({"for": {"name": ["a"]}})), expected);
        assert_eq!(problems(json!({"keep_last": 0})), "keep_last: expected 1 or more, found 0");
        assert_eq!(RetentionPolicy::default().validate().unwrap_err().to_string(), expected);
    }

    #[test]
    fn every_mistake_is_named() {
        assert_eq!(
            problems(json!({
                "keep_last": -1, "keep_younger_than": "a month", "keep_first": 1,
                "keep_matching": {"tags": []},
            })),
            "keep_last: expected a whole number of 0 or more, found -1; \
             keep_younger_than: expected a span of time such as \"30s\", \"1h30m\" or \"7d\", found \
             \"a month\"; \
             keep_matching.tags: expected at least one item, found an empty list; \
             keep_first: is not a member of this object"
        );
    }
}
