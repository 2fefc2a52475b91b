//! JSON of values, and the joining of it with the text of a template around it.
//!
//! In: what a template printed, with each value's JSON between two marks. Out: a document in which
//! a value within a string is a part of that string, and any other is a JSON value. Only literal
//! text says where strings begin and end.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Output, Value};
use std::fmt;
use std::fmt::Write as _;

use super::context::Sample;
use super::escape::{Ready, refused};

/// Stand before and behind the JSON of a value. Neither is ever in JSON, nor in a template's text.
const BEGIN: char = '\u{1}';
const END: char = '\u{2}';
/// As deep as parsers go.
const MAX_DEPTH: usize = 100;
/// The longest JSON of one value, in bytes: an event's, with room for what is written longer.
const MAX_VALUE_BYTES: usize = 2 * 1024 * 1024;

/// Whether a text could be taken for a mark.
pub(super) fn has_mark(text: &str) -> bool {
    text.contains([BEGIN, END])
}

/// Writes the JSON of a value between marks.
pub(super) fn mark(json: &str, out: &mut Output<'_>) -> fmt::Result {
    out.write_char(BEGIN)?;
    out.write_str(json)?;
    out.write_char(END)
}

/// Appends the JSON of a value.
pub(super) fn write(value: &Value, out: &mut String) -> Result<(), Error> {
    write_at(value, MAX_DEPTH, out)
}

fn write_at(value: &Value, levels: usize, out: &mut String) -> Result<(), Error> {
    if out.len() > MAX_VALUE_BYTES {
        return Err(refused(format!("expected at most {MAX_VALUE_BYTES} bytes of one value")));
    }
    if let Some(ready) = value.downcast_object_ref::<Ready>() {
        if ready.place == super::escape::Place::Json {
            out.push_str(&ready.text);
        } else {
            push_text(&ready.text, out);
        }
        return Ok(());
    }
    if value.downcast_object_ref::<Sample>().is_some() {
        push_text(&value.to_string(), out);
        return Ok(());
    }
    match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => write_number(value, out)?,
        ValueKind::String => push_text(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if levels == 0 => {
            return Err(refused(format!(
                "expected at most {MAX_DEPTH} levels of lists and objects"
            )));
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (n, item) in value.try_iter()?.enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_at(&item, levels - 1, out)?;
            }
            out.push(']');
        }
        ValueKind::Map => write_members(value, levels, out)?,
        kind => return Err(refused(format!("expected a value that JSON has, found {kind}"))),
    }
    Ok(())
}

fn write_members(map: &Value, levels: usize, out: &mut String) -> Result<(), Error> {
    out.push('{');
    for (n, name) in map.try_iter()?.enumerate() {
        if n > 0 {
            out.push(',');
        }
        match name.as_str() {
            Some(text) => push_text(text, out),
            None => push_text(&name.to_string(), out),
        }
        out.push(':');
        write_at(&map.get_item(&name)?, levels - 1, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_number(value: &Value, out: &mut String) -> Result<(), Error> {
    if value.is_integer() {
        let _ = write!(out, "{value}");
        return Ok(());
    }
    let number = serde_json::Number::from_f64(f64::try_from(value.clone())?);
    let number = number.ok_or_else(|| refused("expected a number that JSON has"))?;
    let _ = write!(out, "{number}");
    Ok(())
}

fn push_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// Joins values with what stands around them.
pub(super) fn join(printed: &str) -> Result<String, &'static str> {
    let mut document = String::with_capacity(printed.len());
    let mut rest = printed;
    let (mut in_string, mut is_escaped) = (false, false);
    while let Some(at) = rest.find(BEGIN) {
        let (literal, marked) = rest.split_at(at);
        for byte in literal.bytes() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = in_string,
                b'"' => in_string = !in_string,
                _ => {}
            }
        }
        if is_escaped {
            return Err("a backslash stands before a value");
        }
        document.push_str(literal);
        let end = marked.find(END).ok_or("a value has no end")?;
        push_value(&marked[1..end], in_string, &mut document);
        rest = &marked[end + 1..];
    }
    document.push_str(rest);
    Ok(document)
}

fn push_value(json: &str, in_string: bool, document: &mut String) {
    if !in_string {
        return document.push_str(json);
    }
    if let Some(text) = json.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        return document.push_str(text);
    }
    let text = serde_json::Value::from(json).to_string();
    document.push_str(&text[1..text.len() - 1]);
}
