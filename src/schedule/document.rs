//! The JSON of a schedule.
//!
//! | member | |
//! |---|---|
//! | `cron` | an expression; or |
//! | `at` | a time; or |
//! | `every` | a period such as `"6h"`, with `from`, a time |
//! | `time_zone` | of `cron`: a name such as `"Europe/Berlin"`; UTC if it is absent |
//! | `missed` | `"skip"`, `"once"` (if it is absent) or `{"all": 10}` |
//! | `jitter` | of any of them: a span such as `"5m"`; none if it is absent |

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{MAX_MISSED, Missed, Schedule, Timing};
use crate::clock::Timestamp;
use crate::document::{Field, Object, Problems, or_mismatch, span};

impl Schedule {
    /// Reads a schedule from a JSON value.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn from_value(value: Value) -> Result<Self, Problems> {
        Problems::gather(|problems| Self::read(value, "", problems))
    }

    /// The schedule as JSON; reads back to an equal one, spans cut off below a millisecond.
    pub fn to_value(&self) -> Value {
        let mut members = Map::new();
        match &self.0.timing {
            Timing::Cron { expression, .. } => {
                members.insert("cron".to_owned(), json!(expression));
                members.insert("time_zone".to_owned(), json!(self.0.zone.name()));
            }
            Timing::At(at) => {
                members.insert("at".to_owned(), json!(at));
            }
            Timing::Every { period, from } => {
                members.insert("every".to_owned(), json!(span::print(*period)));
                members.insert("from".to_owned(), json!(from));
            }
        }
        let missed = match self.0.missed {
            Missed::Skip => json!("skip"),
            Missed::Once => json!("once"),
            Missed::All(most) => json!({ "all": most }),
        };
        members.insert("missed".to_owned(), missed);
        if !self.0.jitter.is_zero() {
            members.insert("jitter".to_owned(), json!(span::print(self.0.jitter)));
        }
        Value::Object(members)
    }
}

impl Field for Schedule {
    const EXPECTED: &'static str = "a schedule (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let cron: Option<String> = object.optional("cron", problems);
        let at: Option<Timestamp> = object.optional("at", problems);
        let every: Option<Duration> = object.optional("every", problems);
        let from: Option<Timestamp> = object.optional("from", problems);
        let zone: Option<String> = object.optional("time_zone", problems);
        let missed = object.optional("missed", problems).unwrap_or_default();
        let jitter = object.optional("jitter", problems).unwrap_or_default();
        let at_path = |name: &str| object.path(name);
        let schedule = match (&cron, at, every, from) {
            (Some(cron), None, None, None) => {
                reported(Self::cron(cron), &at_path("cron"), problems)
            }
            (None, Some(at), None, None) => Some(Self::at(at)),
            (None, None, Some(every), Some(from)) => {
                reported(Self::every(every, from), &at_path("every"), problems)
            }
            _ => {
                problems.add(path, "expected cron, at, or every with from, and one of them");
                None
            }
        };
        let schedule = match zone {
            Some(zone) if cron.is_some() => {
                let path = at_path("time_zone");
                schedule.and_then(|schedule| reported(schedule.in_zone(&zone), &path, problems))
            }
            Some(_) => {
                problems.add(at_path("time_zone"), "is for cron alone");
                None
            }
            None => schedule,
        };
        object.finish(problems);
        Some(schedule?.with_missed(missed).with_jitter(jitter))
    }
}

fn reported<T, E: std::fmt::Display>(
    read: Result<T, E>,
    path: &str,
    problems: &mut Problems,
) -> Option<T> {
    read.map_err(|error| problems.add(path, error.to_string())).ok()
}

impl Field for Missed {
    const EXPECTED: &'static str = "skip, once, or an object with all, from 1 to 1000";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let most = |value: &Value| {
            let members = value.as_object().filter(|members| members.len() == 1)?;
            let most = u32::try_from(members.get("all")?.as_u64()?).ok()?;
            (1..=MAX_MISSED).contains(&most).then_some(Self::All(most))
        };
        let missed = match value.as_str() {
            Some("skip") => Some(Self::Skip),
            Some("once") => Some(Self::Once),
            _ => most(&value),
        };
        or_mismatch(missed, &value, Self::EXPECTED, path, problems)
    }
}
