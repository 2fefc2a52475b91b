//! What an endpoint may be given: its policy, its rate, its breaker, and all of it together.

mod breaker;
mod invariants;
mod policy;
mod rate;

use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{EndpointKey, Outcome};
use artifact_triggers::endpoint::{EndpointPolicy, EndpointState, EndpointStatus};

/// An endpoint and a time.
#[derive(Clone)]
struct Place {
    state: EndpointState,
    now: Timestamp,
}

impl Place {
    fn new(policy: EndpointPolicy) -> Self {
        policy.validate().unwrap();
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        Self { state: EndpointState::new(Arc::new(policy)), now }
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    fn room(&mut self) -> usize {
        self.state.room(self.now)
    }

    fn status(&mut self) -> EndpointStatus {
        self.state.status(EndpointKey::new("https://hooks.example"), self.now)
    }

    /// One attempt that begins and ends now.
    fn attempt(&mut self, outcome: &Outcome) {
        let permit = self.state.begin(self.now);
        self.state.end(permit, Some(outcome), self.now, 0.0);
    }

    fn attempts(&mut self, count: usize, outcome: &Outcome) {
        for _ in 0..count {
            self.attempt(outcome);
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
