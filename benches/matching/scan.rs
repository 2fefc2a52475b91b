//! The first reference: a linear scan over precompiled tests on borrowed fields of the event. A
//! trigger's kinds are a bit each, its tests stand side by side in one list, the registry's first,
//! and the first that fails ends it. Equal texts and regexes are shared, so that those of
//! neighbours are near.
//!
//! The same tests, looked up by registry, are the oracle for what every event must match.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use artifact_triggers::event::Event;
use regex::Regex;
use semver::{Version, VersionReq};

use super::rule::{Field, KINDS, Rule, Test};

/// The fields of an event that tests look at.
pub(crate) struct View<'e> {
    kind: u16,
    registry: Option<&'e str>,
    repository: Option<&'e str>,
    tags: &'e [String],
    version: Option<&'e str>,
    parsed_version: OnceCell<Option<Version>>,
    actor: Option<&'e str>,
    label: Option<&'e str>,
}

impl<'e> View<'e> {
    pub(crate) fn new(event: &'e Event) -> Self {
        let artifact = event.artifact.as_ref().expect("all events have one");
        let place = KINDS.iter().position(|(kind, _)| *kind == event.kind);
        Self {
            kind: 1 << place.expect("all are of these kinds"),
            registry: artifact.registry.as_deref(),
            repository: artifact.repository.as_deref(),
            tags: &artifact.tags,
            version: artifact.version.as_deref(),
            parsed_version: OnceCell::new(),
            actor: event.actor.as_ref().and_then(|actor| actor.name.as_deref()),
            label: event.attributes.get("component").map(String::as_str),
        }
    }

    fn any(&self, field: Field, holds: impl Fn(&str) -> bool) -> bool {
        match field {
            Field::Registry => self.registry.is_some_and(holds),
            Field::Repository => self.repository.is_some_and(holds),
            Field::Tags => self.tags.iter().any(|tag| holds(tag)),
            Field::Version => self.version.is_some_and(holds),
            Field::Actor => self.actor.is_some_and(holds),
            Field::Label => self.label.is_some_and(holds),
        }
    }

    fn version(&self) -> Option<&Version> {
        self.parsed_version.get_or_init(|| Version::parse(self.version?).ok()).as_ref()
    }
}

enum Compiled {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Suffix(Arc<str>),
    Contains(Arc<str>),
    Pattern(Box<[Token]>),
    /// With a literal that every text that fits has.
    Regex(Arc<str>, Regex),
    Semver(Box<VersionReq>),
    AnythingBut(Box<[String]>),
}

/// A piece of a glob or a wildcard.
enum Token {
    Literal(Box<str>),
    /// One character but `/`.
    One,
    /// Any text without `/`.
    Within,
    /// Any text.
    Across,
}

fn tokens(pattern: &str, star: fn() -> Token) -> Box<[Token]> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['*', '?']) {
        if at > 0 {
            tokens.push(Token::Literal(rest[..at].into()));
        }
        let (token, length) = match &rest[at..] {
            text if text.starts_with("**") => (Token::Across, 2),
            text if text.starts_with('?') => (Token::One, 1),
            _ => (star(), 1),
        };
        tokens.push(token);
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        tokens.push(Token::Literal(rest.into()));
    }
    tokens.into()
}

fn fits(tokens: &[Token], text: &str) -> bool {
    let Some((token, after)) = tokens.split_first() else { return text.is_empty() };
    match token {
        Token::Literal(literal) => {
            text.strip_prefix(&**literal).is_some_and(|rest| fits(after, rest))
        }
        Token::One => {
            let mut chars = text.chars();
            chars.next().is_some_and(|char| char != '/') && fits(after, chars.as_str())
        }
        Token::Within | Token::Across => {
            let end = match token {
                Token::Within => text.find('/').unwrap_or(text.len()),
                _ => text.len(),
            };
            if after.is_empty() {
                return end == text.len();
            }
            (0..=end).any(|at| text.is_char_boundary(at) && fits(after, &text[at..]))
        }
    }
}

struct Line {
    number: u32,
    kinds: u16,
    tests: Range<u32>,
}

#[derive(Default)]
pub(crate) struct Scan {
    lines: Vec<Line>,
    tests: Vec<(Field, Compiled)>,
    regexes: HashMap<String, Regex>,
    texts: HashSet<Arc<str>>,
}

