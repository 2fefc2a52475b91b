//! Where something belongs: account, organisation, project, registry.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A `/`-separated path such as `acme/platform/registry`; empty for the root.
///
/// A trigger sees the events at and below its scope, never beside or above it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Arc<str>);

impl Scope {
    /// The longest scope, in bytes.
    pub const MAX_LEN: usize = 512;
    /// The deepest scope, in segments.
    pub const MAX_DEPTH: usize = 16;

    /// The root: everything is at or below it.
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// The scope as text, without a leading or trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this scope or below it.
    ///
    /// ```
    /// use artifact_triggers::event::Scope;
    ///
    /// let acme: Scope = "acme".parse()?;
    /// assert!(acme.contains(&"acme/platform".parse()?));
    /// assert!(!acme.contains(&"acme-eu".parse()?));
    /// assert!(Scope::root().contains(&acme));
    /// # Ok::<(), artifact_triggers::event::ParseScopeError>(())
    /// ```
    pub fn contains(&self, other: &Self) -> bool {
        self.0.is_empty()
            || other
                .0
                .strip_prefix(&*self.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// This scope and all above it, from the root down.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let text: &str = &self.0;
        // Byte by byte: scopes are short, and this is asked for every event.
        let bytes = text.bytes().enumerate();
        let borders = bytes.filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
        let whole = (!text.is_empty()).then_some(text.len());
        std::iter::once(0).chain(borders).chain(whole).map(move |end| &text[..end])
    }
}

/// So that a map keyed by scopes can be asked for an ancestor without making one.
impl std::borrow::Borrow<str> for Scope {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::root()
    }
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a scope: up to 16 segments joined by single slashes, without control characters, \
     of at most 512 bytes, such as acme/platform; found {found:?}"
)]
pub struct ParseScopeError {
    found: String,
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Byte by byte: scopes are short, and one is read with every event.
        let segments = || text.as_bytes().split(|byte| *byte == b'/');
        let fits = text.len() <= Self::MAX_LEN && segments().count() <= Self::MAX_DEPTH;
        let clean = !text.chars().any(char::is_control);
        let whole = text.is_empty() || segments().all(|segment| !segment.is_empty());
        if fits && clean && whole {
            Ok(Self(Arc::from(text)))
        } else {
            Err(ParseScopeError { found: text.chars().take(80).collect() })
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

crate::document::field_from_str!(Scope, "a scope");

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn the_ancestors_lead_from_the_root_to_the_scope_itself() {
        assert_eq!(scope("a/b/c").ancestors().collect::<Vec<_>>(), ["", "a", "a/b", "a/b/c"]);
        assert_eq!(Scope::root().ancestors().collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn a_scope_contains_what_has_it_as_an_ancestor() {
        for (outer, inner) in [("", ""), ("", "a"), ("a", "a"), ("a", "a/b"), ("a/b", "a/b/c")] {
            assert!(scope(outer).contains(&scope(inner)), "{outer} {inner}");
        }
        for (outer, inner) in [("a", ""), ("a", "ab"), ("a/b", "a"), ("b", "a/b"), ("a/b", "a/bc")]
        {
            assert!(!scope(outer).contains(&scope(inner)), "{outer} {inner}");
        }
    }

    #[test]
    fn a_malformed_scope_is_refused() {
        let deep = "a/".repeat(16) + "a";
        for text in ["/", "/a", "a/", "a//b", "a\nb", "a\u{7f}", "ä\u{85}", &"a".repeat(513), &deep]
        {
            assert!(text.parse::<Scope>().is_err(), "{text:?}");
        }
        assert_eq!(scope("ä/ö").to_string(), "ä/ö");
    }
}
