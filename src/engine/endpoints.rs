//! Endpoints: what operators see of them and do to them.
//!
//! What is paused stands in a cursor of the storage. Each engine reads it as it starts and at each
//! refresh, and has a copy in its [gate](super::gate), where claims look.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Core, Engine};
use crate::delivery::EndpointKey;
use crate::endpoint::EndpointStatus;
use crate::storage::StorageError;

/// Where it stands what is paused.
const CURSOR: &str = "paused";
/// The most endpoints that are paused one by one.
const MAX_PAUSED: usize = 1_000;

/// What is paused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Paused {
    /// Whether everything is.
    #[serde(default)]
    pub all: bool,
    /// The endpoints that are paused one by one, in the order of their keys.
    #[serde(default)]
    pub endpoints: BTreeSet<EndpointKey>,
}

/// Why nothing was paused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PauseError {
    /// So many endpoints are paused already; resume one, or pause everything.
    #[error("expected at most {MAX_PAUSED} endpoints to be paused one by one")]
    TooMany,
    /// The storage did not take it; or it did and its answer is lost, then it is paused at the next
    /// refresh.
    #[error("the pause could not be stored")]
    Storage(#[from] StorageError),
}

impl Engine {
    /// What is known of each endpoint that this engine has to do with now: those that have
    /// something in flight, whose outcomes still count, that are held back, paused, or have a
    /// policy of their own. In the order of their keys.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.core.gate.status(self.core.clock.now())
    }

    /// Begins no delivery to an endpoint until it is [resumed](Self::resume). What is in flight
    /// ends; what is due waits, and uses up no attempt. Counts for this engine at once, for others
    /// on the same storage within their [`refresh`](super::EngineOptions::refresh), and after a
    /// restart.
    ///
    /// # Errors
    /// [`PauseError`].
    pub async fn pause(&self, endpoint: EndpointKey) -> Result<(), PauseError> {
        let pause = |paused: &mut Paused| {
            paused.endpoints.insert(endpoint.clone());
            paused.endpoints.len() <= MAX_PAUSED
        };
        if self.core.change_paused(pause).await? { Ok(()) } else { Err(PauseError::TooMany) }
    }

    /// Ends the [pause](Self::pause) of an endpoint, likewise.
    ///
    /// # Errors
    /// The storage's.
    pub async fn resume(&self, endpoint: &EndpointKey) -> Result<(), StorageError> {
        let resume = |paused: &mut Paused| {
            paused.endpoints.remove(endpoint);
            true
        };
        self.core.change_paused(resume).await.map(drop)
    }

    /// Begins no delivery at all until [`resume_all`](Self::resume_all), as
    /// [`pause`](Self::pause) does for one endpoint.
    ///
    /// # Errors
    /// The storage's.
    pub async fn pause_all(&self) -> Result<(), StorageError> {
        self.core.pause_all(true).await
    }

    /// Ends [`pause_all`](Self::pause_all). Endpoints that were paused one by one stay so.
    ///
    /// # Errors
    /// The storage's.
    pub async fn resume_all(&self) -> Result<(), StorageError> {
        self.core.pause_all(false).await
    }

    /// What is paused, as this engine knows it.
    pub fn paused(&self) -> Paused {
        self.core.gate.paused()
    }
}

impl Core {
    async fn pause_all(&self, all: bool) -> Result<(), StorageError> {
        let set = |paused: &mut Paused| {
            paused.all = all;
            true
        };
        self.change_paused(set).await.map(drop)
    }

    /// Changes what is paused, in the storage and then here. Tells whether the change is allowed.
    async fn change_paused(
        &self,
        change: impl Fn(&mut Paused) -> bool + Send + Sync,
    ) -> Result<bool, StorageError> {
        // Held throughout: else an older state that was read meanwhile might take the place of it.
        let _in_order = self.pausing.lock().await;
        let changed = self.change_cursor(CURSOR, |cursor| {
            let mut paused = read(cursor).unwrap_or_else(|_| unreadable());
            Ok(change(&mut paused).then(|| (print(&paused), paused)))
        });
        let changed = changed.await?;
        let is_allowed = changed.is_some();
        if let Some(paused) = changed {
            self.gate.set_paused(&paused);
        }
        Ok(is_allowed)
    }

    /// Takes in what other nodes paused, or what was before a restart.
    pub(super) async fn follow_paused(&self) -> Result<(), StorageError> {
        let _in_order = self.pausing.lock().await;
        let cursor = self.read_cursor(CURSOR).await?;
        let paused = read(cursor.as_deref()).unwrap_or_else(|reason| {
            self.tell_damaged(format!("what is paused: {reason}"));
            unreadable()
        });
        self.gate.set_paused(&paused);
        Ok(())
    }
}

/// What a cursor says that nobody can read: who knows what it keeps back.
fn unreadable() -> Paused {
    Paused { all: true, endpoints: BTreeSet::new() }
}

fn read(cursor: Option<&str>) -> Result<Paused, serde_json::Error> {
    cursor.map_or(Ok(Paused::default()), serde_json::from_str)
}

/// None if nothing is paused.
fn print(paused: &Paused) -> Option<String> {
    let is_any = *paused != Paused::default();
    is_any.then(|| serde_json::to_string(paused).expect("a truth value and texts are JSON"))
}
