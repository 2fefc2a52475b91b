//! `Retry-After`, whatever an endpoint says.
//!
//! In: eight bytes for the time at which it is read, then the field's value. Whatever is understood
//! is either the number of seconds that stands there, or the date that somebody else prints just
//! so.

#![no_main]

use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::deliverer::retry_after;
use artifact_triggers::request::Headers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((time, value)) = data.split_first_chunk() else { return };
    let now = Timestamp::from_unix_micros(i64::from_le_bytes(*time));
    let headers: Headers = [("retry-after", value)].into_iter().collect();
    let Some(wait) = retry_after(&headers, now) else { return };
    let text = std::str::from_utf8(value).expect("all that is understood is ASCII").trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(u64::MAX);
        assert_eq!(wait, Duration::from_secs(seconds));
    } else if wait > Duration::from_secs(1) {
        check_date(text, now + wait);
    }
});

/// A date that has not passed is what somebody else prints in one of three forms; a leap second is
/// the one that follows, for who has none.
fn check_date(text: &str, date: Timestamp) {
    let forms = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let is_printed =
        |form: &str, date: Timestamp| date.to_datetime().format(form).to_string() == text;
    let before = date.before(Duration::from_secs(1));
    let is_read = forms
        .iter()
        .any(|form| is_printed(form, date) || is_printed(&form.replace("%S", "60"), before));
    assert!(is_read, "{text:?} was read as {date}");
}
