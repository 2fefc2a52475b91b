//! Options: how an engine works.

use std::time::Duration;

use super::BuildError;
use super::publish::PERMIT_BYTES;
use crate::endpoint::{EndpointPolicy, Rate};
use crate::trigger::filter::FilterLimits;

/// How an engine works.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineOptions {
    /// How many deliveries one [`run`](super::Engine::run) attempts at once, those aside that have
    /// waited for an answer for longer than a quarter of a second.
    pub concurrency: usize,
    /// How many attempts one [`run`](super::Engine::run) may have besides that have waited for an
    /// answer for longer than a quarter of a second: endpoints that hang do not keep the others
    /// waiting.
    pub stalled: usize,
    /// What each endpoint may be given by all `run`s together, unless it has a policy of its own
    /// ([`EngineBuilder::endpoint`](super::EngineBuilder::endpoint)).
    pub endpoint: EndpointPolicy,
    /// How long a worker has the right to a delivery. If it is lost, another takes over after this.
    /// A webhook's time-out must be at most half of it; an action may take longer, its lease is
    /// extended.
    pub lease: Duration,
    /// How often a [`run`](super::Engine::run) looks for triggers that other nodes changed and jobs
    /// that they began.
    pub refresh: Duration,
    /// How long a call of the storage may take, but at most a quarter of the lease; then it counts
    /// as failed.
    pub storage_timeout: Duration,
    /// An event with so many hops behind it is recorded and goes to no trigger: it goes round in a
    /// loop.
    pub max_hops: usize,
    /// How many events of each scope are delivered in a span of time, at most, whatever they are
    /// about; those beyond are due later. No limit if `None`.
    pub scope_rate: Option<Rate>,
    /// How many triggers one event may go to; one that would go to more is refused.
    pub max_fan_out: usize,
    /// How many events may be on their way into the storage at once.
    pub publishing: usize,
    /// How many bytes they may have at once, with what is sent of them, about. An event that has
    /// more goes alone. Counted in KiB.
    pub publishing_bytes: usize,
    /// How often a [`run`](super::Engine::run) looks whether something was left in the
    /// [outbox](super::EngineBuilder::outbox), while nothing is.
    pub outbox_interval: Duration,
    /// How many [pings](super::Engine::ping) may be under way at once.
    pub pings: usize,
    /// What becomes of an event that is published, or a ping, while there are so many.
    pub overload: Overload,
    /// How many deliveries may be waiting or leased for one endpoint, as a
    /// [`run`](super::Engine::run) found it at its last [`refresh`](Self::refresh); what is
    /// published for it beyond is [parked](crate::delivery::State::Parked). No limit if `None`.
    pub max_backlog: Option<u64>,
    /// How large the filters of triggers may be that this engine stores.
    pub filter_limits: FilterLimits,
    /// How long what a [secret provider](super::EngineBuilder::secret_provider) gave is kept, in
    /// memory.
    pub provider_cache: Duration,
    /// How long a secret provider may take, but at most a quarter of the lease.
    pub provider_timeout: Duration,
}

impl Default for EngineOptions {
    /// 256 at once, to an endpoint what the default [`EndpointPolicy`] says, leases of 60 s, a look
    /// for changed triggers every 5 s, and filters as large as they can be.
    fn default() -> Self {
        Self {
            concurrency: 256,
            stalled: 1_024,
            endpoint: EndpointPolicy::default(),
            lease: Duration::from_secs(60),
            refresh: Duration::from_secs(5),
            storage_timeout: Duration::from_secs(15),
            max_hops: 16,
            scope_rate: None,
            max_fan_out: 10_000,
            publishing: 4_096,
            publishing_bytes: 256 * 1024 * 1024,
            outbox_interval: Duration::from_millis(250),
            pings: 64,
            overload: Overload::Wait,
            max_backlog: None,
            filter_limits: FilterLimits::default(),
            provider_cache: Duration::from_secs(60),
            provider_timeout: Duration::from_secs(5),
        }
    }
}

impl EngineOptions {
    /// Sets how many deliveries one `run` attempts at once.
    pub fn with_concurrency(mut self, deliveries: usize) -> Self {
        self.concurrency = deliveries;
        self
    }

    /// Sets how many attempts one `run` may have besides that have waited long for an answer.
    pub fn with_stalled(mut self, attempts: usize) -> Self {
        self.stalled = attempts;
        self
    }

    /// Sets what each endpoint may be given.
    pub fn with_endpoint(mut self, policy: EndpointPolicy) -> Self {
        self.endpoint = policy;
        self
    }

