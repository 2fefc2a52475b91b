//! Tick: fires what schedules say is due, once for each due time among all nodes.
//!
//! In: the triggers that have a schedule, and time. Out: an event for each due time, recorded in
//! one with the move of the trigger's cursor: of several nodes that fire the same, one moves it. A
//! node that crashes has fired or not; what it has not fired, whoever looks next does.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};

use super::agenda::MOST_AHEAD;
use super::observe::Publishing;
use super::run::{FIRST_PAUSE, LONGEST_PAUSE};
use super::{Core, Engine};
use crate::clock::Timestamp;
use crate::event::{Event, EventKind, Scope, Source};
use crate::id::{EventId, TriggerId};
use crate::observer::{Publisher, Transition};
use crate::schedule::Schedule;
use crate::storage::{CursorMove, NewEvent, Record, Recorded, StorageError};
use crate::trigger::{ENGINE, TRIGGER, Trigger};

/// How many triggers are looked at at once.
const AT_ONCE: usize = 64;
/// How many due times of a trigger are fired before others have their turn.
const IN_A_ROW: usize = 32;
/// The most due times that a preview has.
const MAX_PREVIEWED: usize = 1_000;

/// A due time to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Upcoming {
    /// What the schedule says.
    pub due: Timestamp,
    /// When it is fired: later by its part of the schedule's jitter.
    pub fires_at: Timestamp,
}

impl Engine {
    /// The next due times of a trigger that are to be fired after now, at most so many and at most
    /// 1,000: none if it has no schedule or is disabled. Of those that have passed, what its jitter
    /// holds back is there too. It goes by this engine's clock: what should have been fired by now
    /// and was not, as while nobody runs, is not there, and what another clock that is ahead has
    /// fired already may be. `None` if there is no such trigger at or below the scope.
    pub fn upcoming(&self, scope: &Scope, id: TriggerId, count: usize) -> Option<Vec<Upcoming>> {
        let trigger = self.trigger(scope, id)?;
        let schedule = trigger.spec.schedule.as_ref().filter(|_| trigger.spec.enabled);
        let Some(schedule) = schedule else { return Some(Vec::new()) };
        let (now, since) = (self.core.clock.now(), trigger.counts_since());
        let after = now.before(schedule.longest_delay());
        let after = if since > now + MOST_AHEAD { now } else { after.max(since) };
        let all = schedule.following(after);
        let all = all.map(|due| Upcoming { due, fires_at: schedule.fires_at(id, due) });
        Some(all.filter(|one| one.fires_at > now).take(count.min(MAX_PREVIEWED)).collect())
    }
}

/// Fires until the engine ends. Of several, one does; another goes on if that one is dropped.
pub(super) async fn follow(core: &Core) {
    let (turn, ending) = (pin!(core.schedules.turn.lock()), pin!(core.until_ending()));
    let Either::Left((_turn, _)) = select(turn, ending).await else { return };
    select(pin!(core.follow_schedules()), pin!(core.until_ending())).await;
}

/// How far the schedule of a trigger was fired: what its cursor says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reached {
    /// Of the schedule that counts since then.
    since: Timestamp,
    /// Up to this due time everything is fired or left out.
    seen: Timestamp,
}

/// What is to be fired of a trigger.
struct Firing {
    trigger: Arc<Trigger>,
    /// The due times, in reverse.
    left: Vec<Timestamp>,
    /// The cursor as it is.
    cursor: Option<String>,
    /// When there is something to look for once all is fired.
    again_at: Option<Timestamp>,
}

