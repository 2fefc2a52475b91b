//! A filter as one English sentence, for logs and pages.
//!
//! Whatever stands in a filter, the sentence is one line of visible characters: texts are quoted,
//! and what could end a line or turn its direction is escaped. It can be read in one way only: what
//! has an *or*, an *and* or an *in any case* of its own stands in parentheses wherever something is
//! beside it. It is of bounded length, and no more of it is made than it has.

use std::fmt::{self, Write as _};
use std::rc::Rc;

use super::condition::{Bound, Condition, Literal, Range, Text};
use super::{Clause, Filter, Pattern};
use crate::trigger::line::Line;

/// The longest sentence of a filter, in characters; of a longer one the last is `…`.
pub const MAX_SENTENCE: usize = 4_000;
/// The longest name of a member in a path, in characters; of a longer one the beginning is shown,
/// and `…`.
const MAX_NAME: usize = 80;

impl Filter {
    /// What the filter wants, as the rest of a sentence that begins with *if*: at most
    /// [`MAX_SENTENCE`] characters.
    ///
    /// What an object is to satisfy by itself (`$or`, `$and` or `$not` within a field) is what the
    /// field *has*, and what each part of an `$and` says it says *separately*: each may be so of
    /// another item of a list.
    ///
    /// ```
    /// use artifact_triggers::trigger::filter::field;
    ///
    /// let filter = field::repository().starts_with("library/")
    ///     .and(field::actor_kind().is("robot").not())
    ///     .parse()?;
    /// assert_eq!(
    ///     filter.to_sentence(),
    ///     r#"not (actor.kind is "robot") and artifact.repository begins with "library/""#,
    /// );
    /// # Ok::<(), artifact_triggers::document::Problems>(())
    /// ```
    pub fn to_sentence(&self) -> String {
        Line::of(MAX_SENTENCE, |line| match self.root().clauses.as_slice() {
            [] => line.write_str("anything happens"),
            _ => pattern(line, self.root(), &Path::default(), false),
        })
    }
}

/// The way to a member, by the names on it.
#[derive(Clone, Default)]
pub(crate) struct Path<'f>(Option<Rc<Step<'f>>>);

struct Step<'f> {
    above: Path<'f>,
    name: &'f str,
}

impl<'f> Path<'f> {
    /// The way to a member of what this one leads to.
    pub(crate) fn join(&self, name: &'f str) -> Self {
        Self(Some(Rc::new(Step { above: self.clone(), name })))
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_none()
    }
}

/// Names as they are, if they are plain; quoted else.
impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(step) = &self.0 else { return Ok(()) };
        if !step.above.is_root() {
            write!(f, "{}.", step.above)?;
        }
        let (name, end) = match step.name.char_indices().nth(MAX_NAME) {
            Some((end, _)) => (&step.name[..end], "…"),
            None => (step.name, ""),
        };
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-".contains(char);
        if !name.is_empty() && name.chars().all(is_plain) {
            write!(f, "{name}{end}")
        } else {
            write!(f, "{name:?}{end}")
        }
    }
}

/// What a pattern wants of the members at a path; `beside` something else, or on its own.
pub(crate) fn pattern(
    line: &mut Line,
    pattern: &Pattern,
    path: &Path<'_>,
    beside: bool,
) -> fmt::Result {
    let beside = beside || pattern.clauses.len() > 1;
    for (n, clause) in pattern.clauses.iter().enumerate() {
        line.write_str(if n > 0 { " and " } else { "" })?;
        self::clause(line, clause, path, beside)?;
    }
    Ok(())
}

fn clause(line: &mut Line, clause: &Clause, path: &Path<'_>, beside: bool) -> fmt::Result {
    let alone = |line: &mut Line, pattern: &Pattern, path: &Path<'_>| {
        parenthesised(line, true, |line| self::pattern(line, pattern, path, false))
    };
    match clause {
        Clause::Leaf { name, any } => leaf(line, &path.join(name), any, beside),
        Clause::Nested { name, pattern } if is_combined(pattern) => {
            write!(line, "{} has ", path.join(name))?;
            alone(line, pattern, &Path::default())
        }
        Clause::Nested { name, pattern } => self::pattern(line, pattern, &path.join(name), beside),
        Clause::Or(branches) => parenthesised(line, beside, |line| {
            joined(line, branches, " or ", |line, branch| alone(line, branch, path))
        }),
        Clause::And(patterns) => joined(line, patterns, " and ", |line, part| {
            line.write_str("separately ")?;
            alone(line, part, path)
        }),
        Clause::Not(pattern) => {
            line.write_str("not ")?;
            alone(line, pattern, path)
        }
    }
}

