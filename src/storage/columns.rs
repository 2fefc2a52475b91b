//! Columns: how values are kept that SQL has no type for, the same in every storage that speaks it.

use std::fmt::Display;
use std::sync::Arc;

use super::StorageError;
use crate::clock::Timestamp;
use crate::delivery::{CancelReason, DeadReason, State, StateName};
use crate::payload::Payload;

pub(super) fn state_number(name: StateName) -> i16 {
    match name {
        StateName::Waiting => 0,
        StateName::Leased => 1,
        StateName::Delivered => 2,
        StateName::Dead => 3,
        StateName::Cancelled => 4,
        StateName::Parked => 5,
        StateName::Queued => 6,
    }
}

/// Why a delivery is dead or was cancelled.
pub(super) fn reason(state: &State) -> Option<&'static str> {
    match state {
        State::Dead { reason } => Some(reason.as_str()),
        State::Cancelled { reason } => Some(reason.as_str()),
        _ => None,
    }
}

/// The state of these columns; `None` if they are of none.
pub(super) fn state(number: i16, reason: Option<&str>, claim_at: Option<i64>) -> Option<State> {
    let at = claim_at.map(Timestamp::from_unix_micros);
    match number {
        0 => Some(State::Waiting { due: at? }),
        1 => Some(State::Leased { until: at? }),
        2 => Some(State::Delivered),
        3 => Some(State::Dead { reason: reason?.parse::<DeadReason>().ok()? }),
        // Those of before reasons were kept have none.
        4 => Some(State::Cancelled {
            reason: match reason {
                Some(text) => text.parse().ok()?,
                None => CancelReason::Unknown,
            },
        }),
        5 => Some(State::Parked),
        6 => Some(State::Queued),
        _ => None,
    }
}

pub(super) fn headers_json(payload: &Payload) -> String {
    serde_json::to_string(&payload.headers).expect("pairs of strings are JSON")
}

pub(super) fn payload(
    delivery: impl Display,
    headers: &str,
    body: &[u8],
) -> Result<Payload, StorageError> {
    let headers =
        serde_json::from_str(headers).map_err(|_| corrupt("the headers of delivery", delivery))?;
    Ok(Payload { headers, body: Arc::from(body) })
}

/// A count as SQL has it.
pub(super) fn integer(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// What cannot be read of a row.
pub(super) fn corrupt(what: &str, id: impl Display) -> StorageError {
    StorageError::Corrupt { reason: format!("{what} {id}") }
}