impl Core {
    async fn follow_schedules(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let now = self.clock.now();
            let next = self.schedules.next_at();
            // A drain takes nothing new in: it is made up for as what was missed.
            if next.is_none_or(|at| at > now) || self.due_by.borrow().is_some() {
                self.schedules.until(next, now, self).await;
                continue;
            }
            if self.tick().await.is_ok() {
                pause = FIRST_PAUSE;
                continue;
            }
            self.observers.tell(&Transition::BackedOff { pause });
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Looks at the triggers whose time has come, and fires what is due.
    async fn tick(&self) -> Result<(), StorageError> {
        // Another node may have changed or disabled one of them.
        self.refresh().await?;
        let now = self.clock.now();
        let triggers = self.schedules.due(now, AT_ONCE);
        let keys = triggers.iter().map(|trigger| key(&trigger.id)).collect();
        let cursors = self.storage.cursors(keys).await?;
        let mut firings = Vec::new();
        for (trigger, cursor) in triggers.into_iter().zip(cursors) {
            let reached = cursor.as_deref().map(serde_json::from_str).transpose();
            let Ok(reached) = reached else {
                self.begin_anew(&trigger, cursor, now).await?;
                continue;
            };
            if is_ahead(&trigger, reached.as_ref(), now) {
                self.begin_anew(&trigger, cursor, now).await?;
                continue;
            }
            let firing = self.firing(trigger, reached, cursor, now);
            if firing.left.is_empty() {
                self.schedules.look_again(&firing.trigger, firing.again_at);
            } else {
                firings.push(firing);
            }
        }
        for _ in 0..IN_A_ROW {
            if firings.is_empty() {
                break;
            }
            firings = self.fire(firings, now).await?;
        }
        for left in &firings {
            self.schedules.look_again(&left.trigger, Some(now));
        }
        Ok(())
    }

    /// Begins anew with a schedule of which nobody can read how far it was fired, or that was fired
    /// up to a time that is still to come. What was fired already is not fired again, by its ids.
    async fn begin_anew(
        &self,
        trigger: &Arc<Trigger>,
        expected: Option<String>,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        self.tell_damaged(format!("how far trigger {} was fired", trigger.id));
        let schedule = trigger.spec.schedule.as_ref();
        let recent = schedule.map(Schedule::longest_delay).unwrap_or_default();
        // What has just come due is why it is looked at, and the jitter may hold some back.
        let seen = now.before(recent).max(trigger.counts_since().min(now));
        let value = Some(Reached { since: trigger.counts_since(), seen }.to_text());
        let moved = CursorMove::Set { key: key(&trigger.id), expected, value };
        let by = Publishing { by: Publisher::Engine, since: self.clock.now() };
        self.record(vec![Record::of_cursors(vec![moved])], by).await?;
        Ok(())
    }

    /// What is to be fired of a trigger now.
    fn firing(
        &self,
        trigger: Arc<Trigger>,
        reached: Option<Reached>,
        cursor: Option<String>,
        now: Timestamp,
    ) -> Firing {
        let since = trigger.counts_since();
        let (seen, is_newer) = match reached {
            Some(reached) if reached.since == since => (reached.seen, false),
            Some(reached) => (since, reached.since > since),
            None => (since, false),
        };
        let (left, again_at) = match &trigger.spec.schedule {
            // Somebody knows a later schedule than this one; it is heard of soon.
            _ if is_newer => (Vec::new(), Some(now + self.options.refresh)),
            Some(schedule) => {
                let due = schedule.due(trigger.id, seen, now);
                (due.fire.into_iter().rev().collect(), due.again_at)
            }
            None => (Vec::new(), None),
        };
        Firing { trigger, left, cursor, again_at }
    }

    /// Fires the next due time of each trigger. Answers with those that have more.
    async fn fire(
        &self,
        firings: Vec<Firing>,
        now: Timestamp,
    ) -> Result<Vec<Firing>, StorageError> {
        let by = Publishing { by: Publisher::Engine, since: now };
        let records = firings.iter().map(|firing| self.fired(firing, now)).collect();
        let recorded = self.record(records, by).await?;
        let mut more = Vec::new();
        for (mut firing, mut recorded) in firings.into_iter().zip(recorded) {
            if recorded == Recorded::Duplicate {
                // An event of this id is stored, and the cursor does not say so: it counts as
                // fired.
                let moved = Record::of_cursors(vec![firing.cursor_move()]);
                recorded = self.record(vec![moved], by).await?[0];
            }
            if recorded != Recorded::Stored {
                self.schedules.look_again(&firing.trigger, Some(now));
                continue;
            }
            firing.step();
            if firing.left.is_empty() {
                self.schedules.look_again(&firing.trigger, firing.again_at);
            } else {
                more.push(firing);
            }
        }
        Ok(more)
    }

    /// The event of the next due time, with its deliveries and the move of the cursor.
    fn fired(&self, firing: &Firing, now: Timestamp) -> Record {
        let (trigger, due) = (&firing.trigger, firing.next());
        let event = Event::builder(EventKind::SCHEDULE_FIRED)
            .id(EventId::derived(due, &[b"schedule", trigger.id.as_bytes()]))
            .scope(trigger.spec.scope.clone())
            .source(Source::new(ENGINE))
            .occurred_at(due)
            .attribute(TRIGGER, trigger.id.to_string())
            .attribute("trigger_name", &trigger.spec.name)
            .attribute("due", due.to_string())
            .build_at(now, &*self.entropy)
            .expect("what is told of a schedule is short");
        let record = self.prepare_for(NewEvent::of(event), trigger);
        Record { cursors: vec![firing.cursor_move()], ..record }
    }
}

impl Reached {
    fn to_text(&self) -> String {
        serde_json::to_string(self).expect("two times are JSON")
    }
}

impl Firing {
    /// The due time to be fired.
    fn next(&self) -> Timestamp {
        *self.left.last().expect("what has nothing left is not kept")
    }

    /// What the cursor says once it is fired.
    fn reached(&self) -> String {
        Reached { since: self.trigger.counts_since(), seen: self.next() }.to_text()
    }

    fn cursor_move(&self) -> CursorMove {
        let (key, expected) = (key(&self.trigger.id), self.cursor.clone());
        CursorMove::Set { key, expected, value: Some(self.reached()) }
    }

    /// Goes on behind the due time that was fired.
    fn step(&mut self) {
        self.cursor = Some(self.reached());
        self.left.pop();
    }
}

/// Whether it was made or fired by a clock that is far ahead of this one.
fn is_ahead(trigger: &Trigger, reached: Option<&Reached>, now: Timestamp) -> bool {
    let since = trigger.counts_since();
    let seen = match reached {
        Some(reached) if reached.since == since => reached.seen,
        // Somebody knows a later schedule than this one.
        Some(reached) if reached.since > since => return false,
        Some(_) | None => since,
    };
    seen > now + MOST_AHEAD
}

/// Where it stands how far a trigger was fired.
pub(super) fn key(trigger: &TriggerId) -> String {
    format!("schedule/{trigger}")
}
