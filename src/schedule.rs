//! Schedules: when something comes due, in a time zone.
//!
//! In: a [`Schedule`], the last due time that was fired, and the time now. Out: [`Due`], what is to
//! be fired now and when to look again. Nothing here reads a clock or rolls dice: nodes that decide
//! from the same times decide the same.
//!
//! # Daylight saving
//! A due time is a time on the wall clock of the schedule's zone.
//! - Where the clock is set forward, a time that does not exist comes due at the first instant
//!   behind the gap.
//! - Where it is set back, a time that there is twice comes due the first time only, unless it is
//!   one of many: what is due every hour or every minute is due in each hour and minute that
//!   passes.

mod document;
mod due;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

pub use due::Due;

use crate::clock::Timestamp;
use crate::document::{Problems, join, span};

/// The shortest time between two due times, and the shortest period.
pub const MIN_PERIOD: Duration = Duration::from_secs(1);
/// The longest text of a cron expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 256;
/// The longest jitter that a trigger's schedule may have.
pub const MAX_JITTER: Duration = Duration::from_secs(24 * 60 * 60);
/// The most missed due times that are made up for.
pub const MAX_MISSED: u32 = 1_000;

/// Among how many due times the shortest time between two is looked for.
const GAPS_LOOKED_AT: usize = 800;
const TWO_YEARS: Duration = Duration::from_secs(2 * 366 * 24 * 60 * 60);

/// When something comes due.
///
/// ```
/// use artifact_triggers::schedule::Schedule;
///
/// let schedule = Schedule::cron("0 3 * * MON-FRI")?.in_zone("Europe/Berlin")?;
/// let friday = "2026-11-27T12:00:00Z".parse()?;
/// let monday = "2026-11-30T02:00:00Z".parse()?;
/// assert_eq!(schedule.next_after(friday), Some(monday));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Arc<Parts>);

/// Shared, since of a million triggers few have a schedule, and the others should not pay for it.
#[derive(Debug, Clone, PartialEq)]
struct Parts {
    timing: Timing,
    zone: Tz,
    missed: Missed,
    jitter: Duration,
}

#[derive(Debug, Clone, PartialEq)]
enum Timing {
    /// Whenever an expression says so.
    Cron { expression: String, cron: Box<Cron> },
    /// Once.
    At(Timestamp),
    /// Again and again, beginning at a time.
    Every { period: Duration, from: Timestamp },
}

/// What becomes of due times that passed while nobody was there to fire them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Missed {
    /// They are left out; the next one is fired at its time. One that is late by less than
    /// [`Schedule::GRACE`] is not missed.
    Skip,
    /// The last of them is fired, for all.
    #[default]
    Once,
    /// Each of them is fired, the last so many.
    All(u32),
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The expression is not understood.
    #[error(
        "expected a cron expression of five fields, or of six with seconds first, such as \
         \"0 3 * * MON-FRI\"; found {found:?}: {reason}"
    )]
    Expression {
        /// The expression, or its beginning.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It never comes due.
    #[error(
        "expected an expression that comes due at some time, found {found:?}, which never does"
    )]
    Never {
        /// The expression.
        found: String,
    },
    /// The time zone is not known.
    #[error("expected the name of a time zone such as Europe/Berlin or UTC, found {found:?}")]
    Zone {
        /// The name, or its beginning.
        found: String,
    },
    /// The period is too short or too long.
    #[error("expected a period of 1s or more, found {found:?}")]
    Period {
        /// The period.
        found: Duration,
    },
}

impl Schedule {
    /// How late a due time may be fired without counting as missed.
    pub const GRACE: Duration = Duration::from_secs(60);

