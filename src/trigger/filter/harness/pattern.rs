//! From one condition to the patterns that say the same.

use serde_json::{Value, json};

use super::key::Key;
use super::{Filter, HarnessOperator, HarnessOptions, first_message, list};
use crate::document::{self, cut};

const REGEX_BEGINS: &str = r"(?s)\A(?:";
const REGEX_ENDS: &str = r")\z";

/// The patterns that must all hold, each an object of one member; what is wrong with the value.
pub(super) fn of(
    key: &Key,
    operator: HarnessOperator,
    value: &str,
    options: &HarnessOptions,
) -> Result<Vec<Value>, String> {
    use HarnessOperator as Op;
    Ok(match operator {
        Op::Equals if value.is_empty() => vec![blank(key)],
        Op::NotEquals if value.is_empty() => vec![not(&blank(key))],
        Op::DoesNotContain if value.is_empty() => {
            return Err("expected a text: there is none without the empty one in it".to_owned());
        }
        _ if value.is_empty() => Vec::new(),
        Op::Equals => vec![any_of(key, exact(key, value))],
        Op::NotEquals => vec![not(&any_of(key, exact(key, value)))],
        Op::StartsWith => vec![any_of(key, vec![json!({"prefix": value})])],
        Op::EndsWith => vec![any_of(key, vec![json!({"suffix": value})])],
        Op::Contains => vec![any_of(key, vec![json!({"contains": value})])],
        Op::DoesNotContain => vec![not(&any_of(key, vec![json!({"contains": value})]))],
        Op::Regex => regex(key, value)?,
        Op::In => one_of(key, value, options)?,
        Op::NotIn => vec![not(&super::all_of(one_of(key, value, options)?))],
    })
}

/// Holds for an input of which a leaf satisfies any of the conditions.
pub(super) fn any_of(key: &Key, any: Vec<Value>) -> Value {
    match key {
        Key::Payload(names) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            below(&["data"], below(&names, any.into()))
        }
        Key::Header(name) => below(&["data", "headers", name], any.into()),
        Key::Version => below(&["artifact", "version"], any.into()),
        Key::Tag => below(&["artifact", "tags"], any.into()),
        Key::Kind => below(&["kind"], any.into()),
        Key::Build => build(&any, &any),
    }
}

/// What the regex of a condition is, if it is one that [`of`] makes.
pub(super) fn full_match(regex: &str) -> Option<&str> {
    regex.strip_prefix(REGEX_BEGINS)?.strip_suffix(REGEX_ENDS)
}

fn below(names: &[&str], value: Value) -> Value {
    names.iter().rev().fold(value, |value, name| json!({ *name: value }))
}

/// The version counts; where there is none, the tags do.
fn build(of_version: &[Value], of_tags: &[Value]) -> Value {
    json!({"$or": [
        {"artifact": {"version": of_version}},
        {"artifact": {"tags": of_tags, "version": [{"exists": false}]}},
    ]})
}

fn not(pattern: &Value) -> Value {
    json!({ "$not": pattern })
}

/// Holds for an input that is absent, null or empty.
fn blank(key: &Key) -> Value {
    let there = vec![json!(null), json!("")];
    let any = [there.clone(), vec![json!({"exists": false})]].concat();
    if *key == Key::Build { build(&there, &any) } else { any_of(key, any) }
}

/// The leaves whose text this is. Of payloads these may be a number or a boolean.
fn exact(key: &Key, text: &str) -> Vec<Value> {
    let is_printed_so = |scalar: &Value| {
        let printed = scalar.to_string();
        (scalar.is_boolean() || scalar.is_number()) && printed == text
    };
    let scalar = Some(text).filter(|_| matches!(key, Key::Payload(_)));
    let scalar = scalar
        .and_then(|text| document::parse(text.as_bytes(), text.len()).ok())
        .filter(is_printed_so);
    std::iter::once(json!(text)).chain(scalar).collect()
}

/// Holds for a text that fits as a whole and is not blank.
fn regex(key: &Key, value: &str) -> Result<Vec<Value>, String> {
    let condition = anchored(value)?;
    let blank = fits_the_empty_text(&condition).then(|| not(&blank(key)));
    Ok(std::iter::once(any_of(key, vec![condition])).chain(blank).collect())
}

fn anchored(regex: &str) -> Result<Value, String> {
    let anchored = json!({"regex": format!("{REGEX_BEGINS}{regex}{REGEX_ENDS}")});
    // Alone too: `a)|(b` would close the group that is put around it.
    for condition in [json!({ "regex": regex }), anchored.clone()] {
        Filter::from_value(&json!({"leaf": [condition]})).map_err(|problems| {
            let found = first_message(&problems);
            format!("expected a regex that does not look around or refer back: {found}")
        })?;
    }
    Ok(anchored)
}

fn fits_the_empty_text(condition: &Value) -> bool {
    let filter = Filter::from_value(&json!({"leaf": [condition]}));
    filter.is_ok_and(|filter| filter.matches_value(&json!({"leaf": ""})))
}

/// Holds for what is equal to an item; with `compat` for what fits one as a regex, too.
fn one_of(key: &Key, value: &str, options: &HarnessOptions) -> Result<Vec<Value>, String> {
    let items = list::split(value)?;
    let mut any: Vec<Value> = items.iter().flat_map(|item| exact(key, item)).collect();
    let mut but_blank = false;
    if options.compat {
        // Without one of these a regex fits nothing but its own text.
        let special = |item: &&String| item.contains(|c: char| r"\.+*?()|[]{}^$".contains(c));
        for item in items.iter().filter(special) {
            let regex = anchored(item).map_err(|message| format!("{:?}: {message}", cut(item)))?;
            but_blank |= fits_the_empty_text(&regex);
            any.push(regex);
        }
        but_blank &= items.iter().all(|item| !item.is_empty());
    }
    Ok(std::iter::once(any_of(key, any)).chain(but_blank.then(|| not(&blank(key)))).collect())
}
