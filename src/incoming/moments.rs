//! Times, in the notations that foreign senders use.

use chrono::DateTime;
use serde_json::Value;

use super::fields;
use crate::clock::Timestamp;
use crate::document::{Object, Problems, mismatch};

/// Beside RFC 3339: offsets without a colon, white space in the place of the T, and both.
const NOTATIONS: [&str; 3] =
    ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f %z", "%Y-%m-%d %H:%M:%S%.f%:z"];

const EXPECTED: &str = "a time such as 2026-11-23T14:42:23Z";

/// The time that a text tells.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let utc = text.strip_suffix(" UTC").map(|time| format!("{time} +0000"));
    let text = utc.as_deref().unwrap_or(text);
    let other = || NOTATIONS.iter().find_map(|form| DateTime::parse_from_str(text, form).ok());
    let time = DateTime::parse_from_rfc3339(text).ok().or_else(other)?;
    Some(Timestamp::from_datetime(time.to_utc()))
}

/// The time so many units after 1970, of which a second has so many.
pub(super) fn since_1970(value: &Value, units_a_second: u32) -> Option<Timestamp> {
    let units = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let micros = (units * (1e6 / f64::from(units_a_second))).round();
    #[expect(clippy::cast_possible_truncation, reason = "it is within the years of a timestamp")]
    let whole = || Timestamp::from_unix_micros(micros as i64);
    let (first, last) = (-62_167_219_200e6, 253_402_300_799e6);
    (first..=last).contains(&micros).then(whole)
}

/// Whether a time is none: what Go and others print where there is nothing, the year 1.
fn is_nothing(time: Timestamp) -> bool {
    time < Timestamp::from_unix_seconds(-62_104_060_800)
}

/// A time that may be absent, null, empty or that of nothing.
pub(super) fn time(object: &mut Object, name: &str, problems: &mut Problems) -> Option<Timestamp> {
    let text = fields::text(object, name, problems)?;
    let Some(time) = parse(&text) else {
        mismatch(&Value::String(text), EXPECTED, &object.path(name), problems);
        return None;
    };
    (!is_nothing(time)).then_some(time)
}

/// A time in milliseconds since 1970 that may be absent or null.
pub(super) fn milliseconds(
    object: &mut Object,
    name: &str,
    problems: &mut Problems,
) -> Option<Timestamp> {
    let value: Value = object.optional(name, problems)?;
    let time = since_1970(&value, 1_000).filter(|_| value.is_number());
    if time.is_none() {
        mismatch(&value, "milliseconds since 1970", &object.path(name), problems);
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_time_is_understood_in_every_notation() {
        let expected: Timestamp = "2026-11-23T14:42:23.5Z".parse().unwrap();
        for text in [
            "2026-11-23T14:42:23.5Z",
            "2026-11-23T15:42:23.500+01:00",
            "2026-11-23T14:42:23.500+0000",
            "2026-11-23 15:42:23.5 +0100",
            "2026-11-23 14:42:23.5 UTC",
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "2026-11-23", "yesterday", "2026-11-23T14:42:23", "1764000000"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_counted_from_1970_whole_or_not() {
        let expected: Timestamp = "2025-11-24T16:00:00.25Z".parse().unwrap();
        for (value, units) in [
            (json!(1_764_000_000.25), 1),
            (json!("1764000000.25"), 1),
            (json!(1_764_000_000_250_u64), 1_000),
        ] {
            assert_eq!(since_1970(&value, units), Some(expected), "{value}");
        }
        for value in [json!(1e300), json!("NaN"), json!("inf"), json!("x"), json!([]), json!(true)]
        {
            assert_eq!(since_1970(&value, 1), None, "{value}");
        }
    }

    #[test]
    fn the_year_1_is_no_time() {
        for (text, is_none) in [("0001-01-01T00:00:00Z", true), ("1970-01-01T00:00:00Z", false)] {
            assert_eq!(is_nothing(parse(text).unwrap()), is_none, "{text}");
        }
    }
}
