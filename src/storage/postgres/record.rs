//! Records: events, deliveries and cursor moves, of all callers that [`gather`](super::gather)
//! brings together. Those without cursors are written many at once, by one statement that takes
//! each column as an array.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::connection::{Database, Failed, Values, Work, query};
use super::endpoints::Numbers;
use super::first_due::Noted;
use super::rows::{self, uuid};
use super::{Shared, TimeSource, cursors, lock, supersede, turn};
use crate::delivery::{Delivery, OnDead};
use crate::id::{DeliveryId, EventId};
use crate::payload::Payload;
use crate::storage::{Record, Recorded, columns};

/// Records to store, each atomically.
pub(super) struct RecordAll<'a> {
    pub(super) records: &'a [Record],
    pub(super) numbers: Numbers,
}

#[async_trait]
impl Work for RecordAll<'_> {
    type Answer = (Vec<Recorded>, Noted);

    async fn run(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
    ) -> Result<Self::Answer, Failed> {
        let mut noted = Noted::default();
        let answers =
            record_all(database, transaction, self.records, &self.numbers, &mut noted).await?;
        Ok((answers, noted))
    }
}

impl Shared {
    /// Stores records in one transaction: that of one statement, where it takes no more, since each
    /// answer that is waited for keeps the next from being written.
    pub(super) async fn store(
        self: &Arc<Self>,
        records: &[Record],
    ) -> Result<Vec<Recorded>, Failed> {
        let deliveries = records.iter().flat_map(|record| &record.deliveries);
        let now = deliveries.clone().map(|(delivery, _)| delivery.created_at).max();
        let keys = deliveries.map(|(delivery, _)| &delivery.endpoint);
        let numbers = match now {
            Some(now) => self.numbers(keys, now).await?,
            None => Numbers::new(),
        };
        self.first_due.name(&numbers);
        let (answers, noted) = if takes_one_statement(records) {
            let (columns, mut noted) = (Columns::of(records, &numbers), Noted::default());
            (columns.insert(&self.database, None, &mut noted).await?, noted)
        } else {
            self.database.transact(&RecordAll { records, numbers }).await?
        };
        self.tell_all(&noted);
        Ok(answers)
    }
}

/// Takes all locks of records at once, before anything is read: in the order of the locks, so that
/// two who store many records never wait for each other.
async fn lock_all(
    database: &Database,
    transaction: &Transaction<'_>,
    records: &[Record],
) -> Result<(), Failed> {
    let deliveries = records.iter().flat_map(|record| &record.deliveries);
    let mut orders: BTreeSet<Uuid> =
        deliveries.filter_map(|(delivery, _)| Some(uuid!(delivery.turn?.key))).collect();
    orders.extend(supersede::orders(database, transaction, records).await?);
    let cursors = records.iter().flat_map(cursors::locks);
    lock::take(database, transaction, cursors.chain(orders.iter().map(turn::lock_of)).collect())
        .await
}

/// Stores records in their order.
pub(super) async fn record_all(
    database: &Database,
    transaction: &Transaction<'_>,
    records: &[Record],
    numbers: &Numbers,
    noted: &mut Noted,
) -> Result<Vec<Recorded>, Failed> {
    lock_all(database, transaction, records).await?;
    let mut answers = Vec::with_capacity(records.len());
    let mut rest = records;
    while !rest.is_empty() {
        let together = together(rest);
        let (some, others) = rest.split_at(together.max(1));
        rest = others;
        if together == 0
            && let Some(unchanged) = cursors::unchanged(database, transaction, &some[0]).await?
        {
            answers.push(unchanged);
            continue;
        }
        answers.extend(insert(database, transaction, some, numbers, noted).await?);
        if together == 0 && answers.last() == Some(&Recorded::Stored) {
            supersede::supersede(database, transaction, &some[0], noted).await?;
            cursors::move_all(database, transaction, &some[0].cursors).await?;
        }
    }
    Ok(answers)
}

fn takes_one_statement(records: &[Record]) -> bool {
    let mut deliveries = records.iter().flat_map(|record| &record.deliveries);
    together(records) == records.len() && deliveries.all(|(delivery, _)| delivery.turn.is_none())
}

