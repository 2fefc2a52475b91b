//! Settlements: what came of leases, with its log and the events that follow.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::Shared;
use super::connection::{Database, Failed, Work, query};
use super::endpoints::Numbers;
use super::first_due::Noted;
use super::rows::{self, uuid};
use super::{record, turn};
use crate::action::RunRef;
use crate::clock::Timestamp;
use crate::delivery::Outcome;
use crate::storage::{Settle, Settled, StorageError, columns};

struct SettleAll<'a> {
    settlements: &'a [Settle],
    now: Timestamp,
    numbers: Numbers,
}

impl Shared {
    pub(super) async fn settle(
        &self,
        settlements: &[Settle],
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        let records = settlements.iter().flat_map(|settle| &settle.records);
        let deliveries = records.flat_map(|record| &record.deliveries);
        let keys = deliveries.map(|(delivery, _)| &delivery.endpoint);
        let numbers = self.numbers(keys, now).await?;
        self.first_due.name(&numbers);
        let work = SettleAll { settlements, now, numbers };
        let (answers, noted) = self.database.transact(&work).await.map_err(Failed::told)?;
        self.note(&noted);
        Ok(answers)
    }
}

#[async_trait]
impl Work for SettleAll<'_> {
    type Answer = (Vec<Settled>, Noted);

    async fn run(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
    ) -> Result<Self::Answer, Failed> {
        let mut noted = Noted::default();
        let mut answers = Vec::with_capacity(self.settlements.len());
        let mut rest = self.settlements;
        while !rest.is_empty() {
            let (some, others) = rest.split_at(together(rest));
            rest = others;
            let now = database.now(self.now);
            let done = settle(database, transaction, some, (self.now, now), &mut noted).await?;
            let is_done = |n: &usize| done.orders.contains_key(n);
            for (_, settle) in some.iter().enumerate().filter(|(n, _)| is_done(n)) {
                let records = &settle.records;
                record::record_all(database, transaction, records, &self.numbers, &mut noted)
                    .await?;
            }
            let answer = |n| if is_done(&n) { Settled::Done } else { Settled::LeaseLost };
            answers.extend((0..some.len()).map(answer));
            let orders: BTreeSet<Uuid> = done.orders.values().flatten().copied().collect();
            turn::next_after(database, transaction, &orders, now, &mut noted).await?;
        }
        Ok((answers, noted))
    }
}

/// How many may be written at once: those before the second of one delivery.
fn together(settlements: &[Settle]) -> usize {
    let mut deliveries = HashSet::new();
    let is_again = |settle: &Settle| !deliveries.insert(settle.lease.delivery);
    settlements.iter().position(is_again).unwrap_or(settlements.len())
}

/// Which of some were done, each with its order if it has one.
struct Done {
    orders: HashMap<usize, Option<Uuid>>,
}

