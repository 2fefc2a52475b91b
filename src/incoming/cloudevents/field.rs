//! Attributes in header fields (HTTP protocol binding, section 3.1.3).

use serde_json::{Map, Value};

use crate::document::Problems;
use crate::incoming::percent;
use crate::request::Headers;

const PREFIX: &str = "ce-";

/// The name of the attribute that a header field holds, if it holds one.
pub(super) fn attribute(name: &str) -> Option<&str> {
    let (start, rest) = name.split_at_checked(PREFIX.len())?;
    start.eq_ignore_ascii_case(PREFIX).then_some(rest)
}

/// All attributes that the header fields hold. Their names' case means nothing in HTTP.
pub(super) fn attributes(headers: &Headers, problems: &mut Problems) -> Map<String, Value> {
    let mut attributes = Map::new();
    for (name, value) in headers.iter() {
        let Some(name) = attribute(name).map(str::to_ascii_lowercase) else { continue };
        let path = format!("{PREFIX}{name}");
        match decoded(value) {
            Ok(text) if attributes.contains_key(&name) => {
                // Which of the two is meant nobody knows.
                let found = Value::String(text);
                if attributes.get(&name) != Some(&found) {
                    problems.add(path, "expected it once, found it with more than one value");
                }
            }
            Ok(text) => {
                attributes.insert(name, Value::String(text));
            }
            Err(message) => problems.add(path, message),
        }
    }
    attributes
}

/// What a field's value says: quotes and their escapes undone, then percent signs, once.
fn decoded(value: &[u8]) -> Result<String, &'static str> {
    let value = value.trim_ascii();
    let bytes = match unquoted(value) {
        Some(plain) => percent::decoded(&plain),
        None => percent::decoded(value),
    };
    String::from_utf8(bytes).map_err(|_| "expected UTF-8, where necessary percent-encoded")
}

/// What stands between quotes (RFC 9110, section 5.6.4), as older versions of the binding allow;
/// `None` if that is not the whole value. Quotes within one that is not quoted stand for
/// themselves: there are senders that encode none.
fn unquoted(value: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?.iter();
    let mut plain = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => plain.push(*bytes.next()?),
            _ => plain.push(*byte),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted_and_then_percent_decoded_once() {
        for (value, expected) in [
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("plain", "plain"),
            ("\"with space\"", "with space"),
            ("\"a \\\"b\\\" \\\\ c\"", "a \"b\" \\ c"),
            ("a \"b c\" d", "a \"b c\" d"),
            ("\"a\" \"b\"", "\"a\" \"b\""),
            ("\"a", "\"a"),
            ("\"a\\\"", "\"a\\\""),
            ("\"", "\""),
            ("\"\"", ""),
            ("\"%41\\%42\"", "AB"),
            ("%2541", "%41"),
            ("%e2%82%ac", "€"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("  a  ", "a"),
            ("schön", "schön"),
            ("a\\b", "a\\b"),
        ] {
            assert_eq!(decoded(value.as_bytes()).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for value in [&b"%C0%A0"[..], b"%ff", b"\xff", b"%ED%A0%80"] {
            assert!(decoded(value).unwrap_err().contains("UTF-8"), "{value:?}");
        }
    }

    #[test]
    fn a_field_told_twice_with_one_value_is_one() {
        let headers = |second: &str| -> Headers {
            [("ce-id", "1"), ("CE-Id", second), ("cell", "2")].into_iter().collect()
        };
        let mut problems = Problems::default();
        let found = attributes(&headers("1"), &mut problems);
        assert_eq!(Value::Object(found), serde_json::json!({ "id": "1" }));
        assert!(problems.is_empty());
        attributes(&headers("2"), &mut problems);
        let message = "ce-id: expected it once, found it with more than one value";
        assert_eq!(problems.to_string(), message);
    }
}
