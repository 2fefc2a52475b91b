//! The engine: takes events, finds their triggers, delivers, and writes down what came of it.
//!
//! In: events and triggers. Out: deliveries to a [`Deliverer`] or an [`Action`], and their log in a
//! [`Storage`]. The verbs have a file each: `publish`, `claim`, `sign`, `attempt`, `settle`; `run`
//! is the loop over the last four. An attempt signs with and proves itself by its `credentials`,
//! and `exchange` sends it with the `token` that it takes; `batch` puts together what goes in one
//! request, `gate` says how much may, `hold` decides which deliveries stand for others.
//!
//! Beside them: what a run publishes by itself (`outbox`; `tick` what schedules fire, `poll` what
//! watches find, both from the `agenda`), what actions give back (`act`), what it follows at each
//! refresh (`triggers`, `endpoints`, `jobs`, `remains`, `backlog`), what operators call (`history`,
//! `activity`, `prune`, `ping`, `explain`, `stats`, `drain`, `secrets`), what a registry waits for
//! (`admission`), what comes in (`receive`, `inbox`), and what is remembered (`health`, `pace`,
//! `stalled`, `fetched`). Above the ports, this is the only code of the crate that awaits.

mod act;
mod activity;
mod admission;
mod agenda;
mod attempt;
mod backlog;
mod batch;
mod builder;
mod claim;
mod coalesce;
mod credentials;
mod cursor;
mod drain;
mod endpoints;
mod exchange;
mod explain;
mod fetched;
mod gate;
mod health;
mod hidden;
mod history;
pub mod inbox;
mod jobs;
#[cfg(feature = "oidc")]
mod key_sets;
mod observe;
mod options;
mod outbox;
mod pace;
mod ping;
mod place;
mod poll;
mod prune;
mod publish;
mod receive;
mod remains;
mod run;
mod secrets;
mod settle;
mod sign;
mod slots;
mod stalled;
mod stats;
#[cfg(feature = "schedule")]
mod tick;
mod token;
mod triggers;
mod unmade;
mod watch_state;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Mutex, Semaphore, watch};

pub use activity::{Activity, ActivityOptions, DeliveryActivity, Miss};
pub use admission::{Admission, ScanGate, ScanGateOptions};
pub use builder::{BuildError, EngineBuilder};
pub use drain::Drained;
pub use endpoints::{PauseError, Paused};
pub use jobs::{BackfillPlan, Job, JobError, Plan, ReplayPlan};
pub use options::{EngineOptions, Overload};
pub use ping::{PingError, Pinged};
pub use publish::{LOOP, PublishError, Published};
pub use receive::{IncomingError, Received};
pub use secrets::{Resealed, Rotated, Updated};
pub use stats::EngineStats;
#[cfg(feature = "schedule")]
pub use tick::Upcoming;
pub use triggers::TriggerError;
pub use watch_state::WatchState;

use crate::action::Action;
use crate::clock::{Clock, Timestamp};
use crate::deliverer::Deliverer;
use crate::delivery::EndpointKey;
use crate::entropy::Entropy;
use crate::id::TriggerId;
use crate::provider::{ProviderError, SecretProvider};
use crate::secret::{Secret, SecretSealer};
use crate::signature::Signer;
use crate::storage::Storage;
use crate::watch::Upstream;
use agenda::Agenda;
use batch::Gathering;
use coalesce::Deciding;
use exchange::Given;
use fetched::Fetched;
use gate::Gate;
use health::Health;
#[cfg(feature = "oidc")]
use key_sets::KeySets;
use observe::Observers;
use outbox::Source;
use pace::Pace;
use remains::Remains;
use triggers::Known;

/// Takes events and sees to it that each trigger's target hears of them.
///
/// Clones share one engine. [`run`](Self::run) does the delivering: any number of them may run side
/// by side; without one, everything is recorded and nothing delivered.
#[derive(Debug, Clone)]
pub struct Engine {
    core: Arc<Core>,
}

