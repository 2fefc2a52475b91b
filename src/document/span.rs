//! Spans of time as people write them: `5s`, `1h30m`, `7d`.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::{Field, Problems, or_mismatch};

const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Parses numbers with units, largest first: `1h30m`, `500ms`, `0s`.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0)?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*millis)?)?;
        rest = behind;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// Prints a span so that it parses to the same; what is below a millisecond is cut off.
pub(crate) fn print(span: Duration) -> String {
    let mut rest = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in UNITS {
        if rest >= millis {
            let _ = write!(text, "{}{unit}", rest / millis);
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

impl Field for Duration {
    const EXPECTED: &'static str = "a span of time such as \"30s\", \"1h30m\" or \"7d\"";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let span = value.as_str().and_then(parse);
        or_mismatch(span, &value, Self::EXPECTED, path, problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_parse_and_print() {
        for (text, millis) in
            [("0s", 0), ("500ms", 500), ("90s", 90_000), ("1h30m", 5_400_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(parse(&print(Duration::from_millis(millis))), parse(text), "{text}");
        }
        assert_eq!(print(Duration::from_secs(5_405)), "1h30m5s");
    }

    #[test]
    fn a_text_that_is_no_span_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "5x",
            "5s1h",
            "5s5s",
            "99999999999999999999d",
            "9999999999999999d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
