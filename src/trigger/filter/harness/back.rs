//! From a filter to the conditions that it was made of.
//!
//! What a part of the filter looks like says which condition it may be; it is that condition if
//! translating it gives the same part again. So nothing here knows the patterns by heart, and
//! nothing is said of a filter that is not so.

use serde_json::{Map, Value};

use super::key::Key;
use super::{
    Filter, HarnessCondition, HarnessOperator, HarnessOptions, from_harness, list, normal, pattern,
};
use crate::document::{Problem, Problems, cut, join};

/// The conditions that a filter is made of.
///
/// Translated again they give the same filter. Every filter that [`from_harness`] makes without
/// `compat` has such; one written by hand has them if it says what a condition says, and nothing
/// beside it below the same field: there Harness looks at each field on its own, as `$and` does.
///
/// ```
/// use artifact_triggers::trigger::filter::Filter;
/// use artifact_triggers::trigger::filter::harness::{HarnessCondition, HarnessOperator, to_harness};
///
/// let filter: Filter = r#"{"artifact": {"tags": [{"prefix": "v"}]}}"#.parse()?;
/// assert_eq!(
///     to_harness(&filter)?,
///     [HarnessCondition::new("<+lastPublished.tag>", HarnessOperator::StartsWith, "v")]
/// );
///
/// let filter: Filter = r#"{"artifact": {"name": ["app"]}}"#.parse()?;
/// assert_eq!(to_harness(&filter).unwrap_err().iter().next().unwrap().path(), "artifact.name");
/// # Ok::<(), artifact_triggers::document::Problems>(())
/// ```
///
/// # Errors
/// Everything that Harness cannot say, each with its path in the filter.
pub fn to_harness(filter: &Filter) -> Result<Vec<HarnessCondition>, Problems> {
    let mut parts = Vec::new();
    collect(&filter.to_value(), "", &mut parts);
    let conditions = Problems::gather(|problems| Some(read(&parts, problems)))?;
    match from_harness(&conditions, &HarnessOptions::default()) {
        Ok(again) if again == *filter => Ok(conditions),
        _ => Err(Problems::of("expected a filter that is made of conditions of Harness")),
    }
}

/// A pattern of one member that must hold, and where it stands.
struct Part {
    path: String,
    pattern: Value,
}

/// The parts that must all hold: members side by side, and the patterns of `$and`.
fn collect(pattern: &Value, path: &str, parts: &mut Vec<Part>) {
    for (name, value) in pattern.as_object().into_iter().flatten() {
        match value {
            Value::Array(patterns) if name == "$and" => {
                for (n, pattern) in patterns.iter().enumerate() {
                    collect(pattern, &format!("{}[{n}]", join(path, name)), parts);
                }
            }
            _ => {
                let member = Map::from_iter([(name.clone(), value.clone())]);
                parts.push(Part { path: path.to_owned(), pattern: Value::Object(member) });
            }
        }
    }
}

fn read(parts: &[Part], problems: &mut Problems) -> Vec<HarnessCondition> {
    let mut conditions = Vec::new();
    let mut implied = Vec::new();
    for part in parts {
        match condition(part, parts) {
            Ok((condition, beside)) => {
                conditions.push((condition, &part.pattern));
                implied.extend(beside);
            }
            Err(problem) => problems.add(problem.path(), problem.message()),
        }
    }
    conditions.retain(|(_, pattern)| !implied.contains(pattern));
    conditions.into_iter().map(|(condition, _)| condition).collect()
}

/// The condition that a part is, and the other parts that it implies.
fn condition(part: &Part, parts: &[Part]) -> Result<(HarnessCondition, Vec<Value>), Problem> {
    let seen = Seen::of(part)?;
    let refuse = |message: String| Err(Problem::new(seen.path.clone(), message));
    let (operator, value) = match operator(&seen) {
        Ok(found) => found,
        Err(message) => return refuse(message.to_owned()),
    };
    let mut meant = Vec::new();
    for key in &seen.keys {
        let patterns = pattern::of(key, operator, &value, &HarnessOptions::default());
        let (Some(text), Ok(patterns)) = (key.to_text(), patterns) else { continue };
        let patterns: Vec<Value> = patterns.iter().map(normal).collect();
        if patterns.contains(&part.pattern) {
            let beside = patterns.into_iter().filter(|other| *other != part.pattern);
            let beside: Vec<Value> = beside.collect();
            if let Some(missing) = missing(&beside, parts) {
                return refuse(format!(
                    "expected {} beside it, since {operator} never holds for a blank input",
                    cut(&missing.to_string())
                ));
            }
            return Ok((HarnessCondition::new(text, operator, value), beside));
        }
        meant.extend(patterns);
    }
    refuse(match meant.first() {
        Some(meant) => {
            let meant = meant.to_string();
            let (meant, value) = (cut(&meant), cut(&value));
            format!("expected {meant}, which is what {operator} {value:?} means")
        }
        None => "has no key in Harness that can be written".to_owned(),
    })
}

