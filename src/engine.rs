//! The engine: takes events, finds their triggers, delivers, and writes down what came of it.
//!
//! In: events and triggers. Out: deliveries to a [`Deliverer`] or an [`Action`], and their log in a
//! [`Storage`]. The verbs have a file each: `publish`, `claim`, `sign`, `attempt`, `settle`; `run` is
//! the loop over the last four. An attempt signs with and proves itself by its `credentials`, and
//! `exchange` sends it with the `token` that it takes; `batch` puts together what goes in one request,
//! `gate` says how much may.
//!
//! Beside them: what a run publishes by itself (`outbox`), what it follows at each refresh (`triggers`,
//! `endpoints`, `jobs`, `remains`, `backlog`), what operators call (`history`, `prune`, `ping`,
//! `explain`, `stats`, `drain`, `secrets`), and what is remembered (`health`, `pace`, `stalled`,
//! `fetched`). Above the ports, this is the only code of the crate that awaits.

mod attempt;
mod backlog;
mod batch;
mod claim;
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
mod jobs;
mod observe;
mod options;
mod outbox;
mod pace;
mod ping;
mod prune;
mod publish;
mod receive;
mod remains;
mod run;
mod secrets;
mod settle;
mod sign;
mod stalled;
mod stats;
mod token;
mod triggers;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Mutex, Semaphore, watch};

pub use drain::Drained;
pub use endpoints::{PauseError, Paused};
pub use jobs::{BackfillPlan, Job, JobError, Plan, ReplayPlan};
pub use options::{EngineOptions, Overload};
pub use ping::{PingError, Pinged};
pub use publish::{LOOP, PublishError, Published};
pub use receive::{IncomingError, Received};
pub use secrets::{Resealed, Rotated, Updated};
pub use stats::EngineStats;
pub use triggers::TriggerError;

use crate::action::Action;
use crate::clock::{Clock, Timestamp};
#[cfg(not(feature = "http"))]
use crate::deliverer::DeliverError;
use crate::deliverer::Deliverer;
use crate::delivery::EndpointKey;
use crate::document::Problems;
use crate::endpoint::EndpointPolicy;
use crate::entropy::{Entropy, OsEntropy};
use crate::event::Scope;
use crate::id::TriggerId;
use crate::observer::Observer;
use crate::outbox::Outbox;
use crate::provider::{ProviderError, SecretProvider};
use crate::secret::{Secret, SecretSealer};
use crate::signature::Signer;
use crate::storage::{Storage, StorageError};
use batch::Gathering;
use exchange::Given;
use fetched::Fetched;
use gate::{Gate, Policies};
use health::Health;
use observe::{Observers, Overseen};
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
    provided: Fetched<(Scope, String), Result<Secret, ProviderError>>,
    /// The tokens that token endpoints gave.
    tokens: Fetched<TriggerId, Given>,
    /// Replaced as a whole at each change, so that who matches an event waits for nobody.
    known: ArcSwap<Known>,
    /// The last change to a trigger that the index has; locked while changes are applied.
    applied: Mutex<u64>,
    gate: Gate,
    health: Health,
    remains: Remains,
    pace: Pace,
    /// The endpoints that had as much waiting as may be when that was last looked at.
    full: ArcSwap<HashSet<EndpointKey>>,
    gathering: Gathering,
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

/// Why an engine cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Nothing tells the time. With feature `tokio` there is a clock without asking.
    #[error("the engine has no clock")]
    NoClock,
    /// The deliverer that comes without asking cannot be made here.
    #[error("the HTTP deliverer cannot be made")]
    Deliverer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An option has a value that it cannot have.
    #[error("option {option}: expected {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// An endpoint's policy breaks a rule.
    #[error("endpoint policy{}: {problems}", endpoint.as_ref().map_or(String::new(), |key| format!(" of {key}")))]
    Endpoint {
        /// The endpoint, if it is a policy of its own.
        endpoint: Option<EndpointKey>,
        /// What is wrong with it.
        problems: Problems,
    },
    /// The triggers, or what is paused, could not be loaded.
    #[error("the triggers could not be loaded")]
    Storage(#[from] StorageError),
}

/// Makes an [`Engine`].
#[derive(Debug)]
pub struct EngineBuilder {
    storage: Arc<dyn Storage>,
    deliverer: Option<Arc<dyn Deliverer>>,
    actions: HashMap<String, Arc<dyn Action>>,
    signers: HashMap<String, Arc<dyn Signer>>,
    clock: Option<Arc<dyn Clock>>,
    entropy: Arc<dyn Entropy>,
    options: EngineOptions,
    endpoints: Policies,
    observers: Observers,
    outbox: Option<Arc<dyn Outbox>>,
    sealer: Option<Arc<dyn SecretSealer>>,
    sealed_only: bool,
    provider: Option<Arc<dyn SecretProvider>>,
}