    /// Sets how long a worker has the right to a delivery.
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how often the engine looks for triggers that other nodes changed.
    pub fn with_refresh(mut self, interval: Duration) -> Self {
        self.refresh = interval;
        self
    }

    /// Sets how long a call of the storage may take.
    pub fn with_storage_timeout(mut self, timeout: Duration) -> Self {
        self.storage_timeout = timeout;
        self
    }

    /// Sets with how many hops behind it an event goes to no trigger.
    pub fn with_max_hops(mut self, hops: usize) -> Self {
        self.max_hops = hops;
        self
    }

    /// Sets how many events of each scope are delivered in a span of time, at most.
    pub fn with_scope_rate(mut self, rate: Rate) -> Self {
        self.scope_rate = Some(rate);
        self
    }

    /// Sets how many triggers one event may go to.
    pub fn with_max_fan_out(mut self, triggers: usize) -> Self {
        self.max_fan_out = triggers;
        self
    }

    /// Sets how many events may be on their way into the storage at once, and what becomes of more.
    pub fn with_publishing(mut self, events: usize, overload: Overload) -> Self {
        self.publishing = events;
        self.overload = overload;
        self
    }

    /// Sets how many bytes may be on their way into the storage at once.
    pub fn with_publishing_bytes(mut self, bytes: usize) -> Self {
        self.publishing_bytes = bytes;
        self
    }

    /// Sets how often it is looked whether something was left in the outbox.
    pub fn with_outbox_interval(mut self, interval: Duration) -> Self {
        self.outbox_interval = interval;
        self
    }

    /// Sets how many pings may be under way at once.
    pub fn with_pings(mut self, pings: usize) -> Self {
        self.pings = pings;
        self
    }

    /// Sets how many deliveries may be waiting or leased for one endpoint.
    pub fn with_max_backlog(mut self, deliveries: u64) -> Self {
        self.max_backlog = Some(deliveries);
        self
    }

    /// Sets how large the filters of new and changed triggers may be.
    pub fn with_filter_limits(mut self, limits: FilterLimits) -> Self {
        self.filter_limits = limits;
        self
    }

    /// Sets how long what a secret provider gave is kept.
    pub fn with_provider_cache(mut self, span: Duration) -> Self {
        self.provider_cache = span;
        self
    }

    /// Sets how long a secret provider may take.
    pub fn with_provider_timeout(mut self, timeout: Duration) -> Self {
        self.provider_timeout = timeout;
        self
    }

    /// How long a secret provider may take: the attempt that follows has half of the lease.
    pub(super) fn longest_ask(&self) -> Duration {
        self.provider_timeout.min(self.lease / 4)
    }

    /// The longest time-out of an attempt that a lease leaves room for.
    pub(crate) fn longest_timeout(&self) -> Duration {
        self.lease / 2
    }

    /// How long a call of the storage may take: a lease is extended after a third of its time, and
    /// that may fail once.
    pub(super) fn longest_call(&self) -> Duration {
        self.storage_timeout.min(self.lease / 4)
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        let refuse = |option, expected| Err(BuildError::Option { option, expected });
        if self.concurrency == 0 {
            return refuse("concurrency", "1 or more");
        }
        for (option, span) in
            [("storage_timeout", self.storage_timeout), ("provider_timeout", self.provider_timeout)]
        {
            if span.is_zero() {
                return refuse(option, "more than nothing");
            }
        }
        if self.lease < Duration::from_secs(2) {
            return refuse("lease", "2 s or more");
        }
        for (option, value) in [
            ("publishing", self.publishing),
            ("pings", self.pings),
            ("max_hops", self.max_hops),
            ("max_fan_out", self.max_fan_out),
        ] {
            if value == 0 {
                return refuse(option, "1 or more");
            }
        }
        if self.max_backlog == Some(0) {
            return refuse("max_backlog", "1 or more");
        }
        if self.publishing_bytes < PERMIT_BYTES {
            return refuse("publishing_bytes", "1,024 or more");
        }
        for (option, span) in [("refresh", self.refresh), ("outbox_interval", self.outbox_interval)]
        {
            if span.is_zero() {
                return refuse(option, "more than nothing");
            }
        }
        Ok(())
    }
}

/// What becomes of an event that is published while as much as may be is on its way into the
/// storage, and of a ping while as many as may be are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overload {
    /// It waits until there is room.
    #[default]
    Wait,
    /// It is refused, as [`PublishError::Overloaded`](super::PublishError::Overloaded).
    Refuse,
}
