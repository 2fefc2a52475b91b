//! How large an event may be, and the checks that hold it to that.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::document::{Path, Problems, check_depth, cut};

/// The largest event, in bytes of its JSON.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;
/// The longest text in a coordinate, a name or an attribute, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// The most tags, files, child digests, attributes, annotations or hops of an event.
pub const MAX_COUNT: usize = 1024;

pub(super) fn check_text(path: Path<'_>, text: &str, problems: &mut Problems) {
    if let Some(fault) = fault_of(text) {
        problems.add(path, fault);
    }
}

fn fault_of(text: &str) -> Option<String> {
    if text.is_empty() {
        Some("expected a text, found an empty one; leave it out instead".to_owned())
    } else if text.len() > MAX_TEXT_BYTES {
        Some(format!("expected at most {MAX_TEXT_BYTES} bytes, found {}", text.len()))
    } else if has_control(text) {
        Some(format!("expected no control characters, found {:?}", cut(text)))
    } else {
        None
    }
}

fn has_control(text: &str) -> bool {
    // All bytes are looked at, many at once; what is beyond ASCII is rare.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    !is_plain && text.chars().any(char::is_control)
}

pub(super) fn check_texts<'a>(
    path: Path<'_>,
    texts: impl IntoIterator<Item = (&'static str, &'a Option<String>)>,
    problems: &mut Problems,
) {
    for (name, text) in texts {
        if let Some(fault) = text.as_deref().and_then(fault_of) {
            problems.add(path.member(name), fault);
        }
    }
}

pub(super) fn check_map(path: Path<'_>, map: &BTreeMap<String, String>, problems: &mut Problems) {
    check_count(path, map.len(), problems);
    for (name, value) in map {
        if let Some(fault) = fault_of(name) {
            problems.add(path.member(name), fault);
        }
        if value.len() > MAX_TEXT_BYTES {
            let found = value.len();
            let message = format!("expected at most {MAX_TEXT_BYTES} bytes, found {found}");
            problems.add(path.member(name), message);
        }
    }
}

pub(super) fn check_count(path: Path<'_>, count: usize, problems: &mut Problems) {
    if count > MAX_COUNT {
        problems.add(path, format!("expected at most {MAX_COUNT}, found {count}"));
    }
}

/// Members that are not known are kept as they are, as long as they can be read back: no deeper
/// than parsers go, and under no name that a known member has.
pub(super) fn check_extra(
    path: Path<'_>,
    extra: &Map<String, Value>,
    known: &[&str],
    problems: &mut Problems,
) {
    for (name, value) in extra {
        if known.contains(&name.as_str()) {
            problems
                .add(path.member(name), "is a known member; expected its field to be set instead");
        }
        check_depth(path.member(name), value, problems);
    }
}
