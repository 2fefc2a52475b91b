//! Hops: which triggers an event went through on its way here, as the sender's engine tells.

use crate::payload::HOPS_HEADER;
use crate::request::Headers;

/// The most hops that are read; an engine stops long before.
const MAX_HOPS: usize = 64;
/// The longest hop that is read, in bytes.
const MAX_HOP_BYTES: usize = 64;

/// The hops that a request tells, oldest first. One that cannot be read counts as one.
pub fn hops(headers: &Headers) -> Vec<String> {
    let values = headers.all(HOPS_HEADER).map(String::from_utf8_lossy);
    let mut hops = Vec::new();
    for value in values {
        for hop in value.split(',').map(str::trim).filter(|hop| !hop.is_empty()) {
            if hops.len() == MAX_HOPS {
                return hops;
            }
            let is_plain = hop.len() <= MAX_HOP_BYTES && hop.bytes().all(|b| b.is_ascii_graphic());
            hops.push(if is_plain { hop.to_owned() } else { "?".to_owned() });
        }
    }
    hops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read_from_all_fields_in_order_and_counted_if_they_cannot_be_read() {
        let headers: Headers = [
            ("Artifact-Triggers-Hops", b"trg_1, trg_2,,".to_vec()),
            ("artifact-triggers-hops", b"\xff\xfe, trg_3".to_vec()),
        ]
        .into_iter()
        .collect();
        assert_eq!(hops(&headers), ["trg_1", "trg_2", "?", "trg_3"]);
        let endless: Headers = [(HOPS_HEADER, "x,".repeat(10_000))].into_iter().collect();
        assert_eq!(hops(&endless).len(), MAX_HOPS);
        assert!(hops(&Headers::new()).is_empty());
    }
}