/// What all parts of an engine share.
#[derive(Debug)]
struct Core {
    storage: Arc<dyn Storage>,
    deliverer: Arc<dyn Deliverer>,
    actions: HashMap<String, Arc<dyn Action>>,
    signers: HashMap<String, Arc<dyn Signer>>,
    upstreams: HashMap<String, Arc<dyn Upstream>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    options: EngineOptions,
    observers: Arc<Observers>,
    /// What secrets are sealed with before they are stored.
    sealer: Option<Arc<dyn SecretSealer>>,
    /// Whether a trigger that is not sealed counts as one that cannot be read.
    sealed_only: bool,
    provider: Option<Arc<dyn SecretProvider>>,
    /// What the provider gave, by scope and name.
    provided: Fetched<credentials::Asked, Result<Secret, ProviderError>>,
    /// The tokens that token endpoints gave.
    tokens: Fetched<TriggerId, Given>,
    /// The keys that issuers publish.
    #[cfg(feature = "oidc")]
    key_sets: KeySets,
    /// Replaced as a whole at each change, so that who matches an event waits for nobody.
    known: ArcSwap<Known>,
    /// The last change to a trigger that the index has; locked while changes are applied.
    applied: Mutex<u64>,
    gate: Gate,
    health: Health,
    remains: Remains,
    /// The triggers that have a schedule.
    #[cfg(feature = "schedule")]
    schedules: Agenda,
    /// The triggers that have a watch.
    watches: Agenda,
    pace: Pace,
    /// The endpoints that had as much waiting as may be when that was last looked at.
    full: ArcSwap<HashSet<EndpointKey>>,
    gathering: Gathering,
    deciding: Deciding,
    /// A permit for each event that may be on its way into the storage.
    publishing: Semaphore,
    /// A permit for each [`PERMIT_BYTES`](publish::PERMIT_BYTES) that they may have.
    publishing_bytes: Semaphore,
    /// Where events are left to be published, if there is such a place.
    outbox: Option<Source>,
    /// A permit for each ping that may be under way.
    pinging: Semaphore,
    /// Held while what is paused is read or changed.
    pausing: Mutex<()>,
    /// Held while a cursor of the engine's own is changed, so that the changes of one engine wait
    /// for each other and only those of other nodes can come in between.
    changing: Mutex<()>,
    /// Held while deliveries are claimed, so that what one claims is counted before another asks.
    claiming: Mutex<()>,
    /// By when what is claimed has to have come due, during a drain.
    due_by: watch::Sender<Option<Timestamp>>,
    /// Told whenever there may be something new to claim; holds the end of a shutdown.
    signal: watch::Sender<Option<Timestamp>>,
    /// How many `run`s there are.
    runs: watch::Sender<usize>,
    /// Whether a job was begun that no run has seen.
    has_new_job: AtomicBool,
    /// What the next `run` is told apart by.
    next_run: AtomicU64,
}

impl Engine {
    /// Delivers until the engine is shut down, all within this future, on any executor. At its
    /// start and then every [`refresh`](EngineOptions::refresh) it takes in what other nodes
    /// changed or paused, and works at [jobs](Self::jobs). Any number of these may run side by
    /// side.
    ///
    /// # Cancel safety
    /// A `run` that is dropped abandons its attempts: their deliveries are tried again once their
    /// leases run out. Use [`shutdown`](Self::shutdown) to end well.
    pub async fn run(&self) {
        run::run(&self.core).await;
    }

    /// Delivers in the background, on the tokio runtime, by so many runs side by side, until the
    /// engine is shut down. One keeps about one core busy.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(feature = "tokio")]
    pub fn spawn(&self, runs: usize) {
        for _ in 0..runs {
            let engine = self.clone();
            tokio::spawn(async move { engine.run().await });
        }
    }

    /// Says that somebody else stored something that may be due, so that it is looked for at once:
    /// a hint, for a storage that hears of what other nodes do. Without it, it is found at the next
    /// [refresh](EngineOptions::refresh).
    pub fn wake(&self) {
        self.core.wake();
    }

    /// Ends every [`run`](Self::run): nothing more is claimed, what is in flight has until `limit`,
    /// what is left then is released to be tried again. Events can still be published.
    ///
    /// It is final: a `run` that is begun later ends at once. If the storage does not answer, it
    /// takes up to 10 s longer than the limit.
    ///
    /// It does not wait for what is due and not begun, as [`drain`](Self::drain) does: that stays
    /// in the storage for the next start, or, with a memory storage, is gone with the process.
    pub async fn shutdown(&self, limit: Duration) {
        self.core.signal.send_replace(Some(self.core.clock.now() + limit));
        let mut runs = self.core.runs.subscribe();
        // The sender lives in the core, so waiting cannot fail.
        let _ = runs.wait_for(|runs| *runs == 0).await;
    }
}

impl Core {
    /// The triggers as they are now.
    fn known(&self) -> Guard<Arc<Known>> {
        self.known.load()
    }

    /// Changes what is known of triggers; with `applied` locked, or another change in between is
    /// lost.
    fn change_known(&self, change: impl FnOnce(&mut Known)) {
        let mut known = Known::clone(&self.known.load());
        change(&mut known);
        self.known.store(Arc::new(known));
    }

    fn wake(&self) {
        self.signal.send_modify(|_| ());
    }
}
