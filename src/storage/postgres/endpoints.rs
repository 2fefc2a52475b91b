//! Endpoints: each key has a number, which a delivery is kept with.
//!
//! A node remembers numbers for an hour at most, and an endpoint is forgotten only if no node asked
//! for its number for a day, so none is forgotten that somebody is about to use.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::Shared;
use super::rows;
use crate::clock::Timestamp;
use crate::delivery::EndpointKey;
use crate::storage::StorageError;

/// Numbers of endpoints by their keys.
pub(super) type Numbers = HashMap<EndpointKey, i64>;

/// How long numbers are remembered.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// The most numbers that are remembered.
const MOST: usize = 100_000;

/// The numbers that a node remembers.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Content>);

#[derive(Debug)]
struct Content {
    numbers: Numbers,
    /// When the first of them was looked up, by the clock of the callers.
    since: Timestamp,
}

impl Default for Content {
    fn default() -> Self {
        Self { numbers: Numbers::new(), since: Timestamp::MIN }
    }
}

impl Remembered {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no code panics while it holds the numbers")
    }
}

impl Shared {
    /// The numbers of endpoints at a time of the caller's, given to those that have none.
    pub(super) async fn numbers<'k>(
        &self,
        keys: impl Iterator<Item = &'k EndpointKey>,
        now: Timestamp,
    ) -> Result<Numbers, StorageError> {
        let mut numbers = Numbers::new();
        let mut unknown: Vec<&str> = Vec::new();
        {
            let mut content = self.endpoints.lock();
            if now < content.since || content.since + REMEMBERED <= now {
                content.numbers.clear();
            }
            for key in keys {
                match content.numbers.get(key) {
                    Some(number) => drop(numbers.insert(key.clone(), *number)),
                    None => unknown.push(key.as_str()),
                }
            }
        }
        if unknown.is_empty() {
            return Ok(numbers);
        }
        unknown.sort_unstable();
        unknown.dedup();
        let sql = "INSERT INTO {s}.endpoints AS e (key, used_at)
                   SELECT key, {now}
                   FROM unnest($1::text[]) WITH ORDINALITY AS k(key, place) ORDER BY place
                   ON CONFLICT (key) DO UPDATE SET used_at = excluded.used_at
                   RETURNING key, id";
        let found = self.database.query(sql, &[&unknown]).await?;
        let mut content = self.endpoints.lock();
        if content.numbers.len() + found.len() > MOST {
            content.numbers.clear();
        }
        for row in &found {
            let (key, number) = (EndpointKey::new(rows::get::<&str>(row, 0)?), rows::get(row, 1)?);
            if content.numbers.is_empty() {
                content.since = now;
            }
            content.numbers.insert(key.clone(), number);
            numbers.insert(key, number);
        }
        Ok(numbers)
    }

    /// Forgets endpoints that no delivery has and no node asked for since long.
    pub(super) async fn forget_endpoints(&self) -> Result<(), StorageError> {
        let sql = "DELETE FROM {s}.endpoints e
                   WHERE used_at < {now} - $1
                       AND NOT EXISTS (SELECT 1 FROM {s}.deliveries d WHERE d.endpoint = e.id)";
        let day = rows::span(24 * REMEMBERED);
        self.database.query(sql, &[&day]).await.map(drop)
    }
}
