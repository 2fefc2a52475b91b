//! The ranges of npm: alternatives of comparators, as node-semver reads them when it is strict.
//!
//! In: `^1.2 || >=2.5 <3`. Out: for each alternative the bounds that a version must keep. A
//! pre-release fits only an alternative that names a pre-release of the same major, minor and
//! patch. Stricter than node-semver where a slip is likelier than a meaning: no number and no
//! pre-release after an `x` (`1.x.3`), one sign before a version (`==1`), no empty alternative
//! (`1 ||`).

use std::cmp::Ordering;
use std::fmt;

use semver::{Prerelease, Version};

pub(super) const EXPECTED: &str = "e.g. \"^1.2 || >=2.5\"";

/// The longest version and the largest number in one that node-semver takes.
const MAX_VERSION_BYTES: usize = 256;
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Any of these must hold.
#[derive(Debug)]
pub(super) struct Range(Vec<Alternative>);

/// All of the bounds must hold.
#[derive(Debug)]
struct Alternative {
    text: String,
    bounds: Vec<Bound>,
}

#[derive(Debug)]
struct Bound {
    sign: Sign,
    version: Version,
}

#[derive(Debug, Clone, Copy)]
enum Sign {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

/// The numbers of a version, of which the last ones, or all, may be left open.
struct Partial {
    numbers: Vec<u64>,
    pre: Prerelease,
}

impl Range {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let alternatives: Option<Vec<_>> = text.split("||").map(Alternative::parse).collect();
        let mut alternatives = alternatives?;
        // Beside `*` no other alternative counts, not even for the pre-releases that it names.
        if alternatives.iter().any(|alternative| alternative.bounds.is_empty()) {
            for alternative in &mut alternatives {
                alternative.bounds.clear();
            }
        }
        Some(Self(alternatives))
    }

    pub(super) fn matches(&self, version: &str) -> bool {
        let version = parse_version(version.trim());
        version.is_some_and(|version| self.0.iter().any(|bounds| bounds.hold(&version)))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, alternative) in self.0.iter().enumerate() {
            f.write_str(if at > 0 { " || " } else { "" })?;
            f.write_str(&alternative.text)?;
        }
        Ok(())
    }
}

fn parse_version(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let version = Version::parse(text).ok().filter(|_| text.len() <= MAX_VERSION_BYTES)?;
    let numbers = [version.major, version.minor, version.patch];
    numbers.iter().all(|number| *number <= MAX_NUMBER).then_some(version)
}

impl Alternative {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut bounds = Vec::new();
        let text = match words[..] {
            [] => return None,
            [from, "-", to] => {
                Partial::parse(from)?.at_least_here(&mut bounds);
                Partial::parse(to)?.at_most_here(&mut bounds);
                words.join(" ")
            }
            _ => comparators(&words, &mut bounds)?.join(" "),
        };
        Some(Self { text, bounds })
    }

    fn hold(&self, version: &Version) -> bool {
        let names_its_pre_release = || {
            let core = |version: &Version| (version.major, version.minor, version.patch);
            let mut named = self.bounds.iter().filter(|bound| !bound.version.pre.is_empty());
            named.any(|bound| core(&bound.version) == core(version))
        };
        self.bounds.iter().all(|bound| bound.holds(version))
            && (version.pre.is_empty() || names_its_pre_release())
    }
}

