//! When a failed delivery is tried again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::document::{Field, Object, Problems, or_mismatch, span};

/// The pauses between attempts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RetrySchedule {
    /// A pause before each further attempt; after the last one the delivery is dead.
    Pauses(Vec<Duration>),
    /// Pauses that grow.
    Exponential {
        /// The first pause.
        first: Duration,
        /// What each pause is multiplied by to give the next, 1 or more.
        factor: f64,
        /// The longest pause.
        longest: Duration,
        /// How many attempts there are in all, the first one included.
        attempts: u32,
    },
}

impl RetrySchedule {
    /// The most attempts of a delivery.
    pub const MAX_ATTEMPTS: u32 = 100;
    /// The longest pause between attempts.
    pub const MAX_PAUSE: Duration = Duration::from_secs(30 * 24 * 3600);

    /// The schedule that Standard Webhooks recommends: at once, then after 5 s, 5 min, 30 min, 2 h,
    /// 5 h, 10 h, 14 h, 20 h and 24 h.
    pub fn standard() -> Self {
        let seconds = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
        Self::Pauses(seconds.map(Duration::from_secs).to_vec())
    }

    /// One attempt and no other.
    pub fn never() -> Self {
        Self::Pauses(Vec::new())
    }

    /// The pause after an attempt, counted from 1; `None` after the last.
    pub fn pause_after(&self, attempt: u32) -> Option<Duration> {
        match self {
            Self::Pauses(pauses) => {
                let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
                pauses.get(index).copied()
            }
            Self::Exponential { first, factor, longest, attempts } => {
                (attempt < *attempts).then(|| {
                    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
                    let seconds = first.as_secs_f64() * factor.powi(exponent);
                    Duration::try_from_secs_f64(seconds)
                        .map_or(*longest, |pause| pause.min(*longest))
                })
            }
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Pauses(pauses) => {
                json!({"pauses": pauses.iter().map(|pause| span::print(*pause)).collect::<Vec<_>>()})
            }
            Self::Exponential { first, factor, longest, attempts } => json!({"exponential": {
                "first": span::print(*first),
                "factor": factor,
                "longest": span::print(*longest),
                "attempts": attempts,
            }}),
        }
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        match self {
            Self::Pauses(pauses) => {
                let path = format!("{path}.pauses");
                check_attempts(&path, pauses.len() + 1, problems);
                for (n, pause) in pauses.iter().enumerate() {
                    check_pause(&format!("{path}[{n}]"), *pause, problems);
                }
            }
            Self::Exponential { factor, longest, attempts, .. } => {
                let path = format!("{path}.exponential");
                if !factor.is_finite() || *factor < 1.0 {
                    let message = format!("expected 1 or more, found {factor}");
                    problems.add(format!("{path}.factor"), message);
                }
                check_pause(&format!("{path}.longest"), *longest, problems);
                check_attempts(&format!("{path}.attempts"), *attempts as usize, problems);
            }
        }
    }
}

fn check_attempts(path: &str, found: usize, problems: &mut Problems) {
    let most = RetrySchedule::MAX_ATTEMPTS;
    if found == 0 || found > most as usize {
        problems.add(path, format!("expected 1 to {most} attempts, found {found}"));
    }
}

fn check_pause(path: &str, pause: Duration, problems: &mut Problems) {
    if pause > RetrySchedule::MAX_PAUSE {
        let found = span::print(pause);
        problems.add(path, format!("expected pauses of at most 30d, found {found}"));
    }
}