/// How many records may be written at once: those before the first that moves cursors, supersedes
/// or has the event of one before it.
fn together(records: &[Record]) -> usize {
    let mut events = HashSet::new();
    let is_apart = |record: &Record| {
        !record.cursors.is_empty()
            || !record.supersedes.is_empty()
            || record.event_id().is_some_and(|id| !events.insert(id))
    };
    records.iter().position(is_apart).unwrap_or(records.len())
}

/// Deliveries as columns.
#[derive(Default)]
struct Deliveries<'a> {
    ids: Vec<Uuid>,
    messages: Vec<Uuid>,
    events: Vec<Uuid>,
    triggers: Vec<Uuid>,
    endpoints: Vec<i64>,
    states: Vec<i16>,
    reasons: Vec<Option<&'static str>>,
    /// When each is due, after it was made.
    due_after: Vec<i64>,
    created_at: Vec<i64>,
    attempts: Vec<i64>,
    orderings: Vec<Option<Uuid>>,
    blocks: Vec<Option<bool>>,
    batched: Vec<bool>,
    scopes: Vec<&'a str>,
    /// The event that has to be new for it.
    needs: Vec<Option<Uuid>>,
    headers: Vec<String>,
    bodies: Vec<&'a [u8]>,
    seen: HashSet<DeliveryId>,
}

impl<'a> Deliveries<'a> {
    fn push(
        &mut self,
        delivery: &'a Delivery,
        payload: &'a Payload,
        needs: Option<EventId>,
        numbers: &Numbers,
    ) {
        if !self.seen.insert(delivery.id) {
            return;
        }
        let due = delivery.state.claimable_at().unwrap_or(delivery.created_at);
        let mut queued = delivery.clone();
        queued.queue();
        self.ids.push(uuid!(delivery.id));
        self.messages.push(uuid!(delivery.message_id));
        self.events.push(uuid!(delivery.event));
        self.triggers.push(uuid!(delivery.trigger));
        self.endpoints.push(numbers[&delivery.endpoint]);
        self.states.push(columns::state_number(queued.state.name()));
        self.reasons.push(columns::reason(&delivery.state));
        self.due_after.push(rows::later(due, delivery.created_at));
        self.created_at.push(delivery.created_at.unix_micros());
        self.attempts.push(delivery.attempts.into());
        self.orderings.push(delivery.turn.map(|turn| uuid!(turn.key)));
        self.blocks.push(delivery.turn.map(|turn| turn.on_dead == OnDead::Block));
        self.batched.push(delivery.batched);
        self.scopes.push(delivery.scope.as_str());
        self.needs.push(needs.map(|id| uuid!(id)));
        self.headers.push(columns::headers_json(payload));
        self.bodies.push(&payload.body);
    }
}

/// Stores events that differ, each with its deliveries, and lets those go whose turn it is.
async fn insert(
    database: &Database,
    transaction: &Transaction<'_>,
    records: &[Record],
    numbers: &Numbers,
    noted: &mut Noted,
) -> Result<Vec<Recorded>, Failed> {
    let columns = Columns::of(records, numbers);
    let orders: BTreeSet<Uuid> = columns.deliveries.orderings.iter().flatten().copied().collect();
    let answers = columns.insert(database, Some(transaction), noted).await?;
    turn::next_of(database, transaction, &orders, Some(0), noted).await?;
    Ok(answers)
}

/// Events that differ, each with its deliveries, as columns.
struct Columns<'a> {
    records: &'a [Record],
    ids: Vec<Uuid>,
    scopes: Vec<&'a str>,
    received: Vec<i64>,
    documents: Vec<&'a [u8]>,
    deliveries: Deliveries<'a>,
}

