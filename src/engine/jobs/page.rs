//! A page of a job: as much as is done before it is written down how far it came.

use std::sync::Arc;
use std::time::Duration;

use super::super::unmade::Room;
use super::{BackfillPlan, Job, Plan, ReplayPlan};
use crate::clock::Timestamp;
use crate::delivery::{State, StateName};
use crate::engine::observe::Publishing;
use crate::engine::{Core, Engine, LOOP};
use crate::event::{Event, EventKind};
use crate::observer::Publisher;
use crate::storage::{DeliveryQuery, EventQuery, Fate, NewEvent, Record, Replay, StorageError};
use crate::trigger::Trigger;

/// The most deliveries or events of a page.
const PAGE: usize = 500;
/// The longest span that a page makes due ahead.
const AHEAD: Duration = Duration::from_secs(10);

/// After how long every node knows a trigger, whatever its clock says.
const KNOWN_AFTER: Duration = Duration::from_secs(3_600);

/// What a page did.
pub(super) struct Page {
    /// How many deliveries it made or tried again.
    pub(super) done: usize,
    /// Behind what the next page begins; `None` if this was the last.
    pub(super) after: Option<String>,
}

/// Why there is no page of a job.
pub(super) enum Trouble {
    /// What is in the way may pass.
    Waits {
        /// What is in the way.
        reason: String,
    },
    /// What is in the way will not pass.
    Ends {
        /// What is in the way.
        reason: String,
    },
}

impl Engine {
    /// How many deliveries a [replay](Self::start_replay) would try again, were it begun now. Reads
    /// them all.
    ///
    /// # Errors
    /// The storage's.
    pub async fn count_replay(&self, plan: &ReplayPlan) -> Result<u64, StorageError> {
        let mut count = 0;
        for state in [StateName::Dead, StateName::Parked] {
            if plan.state.is_some_and(|only| only != state) {
                continue;
            }
            let mut query = to_replay(plan, self.core.clock.now()).with_state(state);
            query.limit = PAGE;
            let mut next = Some(query);
            while let Some(query) = next {
                let deliveries = self.core.storage.deliveries(query.clone()).await?.items;
                let whole = deliveries.iter().filter(|one| !one.contents_dropped);
                count += whole.count() as u64;
                next = query.behind(&deliveries);
            }
        }
        Ok(count)
    }

    /// How many deliveries a [backfill](Self::start_backfill) would make, were none of them there.
    /// Reads all events of the plan's span.
    ///
    /// # Errors
    /// The storage's.
    pub async fn count_backfill(&self, plan: &BackfillPlan) -> Result<u64, StorageError> {
        let Some(trigger) = self.core.known().index.get(plan.trigger).cloned() else {
            return Err(StorageError::no_trigger(plan.trigger));
        };
        let mut next = Some(past_events(plan, &trigger).with_limit(PAGE));
        let mut count = 0;
        while let Some(query) = next {
            let events = self.core.storage.events(query.clone()).await?.items;
            count += events.iter().filter(|event| wants(&trigger, event)).count() as u64;
            next = query.behind(&events);
        }
        Ok(count)
    }
}

impl Core {
    pub(super) async fn page(&self, job: &Job) -> Result<Result<Page, Trouble>, StorageError> {
        match &job.plan {
            Plan::Replay(plan) => self.replay_page(job, plan).await.map(Ok),
            Plan::Backfill(plan) => match self.trigger_of_job(plan) {
                Ok(trigger) => self.backfill_page(job, plan, &trigger).await.map(Ok),
                Err(trouble) => Ok(Err(trouble)),
            },
        }
    }

    /// The trigger of a backfill, as it was when this node last looked.
    fn trigger_of_job(&self, plan: &BackfillPlan) -> Result<Arc<Trigger>, Trouble> {
        let (known, id) = (self.known(), plan.trigger);
        known.index.get(id).cloned().ok_or_else(|| match known.unreadable.get(&id) {
            Some(reason) => Trouble::Waits { reason: format!("trigger {id}: {reason}") },
            None => Trouble::Ends { reason: format!("trigger {id} does not exist") },
        })
    }

