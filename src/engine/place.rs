//! Place: an attempt's place at its endpoint, left while others are asked for what the attempt
//! takes.
//!
//! In: the [`Slot`] that a claim gave. Out: what came of the attempt, told to the gate. Whoever is
//! slow to give a token or a credential holds up the trigger that needs it, and nobody else there.

use super::Core;
use super::attempt::Finished;
use super::gate::{Asking, Gate, RunId, Slot};
use crate::delivery::{Attempt, EndpointKey, Outcome};

/// A place at an endpoint.
#[derive(Debug)]
pub(super) enum Place {
    /// Held.
    Held(Slot),
    /// Left, to be taken again.
    Left(Left),
    /// None is needed: what goes by hand is counted elsewhere.
    Unlimited,
}

/// Where a place was that was left.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) gate: Gate,
    pub(super) endpoint: EndpointKey,
    pub(super) run: RunId,
}

impl Place {
    /// Leaves it to others for a while.
    pub(super) fn leave(&mut self) {
        *self = match std::mem::replace(self, Self::Unlimited) {
            Self::Held(slot) => Self::Left(slot.left()),
            other => other,
        };
    }

    /// Takes it again, if there is room; tells whether it is held.
    pub(super) fn take_again(&mut self, runs: usize) -> bool {
        let Self::Left(Left { gate, endpoint, run }) = self else { return true };
        let Ok(slot) = gate.enter(endpoint, Asking { run: *run, runs }) else { return false };
        *self = Self::Held(slot);
        true
    }

    /// The run that it is of.
    pub(super) fn run(&self) -> RunId {
        match self {
            Self::Held(slot) => slot.run(),
            Self::Left(left) => left.run,
            Self::Unlimited => RunId::MAX,
        }
    }
}

impl Core {
    /// Tells the endpoint's gate what came of an attempt, or that none was made.
    pub(super) fn report(&self, finished: &[Finished], place: Place) {
        let Place::Held(slot) = place else { return };
        let mut telling = finished.iter().filter(|one| one.tells_of_endpoint);
        match telling.find_map(|one| one.settle.attempts.last()) {
            Some(Attempt { outcome: Outcome::Accepted, .. }) => {
                slot.end(&Outcome::Accepted, true, 0.0);
            }
            Some(attempt) => {
                let said = matches!(attempt.outcome, Outcome::Throttled { .. } | Outcome::Invalid);
                let answered = attempt.status.is_some() || said;
                slot.end(&attempt.outcome, answered, self.entropy.fraction());
            }
            None => slot.unused(),
        }
    }
}
