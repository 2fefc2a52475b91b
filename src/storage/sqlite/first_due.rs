//! First due: when each endpoint has something to claim at the earliest, kept in memory so that a
//! claim asks the file for those endpoints only that are due.
//!
//! One process owns the file, and one thread writes to it, so nobody else changes what is kept.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};

use super::commit::{Session, unavailable};
use crate::clock::Timestamp;
use crate::delivery::EndpointKey;
use crate::storage::StorageError;

/// The endpoints that have, or had, something to claim, by their numbers.
pub(super) type FirstDue = BTreeMap<i64, Endpoint>;

/// An endpoint, and when it has something to claim at the earliest; `None` for nothing.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) key: EndpointKey,
    pub(super) first: Option<Timestamp>,
    /// Whether that has to be looked up: what was first may be gone.
    pub(super) is_unknown: bool,
}

impl Endpoint {
    /// Takes in that something can be claimed from a time on.
    pub(super) fn note(&mut self, at: Timestamp) {
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
    }
}

impl Session {
    /// Takes in that an endpoint has something to claim from a time on. One that nothing is known
    /// of has everything read anew.
    pub(super) fn note_due(&self, endpoint: i64, at: Timestamp) {
        let mut first_due = self.first_due.borrow_mut();
        match first_due.as_mut().map(|all| all.get_mut(&endpoint)) {
            Some(Some(endpoint)) => endpoint.note(at),
            Some(None) => *first_due = None,
            None => {}
        }
    }

    /// Takes in that an endpoint has no longer what it had.
    pub(super) fn note_gone(&self, endpoint: i64) {
        if let Some(endpoint) =
            self.first_due.borrow_mut().as_mut().and_then(|all| all.get_mut(&endpoint))
        {
            endpoint.is_unknown = true;
        }
    }

    /// Takes in that there is an endpoint.
    pub(super) fn note_endpoint(&self, endpoint: i64, key: &EndpointKey) {
        if let Some(all) = self.first_due.borrow_mut().as_mut() {
            all.entry(endpoint).or_insert_with(|| Endpoint {
                key: key.clone(),
                first: None,
                is_unknown: false,
            });
        }
    }

    /// Takes what is known out, to be put back once it is changed; read from the file if nothing
    /// is.
    pub(super) fn take_first_due(&self) -> Result<FirstDue, StorageError> {
        match self.first_due.take() {
            Some(known) => Ok(known),
            None => read(self),
        }
    }
}

/// Reads which endpoints there are from the index `claimable`, which has the endpoint first: one
/// look for each, however long its backlog is.
fn read(session: &Session) -> Result<FirstDue, StorageError> {
    let sql = "SELECT d.endpoint, e.key
               FROM deliveries d INDEXED BY claimable JOIN endpoints e ON e.id = d.endpoint
               WHERE d.claim_at IS NOT NULL AND d.endpoint > ?1
               ORDER BY d.endpoint LIMIT 1";
    let mut statement = session.prepare(sql)?;
    let (mut known, mut last) = (FirstDue::new(), i64::MIN);
    let next = |row: &rusqlite::Row<'_>| {
        let key: String = row.get(1)?;
        let key = EndpointKey::new(key);
        // What is first of them may be leased.
        Ok((row.get(0)?, Endpoint { key, first: None, is_unknown: true }))
    };
    while let Some((id, endpoint)) =
        statement.query_row(params![last], next).optional().map_err(unavailable)?
    {
        known.insert(id, endpoint);
        last = id;
    }
    Ok(known)
}
