//! How many attempts are in flight to each endpoint.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::delivery::EndpointKey;

/// Counts the attempts in flight, by endpoint and by the run that makes them.
#[derive(Debug, Clone, Default)]
pub(super) struct Load(Arc<Mutex<HashMap<EndpointKey, Busy>>>);

/// The attempts in flight to one endpoint.
#[derive(Debug, Default)]
struct Busy {
    all: usize,
    by_run: Vec<(RunId, usize)>,
}

impl Busy {
    fn of(&self, run: RunId) -> usize {
        self.by_run.iter().find(|(id, _)| *id == run).map_or(0, |(_, count)| *count)
    }
}

/// Tells apart the runs of an engine.
pub(super) type RunId = u64;

/// One attempt in flight; no longer counted once it is dropped, however that comes.
#[derive(Debug)]
pub(super) struct Slot {
    load: Load,
    endpoint: EndpointKey,
    run: RunId,
}

impl Load {
    /// What each busy endpoint may still be given by a run: not more than `most` in all, and not
    /// more than its share, so that one run does not keep the others idle.
    pub(super) fn quotas(
        &self,
        run: RunId,
        most: usize,
        share: usize,
    ) -> Vec<(EndpointKey, usize)> {
        let quota =
            |busy: &Busy| most.saturating_sub(busy.all).min(share.saturating_sub(busy.of(run)));
        self.lock().iter().map(|(key, busy)| (key.clone(), quota(busy))).collect()
    }

    /// Counts an attempt.
    pub(super) fn occupy(&self, endpoint: EndpointKey, run: RunId) -> Slot {
        let mut load = self.lock();
        let busy = load.entry(endpoint.clone()).or_default();
        busy.all += 1;
        match busy.by_run.iter_mut().find(|(id, _)| *id == run) {
            Some((_, count)) => *count += 1,
            None => busy.by_run.push((run, 1)),
        }
        Slot { load: self.clone(), endpoint, run }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointKey, Busy>> {
        self.0.lock().expect("no code panics while it counts")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut load = self.load.lock();
        let Some(busy) = load.get_mut(&self.endpoint) else { return };
        busy.all -= 1;
        if busy.all == 0 {
            load.remove(&self.endpoint);
            return;
        }
        if let Some((_, count)) = busy.by_run.iter_mut().find(|(id, _)| *id == self.run) {
            *count -= 1;
        }
        busy.by_run.retain(|(_, count)| *count > 0);
    }
}