impl EngineBuilder {
    /// Sets what carries webhooks. If it is not set, with feature `http` an `HttpDeliverer` that
    /// dials public addresses only; without the feature nothing, and triggers with webhooks are
    /// refused.
    pub fn deliverer(mut self, deliverer: impl Deliverer) -> Self {
        self.deliverer = Some(Arc::new(deliverer));
        self
    }

    /// Registers an action under the name that triggers know it by.
    pub fn action(mut self, name: impl Into<String>, action: impl Action) -> Self {
        self.actions.insert(name.into(), Arc::new(action));
        self
    }

    /// Registers a signer under the name that endpoints know it by, as
    /// [`Scheme::Signer`](crate::signature::Scheme::Signer): for keys that never leave a vault.
    pub fn signer(mut self, name: impl Into<String>, signer: impl Signer) -> Self {
        self.signers.insert(name.into(), Arc::new(signer));
        self
    }

    /// Sets what tells the time. With feature `tokio`, a `TokioClock` if it is not set.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Sets what ids and jitter are drawn from; the operating system if it is not set.
    pub fn entropy(mut self, entropy: impl Entropy) -> Self {
        self.entropy = Arc::new(entropy);
        self
    }

    /// Sets how the engine works.
    pub fn options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    /// Gives one endpoint a policy of its own, in the place of [`EngineOptions::endpoint`].
    ///
    /// The key is what [`Target::key`](crate::trigger::Target::key) says: an origin such as
    /// `https://hooks.example:8443` (without the port if it is the scheme's own), or `action:` and
    /// the name of an action.
    pub fn endpoint(mut self, key: EndpointKey, policy: EndpointPolicy) -> Self {
        self.endpoints.insert(key, Arc::new(policy));
        self
    }

    /// Adds who is told of what the engine does; there may be several, told in the order in which
    /// they were added.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.add(observer);
        self
    }

    /// Sets where events are left by transactions of the embedder's own, to be published while a
    /// [`run`](Engine::run) is there: see the [manual](crate::manual::outbox).
    pub fn outbox(mut self, outbox: impl Outbox) -> Self {
        self.outbox = Some(Arc::new(outbox));
        self
    }

    /// Sets what the secrets of triggers are sealed with before they are stored: see the
    /// [manual](crate::manual::secrets). What was stored before stays readable, and is sealed when it
    /// is written next, or by [`reseal`](Engine::reseal).
    pub fn sealer(mut self, sealer: impl SecretSealer) -> Self {
        self.sealer = Some(Arc::new(sealer));
        self
    }

    /// Takes no webhook trigger that is stored without being sealed: it counts as one that [cannot be
    /// read](Engine::unreadable_triggers). For when all are sealed, so that nobody who can write to the
    /// storage slips one in.
    pub fn sealed_only(mut self) -> Self {
        self.sealed_only = true;
        self
    }

    /// Sets who holds the credentials that triggers only name.
    pub fn secret_provider(mut self, provider: impl SecretProvider) -> Self {
        self.provider = Some(Arc::new(provider));
        self
    }

    /// Makes the engine and loads the triggers.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(self) -> Result<Engine, BuildError> {
        self.options.check()?;
        self.check_endpoints()?;
        let clock = self.clock.map_or_else(default_clock, Ok)?;
        let signal = watch::Sender::new(None);
        let default = self.options.endpoint.clone();
        let observers = Arc::new(self.observers);
        let core = Core {
            storage: Arc::new(Overseen {
                inner: self.storage,
                observers: observers.clone(),
                clock: clock.clone(),
                limit: self.options.longest_call(),
            }),
            deliverer: self.deliverer.map_or_else(default_deliverer, Ok)?,
            actions: self.actions,
            signers: self.signers,
            gate: Gate::new(default, self.endpoints, clock.clone(), signal.clone()),
            clock,
            entropy: self.entropy,
            observers,
            sealer: self.sealer,
            sealed_only: self.sealed_only,
            provider: self.provider,
            provided: Fetched::default(),
            tokens: Fetched::default(),
            known: ArcSwap::default(),
            health: Health::default(),
            remains: Remains::default(),
            pace: Pace::default(),
            full: ArcSwap::default(),
            gathering: Gathering::default(),
            publishing: Semaphore::new(self.options.publishing.min(Semaphore::MAX_PERMITS)),
            publishing_bytes: Semaphore::new(self.options.publishing_bytes / publish::PERMIT_BYTES),
            outbox: self.outbox.map(Source::new),
            pinging: Semaphore::new(self.options.pings.min(Semaphore::MAX_PERMITS)),
            applied: Mutex::new(0),
            pausing: Mutex::new(()),
            claiming: Mutex::new(()),
            due_by: watch::Sender::new(None),
            options: self.options,
            signal,
            runs: watch::Sender::new(0),
            has_new_job: AtomicBool::new(true),
            next_run: AtomicU64::new(0),
        };
        core.refresh().await?;
        core.follow_paused().await?;
        Ok(Engine { core: Arc::new(core) })
    }

    fn check_endpoints(&self) -> Result<(), BuildError> {
        let own = self.endpoints.iter().map(|(key, policy)| (Some(key.clone()), &**policy));
        for (endpoint, policy) in std::iter::once((None, &self.options.endpoint)).chain(own) {
            let refuse = |problems| BuildError::Endpoint { endpoint, problems };
            policy.validate().map_err(refuse)?;
        }
        Ok(())
    }
}

