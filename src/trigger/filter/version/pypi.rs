//! The version specifiers of Python packages, by PEP 440.
//!
//! In: `>=1.2, !=1.5.*`. Out: specifiers that all must hold. `===` is refused: it compares texts,
//! and a filter has exact texts already. Versions with numbers of more than 64 bits are none.
//!
//! PEP 440 excludes pre-releases (development releases are such) unless they are asked for, are
//! installed, or nothing else fits. A filter sees one version and no others, so asking is what
//! counts: pre-releases fit if any specifier but `!=` names one, as in `>=2.0rc1` or `>=2.0.dev0`.

use std::fmt;

use pep440_rs::{Operator, Version, VersionSpecifier, VersionSpecifiers};

pub(super) const EXPECTED: &str = "e.g. \">=1.2, !=1.5.*\"";

#[derive(Debug)]
pub(super) struct Specifiers {
    all: VersionSpecifiers,
    allow_pre_releases: bool,
}

impl Specifiers {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let all: VersionSpecifiers = text.parse().ok()?;
        let is_arbitrary =
            |specifier: &VersionSpecifier| *specifier.operator() == Operator::ExactEqual;
        if all.is_empty() || all.iter().any(is_arbitrary) {
            return None;
        }
        let asks = |specifier: &VersionSpecifier| {
            specifier.any_prerelease() && *specifier.operator() != Operator::NotEqual
        };
        Some(Self { allow_pre_releases: all.iter().any(asks), all })
    }

    pub(super) fn matches(&self, version: &str) -> bool {
        let version = version.parse::<Version>().ok();
        version.is_some_and(|version| {
            (self.allow_pre_releases || !version.any_prerelease())
                && self.all.iter().all(|specifier| holds(specifier, &version))
        })
    }
}

impl fmt::Display for Specifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.fmt(f)
    }
}

/// Whether one specifier holds. The package's own answer is not asked: it takes `1.1` for a
/// version of `==1.1.2.*`, and errs at the edges of `<` and `>`.
fn holds(specifier: &VersionSpecifier, version: &Version) -> bool {
    let named = specifier.version();
    // A local label counts only where one is named, which only `==` and `!=` may.
    let version = if named.is_local() { version } else { &version.clone().without_local() };
    match specifier.operator() {
        Operator::Equal => version == named,
        Operator::NotEqual => version != named,
        Operator::EqualStar => has_prefix(version, named, named.release()),
        Operator::NotEqualStar => !has_prefix(version, named, named.release()),
        Operator::TildeEqual => {
            let release = named.release();
            has_prefix(version, named, &release[..release.len() - 1]) && version >= named
        }
        Operator::LessThan if named.any_prerelease() => version < named,
        // Not even the pre-releases of the named version, of which this is the first.
        Operator::LessThan => *version < named.clone().with_dev(Some(0)),
        Operator::LessThanEqual => version <= named,
        Operator::GreaterThan => version > named && (named.is_post() || !follows(version, named)),
        Operator::GreaterThanEqual => version >= named,
        Operator::ExactEqual => false,
    }
}

/// Whether the numbers of a version, padded with zeros, begin with these, in the same epoch.
fn has_prefix(version: &Version, named: &Version, prefix: &[u64]) -> bool {
    let numbers = version.release().iter().copied().chain(std::iter::repeat(0));
    version.epoch() == named.epoch() && numbers.zip(prefix).all(|(found, number)| found == *number)
}

/// Whether a version is a post-release of another.
fn follows(version: &Version, named: &Version) -> bool {
    version.clone().with_post(None).with_dev(None) == *named
}