/// Settles leases of deliveries that differ.
async fn settle(
    database: &Database,
    transaction: &Transaction<'_>,
    settlements: &[Settle],
    (caller, now): (Timestamp, Option<i64>),
    noted: &mut Noted,
) -> Result<Done, Failed> {
    let states: Vec<_> = settlements.iter().map(|one| one.settlement.state()).collect();
    let ids: Vec<Uuid> = settlements.iter().map(|one| uuid!(one.lease.delivery)).collect();
    let tokens: Vec<i64> =
        settlements.iter().map(|one| columns::integer(one.lease.token)).collect();
    let numbers: Vec<i16> = states.iter().map(|one| columns::state_number(one.name())).collect();
    let reasons: Vec<_> = states.iter().map(columns::reason).collect();
    let after: Vec<_> = states.iter().map(|state| rows::claim_after(state, caller)).collect();
    let uncounted: Vec<i32> =
        settlements.iter().map(|one| i32::from(!one.settlement.counts_attempt())).collect();
    let logged: Vec<i32> = settlements
        .iter()
        .map(|one| i32::try_from(one.attempts.len()).unwrap_or(i32::MAX))
        .collect();
    let log = Log::of(settlements);
    // Each is looked up by itself: joined, a table that was small when the server made its plan, or
    // of which it has no statistics yet, would be read as a whole each time.
    let sql = "WITH t AS MATERIALIZED (
                   SELECT coalesce($1, {now}) AS now),
               s AS MATERIALIZED (
                   SELECT s.*, d.seq
                   FROM unnest($2::uuid[], $3::bigint[], $4::smallint[], $5::text[], $6::bigint[],
                       $7::integer[], $8::integer[]) WITH ORDINALITY
                       AS s(id, token, state, reason, after, uncounted, logged, place)
                   CROSS JOIN LATERAL (
                       SELECT d.seq, d.token, d.state FROM {s}.deliveries d WHERE d.id = s.id LIMIT 1
                   ) AS d
                   WHERE d.token = s.token AND d.state = 1),
               d AS (
                   UPDATE {s}.deliveries d SET state = s.state, reason = s.reason,
                       claim_at = t.now + s.after, changed_at = t.now,
                       attempts = greatest(d.attempts - s.uncounted, 0), logged = d.logged + s.logged
                   FROM t, s WHERE d.seq = s.seq AND d.token = s.token AND d.state = 1
                   RETURNING s.place, d.seq, d.endpoint, d.claim_at, d.ordering,
                       d.logged - s.logged AS before),
               l AS (
                   INSERT INTO {s}.attempts (delivery, position, number, started_at, ended_at, class,
                       retry_after, status, error, response, run)
                   SELECT d.seq, d.before + a.position, a.number, a.started_at, a.ended_at, a.class,
                       a.retry_after, a.status, a.error, a.response, a.run
                   FROM unnest($9::bigint[], $10::integer[], $11::bigint[], $12::bigint[],
                       $13::bigint[], $14::text[], $15::bigint[], $16::integer[], $17::text[],
                       $18::text[], $19::text[]) AS a(place, position, number, started_at, ended_at,
                       class, retry_after, status, error, response, run)
                   JOIN d USING (place))
               SELECT d.place, d.endpoint, d.claim_at, d.ordering FROM d";
    let rows = query(
        database,
        transaction,
        sql,
        &[
            &now,
            &ids,
            &tokens,
            &numbers,
            &reasons,
            &after,
            &uncounted,
            &logged,
            &log.places,
            &log.positions,
            &log.numbers,
            &log.started_at,
            &log.ended_at,
            &log.classes,
            &log.retry_after,
            &log.statuses,
            &log.errors,
            &log.responses,
            &log.runs,
        ],
    )
    .await?;
    let mut orders = HashMap::with_capacity(rows.len());
    for row in &rows {
        let place: i64 = rows::get(row, 0)?;
        if let Some(at) = rows::get(row, 2)? {
            noted.push(rows::get(row, 1)?, at);
        }
        orders.insert(usize::try_from(place - 1).unwrap_or(usize::MAX), rows::get(row, 3)?);
    }
    Ok(Done { orders })
}

/// Attempts as columns.
#[derive(Default)]
struct Log<'a> {
    /// Whose it is: the place of its settlement, from 1 on.
    places: Vec<i64>,
    /// Its place among those of its settlement, from 1 on.
    positions: Vec<i32>,
    numbers: Vec<i64>,
    started_at: Vec<i64>,
    ended_at: Vec<i64>,
    classes: Vec<&'static str>,
    retry_after: Vec<Option<i64>>,
    statuses: Vec<Option<i32>>,
    errors: Vec<Option<Cow<'a, str>>>,
    responses: Vec<Option<Cow<'a, str>>>,
    runs: Vec<Option<String>>,
}

impl<'a> Log<'a> {
    fn of(settlements: &'a [Settle]) -> Self {
        let mut log = Self::default();
        for (place, settle) in (1..).zip(settlements) {
            for (position, attempt) in (1..).zip(&settle.attempts) {
                log.places.push(place);
                log.positions.push(position);
                log.numbers.push(attempt.number.into());
                log.started_at.push(attempt.started_at.unix_micros());
                log.ended_at.push(attempt.ended_at.unix_micros());
                log.classes.push(attempt.outcome.class());
                log.retry_after.push(match attempt.outcome {
                    Outcome::Throttled { retry_after: Some(span) } => Some(rows::span(span)),
                    _ => None,
                });
                log.statuses.push(attempt.status.map(i32::from));
                log.errors.push(attempt.error.as_deref().map(rows::text));
                log.responses.push(attempt.response.as_deref().map(rows::text));
                log.runs.push(attempt.run.as_ref().map(RunRef::to_json));
            }
        }
        log
    }
}