/// Whether it says something of the object that it is about as a whole.
fn is_combined(pattern: &Pattern) -> bool {
    let is_combination =
        |clause: &Clause| !matches!(clause, Clause::Leaf { .. } | Clause::Nested { .. });
    pattern.clauses.iter().any(is_combination)
}

fn parenthesised(
    line: &mut Line,
    needed: bool,
    write: impl FnOnce(&mut Line) -> fmt::Result,
) -> fmt::Result {
    line.write_str(if needed { "(" } else { "" })?;
    write(line)?;
    line.write_str(if needed { ")" } else { "" })
}

fn joined<T>(
    line: &mut Line,
    items: &[T],
    word: &str,
    write: impl Fn(&mut Line, &T) -> fmt::Result,
) -> fmt::Result {
    items.iter().enumerate().try_for_each(|(n, item)| {
        line.write_str(if n > 0 { word } else { "" })?;
        write(line, item)
    })
}

/// What a list of conditions wants of a leaf.
pub(crate) fn leaf(
    line: &mut Line,
    path: &Path<'_>,
    any: &[Condition],
    beside: bool,
) -> fmt::Result {
    let is_equals = |condition: &&Condition| matches!(condition, Condition::Equals(_));
    let (equals, others): (Vec<&Condition>, Vec<&Condition>) = any.iter().partition(is_equals);
    let several = usize::from(!equals.is_empty()) + others.len() > 1;
    let is_wordy = |condition: &&Condition| is_wordy(condition);
    let wordy = several || equals.len() > 1 || others.iter().any(is_wordy);
    parenthesised(line, beside && wordy, |line| {
        write!(line, "{path} ")?;
        match equals.as_slice() {
            [] => {}
            [only] => condition(line, only)?,
            _ => parenthesised(line, several, |line| {
                line.write_str("is one of ")?;
                list(line, &equals, |line, condition| operand(line, condition))
            })?,
        }
        line.write_str(if equals.is_empty() || others.is_empty() { "" } else { " or " })?;
        joined(line, &others, " or ", |line, other| {
            parenthesised(line, several && self::is_wordy(other), |line| condition(line, other))
        })
    })
}

/// Whether what is beside it could be taken for a part of it.
fn is_wordy(condition: &Condition) -> bool {
    match condition {
        Condition::EqualsIgnoreCase(_) | Condition::AnythingBut(_) => true,
        Condition::Prefix(text) | Condition::Suffix(text) => matches!(text, Text::IgnoreCase(_)),
        Condition::Numeric(range) => range.from.is_some() && range.to.is_some(),
        _ => false,
    }
}

fn condition(line: &mut Line, condition: &Condition) -> fmt::Result {
    let word = match condition {
        Condition::Equals(_) | Condition::EqualsIgnoreCase(_) => "is ",
        Condition::Prefix(_) => "begins with ",
        Condition::Suffix(_) => "ends with ",
        Condition::Wildcard(_) => "fits the wildcard ",
        Condition::Glob(_) => "fits the glob ",
        Condition::Contains(_) => "contains ",
        Condition::Regex(_) => "matches the regular expression ",
        Condition::Cidr(_) => "is an address of ",
        Condition::Semver(_) => "is a semantic version that meets ",
        Condition::Version(requirement) => {
            write!(line, "is a version of {} that meets ", requirement.ecosystem())?;
            ""
        }
        Condition::Numeric(range) => return of_range(line, range),
        Condition::AnythingBut(none) => return of_none(line, none),
        Condition::Exists(true) => "is there",
        Condition::Exists(false) => "is not there",
    };
    line.write_str(word)?;
    operand(line, condition)
}

