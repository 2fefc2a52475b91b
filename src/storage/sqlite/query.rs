//! Pages of events and deliveries, logs, and cursors.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row, params_from_iter};

use super::claim;
use super::commit::{Session, unavailable};
use super::leases::ById;
use super::rows;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, EndpointKey, StateName};
use crate::event::{Event, Scope};
use crate::id::{DeliveryId, EventId};
use crate::storage::{Backlog, DeliveryQuery, EventQuery, LoggedAttempt, Page, StorageError};

/// Conditions joined by `AND`, each with its value.
#[derive(Default)]
struct Conditions {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition in which `?` stands for the value.
    fn add(&mut self, sql: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        self.sql.push(sql.replace('?', &format!("?{}", self.values.len())));
    }

    fn within(&mut self, column: &str, scope: &Scope) {
        if scope.as_str().is_empty() {
            return;
        }
        let below = format!("({column} = ? OR substr({column}, 1, length(?) + 1) = ? || '/')");
        self.add(&below, scope.to_string());
    }

    fn finish(self) -> (String, Vec<Value>) {
        let sql = if self.sql.is_empty() { "1".to_owned() } else { self.sql.join(" AND ") };
        (sql, self.values)
    }
}

fn blob(id: &[u8; 16]) -> Value {
    Value::Blob(id.to_vec())
}

/// The condition on `deliveries d` that a query makes, by what is leased, and its values.
fn selection(query: &DeliveryQuery, leases: &ById) -> (String, Vec<Value>) {
    let mut conditions = Conditions::default();
    conditions.within("d.scope", &query.scope);
    if let Some(id) = query.id {
        conditions.add("d.id = ?", blob(id.as_bytes()));
    }
    if let Some(event) = query.event {
        conditions.add("d.event = ?", blob(event.as_bytes()));
    }
    if let Some(trigger) = query.trigger {
        conditions.add("d.trigger_id = ?", blob(trigger.as_bytes()));
    }
    if let Some(state) = query.state {
        // What is leased is stored as waiting.
        conditions.add("d.state = ?", rows::state_number(state));
        match state {
            StateName::Leased => conditions.add(LEASED, places(leases)),
            StateName::Waiting => conditions.add(&format!("NOT {LEASED}"), places(leases)),
            _ => {}
        }
    }
    if let Some(from) = query.from {
        conditions.add("d.created_at >= ?", from.unix_micros());
    }
    if let Some(until) = query.until {
        conditions.add("d.created_at < ?", until.unix_micros());
    }
    if let Some(after) = query.after {
        conditions.add("d.id > ?", blob(after.as_bytes()));
    }
    conditions.finish()
}

/// The condition that a delivery is one of those that [`places`] tells.
const LEASED: &str = "d.seq IN (SELECT value FROM json_each(?))";

/// Where what is leased is stored, as JSON.
fn places(leases: &ById) -> String {
    let places: Vec<i64> = leases.values().map(|held| held.seq).collect();
    serde_json::to_string(&places).expect("numbers are JSON")
}

pub(super) fn deliveries(
    session: &Session,
    query: &DeliveryQuery,
) -> Result<Page<Delivery>, StorageError> {
    select(session, query, "1", &session.leases_told()?)
}

/// A page of the deliveries of a query for which a condition on `deliveries d` holds besides, some
/// of them leased.
pub(super) fn select(
    session: &Session,
    query: &DeliveryQuery,
    besides: &str,
    leases: &ById,
) -> Result<Page<Delivery>, StorageError> {
    let (condition, values) = selection(query, leases);
    let sql = format!(
        "SELECT {}, e.key FROM deliveries d LEFT JOIN endpoints e ON e.id = d.endpoint
         WHERE {condition} AND {besides} ORDER BY d.id",
        rows::DELIVERY
    );
    page(session, &sql, &values, query.limit, |row| {
        let name = |id| format!("delivery {}", DeliveryId::from_bytes(id));
        let mut delivery = delivery(row).map_err(|error| named(row, error, name))?;
        if let Some(held) = leases.get(&delivery.id) {
            held.show(&mut delivery);
        }
        Ok(delivery)
    })
}

fn delivery(row: &Row<'_>) -> Result<Delivery, StorageError> {
    let endpoint: String = row.get(rows::BEHIND_DELIVERY).map_err(unavailable)?;
    rows::delivery(row, EndpointKey::new(endpoint))
}

pub(super) fn events(session: &Session, query: &EventQuery) -> Result<Page<Event>, StorageError> {
    let mut conditions = Conditions::default();
    conditions.within("scope", &query.scope);
    if let Some(id) = query.id {
        conditions.add("id = ?", blob(id.as_bytes()));
    }
    if let Some(from) = query.from {
        conditions.add("received_at >= ?", from.unix_micros());
    }
    if let Some(until) = query.until {
        conditions.add("received_at < ?", until.unix_micros());
    }
    if let Some(after) = query.after {
        conditions.add("id > ?", blob(after.as_bytes()));
    }
    let (condition, values) = conditions.finish();
    let sql = format!("SELECT id, document FROM events WHERE {condition} ORDER BY id");
    page(session, &sql, &values, query.limit, |row| {
        let name = |id| format!("event {}", EventId::from_bytes(id));
        event(row).map_err(|error| named(row, error, name))
    })
}

