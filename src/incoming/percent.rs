//! Percent-encoding (RFC 3986, section 2.1), as senders write it.

/// The bytes that are meant. A percent sign that encodes nothing stands for itself.
pub(super) fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let encoded = (*first == b'%').then(|| hex_byte(behind)).flatten();
        if encoded.is_some() {
            rest = &behind[2..];
        }
        bytes.push(encoded.unwrap_or(*first));
    }
    bytes
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}