    /// Comes due whenever a cron expression says so, on the wall clock of UTC unless a
    /// [zone](Self::in_zone) is set: five fields (minute, hour, day of the month, month, day of the
    /// week), six with seconds before them, or seven with years behind; names of months and days,
    /// lists, ranges, steps; `L`, `W`, `#` and `?` as Quartz has them; `@daily` and its like. If
    /// both the day of the month and that of the week are restricted, either makes it due, as Vixie
    /// cron has it.
    ///
    /// # Errors
    /// [`ScheduleError::Expression`] and [`ScheduleError::Never`].
    pub fn cron(expression: &str) -> Result<Self, ScheduleError> {
        let refuse = |reason: String| {
            let found = expression.chars().take(80).collect();
            Err(ScheduleError::Expression { found, reason })
        };
        if expression.len() > MAX_EXPRESSION_BYTES || !expression.is_ascii() {
            return refuse(format!("expected at most {MAX_EXPRESSION_BYTES} characters of ASCII"));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Optional).build();
        let cron = match parser.parse(expression) {
            Ok(cron) => Box::new(cron),
            Err(error) => return refuse(error.to_string()),
        };
        let expression = expression.trim().to_owned();
        let schedule = Self::of(Timing::Cron { expression: expression.clone(), cron });
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never { found: expression }),
        }
    }

    /// Comes due once.
    pub fn at(time: Timestamp) -> Self {
        Self::of(Timing::At(time))
    }

    /// Comes due again and again: at a time, and each period after it, which is cut off below a
    /// millisecond.
    ///
    /// # Errors
    /// [`ScheduleError::Period`] if the period is shorter than [`MIN_PERIOD`].
    pub fn every(period: Duration, from: Timestamp) -> Result<Self, ScheduleError> {
        if period < MIN_PERIOD || i64::try_from(period.as_micros()).is_err() {
            return Err(ScheduleError::Period { found: period });
        }
        Ok(Self::of(Timing::Every { period: whole_millis(period), from }))
    }

    fn of(timing: Timing) -> Self {
        let (missed, jitter) = (Missed::default(), Duration::ZERO);
        Self(Arc::new(Parts { timing, zone: Tz::UTC, missed, jitter }))
    }

    /// Sets the zone whose wall clock counts, by its name in the IANA time zone database.
    ///
    /// # Errors
    /// [`ScheduleError::Zone`].
    pub fn in_zone(mut self, name: &str) -> Result<Self, ScheduleError> {
        let unknown = |_| ScheduleError::Zone { found: name.chars().take(80).collect() };
        Arc::make_mut(&mut self.0).zone = name.parse().map_err(unknown)?;
        Ok(self)
    }

    /// Sets what becomes of due times that were missed; [`Missed::Once`] if it is not set.
    pub fn with_missed(mut self, missed: Missed) -> Self {
        Arc::make_mut(&mut self.0).missed = missed;
        self
    }

    /// Sets by how much later than due it is fired at most, so that what is due at midnight
    /// everywhere is not fired at once, nor what is due once; cut off below a millisecond. How much
    /// later each is follows from the due time and whose it is: see [`fires_at`](Self::fires_at). A
    /// trigger may have at most [`MAX_JITTER`], and no more than lies between two due times.
    pub fn with_jitter(mut self, jitter: Duration) -> Self {
        Arc::make_mut(&mut self.0).jitter = whole_millis(jitter);
        self
    }

    /// The first due time after a time; `None` if there is none any more.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.0.timing {
            Timing::Cron { cron, .. } => {
                let local = time.to_datetime().with_timezone(&self.0.zone);
                let next = cron.find_next_occurrence(&local, false).ok()?;
                Some(Timestamp::from_datetime(next.to_utc()))
            }
            Timing::At(at) => (*at > time).then_some(*at),
            Timing::Every { from, .. } if *from > time => Some(*from),
            Timing::Every { period, from } => {
                let period = i128::try_from(period.as_micros()).ok()?;
                let passed = i128::from(time.unix_micros()) - i128::from(from.unix_micros());
                let next = i128::from(from.unix_micros()) + (passed / period + 1) * period;
                i64::try_from(next).ok().map(Timestamp::from_unix_micros)
            }
        }
    }

    /// Whether another comes due when this one does, whatever becomes of what was missed and by
    /// however much later each is fired.
    pub(crate) fn is_due_as(&self, other: &Self) -> bool {
        (&self.0.timing, self.0.zone) == (&other.0.timing, other.0.zone)
    }

    /// Reports a jitter by which one due time would be fired after the next.
    pub(crate) fn check(&self, path: &str, problems: &mut Problems) {
        let most = match &self.0.timing {
            Timing::At(_) => MAX_JITTER,
            Timing::Every { period, .. } => MAX_JITTER.min(*period),
            Timing::Cron { .. } => MAX_JITTER.min(self.shortest_gap()),
        };
        if self.0.jitter > most {
            let why = if most < MAX_JITTER { ", what lies between two due times" } else { "" };
            let [most, found] = [most, self.0.jitter].map(span::print);
            let message = format!("expected at most {most}{why}, found {found}");
            problems.add(join(path, "jitter"), message);
        }
    }

    /// What lies between two due times at least: among the first ones, or those of two years if
    /// these are fewer. The first ones of all, since nobody's clock is read here.
    fn shortest_gap(&self) -> Duration {
        if self.0.jitter.is_zero() {
            return Duration::MAX;
        }
        let all = self.upcoming(Timestamp::UNIX_EPOCH, GAPS_LOOKED_AT);
        let of_two_years = |due: &&Timestamp| due.since(all[0]) < TWO_YEARS;
        let all: Vec<&Timestamp> = all.iter().take_while(of_two_years).collect();
        all.windows(2).map(|two| two[1].since(*two[0])).min().unwrap_or(Duration::MAX)
    }

    /// The due times after a time, the first so many, for a preview.
    pub fn upcoming(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        self.following(after).take(count).collect()
    }

    /// The due times after a time.
    pub(crate) fn following(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_after(after), |due| self.next_after(*due))
    }
}

/// A span as it is written and read again: every node must reckon with the same.
fn whole_millis(span: Duration) -> Duration {
    Duration::new(span.as_secs(), span.subsec_millis() * 1_000_000)
}

/// As people say it: the expression, the time or the period, and the zone.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.timing {
            Timing::Cron { expression, .. } => write!(f, "{expression} ({})", self.0.zone.name()),
            Timing::At(at) => write!(f, "at {at}"),
            Timing::Every { period, from } => {
                write!(f, "every {} from {from}", span::print(*period))
            }
        }
    }
}

#[cfg(test)]
mod tests;