#[cfg(feature = "tokio")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature there is none")]
fn default_clock() -> Result<Arc<dyn Clock>, BuildError> {
    Ok(Arc::new(crate::clock::TokioClock))
}

#[cfg(not(feature = "tokio"))]
fn default_clock() -> Result<Arc<dyn Clock>, BuildError> {
    Err(BuildError::NoClock)
}

#[cfg(feature = "http")]
fn default_deliverer() -> Result<Arc<dyn Deliverer>, BuildError> {
    match crate::deliverer::http::HttpDeliverer::new() {
        Ok(deliverer) => Ok(Arc::new(deliverer)),
        Err(error) => Err(BuildError::Deliverer(Box::new(error))),
    }
}

#[cfg(not(feature = "http"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it may fail")]
fn default_deliverer() -> Result<Arc<dyn Deliverer>, BuildError> {
    Ok(Arc::new(NoDeliverer))
}

/// Stands where nothing carries webhooks.
#[cfg(not(feature = "http"))]
#[derive(Debug)]
struct NoDeliverer;

#[cfg(not(feature = "http"))]
#[async_trait::async_trait]
impl Deliverer for NoDeliverer {
    async fn deliver(
        &self,
        _: crate::request::Request,
    ) -> Result<crate::request::Response, DeliverError> {
        Err(DeliverError::Connect { reason: "this engine has no deliverer".to_owned() })
    }

    fn check_url(&self, _: &crate::event::Scope, _: &url::Url) -> Result<(), String> {
        Err("this engine has no deliverer, so it takes triggers with actions only".to_owned())
    }
}

impl Engine {
    /// Begins an engine on a storage.
    pub fn builder(storage: impl Storage) -> EngineBuilder {
        EngineBuilder {
            storage: Arc::new(storage),
            deliverer: None,
            actions: HashMap::new(),
            signers: HashMap::new(),
            clock: None,
            entropy: Arc::new(OsEntropy),
            options: EngineOptions::default(),
            endpoints: Policies::new(),
            observers: Observers::default(),
            outbox: None,
            sealer: None,
            sealed_only: false,
            provider: None,
        }
    }

    /// Delivers until the engine is shut down, all within this future, on any executor. At its start
    /// and then every [`refresh`](EngineOptions::refresh) it takes in what other nodes changed or
    /// paused, and works at [jobs](Self::jobs). Any number of these may run side by side.
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

    /// Says that somebody else stored something that may be due, so that it is looked for at once: a
    /// hint, for a storage that hears of what other nodes do. Without it, it is found at the next
    /// [refresh](EngineOptions::refresh).
    pub fn wake(&self) {
        self.core.wake();
    }

    /// Ends every [`run`](Self::run): nothing more is claimed, what is in flight has until `limit`,
    /// what is left then is released to be tried again. Events can still be published.
    ///
    /// It is final: a `run` that is begun later ends at once. If the storage does not answer, it takes
    /// up to 10 s longer than the limit.
    ///
    /// It does not wait for what is due and not begun, as [`drain`](Self::drain) does: that stays in
    /// the storage for the next start, or, with a memory storage, is gone with the process.
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

    /// Changes what is known of triggers, for those who ask from now on. To be called while `applied` is locked, or
    /// another change in between would be lost.
    fn change_known(&self, change: impl FnOnce(&mut Known)) {
        let mut known = Known::clone(&self.known.load());
        change(&mut known);
        self.known.store(Arc::new(known));
    }

    fn wake(&self) {
        self.signal.send_modify(|_| ());
    }
}
