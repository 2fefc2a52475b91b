//! A filter as one English sentence, for logs and pages.
//!
//! Whatever stands in a filter, the sentence is one line of visible characters: texts are quoted, and
//! what could end a line or turn its direction is escaped.

use super::condition::{Bound, Condition, Literal, Range, Text};
use super::{Clause, Filter, Pattern};

impl Filter {
    /// What the filter wants, as the rest of a sentence that begins with *if*.
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
        match self.root().clauses.as_slice() {
            [] => "anything happens".to_owned(),
            _ => of_pattern(self.root(), ""),
        }
    }
}

/// What a pattern wants, of the members at a path.
pub(crate) fn of_pattern(pattern: &Pattern, path: &str) -> String {
    let parts: Vec<String> = pattern.clauses.iter().map(|c| of_clause(c, path)).collect();
    parts.join(" and ")
}

/// What a clause wants.
pub(crate) fn of_clause(clause: &Clause, path: &str) -> String {
    let in_parentheses = |patterns: &[Pattern], word: &str| {
        let parts = patterns.iter().map(|pattern| format!("({})", of_pattern(pattern, path)));
        parts.collect::<Vec<_>>().join(word)
    };
    match clause {
        Clause::Leaf { name, any } => of_leaf(&join(path, name), any),
        Clause::Nested { name, pattern } => of_pattern(pattern, &join(path, name)),
        Clause::Or(branches) => format!("({})", in_parentheses(branches, " or ")),
        Clause::And(patterns) => in_parentheses(patterns, " and "),
        Clause::Not(pattern) => format!("not ({})", of_pattern(pattern, path)),
    }
}

/// A path in words: names as they are, if they are plain.
pub(crate) fn join(path: &str, name: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-".contains(char);
    let is_plain = !name.is_empty() && name.chars().all(is_plain);
    let name = if is_plain { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// What a list of conditions wants of a leaf.
pub(crate) fn of_leaf(path: &str, any: &[Condition]) -> String {
    let mut equals = Vec::new();
    let mut others = Vec::new();
    for condition in any {
        match condition {
            Condition::Equals(literal) => equals.push(of_literal(literal)),
            other => others.push(of_condition(other)),
        }
    }
    let equals = match equals.as_slice() {
        [] => None,
        [only] => Some(format!("is {only}")),
        _ => Some(format!("is one of {}", list(&equals))),
    };
    let phrases: Vec<String> = equals.into_iter().chain(others).collect();
    format!("{path} {}", phrases.join(" or "))
}

fn of_condition(condition: &Condition) -> String {
    match condition {
        Condition::Equals(literal) => format!("is {}", of_literal(literal)),
        Condition::EqualsIgnoreCase(text) => format!("is {:?} in any case", text.as_str()),
        Condition::Prefix(text) => format!("begins with {}", of_text(text)),
        Condition::Suffix(text) => format!("ends with {}", of_text(text)),
        Condition::Wildcard(pattern) => format!("fits the wildcard {:?}", pattern.to_text()),
        Condition::Glob(pattern) => format!("fits the glob {:?}", pattern.to_text()),
        Condition::Contains(text) => format!("contains {text:?}"),
        Condition::Regex(regex) => format!("matches the regular expression {:?}", regex.as_str()),
        Condition::Numeric(range) => of_range(range),
        Condition::Cidr(network) => format!("is an address of {network}"),
        Condition::Semver(requirement) => {
            format!("is a semantic version that meets {:?}", requirement.to_string())
        }
        Condition::Version(requirement) => format!(
            "is a version of {} that meets {:?}",
            requirement.ecosystem(),
            requirement.as_str()
        ),
        Condition::AnythingBut(none) => of_none(none),
        Condition::Exists(true) => "is there".to_owned(),
        Condition::Exists(false) => "is not there".to_owned(),
    }
}

/// What `anything-but` wants: values that are refused, or one way to be refused.
fn of_none(none: &[Condition]) -> String {
    let texts: Vec<String> = none
        .iter()
        .map(|condition| match condition {
            Condition::Equals(literal) => of_literal(literal),
            Condition::EqualsIgnoreCase(text) => format!("{:?}", text.as_str()),
            Condition::Prefix(text) | Condition::Suffix(text) => of_text(text),
            Condition::Wildcard(pattern) => format!("{:?}", pattern.to_text()),
            other => of_condition(other),
        })
        .collect();
    let (refused, several) = (list(&texts), texts.len() > 1);
    match none.first() {
        Some(Condition::Prefix(_)) => format!("is there but does not begin with {refused}"),
        Some(Condition::Suffix(_)) => format!("is there but does not end with {refused}"),
        Some(Condition::Wildcard(_)) => format!("is there but does not fit the wildcard {refused}"),
        Some(Condition::EqualsIgnoreCase(_)) if several => {
            format!("is there but none of {refused} in any case")
        }
        Some(Condition::EqualsIgnoreCase(_)) => format!("is there but not {refused} in any case"),
        _ if several => format!("is there but none of {refused}"),
        _ => format!("is there but not {refused}"),
    }
}

fn of_literal(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => format!("{text:?}"),
        other => other.as_leaf().to_value().to_string(),
    }
}

fn of_text(text: &Text) -> String {
    match text {
        Text::Exact(text) => format!("{text:?}"),
        Text::IgnoreCase(folded) => format!("{:?} in any case", folded.as_str()),
    }
}

fn of_range(range: &Range) -> String {
    let end = |bound: &Option<Bound>, inclusive: &str, exclusive: &str| {
        bound.map(|bound| {
            let word = if bound.inclusive { inclusive } else { exclusive };
            format!("{word} {}", bound.at.to_value())
        })
    };
    let ends = [end(&range.from, "at least", "above"), end(&range.to, "at most", "below")];
    format!("is {}", ends.into_iter().flatten().collect::<Vec<_>>().join(" and "))
}

/// `a`, `a or b`, `a, b or c`.
fn list(texts: &[String]) -> String {
    match texts {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => texts.join(""),
    }
}

#[cfg(test)]
mod tests {
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
}
