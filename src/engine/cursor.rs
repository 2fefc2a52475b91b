//! Cursors in which the nodes of a storage share something small: changed by comparing what is
//! there.

use super::Core;
use super::observe::Publishing;
use crate::observer::{Publisher, StorageCall, Transition};
use crate::storage::{CursorMove, Record, Recorded, StorageError};

/// How often a change is made anew when one of another node comes in between.
const TRIES: usize = 16;

impl Core {
    pub(super) async fn read_cursor(&self, key: &str) -> Result<Option<String>, StorageError> {
        let cursors = self.storage.cursors(vec![key.to_owned()]).await?;
        Ok(cursors.into_iter().next().flatten())
    }

    /// Changes a cursor, anew if another node changes it in between; `None` leaves it as it is.
    pub(super) async fn change_cursor<T>(
        &self,
        key: &str,
        change: impl Fn(Option<&str>) -> Result<Option<(Option<String>, T)>, StorageError> + Send,
    ) -> Result<Option<T>, StorageError> {
        let _alone = self.changing.lock().await;
        for _ in 0..TRIES {
            let expected = self.read_cursor(key).await?;
            let Some((value, changed)) = change(expected.as_deref())? else { return Ok(None) };
            let moved = CursorMove::Set { key: key.to_owned(), expected, value };
            let by = Publishing { by: Publisher::Engine, since: self.clock.now() };
            let recorded = self.record(vec![Record::of_cursors(vec![moved])], by).await?;
            if recorded == [Recorded::Stored] {
                return Ok(Some(changed));
            }
        }
        let reason = format!("cursor {key:?} changed {TRIES} times in between");
        Err(StorageError::Conflict { reason })
    }

    /// Tells that a cursor cannot be read.
    pub(super) fn tell_damaged(&self, reason: String) {
        let error = StorageError::Corrupt { reason };
        let call = StorageCall::Cursors;
        self.observers.tell(&Transition::StorageFailed { call, error: &error });
    }
}