impl Field for RetrySchedule {
    const EXPECTED: &'static str = "an object with pauses or exponential";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let before = problems.len();
        let pauses: Option<Vec<Duration>> = object.optional("pauses", problems);
        let exponential: Option<Object> = object.optional("exponential", problems);
        object.finish(problems);
        match (pauses, exponential) {
            (Some(pauses), None) => Some(Self::Pauses(pauses)),
            (None, Some(mut growing)) => {
                let first = growing.required("first", problems);
                let factor = growing.optional::<Value>("factor", problems).unwrap_or(json!(2.0));
                let longest = growing.optional("longest", problems).unwrap_or(Self::MAX_PAUSE);
                let attempts = growing.required::<u64>("attempts", problems);
                let factor_path = growing.path("factor");
                growing.finish(problems);
                let factor =
                    or_mismatch(factor.as_f64(), &factor, "a number", &factor_path, problems)?;
                let attempts = u32::try_from(attempts?).unwrap_or(u32::MAX);
                Some(Self::Exponential { first: first?, factor, longest, attempts })
            }
            (None, None) if problems.len() > before => None,
            _ => {
                problems.add(path, format!("expected {}, exactly one of them", Self::EXPECTED));
                None
            }
        }
    }
}

/// How pauses are spread, so that what failed together does not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Jitter {
    /// Not at all.
    None,
    /// From the pause up to a fifth more.
    #[default]
    Added,
    /// From half the pause to the whole.
    Equal,
    /// From nothing to the whole pause.
    Full,
}

impl Jitter {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::None, "none"),
        (Self::Added, "added"),
        (Self::Equal, "equal"),
        (Self::Full, "full"),
    ];

    /// The pause with jitter; `fraction` is drawn evenly from `0.0..1.0`.
    pub fn apply(self, pause: Duration, fraction: f64) -> Duration {
        let fraction = fraction.clamp(0.0, 1.0);
        match self {
            Self::None => pause,
            Self::Added => pause + pause.mul_f64(fraction / 5.0),
            Self::Equal => pause / 2 + (pause / 2).mul_f64(fraction),
            Self::Full => pause.mul_f64(fraction),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(jitter, _)| *jitter == self).expect("each has a name").1
    }
}

impl Field for Jitter {
    const EXPECTED: &'static str = "none, added, equal or full";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let known = Self::NAMES.iter().find(|(_, name)| value.as_str() == Some(name));
        let known = known.map(|(jitter, _)| *jitter);
        or_mismatch(known, &value, Self::EXPECTED, path, problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_schedule_has_ten_attempts_and_ends_after_a_day() {
        let schedule = RetrySchedule::standard();
        assert_eq!(schedule.pause_after(1), Some(Duration::from_secs(5)));
        assert_eq!(schedule.pause_after(9), Some(Duration::from_secs(86_400)));
        assert_eq!(schedule.pause_after(10), None);
        assert_eq!(schedule.pause_after(0), None);
    }

    #[test]
    fn exponential_pauses_grow_to_the_longest_and_end() {
        let schedule = RetrySchedule::Exponential {
            first: Duration::from_secs(1),
            factor: 3.0,
            longest: Duration::from_secs(5),
            attempts: 4,
        };
        let pauses: Vec<_> =
            (1..=4).map(|n| schedule.pause_after(n).map(|p| p.as_secs())).collect();
        assert_eq!(pauses, [Some(1), Some(3), Some(5), None]);
    }

    #[test]
    fn pauses_may_stay_as_they_are_and_not_shrink() {
        let problems_of = |factor| {
            let (first, longest) = (Duration::from_secs(1), Duration::from_secs(5));
            let schedule = RetrySchedule::Exponential { first, factor, longest, attempts: 4 };
            let mut problems = Problems::default();
            schedule.check("retry", &mut problems);
            problems.to_string()
        };
        assert_eq!(problems_of(1.0), "");
        let expected = "retry.exponential.factor: expected 1 or more, found 0.9";
        assert_eq!(problems_of(0.9), expected);
    }

    #[test]
    fn jitter_stays_within_what_it_says() {
        let pause = Duration::from_secs(10);
        for fraction in [0.0, 0.3, 0.999] {
            assert_eq!(Jitter::None.apply(pause, fraction), pause);
            assert!((10.0..12.0).contains(&Jitter::Added.apply(pause, fraction).as_secs_f64()));
            assert!((5.0..10.0).contains(&Jitter::Equal.apply(pause, fraction).as_secs_f64()));
            assert!((0.0..10.0).contains(&Jitter::Full.apply(pause, fraction).as_secs_f64()));
        }
    }
}