impl Scan {
    pub(crate) fn add(&mut self, number: usize, rule: &Rule) {
        let kinds = match rule.kinds.as_slice() {
            [] => u16::MAX,
            some => some.iter().fold(0, |bits, kind| bits | 1 << kind),
        };
        let start = small(self.tests.len());
        for (field, test) in &rule.tests {
            let compiled = self.compile(test);
            self.tests.push((*field, compiled));
        }
        let tests = start..small(self.tests.len());
        self.lines.push(Line { number: small(number), kinds, tests });
    }

    fn compile(&mut self, test: &Test) -> Compiled {
        match test {
            Test::Exact(wanted) => Compiled::Exact(self.shared(wanted)),
            Test::Prefix(wanted) => Compiled::Prefix(self.shared(wanted)),
            Test::Suffix(wanted) => Compiled::Suffix(self.shared(wanted)),
            Test::Contains(wanted) => Compiled::Contains(self.shared(wanted)),
            Test::Glob(wanted) => Compiled::Pattern(tokens(wanted, || Token::Within)),
            Test::Wildcard(wanted) => Compiled::Pattern(tokens(wanted, || Token::Across)),
            Test::Regex(wanted) => {
                let made = || Regex::new(wanted).expect("it is a regex");
                let regex = self.regexes.entry(wanted.clone()).or_insert_with(made);
                let regex = regex.clone();
                Compiled::Regex(self.shared(literal(wanted)), regex)
            }
            Test::Semver(wanted) => {
                Compiled::Semver(Box::new(VersionReq::parse(wanted).expect("it is a requirement")))
            }
            Test::AnythingBut(refused) => Compiled::AnythingBut(refused.clone().into()),
        }
    }

    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(shared) = self.texts.get(text) {
            return shared.clone();
        }
        let shared: Arc<str> = text.into();
        self.texts.insert(shared.clone());
        shared
    }

    /// Appends the numbers of the triggers that an event matches.
    pub(crate) fn find(&self, event: &View<'_>, found: &mut Vec<usize>) {
        for line in &self.lines {
            if line.kinds & event.kind == 0 {
                continue;
            }
            let tests = &self.tests[line.tests.start as usize..line.tests.end as usize];
            if tests.iter().all(|(field, test)| test.holds(*field, event)) {
                found.push(line.number as usize);
            }
        }
    }
}

impl Compiled {
    fn holds(&self, field: Field, event: &View<'_>) -> bool {
        match self {
            Self::Exact(wanted) => event.any(field, |text| *text == **wanted),
            Self::Prefix(wanted) => event.any(field, |text| text.starts_with(&**wanted)),
            Self::Suffix(wanted) => event.any(field, |text| text.ends_with(&**wanted)),
            Self::Contains(wanted) => event.any(field, |text| text.contains(&**wanted)),
            Self::Pattern(tokens) => event.any(field, |text| fits(tokens, text)),
            Self::Regex(literal, regex) => {
                event.any(field, |text| text.contains(&**literal) && regex.is_match(text))
            }
            Self::Semver(wanted) => event.version().is_some_and(|version| wanted.matches(version)),
            Self::AnythingBut(refused) => {
                event.any(field, |text| refused.iter().all(|other| other != text))
            }
        }
    }
}

/// What all regexes of the workloads have behind their last slash.
fn literal(regex: &str) -> &str {
    let last = regex.rsplit('/').next().unwrap_or("");
    last.trim_start_matches(')').split(['[', '(']).next().unwrap_or("")
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("there are fewer than four thousand millions")
}

/// The same scan over the triggers of one registry, and those of one repository in it.
#[derive(Default)]
pub(crate) struct Oracle {
    places: HashMap<[Option<String>; 2], Scan>,
}

impl Oracle {
    pub(crate) fn add(&mut self, number: usize, rule: &Rule) {
        let exact = |field| match rule.test(field) {
            Some(Test::Exact(text)) => Some(text.clone()),
            _ => None,
        };
        let place = [exact(Field::Registry), exact(Field::Repository)];
        self.places.entry(place).or_default().add(number, rule);
    }

    /// The numbers of the triggers that an event matches, in order.
    pub(crate) fn find(&self, event: &Event) -> Vec<usize> {
        let view = View::new(event);
        let [registry, repository] = [view.registry, view.repository].map(|t| t.map(str::to_owned));
        let mut found = Vec::new();
        for place in [[registry.clone(), repository], [registry, None], [None, None]] {
            if let Some(scan) = self.places.get(&place) {
                scan.find(&view, &mut found);
            }
        }
        found.sort_unstable();
        found
    }
}
