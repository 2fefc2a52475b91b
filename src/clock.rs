//! Time: the [`Timestamp`] that everything is stamped with and the [`Clock`] that tells it.
//!
//! This is the only module that reads the operating system's clock. Everything else is told the
//! time, so that a test can run days of delivery in milliseconds.

pub(crate) mod ring;

use std::fmt;
use std::future::Future;
use std::ops::Add;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

/// A point in time with a resolution of one microsecond, in UTC, in the years 0000 to 9999.
///
/// Printed and parsed as RFC 3339; finer fractions of a second are cut off when parsed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0000-01-01T00:00:00Z; earlier times are moved up to it.
    pub const MIN: Self = Self(-62_167_219_200_000_000);
    /// 9999-12-31T23:59:59.999999Z; later times are moved down to it.
    pub const MAX: Self = Self(253_402_300_799_999_999);
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The operating system's time.
    pub fn now() -> Self {
        Self::from_datetime(Utc::now())
    }

    /// The time this many microseconds after (before, if negative) the Unix epoch.
    pub fn from_unix_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The time this many seconds after (before, if negative) the Unix epoch.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self::from_unix_micros(seconds.saturating_mul(1_000_000))
    }

    /// The same time, cut to microseconds.
    pub fn from_datetime(time: DateTime<Utc>) -> Self {
        Self::from_unix_micros(time.timestamp_micros())
    }

    /// The same time as chrono has it.
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).expect("years 0000 to 9999 fit chrono's range")
    }

    /// Microseconds since the Unix epoch.
    pub fn unix_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// How long after `earlier` this is; zero if it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The time this long before; at the earliest [`Timestamp::MIN`].
    pub fn before(self, span: Duration) -> Self {
        Self::from_unix_micros(self.0.saturating_sub(micros(span)))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self::from_unix_micros(self.0.saturating_add(micros(span)))
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_datetime().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a time as RFC 3339 has it, such as 2026-11-23T14:42:23Z, found {found:?}")]
pub struct ParseTimestampError {
    found: String,
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        DateTime::parse_from_rfc3339(text)
            .map(|time| Self::from_datetime(time.to_utc()))
            .map_err(|_| ParseTimestampError { found: text.chars().take(80).collect() })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What [`Clock::sleep`] returns.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells the time and waits for it.
///
/// # Contract
/// 1. `now` may go back or jump; it may not be far from the true time for long.
/// 2. `sleep` ends once the span has passed, never before; dropping it cancels it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Waits for a span of time.
    fn sleep(&self, span: Duration) -> Sleep;
}

/// The operating system's time and tokio's timers.
#[cfg(feature = "tokio")]
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioClock;

#[cfg(feature = "tokio")]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(span))
    }
}

/// A clock that stands still until it is told to go on: for tests and simulations.
///
/// Clones share one time.
///
/// ```
/// use artifact_triggers::clock::{Clock, ManualClock, Timestamp};
/// use std::time::Duration;
///
/// let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().to_string(), "1970-01-01T00:01:00Z");
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    state: Arc<Mutex<ManualState>>,
}

#[derive(Debug)]
struct ManualState {
    now: Timestamp,
    next_sleeper: u64,
    sleepers: Vec<Sleeper>,
}

#[derive(Debug)]
struct Sleeper {
    id: u64,
    until: Timestamp,
    waker: Waker,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        let state = ManualState { now, next_sleeper: 0, sleepers: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Lets time pass and wakes who waited for it.
    pub fn advance(&self, span: Duration) {
        let to = self.now() + span;
        self.set(to);
    }

    /// Moves to a time, forwards or back, and wakes who waited for it.
    pub fn set(&self, now: Timestamp) {
        let due: Vec<Waker> = {
            let mut state = self.lock();
            state.now = now;
            state.sleepers.extract_if(.., |sleeper| sleeper.until <= now).map(|s| s.waker).collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// The earliest time that somebody sleeps until.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.lock().sleepers.iter().map(|sleeper| sleeper.until).min()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ManualState> {
        self.state.lock().expect("no code panics while it holds the clock")
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn sleep(&self, span: Duration) -> Sleep {
        let mut state = self.lock();
        let id = state.next_sleeper;
        state.next_sleeper += 1;
        Box::pin(ManualSleep { clock: self.clone(), id, until: state.now + span })
    }
}

struct ManualSleep {
    clock: ManualClock,
    id: u64,
    until: Timestamp,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.lock();
        if self.until <= state.now {
            return Poll::Ready(());
        }
        state.sleepers.retain(|sleeper| sleeper.id != self.id);
        let waker = context.waker().clone();
        state.sleepers.push(Sleeper { id: self.id, until: self.until, waker });
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        self.clock.lock().sleepers.retain(|sleeper| sleeper.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_it_was_parsed() {
        for text in
            ["2026-11-23T14:42:23.008178Z", "1999-12-31T23:59:59Z", "2026-01-01T00:00:00.5Z"]
        {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
        let nanos: Timestamp = "2026-11-23T15:42:23.008178772+01:00".parse().unwrap();
        assert_eq!(nanos.to_string(), "2026-11-23T14:42:23.008178Z");
    }

    #[test]
    fn times_out_of_range_are_moved_to_the_nearest_in_it() {
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::MIN.before(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::MIN.to_string(), "0000-01-01T00:00:00Z");
    }

    #[test]
    fn a_text_that_is_no_time_is_named_in_the_error() {
        let error = "yesterday".parse::<Timestamp>().unwrap_err();
        assert!(error.to_string().contains("yesterday"), "{error}");
    }
}
