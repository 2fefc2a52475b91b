//! What a version must be, by the rules of its ecosystem.
//!
//! In: the name of an ecosystem and a requirement in its own notation. Out: a
//! [`VersionRequirement`], parsed once and asked many times. No text makes it panic, and what it
//! costs to parse and to ask is bounded by [`MAX_BYTES`].

#[cfg(feature = "versions")]
mod debian;
#[cfg(feature = "versions")]
mod maven;
#[cfg(feature = "versions")]
mod npm;
#[cfg(feature = "versions")]
mod pypi;

use std::sync::Arc;

/// The longest requirement, and the longest version that can fit one.
const MAX_BYTES: usize = 1024;
const ECOSYSTEMS: [&str; 4] = ["debian", "maven", "npm", "pypi"];

/// What a version must be, by the rules of its ecosystem.
#[derive(Debug, Clone)]
pub(crate) struct VersionRequirement {
    ecosystem: &'static str,
    text: Box<str>,
    rules: Arc<Rules>,
}

/// A requirement as its ecosystem understands it. Without the feature `versions` there is none.
#[derive(Debug)]
enum Rules {
    #[cfg(feature = "versions")]
    Debian(debian::Relations),
    #[cfg(feature = "versions")]
    Maven(maven::Ranges),
    #[cfg(feature = "versions")]
    Npm(npm::Range),
    #[cfg(feature = "versions")]
    Pypi(pypi::Specifiers),
}

impl VersionRequirement {
    /// Parses a requirement in the notation of its ecosystem.
    ///
    /// # Errors
    /// What is wrong, as the rest of a problem's message.
    pub(crate) fn parse(ecosystem: &str, requirement: &str) -> Result<Self, String> {
        let Some(ecosystem) = ECOSYSTEMS.into_iter().find(|name| *name == ecosystem) else {
            let known = ECOSYSTEMS.join(", ");
            return Err(format!(
                "{ecosystem:?} is not an ecosystem with versions (expected one of {known})"
            ));
        };
        let length = requirement.len();
        if length > MAX_BYTES {
            return Err(format!("expected at most {MAX_BYTES} bytes, found {length}"));
        }
        let (rules, text) = Rules::parse(ecosystem, requirement)?;
        Ok(Self { ecosystem, text: text.into(), rules: Arc::new(rules) })
    }

    pub(crate) fn ecosystem(&self) -> &'static str {
        self.ecosystem
    }

    /// The requirement as it is printed; parses back to an equal one.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a version fits; what is no version of the ecosystem fits nothing.
    pub(crate) fn matches(&self, version: &str) -> bool {
        version.len() <= MAX_BYTES && self.rules.matches(version)
    }
}

impl PartialEq for VersionRequirement {
    fn eq(&self, other: &Self) -> bool {
        self.ecosystem == other.ecosystem && self.text == other.text
    }
}

#[cfg(feature = "versions")]
impl Rules {
    /// The rules and how they are printed.
    fn parse(ecosystem: &str, text: &str) -> Result<(Self, String), String> {
        let (parsed, expected) = match ecosystem {
            "debian" => (debian::Relations::parse(text).map(Self::Debian), debian::EXPECTED),
            "maven" => (maven::Ranges::parse(text).map(Self::Maven), maven::EXPECTED),
            "npm" => (npm::Range::parse(text).map(Self::Npm), npm::EXPECTED),
            _ => (pypi::Specifiers::parse(text).map(Self::Pypi), pypi::EXPECTED),
        };
        let rules = parsed.ok_or_else(|| {
            format!("{text:?} is not a version requirement of {ecosystem} (expected {expected})")
        })?;
        let text = match &rules {
            Self::Debian(relations) => relations.to_string(),
            Self::Maven(ranges) => ranges.to_string(),
            Self::Npm(range) => range.to_string(),
            Self::Pypi(specifiers) => specifiers.to_string(),
        };
        Ok((rules, text))
    }

    fn matches(&self, version: &str) -> bool {
        match self {
            Self::Debian(relations) => relations.matches(version),
            Self::Maven(ranges) => ranges.matches(version),
            Self::Npm(range) => range.matches(version),
            Self::Pypi(specifiers) => specifiers.matches(version),
        }
    }
}

#[cfg(not(feature = "versions"))]
impl Rules {
    fn parse(ecosystem: &str, _: &str) -> Result<(Self, String), String> {
        Err(format!("version requirements of {ecosystem} need the feature `versions` of the crate"))
    }

    fn matches(&self, _: &str) -> bool {
        match *self {}
    }
}

#[cfg(test)]
mod tests;
