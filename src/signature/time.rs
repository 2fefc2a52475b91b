//! The times that a message carries.

use std::time::Duration;

use super::VerifyError;
use crate::clock::Timestamp;

/// Checks that a time, written as `name`, is near enough.
pub(super) fn check(
    text: &[u8],
    name: &'static str,
    tolerance: Duration,
    now: Timestamp,
) -> Result<(), VerifyError> {
    within(Timestamp::from_unix_seconds(read(text, name)?), tolerance, now)
}

/// Checks that a time is near enough.
pub(super) fn within(
    at: Timestamp,
    tolerance: Duration,
    now: Timestamp,
) -> Result<(), VerifyError> {
    let off_seconds = at.unix_seconds().abs_diff(now.unix_seconds());
    let tolerance_seconds = tolerance.as_secs();
    if off_seconds > tolerance_seconds {
        return Err(VerifyError::Time { off_seconds, tolerance_seconds });
    }
    Ok(())
}

/// Checks that a time, written as `name`, has not passed.
pub(super) fn check_not_past(
    text: &[u8],
    name: &'static str,
    now: Timestamp,
) -> Result<(), VerifyError> {
    let (until, now) = (read(text, name)?, now.unix_seconds());
    if until < now {
        return Err(VerifyError::Time { off_seconds: until.abs_diff(now), tolerance_seconds: 0 });
    }
    Ok(())
}

/// Seconds since the Unix epoch. Digits alone: a sign or a space would be signed text that another
/// reader takes differently.
fn read(text: &[u8], name: &'static str) -> Result<i64, VerifyError> {
    let is_plain = (1..=12).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(text).ok().filter(|_| is_plain);
    digits.and_then(|digits| digits.parse().ok()).ok_or(VerifyError::Timestamp { name })
}
