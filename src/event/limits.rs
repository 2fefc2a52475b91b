//! How large an event may be, and the checks that hold it to that.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::document::{Problems, check_depth, cut, join};

/// The largest event, in bytes of its JSON.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;
/// The longest text in a coordinate, a name or an attribute, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// The most tags, files, child digests, attributes, annotations or hops of an event.
pub const MAX_COUNT: usize = 1024;

pub(super) fn check_text(path: &str, text: &str, problems: &mut Problems) {
    if text.is_empty() {
        problems.add(path, "expected a text, found an empty one; leave it out instead");
    } else if text.len() > MAX_TEXT_BYTES {
        let found = text.len();
        problems.add(path, format!("expected at most {MAX_TEXT_BYTES} bytes, found {found}"));
    } else if text.chars().any(char::is_control) {
        problems.add(path, format!("expected no control characters, found {:?}", cut(text)));
    }
}

pub(super) fn check_texts<'a>(
    path: &str,
    texts: impl IntoIterator<Item = (&'static str, &'a Option<String>)>,
    problems: &mut Problems,
) {
    for (name, text) in texts {
        if let Some(text) = text {
            check_text(&format!("{path}.{name}"), text, problems);
        }
    }
}

pub(super) fn check_map(path: &str, map: &BTreeMap<String, String>, problems: &mut Problems) {
    check_count(path, map.len(), problems);
    for (name, value) in map {
        check_text(&join(path, name), name, problems);
        if value.len() > MAX_TEXT_BYTES {
            let found = value.len();
            let message = format!("expected at most {MAX_TEXT_BYTES} bytes, found {found}");
            problems.add(join(path, name), message);
        }
    }
}

pub(super) fn check_count(path: &str, count: usize, problems: &mut Problems) {
    if count > MAX_COUNT {
        problems.add(path, format!("expected at most {MAX_COUNT}, found {count}"));
    }
}

/// Members that are not known are kept as they are, as long as they can be read back: no deeper than
/// parsers go, and under no name that a known member has.
pub(super) fn check_extra(
    path: &str,
    extra: &Map<String, Value>,
    known: &[&str],
    problems: &mut Problems,
) {
    for (name, value) in extra {
        if known.contains(&name.as_str()) {
            problems
                .add(join(path, name), "is a known member; expected its field to be set instead");
        }
        check_depth(&join(path, name), value, problems);
    }
}
