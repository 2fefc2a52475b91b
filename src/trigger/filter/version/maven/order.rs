//! The order of Maven's versions, by the "Version Order Specification" of the POM reference.
//!
//! In: any text. Out: a [`Version`] that compares. Where the reference leaves a question open, the
//! answer is that of Maven's own `ComparableVersion`.

use std::cmp::Ordering;

/// A version as the tokens that its order is about; what adds nothing is trimmed.
#[derive(Debug)]
pub(super) struct Version(Vec<Token>);

#[derive(Debug)]
struct Token {
    /// Whether a dot precedes it, not a hyphen or the change from digits to letters or back.
    is_dotted: bool,
    value: Value,
}

#[derive(Debug, PartialEq, Eq)]
enum Value {
    /// Without zeros in front: a longer one is greater.
    Number(Box<str>),
    Qualifier(Qualifier),
}

/// Known qualifiers in their order, then all others in that of their letters.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Qualifier {
    Alpha,
    Beta,
    Milestone,
    ReleaseCandidate,
    Snapshot,
    Release,
    ServicePack,
    Other(Box<str>),
}

impl Version {
    pub(super) fn parse(text: &str) -> Self {
        let mut tokens = split(&text.to_lowercase());
        trim(&mut tokens);
        Self(tokens)
    }
}

/// Splits at dots, hyphens, and between digits and all else.
fn split(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut is_dotted = true;
    for part in text.split_inclusive(['.', '-']) {
        let (word, separator) = match part.strip_suffix(['.', '-']) {
            Some(word) => (word, &part[word.len()..]),
            None => (part, ""),
        };
        let mut rest = word;
        loop {
            let has_digits = rest.starts_with(|c: char| c.is_ascii_digit());
            let end = rest.find(|c: char| c.is_ascii_digit() != has_digits).unwrap_or(rest.len());
            let (token, behind) = rest.split_at(end);
            tokens.push(Token { is_dotted, value: Value::parse(token, !behind.is_empty()) });
            is_dotted = false;
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        is_dotted = separator == ".";
    }
    tokens
}

/// Takes away what says nothing at the end, and before each hyphen and each qualifier. The
/// reference does not list `release` there; `ComparableVersion` treats it as it does `ga`.
fn trim(tokens: &mut Vec<Token>) {
    let mut kept: Vec<Token> = Vec::new();
    for token in tokens.drain(..) {
        let is_number = matches!(token.value, Value::Number(_));
        if !(is_number && token.is_dotted) {
            drop_nothings(&mut kept);
        }
        kept.push(token);
    }
    drop_nothings(&mut kept);
    *tokens = kept;
}

fn drop_nothings(tokens: &mut Vec<Token>) {
    while tokens.pop_if(|token| token.value.against_nothing() == Ordering::Equal).is_some() {}
}

impl Value {
    fn parse(token: &str, has_number_behind: bool) -> Self {
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Number(token.trim_start_matches('0').into());
        }
        Self::Qualifier(match token {
            "a" if has_number_behind => Qualifier::Alpha,
            "b" if has_number_behind => Qualifier::Beta,
            "m" if has_number_behind => Qualifier::Milestone,
            "alpha" => Qualifier::Alpha,
            "beta" => Qualifier::Beta,
            "milestone" => Qualifier::Milestone,
            "rc" | "cr" => Qualifier::ReleaseCandidate,
            "snapshot" => Qualifier::Snapshot,
            "ga" | "final" | "release" => Qualifier::Release,
            "sp" => Qualifier::ServicePack,
            other => Qualifier::Other(other.into()),
        })
    }

    /// How it compares to the padding of a shorter version.
    fn against_nothing(&self) -> Ordering {
        match self {
            Self::Number(number) => number.len().cmp(&0),
            Self::Qualifier(qualifier) => qualifier.cmp(&Qualifier::Release),
        }
    }
}

impl Ord for Token {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.value, &other.value) {
            (Value::Number(one), Value::Number(two)) => {
                let by_value = || one.len().cmp(&two.len()).then_with(|| one.cmp(two));
                self.is_dotted.cmp(&other.is_dotted).then_with(by_value)
            }
            (Value::Qualifier(one), Value::Qualifier(two)) => one.cmp(two),
            (Value::Number(_), Value::Qualifier(_)) => Ordering::Greater,
            (Value::Qualifier(_), Value::Number(_)) => Ordering::Less,
        }
    }
}

impl PartialOrd for Token {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Token {}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let longest = self.0.len().max(other.0.len());
        let by_token = |at: usize| match (self.0.get(at), other.0.get(at)) {
            (Some(one), Some(two)) => one.cmp(two),
            (Some(one), None) => one.value.against_nothing(),
            (None, Some(two)) => two.value.against_nothing().reverse(),
            (None, None) => Ordering::Equal,
        };
        (0..longest).map(by_token).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}
