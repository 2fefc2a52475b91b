//! Endpoints: what operators see of them and do to them.

use serde::Serialize;

use super::Engine;
use crate::delivery::EndpointKey;
use crate::endpoint::EndpointStatus;

/// What is paused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Paused {
    /// Whether everything is.
    pub all: bool,
    /// The endpoints that are paused one by one.
    pub endpoints: Vec<EndpointKey>,
}

impl Engine {
    /// What is known of each endpoint that this engine has to do with now: those that have
    /// something in flight, whose outcomes still count, that are held back, paused, or have a policy
    /// of their own. In the order of their keys.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.core.gate.status(self.core.clock.now())
    }

    /// Begins no delivery to an endpoint until it is [resumed](Self::resume). What is in flight
    /// ends; what is due waits, and uses up no attempt. Counts for this engine, until its process
    /// ends.
    pub fn pause(&self, endpoint: EndpointKey) {
        self.core.gate.pause(endpoint);
    }

    /// Ends the [pause](Self::pause) of an endpoint.
    pub fn resume(&self, endpoint: &EndpointKey) {
        self.core.gate.resume(endpoint);
    }

    /// Begins no delivery at all until [`resume_all`](Self::resume_all), as
    /// [`pause`](Self::pause) does for one endpoint.
    pub fn pause_all(&self) {
        self.core.gate.pause_all(true);
    }

    /// Ends [`pause_all`](Self::pause_all). Endpoints that were paused one by one stay so.
    pub fn resume_all(&self) {
        self.core.gate.pause_all(false);
    }

    /// What is paused.
    pub fn paused(&self) -> Paused {
        let (endpoints, all) = self.core.gate.paused();
        Paused { all, endpoints }
    }
}
