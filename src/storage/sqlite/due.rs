//! Due: what can be claimed, in the order in which it is, whether it waits in the file or a lease
//! of it runs out.
//!
//! What is leased is stored as waiting, so it lies at the head of an index and is passed over: at
//! most as much as is under way.

use std::iter::Peekable;

use rusqlite::Rows;

use super::commit::unavailable;
use super::leases::Leases;
use crate::clock::Timestamp;
use crate::id::DeliveryId;
use crate::storage::StorageError;

/// A delivery, by when it can be claimed, and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    pub(super) id: DeliveryId,
    pub(super) seq: i64,
}

/// Tells what waits and what is leased as one, the longest due first.
pub(super) struct InTurn<'a, L: Iterator<Item = Due>> {
    rows: Rows<'a>,
    leases: &'a Leases,
    waiting: Option<Due>,
    of_leases: Peekable<L>,
}

impl<'a, L: Iterator<Item = Due>> InTurn<'a, L> {
    /// Of the rows of a query for `claim_at, id, seq`, and of some of the leases, both in their
    /// order.
    pub(super) fn new(
        rows: Rows<'a>,
        leases: &'a Leases,
        of_leases: L,
    ) -> Result<Self, StorageError> {
        let mut new = Self { rows, leases, waiting: None, of_leases: of_leases.peekable() };
        new.waiting = new.read()?;
        Ok(new)
    }

    pub(super) fn next(&mut self) -> Result<Option<Due>, StorageError> {
        let waiting = self.waiting;
        let is_first = |lease: &Due| waiting.is_none_or(|waiting| *lease < waiting);
        if let Some(lease) = self.of_leases.next_if(is_first) {
            return Ok(Some(lease));
        }
        if waiting.is_some() {
            self.waiting = self.read()?;
        }
        Ok(waiting)
    }

    /// The next row that is not leased.
    fn read(&mut self) -> Result<Option<Due>, StorageError> {
        while let Some(row) = self.rows.next().map_err(unavailable)? {
            let at = Timestamp::from_unix_micros(row.get(0).map_err(unavailable)?);
            // One that is no id is of a row that cannot be read, which is seen when it is.
            let id = DeliveryId::from_bytes(row.get(1).unwrap_or_default());
            if self.leases.get(id).is_none() {
                let seq = row.get(2).map_err(unavailable)?;
                return Ok(Some(Due { at, id, seq }));
            }
        }
        Ok(None)
    }
}
