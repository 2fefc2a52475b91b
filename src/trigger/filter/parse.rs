//! From JSON to a pattern, with every problem named.

mod operator;

use serde_json::Value;

use super::condition::{Condition, Literal};
use super::{Clause, FilterLimits, Pattern};
use crate::document::{Problems, describe, join};

/// The operators of conditions.
const OPERATORS: &[&str] = &[
    "anything-but",
    "cidr",
    "contains",
    "equals-ignore-case",
    "exactly",
    "exists",
    "glob",
    "numeric",
    "prefix",
    "regex",
    "semver",
    "suffix",
    "version",
    "wildcard",
];

/// What no member inside `$or` may be named, as EventBridge has it: an operator that was not put
/// into a list would pass for a member. The operators that only we have are not among them, so that
/// what EventBridge takes is taken.
const RESERVED_IN_OR: &[&str] = &[
    "anything-but",
    "cidr",
    "equals-ignore-case",
    "exactly",
    "exists",
    "numeric",
    "prefix",
    "suffix",
    "wildcard",
];

pub(super) fn filter(
    value: &Value,
    path: &str,
    limits: &FilterLimits,
    problems: &mut Problems,
) -> Option<Pattern> {
    let mut parser = Parser {
        limits,
        problems,
        conditions: 0,
        regexes_bytes: 0,
        folded_classes: 0,
        in_or: false,
    };
    let root = parser.pattern(value, path, 0)?;
    let found = parser.conditions;
    let mut is_within = true;
    let mut limit = |most: usize, found: usize, what: &str| {
        if found > most {
            is_within = false;
            problems.add(path, format!("expected at most {most} {what}, found {found}"));
        }
    };
    limit(limits.conditions, found, "conditions");
    limit(limits.bytes, value.to_string().len(), "bytes");
    limit(limits.combinations, combinations(&root.clauses), "combinations of $or");
    is_within.then_some(root)
}

/// How many rules the clauses stand for when each `$or` is resolved into one of its patterns.
fn combinations(clauses: &[Clause]) -> usize {
    let of = |pattern: &Pattern| combinations(&pattern.clauses);
    let factors = clauses.iter().map(|clause| match clause {
        Clause::Leaf { .. } => 1,
        Clause::Nested { pattern, .. } => of(pattern),
        Clause::Or(branches) => branches.iter().map(of).fold(0, usize::saturating_add),
        // Each part is judged on its own. A plain one is no more than a leaf, of which none counts.
        Clause::And(patterns) => {
            let parts = patterns.iter().map(of).filter(|found| *found > 1);
            parts.fold(0, usize::saturating_add).max(1)
        }
        Clause::Not(pattern) => of(pattern),
    });
    factors.fold(1, usize::saturating_mul)
}

struct Parser<'p> {
    limits: &'p FilterLimits,
    problems: &'p mut Problems,
    conditions: usize,
    regexes_bytes: usize,
    folded_classes: usize,
    in_or: bool,
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
        let levels = self.limits.depth;
        if depth > levels {
            return self.refuse(path, format!("expected at most {levels} levels"));
        }
        let Value::Object(members) = value else {
            return self.expected(path, "an object", value);
        };
        if members.is_empty() && depth > 0 {
            return self.refuse(path, "expected at least one field, found an empty object");
        }
        let clauses: Vec<Option<Clause>> =
            members.iter().map(|(name, value)| self.clause(name, value, path, depth)).collect();
        Some(Pattern::new(clauses.into_iter().collect::<Option<_>>()?))
    }

    fn clause(&mut self, name: &str, value: &Value, path: &str, depth: usize) -> Option<Clause> {
        let path = join(path, name);
        match (name, value) {
            ("$or", _) => self.or(value, &path, depth),
            ("$and", _) => self.patterns(value, 1, &path, depth).map(Clause::And),
            ("$not", _) => {
                let pattern = self.pattern(value, &path, depth + 1)?;
                Some(Clause::Not(Box::new(pattern)))
            }
            _ if name.starts_with('$') => {
                self.refuse(&path, "is no operator (expected $or, $and, $not or a field)")
            }
            _ if self.in_or && RESERVED_IN_OR.contains(&name) => self.refuse(
                &path,
                "is an operator, and no field inside $or (expected a list around it, in a field)",
            ),
            (_, Value::Array(items)) => {
                let any = self.list(items, 1, &path, Self::condition)?;
                Some(Clause::Leaf { name: name.into(), any })
            }
            (_, Value::Object(_)) => {
                let pattern = self.pattern(value, &path, depth + 1)?;
                Some(Clause::Nested { name: name.into(), pattern })
            }
            _ => self.expected(&path, "a list of conditions or an object of fields", value),
        }
    }

    fn or(&mut self, value: &Value, path: &str, depth: usize) -> Option<Clause> {
        let outer = std::mem::replace(&mut self.in_or, true);
        let branches = self.patterns(value, 2, path, depth);
        self.in_or = outer;
        branches.map(Clause::Or)
    }

    fn patterns(
        &mut self,
        value: &Value,
        least: usize,
        path: &str,
        depth: usize,
    ) -> Option<Vec<Pattern>> {
        let Value::Array(items) = value else {
            return self.expected(path, "a list of patterns", value);
        };
        self.list(items, least, path, |parser, item, path| parser.pattern(item, path, depth + 1))
    }

    /// Every item of a list that must have so many.
    fn list<T>(
        &mut self,
        items: &[Value],
        least: usize,
        path: &str,
        mut read: impl FnMut(&mut Self, &Value, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        if items.is_empty() {
            return self.refuse(path, "expected at least one item, found an empty list");
        }
        if items.len() < least {
            return self.refuse(path, format!("expected at least {least} items, found one"));
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
            _ => self.literal(value, path).map(Condition::Equals),
        }
    }

    fn literal(&mut self, value: &Value, path: &str) -> Option<Literal> {
        Some(match value {
            Value::Null => Literal::Null,
            Value::Bool(value) => Literal::Bool(*value),
            Value::Number(number) => Literal::Number(number.into()),
            Value::String(text) => {
                self.check_length(text, path)?;
                Literal::Text(text.as_str().into())
            }
            _ => return self.expected(path, "a value", value),
        })
    }

    fn check_length(&mut self, text: &str, path: &str) -> Option<()> {
        let (most, found) = (self.limits.pattern_bytes, text.len());
        if found <= most {
            return Some(());
        }
        self.refuse(path, format!("expected at most {most} bytes, found {found}"))
    }
}
