//! What one leaf of an event must be.

use serde_json::{Number, Value, json};

/// What a leaf must be.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// Equal: a string, number, boolean or null.
    Equals(Value),
    /// A string, equal in any case.
    EqualsIgnoreCase(Text),
    /// A string that begins so.
    Prefix(Text),
    /// A string that ends so.
    Suffix(Text),
    /// A string that fits a pattern.
    Wildcard(Wildcard),
    /// There, and satisfying none of these.
    AnythingBut(Vec<Condition>),
    /// There at all (`true`), or not there (`false`).
    Exists(bool),
}

/// A text to compare with, and whether case counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    text: String,
    folded: Option<String>,
}

impl Text {
    /// A text whose case counts.
    pub fn exact(text: impl Into<String>) -> Self {
        Self { text: text.into(), folded: None }
    }

    /// A text in any case.
    pub fn any_case(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { folded: Some(text.to_lowercase()), text }
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn compare(&self, found: &str, test: impl Fn(&str, &str) -> bool) -> bool {
        match &self.folded {
            Some(folded) => test(&found.to_lowercase(), folded),
            None => test(found, &self.text),
        }
    }

    fn to_value(&self) -> Value {
        match &self.folded {
            Some(_) => json!({"equals-ignore-case": self.text}),
            None => json!(self.text),
        }
    }
}

/// A pattern in which `*` stands for any text, `\*` for an asterisk and `\\` for a backslash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard {
    pattern: String,
    /// The texts between the asterisks: one more than there are asterisks.
    literals: Vec<String>,
}

impl Wildcard {
    /// Parses a pattern.
    ///
    /// # Errors
    /// What is wrong: two asterisks side by side, or a backslash before anything but `*` and `\`.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let mut literals = vec![String::new()];
        let mut after_star = false;
        let mut chars = pattern.chars();
        while let Some(char) = chars.next() {
            let literal = match char {
                '*' if after_star => return Err("has two * side by side; one is enough".to_owned()),
                '*' => {
                    literals.push(String::new());
                    after_star = true;
                    continue;
                }
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '\\')) => escaped,
                    _ => return Err(r"has a \ before something else than * or \".to_owned()),
                },
                other => other,
            };
            after_star = false;
            literals.last_mut().expect("there is always a literal to add to").push(literal);
        }
        Ok(Self { pattern: pattern.to_owned(), literals })
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// How many asterisks it has.
    pub fn stars(&self) -> usize {
        self.literals.len() - 1
    }

    /// Whether a text fits. Takes the first place for each literal, which is right since what comes
    /// between may be anything.
    pub fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.literals.as_slice() else {
            return self.literals[0] == text;
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for literal in middle {
            let Some(at) = rest.find(literal.as_str()) else { return false };
            rest = &rest[at + literal.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

impl Condition {
    /// Equal to a string, number or boolean.
    pub fn equals(value: impl Into<Value>) -> Self {
        Self::Equals(value.into())
    }

    /// A string that begins so.
    pub fn prefix(text: impl Into<String>) -> Self {
        Self::Prefix(Text::exact(text))
    }

    /// A string that ends so.
    pub fn suffix(text: impl Into<String>) -> Self {
        Self::Suffix(Text::exact(text))
    }

    /// A string that fits a pattern.
    ///
    /// # Errors
    /// What [`Wildcard::parse`] finds wrong.
    pub fn wildcard(pattern: &str) -> Result<Self, String> {
        Wildcard::parse(pattern).map(Self::Wildcard)
    }

    /// There, and equal to none of these.
    pub fn anything_but<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::AnythingBut(values.into_iter().map(|value| Self::Equals(value.into())).collect())
    }

    /// There at all.
    pub fn exists() -> Self {
        Self::Exists(true)
    }

    /// Not there.
    pub fn absent() -> Self {
        Self::Exists(false)
    }

    pub(super) fn holds_for_nothing(&self) -> bool {
        matches!(self, Self::Exists(false))
    }

    /// Whether a leaf that is there satisfies the condition.
    pub(super) fn holds(&self, leaf: &Value) -> bool {
        let text = |test: &dyn Fn(&str) -> bool| leaf.as_str().is_some_and(test);
        match self {
            Self::Equals(value) => equal(value, leaf),
            Self::EqualsIgnoreCase(wanted) => text(&|found| wanted.compare(found, |a, b| a == b)),
            Self::Prefix(wanted) => text(&|found| wanted.compare(found, |a, b| a.starts_with(b))),
            Self::Suffix(wanted) => text(&|found| wanted.compare(found, |a, b| a.ends_with(b))),
            Self::Wildcard(pattern) => text(&|found| pattern.matches(found)),
            Self::AnythingBut(none) => !none.iter().any(|condition| condition.holds(leaf)),
            Self::Exists(wanted) => *wanted,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Equals(value) => value.clone(),
            Self::EqualsIgnoreCase(text) => json!({"equals-ignore-case": text.as_str()}),
            Self::Prefix(text) => json!({"prefix": text.to_value()}),
            Self::Suffix(text) => json!({"suffix": text.to_value()}),
            Self::Wildcard(pattern) => json!({"wildcard": pattern.as_str()}),
            Self::AnythingBut(none) => json!({"anything-but": anything_but(none)}),
            Self::Exists(wanted) => json!({"exists": wanted}),
        }
    }
}

/// What `anything-but` takes: one value or a list, bare or below the operator that all share.
fn anything_but(none: &[Condition]) -> Value {
    let mut operator = None;
    let mut values: Vec<Value> = none
        .iter()
        .map(|condition| match condition.to_value() {
            Value::Object(member) => {
                let (name, value) = member.into_iter().next().expect("a condition has one member");
                operator = Some(name);
                value
            }
            value => value,
        })
        .collect();
    let values = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
    match operator {
        Some(name) => json!({ name: values }),
        None => values,
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => equal_numbers(a, b),
        _ => a == b,
    }
}

fn equal_numbers(a: &Number, b: &Number) -> bool {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.as_f64() == b.as_f64(),
        _ => false,
    }
}

/// The whole number that a JSON number is, however it was written.
fn integer(number: &Number) -> Option<i128> {
    if let Some(integer) = number.as_i128() {
        return Some(integer);
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e30)?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^127")]
    Some(float as i128)
}
