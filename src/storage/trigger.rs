//! Triggers as a storage takes and tells them: changes to make, and changes that were made.

use std::sync::Arc;

use crate::id::TriggerId;
use crate::trigger::Trigger;

/// A change to make to a trigger.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TriggerWrite {
    /// Store a new one.
    Create(Arc<Trigger>),
    /// Store a new revision in the place of the one before it.
    Update(Arc<Trigger>),
    /// Delete one, whatever its revision.
    Delete(TriggerId),
}

/// A change that was made to a trigger.
#[derive(Debug, Clone)]
pub struct TriggerChange {
    /// Its place in the order of changes, from 1 on.
    pub sequence: u64,
    /// Which trigger it was.
    pub id: TriggerId,
    /// What has become of it.
    pub trigger: TriggerState,
}

/// What a trigger is since a change.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TriggerState {
    /// It is there.
    Stored(Arc<Trigger>),
    /// It was deleted.
    Deleted,
    /// It is there, and cannot be read. The engine matches no event with it, parks what waits for
    /// it, and goes on with the rest.
    Unreadable {
        /// What is wrong, for an operator.
        reason: String,
    },
}

impl TriggerState {
    /// What is stored under an id, from what [`Trigger::expose_json`] wrote.
    pub fn read(id: TriggerId, json: &[u8]) -> Self {
        match Trigger::from_exposed_json(json) {
            Ok(trigger) if trigger.id == id => Self::Stored(Arc::new(trigger)),
            Ok(other) => Self::Unreadable { reason: format!("it is trigger {}", other.id) },
            Err(problems) => Self::Unreadable { reason: problems.to_string() },
        }
    }
}

/// There, or deleted: the two that a storage which keeps triggers in memory knows.
impl From<Option<Arc<Trigger>>> for TriggerState {
    fn from(trigger: Option<Arc<Trigger>>) -> Self {
        trigger.map_or(Self::Deleted, Self::Stored)
    }
}
