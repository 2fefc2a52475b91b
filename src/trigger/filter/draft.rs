//! A filter as it is being written in Rust.

use serde_json::{Value, json};

use super::{Filter, FilterLimits};
use crate::document::Problems;

/// A filter as it is being written, made of [`Field`](super::Field)s and joined by `and`, `or` and
/// `not`. It is checked when it becomes a [`Filter`]: by [`parse`](Self::parse), or when the
/// trigger is built that it is given to.
///
/// ```
/// use artifact_triggers::trigger::filter::{Filter, field};
///
/// let filter: Filter = field::repository()
///     .starts_with("library/")
///     .and(field::tags().satisfies_semver(">=1.2, <2"))
///     .and(field::actor_kind().is("robot").not())
///     .parse()?;
/// assert_eq!(
///     filter.to_value(),
///     serde_json::json!({
///         "$and": [
///             {"artifact": {"repository": [{"prefix": "library/"}]}},
///             {"artifact": {"tags": [{"semver": ">=1.2, <2"}]}},
///         ],
///         "$not": {"actor": {"kind": ["robot"]}},
///     })
/// );
/// # Ok::<(), artifact_triggers::document::Problems>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Draft(Value);

impl Draft {
    pub(super) fn of(pattern: Value) -> Self {
        Self(pattern)
    }

    /// Both hold. Each is judged on its own: `field::tags().is("a").and(field::tags().is("b"))`
    /// wants both tags.
    pub fn and(self, other: impl Into<Self>) -> Self {
        self.join("$and", other.into())
    }

    /// Either holds, or both do.
    pub fn or(self, other: impl Into<Self>) -> Self {
        self.join("$or", other.into())
    }

    /// Adds to a combination of the same kind, so that a long chain is not a deep one.
    fn join(self, operator: &str, other: Self) -> Self {
        let mut patterns = match self.0 {
            Value::Object(mut members) if members.len() == 1 && members.contains_key(operator) => {
                match members.remove(operator) {
                    Some(Value::Array(patterns)) => patterns,
                    other => other.into_iter().collect(),
                }
            }
            pattern => vec![pattern],
        };
        patterns.push(other.0);
        Self(json!({ operator: patterns }))
    }

    /// It does not hold.
    #[expect(clippy::should_implement_trait, reason = "`a.not()` reads on; `!a` would be overseen")]
    pub fn not(self) -> Self {
        Self(json!({"$not": self.0}))
    }

    /// The filter, if it is one.
    ///
    /// # Errors
    /// Every problem at once, each with its path in the draft's JSON.
    pub fn parse(&self) -> Result<Filter, Problems> {
        Filter::from_value(&self.0)
    }

    pub(super) fn into_value(self) -> Value {
        self.0
    }

    pub(crate) fn read(&self, path: &str, problems: &mut Problems) -> Option<Filter> {
        Filter::read(&self.0, path, &FilterLimits::default(), problems)
    }
}

impl From<Filter> for Draft {
    fn from(filter: Filter) -> Self {
        Self(filter.to_value())
    }
}

impl TryFrom<Draft> for Filter {
    type Error = Problems;

    /// As [`Draft::parse`].
    fn try_from(draft: Draft) -> Result<Self, Problems> {
        draft.parse()
    }
}
