//! Gate: what each endpoint may be given now, by which run, and when there may be more to give.
//!
//! In: policies, what is claimed, how it ends and how long it took, and what is paused. Out: quotas
//! for a claim, and the [`Outlook`] after it. An endpoint that keeps a request waiting for longer
//! than usual, or did not answer last, gets nothing more until that ends. The states are forgotten
//! once they are [idle](EndpointState::is_idle).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::Paused;
use super::place::Left;
use super::stalled::PATIENCE;
use crate::clock::{Clock, Timestamp};
use crate::delivery::{EndpointKey, Outcome};
use crate::endpoint::{EndpointPolicy, EndpointState, EndpointStatus, Permit};

/// Tells apart the runs of an engine.
pub(super) type RunId = u64;

/// Policies of endpoints that have one of their own.
pub(super) type Policies = HashMap<EndpointKey, Arc<EndpointPolicy>>;

/// The states of all endpoints that are not as they were at first.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    /// Wakes the runs.
    signal: watch::Sender<Option<Timestamp>>,
    endpoints: Mutex<Endpoints>,
}

#[derive(Debug)]
struct Endpoints {
    default: Arc<EndpointPolicy>,
    own: Policies,
    known: BTreeMap<EndpointKey, Known>,
    paused: Paused,
}

/// What is known of one endpoint.
#[derive(Debug)]
struct Known {
    state: EndpointState,
    /// How many requests each run has in flight to it.
    by_run: Vec<(RunId, usize)>,
    /// When each that is in flight was begun, in that order.
    begun: BTreeMap<u64, Timestamp>,
    next_begun: u64,
    /// How long it takes to answer, as a mean that forgets.
    usual: Duration,
    /// Whether the last attempt that ended got no answer.
    is_mute: bool,
    /// Whether a run waits for the end of what another has in flight.
    awaited: bool,
}

/// A run that asks, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) run: RunId,
    pub(super) runs: usize,
}

/// What a run may be given at once.
#[derive(Debug)]
pub(super) struct Quotas {
    /// Of each endpoint that is not named.
    pub(super) per_endpoint: usize,
    /// Of endpoints that differ, in the order of their keys.
    pub(super) own: Vec<(EndpointKey, usize)>,
    /// When there may be more to give of those that may be given nothing.
    pub(super) outlook: Outlook,
}

/// When a run may be given more of endpoints that it had all of.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// Now: there is room meanwhile.
    pub(super) now: bool,
    /// Once an attempt of the run ends.
    pub(super) when_free: bool,
    /// Then, by the passing of time.
    pub(super) at: Option<Timestamp>,
}

/// One request in flight; no longer counted once it is dropped, however that comes.
#[derive(Debug)]
pub(super) struct Slot {
    gate: Gate,
    endpoint: EndpointKey,
    run: RunId,
    /// Its place among those in flight to the endpoint.
    begun: u64,
    permit: Option<Permit>,
}

impl Gate {
    pub(super) fn new(
        default: EndpointPolicy,
        own: Policies,
        clock: Arc<dyn Clock>,
        signal: watch::Sender<Option<Timestamp>>,
    ) -> Self {
        let known = own.iter().map(|(key, policy)| (key.clone(), Known::new(policy))).collect();
        let default = Arc::new(default);
        let paused = Paused::default();
        let endpoints = Mutex::new(Endpoints { default, own, known, paused });
        Self(Arc::new(Shared { clock, signal, endpoints }))
    }

