//! Texts put together from values of a document: `{/repository/name}:{/tag}`.
//!
//! In: a template's text, or a document and the part of it that an event is made of. Out: the
//! template, or the text. What stands in braces is a JSON pointer (RFC 6901), with `#` before it
//! from the document's root where `each` goes through parts of it, and perhaps a bar and what to
//! take where there is nothing: `{/tag|latest}`, `{#/run/id}`. Two braces stand for one.

use std::fmt;

use serde_json::Value;

use crate::document::{Problems, cut, mismatch};
use crate::event::MAX_TEXT_BYTES;

/// The most pieces of a template.
const MAX_PIECES: usize = 64;

/// A document and the part of it that an event is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) root: &'a Value,
    pub(super) part: &'a Value,
    /// Where the part stands in the document, as a pointer.
    pub(super) at: &'a str,
    /// How many parts there are.
    pub(super) of: usize,
}

/// A place in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    /// Whether it starts at the root rather than at the part.
    from_root: bool,
    text: String,
}

impl Pointer {
    /// Reads `/a/b`, `#/a/b`, or nothing for the part itself.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let from_root = text.starts_with('#');
        let pointer = text.strip_prefix('#').unwrap_or(text);
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(format!(
                "expected a JSON pointer such as /a/b, or #/a/b from the root, found {:?}",
                cut(text)
            ));
        }
        let escapes = pointer.split('~').skip(1);
        if !escapes.map(|rest| rest.chars().next()).all(|c| matches!(c, Some('0' | '1'))) {
            let found = cut(text);
            return Err(format!("expected ~0 or ~1 where there is a tilde, found {found:?}"));
        }
        Ok(Self { from_root, text: pointer.to_owned() })
    }

    /// What stands there; null is nothing.
    pub(super) fn find<'a>(&self, parts: &Parts<'a>) -> Option<&'a Value> {
        let from = if self.from_root { parts.root } else { parts.part };
        from.pointer(&self.text).filter(|value| !value.is_null())
    }

    /// Where that is in the document, as problems write paths.
    pub(super) fn path(&self, parts: &Parts<'_>) -> String {
        let at = if self.from_root { "" } else { parts.at };
        let steps = [at, &self.text].concat();
        steps.split('/').skip(1).fold(String::new(), |path, step| {
            match (step.parse::<usize>(), path.is_empty()) {
                (Ok(n), _) => format!("{path}[{n}]"),
                (Err(_), true) => cut(step).to_owned(),
                (Err(_), false) => format!("{path}.{}", cut(step)),
            }
        })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.from_root { "#" } else { "" }, self.text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value { pointer: Pointer, default: Option<String> },
}

/// A text with values of a document in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if pieces.len() == MAX_PIECES {
                return Err(format!("expected at most {MAX_PIECES} texts and pointers"));
            }
            let (piece, behind) = next_piece(rest, text)?;
            match (pieces.last_mut(), piece) {
                (Some(Piece::Text(before)), Piece::Text(more)) => before.push_str(&more),
                (_, piece) => pieces.push(piece),
            }
            rest = behind;
        }
        if pieces.is_empty() {
            return Err("expected a text, found an empty one".to_owned());
        }
        Ok(Self(pieces))
    }

    /// The text of a document; `None` if a value of it is not there, or is empty, and has no
    /// default.
    pub(super) fn text(&self, parts: &Parts<'_>, problems: &mut Problems) -> Option<String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Value { pointer, default } => {
                    let value = match pointer.find(parts) {
                        Some(value) => scalar(value, &pointer.path(parts), problems)?,
                        None => String::new(),
                    };
                    match default {
                        Some(default) if value.is_empty() => text.push_str(default),
                        None if value.is_empty() => return None,
                        _ => text.push_str(&value),
                    }
                }
            }
        }
        Some(text).filter(|text| !text.is_empty())
    }

    /// The texts of a document: of a template that is one pointer to an array, those in the array.
    pub(super) fn texts(&self, parts: &Parts<'_>, problems: &mut Problems) -> Vec<String> {
        if let [Piece::Value { pointer, .. }] = self.0.as_slice()
            && let Some(Value::Array(items)) = pointer.find(parts)
        {
            let path = pointer.path(parts);
            let items = items.iter().enumerate();
            let text = |(n, item)| scalar(item, &format!("{path}[{n}]"), problems);
            return items.filter_map(text).filter(|text| !text.is_empty()).collect();
        }
        self.text(parts, problems).into_iter().collect()
    }

    /// The value itself that a template of one pointer points to.
    pub(super) fn pointer(&self) -> Option<&Pointer> {
        match self.0.as_slice() {
            [Piece::Value { pointer, default: None }] => Some(pointer),
            _ => None,
        }
    }
}

