//! Pruning: deletes what is final and old, or too much, a bounded piece at a time.
//!
//! Each final state has a line in the index `deliveries_by_age`, the oldest first, and events have
//! one in `events_by_age`. Whatever is at the head of a line goes, or is put aside by [`hold`] and
//! leaves it. What another node is at is passed over.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::{Database, Failed, Work, query};
use super::first_due::Noted;
use super::hold::{self, part};
use super::{Shared, lock, rows, turn};
use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::storage::prune::FINAL;
use crate::storage::{Cutoff, Prune, Pruned, StorageError, columns};

/// The two stretches of the index that a state's line is merged from: `$1` is the state.
macro_rules! line {
    ($columns:literal, $order:literal) => {
        concat!(
            "((SELECT ",
            $columns,
            " FROM {s}.deliveries WHERE claim_at IS NULL AND aside IS NULL
               AND state = $1 AND NOT emptied ORDER BY ",
            $order,
            ")
              UNION ALL
              (SELECT ",
            $columns,
            " FROM {s}.deliveries WHERE claim_at IS NULL AND aside IS NULL
               AND state = $1 AND emptied ORDER BY ",
            $order,
            ")) AS line"
        )
    };
}

/// Where the lines end that a number was allowed of, since looking for it takes as long as the
/// number is large. Kept from the first piece of what is pruned at a time to the last.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<Vec<Known>>);

type Known = (Timestamp, Line, usize, Option<End>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Deliveries(i16),
    Events,
}

/// The newest of a line that goes.
#[derive(Debug, Clone, Copy)]
enum End {
    Delivery(i64, i64),
    Event(i64, Uuid),
}

struct Pruning<'a> {
    prune: &'a Prune,
    ends: &'a Ends,
}

impl Shared {
    pub(super) async fn prune(&self, prune: &Prune) -> Result<Pruned, StorageError> {
        let work = Pruning { prune, ends: &self.ends };
        let (pruned, noted) = self.database.transact(&work).await.map_err(Failed::told)?;
        self.note(&noted);
        if pruned.is_nothing() {
            self.ends.lock().clear();
            self.forget_endpoints().await?;
        }
        Ok(pruned)
    }
}

#[async_trait]
impl Work for Pruning<'_> {
    type Answer = (Pruned, Noted);

    async fn run(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
    ) -> Result<Self::Answer, Failed> {
        let at = (database, transaction);
        // Of two at once the later sees what the earlier left.
        lock::take(database, transaction, vec!["prune".to_owned()]).await?;
        let now = "SELECT coalesce($1, {now})";
        let found = query(database, transaction, now, &[&database.now(self.prune.now)]).await?;
        let now = found.first().map_or(Ok(0), |row| rows::get(row, 0))?;
        let (mut pruned, mut noted) = (Pruned::default(), Noted::default());
        pruned.passed = hold::release(database, transaction, self.prune).await?;
        let mut room = self.prune.limit;
        for state in FINAL {
            let gone = self.prune_state(at, state, (room, now), &mut noted).await?;
            room -= gone.deliveries + gone.passed;
            pruned.add(gone);
        }
        let mut room = self.prune.limit;
        for state in FINAL {
            let dropped = self.drop_contents(at, state, (room, now)).await?;
            room -= dropped.contents + dropped.passed;
            pruned.add(dropped);
        }
        pruned.add(self.prune_events(at).await?);
        Ok((pruned, noted))
    }
}

type At<'a> = (&'a Database, &'a Transaction<'a>);

