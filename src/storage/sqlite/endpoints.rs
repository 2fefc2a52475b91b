//! Endpoints that nothing is there of any more, forgotten without keeping the writer waiting.
//!
//! Three steps: the writer forgets which endpoints it looked up; the reader finds those that no
//! delivery has; the writer deletes them, except for those that it has looked up since, which may
//! have got one.

use std::collections::HashSet;

use super::Shared;
use super::commit::{Session, unavailable};
use super::rows::integer;
use crate::storage::StorageError;

/// The most that are forgotten at once.
const MOST: usize = 10_000;

impl Shared {
    /// Forgets endpoints that no delivery has.
    pub(super) async fn forget_endpoints(&self) -> Result<(), StorageError> {
        let rollbacks = self.writer.call(|session| Ok(begin(session))).await?;
        let unused = self.reader.call(|session| unused(session)).await?;
        self.writer.call(move |session| forget(session, &unused, rollbacks)).await
    }
}

/// Forgets which were looked up, and tells how often that was forgotten otherwise.
fn begin(session: &mut Session) -> u64 {
    session.endpoints.clear();
    session.rollbacks
}

fn unused(session: &Session) -> Result<Vec<i64>, StorageError> {
    let sql = "SELECT id FROM endpoints WHERE id NOT IN (SELECT endpoint FROM deliveries) LIMIT ?1";
    let mut statement = session.prepare(sql)?;
    let found = statement.query_map([integer(MOST)], |row| row.get(0));
    found.and_then(Iterator::collect).map_err(unavailable)
}

fn forget(session: &mut Session, unused: &[i64], rollbacks: u64) -> Result<(), StorageError> {
    // Which were looked up since is not known.
    if session.rollbacks != rollbacks {
        return Ok(());
    }
    let used: HashSet<i64> = session.endpoints.values().copied().collect();
    for id in unused.iter().filter(|id| !used.contains(id)) {
        session
            .prepare("DELETE FROM endpoints WHERE id = ?1")?
            .execute([id])
            .map_err(unavailable)?;
        if let Some(known) = session.first_due.borrow_mut().as_mut() {
            known.remove(id);
        }
    }
    Ok(())
}
