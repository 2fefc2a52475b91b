//! Relations to Debian versions, by Debian Policy 5.6.12 and 7.1.
//!
//! In: `>= 1:2.0-1, << 3`. Out: relations that all must hold. `<` and `>`, which Policy calls
//! deprecated and which meant `<=` and `>=`, are refused.

use std::cmp::Ordering;
use std::fmt;

pub(super) const EXPECTED: &str = "e.g. \">= 1:2.0-1, << 3\", with <<, <=, =, >= or >>";

/// The largest epoch that dpkg takes.
const MAX_EPOCH: u32 = i32::MAX.unsigned_abs();

/// All of these must hold.
#[derive(Debug)]
pub(super) struct Relations(Vec<Relation>);

#[derive(Debug)]
struct Relation {
    sign: &'static str,
    /// The version as it was written.
    version: Box<str>,
}

/// A version, taken apart.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version<'t> {
    epoch: u32,
    upstream: Part<'t>,
    revision: Part<'t>,
}

/// Upstream's version or Debian's revision, in its own order.
#[derive(Debug)]
struct Part<'t>(&'t str);

impl Relations {
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split(',').map(|part| Relation::parse(part.trim())).collect::<Option<_>>().map(Self)
    }

    pub(super) fn matches(&self, version: &str) -> bool {
        let version = Version::parse(version);
        version.is_some_and(|version| self.0.iter().all(|relation| relation.holds(&version)))
    }
}

impl fmt::Display for Relations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Relation { sign, version }) in self.0.iter().enumerate() {
            f.write_str(if at > 0 { ", " } else { "" })?;
            write!(f, "{sign} {version}")?;
        }
        Ok(())
    }
}

impl Relation {
    fn parse(text: &str) -> Option<Self> {
        let signs = ["<<", "<=", "=", ">=", ">>"];
        let sign = signs.into_iter().find(|sign| text.starts_with(sign))?;
        let version = text[sign.len()..].trim_start();
        Version::parse(version)?;
        Some(Self { sign, version: version.into() })
    }

    fn holds(&self, version: &Version<'_>) -> bool {
        let Some(order) = Version::parse(&self.version).map(|own| version.cmp(&own)) else {
            return false;
        };
        match self.sign {
            "<<" => order == Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">=" => order != Ordering::Less,
            ">>" => order == Ordering::Greater,
            _ => order == Ordering::Equal,
        }
    }
}

impl<'t> Version<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (upstream, revision) = match rest.rsplit_once('-') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (rest, ""),
        };
        let is_valid = |text: &str, signs: &[u8]| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || signs.contains(&byte))
        };
        let is_version = upstream.starts_with(|first: char| first.is_ascii_digit())
            && is_valid(upstream, b".+-~:")
            && is_valid(revision, b"+.~")
            && epoch.bytes().all(|byte| byte.is_ascii_digit());
        let epoch = epoch.parse().ok().filter(|epoch| *epoch <= MAX_EPOCH)?;
        is_version.then_some(Self { epoch, upstream: Part(upstream), revision: Part(revision) })
    }
}

/// By turns a part without digits and a number, until one differs.
impl Ord for Part<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = (self.0, other.0);
        while !(left.is_empty() && right.is_empty()) {
            let (words, rest) = (split(&mut left, false), split(&mut right, false));
            let (numbers, others) = (split(&mut left, true), split(&mut right, true));
            let order = by_letters(words, rest).then_with(|| by_value(numbers, others));
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

impl PartialOrd for Part<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Part<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Part<'_> {}

/// Takes the digits, or all but digits, from the front of a text.
fn split<'t>(text: &mut &'t str, digits: bool) -> &'t str {
    let end = text.bytes().position(|byte| byte.is_ascii_digit() != digits);
    let (front, rest) = text.split_at(end.unwrap_or(text.len()));
    *text = rest;
    front
}

/// A tilde comes before the end, the end before letters, letters before all other signs.
fn by_letters(left: &str, right: &str) -> Ordering {
    let rank = |byte: u8| match byte {
        b'~' => (0, byte),
        byte if byte.is_ascii_alphabetic() => (2, byte),
        byte => (3, byte),
    };
    let ranks = |text: &'_ str| {
        let end = std::iter::once((1, 0));
        text.bytes().map(rank).chain(end).collect::<Vec<_>>()
    };
    ranks(left).cmp(&ranks(right))
}

fn by_value(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}
