//! Builder: what an engine is made of, and the checks before there is one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Semaphore, watch};

use super::agenda::Agenda;
use super::batch::Gathering;
use super::coalesce::Deciding;
use super::fetched::Fetched;
use super::gate::{Gate, Policies};
use super::health::Health;
#[cfg(feature = "oidc")]
use super::key_sets::KeySets;
use super::observe::{Observers, Overseen};
use super::outbox::Source;
use super::pace::Pace;
use super::publish::PERMIT_BYTES;
use super::remains::Remains;
use super::{Core, Engine, EngineOptions};
use crate::action::Action;
use crate::clock::Clock;
#[cfg(not(feature = "http"))]
use crate::deliverer::DeliverError;
use crate::deliverer::Deliverer;
use crate::delivery::EndpointKey;
use crate::document::Problems;
use crate::endpoint::EndpointPolicy;
use crate::entropy::{Entropy, OsEntropy};
use crate::observer::Observer;
use crate::outbox::Outbox;
use crate::provider::SecretProvider;
use crate::secret::SecretSealer;
use crate::signature::Signer;
use crate::storage::{Storage, StorageError};
use crate::watch::Upstream;

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
    upstreams: HashMap<String, Arc<dyn Upstream>>,
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

    /// Registers an upstream under the name that watches know it by: see the
    /// [manual](crate::manual::watches).
    pub fn upstream(mut self, name: impl Into<String>, upstream: impl Upstream) -> Self {
        self.upstreams.insert(name.into(), Arc::new(upstream));
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
    /// [manual](crate::manual::secrets). What was stored before stays readable, and is sealed when
    /// it is written next, or by [`reseal`](Engine::reseal).
    pub fn sealer(mut self, sealer: impl SecretSealer) -> Self {
        self.sealer = Some(Arc::new(sealer));
        self
    }

    /// Takes no webhook trigger that is stored without being sealed: it counts as one that
    /// [cannot be read](Engine::unreadable_triggers). For when all are sealed, so that nobody who
    /// can write to the storage slips one in.
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
            upstreams: self.upstreams,
            gate: Gate::new(default, self.endpoints, clock.clone(), signal.clone()),
            clock,
            entropy: self.entropy,
            observers,
            sealer: self.sealer,
            sealed_only: self.sealed_only,
            provider: self.provider,
            provided: Fetched::default(),
            tokens: Fetched::default(),
            #[cfg(feature = "oidc")]
            key_sets: KeySets::default(),
            known: ArcSwap::default(),
            health: Health::default(),
            remains: Remains::default(),
            #[cfg(feature = "schedule")]
            schedules: Agenda::default(),
            watches: Agenda::default(),
            pace: Pace::default(),
            full: ArcSwap::default(),
            gathering: Gathering::default(),
            deciding: Deciding::default(),
            publishing: Semaphore::new(self.options.publishing.min(Semaphore::MAX_PERMITS)),
            publishing_bytes: Semaphore::new(self.options.publishing_bytes / PERMIT_BYTES),
            outbox: self.outbox.map(Source::new),
            pinging: Semaphore::new(self.options.pings.min(Semaphore::MAX_PERMITS)),
            applied: Mutex::new(0),
            pausing: Mutex::new(()),
            changing: Mutex::new(()),
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
            upstreams: HashMap::new(),
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
}
