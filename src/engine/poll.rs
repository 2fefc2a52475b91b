//! Poll: asks upstreams for what triggers watch, one node at a time, and tells what has changed.
//!
//! In: the triggers that have a watch, and time. Out: an event for each change, with its
//! deliveries, and after them the cursors that say how far the watch came. A poll that ends in
//! between is made again from what was known before, and so is one that fails. The ids of events
//! follow from that alone and from when the first such poll came due, so that they are stored once.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

use super::Core;
use super::observe::Publishing;
use super::run::{FIRST_PAUSE, LONGEST_PAUSE};
use super::slots::tenant;
use super::watch_state::{TAKEN_FOR, Turn};
use crate::clock::Timestamp;
use crate::id::TriggerId;
use crate::observer::{Publisher, Transition};
use crate::storage::{CursorMove, NewEvent, Record, Recorded, StorageError};
use crate::trigger::{TRIGGER, Trigger, Watch};
use crate::watch::{Ask, Change, Known, Listed, Listing, UpstreamError, diff, fingerprint};

/// How many watches an engine polls at once.
const AT_ONCE: usize = 16;
/// How many of them may be of one tenant: of scopes with the same first part. Those of the root
/// scope are nobody's.
const AT_ONCE_OF_ONE: usize = 4;
/// How long an upstream has to answer.
const LONGEST_POLL: Duration = Duration::from_secs(120);
/// How many events are recorded at once.
const PAGE: usize = 64;
/// After how many bytes of events no more are recorded at once.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Polls until the engine ends. Of several, one does; another goes on if that one is dropped.
pub(super) async fn follow(core: &Core) {
    let (turn, ending) = (pin!(core.watches.turn.lock()), pin!(core.until_ending()));
    let Either::Left((_turn, _)) = select(turn, ending).await else { return };
    select(pin!(core.follow_watches()), pin!(core.until_ending())).await;
}

/// A watch that was taken, to be polled.
struct Taken {
    trigger: Arc<Trigger>,
    turn: Turn,
    /// The cursors as they are.
    turn_text: String,
    known_text: Option<String>,
}

/// The polls that are under way.
struct Polls<P> {
    under_way: FuturesUnordered<P>,
    counted: Polled,
}

impl<P: Future<Output = Arc<Trigger>>> Polls<P> {
    /// Waits for something, and for as long the polls go on.
    async fn go_on_during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            match select(work.as_mut(), self.under_way.next()).await {
                Either::Left((done, _)) => return done,
                Either::Right((Some(trigger), _)) => self.counted.remove(&trigger),
                Either::Right((None, _)) => return work.await,
            }
        }
    }

    /// Waits for something, or until a poll has ended.
    async fn go_on_until(&mut self, reason: impl Future<Output = ()>) {
        let reason = pin!(reason);
        if self.under_way.is_empty() {
            reason.await;
        } else if let Either::Left((Some(trigger), _)) = select(self.under_way.next(), reason).await
        {
            self.counted.remove(&trigger);
        }
    }
}

/// How many are polled now, and for whom.
#[derive(Debug, Clone, Default)]
struct Polled {
    all: usize,
    by_tenant: BTreeMap<String, usize>,
}

impl Polled {
    fn has_room(&self, trigger: &Trigger) -> bool {
        let tenant = tenant(&trigger.spec.scope);
        tenant.is_empty() || self.by_tenant.get(tenant).is_none_or(|count| *count < AT_ONCE_OF_ONE)
    }

    fn add(&mut self, taken: &[Taken]) {
        for taken in taken {
            self.count(&taken.trigger);
        }
    }

    fn count(&mut self, trigger: &Trigger) {
        self.all += 1;
        *self.by_tenant.entry(tenant(&trigger.spec.scope).to_owned()).or_default() += 1;
    }

    fn remove(&mut self, trigger: &Trigger) {
        self.all -= 1;
        let tenant = tenant(&trigger.spec.scope);
        if let Some(count) = self.by_tenant.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                self.by_tenant.remove(tenant);
            }
        }
    }
}

