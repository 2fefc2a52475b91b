//! Schemes of one header field that holds a MAC of the body, in lower-case hex.

use super::key::SigningSecret;
use super::{VerifyError, verifier};
use crate::request::Headers;

/// A MAC that is written so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HexField {
    /// The field's name.
    pub(super) name: String,
    /// What stands before the hex digits.
    pub(super) prefix: &'static str,
}

impl HexField {
    /// The MAC that a message carries; none if what stands there is none.
    pub(super) fn read(
        &self,
        headers: &Headers,
        bytes: usize,
    ) -> Result<Vec<Vec<u8>>, VerifyError> {
        let value = verifier::required(headers, &self.name)?;
        let hex = value.strip_prefix(self.prefix.as_bytes());
        Ok(hex.and_then(|hex| from_hex(hex, bytes)).into_iter().collect())
    }
}

/// By the first secret: there is room for one signature.
pub(super) fn sign(
    header: &str,
    prefix: &str,
    secrets: &[SigningSecret],
    body: &[u8],
) -> Option<(String, String)> {
    let mac = secrets.first()?.sign(&[body]);
    Some((header.to_ascii_lowercase(), format!("{prefix}{}", to_hex(&mac))))
}

/// So many bytes from twice as many digits, in lower case as all senders write them: one text alone
/// stands for a MAC.
pub(super) fn from_hex(text: &[u8], bytes: usize) -> Option<Vec<u8>> {
    if text.len() != bytes * 2 {
        return None;
    }
    let mut read = Vec::with_capacity(bytes);
    for pair in text.chunks_exact(2) {
        let [high, low] = [pair[0], pair[1]].map(|digit| VALUES[usize::from(digit)]);
        if high | low > 15 {
            return None;
        }
        read.push(16 * high + low);
    }
    Some(read)
}

/// What a byte stands for as a digit; more than 15 if it is none. Looked up, since whether a digit
/// is a letter nobody can foresee.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

pub(super) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        hex.push(DIGITS[usize::from(byte >> 4)]);
        hex.push(DIGITS[usize::from(byte & 15)]);
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_as_it_is_written_and_in_no_other_way() {
        let all: Vec<u8> = (0..=255).collect();
        let text = to_hex(&all);
        assert!(text.starts_with("000102") && text.ends_with("fdfeff"), "{text}");
        assert_eq!(from_hex(text.as_bytes(), 256), Some(all));
        for (text, bytes) in [("0A", 1), ("0g", 1), ("a", 1), ("aab", 1), ("", 1), (" a", 1)] {
            assert_eq!(from_hex(text.as_bytes(), bytes), None, "{text:?}");
        }
    }
}
