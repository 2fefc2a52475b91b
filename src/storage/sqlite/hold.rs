//! Holds: what is to be kept is put aside, out of the lines of what may be pruned, and comes back
//! once nothing keeps it. Each is written once for that, and not looked at again in between.

use rusqlite::{OptionalExtension as _, params};

use super::commit::{Session, unavailable};
use super::rows::integer;
use super::tally::Line;
use crate::event::Scope;
use crate::storage::prune::mark;
use crate::storage::{Prune, StorageError};

/// What stands with an event that has deliveries.
const HEARD: &str = "heard";

/// Puts back what is held no longer, at most the limit of each kind. Tells how many.
pub(super) fn release(session: &Session, prune: &Prune) -> Result<usize, StorageError> {
    let marks: Vec<String> = prune.held.iter().map(mark).collect();
    let mut released = 0;
    for (next, back) in [
        (
            "SELECT aside FROM deliveries WHERE aside IS NOT NULL AND aside > ?1
             ORDER BY aside LIMIT 1",
            "UPDATE deliveries SET aside = NULL WHERE seq IN (
                 SELECT seq FROM deliveries WHERE aside IS NOT NULL AND aside = ?1 LIMIT ?2)
             RETURNING state",
        ),
        (
            "SELECT aside FROM events
             WHERE aside IS NOT NULL AND aside <> 'heard' AND aside > ?1 ORDER BY aside LIMIT 1",
            "UPDATE events SET aside = NULL WHERE seq IN (
                 SELECT seq FROM events
                 WHERE aside IS NOT NULL AND aside <> 'heard' AND aside = ?1 LIMIT ?2)
             RETURNING NULL",
        ),
    ] {
        let (mut last, mut room) = (String::new(), prune.limit);
        while let Some(found) = text(session, next, &last)? {
            if room > 0 && !marks.contains(&found) {
                let put_back = put_back(session, back, &found, room)?;
                released += put_back;
                room -= put_back;
            }
            last = found;
        }
    }
    Ok(released)
}

fn text(session: &Session, sql: &str, value: &str) -> Result<Option<String>, StorageError> {
    session.prepare(sql)?.query_row([value], |row| row.get(0)).optional().map_err(unavailable)
}

fn put_back(session: &Session, sql: &str, mark: &str, most: usize) -> Result<usize, StorageError> {
    let mut statement = session.prepare(sql)?;
    let mut rows = statement.query(params![mark, integer(most)]).map_err(unavailable)?;
    let mut number = 0;
    while let Some(row) = rows.next().map_err(unavailable)? {
        let state: Option<i64> = row.get(0).map_err(unavailable)?;
        session.note_in_line(Line::of(state), 1);
        number += 1;
    }
    Ok(number)
}

/// Whether a final delivery is to be kept, because its trigger or its event belongs to a scope that
/// is held. It is put aside then.
pub(super) fn keeps_delivery(
    session: &Session,
    seq: i64,
    prune: &Prune,
) -> Result<bool, StorageError> {
    let scopes = "SELECT d.scope, v.scope FROM deliveries d LEFT JOIN events v ON v.id = d.event
                  WHERE d.seq = ?1";
    match holder(session, scopes, seq, prune)? {
        Some(held) => {
            let sql = "UPDATE deliveries SET aside = ?2 WHERE seq = ?1";
            put_aside(session, sql, seq, &mark(held))
        }
        None => Ok(false),
    }
}

/// Whether an event is to be kept, because its scope is held or it has deliveries. It is put aside
/// then.
pub(super) fn keeps_event(
    session: &Session,
    seq: i64,
    prune: &Prune,
) -> Result<bool, StorageError> {
    let aside = "UPDATE events SET aside = ?2 WHERE seq = ?1";
    let scopes = "SELECT scope, NULL FROM events WHERE seq = ?1";
    if let Some(held) = holder(session, scopes, seq, prune)? {
        return put_aside(session, aside, seq, &mark(held));
    }
    let heard = "SELECT 1 FROM deliveries d JOIN events v ON d.event = v.id WHERE v.seq = ?1";
    let is_heard = session.prepare(heard)?.exists([seq]).map_err(unavailable)?;
    if is_heard { put_aside(session, aside, seq, HEARD) } else { Ok(false) }
}

/// Puts an event back, since a delivery of it is gone: it may have been the last.
pub(super) fn let_event_go(session: &Session, event: &[u8]) -> Result<(), StorageError> {
    let sql = "UPDATE events SET aside = NULL WHERE id = ?1 AND aside = ?2";
    let back = session.prepare(sql)?.execute(params![event, HEARD]).map_err(unavailable)?;
    session.note_in_line(Line::Events, i64::from(back > 0));
    Ok(())
}

/// The held scope that one of two scopes of a row belongs to.
fn holder<'a>(
    session: &Session,
    scopes: &str,
    seq: i64,
    prune: &'a Prune,
) -> Result<Option<&'a Scope>, StorageError> {
    if prune.held.is_empty() {
        return Ok(None);
    }
    let read = |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?]);
    let found: [Option<String>; 2] =
        session.prepare(scopes)?.query_row([seq], read).map_err(unavailable)?;
    // One that cannot be read belongs to nobody.
    let mut scopes = found.into_iter().flatten().filter_map(|text| text.parse().ok());
    Ok(scopes.find_map(|scope| prune.holder(&scope)))
}

fn put_aside(session: &Session, sql: &str, seq: i64, mark: &str) -> Result<bool, StorageError> {
    session.prepare(sql)?.execute(params![seq, mark]).map_err(unavailable)?;
    Ok(true)
}
