//! Places: how many connections there are, per host and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// How many hosts are remembered before those without a connection are forgotten.
const FORGET_BEYOND: usize = 1024;

/// The places of the connections of one client, and those of all clients together.
#[derive(Debug, Clone)]
pub(super) struct Places {
    all: Total,
    per_host: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
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

    /// Whether more than half are taken. Then no connection is kept for later, so that those that
    /// are unused never take up more than half, and nobody waits for them to be given up.
    pub(super) fn is_scarce(&self) -> bool {
        self.free.available_permits() < self.most / 2
    }
}

impl Places {
    pub(super) fn new(all: Total, per_host: usize) -> Self {
        Self { all, per_host: per_host.min(Semaphore::MAX_PERMITS), hosts: Arc::default() }
    }

    /// Waits for a place. One of the host's is taken first, so that who waits for that holds none of
    /// those that others could use.
    pub(super) async fn take(&self, host: &str) -> Result<Place, AcquireError> {
        let of_host = self.of(host).acquire_owned().await?;
        let of_all = self.all.free.clone().acquire_owned().await?;
        Ok(Place { _of_host: of_host, _of_all: of_all })
    }

    fn of(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = hosts.get(host) {
            return places.clone();
        }
        if hosts.len() >= FORGET_BEYOND {
            // Held by nobody but the map: no connection, and nobody waits for one.
            hosts.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = Arc::new(Semaphore::new(self.per_host));
        hosts.insert(host.to_owned(), places.clone());
        places
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
