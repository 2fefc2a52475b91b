//! Which kinds of events a trigger wants.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::event::{EventKind, is_kind};

/// A kind (`artifact.ingested`), all kinds below a word (`artifact.*`), or all kinds (`*`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindPattern(String);

impl KindPattern {
    /// Every kind.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether more than one kind fits.
    pub(crate) fn has_stem(&self) -> bool {
        self.0.ends_with('*')
    }

    /// Whether a kind fits.
    pub fn matches(&self, kind: &EventKind) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => kind.as_str().starts_with(stem),
            None => self.0 == kind.as_str(),
        }
    }
}

impl From<EventKind> for KindPattern {
    fn from(kind: EventKind) -> Self {
        Self(kind.as_str().to_owned())
    }
}

/// The known kinds that fit one of some patterns; of a pattern that no known kind fits, one that
/// would.
#[cfg(feature = "template")]
pub(super) fn examples(patterns: &[KindPattern]) -> Vec<EventKind> {
    let known = EventKind::KNOWN.iter();
    let mut kinds: Vec<EventKind> =
        known.filter(|kind| patterns.iter().any(|one| one.matches(kind))).cloned().collect();
    for pattern in patterns {
        if !EventKind::KNOWN.iter().any(|kind| pattern.matches(kind)) {
            kinds.extend(pattern.0.replace('*', "sample").parse());
        }
    }
    kinds
}

/// A text that is no pattern of kinds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a kind such as artifact.ingested, artifact.* or *, found {found:?}")]
pub struct ParsePatternError {
    found: String,
}

impl FromStr for KindPattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let stem = text.strip_suffix(".*").unwrap_or(text);
        if text == "*" || is_kind(stem) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParsePatternError { found: text.chars().take(80).collect() })
        }
    }
}

impl fmt::Display for KindPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KindPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for KindPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

crate::document::field_from_str!(KindPattern, "a kind or a pattern of kinds");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_its_kind_what_is_below_it_or_everything() {
        let pattern = |text: &str| text.parse::<KindPattern>().unwrap();
        let kind: EventKind = "artifact.scan.done".parse().unwrap();
        for text in ["*", "artifact.*", "artifact.scan.*", "artifact.scan.done"] {
            assert!(pattern(text).matches(&kind), "{text}");
        }
        for text in ["artifact", "artifact.scan", "artif.*", "artifact.scan.done.*", "scan.*"] {
            assert!(!pattern(text).matches(&kind), "{text}");
        }
    }

    #[test]
    fn a_malformed_pattern_is_refused() {
        for text in ["", "**", "a*", "*.a", "a.*.b", ".*", "A.*"] {
            assert!(text.parse::<KindPattern>().is_err(), "{text:?}");
        }
    }
}