/// What the rest of a template begins with, and what is behind that.
fn next_piece<'t>(rest: &'t str, text: &str) -> Result<(Piece, &'t str), String> {
    for (doubled, brace) in [("{{", "{"), ("}}", "}")] {
        if let Some(behind) = rest.strip_prefix(doubled) {
            return Ok((Piece::Text(brace.to_owned()), behind));
        }
    }
    if let Some(inner) = rest.strip_prefix('{') {
        let Some((inner, behind)) = inner.split_once('}') else {
            return Err(format!("expected a closing brace, found none in {:?}", cut(text)));
        };
        let (pointer, default) = match inner.split_once('|') {
            Some((pointer, default)) => (pointer, Some(default.to_owned())),
            None => (inner, None),
        };
        let pointer = Pointer::parse(pointer)?;
        return Ok((Piece::Value { pointer, default }, behind));
    }
    if rest.starts_with('}') {
        return Err(format!(
            "expected two closing braces or an opening one before, in {:?}",
            cut(text)
        ));
    }
    let end = rest.find(['{', '}']).unwrap_or(rest.len());
    Ok((Piece::Text(rest[..end].to_owned()), &rest[end..]))
}

/// A text, a number or a truth value as text; null is an empty one.
pub(super) fn scalar(value: &Value, path: &str, problems: &mut Problems) -> Option<String> {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Array(_) | Value::Object(_) => {
            mismatch(value, "a string, a number, true or false", path, problems);
            return None;
        }
    };
    if text.len() > MAX_TEXT_BYTES {
        let found = text.len();
        problems.add(path, format!("expected at most {MAX_TEXT_BYTES} bytes, found {found}"));
        return None;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(template: &str, root: &Value) -> Result<Option<String>, String> {
        let template = Template::parse(template)?;
        let mut problems = Problems::default();
        let part = root.pointer("/items/0").unwrap_or(root);
        let text = template.text(&Parts { root, part, at: "/items/0", of: 1 }, &mut problems);
        if problems.is_empty() { Ok(text) } else { Err(problems.to_string()) }
    }

    #[test]
    fn values_are_put_into_the_text() {
        let root = json!({
            "run": {"id": 17, "ok": true},
            "items": [{"name": "app", "tag": "", "none": null, "a/b": "slash", "{": 1}]
        });
        for (template, expected) in [
            ("plain", Some("plain")),
            ("{/name}", Some("app")),
            ("{/name}:{#/run/id}", Some("app:17")),
            ("{{{/name}}}", Some("{app}")),
            ("{#/run/ok}", Some("true")),
            ("{/a~1b}", Some("slash")),
            ("{/tag}", None),
            ("{/none}", None),
            ("{/missing}:x", None),
            ("{/tag|latest}", Some("latest")),
            ("{/missing|}x", Some("x")),
            ("{/missing|}", None),
            ("{/name|other}", Some("app")),
        ] {
            assert_eq!(text(template, &root), Ok(expected.map(ToOwned::to_owned)), "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        for (template, message) in [
            ("", "expected a text, found an empty one"),
            ("{/a", "expected a closing brace, found none in \"{/a\""),
            ("a}", "expected two closing braces or an opening one before, in \"a}\""),
            ("{a}", "expected a JSON pointer such as /a/b, or #/a/b from the root, found \"a\""),
            ("{/a~2}", "expected ~0 or ~1 where there is a tilde, found \"/a~2\""),
            ("{/a~}", "expected ~0 or ~1 where there is a tilde, found \"/a~\""),
        ] {
            assert_eq!(Template::parse(template), Err(message.to_owned()), "{template}");
        }
        assert!(Template::parse(&"{/a}b".repeat(33)).is_err());
    }

    #[test]
    fn what_is_no_text_is_told_where_it_stands() {
        let root = json!({"items": [{"name": ["a"]}], "run": {}});
        let error = text("{/name}", &root).unwrap_err();
        assert_eq!(
            error,
            "items[0].name: expected a string, a number, true or false, found an array"
        );
        let error = text("{#/run}", &root).unwrap_err();
        assert_eq!(error, "run: expected a string, a number, true or false, found an object");
    }
}