    /// What a run may be given of each endpoint: no more than there is room for, and no more than
    /// its share, so that one run does not keep the others idle. What ends from now on of endpoints
    /// that may be given nothing wakes the run. `None` while all are paused.
    pub(super) fn quotas(&self, asking: Asking, now: Timestamp) -> Option<Quotas> {
        let Endpoints { default, own, known, paused } = &mut *self.lock();
        if paused.all {
            return None;
        }
        let per_endpoint = Known::new(default).quota(asking, now);
        let mut quotas = Quotas { per_endpoint, own: Vec::new(), outlook: Outlook::default() };
        known.retain(|key, known| {
            if known.state.is_idle(now) && !own.contains_key(key) {
                return false;
            }
            if !paused.endpoints.contains(key) {
                let quota = known.quota(asking, now);
                if quota == 0 {
                    known.look_out(asking, now, &mut quotas.outlook);
                }
                if quota != per_endpoint {
                    quotas.own.push((key.clone(), quota));
                }
            }
            true
        });
        if !paused.endpoints.is_empty() {
            quotas.own.extend(paused.endpoints.iter().map(|key| (key.clone(), 0)));
            quotas.own.sort_unstable();
        }
        Some(quotas)
    }

    /// Counts an attempt that a run begins.
    pub(super) fn occupy(&self, endpoint: EndpointKey, run: RunId, now: Timestamp) -> Slot {
        let mut endpoints = self.lock();
        self.slot(endpoints.of(&endpoint), endpoint, run, now)
    }

    /// Counts an attempt of a run at an endpoint, if it may be given one now.
    ///
    /// # Errors
    /// When it may by the passing of time, if that is known.
    pub(super) fn enter(
        &self,
        endpoint: &EndpointKey,
        asking: Asking,
    ) -> Result<Slot, Option<Timestamp>> {
        let now = self.0.clock.now();
        let mut endpoints = self.lock();
        if endpoints.paused.all || endpoints.paused.endpoints.contains(endpoint) {
            return Err(None);
        }
        let known = endpoints.of(endpoint);
        if known.quota(asking, now) == 0 {
            return Err(known.state.opens_at(now));
        }
        Ok(self.slot(known, endpoint.clone(), asking.run, now))
    }

    fn slot(&self, known: &mut Known, endpoint: EndpointKey, run: RunId, now: Timestamp) -> Slot {
        match known.by_run.iter_mut().find(|(id, _)| *id == run) {
            Some((_, count)) => *count += 1,
            None => known.by_run.push((run, 1)),
        }
        let permit = Some(known.state.begin(now));
        let begun = known.begin(now);
        Slot { gate: self.clone(), endpoint, run, begun, permit }
    }

    /// Adds to an outlook when a run may be given more of endpoints of which it was given all that
    /// it may have. What ends from now on wakes the run.
    pub(super) fn look_out<'k>(
        &self,
        asking: Asking,
        full: impl Iterator<Item = &'k EndpointKey>,
        now: Timestamp,
        outlook: &mut Outlook,
    ) {
        let Endpoints { known, paused, .. } = &mut *self.lock();
        for key in full.filter(|key| !paused.endpoints.contains(key)) {
            match known.get_mut(key) {
                Some(known) => known.look_out(asking, now, outlook),
                // One that was forgotten meanwhile is as it was at first.
                None => outlook.now = true,
            }
        }
    }

    /// What is known of each endpoint that differs from what it was at first.
    pub(super) fn status(&self, now: Timestamp) -> Vec<EndpointStatus> {
        let endpoints = &mut *self.lock();
        let Endpoints { default, own, known, paused } = endpoints;
        known.retain(|key, known| own.contains_key(key) || !known.state.is_idle(now));
        let mut all: Vec<EndpointStatus> =
            known.iter_mut().map(|(key, known)| known.state.status(key.clone(), now)).collect();
        let unknown = paused.endpoints.iter().filter(|key| !known.contains_key(*key));
        all.extend(unknown.map(|key| Known::new(default).state.status(key.clone(), now)));
        for status in &mut all {
            status.paused = paused.all || paused.endpoints.contains(&status.key);
        }
        all.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        all
    }

    /// Sets what is paused; wakes the runs if that is something else than before.
    pub(super) fn set_paused(&self, paused: &Paused) {
        let before = std::mem::replace(&mut self.lock().paused, paused.clone());
        if before != *paused {
            self.wake();
        }
    }

    pub(super) fn paused(&self) -> Paused {
        self.lock().paused.clone()
    }

    fn leave(&self, endpoint: &EndpointKey, run: RunId, give: impl FnOnce(&mut Known)) {
        let awaited = {
            let mut endpoints = self.lock();
            let Some(known) = endpoints.known.get_mut(endpoint) else { return };
            give(known);
            if let Some((_, count)) = known.by_run.iter_mut().find(|(id, _)| *id == run) {
                *count -= 1;
            }
            known.by_run.retain(|(_, count)| *count > 0);
            std::mem::take(&mut known.awaited)
        };
        if awaited {
            self.wake();
        }
    }

    fn wake(&self) {
        self.0.signal.send_modify(|_| ());
    }

    fn lock(&self) -> MutexGuard<'_, Endpoints> {
        self.0.endpoints.lock().expect("no code panics while it counts")
    }
}

