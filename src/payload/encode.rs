//! Texts as parts of URIs and header fields.

use std::fmt::Write as _;

/// A segment of a path (RFC 3986): everything but unreserved characters is encoded.
pub(super) fn percent_encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(byte.into());
            }
            _ => {
                let _ = write!(into, "%{byte:02X}");
            }
        }
    }
}

/// A header value as the HTTP protocol binding has it (section 3.1.3.2): printable ASCII, with
/// spaces, quotes, percent signs and all else encoded.
pub(super) fn header_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' => {
                let _ = write!(value, "%{byte:02X}");
            }
            b'!'..=b'~' => value.push(byte.into()),
            _ => {
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
}
