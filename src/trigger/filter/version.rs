//! What a version must be, by the rules of its ecosystem.
//!
//! In: an ecosystem's name and a requirement as its users write it. With feature `versions` there are
//! `npm` (ranges as node-semver has them) and `pypi` (version specifiers of PEP 440). What has no
//! well-kept crate is absent: Maven, Debian and others.

use std::fmt;

/// A requirement of an ecosystem.
#[derive(Clone)]
pub(crate) struct VersionRequirement {
    text: Box<str>,
    rules: Rules,
}

#[derive(Clone)]
enum Rules {
    #[cfg(feature = "versions")]
    Npm(nodejs_semver::Range),
    #[cfg(feature = "versions")]
    Pypi(pep440_rs::VersionSpecifiers),
}

impl VersionRequirement {
    /// Parses a requirement of an ecosystem.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a problem.
    #[cfg(feature = "versions")]
    pub(crate) fn parse(ecosystem: &str, requirement: &str) -> Result<Self, String> {
        let refuse = |example: &str| {
            format!(
                "{requirement:?} is not a version requirement of {ecosystem} (expected e.g. {example:?})"
            )
        };
        let rules = match ecosystem {
            "npm" => Rules::Npm(requirement.parse().map_err(|_| refuse("^1.2 || >=2.5"))?),
            "pypi" => Rules::Pypi(requirement.parse().map_err(|_| refuse("~=1.4, !=1.4.2"))?),
            _ => return Err("is no ecosystem that is known here (expected npm or pypi)".to_owned()),
        };
        Ok(Self { text: requirement.into(), rules })
    }

    /// Refuses every ecosystem.
    ///
    /// # Errors
    /// That the feature is off.
    #[cfg(not(feature = "versions"))]
    pub(crate) fn parse(_: &str, _: &str) -> Result<Self, String> {
        Err("is not known here: this build of artifact-triggers has no feature versions".to_owned())
    }

    /// The ecosystem's name.
    pub(crate) fn ecosystem(&self) -> &'static str {
        match self.rules {
            #[cfg(feature = "versions")]
            Rules::Npm(_) => "npm",
            #[cfg(feature = "versions")]
            Rules::Pypi(_) => "pypi",
        }
    }

    /// The requirement as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a version meets it; what is no version of the ecosystem does not.
    #[cfg_attr(not(feature = "versions"), expect(unused_variables, reason = "there are no rules"))]
    pub(crate) fn matches(&self, version: &str) -> bool {
        match self.rules {
            #[cfg(feature = "versions")]
            Rules::Npm(ref range) => npm_version(version).is_some_and(|v| range.satisfies(&v)),
            #[cfg(feature = "versions")]
            Rules::Pypi(ref specifiers) => version.parse().is_ok_and(|v| pypi_fits(specifiers, &v)),
        }
    }
}

/// A version, if it is short enough for one: the parser takes any length.
#[cfg(feature = "versions")]
fn npm_version(version: &str) -> Option<nodejs_semver::Version> {
    (version.len() <= MAX_VERSION_BYTES).then(|| version.parse().ok()).flatten()
}

/// The longest version of npm, in bytes (node-semver's `MAX_LENGTH`).
#[cfg(feature = "versions")]
const MAX_VERSION_BYTES: usize = 256;

/// Pre-releases fit only if one of the specifiers names one (PEP 440, "Handling of pre-releases").
#[cfg(feature = "versions")]
fn pypi_fits(specifiers: &pep440_rs::VersionSpecifiers, version: &pep440_rs::Version) -> bool {
    let named = || specifiers.iter().any(|specifier| specifier.version().any_prerelease());
    (!version.any_prerelease() || named()) && specifiers.contains(version)
}

impl PartialEq for VersionRequirement {
    fn eq(&self, other: &Self) -> bool {
        self.ecosystem() == other.ecosystem() && self.text == other.text
    }
}

impl fmt::Debug for VersionRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.ecosystem(), self.text)
    }
}

#[cfg(all(test, feature = "versions"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(ecosystem: &str, requirement: &str, fitting: &[&str], others: &[&str]) {
        let parsed = VersionRequirement::parse(ecosystem, requirement).unwrap();
        for version in fitting {
            assert!(parsed.matches(version), "{requirement} should fit {version}");
        }
        for version in others {
            assert!(!parsed.matches(version), "{requirement} should not fit {version}");
        }
    }

    #[test]
    fn ranges_of_npm_mean_what_node_semver_says() {
        check("npm", "^1.2 || >=2.5", &["1.2.0", "1.9.9", "2.5.0", "3.0.0"], &["1.1.9", "2.4.9"]);
        check("npm", "1.2.3 - 2.3.4", &["1.2.3", "2.3.4"], &["2.3.5", "1.2.2"]);
        check("npm", "~1.2", &["1.2.9"], &["1.3.0"]);
        check("npm", "1.x", &["1.0.0", "1.99.0"], &["2.0.0", "latest", ""]);
        check("npm", ">1.2.3-alpha.3", &["1.2.3-alpha.7", "3.4.5"], &["3.4.5-alpha.9"]);
    }

    #[test]
    fn specifiers_of_pypi_mean_what_pep_440_says() {
        check("pypi", "~=1.4, !=1.4.2", &["1.4", "1.4.1", "1.9"], &["1.4.2", "2.0", "1.5rc1"]);
        check("pypi", "==1.*", &["1.0", "1.9.post1"], &["2.0", "1.0.dev1", "x"]);
        check("pypi", ">=1.5rc1", &["1.5rc2", "1.5", "2.0b1"], &["1.5a1"]);
        check("pypi", ">=1!2.0", &["1!2.0"], &["3.0"]);
    }

    #[test]
    fn what_is_no_requirement_is_refused() {
        for (ecosystem, requirement, expected) in [
            ("npm", "^1.x.y.z", "is not a version requirement of npm"),
            ("pypi", "^1.0", "is not a version requirement of pypi"),
            ("maven", "[1.0,2.0)", "is no ecosystem that is known here (expected npm or pypi)"),
        ] {
            let found = VersionRequirement::parse(ecosystem, requirement).unwrap_err();
            assert!(found.contains(expected), "{found}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_requirement_or_a_version_panic(
            requirement in r"[0-9a-z.*^~<>=!|, +-]{0,24}",
            version in r"[0-9a-z.!+-]{0,40}",
        ) {
            for ecosystem in ["npm", "pypi"] {
                if let Ok(parsed) = VersionRequirement::parse(ecosystem, &requirement) {
                    parsed.matches(&version);
                    let again = VersionRequirement::parse(ecosystem, parsed.as_str());
                    prop_assert_eq!(again.unwrap(), parsed);
                }
            }
        }
    }
}
