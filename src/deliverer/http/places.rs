//! Places: how many connections there are, per host and in all, and which of them is one too many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// How many hosts are remembered before those without a connection are forgotten.
const FORGET_BEYOND: usize = 1024;

/// The places of the connections of one client, and those of all clients together.
#[derive(Debug, Clone)]
pub(super) struct Places {
    all: Total,
    per_host: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Host>>>>,
}

#[derive(Debug)]
struct Host {
    most: usize,
    free: Arc<Semaphore>,
    requests: AtomicUsize,
}

/// A request that is under way to a host.
#[derive(Debug)]
pub(super) struct Visit {
    host: Arc<Host>,
    all: Total,
}

/// The places of all clients together.
#[derive(Debug, Clone)]
pub(super) struct Total {
    most: usize,
    free: Arc<Semaphore>,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_host: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Total {
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { most, free: Arc::new(Semaphore::new(most)) }
    }

    /// Whether more than half are taken.
    fn is_scarce(&self) -> bool {
        self.free.available_permits() < self.most / 2
    }
}

impl Visit {
    /// Whether, once this request is done, its connection is one too many: places are scarce, and
    /// its host has more of them than other requests. Then it is not kept for later, so that
    /// connections that are unused never take up more than half of the places, and nobody waits for
    /// those.
    pub(super) fn is_last(&self) -> bool {
        let connections = self.host.most.saturating_sub(self.host.free.available_permits());
        let others = self.host.requests.load(Ordering::SeqCst).saturating_sub(1);
        self.all.is_scarce() && connections > others
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.host.requests.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Places {
    pub(super) fn new(all: Total, per_host: usize) -> Self {
        Self { all, per_host: per_host.min(Semaphore::MAX_PERMITS), hosts: Arc::default() }
    }

    /// Counts a request among those of its host.
    pub(super) fn visit(&self, host: &str) -> Visit {
        let host = self.of(host);
        host.requests.fetch_add(1, Ordering::SeqCst);
        Visit { host, all: self.all.clone() }
    }

    /// Waits for a place. One of the host's is taken first, so that who waits for that holds none
    /// of those that others could use.
    pub(super) async fn take(&self, host: &str) -> Result<Place, AcquireError> {
        let of_host = self.of(host).free.clone().acquire_owned().await?;
        let of_all = self.all.free.clone().acquire_owned().await?;
        Ok(Place { _of_host: of_host, _of_all: of_all })
    }

    fn of(&self, host: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = hosts.get(host) {
            return places.clone();
        }
        if hosts.len() >= FORGET_BEYOND {
            hosts.retain(|_, host| host.is_in_use());
        }
        let free = Arc::new(Semaphore::new(self.per_host));
        let places = Arc::new(Host { most: self.per_host, free, requests: AtomicUsize::new(0) });
        hosts.insert(host.to_owned(), places.clone());
        places
    }
}

impl Host {
    /// Whether there is a request, a connection, or somebody who waits for one.
    fn is_in_use(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || Arc::strong_count(&self.free) > 1
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn taken(places: &Places, host: &str) -> Option<Place> {
        places.take(host).now_or_never().map(Result::unwrap)
    }

    #[test]
    fn a_host_has_its_places_and_all_have_theirs() {
        let all = Total::new(3);
        let places = Places::new(all.clone(), 2);
        let first = taken(&places, "a").unwrap();
        let second = taken(&places, "a").unwrap();
        assert!(taken(&places, "a").is_none(), "a host's places are used up");
        let other = taken(&places, "b").unwrap();
        assert!(all.is_scarce());
        assert!(taken(&places, "c").is_none(), "all places are used up");
        drop((first, second));
        assert!(taken(&places, "a").is_some() && !all.is_scarce());
        drop(other);
        assert_eq!(all.free.available_permits(), 3);
    }

    #[test]
    fn a_connection_is_one_too_many_if_places_are_scarce_and_no_other_request_needs_it() {
        let places = Places::new(Total::new(4), 4);
        let (request, other) = (places.visit("a"), places.visit("a"));
        let first = taken(&places, "a").unwrap();
        let _second = taken(&places, "a").unwrap();
        assert!(!request.is_last(), "places are not scarce");
        let _elsewhere = taken(&places, "b").unwrap();
        assert!(request.is_last(), "two connections, one other request");
        drop(first);
        let _elsewhere_too = taken(&places, "c").unwrap();
        assert!(!request.is_last(), "one connection, one other request");
        drop(other);
        assert!(request.is_last());
    }

    #[test]
    fn hosts_without_a_connection_are_forgotten() {
        let places = Places::new(Total::new(10), 1);
        let kept = taken(&places, "kept").unwrap();
        for n in 0..3 * FORGET_BEYOND {
            drop(taken(&places, &n.to_string()).unwrap());
        }
        assert!(places.hosts.lock().unwrap().len() <= FORGET_BEYOND);
        assert!(taken(&places, "kept").is_none(), "what is in use is remembered");
        drop(kept);
    }
}
