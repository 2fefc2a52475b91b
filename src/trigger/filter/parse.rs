//! From JSON to a filter, with every problem named.

use serde_json::{Map, Value};

use super::{
    Clause, Condition, Filter, MAX_CONDITIONS, MAX_FILTER_BYTES, MAX_FILTER_DEPTH,
    MAX_PATTERN_BYTES, MAX_WILDCARDS, Pattern, Text, Wildcard,
};
use crate::document::{Problems, describe, join};

pub(super) fn filter(value: &Value, path: &str, problems: &mut Problems) -> Option<Filter> {
    let mut parser = Parser { problems, conditions: 0 };
    let root = parser.pattern(value, path, 0)?;
    if parser.conditions > MAX_CONDITIONS {
        let found = parser.conditions;
        problems.add(path, format!("expected at most {MAX_CONDITIONS} conditions, found {found}"));
    }
    let filter = Filter { root };
    let found = filter.to_value().to_string().len();
    if found > MAX_FILTER_BYTES {
        problems.add(path, format!("expected at most {MAX_FILTER_BYTES} bytes, found {found}"));
    }
    Some(filter)
}

struct Parser<'p> {
    problems: &'p mut Problems,
    conditions: usize,
}

impl Parser<'_> {
    fn refuse<T>(&mut self, path: &str, message: impl Into<String>) -> Option<T> {
        self.problems.add(path, message);
        None
    }

    fn expected<T>(&mut self, path: &str, expected: &str, found: &Value) -> Option<T> {
        self.refuse(path, format!("expected {expected}, found {}", describe(found)))
    }

    fn pattern(&mut self, value: &Value, path: &str, depth: usize) -> Option<Pattern> {
        if depth > MAX_FILTER_DEPTH {
            return self.refuse(path, format!("expected at most {MAX_FILTER_DEPTH} levels"));
        }
        let Value::Object(members) = value else {
            return self.expected(path, "an object", value);
        };
        if members.is_empty() && depth > 0 {
            return self.refuse(path, "expected at least one field, found an empty object");
        }
        let clauses: Vec<Option<Clause>> =
            members.iter().map(|(name, value)| self.clause(name, value, path, depth)).collect();
        Some(Pattern { clauses: clauses.into_iter().collect::<Option<_>>()? })
    }

    fn clause(&mut self, name: &str, value: &Value, path: &str, depth: usize) -> Option<Clause> {
        let path = join(path, name);
        match (name, value) {
            ("$or", _) => self.patterns(value, &path, depth).map(Clause::Or),
            ("$and", _) => self.patterns(value, &path, depth).map(Clause::And),
            ("$not", _) => self.pattern(value, &path, depth + 1).map(Clause::Not),
            _ if name.starts_with('$') => {
                self.refuse(&path, "is no operator (expected $or, $and, $not or a field)")
            }
            (_, Value::Array(items)) => {
                let any = self.list(items, &path, Self::condition)?;
                Some(Clause::Leaf { name: name.to_owned(), any })
            }
            (_, Value::Object(_)) => {
                let pattern = self.pattern(value, &path, depth + 1)?;
                Some(Clause::Nested { name: name.to_owned(), pattern })
            }
            _ => self.expected(&path, "a list of conditions or an object of fields", value),
        }
    }

    fn patterns(&mut self, value: &Value, path: &str, depth: usize) -> Option<Vec<Pattern>> {
        let Value::Array(items) = value else {
            return self.expected(path, "a list of patterns", value);
        };
        self.list(items, path, |parser, item, path| parser.pattern(item, path, depth + 1))
    }

    /// Every item of a list that must not be empty.
    fn list<T>(
        &mut self,
        items: &[Value],
        path: &str,
        mut read: impl FnMut(&mut Self, &Value, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        if items.is_empty() {
            return self.refuse(path, "expected at least one item, found an empty list");
        }
        let read: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(n, item)| read(self, item, &format!("{path}[{n}]")))
            .collect();
        read.into_iter().collect()
    }

    fn condition(&mut self, value: &Value, path: &str) -> Option<Condition> {
        self.conditions += 1;
        match value {
            Value::Object(members) => self.operator(members, path),
            Value::Array(_) => self.expected(path, "a condition", value),
            _ => self.scalar(value, path),
        }
    }

    fn scalar(&mut self, value: &Value, path: &str) -> Option<Condition> {
        if let Value::String(text) = value {
            self.check_length(text, path)?;
        }
        Some(Condition::Equals(value.clone()))
    }

    fn operator(&mut self, members: &Map<String, Value>, path: &str) -> Option<Condition> {
        let mut members = members.iter();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            return self.refuse(path, "expected an object with exactly one operator");
        };
        let path = join(path, name);
        match name.as_str() {
            "exists" => match value {
                Value::Bool(wanted) => Some(Condition::Exists(*wanted)),
                _ => self.expected(&path, "true or false", value),
            },
            "anything-but" => self.anything_but(value, &path).map(Condition::AnythingBut),
            "prefix" => self.affix(value, &path).map(Condition::Prefix),
            "suffix" => self.affix(value, &path).map(Condition::Suffix),
            _ => self.text_operator(name, value, &path),
        }
    }

    /// The operators that take one text, alone and within `anything-but`.
    fn text_operator(&mut self, name: &str, value: &Value, path: &str) -> Option<Condition> {
        match name {
            "prefix" => self.text(value, path).map(|text| Condition::Prefix(Text::exact(text))),
            "suffix" => self.text(value, path).map(|text| Condition::Suffix(Text::exact(text))),
            "equals-ignore-case" => {
                self.text(value, path).map(|text| Condition::EqualsIgnoreCase(Text::any_case(text)))
            }
            "wildcard" => self.wildcard(value, path).map(Condition::Wildcard),
            _ => self.refuse(
                path,
                "is no operator (expected prefix, suffix, equals-ignore-case, wildcard, \
                 anything-but or exists)",
            ),
        }
    }

    fn affix(&mut self, value: &Value, path: &str) -> Option<Text> {
        let Value::Object(members) = value else {
            return self.text(value, path).map(Text::exact);
        };
        let mut members = members.iter();
        match (members.next(), members.next()) {
            (Some((name, value)), None) if name == "equals-ignore-case" => {
                self.text(value, &join(path, name)).map(Text::any_case)
            }
            _ => self.refuse(path, "expected a text or {\"equals-ignore-case\": a text}"),
        }
    }

    fn anything_but(&mut self, value: &Value, path: &str) -> Option<Vec<Condition>> {
        match value {
            Value::Array(items) => self.list(items, path, |parser, item, path| match item {
                Value::String(_) | Value::Number(_) => parser.scalar(item, path),
                _ => parser.expected(path, "a text or a number", item),
            }),
            Value::String(_) | Value::Number(_) => Some(vec![self.scalar(value, path)?]),
            Value::Object(members) => {
                let mut members = members.iter();
                let (Some((name, value)), None) = (members.next(), members.next()) else {
                    return self.refuse(path, "expected an object with exactly one operator");
                };
                let path = join(path, name);
                match value {
                    Value::Array(items) => self.list(items, &path, |parser, item, path| {
                        parser.text_operator(name, item, path)
                    }),
                    _ => Some(vec![self.text_operator(name, value, &path)?]),
                }
            }
            _ => self.expected(path, "a text, a number, a list of those or an operator", value),
        }
    }

    fn wildcard(&mut self, value: &Value, path: &str) -> Option<Wildcard> {
        let text = self.text(value, path)?;
        match Wildcard::parse(&text) {
            Ok(pattern) if pattern.stars() > MAX_WILDCARDS => {
                let found = pattern.stars();
                self.refuse(path, format!("expected at most {MAX_WILDCARDS} *, found {found}"))
            }
            Ok(pattern) => Some(pattern),
            Err(message) => self.refuse(path, message),
        }
    }

    fn text(&mut self, value: &Value, path: &str) -> Option<String> {
        let Value::String(text) = value else { return self.expected(path, "a text", value) };
        if text.is_empty() {
            return self.refuse(path, "expected a text, found an empty one");
        }
        self.check_length(text, path)?;
        Some(text.clone())
    }

    fn check_length(&mut self, text: &str, path: &str) -> Option<()> {
        if text.len() <= MAX_PATTERN_BYTES {
            return Some(());
        }
        let found = text.len();
        self.refuse(path, format!("expected at most {MAX_PATTERN_BYTES} bytes, found {found}"))
    }
}