/// What an operator is given.
fn operand(line: &mut Line, condition: &Condition) -> fmt::Result {
    match condition {
        Condition::Equals(Literal::Text(text)) | Condition::Contains(text) => {
            write!(line, "{text:?}")
        }
        Condition::Equals(other) => write!(line, "{}", other.as_leaf().to_value()),
        Condition::EqualsIgnoreCase(folded) => write!(line, "{:?} in any case", folded.as_str()),
        Condition::Prefix(text) | Condition::Suffix(text) => match text {
            Text::Exact(text) => write!(line, "{text:?}"),
            Text::IgnoreCase(folded) => write!(line, "{:?} in any case", folded.as_str()),
        },
        Condition::Wildcard(pattern) => write!(line, "{:?}", pattern.to_text()),
        Condition::Glob(pattern) => write!(line, "{:?}", pattern.to_text()),
        Condition::Regex(regex) => write!(line, "{:?}", regex.as_str()),
        Condition::Cidr(network) => write!(line, "{network}"),
        Condition::Semver(requirement) => write!(line, "{:?}", requirement.to_string()),
        Condition::Version(requirement) => write!(line, "{:?}", requirement.as_str()),
        Condition::Numeric(_) | Condition::AnythingBut(_) | Condition::Exists(_) => Ok(()),
    }
}

/// What `anything-but` wants: values that are refused, or one way to be refused.
fn of_none(line: &mut Line, none: &[Condition]) -> fmt::Result {
    line.write_str(match none {
        [Condition::Prefix(_), ..] => "is there but does not begin with ",
        [Condition::Suffix(_), ..] => "is there but does not end with ",
        [Condition::Wildcard(_), ..] => "is there but does not fit the wildcard ",
        [_, _, ..] => "is there but none of ",
        _ => "is there but not ",
    })?;
    let in_parentheses = |condition: &Condition| none.len() > 1 && is_wordy(condition);
    list(line, none, |line, condition| {
        parenthesised(line, in_parentheses(condition), |line| operand(line, condition))
    })
}

fn of_range(line: &mut Line, range: &Range) -> fmt::Result {
    let end = |line: &mut Line, bound: Bound, inclusive: &str, exclusive: &str| {
        let word = if bound.inclusive { inclusive } else { exclusive };
        write!(line, "{word} {}", bound.at.to_value())
    };
    line.write_str("is ")?;
    if let Some(from) = range.from {
        end(line, from, "at least", "above")?;
    }
    line.write_str(if range.from.is_some() && range.to.is_some() { " and " } else { "" })?;
    range.to.map_or(Ok(()), |to| end(line, to, "at most", "below"))
}

