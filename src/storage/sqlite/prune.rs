//! Pruning: deletes what is final and old, or too much, a bounded piece at a time.
//!
//! Each final state has a line in the index `deliveries_by_age`, the oldest first, and events have
//! one in `events_by_age`. Whatever is at the head of a line goes, or is put aside by
//! [`hold`](super::hold) and leaves it: so a call never looks at the same one twice.

use std::collections::BTreeSet;

use rusqlite::params;

use super::commit::{Session, unavailable};
use super::rows::{integer, state_number};
use super::tally::Line;
use super::{hold, turn};
use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::id::OrderingKey;
use crate::storage::prune::FINAL;
use crate::storage::{Cutoff, Prune, Pruned, StorageError};

/// A line, as two stretches of the index that are merged on the way.
const OLDEST_OF_STATE: &str = "SELECT seq, changed_at FROM deliveries
     WHERE claim_at IS NULL AND state <> 6 AND aside IS NULL AND state = ?1 AND emptied = 1
     UNION ALL
     SELECT seq, changed_at FROM deliveries
     WHERE claim_at IS NULL AND state <> 6 AND aside IS NULL AND state = ?1 AND emptied = 0
     ORDER BY changed_at, seq";
const OLD_WITH_CONTENTS: &str = "SELECT seq FROM deliveries
     WHERE claim_at IS NULL AND state <> 6 AND aside IS NULL AND state = ?1 AND emptied = 0
         AND changed_at < ?2
     ORDER BY changed_at, seq LIMIT ?3";
const OLDEST_EVENTS: &str =
    "SELECT seq, received_at FROM events WHERE aside IS NULL ORDER BY received_at, seq";

pub(super) fn prune(session: &Session, prune: &Prune) -> Result<Pruned, StorageError> {
    let mut pruned = Pruned { passed: hold::release(session, prune)?, ..Pruned::default() };
    let mut room = prune.limit;
    for state in FINAL {
        let heads = heads_of_state(session, state, prune.cutoff(state), room)?;
        room -= heads.len();
        pruned.add(delete_deliveries(session, state, &heads, prune)?);
    }
    let mut room = prune.limit;
    for state in FINAL {
        let old = with_contents(session, state, prune, room)?;
        room -= old.len();
        pruned.add(drop_contents(session, state, &old, prune)?);
    }
    pruned.add(prune_events(session, prune)?);
    Ok(pruned)
}

