//! Why a storage did not do as asked, and what the engine does then.

use crate::id::TriggerId;
use crate::trigger::Trigger;

/// Why a storage did not do as asked.
///
/// A call that has not answered within the engine's `storage_timeout` (15 s) is dropped, and counts
/// as [`Unavailable`](Self::Unavailable).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The backend did not answer, or not in a way that says what happened: the call has taken
    /// effect or not, whole either way. A run makes it again with back-off; a caller is told.
    #[error("the storage is unavailable: {reason}")]
    Unavailable {
        /// What happened, for an operator.
        reason: String,
    },
    /// Somebody else changed it first, or its name is taken; nothing was changed. The engine reads
    /// it again and decides anew, or tells the caller.
    #[error("conflict: {reason}")]
    Conflict {
        /// What is in conflict.
        reason: String,
    },
    /// It is not there; nothing was changed. The caller is told.
    #[error("{what} does not exist")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// What is stored cannot be read. The engine goes on without it where it can, and tells
    /// observers; an operator has to look. For damage to one item among others there are gentler
    /// answers: rules 7, 12 and 14.
    #[error("what is stored cannot be read: {reason}")]
    Corrupt {
        /// What is wrong.
        reason: String,
    },
}

/// The errors that every storage words alike.
impl StorageError {
    /// A trigger that is not there.
    pub fn no_trigger(id: TriggerId) -> Self {
        Self::NotFound { what: format!("trigger {id}") }
    }

    /// A trigger to create whose id is there already.
    pub fn id_taken(id: TriggerId) -> Self {
        Self::Conflict { reason: format!("trigger {id} exists already") }
    }

    /// A trigger that is not at the revision that the update was made from.
    pub fn changed(id: TriggerId, expected: u64, found: u64) -> Self {
        let reason = format!("trigger {id} is at revision {found}, the update is from {expected}");
        Self::Conflict { reason }
    }

    /// A trigger whose name another one of its scope has.
    pub fn name_taken(trigger: &Trigger) -> Self {
        let (name, scope) = (&trigger.spec.name, &trigger.spec.scope);
        let reason = format!("the name {name:?} is taken in scope {scope:?}");
        Self::Conflict { reason }
    }
}