impl Endpoints {
    fn of(&mut self, endpoint: &EndpointKey) -> &mut Known {
        match self.known.entry(endpoint.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Known::new(&self.default)),
        }
    }
}

impl Known {
    fn new(policy: &Arc<EndpointPolicy>) -> Self {
        let state = EndpointState::new(policy.clone());
        Self {
            state,
            by_run: Vec::new(),
            begun: BTreeMap::new(),
            next_begun: 0,
            usual: Duration::ZERO,
            is_mute: false,
            awaited: false,
        }
    }

    fn of(&self, run: RunId) -> usize {
        self.by_run.iter().find(|(id, _)| *id == run).map_or(0, |(_, count)| *count)
    }

    fn begin(&mut self, now: Timestamp) -> u64 {
        self.next_begun += 1;
        self.begun.insert(self.next_begun, now);
        self.next_begun
    }

    /// Takes in whether an attempt was answered, and how long it took; `None` if none was made.
    fn end(&mut self, begun: u64, now: Timestamp, answered: Option<bool>) {
        let Some(at) = self.begun.remove(&begun) else { return };
        self.is_mute = answered.map_or(self.is_mute, |answered| !answered);
        if answered == Some(true) {
            self.usual = self.usual * 7 / 8 + now.since(at) / 8;
        }
    }

    /// Whether what is in flight to it has waited much longer than usual, or anything is in flight
    /// to it and it did not answer last: until that ends, nothing more is begun.
    fn keeps_waiting(&self, now: Timestamp) -> bool {
        if self.is_mute {
            return !self.begun.is_empty();
        }
        let patience = PATIENCE.max(self.usual * 4);
        self.begun.first_key_value().is_some_and(|(_, at)| *at + patience <= now)
    }

    /// What a run may have in flight.
    fn share(&self, asking: Asking) -> usize {
        self.state.allowed().div_ceil(asking.runs.max(1))
    }

    fn quota(&mut self, asking: Asking, now: Timestamp) -> usize {
        if self.keeps_waiting(now) {
            return 0;
        }
        let most = if self.is_mute { 1 } else { self.share(asking) };
        let left = most.saturating_sub(self.of(asking.run));
        self.state.room(now).min(left)
    }

    /// Finds out when a run may have more, and remembers who waits.
    fn look_out(&mut self, asking: Asking, now: Timestamp, outlook: &mut Outlook) {
        if self.quota(asking, now) > 0 {
            outlook.now = true;
            return;
        }
        self.awaited |= self.waits_for_others(asking);
        outlook.when_free |= self.of(asking.run) > 0;
        outlook.at = outlook.at.into_iter().chain(self.state.opens_at(now)).min();
    }

    /// Whether a run that may have no more now might once another run has less.
    fn waits_for_others(&self, asking: Asking) -> bool {
        let own = self.of(asking.run);
        own < self.share(asking) && own < self.state.in_flight()
    }
}

impl Slot {
    /// Ends it with what came of the attempt, and whether the endpoint answered at all.
    pub(super) fn end(mut self, outcome: &Outcome, answered: bool, fraction: f64) {
        self.leave(Some(answered), |state, permit, now| {
            state.end(permit, Some(outcome), now, fraction);
        });
    }