/// Reads comparators, whose sign may stand apart from the version; gives them without the gap.
fn comparators(words: &[&str], bounds: &mut Vec<Bound>) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let version = word.trim_start_matches(['<', '>', '=', '^', '~']);
        let sign = &word[..word.len() - version.len()];
        let version = if version.is_empty() { words.next()? } else { version };
        let partial = Partial::parse(version)?;
        match sign {
            "^" => partial.caret(bounds),
            "~" | "~>" => partial.tilde(bounds),
            "" | "=" => partial.exactly(bounds),
            ">" => partial.more_than_here(bounds),
            ">=" => partial.at_least_here(bounds),
            "<" => partial.less_than_here(bounds),
            "<=" => partial.at_most_here(bounds),
            _ => return None,
        }
        texts.push(format!("{sign}{version}"));
    }
    Some(texts)
}

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        let order = version.cmp_precedence(&self.version);
        match self.sign {
            Sign::Less => order == Ordering::Less,
            Sign::LessOrEqual => order != Ordering::Greater,
            Sign::Equal => order == Ordering::Equal,
            Sign::GreaterOrEqual => order != Ordering::Less,
            Sign::Greater => order == Ordering::Greater,
        }
    }
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        if let Some(version) = parse_version(text) {
            let numbers = vec![version.major, version.minor, version.patch];
            return Some(Self { numbers, pre: version.pre });
        }
        let text = text.strip_prefix('v').unwrap_or(text);
        let is_open = |part: &&str| matches!(*part, "x" | "X" | "*");
        let mut parts = text.split('.').peekable();
        let mut numbers = Vec::new();
        while let Some(part) = parts.next_if(|part| !is_open(part)) {
            numbers.push(parse_number(part)?);
        }
        let open = parts.clone().count();
        let is_partial = numbers.len() < 3 && numbers.len() + open <= 3;
        (is_partial && parts.all(|part| is_open(&part)))
            .then_some(Self { numbers, pre: Prerelease::EMPTY })
    }

    fn exactly(self, bounds: &mut Vec<Bound>) {
        match self.numbers.len() {
            0 => {}
            3 => bounds.push(Bound { sign: Sign::Equal, version: self.first() }),
            kept => self.series(kept, bounds),
        }
    }

    fn caret(self, bounds: &mut Vec<Bound>) {
        let non_zero = self.numbers.iter().position(|number| *number > 0);
        let kept = non_zero.map_or(self.numbers.len(), |at| at + 1);
        self.series(kept, bounds);
    }

    fn tilde(self, bounds: &mut Vec<Bound>) {
        let kept = self.numbers.len().min(2);
        self.series(kept, bounds);
    }

    fn at_least_here(self, bounds: &mut Vec<Bound>) {
        let version = self.first();
        if version != Version::new(0, 0, 0) {
            bounds.push(Bound { sign: Sign::GreaterOrEqual, version });
        }
    }

    fn at_most_here(self, bounds: &mut Vec<Bound>) {
        match self.numbers.len() {
            0 => {}
            3 => bounds.push(Bound { sign: Sign::LessOrEqual, version: self.first() }),
            kept => bounds.push(before(self.next(kept))),
        }
    }

    fn more_than_here(self, bounds: &mut Vec<Bound>) {
        bounds.push(match self.numbers.len() {
            0 => before(self.first()),
            3 => Bound { sign: Sign::Greater, version: self.first() },
            kept => Bound { sign: Sign::GreaterOrEqual, version: self.next(kept) },
        });
    }

    fn less_than_here(self, bounds: &mut Vec<Bound>) {
        bounds.push(match self.numbers.len() {
            3 => Bound { sign: Sign::Less, version: self.first() },
            _ => before(self.first()),
        });
    }

    /// From here on, as long as the first numbers stay as they are.
    fn series(self, kept: usize, bounds: &mut Vec<Bound>) {
        if kept > 0 {
            bounds.push(before(self.next(kept)));
            self.at_least_here(bounds);
        }
    }

    /// The first version that fits.
    fn first(&self) -> Version {
        let number = |at: usize| self.numbers.get(at).copied().unwrap_or_default();
        Version { pre: self.pre.clone(), ..Version::new(number(0), number(1), number(2)) }
    }

    /// The first version with a greater one among its first numbers.
    fn next(&self, kept: usize) -> Version {
        let number = |at: usize| match self.numbers.get(at) {
            Some(number) if at + 1 == kept => number + 1,
            Some(number) if at < kept => *number,
            _ => 0,
        };
        Version::new(number(0), number(1), number(2))
    }
}

/// Before a version and all of its pre-releases.
fn before(version: Version) -> Bound {
    let lowest = Prerelease::new("0").expect("0 is a pre-release");
    Bound { sign: Sign::Less, version: Version { pre: lowest, ..version } }
}

fn parse_number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && !(text.len() > 1 && text.starts_with('0'));
    text.parse().ok().filter(|number| is_plain && *number <= MAX_NUMBER)
}