    async fn replay_page(&self, job: &Job, plan: &ReplayPlan) -> Result<Page, StorageError> {
        let now = self.clock.now();
        let limit = page_of(&job.plan);
        let mut query = to_replay(plan, job.begun_at).with_limit(limit);
        query.after = job.after.as_deref().and_then(|after| after.parse().ok());
        let (spacing, new_message_ids) = (job.plan.spacing(), plan.new_message_ids);
        let fate = Fate::Again { due: now, spacing, new_message_ids };
        // What dies while the job is under way is not its own to try again, even if a page is done
        // again whose answer was lost.
        let unchanged_since = Some(job.begun_at);
        let taken = self.replay(Replay { query, unchanged_since, now, fate }).await?;
        let last = taken.last().filter(|_| taken.len() == limit);
        Ok(Page { done: taken.len(), after: last.map(ToString::to_string) })
    }

    async fn backfill_page(
        &self,
        job: &Job,
        plan: &BackfillPlan,
        trigger: &Arc<Trigger>,
    ) -> Result<Page, StorageError> {
        let limit = page_of(&job.plan);
        let mut query = past_events(plan, trigger).with_limit(limit);
        // What comes from then on the trigger gets anyway, on every node.
        let known = job.begun_at + KNOWN_AFTER;
        query.until = Some(plan.until.unwrap_or(known).min(known));
        query.after = job.after.as_deref().and_then(|after| after.parse().ok());
        let events = self.storage.events(query).await?.items;
        let last = events.last().map(|event| event.id).filter(|_| events.len() == limit);
        let wanted = events.into_iter().filter(|event| wants(trigger, event));
        let records = self.late_records(wanted, trigger, job.plan.spacing());
        let done = records.len();
        let by = Publishing { by: Publisher::Engine, since: self.clock.now() };
        self.record(records, by).await?;
        Ok(Page { done, after: last.map(|id| id.to_string()) })
    }

    /// The deliveries of past events to a trigger, due one after the other.
    fn late_records(
        &self,
        events: impl Iterator<Item = Event>,
        trigger: &Arc<Trigger>,
        spacing: Duration,
    ) -> Vec<Record> {
        let now = self.clock.now();
        let mut room = Room::new();
        let late = |(n, event): (u32, Event)| {
            let due: Timestamp = now + spacing.saturating_mul(n);
            let (delivery, payload) = self.delivery(&NewEvent::of(event), trigger, &mut room);
            let delivery = match delivery.state {
                State::Waiting { .. } => delivery.with_state(State::Waiting { due }),
                _ => delivery,
            };
            Record { deliveries: vec![(delivery, payload)], ..Record::default() }
        };
        (0..).zip(events).map(late).collect()
    }
}

/// How many deliveries or events a page has: no more than come due in a short while.
fn page_of(plan: &Plan) -> usize {
    let spacing = plan.spacing();
    if spacing.is_zero() {
        return PAGE;
    }
    let ahead = AHEAD.as_nanos() / spacing.as_nanos().max(1);
    usize::try_from(ahead).unwrap_or(PAGE).clamp(1, PAGE)
}

/// What a replay that was begun at a time takes.
fn to_replay(plan: &ReplayPlan, begun_at: Timestamp) -> DeliveryQuery {
    let mut query = DeliveryQuery::of_scope(plan.scope.clone());
    (query.trigger, query.state) = (plan.trigger, plan.state);
    query.from = plan.from;
    query.until = Some(plan.until.unwrap_or(begun_at).min(begun_at));
    query
}

fn past_events(plan: &BackfillPlan, trigger: &Trigger) -> EventQuery {
    let mut query = EventQuery::of_scope(trigger.spec.scope.clone());
    (query.from, query.until) = (plan.from, plan.until);
    query
}

fn wants(trigger: &Trigger, event: &Event) -> bool {
    let spec = &trigger.spec;
    !spec.is_fed()
        && spec.scope.contains(&event.scope)
        && spec.kinds.iter().any(|kind| kind.matches(&event.kind))
        && spec.filter.matches(event)
        // Neither what goes round in a loop nor another trigger's ping.
        && !event.attributes.contains_key(LOOP)
        && event.kind != EventKind::PING
}
