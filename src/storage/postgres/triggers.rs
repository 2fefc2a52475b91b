//! Triggers: written with their revision compared, and told as a feed of changes.

use async_trait::async_trait;
use deadpool_postgres::Transaction;

use super::connection::{Database, Failed, Work, query};
use super::rows::{self, uuid};
use super::{Shared, lock};
use crate::id::TriggerId;
use crate::storage::{StorageError, TriggerChange, TriggerState, TriggerWrite, columns};
use crate::trigger::Trigger;

struct Write(TriggerWrite);

impl Shared {
    pub(super) async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        self.database.transact(&Write(write)).await.map_err(Failed::told)
    }

    pub(super) async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        let sql = "SELECT sequence, id, document FROM {s}.triggers WHERE sequence > $1
                   ORDER BY sequence LIMIT $2";
        let values = (columns::integer(after), columns::integer(limit));
        let found = self.database.query(sql, &[&values.0, &values.1]).await?;
        let change = |row| {
            let id = rows::trigger_id(row, 1)?;
            let document: Option<&[u8]> = rows::get(row, 2)?;
            let trigger =
                document.map_or(TriggerState::Deleted, |document| TriggerState::read(id, document));
            Ok(TriggerChange { sequence: rows::count(row, 0)?, id, trigger })
        };
        found.iter().map(change).collect()
    }
}

#[async_trait]
impl Work for Write {
    type Answer = ();

    async fn run(&self, database: &Database, transaction: &Transaction<'_>) -> Result<(), Failed> {
        // One after the other, so that changes are told in the order in which they are committed.
        lock::take(database, transaction, vec!["triggers".to_owned()]).await?;
        match &self.0 {
            TriggerWrite::Create(trigger) => {
                if revision(database, transaction, trigger.id).await?.is_some() {
                    return Err(StorageError::id_taken(trigger.id).into());
                }
                store(database, transaction, trigger).await
            }
            TriggerWrite::Update(trigger) => {
                let expected = trigger.revision.saturating_sub(1);
                match revision(database, transaction, trigger.id).await? {
                    None => Err(StorageError::no_trigger(trigger.id).into()),
                    Some(found) if found != expected => {
                        Err(StorageError::changed(trigger.id, expected, found).into())
                    }
                    Some(_) => store(database, transaction, trigger).await,
                }
            }
            TriggerWrite::Delete(id) => {
                let sql = "UPDATE {s}.triggers SET document = NULL,
                               sequence = (SELECT max(sequence) + 1 FROM {s}.triggers)
                           WHERE id = $1 AND document IS NOT NULL RETURNING 1";
                match query(database, transaction, sql, &[&uuid!(*id)]).await?.as_slice() {
                    [] => Err(StorageError::no_trigger(*id).into()),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// The revision of a trigger that is there.
async fn revision(
    database: &Database,
    transaction: &Transaction<'_>,
    id: TriggerId,
) -> Result<Option<u64>, Failed> {
    let sql = "SELECT revision FROM {s}.triggers WHERE id = $1 AND document IS NOT NULL";
    let found = query(database, transaction, sql, &[&uuid!(id)]).await?;
    Ok(found.first().map(|row| rows::count(row, 0)).transpose()?)
}

async fn store(
    database: &Database,
    transaction: &Transaction<'_>,
    trigger: &Trigger,
) -> Result<(), Failed> {
    let (id, scope, name) = (uuid!(trigger.id), trigger.spec.scope.as_str(), &trigger.spec.name);
    let taken = "SELECT 1 FROM {s}.triggers
                 WHERE scope = $1 AND name = $2 AND id <> $3 AND document IS NOT NULL";
    if !query(database, transaction, taken, &[&scope, name, &id]).await?.is_empty() {
        return Err(StorageError::name_taken(trigger).into());
    }
    let sql = "INSERT INTO {s}.triggers (id, sequence, scope, name, revision, document)
               VALUES ($1, (SELECT coalesce(max(sequence), 0) + 1 FROM {s}.triggers), $2, $3, $4, $5)
               ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, scope = excluded.scope,
                   name = excluded.name, revision = excluded.revision, document = excluded.document";
    let (revision, document) = (columns::integer(trigger.revision), trigger.expose_json());
    let document: &[u8] = &document;
    query(database, transaction, sql, &[&id, &scope, name, &revision, &document]).await.map(drop)
}
