//! Shrinking: gives free pages back to the file system, a bounded piece at a time.

use super::commit::{Session, unavailable};
use crate::storage::StorageError;

/// What [`SqliteStorage::shrink`](super::SqliteStorage::shrink) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Shrunk {
    /// How many bytes were given back. Zero, with some left, of a file that was made without the
    /// means for it: a backup of it has them.
    pub given_back: u64,
    /// How many bytes are still free.
    pub left: u64,
}

pub(super) fn shrink(session: &Session, at_most: u64) -> Result<Shrunk, StorageError> {
    let page = number(session, "page_size")?;
    let free = number(session, "freelist_count")?;
    let pages = (at_most / page).min(free);
    // With none, SQLite would give back all.
    if pages > 0 {
        let sql = format!("PRAGMA incremental_vacuum({pages})");
        let mut statement = session.connection.prepare(&sql).map_err(unavailable)?;
        let mut steps = statement.query([]).map_err(unavailable)?;
        // Each step is a page.
        while steps.next().map_err(unavailable)?.is_some() {}
    }
    let left = number(session, "freelist_count")?;
    Ok(Shrunk { given_back: free.saturating_sub(left) * page, left: left * page })
}

fn number(session: &Session, pragma: &str) -> Result<u64, StorageError> {
    let value = session.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    value.map(i64::unsigned_abs).map_err(unavailable)
}