impl Core {
    async fn follow_watches(&self) {
        let mut polls = Polls { under_way: FuturesUnordered::new(), counted: Polled::default() };
        let mut pause = FIRST_PAUSE;
        loop {
            let now = self.clock.now();
            let polled = polls.counted.clone();
            // A drain takes nothing new in.
            let is_open = polled.all < AT_ONCE && self.due_by.borrow().is_none();
            let next = self.watches.next_at_where(|trigger| polled.has_room(trigger));
            if !is_open || next.is_none_or(|at| at > now) {
                polls.go_on_until(self.watches.until(next, now, self)).await;
                continue;
            }
            if let Ok(taken) = polls.go_on_during(self.take_watches(now, polled)).await {
                polls.counted.add(&taken);
                polls.under_way.extend(taken.into_iter().map(|taken| self.poll(taken)));
                pause = FIRST_PAUSE;
                continue;
            }
            self.observers.tell(&Transition::BackedOff { pause });
            polls.go_on_during(self.clock.sleep(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Looks at watches whose time has come, and takes those that are free.
    async fn take_watches(
        &self,
        now: Timestamp,
        mut polled: Polled,
    ) -> Result<Vec<Taken>, StorageError> {
        self.refresh().await?;
        let room = AT_ONCE - polled.all;
        let due = self.watches.due_where(now, room, |trigger| {
            let has_room = polled.has_room(trigger);
            if has_room {
                polled.count(trigger);
            }
            has_room
        });
        let mut all = Vec::new();
        for trigger in due {
            match self.take_watch(trigger, now).await {
                Ok(taken) => all.extend(taken),
                // What was taken is polled; the others are looked at again.
                Err(_) if !all.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Takes a watch, if it is due and nobody polls it.
    async fn take_watch(
        &self,
        trigger: Arc<Trigger>,
        now: Timestamp,
    ) -> Result<Option<Taken>, StorageError> {
        let Some(watch) = &trigger.spec.watch else { return Ok(None) };
        let [text, known_text] = self.read_watch(&trigger.id).await?;
        let first = || Turn::first(&trigger, watch);
        let turn = match text.as_deref().map(serde_json::from_str::<Turn>) {
            Some(Ok(turn)) if turn.since > trigger.counts_since() => {
                // Somebody knows a later watch than this one; it is heard of soon.
                self.watches.look_again(&trigger, Some(now + self.options.refresh));
                return Ok(None);
            }
            Some(Ok(turn)) if turn.since == trigger.counts_since() => turn,
            None | Some(Ok(_)) => first(),
            Some(Err(_)) => {
                self.tell_damaged(format!("when the watch of trigger {} is polled", trigger.id));
                first()
            }
        };
        let free_at = turn.free_at(&trigger, watch);
        if turn.is_ahead(now) {
            self.tell_damaged(format!(
                "the watch of trigger {} was polled in the future",
                trigger.id
            ));
        } else if free_at > now {
            self.watches.look_again(&trigger, Some(free_at));
            return Ok(None);
        } else if !self.upstreams.contains_key(&watch.upstream) && now < free_at + TAKEN_FOR {
            // A node that has the upstream, as while a new version is rolled out, polls by then.
            self.watches.look_again(&trigger, Some(free_at + TAKEN_FOR));
            return Ok(None);
        }
        let until = now + TAKEN_FOR;
        let turn = Turn { taken_until: Some(until), ..turn };
        let turn_text = turn.to_text();
        let moved = set(turn_key(&trigger.id), text, turn_text.clone());
        let is_taken = self.write_watch(vec![moved]).await?;
        // Until it is given back, or if another node has taken it.
        self.watches.look_again(&trigger, Some(if is_taken { until } else { now }));
        Ok(is_taken.then_some(Taken { trigger, turn, turn_text, known_text }))
    }

    /// Polls a watch that was taken, and gives the trigger back.
    async fn poll(&self, taken: Taken) -> Arc<Trigger> {
        self.poll_taken(&taken).await;
        taken.trigger
    }

    /// Polls a watch. If what it found cannot be written down, it is polled again once it is free.
    async fn poll_taken(&self, taken: &Taken) {
        let Taken { trigger, turn, .. } = taken;
        let Some(watch) = &trigger.spec.watch else { return };
        let known = taken.known_text.as_deref().filter(|_| turn.has_begun).map(Known::from_text);
        if let Some(Err(problems)) = &known {
            self.tell_damaged(format!(
                "what trigger {} knows of its watch: {problems}",
                trigger.id
            ));
        }
        let known = known.and_then(Result::ok);
        let found = match self.list(trigger, watch, known.as_ref()).await {
            Ok(Listed::Versions(listing)) => {
                self.tell_changes(taken, watch, known.as_ref(), listing).await
            }
            Ok(Listed::Unchanged) => Ok(Ok(None)),
            Err(error) => Ok(Err(error)),
        };
        // A storage that failed is asked again once the watch is free.
        let Ok(found) = found else { return };
        let now = self.clock.now();
        let mut after = Turn { taken_until: None, polled_at: Some(now), ..turn.clone() };
        (after.of, after.revision) = (Some(fingerprint(watch)), Some(trigger.revision));
        let mut moves = Vec::new();
        match found {
            Ok(now_known) => {
                (after.failures, after.problem, after.failing_since) = (0, None, None);
                after.due_at = watch.again_at(trigger.id, now, 0, None);
                if let Some(text) = now_known {
                    after.has_begun = true;
                    moves.push(set(known_key(&trigger.id), taken.known_text.clone(), text));
                }
            }
            Err(error) => {
                after.failures = turn.failures_of(watch).saturating_add(1);
                after.problem = Some(error.to_string());
                after.failing_since = Some(turn.told_at());
                let asked = error.retry_after();
                after.due_at = watch.again_at(trigger.id, now, after.failures, asked);
                let (trigger, failures) = (trigger.id, after.failures);
                self.observers.tell(&Transition::PollFailed { trigger, error: &error, failures });
            }
        }
        moves.push(set(turn_key(&trigger.id), Some(taken.turn_text.clone()), after.to_text()));
        let again_at = match self.write_watch(moves).await {
            Ok(true) => after.due_at,
            // Another node has it, or somebody changed it.
            Ok(false) => now,
            Err(_) => return,
        };
        self.watches.look_again(trigger, Some(again_at));
    }

    async fn list(
        &self,
        trigger: &Trigger,
        watch: &Watch,
        known: Option<&Known>,
    ) -> Result<Listed, UpstreamError> {
        let Some(upstream) = self.upstreams.get(&watch.upstream) else {
            let reason = format!("this engine has no upstream {:?}", watch.upstream);
            return Err(UpstreamError::Unavailable { reason });
        };
        let ask = Ask::new(watch, &trigger.spec.scope, known);
        // Within it, since also what makes the future may panic.
        let listing = AssertUnwindSafe(async { upstream.list(ask).await }).catch_unwind();
        match select(pin!(listing), self.clock.sleep(LONGEST_POLL)).await {
            Either::Left((Ok(listed), _)) => listed,
            Either::Left((Err(_), _)) => {
                Err(UpstreamError::Unavailable { reason: "it panicked".to_owned() })
            }
            Either::Right(_) => {
                let reason = format!("it has not answered within {LONGEST_POLL:?}");
                Err(UpstreamError::Unavailable { reason })
            }
        }
    }

    /// Records an event for each change, in their order. Answers with what is known then, as a
    /// text.
    async fn tell_changes(
        &self,
        taken: &Taken,
        watch: &Watch,
        known: Option<&Known>,
        listing: Listing,
    ) -> Result<Result<Option<String>, UpstreamError>, StorageError> {
        let step = match diff(known, listing, watch) {
            Ok(step) => step,
            Err(error) => return Ok(Err(error)),
        };
        let trigger = &taken.trigger;
        let event = |change: &Change, now| {
            let id = change.event_id(trigger.id, taken.turn.told_at());
            let mut event = change.to_event(id, watch, &trigger.spec.scope, now)?;
            event.attributes.insert(TRIGGER.to_owned(), trigger.id.to_string());
            Ok(NewEvent::of(event))
        };
        // All of them or none: each is tried before the first one is recorded, and not kept, since
        // there may be many.
        let now = self.clock.now();
        if let Err(problems) = step.changes.iter().try_for_each(|one| event(one, now).map(drop)) {
            return Ok(Err(UpstreamError::Malformed { problems }));
        }
        let mut changes = step.changes.iter().peekable();
        while changes.peek().is_some() {
            let now = self.clock.now();
            let (mut records, mut bytes) = (Vec::new(), 0);
            while records.len() < PAGE
                && bytes < PAGE_BYTES
                && let Some(change) = changes.next()
            {
                let new = match event(change, now) {
                    Ok(new) => new,
                    Err(problems) => return Ok(Err(UpstreamError::Malformed { problems })),
                };
                bytes += new.json().len();
                records.push(self.prepare_for(new, trigger));
            }
            let by = Publishing { by: Publisher::Engine, since: now };
            self.record(records, by).await?;
        }
        Ok(Ok(Some(step.known.to_text())))
    }

    /// The two cursors of a watch.
    pub(super) async fn read_watch(
        &self,
        trigger: &TriggerId,
    ) -> Result<[Option<String>; 2], StorageError> {
        let keys = vec![turn_key(trigger), known_key(trigger)];
        let mut cursors = self.storage.cursors(keys).await?.into_iter();
        Ok([cursors.next().flatten(), cursors.next().flatten()])
    }

    /// Moves cursors together; false if one is not where it was.
    async fn write_watch(&self, moves: Vec<CursorMove>) -> Result<bool, StorageError> {
        let by = Publishing { by: Publisher::Engine, since: self.clock.now() };
        Ok(self.record(vec![Record::of_cursors(moves)], by).await? == [Recorded::Stored])
    }
}

fn set(key: String, expected: Option<String>, value: String) -> CursorMove {
    CursorMove::Set { key, expected, value: Some(value) }
}

/// What the keys of a trigger's watch begin with.
pub(super) fn key(trigger: &TriggerId) -> String {
    format!("watch/{trigger}/")
}

fn turn_key(trigger: &TriggerId) -> String {
    key(trigger) + "turn"
}

fn known_key(trigger: &TriggerId) -> String {
    key(trigger) + "known"
}