/// A pattern that is none of the parts.
fn missing<'p>(patterns: &'p [Value], parts: &[Part]) -> Option<&'p Value> {
    patterns.iter().find(|pattern| parts.iter().all(|part| part.pattern != **pattern))
}

/// What can be seen of a part without knowing which condition it is.
struct Seen {
    path: String,
    negated: bool,
    keys: Vec<Key>,
    any: Vec<Value>,
}

impl Seen {
    fn of(part: &Part) -> Result<Self, Problem> {
        let (mut path, mut pattern) = (part.path.clone(), &part.pattern);
        let negated = pattern.get("$not");
        if let Some(inner) = negated {
            path = join(&path, "$not");
            pattern = inner;
        }
        let negated = negated.is_some();
        if let Some(branches) = pattern.get("$or").and_then(Value::as_array) {
            let mut versions = branches.iter().filter_map(|branch| branch.get("artifact"));
            path = join(&path, "$or");
            let version = versions.find_map(|artifact| match leaf(artifact, "") {
                Ok((names, any, _)) if names == ["version"] => Some(any),
                _ => None,
            });
            let any = version.ok_or_else(|| {
                let message = "has no counterpart in Harness, where all conditions hold (expected \
                               alternatives of one field only, as a list of texts)";
                Problem::new(path.clone(), message)
            })?;
            return Ok(Self { path, negated, keys: vec![Key::Build], any: any.clone() });
        }
        let (names, any, path) = leaf(pattern, &path)?;
        let keys = Key::of_field(&names);
        if keys.is_empty() {
            let message = "has no key in Harness (expected kind, artifact.version, artifact.tags \
                           or a field of data)";
            return Err(Problem::new(path, message));
        }
        Ok(Self { path, negated, keys, any: any.clone() })
    }
}

/// The one field that a pattern speaks of: the names that lead to it, its list, its path.
fn leaf<'v>(
    pattern: &'v Value,
    path: &str,
) -> Result<(Vec<&'v str>, &'v Vec<Value>, String), Problem> {
    let (mut names, mut path, mut pattern) = (Vec::new(), path.to_owned(), pattern);
    loop {
        let mut members = pattern.as_object().into_iter().flatten();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            let message = "expected one field: Harness looks at each on its own (expected fields \
                           side by side as patterns of $and)";
            return Err(Problem::new(path, message));
        };
        path = join(&path, name);
        if name.starts_with('$') {
            let message = "has no counterpart in Harness here (expected $and at the root, or $not \
                           of one field)";
            return Err(Problem::new(path, message));
        }
        names.push(name.as_str());
        match value {
            Value::Array(any) => return Ok((names, any, path)),
            inner => pattern = inner,
        }
    }
}

/// The operator and value that the conditions of a field look like.
fn operator(seen: &Seen) -> Result<(HarnessOperator, String), &'static str> {
    use HarnessOperator as Op;
    let choose = |is: Op, is_not: Op| if seen.negated { is_not } else { is };
    if seen.any.contains(&Value::Null) {
        return Ok((choose(Op::Equals, Op::NotEquals), String::new()));
    }
    if let [Value::Object(members)] = seen.any.as_slice() {
        let (name, value) = members.iter().next().ok_or("expected a condition")?;
        let text = value.as_str().unwrap_or_default();
        let affirmed = |op: Op| if seen.negated { None } else { Some((op, text.to_owned())) };
        let found = match name.as_str() {
            _ if text.is_empty() => None,
            "prefix" => affirmed(Op::StartsWith),
            "suffix" => affirmed(Op::EndsWith),
            "contains" => Some((choose(Op::Contains, Op::DoesNotContain), text.to_owned())),
            "regex" => affirmed(Op::Regex)
                .and_then(|(op, regex)| Some((op, pattern::full_match(&regex)?.to_owned()))),
            _ => None,
        };
        return found.ok_or(
            "has no operator in Harness (expected a text, prefix, suffix, contains or a regex \
             (?s)\\A(?:…)\\z; within $not a text or contains)",
        );
    }
    let texts: Vec<&str> = seen.any.iter().filter_map(Value::as_str).collect();
    if texts.is_empty() || seen.any.iter().any(Value::is_object) {
        return Err("has no operator in Harness (expected one condition, or texts only)");
    }
    match texts.as_slice() {
        [text] if !text.is_empty() => Ok((choose(Op::Equals, Op::NotEquals), (*text).to_owned())),
        _ => {
            let list = list::join(texts).ok_or(
                "expected no text with blanks around it in a list: \
                                                Harness trims them",
            )?;
            Ok((choose(Op::In, Op::NotIn), list))
        }
    }
}