/// The oldest of a line that a cutoff takes, at most so many.
fn heads(
    session: &Session,
    line: Line,
    cutoff: Cutoff,
    most: usize,
    oldest_first: (&str, &[i64]),
) -> Result<Vec<i64>, StorageError> {
    if most == 0 || cutoff == Cutoff::default() {
        return Ok(Vec::new());
    }
    let too_many = match cutoff.at_most {
        Some(number) => session.count_in_line(line)?.saturating_sub(integer(number)),
        None => 0,
    };
    let (sql, values) = oldest_first;
    let mut statement = session.prepare(sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(unavailable)?;
    let mut heads = Vec::new();
    while heads.len() < most
        && let Some(row) = rows.next().map_err(unavailable)?
    {
        let since = Timestamp::from_unix_micros(row.get(1).map_err(unavailable)?);
        let is_old = cutoff.before.is_some_and(|before| since < before);
        if !is_old && integer(heads.len()) >= too_many {
            break;
        }
        heads.push(row.get(0).map_err(unavailable)?);
    }
    Ok(heads)
}

fn heads_of_state(
    session: &Session,
    state: StateName,
    cutoff: Cutoff,
    most: usize,
) -> Result<Vec<i64>, StorageError> {
    let oldest_first = (OLDEST_OF_STATE, &[state_number(state)][..]);
    heads(session, Line::Deliveries(state), cutoff, most, oldest_first)
}

/// Deletes final deliveries, with their payloads and logs, and lets those go that they held up.
fn delete_deliveries(
    session: &Session,
    state: StateName,
    heads: &[i64],
    prune: &Prune,
) -> Result<Pruned, StorageError> {
    let sql = "DELETE FROM deliveries WHERE seq = ?1 RETURNING ordering, blocks, event";
    let mut pruned = Pruned::default();
    let mut held_up = BTreeSet::new();
    for seq in heads {
        if hold::keeps_delivery(session, *seq, prune)? {
            pruned.passed += 1;
        } else {
            let mut statement = session.prepare(sql)?;
            let gone = statement.query_row([seq], |row| {
                let blocks = row.get::<_, Option<bool>>(1)? == Some(true);
                let key: Option<[u8; 16]> = if blocks { row.get(0)? } else { None };
                held_up.extend(key.map(OrderingKey::from_bytes));
                row.get::<_, Vec<u8>>(2)
            });
            hold::let_event_go(session, &gone.map_err(unavailable)?)?;
            pruned.deliveries += 1;
        }
        session.note_in_line(Line::Deliveries(state), -1);
    }
    for key in held_up {
        turn::next_of(session, key, prune.now)?;
    }
    Ok(pruned)
}

/// The oldest of a state that still have their contents and should not, at most so many.
fn with_contents(
    session: &Session,
    state: StateName,
    prune: &Prune,
    most: usize,
) -> Result<Vec<i64>, StorageError> {
    let Some(before) = prune.contents_before else { return Ok(Vec::new()) };
    let values = params![state_number(state), before.unix_micros(), integer(most)];
    let mut statement = session.prepare(OLD_WITH_CONTENTS)?;
    let found = statement.query_map(values, |row| row.get(0)).and_then(Iterator::collect);
    found.map_err(unavailable)
}

/// Drops what deliveries sent and what was answered.
fn drop_contents(
    session: &Session,
    state: StateName,
    old: &[i64],
    prune: &Prune,
) -> Result<Pruned, StorageError> {
    let mut pruned = Pruned::default();
    for seq in old {
        if hold::keeps_delivery(session, *seq, prune)? {
            session.note_in_line(Line::Deliveries(state), -1);
            pruned.passed += 1;
            continue;
        }
        for sql in [
            "DELETE FROM payloads WHERE delivery = ?1",
            "UPDATE attempts SET response = NULL WHERE delivery = ?1 AND response IS NOT NULL",
            "UPDATE deliveries SET emptied = 1 WHERE seq = ?1",
        ] {
            session.prepare(sql)?.execute([seq]).map_err(unavailable)?;
        }
        pruned.contents += 1;
    }
    Ok(pruned)
}

fn prune_events(session: &Session, prune: &Prune) -> Result<Pruned, StorageError> {
    let heads = heads(session, Line::Events, prune.events, prune.limit, (OLDEST_EVENTS, &[]))?;
    let mut pruned = Pruned::default();
    for seq in heads {
        if hold::keeps_event(session, seq, prune)? {
            pruned.passed += 1;
        } else {
            let sql = "DELETE FROM events WHERE seq = ?1";
            session.prepare(sql)?.execute([seq]).map_err(unavailable)?;
            pruned.events += 1;
        }
        session.note_in_line(Line::Events, -1);
    }
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite does for a statement, step by step.
    fn plan(sql: &str) -> Vec<String> {
        let file = rusqlite::Connection::open_in_memory().unwrap();
        for migration in super::super::schema::MIGRATIONS {
            file.execute_batch(migration).unwrap();
        }
        let mut explained = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = (1..=explained.parameter_count()).map(|_| 1);
        let steps = explained.query_map(rusqlite::params_from_iter(values), |row| row.get(3));
        steps.unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn what_goes_is_at_the_head_of_an_index_and_nothing_is_sorted() {
        let line = "SEARCH deliveries USING INDEX deliveries_by_age (state=? AND emptied=?";
        assert_eq!(plan(OLD_WITH_CONTENTS), [format!("{line} AND changed_at<?)")]);
        assert_eq!(plan(OLDEST_EVENTS), ["SCAN events USING INDEX events_by_age"]);
        let merged = plan(OLDEST_OF_STATE);
        assert_eq!(merged.iter().filter(|step| **step == format!("{line})")).count(), 2);
        assert!(!merged.iter().any(|step| step.contains("TEMP")), "{merged:?}");
    }
}
