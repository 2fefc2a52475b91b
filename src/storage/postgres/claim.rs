//! Claims: due deliveries under a lease, endpoint by endpoint. What another node is at is passed
//! over.

use std::collections::BTreeSet;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::{Database, Failed, Values, Work, query};
use super::first_due::{Asked, Noted};
use super::rows::{self, DELIVERY_COLUMNS, uuid};
use super::{Shared, companions, turn};
use crate::clock::Timestamp;
use crate::delivery::{Claimed, DeadReason, Lease, State};
use crate::id::DeliveryId;
use crate::storage::{Claim, ClaimOf, Claims, Companions, StorageError, columns};

/// Where [`Take::read`] finds what is behind the columns of [`rows::DELIVERY`].
const TOKEN: usize = DELIVERY_COLUMNS;
const DUE: usize = TOKEN + 1;
const NOW: usize = TOKEN + 2;
const ENDPOINT: usize = TOKEN + 3;
const HEADERS: usize = TOKEN + 4;
const BODY: usize = TOKEN + 5;

/// What of deliveries is taken.
enum Taking<'a> {
    One(DeliveryId),
    Companions(&'a [Companions]),
    Asked(&'a [Asked]),
}

struct Take<'a> {
    claim: &'a Claim,
    what: Taking<'a>,
}

/// What was taken.
#[derive(Default)]
pub(super) struct Taken {
    deliveries: Vec<Claimed>,
    /// The endpoint of the last one.
    last: Option<i64>,
    /// When each endpoint that was asked has something next.
    next: Vec<(i64, Option<i64>)>,
    /// What can be claimed since something could not be read.
    noted: Noted,
    /// When the leases run out that were given.
    leased: Noted,
    /// What time it was for the server.
    now: Option<i64>,
}

impl Shared {
    pub(super) async fn claim(&self, claim: &Claim) -> Result<Claims, StorageError> {
        let asked;
        let what = match &claim.of {
            ClaimOf::One(id) => Taking::One(*id),
            ClaimOf::Companions(all) => Taking::Companions(all),
            ClaimOf::Endpoints => {
                // One after the other: what is known of an endpoint is of the last that asked.
                let _alone = self.claiming.lock().await;
                self.look(claim.now).await?;
                asked = self.first_due.ask(claim);
                let mut taken = Taken::default();
                if !asked.is_empty() {
                    let work = Take { claim, what: Taking::Asked(&asked) };
                    taken = self.database.transact(&work).await.map_err(Failed::told)?;
                    self.take_in(&taken, claim);
                }
                let mut claims = Claims { deliveries: taken.deliveries, ..Claims::default() };
                if claims.deliveries.len() < claim.limit {
                    self.first_due.tell_left(claim, &mut claims);
                }
                self.note(&taken.leased);
                return Ok(claims);
            }
        };
        let taken = self.database.transact(&Take { claim, what }).await.map_err(Failed::told)?;
        self.note(&taken.noted);
        self.note(&taken.leased);
        Ok(Claims { deliveries: taken.deliveries, ..Claims::default() })
    }

    fn take_in(&self, taken: &Taken, claim: &Claim) {
        let now = taken.now.unwrap_or(i64::MIN);
        self.first_due.found(&taken.next, now);
        if taken.now.is_some() {
            let full = taken.deliveries.len() >= claim.limit;
            self.first_due.served(taken.last.filter(|_| full), now, claim.now);
        }
        self.note(&taken.noted);
    }
}

#[async_trait]
impl Work for Take<'_> {
    type Answer = Taken;

    async fn run(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
    ) -> Result<Taken, Failed> {
        let mut taken = Taken::default();
        let left = |taken: &Taken| self.claim.limit - taken.deliveries.len();
        match &self.what {
            Taking::One(id) => {
                let due = "SELECT d.seq, d.claim_at, 1::bigint AS place FROM {s}.deliveries d, t
                           WHERE d.id = $4 AND d.claim_at <= t.now + $3 FOR UPDATE OF d";
                self.lease(database, transaction, due, &[&uuid!(*id)], &mut taken).await?;
            }
            Taking::Companions(all) => {
                for asked in *all {
                    let limit = columns::integer(asked.limit.min(left(&taken)));
                    let until = rows::later(asked.until, self.claim.now);
                    let most = columns::integer(asked.max_bytes);
                    let (trigger, key) = (uuid!(asked.trigger), asked.endpoint.as_str());
                    let values: Values<'_> = &[&trigger, &key, &until, &limit, &most];
                    self.lease(database, transaction, companions::DUE, values, &mut taken).await?;
                }
            }
            Taking::Asked(asked) => self.take(database, transaction, asked, &mut taken).await?,
        }
        Ok(taken)
    }
}

