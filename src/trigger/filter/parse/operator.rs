//! From an operator's JSON to its condition.

use ipnet::IpNet;
use semver::VersionReq;
use serde_json::{Map, Value};

use super::super::condition::{Bound, Condition, Folded, Literal, Range, Text};
use super::super::regex::{Regex, folded_classes};
use super::super::version::VersionRequirement;
use super::super::wildcard::{Glob, Wildcard};
use super::Parser;
use crate::document::{Decimal, join};

/// The operators that `anything-but` takes.
const IN_ANYTHING_BUT: [&str; 4] = ["prefix", "suffix", "equals-ignore-case", "wildcard"];

impl Parser<'_> {
    pub(super) fn operator(
        &mut self,
        members: &Map<String, Value>,
        path: &str,
    ) -> Option<Condition> {
        let (name, value) = self.only_member(members, "operator", path)?;
        let path = &join(path, name);
        match name {
            "exactly" => self.any_text(value, path).map(|t| Condition::Equals(Literal::Text(t))),
            "prefix" => self.affix(value, path).map(Condition::Prefix),
            "suffix" => self.affix(value, path).map(Condition::Suffix),
            "equals-ignore-case" | "wildcard" => self.text_operator(name, value, path),
            "anything-but" => self.anything_but(value, path).map(Condition::AnythingBut),
            "numeric" => self.numeric(value, path).map(Condition::Numeric),
            "exists" => match value {
                Value::Bool(wanted) => Some(Condition::Exists(*wanted)),
                _ => self.expected(path, "true or false", value),
            },
            "cidr" => self.cidr(value, path).map(Condition::Cidr),
            "glob" => self.glob(value, path).map(Condition::Glob),
            "semver" => self.semver(value, path),
            "version" => self.version(value, path),
            "regex" => self.regex(value, path).map(Condition::Regex),
            "contains" => self.text(value, path).map(Condition::Contains),
            _ => self.refuse(
                path,
                format!("is no operator (expected one of {})", super::OPERATORS.join(", ")),
            ),
        }
    }

    fn only_member<'v>(
        &mut self,
        members: &'v Map<String, Value>,
        what: &str,
        path: &str,
    ) -> Option<(&'v str, &'v Value)> {
        let mut members = members.iter();
        match (members.next(), members.next()) {
            (Some((name, value)), None) => Some((name, value)),
            _ => self.refuse(path, format!("expected an object with exactly one {what}")),
        }
    }

    /// The operators that stand alone and inside `anything-but`.
    fn text_operator(&mut self, name: &str, value: &Value, path: &str) -> Option<Condition> {
        match name {
            "equals-ignore-case" => {
                let text = self.any_text(value, path)?;
                Some(Condition::EqualsIgnoreCase(Folded::of(&text)))
            }
            "wildcard" => self.wildcard(value, path).map(Condition::Wildcard),
            // Everything begins and ends with nothing, so this would fit no text at all.
            "prefix" => Some(Condition::Prefix(Text::Exact(self.text(value, path)?))),
            "suffix" => Some(Condition::Suffix(Text::Exact(self.text(value, path)?))),
            _ => self.refuse(
                path,
                format!(
                    "is no operator of anything-but (expected one of {})",
                    IN_ANYTHING_BUT.join(", ")
                ),
            ),
        }
    }

    fn affix(&mut self, value: &Value, path: &str) -> Option<Text> {
        let Value::Object(members) = value else {
            return match value {
                Value::String(_) => self.any_text(value, path).map(Text::Exact),
                _ => self.expected(path, "a text or {\"equals-ignore-case\": a text}", value),
            };
        };
        let (name, value) = self.only_member(members, "operator", path)?;
        let path = &join(path, name);
        if name != "equals-ignore-case" {
            return self.refuse(path, "is no operator here (expected equals-ignore-case)");
        }
        let text = self.any_text(value, path)?;
        Some(Text::IgnoreCase(Folded::of(&text)))
    }

    fn anything_but(&mut self, value: &Value, path: &str) -> Option<Box<[Condition]>> {
        match value {
            Value::Array(items) => {
                let values = self.list(items, 1, path, Self::value_of_anything_but)?;
                let texts = values.iter().filter(|value| is_text(value)).count();
                if texts != 0 && texts != values.len() {
                    return self.refuse(path, "expected all texts or all numbers, found both");
                }
                Some(values.into())
            }
            Value::String(_) | Value::Number(_) => {
                Some([self.value_of_anything_but(value, path)?].into())
            }
            Value::Object(members) => {
                let (name, value) = self.only_member(members, "operator", path)?;
                let path = &join(path, name);
                match value {
                    Value::Array(items) if IN_ANYTHING_BUT.contains(&name) => {
                        let conditions = self.list(items, 1, path, |parser, item, path| {
                            parser.text_operator(name, item, path)
                        })?;
                        Some(conditions.into())
                    }
                    _ => Some([self.text_operator(name, value, path)?].into()),
                }
            }
            _ => self.expected(path, "a text, a number, a list of those or an operator", value),
        }
    }

    fn value_of_anything_but(&mut self, value: &Value, path: &str) -> Option<Condition> {
        match value {
            Value::String(_) | Value::Number(_) => self.literal(value, path).map(Condition::Equals),
            _ => self.expected(path, "a text or a number", value),
        }
    }

    fn numeric(&mut self, value: &Value, path: &str) -> Option<Range> {
        const EXPECTED: &str = "a comparison such as [\">\", 0] or [\">=\", 1, \"<\", 5]";
        let Value::Array(items) = value else { return self.expected(path, EXPECTED, value) };
        let comparisons: Option<Vec<_>> = items.chunks(2).map(comparison).collect();
        let bound = |at, inclusive| Some(Bound { at, inclusive });
        let range = match comparisons.as_deref() {
            Some([("=", at)]) => Range { from: bound(*at, true), to: bound(*at, true) },
            Some([(low @ (">" | ">="), at)]) => Range { from: bound(*at, *low == ">="), to: None },
            Some([(high @ ("<" | "<="), at)]) => {
                Range { from: None, to: bound(*at, *high == "<=") }
            }
            Some([(low @ (">" | ">="), from), (high @ ("<" | "<="), to)]) => {
                if from >= to {
                    return self.refuse(path, "expected a range from a lower to a higher number");
                }
                Range { from: bound(*from, *low == ">="), to: bound(*to, *high == "<=") }
            }
            _ => return self.refuse(path, format!("expected {EXPECTED}, found {value}")),
        };
        Some(range)
    }

    fn cidr(&mut self, value: &Value, path: &str) -> Option<IpNet> {
        let text = self.text(value, path)?;
        match text.parse::<IpNet>() {
            Ok(network) => Some(network.trunc()),
            Err(_) => self.expected(path, "a network such as 10.0.0.0/8 or 2001:db8::/32", value),
        }
    }

    fn wildcard(&mut self, value: &Value, path: &str) -> Option<Wildcard> {
        let text = self.any_text(value, path)?;
        let pattern =
            Wildcard::parse(&text).or_else(|message| self.refuse(path, message).ok_or(()));
        let pattern = pattern.ok()?;
        self.check_stars(pattern.stars(), path)?;
        Some(pattern)
    }

    fn glob(&mut self, value: &Value, path: &str) -> Option<Glob> {
        let text = self.text(value, path)?;
        let pattern = Glob::parse(&text).or_else(|message| self.refuse(path, message).ok_or(()));
        let pattern = pattern.ok()?;
        self.check_stars(pattern.stars(), path)?;
        Some(pattern)
    }

    fn check_stars(&mut self, found: usize, path: &str) -> Option<()> {
        let most = self.limits.wildcards;
        if found <= most {
            return Some(());
        }
        self.refuse(path, format!("expected at most {most} *, found {found}"))
    }

    fn semver(&mut self, value: &Value, path: &str) -> Option<Condition> {
        let text = self.text(value, path)?;
        match VersionReq::parse(&text) {
            Ok(requirement) => Some(Condition::Semver(Box::new(requirement))),
            Err(error) => self.refuse(
                path,
                format!(
                    "{text:?} is not a version requirement (expected e.g. \">=1.2, <2\"): {error}"
                ),
            ),
        }
    }

    fn version(&mut self, value: &Value, path: &str) -> Option<Condition> {
        let Value::Object(members) = value else {
            return self.expected(path, "an ecosystem with a requirement", value);
        };
        let (ecosystem, value) = self.only_member(members, "ecosystem", path)?;
        let path = &join(path, ecosystem);
        let text = self.text(value, path)?;
        match VersionRequirement::parse(ecosystem, &text) {
            Ok(requirement) => Some(Condition::Version(Box::new(requirement))),
            Err(message) => self.refuse(path, message),
        }
    }

    fn regex(&mut self, value: &Value, path: &str) -> Option<Regex> {
        let text = self.text(value, path)?;
        self.check_regex(&text, path)?;
        let limit = self.limits.regex_bytes;
        Regex::parse(&text, limit).or_else(|message| self.refuse(path, message).ok_or(())).ok()
    }

    /// Checks what a regular expression adds to those of the filter, before it is compiled: that
    /// takes milliseconds for each class to bring into every case.
    fn check_regex(&mut self, text: &str, path: &str) -> Option<()> {
        self.regexes_bytes = self.regexes_bytes.saturating_add(text.len());
        let (most, found) = (self.limits.regexes_bytes, self.regexes_bytes);
        if found > most {
            let expected = format!("expected at most {most} bytes of regular expressions");
            return self.refuse(path, format!("{expected} in a filter, found {found}"));
        }
        let classes = folded_classes(text);
        self.folded_classes = self.folded_classes.saturating_add(classes);
        let (most, found) = (self.limits.folded_classes, self.folded_classes);
        if found > most {
            let expected = format!("expected at most {most} character classes with (?i)");
            return self.refuse(path, format!("{expected} in a filter, found {found}"));
        }
        Some(())
    }

    /// A text that has something in it.
    fn text(&mut self, value: &Value, path: &str) -> Option<Box<str>> {
        let text = self.any_text(value, path)?;
        if text.is_empty() {
            return self.refuse(path, "expected a text, found an empty one");
        }
        Some(text)
    }

    fn any_text(&mut self, value: &Value, path: &str) -> Option<Box<str>> {
        let Value::String(text) = value else { return self.expected(path, "a text", value) };
        self.check_length(text, path)?;
        Some(text.as_str().into())
    }
}

fn is_text(value: &Condition) -> bool {
    matches!(value, Condition::Equals(Literal::Text(_)))
}

/// An operator and a number.
fn comparison(pair: &[Value]) -> Option<(&str, Decimal)> {
    match pair {
        [Value::String(operator), Value::Number(number)] => Some((operator, number.into())),
        _ => None,
    }
}
