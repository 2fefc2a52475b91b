//! The version ranges of Maven, by the requirement specification of the POM reference.
//!
//! In: `[1.0,2.0),[3.0,)`. Out: ranges of which any may hold the version. A pre-release is nothing
//! special: `[1.0,2.0)` holds `2.0-rc1`, which comes before `2.0`.
//!
//! A bare `1.0` is refused. To Maven it is a wish that every version fulfils, to the people who
//! write it now exactly this version, now at least this one; `[1.0]` and `[1.0,)` say which.

mod order;

use std::cmp::Ordering;
use std::fmt;

use order::Version;

pub(super) const EXPECTED: &str =
    "e.g. \"[1.0,2.0)\"; \"[1.0]\" is exactly 1.0, \"[1.0,)\" at least 1.0";

/// What Maven refuses in a version, beside spaces and control characters.
const NO_VERSION: &str = r#"\/:"<>|?*[](){},"#;

/// Any of these must hold.
#[derive(Debug)]
pub(super) struct Ranges(Vec<Range>);

#[derive(Debug)]
struct Range {
    lower: Option<Bound>,
    upper: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    version: Box<str>,
    is_inside: bool,
}

impl Ranges {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut ranges = Vec::new();
        loop {
            let end = rest.find([']', ')'])? + 1;
            ranges.push(Range::parse(&rest[..end])?);
            rest = rest[end..].trim_start();
            if rest.is_empty() {
                return Some(Self(ranges));
            }
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }

    pub(super) fn matches(&self, version: &str) -> bool {
        is_version(version) && {
            let version = Version::parse(version);
            self.0.iter().any(|range| range.holds(&version))
        }
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            range.fmt(f)?;
        }
        Ok(())
    }
}

impl Range {
    /// Parses a range with its brackets.
    fn parse(text: &str) -> Option<Self> {
        let open = text.strip_prefix(['[', '('])?;
        let inner = &open[..open.len() - 1];
        let (lower, upper) = inner.split_once(',').unwrap_or((inner, inner));
        let lower = Bound::parse(lower.trim(), text.starts_with('['))?;
        let upper = Bound::parse(upper.trim(), text.ends_with(']'))?;
        let range = Self { lower, upper };
        (range.is_possible() && (inner.contains(',') || range.lower.is_some())).then_some(range)
    }

    /// Whether its bounds are in order, and it holds the version that both name.
    fn is_possible(&self) -> bool {
        let (Some(lower), Some(upper)) = (&self.lower, &self.upper) else { return true };
        match lower.order().cmp(&upper.order()) {
            Ordering::Less => true,
            Ordering::Equal => lower.is_inside && upper.is_inside,
            Ordering::Greater => false,
        }
    }

    fn holds(&self, version: &Version) -> bool {
        let keeps = |bound: &Option<Bound>, outside: Ordering| {
            bound.as_ref().is_none_or(|bound| match version.cmp(&bound.order()) {
                Ordering::Equal => bound.is_inside,
                order => order != outside,
            })
        };
        keeps(&self.lower, Ordering::Less) && keeps(&self.upper, Ordering::Greater)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_inside = |bound: &Option<Bound>| bound.as_ref().is_some_and(|bound| bound.is_inside);
        let text = |bound: &'_ Option<Bound>| {
            bound.as_ref().map(|bound| bound.version.to_string()).unwrap_or_default()
        };
        let (lower, upper) = (text(&self.lower), text(&self.upper));
        f.write_str(if is_inside(&self.lower) { "[" } else { "(" })?;
        if !lower.is_empty() && lower == upper {
            f.write_str(&lower)?;
        } else {
            write!(f, "{lower},{upper}")?;
        }
        f.write_str(if is_inside(&self.upper) { "]" } else { ")" })
    }
}

impl Bound {
    /// Parses a bound, which may be missing.
    #[expect(clippy::option_option, reason = "no bound is not a wrong one")]
    fn parse(version: &str, is_inside: bool) -> Option<Option<Self>> {
        if version.is_empty() {
            return Some(None);
        }
        is_version(version).then(|| Some(Self { version: version.into(), is_inside }))
    }

    fn order(&self) -> Version {
        Version::parse(&self.version)
    }
}

fn is_version(text: &str) -> bool {
    let is_wrong = |c: char| c.is_whitespace() || c.is_control() || NO_VERSION.contains(c);
    !text.is_empty() && !text.contains(is_wrong)
}
