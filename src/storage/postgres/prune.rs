//! Pruning: deletes what is final and old, a bounded piece at a time.

use std::collections::BTreeSet;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::connection::{Database, Failed, Work, query};
use super::due::Noted;
use super::{Shared, rows, turn};
use crate::clock::Timestamp;
use crate::storage::{Pruned, StorageError, columns};

struct Pruning {
    before: Timestamp,
    limit: usize,
}

impl Shared {
    pub(super) async fn prune(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Pruned, StorageError> {
        let (pruned, noted) = self.database.transact(&Pruning { before, limit }).await?;
        self.note(&noted);
        if pruned == Pruned::default() {
            self.forget_endpoints().await?;
        }
        Ok(pruned)
    }
}

#[async_trait]
impl Work for Pruning {
    type Answer = (Pruned, Noted);

    async fn run(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
    ) -> Result<Self::Answer, Failed> {
        let mut noted = Noted::default();
        let (before, limit) = (self.before.unix_micros(), columns::integer(self.limit));
        let old = "WITH d AS (
                       DELETE FROM {s}.deliveries WHERE seq IN (
                           SELECT seq FROM {s}.deliveries
                           WHERE claim_at IS NULL AND state <> 6 AND changed_at < $1
                           ORDER BY changed_at LIMIT $2 FOR UPDATE SKIP LOCKED)
                       RETURNING seq, ordering, blocks),
                   p AS (DELETE FROM {s}.payloads WHERE delivery IN (SELECT seq FROM d)),
                   a AS (DELETE FROM {s}.attempts WHERE delivery IN (SELECT seq FROM d))
                   SELECT ordering, blocks FROM d";
        let found = query(database, transaction, old, &[&before, &limit]).await?;
        let mut held_up = BTreeSet::new();
        for row in &found {
            let blocks: Option<bool> = rows::get(row, 1)?;
            held_up.extend(rows::get::<Option<Uuid>>(row, 0)?.filter(|_| blocks == Some(true)));
        }
        turn::lock(database, transaction, &held_up).await?;
        turn::next_of(database, transaction, &held_up, Some(before), &mut noted).await?;
        let unheard = "DELETE FROM {s}.events WHERE id IN (
                           SELECT id FROM {s}.events v WHERE received_at < $1
                               AND NOT EXISTS (SELECT 1 FROM {s}.deliveries d WHERE d.event = v.id)
                           ORDER BY received_at LIMIT $2)
                       RETURNING 1";
        let events = query(database, transaction, unheard, &[&before, &limit]).await?.len();
        Ok((Pruned { deliveries: found.len(), events }, noted))
    }
}