impl Take<'_> {
    /// Takes what is due of endpoints, and tells when each has something next.
    async fn take(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
        asked: &[Asked],
        taken: &mut Taken,
    ) -> Result<(), Failed> {
        let due = "SELECT d.seq, d.claim_at, a.place
                   FROM unnest($4::bigint[], $5::bigint[], $6::bigint[]) WITH ORDINALITY
                       AS a(endpoint, floor, room, place)
                   CROSS JOIN LATERAL (
                       SELECT d.seq, d.claim_at FROM {s}.deliveries d
                       WHERE d.endpoint = a.endpoint AND d.claim_at >= a.floor
                           AND d.claim_at <= (SELECT t.now FROM t) + $3
                       ORDER BY d.claim_at, d.id LIMIT a.room FOR UPDATE SKIP LOCKED) AS d
                   LIMIT $7";
        let endpoints: Vec<i64> = asked.iter().map(|one| one.endpoint).collect();
        let floors: Vec<i64> = asked.iter().map(|one| one.floor).collect();
        let rooms: Vec<i64> = asked.iter().map(|one| one.room).collect();
        let limit = columns::integer(self.claim.limit);
        let values: Values<'_> = &[&endpoints, &floors, &rooms, &limit];
        self.lease(database, transaction, due, values, taken).await?;
        // Each array by a subquery: if the server saw how long it is, it would make a plan for that
        // length, each time anew, which takes longer than the look itself.
        let next = "SELECT a.endpoint, (
                        SELECT d.claim_at FROM {s}.deliveries d
                        WHERE d.endpoint = a.endpoint AND d.claim_at >= a.floor
                            AND d.id <> ALL ((SELECT $4::uuid[])::uuid[])
                        ORDER BY d.claim_at LIMIT 1),
                        coalesce($3, {now})
                    FROM unnest((SELECT $1::bigint[]), (SELECT $2::bigint[])) AS a(endpoint, floor)";
        let now = database.now(self.claim.now);
        let given: Vec<Uuid> =
            taken.deliveries.iter().map(|claimed| uuid!(claimed.lease.delivery)).collect();
        let values: Values<'_> = &[&endpoints, &floors, &now, &given];
        for row in &query(database, transaction, next, values).await? {
            taken.next.push((rows::get(row, 0)?, rows::get(row, 1)?));
            taken.now = Some(rows::get(row, 2)?);
        }
        Ok(())
    }

    /// Leases what a selection of `seq`, `claim_at` and `place` finds, in the order of the places.
    /// Its parameters begin with `$4`: those before are the time, the lease, and by when after it
    /// what is taken has to be due. What cannot be read becomes a dead letter.
    async fn lease(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
        due: &str,
        values: Values<'_>,
        taken: &mut Taken,
    ) -> Result<(), Failed> {
        let sql = format!(
            "WITH t AS MATERIALIZED (
                 SELECT coalesce($1, {{now}}) AS now),
             due AS MATERIALIZED ({due}),
             d AS (
                 UPDATE {{s}}.deliveries d SET state = 1,
                     claim_at = least(t.now + $2, {}), attempts = least(d.attempts + 1, {}), token = d.token + 1
                 FROM due, t WHERE d.seq = due.seq RETURNING d.*, due.claim_at AS due,
                     due.place, t.now)
             SELECT {}, d.token, d.due, d.now, d.endpoint, p.headers, p.body
             FROM d LEFT JOIN {{s}}.endpoints e ON e.id = d.endpoint
             LEFT JOIN {{s}}.payloads p ON p.delivery = d.seq
             ORDER BY d.place, d.due, d.id",
            Timestamp::MAX.unix_micros(),
            u32::MAX,
            rows::DELIVERY
        );
        let now = database.now(self.claim.now);
        let lease = rows::span(self.claim.lease);
        let due_by = rows::later(self.claim.due_by, self.claim.now);
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![&now, &lease, &due_by];
        all.extend(values);
        let mut unreadable = Vec::new();
        for row in &query(database, transaction, &sql, &all).await? {
            match self.read(row) {
                Ok(claimed) => taken.deliveries.push(claimed),
                Err(_) => unreadable.push(rows::get::<Uuid>(row, 0)?),
            }
            let endpoint = rows::get(row, ENDPOINT)?;
            taken.last = Some(endpoint);
            taken.leased.push(endpoint, rows::get::<i64>(row, NOW)? + lease);
        }
        if unreadable.is_empty() {
            return Ok(());
        }
        bury(database, transaction, &unreadable, now, &mut taken.noted).await
    }

    fn read(&self, row: &Row) -> Result<Claimed, StorageError> {
        let mut delivery = rows::delivery(row)?;
        let token = rows::count(row, TOKEN)?;
        let (due, now): (i64, i64) = (rows::get(row, DUE)?, rows::get(row, NOW)?);
        let due = self.claim.now.unix_micros().saturating_add(due - now);
        let headers: &str = rows::get(row, HEADERS)?;
        let payload = columns::payload(delivery.id, headers, rows::get(row, BODY)?)?;
        let lease = Lease { delivery: delivery.id, token };
        delivery.state = State::Leased { until: self.claim.now + self.claim.lease };
        Ok(Claimed { lease, delivery, due: Timestamp::from_unix_micros(due), payload })
    }
}

/// Makes dead letters of what cannot be read, and lets those go that were behind them.
async fn bury(
    database: &Database,
    transaction: &Transaction<'_>,
    ids: &[Uuid],
    now: Option<i64>,
    noted: &mut Noted,
) -> Result<(), Failed> {
    let sql = "UPDATE {s}.deliveries SET state = 3, reason = $2, claim_at = NULL, changed_at =
                   coalesce($3, {now})
               WHERE id = ANY ($1) RETURNING ordering";
    let reason = DeadReason::Unreadable.as_str();
    let mut orders = BTreeSet::new();
    for row in &query(database, transaction, sql, &[&ids, &reason, &now]).await? {
        orders.extend(rows::get::<Option<Uuid>>(row, 0)?);
    }
    turn::next_after(database, transaction, &orders, now, noted).await
}