impl<'a> Columns<'a> {
    fn of(records: &'a [Record], numbers: &Numbers) -> Self {
        let mut deliveries = Deliveries::default();
        for record in records {
            for (delivery, payload) in &record.deliveries {
                deliveries.push(delivery, payload, record.event_id(), numbers);
            }
        }
        let events: Vec<_> = records.iter().filter_map(|record| record.event.as_ref()).collect();
        Self {
            records,
            ids: events.iter().map(|new| uuid!(new.event.id)).collect(),
            scopes: events.iter().map(|new| new.event.scope.as_str()).collect(),
            received: events.iter().map(|new| new.event.received_at.unix_micros()).collect(),
            documents: events.iter().map(|new| &**new.json()).collect(),
            deliveries,
        }
    }

    /// Writes them, as a part of a transaction or by itself.
    async fn insert(
        &self,
        database: &Database,
        transaction: Option<&Transaction<'_>>,
        noted: &mut Noted,
    ) -> Result<Vec<Recorded>, Failed> {
        let all = &self.deliveries;
        let values: Values<'_> = &[
            &self.ids,
            &self.scopes,
            &self.received,
            &self.documents,
            &all.ids,
            &all.messages,
            &all.events,
            &all.triggers,
            &all.endpoints,
            &all.states,
            &all.reasons,
            &all.due_after,
            &all.created_at,
            &all.orderings,
            &all.blocks,
            &all.batched,
            &all.scopes,
            &all.needs,
            &all.headers,
            &all.bodies,
            &all.attempts,
            &(database.time == TimeSource::Caller),
        ];
        let found = match transaction {
            Some(transaction) => query(database, transaction, INSERT, values).await?,
            None => database.run(INSERT, values).await?,
        };
        let mut known = HashSet::new();
        for row in &found {
            match rows::get::<Option<Uuid>>(row, 0)? {
                Some(id) => drop(known.insert(id)),
                None => noted.push(rows::get(row, 1)?, rows::get(row, 2)?),
            }
        }
        let is_known =
            |record: &Record| record.event_id().is_some_and(|id| known.contains(&uuid!(id)));
        let answer = |record| if is_known(record) { Recorded::Duplicate } else { Recorded::Stored };
        Ok(self.records.iter().map(answer).collect())
    }
}

/// Tells the events that were known, and when each endpoint has the first of what is new.
const INSERT: &str = "
    WITH t AS MATERIALIZED (
        SELECT {now} AS now),
    e AS (
        INSERT INTO {s}.events (id, scope, received_at, document)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bytea[])
        ON CONFLICT (id) DO NOTHING RETURNING id),
    n AS MATERIALIZED (
        SELECT * FROM unnest($5::uuid[], $6::uuid[], $7::uuid[], $8::uuid[], $9::bigint[],
            $10::smallint[], $11::text[], $12::bigint[], $13::bigint[], $14::uuid[], $15::boolean[],
            $16::boolean[], $17::text[], $18::uuid[], $19::text[], $20::bytea[], $21::bigint[])
            WITH ORDINALITY AS n(id, message, event, trigger_id, endpoint, state, reason, due_after,
            created_at, ordering, blocks, batched, scope, needs, headers, body, attempts, place)
        WHERE needs IS NULL OR needs IN (SELECT id FROM e)),
    d AS (
        INSERT INTO {s}.deliveries (id, message, event, trigger_id, endpoint, state, reason,
            claim_at, created_at, changed_at, attempts, ordering, blocks, batched, scope)
        SELECT id, message, event, trigger_id, endpoint, state, reason,
            CASE WHEN state = 0 THEN due_at END, created_at, due_at, attempts, ordering, blocks,
            batched, scope
        FROM n, t
        CROSS JOIN LATERAL (
            SELECT due_after + CASE WHEN $22 THEN created_at ELSE t.now END AS due_at) AS w
        ORDER BY place
        ON CONFLICT (id) DO NOTHING RETURNING seq, id, endpoint, claim_at),
    p AS (
        INSERT INTO {s}.payloads (delivery, headers, body)
        SELECT d.seq, n.headers, n.body FROM d JOIN n USING (id))
    SELECT id, NULL::bigint, NULL::bigint FROM unnest($1::uuid[]) AS known(id)
    WHERE id NOT IN (SELECT id FROM e)
    UNION ALL
    SELECT NULL, endpoint, min(claim_at) FROM d WHERE claim_at IS NOT NULL GROUP BY endpoint";
