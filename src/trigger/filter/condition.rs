//! What one leaf of an event must be.

use std::net::IpAddr;

use ipnet::IpNet;
use semver::{Version, VersionReq};
use serde_json::{Value, json};

use super::regex::Regex;
use super::version::VersionRequirement;
use super::wildcard::{Glob, Wildcard};
use crate::document::Decimal;
use crate::event::node::Leaf;

/// What a leaf must be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// Equal: a string, number, boolean or null.
    Equals(Literal),
    /// A string, equal in any case.
    EqualsIgnoreCase(Folded),
    /// A string that begins so.
    Prefix(Text),
    /// A string that ends so.
    Suffix(Text),
    /// A string that fits a pattern.
    Wildcard(Wildcard),
    /// A string that fits a pattern for paths.
    Glob(Glob),
    /// A string that has this in it.
    Contains(Box<str>),
    /// A string in which this is found.
    Regex(Regex),
    /// A number within a range.
    Numeric(Range),
    /// A string that is an address of a network.
    Cidr(IpNet),
    /// A string that is a semantic version which meets a requirement.
    Semver(Box<VersionReq>),
    /// A string that is a version of an ecosystem which meets a requirement.
    Version(Box<VersionRequirement>),
    /// There, and satisfying none of these: all values, or all of one operator.
    AnythingBut(Box<[Condition]>),
    /// There at all (`true`), or not there (`false`).
    Exists(bool),
}

/// A value to be equal to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(Box<str>),
}

/// A text to compare with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Text {
    Exact(Box<str>),
    IgnoreCase(Folded),
}

/// A text in lower case, to compare with texts in any.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Folded(Box<str>);

/// Numbers between two bounds, of which one may be open.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Range {
    pub(super) from: Option<Bound>,
    pub(super) to: Option<Bound>,
}

/// An end of a range, and whether it belongs to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bound {
    pub(super) at: Decimal,
    pub(super) inclusive: bool,
}

impl Condition {
    /// Whether what is absent satisfies it.
    pub(crate) fn holds_for_nothing(&self) -> bool {
        matches!(self, Self::Exists(false))
    }

    /// How many comparisons it takes at most.
    pub(super) fn comparisons(&self) -> usize {
        if let Self::AnythingBut(none) = self { none.len() } else { 1 }
    }

    /// Whether a leaf that is there satisfies it.
    pub(crate) fn holds(&self, leaf: Leaf<'_>) -> bool {
        let text = |test: &dyn Fn(&str) -> bool| leaf.with_text(test).unwrap_or(false);
        match self {
            Self::Equals(literal) => literal.equals(leaf),
            Self::EqualsIgnoreCase(wanted) => text(&|found| wanted.equals(found)),
            Self::Prefix(Text::Exact(wanted)) => text(&|found| found.starts_with(&**wanted)),
            Self::Prefix(Text::IgnoreCase(wanted)) => text(&|found| wanted.begins(found)),
            Self::Suffix(Text::Exact(wanted)) => text(&|found| found.ends_with(&**wanted)),
            Self::Suffix(Text::IgnoreCase(wanted)) => text(&|found| wanted.ends(found)),
            Self::Wildcard(pattern) => text(&|found| pattern.matches(found)),
            Self::Glob(pattern) => text(&|found| pattern.matches(found)),
            Self::Contains(wanted) => text(&|found| found.contains(&**wanted)),
            Self::Regex(regex) => text(&|found| regex.is_match(found)),
            Self::Numeric(range) => matches!(leaf, Leaf::Number(number) if range.contains(number)),
            Self::Cidr(network) => text(&|found| {
                found.parse::<IpAddr>().is_ok_and(|address| network.contains(&address))
            }),
            Self::Semver(requirement) => text(&|found| {
                Version::parse(found).is_ok_and(|version| requirement.matches(&version))
            }),
            Self::Version(requirement) => text(&|found| requirement.matches(found)),
            Self::AnythingBut(none) => !none.iter().any(|condition| condition.holds(leaf)),
            Self::Exists(wanted) => *wanted,
        }
    }

    /// The condition as JSON.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Equals(literal) => literal.to_value(),
            Self::AnythingBut(none) => json!({"anything-but": anything_but(none)}),
            _ => {
                let (operator, value) = self.operator();
                json!({ operator: value })
            }
        }
    }

    /// The operator's name, and what it is given.
    fn operator(&self) -> (&'static str, Value) {
        match self {
            Self::Equals(literal) => ("exactly", literal.to_value()),
            Self::EqualsIgnoreCase(text) => ("equals-ignore-case", json!(text.0)),
            Self::Prefix(text) => ("prefix", text.to_value()),
            Self::Suffix(text) => ("suffix", text.to_value()),
            Self::Wildcard(pattern) => ("wildcard", json!(pattern.to_text())),
            Self::Glob(pattern) => ("glob", json!(pattern.to_text())),
            Self::Contains(text) => ("contains", json!(text)),
            Self::Regex(regex) => ("regex", json!(regex.as_str())),
            Self::Numeric(range) => ("numeric", range.to_value()),
            Self::Cidr(network) => ("cidr", json!(network.to_string())),
            Self::Semver(requirement) => ("semver", json!(requirement.to_string())),
            Self::Version(requirement) => {
                ("version", json!({requirement.ecosystem(): requirement.as_str()}))
            }
            Self::AnythingBut(none) => ("anything-but", anything_but(none)),
            Self::Exists(wanted) => ("exists", json!(wanted)),
        }
    }
}

