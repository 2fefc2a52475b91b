//! Members as foreign senders write them: empty is absent.

use serde_json::{Map, Value};

use super::oci::Reference;
use crate::clock::Timestamp;
use crate::document::{Object, Problems, mismatch, or_mismatch};
use crate::event::{Actor, ActorKind, EventKind, MAX_COUNT, is_digest};

/// A text that may be absent, null or empty.
pub(super) fn text(object: &mut Object, name: &str, problems: &mut Problems) -> Option<String> {
    object.optional(name, problems).filter(|text: &String| !text.is_empty())
}

/// A text that must be there and say something.
pub(super) fn required_text(
    object: &mut Object,
    name: &str,
    problems: &mut Problems,
) -> Option<String> {
    let text: String = object.required(name, problems)?;
    if text.is_empty() {
        problems.add(object.path(name), "expected a string, found an empty one");
        return None;
    }
    Some(text)
}

/// A digest that may be absent, null or empty.
pub(super) fn digest(object: &mut Object, name: &str, problems: &mut Problems) -> Option<String> {
    let text = text(object, name, problems)?;
    if !is_digest(&text) {
        let expected = "a digest such as sha256:e3b0c442…";
        mismatch(&Value::String(text), expected, &object.path(name), problems);
        return None;
    }
    Some(text)
}

/// A member that senders write a tag in, or a digest where there is no tag.
pub(super) fn reference(object: &mut Object, name: &str, problems: &mut Problems) -> Reference {
    text(object, name, problems).map(Reference::of).unwrap_or_default()
}

/// Tags that may be absent or null; what is empty or a digest is none.
pub(super) fn tags(object: &mut Object, name: &str, problems: &mut Problems) -> Vec<String> {
    let texts: Vec<String> = object.optional(name, problems).unwrap_or_default();
    if texts.len() > MAX_COUNT {
        let found = texts.len();
        problems.add(object.path(name), format!("expected at most {MAX_COUNT}, found {found}"));
    }
    texts.into_iter().filter(|text| !text.is_empty() && !is_digest(text)).collect()
}

/// A time in seconds since 1970, whole or not, that may be absent or null.
pub(super) fn seconds(
    object: &mut Object,
    name: &str,
    problems: &mut Problems,
) -> Option<Timestamp> {
    let value: Value = object.optional(name, problems)?;
    let expected = "seconds since 1970";
    or_mismatch(time_of(&value), &value, expected, &object.path(name), problems)
}

fn time_of(value: &Value) -> Option<Timestamp> {
    if let Some(whole) = value.as_i64() {
        return Some(Timestamp::from_unix_seconds(whole));
    }
    // Microseconds beyond what a float tells exactly lie millions of years away.
    let micros = (value.as_f64()? * 1e6).round();
    #[allow(clippy::cast_possible_truncation)]
    (micros.abs() < 2f64.powi(62)).then(|| Timestamp::from_unix_micros(micros as i64))
}

/// Somebody of this name; nobody known if there is none.
pub(super) fn user(name: Option<String>) -> Actor {
    name.map_or_else(Actor::anonymous, |name| Actor::new(ActorKind::User, name))
}

/// A kind of the provider's own: its name and the sender's words for what happened.
pub(super) fn own_kind(
    provider: &str,
    words: &str,
    path: &str,
    problems: &mut Problems,
) -> Option<EventKind> {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c) => c,
        _ => '_',
    };
    let words: String = words.chars().map(plain).collect();
    let kind = format!("{provider}.{words}").parse().ok();
    or_mismatch(kind, &Value::String(words), "what happened, in words", path, problems)
}

/// Keeps what is left of a member, if anything is.
pub(super) fn keep(rest: &mut Map<String, Value>, name: &str, left: Map<String, Value>) {
    if !left.is_empty() {
        rest.insert(name.to_owned(), Value::Object(left));
    }
}