impl Pruning<'_> {
    /// A time of the caller's as the server has it, at a time of the server's.
    fn by_server(&self, time: Timestamp, now: i64) -> i64 {
        now.saturating_sub(rows::later(self.prune.now, time))
    }

    /// Deletes of a final state, with payloads and logs, and lets those go that were held up.
    async fn prune_state(
        &self,
        (database, transaction): At<'_>,
        state: StateName,
        (room, now): (usize, i64),
        noted: &mut Noted,
    ) -> Result<Pruned, Failed> {
        let cutoff = self.prune.cutoff(state);
        if room == 0 || cutoff == Cutoff::default() {
            return Ok(Pruned::default());
        }
        let number = columns::state_number(state);
        let end = self.end((database, transaction), Line::Deliveries(number), cutoff).await?;
        let old = cutoff.before.map(|before| (self.by_server(before, now), i64::MIN));
        let beyond = match end {
            Some(End::Delivery(at, seq)) => Some((at, seq)),
            _ => None,
        };
        // Both are of one line, so the later of the two says it all.
        let Some((at, seq)) = old.max(beyond) else { return Ok(Pruned::default()) };
        let heads = concat!(
            "SELECT d.seq, d.scope, v.scope FROM {s}.deliveries d
             LEFT JOIN {s}.events v ON v.id = d.event
             WHERE d.claim_at IS NULL AND d.aside IS NULL AND d.state = $1
                 AND (d.changed_at, d.seq) <= ($2, $3)
                 AND d.seq = ANY (ARRAY (SELECT seq FROM ",
            line!("seq, changed_at", "changed_at, seq"),
            " WHERE (changed_at, seq) <= ($2, $3) ORDER BY changed_at, seq LIMIT $4))
             FOR UPDATE OF d SKIP LOCKED"
        );
        let limit = columns::integer(room);
        let values: [&(dyn ToSql + Sync); 4] = [&number, &at, &seq, &limit];
        let found = query(database, transaction, heads, &values).await?;
        let parted = part(&found, |row| rows::get::<i64>(row, 0), self.prune)?;
        let passed = hold::put_aside(database, transaction, PUT_ASIDE, &parted).await?;
        if parted.free.is_empty() {
            return Ok(Pruned { passed, ..Pruned::default() });
        }
        let delete = "WITH d AS (
                          DELETE FROM {s}.deliveries WHERE seq = ANY ($1)
                          RETURNING seq, event, ordering, blocks),
                      p AS (DELETE FROM {s}.payloads WHERE delivery = ANY ($1)),
                      a AS (DELETE FROM {s}.attempts WHERE delivery = ANY ($1)),
                      e AS (
                          UPDATE {s}.events SET aside = NULL
                          WHERE id IN (SELECT event FROM d) AND aside = 'heard')
                      SELECT ordering, blocks FROM d";
        let gone = query(database, transaction, delete, &[&parted.free]).await?;
        let mut held_up = BTreeSet::new();
        for row in &gone {
            let blocks: Option<bool> = rows::get(row, 1)?;
            held_up.extend(rows::get::<Option<Uuid>>(row, 0)?.filter(|_| blocks == Some(true)));
        }
        turn::next_after(database, transaction, &held_up, Some(now), noted).await?;
        Ok(Pruned { deliveries: gone.len(), passed, ..Pruned::default() })
    }

    /// Drops what deliveries of a state sent and what was answered.
    async fn drop_contents(
        &self,
        (database, transaction): At<'_>,
        state: StateName,
        (room, now): (usize, i64),
    ) -> Result<Pruned, Failed> {
        let Some(before) = self.prune.contents_before.filter(|_| room > 0) else {
            return Ok(Pruned::default());
        };
        let before = self.by_server(before, now);
        let old = "SELECT d.seq, d.scope, v.scope FROM {s}.deliveries d
                   LEFT JOIN {s}.events v ON v.id = d.event
                   WHERE d.claim_at IS NULL AND d.aside IS NULL AND d.state = $1 AND NOT d.emptied
                       AND d.changed_at < $2
                       AND d.seq = ANY (ARRAY (
                           SELECT seq FROM {s}.deliveries
                           WHERE claim_at IS NULL AND aside IS NULL AND state = $1 AND NOT emptied
                               AND changed_at < $2
                           ORDER BY changed_at, seq LIMIT $3))
                   FOR UPDATE OF d SKIP LOCKED";
        let values = (columns::state_number(state), columns::integer(room));
        let found = query(database, transaction, old, &[&values.0, &before, &values.1]).await?;
        let parted = part(&found, |row| rows::get::<i64>(row, 0), self.prune)?;
        let passed = hold::put_aside(database, transaction, PUT_ASIDE, &parted).await?;
        if !parted.free.is_empty() {
            let drop = "WITH p AS (DELETE FROM {s}.payloads WHERE delivery = ANY ($1)),
                        a AS (
                            UPDATE {s}.attempts SET response = NULL
                            WHERE delivery = ANY ($1) AND response IS NOT NULL)
                        UPDATE {s}.deliveries SET emptied = true WHERE seq = ANY ($1)";
            query(database, transaction, drop, &[&parted.free]).await?;
        }
        Ok(Pruned { contents: parted.free.len(), passed, ..Pruned::default() })
    }

    async fn prune_events(&self, (database, transaction): At<'_>) -> Result<Pruned, Failed> {
        let cutoff = self.prune.events;
        if cutoff == Cutoff::default() {
            return Ok(Pruned::default());
        }
        let old = cutoff.before.map(|before| (before.unix_micros(), Uuid::nil()));
        let beyond = match self.end((database, transaction), Line::Events, cutoff).await? {
            Some(End::Event(at, id)) => Some((at, id)),
            _ => None,
        };
        let Some((at, id)) = old.max(beyond) else { return Ok(Pruned::default()) };
        let heads = "SELECT id, scope, NULL::text FROM {s}.events
                     WHERE aside IS NULL AND (received_at, id) <= ($1, $2)
                     ORDER BY received_at, id LIMIT $3 FOR UPDATE SKIP LOCKED";
        let limit = columns::integer(self.prune.limit);
        let found = query(database, transaction, heads, &[&at, &id, &limit]).await?;
        let parted = part(&found, |row| rows::get::<Uuid>(row, 0), self.prune)?;
        let put_aside = "UPDATE {s}.events e SET aside = h.mark
                         FROM unnest($1::uuid[], $2::text[]) AS h(id, mark) WHERE e.id = h.id";
        let mut passed = hold::put_aside(database, transaction, put_aside, &parted).await?;
        let heard = "UPDATE {s}.events e SET aside = 'heard'
                     WHERE id = ANY ($1)
                         AND EXISTS (SELECT 1 FROM {s}.deliveries d WHERE d.event = e.id)
                     RETURNING 1";
        passed += query(database, transaction, heard, &[&parted.free]).await?.len();
        let delete = "DELETE FROM {s}.events WHERE id = ANY ($1) AND aside IS NULL RETURNING 1";
        let events = query(database, transaction, delete, &[&parted.free]).await?.len();
        Ok(Pruned { events, passed, ..Pruned::default() })
    }

    /// The newest of a line that goes since more than a number are newer.
    async fn end(
        &self,
        (database, transaction): At<'_>,
        line: Line,
        cutoff: Cutoff,
    ) -> Result<Option<End>, Failed> {
        let Some(number) = cutoff.at_most else { return Ok(None) };
        let known =
            |(at, of, most, _): &&Known| (*at, *of, *most) == (self.prune.now, line, number);
        if let Some((.., end)) = self.ends.lock().iter().find(known) {
            return Ok(*end);
        }
        let beyond = columns::integer(number);
        let end = match line {
            Line::Deliveries(state) => {
                let sql = concat!(
                    "SELECT changed_at, seq FROM ",
                    line!("changed_at, seq", "changed_at DESC, seq DESC"),
                    " ORDER BY changed_at DESC, seq DESC OFFSET $2 LIMIT 1"
                );
                let found = query(database, transaction, sql, &[&state, &beyond]).await?;
                let read = |row| Ok(End::Delivery(rows::get(row, 0)?, rows::get(row, 1)?));
                found.first().map(read).transpose()
            }
            Line::Events => {
                let sql = "SELECT received_at, id FROM {s}.events WHERE aside IS NULL
                           ORDER BY received_at DESC, id DESC OFFSET $1 LIMIT 1";
                let found = query(database, transaction, sql, &[&beyond]).await?;
                let read = |row| Ok(End::Event(rows::get(row, 0)?, rows::get(row, 1)?));
                found.first().map(read).transpose()
            }
        };
        let end = end.map_err(Failed::Told)?;
        self.ends.keep(self.prune.now, line, number, end);
        Ok(end)
    }
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.0.lock().expect("no code panics while it holds the ends")
    }

    fn keep(&self, now: Timestamp, line: Line, number: usize, end: Option<End>) {
        let mut ends = self.lock();
        ends.retain(|(at, of, ..)| *at == now && *of != line);
        ends.push((now, line, number, end));
    }
}

const PUT_ASIDE: &str = "UPDATE {s}.deliveries d SET aside = h.mark
                         FROM unnest($1::bigint[], $2::text[]) AS h(seq, mark) WHERE d.seq = h.seq";
