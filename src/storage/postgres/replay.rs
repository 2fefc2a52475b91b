//! Replay: makes dead and parked deliveries wait again, or discards them.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::connection::{Database, Failed, Work, query};
use super::first_due::Noted;
use super::pages::Selection;
use super::rows::{self, uuid};
use super::{Shared, turn};
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::id::DeliveryId;
use crate::storage::{Fate, Replay, StorageError, columns};

struct Replaying<'a>(&'a Replay);

impl Shared {
    pub(super) async fn replay(
        self: &Arc<Self>,
        replay: &Replay,
    ) -> Result<Vec<DeliveryId>, StorageError> {
        let (ids, noted) =
            self.database.transact(&Replaying(replay)).await.map_err(Failed::told)?;
        self.tell_all(&noted);
        Ok(ids)
    }
}

#[async_trait]
impl Work for Replaying<'_> {
    type Answer = (Vec<DeliveryId>, Noted);

    async fn run(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
    ) -> Result<Self::Answer, Failed> {
        let (mut replayed, mut noted) = (Vec::new(), Noted::default());
        let selected = self.select(database, transaction).await?;
        for (place, mut delivery) in (0..).zip(selected) {
            let changed_at = self.0.apply(&mut delivery, place);
            replayed.push((delivery, changed_at));
        }
        let of = |(delivery, _): &(Delivery, _)| delivery.id;
        let ids: Vec<DeliveryId> = replayed.iter().map(of).collect();
        let written = Written::of(&replayed, self.0.now);
        let sql = "UPDATE {s}.deliveries d SET state = r.state, reason = r.reason,
                       claim_at = t.now + r.after, attempts = r.attempts, message = r.message,
                       changed_at = t.now + r.changed, aside = NULL
                   FROM (SELECT coalesce($1,
                             {now}) AS now) AS t,
                       unnest($2::uuid[], $3::smallint[], $4::bigint[], $5::bigint[], $6::uuid[],
                           $7::bigint[], $8::text[])
                           AS r(id, state, after, attempts, message, changed, reason)
                   WHERE d.id = r.id RETURNING d.endpoint, d.claim_at";
        let now = database.now(self.0.now);
        let found = query(
            database,
            transaction,
            sql,
            &[
                &now,
                &written.ids,
                &written.states,
                &written.after,
                &written.attempts,
                &written.messages,
                &written.changed,
                &written.reasons,
            ],
        )
        .await?;
        for row in &found {
            if let Some(at) = rows::get(row, 1)? {
                noted.push(rows::get(row, 0)?, at);
            }
        }
        turn::next_after(database, transaction, &written.orders, now, &mut noted).await?;
        Ok((ids, noted))
    }
}

/// What is replayed, as columns.
#[derive(Default)]
struct Written {
    ids: Vec<Uuid>,
    states: Vec<i16>,
    after: Vec<Option<i64>>,
    attempts: Vec<i64>,
    messages: Vec<Uuid>,
    /// The time of the change, after now.
    changed: Vec<i64>,
    reasons: Vec<Option<&'static str>>,
    orders: BTreeSet<Uuid>,
}

impl Written {
    fn of(replayed: &[(Delivery, Timestamp)], now: Timestamp) -> Self {
        let mut all = Self::default();
        for (delivery, changed_at) in replayed {
            all.ids.push(uuid!(delivery.id));
            all.states.push(columns::state_number(delivery.state.name()));
            all.after.push(rows::claim_after(&delivery.state, now));
            all.attempts.push(delivery.attempts.into());
            all.messages.push(uuid!(delivery.message_id));
            all.changed.push(rows::later(*changed_at, now));
            all.reasons.push(columns::reason(&delivery.state));
            all.orders.extend(delivery.turn.map(|turn| uuid!(turn.key)));
        }
        all
    }
}

impl Replaying<'_> {
    /// What is to be replayed, locked until the transaction ends.
    async fn select(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
    ) -> Result<Vec<Delivery>, Failed> {
        let Replay { query: asked, unchanged_since, now, .. } = self.0;
        let mut deliveries = Vec::new();
        let mut rest = asked.clone();
        // What cannot be read takes nobody's place.
        loop {
            rest.limit = asked.limit - deliveries.len();
            let mut selection = Selection::of_deliveries(&rest);
            selection.require("d.claim_at IS NULL AND d.state IN (3, 5)");
            if self.0.fate != Fate::Discarded {
                selection.require("NOT d.emptied");
            }
            if let Some(since) = unchanged_since {
                let (now_of, ago) = (database.now(*now), rows::later(*now, *since));
                let time = selection.parameter(now_of);
                selection.add(&format!("d.changed_at <= coalesce({time}, {{now}}) - ?"), ago);
            }
            let condition = selection.condition();
            let limit = selection.parameter(columns::integer(rest.limit));
            let sql = format!(
                "SELECT {} FROM {{s}}.deliveries d LEFT JOIN {{s}}.endpoints e ON e.id = d.endpoint
                 WHERE {condition} ORDER BY d.id LIMIT {limit} FOR UPDATE OF d",
                rows::DELIVERY
            );
            let found = query(database, transaction, &sql, &selection.values()).await?;
            for row in &found {
                rest.after = Some(rows::delivery_id(row, 0)?);
                deliveries.extend(rows::delivery(row).ok());
            }
            if deliveries.len() == asked.limit || found.len() < rest.limit {
                return Ok(deliveries);
            }
        }
    }
}