    /// Ends it if no attempt was made.
    pub(super) fn unused(mut self) {
        self.leave(None, EndpointState::give_back);
    }

    /// Ends it for now: no attempt was made yet. Its run too may have use for the room.
    pub(super) fn left(self) -> Left {
        let (gate, endpoint, run) = (self.gate.clone(), self.endpoint.clone(), self.run);
        self.unused();
        gate.wake();
        Left { gate, endpoint, run }
    }

    /// The run that it is of.
    pub(super) fn run(&self) -> RunId {
        self.run
    }

    fn leave(
        &mut self,
        answered: Option<bool>,
        give: impl FnOnce(&mut EndpointState, Permit, Timestamp),
    ) {
        let Some(permit) = self.permit.take() else { return };
        let now = self.gate.0.clock.now();
        let begun = self.begun;
        self.gate.leave(&self.endpoint, self.run, |known| {
            known.end(begun, now, answered);
            give(&mut known.state, permit, now);
        });
    }
}

impl Drop for Slot {
    /// Whether anything was sent is not known.
    fn drop(&mut self) {
        self.leave(None, |state, permit, now| state.end(permit, None, now, 0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn gate(concurrency: usize) -> (Gate, watch::Receiver<Option<Timestamp>>) {
        let signal = watch::Sender::new(None);
        let wakes = signal.subscribe();
        let policy = EndpointPolicy::default().with_concurrency(concurrency);
        let clock = Arc::new(ManualClock::at(NOW));
        (Gate::new(policy, Policies::new(), clock, signal), wakes)
    }

    fn asking(run: RunId) -> Asking {
        Asking { run, runs: 2 }
    }

    fn outlook_of(gate: &Gate, key: &EndpointKey) -> Outlook {
        let mut outlook = Outlook::default();
        gate.look_out(asking(2), [key].into_iter(), NOW, &mut outlook);
        outlook
    }

    #[test]
    fn who_waits_for_room_that_another_run_has_is_woken_when_it_is_free() {
        let (gate, wakes) = gate(1);
        let key = EndpointKey::new("a");
        let slot = gate.occupy(key.clone(), 1, NOW);
        let outlook = outlook_of(&gate, &key);
        assert!(!outlook.now && !outlook.when_free && outlook.at.is_none(), "{outlook:?}");
        assert!(!wakes.has_changed().unwrap());
        drop(slot);
        assert!(wakes.has_changed().unwrap());
        assert!(outlook_of(&gate, &key).now);
    }

    #[test]
    fn who_has_all_of_its_share_waits_for_itself_alone() {
        let (gate, wakes) = gate(4);
        let key = EndpointKey::new("a");
        let own: Vec<Slot> = (0..2).map(|_| gate.occupy(key.clone(), 2, NOW)).collect();
        let other = gate.occupy(key.clone(), 1, NOW);
        let quotas = |run| gate.quotas(asking(run), NOW).unwrap();
        assert_eq!((quotas(1).own[0].1, quotas(2).own[0].1, quotas(1).per_endpoint), (1, 0, 2));
        let closed = quotas(2).outlook;
        assert!(!closed.now && closed.when_free && closed.at.is_none(), "{closed:?}");
        let outlook = outlook_of(&gate, &key);
        assert!(!outlook.now && outlook.when_free && outlook.at.is_none(), "{outlook:?}");
        other.end(&Outcome::Accepted, true, 0.0);
        assert!(!wakes.has_changed().unwrap());
        drop(own);
        assert_eq!(quotas(2).own, []);
    }

    #[test]
    fn an_endpoint_without_a_past_is_forgotten() {
        let (gate, _wakes) = gate(4);
        gate.occupy(EndpointKey::new("a"), 1, NOW).unused();
        assert_eq!(gate.lock().known.len(), 1);
        assert_eq!(gate.quotas(asking(1), NOW).unwrap().own, []);
        assert_eq!(gate.lock().known.len(), 0);
    }
}
