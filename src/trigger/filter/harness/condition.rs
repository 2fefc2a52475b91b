//! Conditions, as Harness stores them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::read_key;
use crate::document::{Field, Object, Problems, cut, field_from_str};

/// One condition of a Harness trigger.
///
/// ```
/// use artifact_triggers::trigger::filter::harness::{HarnessCondition, HarnessOperator};
///
/// let condition =
///     HarnessCondition::new("<+lastPublished.tag>", HarnessOperator::NotIn, "latest, dev");
/// let json = r#"{"key": "<+lastPublished.tag>", "operator": "NotIn", "value": "latest, dev"}"#;
/// assert_eq!(serde_json::from_str::<HarnessCondition>(json).unwrap(), condition);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HarnessCondition {
    /// What is looked at, as an expression: `<+trigger.payload.a.b>`.
    pub key: String,
    /// How it is compared.
    pub operator: HarnessOperator,
    /// What it is compared with; blank is the empty text.
    pub value: String,
}

impl HarnessCondition {
    /// A condition; whether it can be translated is for [`from_harness`](super::from_harness) to
    /// say.
    pub fn new(
        key: impl Into<String>,
        operator: HarnessOperator,
        value: impl Into<String>,
    ) -> Self {
        Self { key: key.into(), operator, value: value.into() }
    }
}

impl Field for HarnessCondition {
    const EXPECTED: &'static str = "a condition (an object)";

    /// A key that cannot be translated is reported too, lest it wait until all else is mended.
    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let key: Option<String> = object.required("key", problems);
        let operator = object.required("operator", problems);
        let text = object.optional("value", problems).unwrap_or_default();
        object.finish(problems);
        if let (Some(key), None) = (&key, &operator) {
            read_key(key, path, problems);
        }
        Some(Self { key: key?, operator: operator?, value: text })
    }
}

impl<'de> Deserialize<'de> for HarnessCondition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Problems::gather(|problems| Self::read(value, "", problems))
            .map_err(serde::de::Error::custom)
    }
}

/// How a [`HarnessCondition`] compares. Case always counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum HarnessOperator {
    /// Equal to the value; blank, if that is.
    Equals,
    /// Not so.
    NotEquals,
    /// Equal to an item of the value, a list with commas.
    In,
    /// Not so.
    NotIn,
    /// A text that begins with the value.
    StartsWith,
    /// A text that ends with the value.
    EndsWith,
    /// A text that has the value in it.
    Contains,
    /// Not so.
    DoesNotContain,
    /// A text that fits the value, a regex, as a whole.
    Regex,
}

impl HarnessOperator {
    /// All operators.
    pub const ALL: &'static [Self] = &[
        Self::Equals,
        Self::NotEquals,
        Self::In,
        Self::NotIn,
        Self::StartsWith,
        Self::EndsWith,
        Self::Contains,
        Self::DoesNotContain,
        Self::Regex,
    ];

    /// The operator's name, as Harness writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "Equals",
            Self::NotEquals => "NotEquals",
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::StartsWith => "StartsWith",
            Self::EndsWith => "EndsWith",
            Self::Contains => "Contains",
            Self::DoesNotContain => "DoesNotContain",
            Self::Regex => "Regex",
        }
    }
}

impl fmt::Display for HarnessOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no operator of Harness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected Equals, NotEquals, In, NotIn, StartsWith, EndsWith, Contains, DoesNotContain or \
     Regex, found {found:?}"
)]
pub struct ParseOperatorError {
    found: String,
}

impl FromStr for HarnessOperator {
    type Err = ParseOperatorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|operator| operator.as_str() == text);
        known.copied().ok_or_else(|| ParseOperatorError { found: cut(text).to_owned() })
    }
}

field_from_str!(HarnessOperator, "an operator");
