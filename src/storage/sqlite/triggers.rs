//! Triggers: written with their revision compared, and told as a feed of changes.

use rusqlite::{OptionalExtension as _, params};

use super::commit::{Session, unavailable};
use super::rows::{count, integer};
use crate::id::TriggerId;
use crate::storage::{StorageError, TriggerChange, TriggerState, TriggerWrite};
use crate::trigger::Trigger;

pub(super) fn write(session: &Session, write: &TriggerWrite) -> Result<(), StorageError> {
    match write {
        TriggerWrite::Create(trigger) => match revision(session, trigger.id)? {
            Some(_) => Err(StorageError::id_taken(trigger.id)),
            None => store(session, trigger),
        },
        TriggerWrite::Update(trigger) => {
            let expected = trigger.revision.saturating_sub(1);
            match revision(session, trigger.id)? {
                None => Err(StorageError::no_trigger(trigger.id)),
                Some(found) if found != expected => {
                    Err(StorageError::changed(trigger.id, expected, found))
                }
                Some(_) => store(session, trigger),
            }
        }
        TriggerWrite::Delete(id) => {
            let sql = "UPDATE triggers SET document = NULL,
                           sequence = (SELECT max(sequence) + 1 FROM triggers)
                       WHERE id = ?1 AND document IS NOT NULL";
            match session.prepare(sql)?.execute([id.as_bytes()]).map_err(unavailable)? {
                0 => Err(StorageError::no_trigger(*id)),
                _ => Ok(()),
            }
        }
    }
}

/// The revision of a trigger that is there.
fn revision(session: &Session, id: TriggerId) -> Result<Option<u64>, StorageError> {
    let sql = "SELECT revision FROM triggers WHERE id = ?1 AND document IS NOT NULL";
    let mut statement = session.prepare(sql)?;
    statement.query_row([id.as_bytes()], |row| count(row, 0)).optional().map_err(unavailable)
}

fn store(session: &Session, trigger: &Trigger) -> Result<(), StorageError> {
    let (scope, name) = (trigger.spec.scope.as_str(), &trigger.spec.name);
    let sql = "SELECT 1 FROM triggers
               WHERE scope = ?1 AND name = ?2 AND id <> ?3 AND document IS NOT NULL";
    let taken = session.prepare(sql)?.exists(params![scope, name, trigger.id.as_bytes()]);
    if taken.map_err(unavailable)? {
        return Err(StorageError::name_taken(trigger));
    }
    let sql = "INSERT INTO triggers (id, sequence, scope, name, revision, document)
               VALUES (?1, (SELECT coalesce(max(sequence), 0) + 1 FROM triggers), ?2, ?3, ?4, ?5)
               ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, scope = excluded.scope,
                   name = excluded.name, revision = excluded.revision, document = excluded.document";
    let document = trigger.expose_json();
    let values =
        params![trigger.id.as_bytes(), scope, name, integer(trigger.revision), document.as_slice()];
    session.prepare(sql)?.execute(values).map(drop).map_err(unavailable)
}

pub(super) fn changes(
    session: &Session,
    after: u64,
    limit: usize,
) -> Result<Vec<TriggerChange>, StorageError> {
    let sql = "SELECT sequence, id, document FROM triggers WHERE sequence > ?1
               ORDER BY sequence LIMIT ?2";
    let mut statement = session.prepare(sql)?;
    let mut rows = statement.query(params![integer(after), integer(limit)]).map_err(unavailable)?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next().map_err(unavailable)? {
        let id = TriggerId::from_bytes(row.get(1).map_err(unavailable)?);
        let document: Option<Vec<u8>> = row.get(2).map_err(unavailable)?;
        let trigger =
            document.map_or(TriggerState::Deleted, |document| TriggerState::read(id, &document));
        let sequence = count(row, 0).map_err(unavailable)?;
        changes.push(TriggerChange { sequence, id, trigger });
    }
    Ok(changes)
}