/// What `anything-but` takes: one value or a list, bare or below the operator that all share.
fn anything_but(none: &[Condition]) -> Value {
    let mut values: Vec<Value> = none.iter().map(|condition| condition.operator().1).collect();
    let values = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
    match none.first() {
        Some(Condition::Equals(_)) | None => values,
        Some(condition) => json!({ condition.operator().0: values }),
    }
}

impl Literal {
    pub(crate) fn as_leaf(&self) -> Leaf<'_> {
        match self {
            Self::Null => Leaf::Null,
            Self::Bool(value) => Leaf::Bool(*value),
            Self::Number(number) => Leaf::Number(*number),
            Self::Text(text) => Leaf::Text(text),
        }
    }

    fn equals(&self, leaf: Leaf<'_>) -> bool {
        match (self, leaf) {
            (Self::Null, Leaf::Null) => true,
            (Self::Bool(wanted), Leaf::Bool(found)) => *wanted == found,
            (Self::Number(wanted), Leaf::Number(found)) => *wanted == found,
            (Self::Text(wanted), leaf) => leaf.with_text(|found| **wanted == *found) == Some(true),
            _ => false,
        }
    }

    fn to_value(&self) -> Value {
        self.as_leaf().to_value()
    }
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::IgnoreCase(folded) => &folded.0,
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Exact(text) => json!(text),
            Self::IgnoreCase(folded) => json!({"equals-ignore-case": folded.0}),
        }
    }
}

impl Folded {
    pub(super) fn of(text: &str) -> Self {
        Self(text.to_lowercase().into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether case does not matter to it: the same in lower and in upper case.
    pub(super) fn is_caseless(&self) -> bool {
        self.0.chars().all(|char| {
            char.to_lowercase().eq(std::iter::once(char))
                && char.to_uppercase().eq(std::iter::once(char))
        }) && self.0.is_ascii()
    }

    /// How much of a text can become this, however long the text is: no byte in lower case comes
    /// from more than three, as the `k` of the sign for Kelvin does, and what a sigma becomes hangs
    /// on the letters around it.
    fn reach(&self) -> usize {
        const AROUND: usize = 64;
        self.0.len().saturating_mul(3).saturating_add(AROUND)
    }

    fn equals(&self, found: &str) -> bool {
        if found.len() > self.reach() {
            return false;
        }
        if found.is_ascii() {
            found.eq_ignore_ascii_case(&self.0)
        } else {
            found.to_lowercase() == *self.0
        }
    }

    fn begins(&self, found: &str) -> bool {
        let mut end = found.len().min(self.reach());
        while !found.is_char_boundary(end) {
            end -= 1;
        }
        let found = &found[..end];
        if !found.is_ascii() {
            return found.to_lowercase().starts_with(&*self.0);
        }
        found.get(..self.0.len()).is_some_and(|head| head.eq_ignore_ascii_case(&self.0))
    }

    fn ends(&self, found: &str) -> bool {
        let mut start = found.len().saturating_sub(self.reach());
        while !found.is_char_boundary(start) {
            start += 1;
        }
        let found = &found[start..];
        if !found.is_ascii() {
            return found.to_lowercase().ends_with(&*self.0);
        }
        let tail = found.len().checked_sub(self.0.len()).and_then(|start| found.get(start..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(&self.0))
    }
}

impl Range {
    fn contains(&self, number: Decimal) -> bool {
        let above = |bound: &Bound| number > bound.at || (bound.inclusive && number == bound.at);
        let below = |bound: &Bound| number < bound.at || (bound.inclusive && number == bound.at);
        self.from.as_ref().is_none_or(above) && self.to.as_ref().is_none_or(below)
    }

    fn to_value(&self) -> Value {
        let part = |bound: &Option<Bound>, open: &str, closed: &str| {
            bound.map(|bound| {
                [json!(if bound.inclusive { closed } else { open }), bound.at.to_value()]
            })
        };
        let parts = [part(&self.from, ">", ">="), part(&self.to, "<", "<=")];
        parts.into_iter().flatten().flatten().collect()
    }
}