fn event(row: &Row<'_>) -> Result<Event, StorageError> {
    let document: Vec<u8> = row.get(1).map_err(unavailable)?;
    Event::from_json(&document)
        .map_err(|problems| StorageError::Corrupt { reason: problems.to_string() })
}

/// Says of which row it is that something is damaged, by the id in its first column.
fn named(row: &Row<'_>, error: StorageError, name: fn([u8; 16]) -> String) -> StorageError {
    match (error, row.get(0)) {
        (StorageError::Corrupt { reason }, Ok(id)) => {
            StorageError::Corrupt { reason: format!("{}: {reason}", name(id)) }
        }
        (error, _) => error,
    }
}

/// Reads a page in which what cannot be read takes nobody's place.
fn page<T>(
    session: &Session,
    sql: &str,
    values: &[Value],
    limit: usize,
    read: impl Fn(&Row<'_>) -> Result<T, StorageError>,
) -> Result<Page<T>, StorageError> {
    let mut most = limit;
    loop {
        let mut statement = session.prepare(&format!("{sql} LIMIT {}", rows::integer(most)))?;
        let mut found = statement.query(params_from_iter(values)).map_err(unavailable)?;
        let mut page = Page::default();
        while page.items.len() < limit
            && let Some(row) = found.next().map_err(unavailable)?
        {
            match read(row) {
                Ok(item) => page.items.push(item),
                Err(StorageError::Corrupt { reason }) => page.unreadable.push(reason),
                Err(error) => return Err(error),
            }
        }
        let seen = page.items.len() + page.unreadable.len();
        if page.items.len() == limit || seen < most {
            return Ok(page);
        }
        most = limit.saturating_add(page.unreadable.len() * 2);
    }
}

pub(super) fn backlog(session: &Session) -> Result<Vec<Backlog>, StorageError> {
    let leases = session.leases_told()?;
    let mut ends: HashMap<i64, Timestamp> = HashMap::new();
    for held in leases.values() {
        let first = ends.entry(held.endpoint).or_insert(held.until);
        *first = held.until.min(*first);
    }
    let sql = "SELECT e.key, count(*), min(d.claim_at), d.endpoint
               FROM deliveries d INDEXED BY claimable JOIN endpoints e ON e.id = d.endpoint
               WHERE d.claim_at IS NOT NULL GROUP BY d.endpoint ORDER BY e.key";
    let mut statement = session.prepare(sql)?;
    let read = |row: &Row<'_>| {
        let endpoint: String = row.get(0)?;
        let oldest_due = Timestamp::from_unix_micros(row.get(2)?);
        let deliveries = rows::count(row, 1)?;
        Ok((Backlog { endpoint: EndpointKey::new(endpoint), deliveries, oldest_due }, row.get(3)?))
    };
    let found = statement.query_map([], read).map_err(unavailable)?;
    let mut backlog = Vec::new();
    for one in found {
        let (mut one, endpoint) = one.map_err(unavailable)?;
        if let Some(until) = ends.get(&endpoint) {
            let waiting = first_waiting(session, endpoint, &leases)?;
            one.oldest_due = waiting.map_or(*until, |at| at.min(*until));
        }
        backlog.push(one);
    }
    Ok(backlog)
}

/// When the first delivery of an endpoint is due that is not leased.
fn first_waiting(
    session: &Session,
    endpoint: i64,
    leases: &ById,
) -> Result<Option<Timestamp>, StorageError> {
    let mut statement = session.prepare(claim::CLAIMABLE)?;
    let mut rows = statement.query([endpoint]).map_err(unavailable)?;
    while let Some(row) = rows.next().map_err(unavailable)? {
        let id = DeliveryId::from_bytes(row.get(1).map_err(unavailable)?);
        if !leases.contains_key(&id) {
            let at = row.get(0).map_err(unavailable)?;
            return Ok(Some(Timestamp::from_unix_micros(at)));
        }
    }
    Ok(None)
}

pub(super) fn attempts(
    session: &Session,
    id: DeliveryId,
) -> Result<Vec<LoggedAttempt>, StorageError> {
    let sql = "SELECT a.position, a.number, a.started_at, a.ended_at, a.class, a.retry_after,
                   a.status, a.error, a.response, a.run
               FROM deliveries d JOIN attempts a ON a.delivery = d.seq
               WHERE d.id = ?1 ORDER BY a.position";
    let mut statement = session.prepare(sql)?;
    let mut found = statement.query([id.as_bytes()]).map_err(unavailable)?;
    let mut attempts = Vec::new();
    while let Some(row) = found.next().map_err(unavailable)? {
        attempts.push(rows::attempt(id, row)?);
    }
    Ok(attempts)
}

pub(super) fn cursors(
    session: &Session,
    keys: &[String],
) -> Result<Vec<Option<String>>, StorageError> {
    let mut statement = session.prepare("SELECT value FROM cursors WHERE key = ?1")?;
    keys.iter()
        .map(|key| statement.query_row([key], |row| row.get(0)).optional().map_err(unavailable))
        .collect()
}
