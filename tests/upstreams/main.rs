//! The upstreams of watches, against registries on loopback that behave well, badly, and worse.

mod crates;
mod helm;
mod hostile;
mod npm;
mod oci;
#[path = "../pointer/mod.rs"]
mod pointer;
mod pypi;
mod server;
mod tokens;

use std::sync::Arc;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::deliverer::Deliverer;
use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::event::{Artifact, Event, Scope};
use artifact_triggers::id::TriggerId;
use artifact_triggers::trigger::Watch;
use artifact_triggers::watch::{Ask, Change, Known, Listed, Upstream, UpstreamError, diff};

thread_local! {
    /// One for each test, which has a thread of its own: to make one takes a while.
    static DELIVERER: Arc<dyn Deliverer> = {
        let policy = AddressPolicy::public_only().allow_loopback().allow_http();
        Arc::new(HttpDeliverer::builder().address_policy(policy).build().unwrap())
    };
}

/// Dials public addresses and this machine.
fn deliverer() -> Arc<dyn Deliverer> {
    DELIVERER.with(Arc::clone)
}

/// A watch that is polled when a test says so.
#[derive(Debug)]
struct Watching<U> {
    upstream: U,
    watch: Watch,
    known: Option<Known>,
}

/// What a poll found.
#[derive(Debug, PartialEq)]
enum Found {
    Unchanged,
    Changes(Vec<Change>),
}

impl<U: Upstream> Watching<U> {
    fn new(upstream: U, package: &str) -> Self {
        Self { upstream, watch: Watch::new("it", package), known: None }
    }

    fn with(mut self, change: impl FnOnce(Watch) -> Watch) -> Self {
        self.watch = change(self.watch);
        self
    }

    async fn poll(&mut self) -> Result<Found, UpstreamError> {
        let root = Scope::root();
        let ask = Ask::new(&self.watch, &root, self.known.as_ref());
        match self.upstream.list(ask).await? {
            Listed::Unchanged => Ok(Found::Unchanged),
            Listed::Versions(listing) => {
                let step = diff(self.known.as_ref(), listing, &self.watch)?;
                // As a storage keeps it.
                self.known = Some(Known::from_text(&step.known.to_text()).unwrap());
                Ok(Found::Changes(step.changes))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Kinds and versions of what a poll finds.
    async fn told(&mut self) -> Vec<String> {
        let changes = self.changes().await;
        changes.iter().map(|change| format!("{} {}", change.kind(), change.version())).collect()
    }

    async fn changes(&mut self) -> Vec<Change> {
        match self.poll().await.unwrap() {
            Found::Changes(changes) => changes,
            Found::Unchanged => panic!("expected a list"),
        }
    }

    async fn error(&mut self) -> UpstreamError {
        self.poll().await.unwrap_err()
    }

    fn event(&self, change: &Change) -> Event {
        let now = Timestamp::now();
        let id = change.event_id(TriggerId::from_bytes([1; 16]), now);
        change.to_event(id, &self.watch, &Scope::root(), now).unwrap()
    }

    /// What an event is about, but for its package URL.
    fn artifact(&self, change: &Change) -> Artifact {
        let mut artifact = self.event(change).artifact.unwrap();
        artifact.purl = None;
        artifact
    }
}
