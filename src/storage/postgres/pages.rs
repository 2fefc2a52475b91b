//! Pages of events and deliveries, logs, and what waits.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Shared;
use super::rows::{self, uuid};
use crate::delivery::{Delivery, EndpointKey};
use crate::event::{Event, Scope};
use crate::id::DeliveryId;
use crate::storage::{
    Backlog, DeliveryQuery, EventQuery, LoggedAttempt, Page, StorageError, columns,
};

/// Conditions joined by `AND`, with the values of their parameters.
#[derive(Default)]
pub(super) struct Selection {
    sql: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Selection {
    /// The condition on `deliveries d` that a query makes.
    pub(super) fn of_deliveries(query: &DeliveryQuery) -> Self {
        let mut selection = Self::default();
        selection.within("d.scope", &query.scope);
        if let Some(id) = query.id {
            selection.add("d.id = ?", uuid!(id));
        }
        if let Some(event) = query.event {
            selection.add("d.event = ?", uuid!(event));
        }
        if let Some(trigger) = query.trigger {
            selection.add("d.trigger_id = ?", uuid!(trigger));
        }
        if let Some(state) = query.state {
            // In the text, so that an index on some states alone is found.
            selection.require(&format!("d.state = {}", columns::state_number(state)));
        }
        if let Some(from) = query.from {
            selection.add("d.created_at >= ?", from.unix_micros());
        }
        if let Some(until) = query.until {
            selection.add("d.created_at < ?", until.unix_micros());
        }
        if let Some(after) = query.after {
            selection.add("d.id > ?", uuid!(after));
        }
        selection
    }

    fn of_events(query: &EventQuery) -> Self {
        let mut selection = Self::default();
        selection.within("scope", &query.scope);
        if let Some(id) = query.id {
            selection.add("id = ?", uuid!(id));
        }
        if let Some(from) = query.from {
            selection.add("received_at >= ?", from.unix_micros());
        }
        if let Some(until) = query.until {
            selection.add("received_at < ?", until.unix_micros());
        }
        if let Some(after) = query.after {
            selection.add("id > ?", uuid!(after));
        }
        selection
    }

    fn within(&mut self, column: &str, scope: &Scope) {
        if !scope.as_str().is_empty() {
            let below = format!("({column} = ? OR starts_with({column}, ? || '/'))");
            self.add(&below, scope.to_string());
        }
    }

    /// Adds a condition that has no parameter.
    pub(super) fn require(&mut self, condition: &str) {
        self.sql.push(condition.to_owned());
    }

    /// Adds a condition in which `?` stands for the value.
    pub(super) fn add(&mut self, condition: &str, value: impl ToSql + Sync + Send + 'static) {
        let parameter = self.parameter(value);
        self.sql.push(condition.replace('?', &parameter));
    }

    /// Adds a value, and tells what stands for it.
    pub(super) fn parameter(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    pub(super) fn condition(&self) -> String {
        if self.sql.is_empty() { "true".to_owned() } else { self.sql.join(" AND ") }
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

impl Shared {
    pub(super) async fn events(&self, query: &EventQuery) -> Result<Page<Event>, StorageError> {
        let mut page = Page::default();
        let mut rest = query.clone();
        loop {
            rest.limit = query.limit - page.items.len();
            let mut selection = Selection::of_events(&rest);
            let condition = selection.condition();
            let limit = selection.parameter(columns::integer(rest.limit));
            let sql = format!(
                "SELECT id, document FROM {{s}}.events WHERE {condition} ORDER BY id LIMIT {limit}"
            );
            let found = self.database.query(&sql, &selection.values()).await?;
            for row in &found {
                let id = rows::event_id(row, 0)?;
                rest.after = Some(id);
                take(&mut page, format_args!("event {id}"), event(row))?;
            }
            if page.items.len() == query.limit || found.len() < rest.limit {
                return Ok(page);
            }
        }
    }

    pub(super) async fn deliveries(
        &self,
        query: &DeliveryQuery,
    ) -> Result<Page<Delivery>, StorageError> {
        let mut page = Page::default();
        let mut rest = query.clone();
        loop {
            rest.limit = query.limit - page.items.len();
            let mut selection = Selection::of_deliveries(&rest);
            let condition = selection.condition();
            let limit = selection.parameter(columns::integer(rest.limit));
            let sql = format!(
                "SELECT {} FROM {{s}}.deliveries d LEFT JOIN {{s}}.endpoints e ON e.id = d.endpoint
                 WHERE {condition} ORDER BY d.id LIMIT {limit}",
                rows::DELIVERY
            );
            let found = self.database.query(&sql, &selection.values()).await?;
            for row in &found {
                let id = rows::delivery_id(row, 0)?;
                rest.after = Some(id);
                take(&mut page, format_args!("delivery {id}"), rows::delivery(row))?;
            }
            if page.items.len() == query.limit || found.len() < rest.limit {
                return Ok(page);
            }
        }
    }

    pub(super) async fn attempts(
        &self,
        id: DeliveryId,
    ) -> Result<Vec<LoggedAttempt>, StorageError> {
        let sql = "SELECT a.position, a.number, a.started_at, a.ended_at, a.class, a.retry_after,
                       a.status, a.error, a.response, a.run
                   FROM {s}.deliveries d JOIN {s}.attempts a ON a.delivery = d.seq
                   WHERE d.id = $1 ORDER BY a.position";
        let found = self.database.query(sql, &[&uuid!(id)]).await?;
        found.iter().map(|row| rows::attempt(id, row)).collect()
    }

    pub(super) async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        let sql = "SELECT e.key, b.deliveries, b.oldest_due
                   FROM (
                       SELECT endpoint, count(*) AS deliveries, min(claim_at) AS oldest_due
                       FROM {s}.deliveries WHERE claim_at IS NOT NULL GROUP BY endpoint) AS b
                   JOIN {s}.endpoints e ON e.id = b.endpoint ORDER BY e.key COLLATE \"C\"";
        let found = self.database.query(sql, &[]).await?;
        let backlog = |row: &Row| {
            let endpoint = EndpointKey::new(rows::get::<&str>(row, 0)?);
            let (deliveries, oldest_due) = (rows::count(row, 1)?, rows::time(row, 2)?);
            Ok(Backlog { endpoint, deliveries, oldest_due })
        };
        found.iter().map(backlog).collect()
    }
}

fn event(row: &Row) -> Result<Event, StorageError> {
    Event::from_json(rows::get(row, 1)?)
        .map_err(|problems| StorageError::Corrupt { reason: problems.to_string() })
}

/// Takes what was read into a page, or what is wrong with it.
fn take<T>(
    page: &mut Page<T>,
    name: std::fmt::Arguments<'_>,
    read: Result<T, StorageError>,
) -> Result<(), StorageError> {
    match read {
        Ok(item) => page.items.push(item),
        Err(StorageError::Corrupt { reason }) => page.unreadable.push(format!("{name}: {reason}")),
        Err(error) => return Err(error),
    }
    Ok(())
}