/// `a`, `a or b`, `a, b or c`.
fn list<T>(
    line: &mut Line,
    items: &[T],
    write: impl Fn(&mut Line, &T) -> fmt::Result,
) -> fmt::Result {
    items.iter().enumerate().try_for_each(|(n, item)| {
        line.write_str(match n {
            0 => "",
            _ if n + 1 == items.len() => " or ",
            _ => ", ",
        })?;
        write(line, item)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::*;

    fn sentence(json: &str) -> String {
        json.parse::<Filter>().unwrap().to_sentence()
    }

    #[test]
    fn every_operator_has_its_words() {
        for (filter, expected) in [
            ("{}", "anything happens"),
            (r#"{"a": ["x"]}"#, r#"a is "x""#),
            (r#"{"a": [1, "x", null]}"#, r#"a is one of "x", 1 or null"#),
            (r#"{"a": [{"prefix": "x"}, "y"]}"#, r#"a is "y" or begins with "x""#),
            (
                r#"{"a": [{"suffix": {"equals-ignore-case": "X"}}]}"#,
                r#"a ends with "x" in any case"#,
            ),
            (r#"{"a": [{"equals-ignore-case": "X"}]}"#, r#"a is "x" in any case"#),
            (r#"{"a": [{"anything-but": "x"}]}"#, r#"a is there but not "x""#),
            (r#"{"a": [{"anything-but": [1, 2, 3]}]}"#, "a is there but none of 1, 2 or 3"),
            (
                r#"{"a": [{"anything-but": {"prefix": ["x", "y"]}}]}"#,
                r#"a is there but does not begin with "x" or "y""#,
            ),
            (r#"{"a": [{"numeric": [">=", 1, "<", 5]}]}"#, "a is at least 1 and below 5"),
            (r#"{"a": [{"cidr": "10.1.2.3/8"}]}"#, "a is an address of 10.0.0.0/8"),
            (r#"{"a": [{"exists": false}]}"#, "a is not there"),
            (r#"{"a": [{"glob": "x/**"}]}"#, r#"a fits the glob "x/**""#),
            (r#"{"a": [{"semver": ">=1.2"}]}"#, r#"a is a semantic version that meets ">=1.2""#),
            (
                r#"{"a": {"b c": ["x"]}, "$or": [{"d": [1]}, {"e": [2], "f": [3]}]}"#,
                r#"((d is 1) or (e is 2 and f is 3)) and a."b c" is "x""#,
            ),
            (r#"{"$or": [{"d": [1]}, {"e": [2]}]}"#, "(d is 1) or (e is 2)"),
            (r#"{"$not": {"a": ["x"], "b": ["y"]}}"#, r#"not (a is "x" and b is "y")"#),
        ] {
            assert_eq!(sentence(filter), expected);
        }
    }

    #[test]
    fn nothing_in_a_filter_breaks_the_line_or_turns_it() {
        let line = sentence("{\"a\\nb\": [\"x\\u001b[31m\\u202e\\r\\n\"]}");
        assert!(line.chars().all(|char| (' '..='~').contains(&char)), "{line:?}");
    }

    #[test]
    fn what_stands_beside_something_else_is_read_in_one_way() {
        for (filter, expected) in [
            (
                r#"{"a": ["y", {"prefix": "x"}], "b": ["z"]}"#,
                r#"(a is "y" or begins with "x") and b is "z""#,
            ),
            (r#"{"a": [1, 2], "b": ["z"]}"#, r#"(a is one of 1 or 2) and b is "z""#),
            (r#"{"a": [{"numeric": [">", 1, "<", 5]}, 7]}"#, "a is 7 or (is above 1 and below 5)"),
            (
                r#"{"a": [1, 2, {"prefix": {"equals-ignore-case": "x"}}, {"suffix": "y"}]}"#,
                r#"a (is one of 1 or 2) or (begins with "x" in any case) or ends with "y""#,
            ),
            (
                r#"{"a": [{"anything-but": {"equals-ignore-case": ["x", "y"]}}]}"#,
                r#"a is there but none of ("x" in any case) or ("y" in any case)"#,
            ),
            (
                r#"{"a": {"b": [{"anything-but": 1}]}, "c": [2]}"#,
                "(a.b is there but not 1) and c is 2",
            ),
            (r#"{"a": {"$not": {"b": [1]}}, "c": [2]}"#, "a has (not (b is 1)) and c is 2"),
            (
                r#"{"$and": [{"a": [1]}, {"a": [2]}], "b": [3]}"#,
                "separately (a is 1) and separately (a is 2) and b is 3",
            ),
        ] {
            assert_eq!(sentence(filter), expected);
        }
    }

    #[test]
    fn no_two_filters_have_one_sentence() {
        let mut patterns: Vec<Value> = ["1", "1, 2", r#"{"prefix": "x"}"#, r#"1, {"prefix": "x"}"#]
            .iter()
            .flat_map(|any| ["a", "b"].map(|name| format!("{{\"{name}\": [{any}]}}")))
            .map(|json| json.parse().unwrap())
            .collect();
        for _ in 0..2 {
            let (some, before) = (patterns.len().min(24), patterns.clone());
            for one in &before[before.len() - some..] {
                patterns.push(json!({"$not": one}));
                patterns.push(json!({"a": one}));
                for other in before.iter().step_by(before.len().div_ceil(24)) {
                    patterns.push(json!({"$or": [one, other]}));
                    patterns.push(json!({"$and": [one, other]}));
                    patterns.push(json!({"a": one, "b": other}));
                    patterns.push(json!({"a": one, "$or": [other, {"b": [3]}]}));
                }
            }
        }
        let mut known: HashMap<String, Filter> = HashMap::new();
        for pattern in patterns {
            let filter = Filter::from_value(&pattern).unwrap();
            let same = known.entry(filter.to_sentence()).or_insert_with(|| filter.clone());
            assert_eq!(*same, filter, "{}", filter.to_sentence());
        }
        assert!(known.len() > 1_000, "{}", known.len());
    }

    #[test]
    fn a_sentence_is_no_longer_than_is_said_and_neither_is_what_it_is_made_of() {
        let many: Vec<Value> = (0..500).map(|n| json!({"a": [n], "b": [n]})).collect();
        let filter =
            (0..12).fold(json!({"$or": many}), |inner, _| json!({"k".repeat(3_000): inner}));
        let filter = Filter::from_value(&json!({ "data": filter })).unwrap();
        let sentence = filter.to_sentence();
        assert_eq!(sentence.chars().count(), MAX_SENTENCE);
        assert!(sentence.ends_with('…') && sentence.contains("(a is 0 and b is 0)"), "{sentence}");
    }
}
