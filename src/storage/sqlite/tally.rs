//! Tally: how many stand in each line of what may be pruned, so that all but the newest are found
//! without counting the newest.
//!
//! Counted from the file when first asked for, and again after something was undone; kept in memory
//! beside the writer in between, since nobody else changes the file.

use super::commit::{Session, unavailable};
use super::rows::state_number;
use crate::delivery::StateName;
use crate::storage::StorageError;
use crate::storage::prune::FINAL;

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Deliveries(StateName),
    Events,
}

/// How many stand in each line, by [`Line::place`].
pub(super) type Tally = [i64; 5];

impl Line {
    /// The line that has deliveries of a state, as stored; of events if there is none.
    pub(super) fn of(state: Option<i64>) -> Self {
        let name = FINAL.into_iter().find(|name| Some(state_number(*name)) == state);
        name.map_or(Self::Events, Self::Deliveries)
    }

    fn place(self) -> Option<usize> {
        match self {
            Self::Deliveries(state) => FINAL.iter().position(|other| *other == state),
            Self::Events => Some(FINAL.len()),
        }
    }
}

impl Session {
    /// Takes in that so many more, or fewer, stand in a line. Of states that have none, nothing.
    pub(super) fn note_in_line(&self, line: Line, more: i64) {
        if let Some(tally) = self.tally.borrow_mut().as_mut()
            && let Some(place) = line.place()
        {
            tally[place] += more;
        }
    }

    /// How many stand in a line.
    pub(super) fn count_in_line(&self, line: Line) -> Result<i64, StorageError> {
        let known = *self.tally.borrow();
        let tally = match known {
            Some(tally) => tally,
            None => count(self)?,
        };
        self.tally.replace(Some(tally));
        Ok(line.place().map_or(0, |place| tally[place]))
    }
}

fn count(session: &Session) -> Result<Tally, StorageError> {
    let mut tally = [0; 5];
    let of_state = "SELECT count(*) FROM deliveries INDEXED BY deliveries_by_age
                    WHERE claim_at IS NULL AND state <> 6 AND aside IS NULL AND state = ?1";
    let of_events = "SELECT count(*) FROM events WHERE aside IS NULL";
    for state in FINAL {
        let place = Line::Deliveries(state).place().expect("it has a line");
        tally[place] = one(session, of_state, &[state_number(state)])?;
    }
    tally[FINAL.len()] = one(session, of_events, &[])?;
    Ok(tally)
}

fn one(session: &Session, sql: &str, values: &[i64]) -> Result<i64, StorageError> {
    let values = rusqlite::params_from_iter(values);
    session.prepare(sql)?.query_row(values, |row| row.get(0)).map_err(unavailable)
}
