//! Jobs: replays and backfills of any size, page by page, at a rate, across restarts and nodes.
//!
//! In: a [`ReplayPlan`] or a [`BackfillPlan`]. Out: deliveries that wait. All jobs stand in one
//! cursor of the storage; who works at one takes it for a while, by moving the cursor, and writes
//! down how far it came. What a page did twice is there once: a delivery that waits is not replayed
//! again, and a delivery that is there is not made again.

mod page;

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Core, Engine};
use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::event::Scope;
use crate::id::{JobId, TriggerId};
use crate::storage::StorageError;

/// Where all jobs stand.
const CURSOR: &str = "jobs";
/// The most jobs that are kept; of those that are done the oldest goes first.
const MAX_JOBS: usize = 64;

/// Which dead and parked deliveries to try again, and how quickly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReplayPlan {
    /// Of triggers at or below this scope.
    pub scope: Scope,
    /// Of this trigger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<TriggerId>,
    /// Only dead, or only parked ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateName>,
    /// Made at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Made before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many become due in a second; all at once if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
    /// Whether receivers see them as new messages.
    #[serde(default)]
    pub new_message_ids: bool,
}

impl ReplayPlan {
    /// All dead and parked deliveries of a scope's triggers, at once.
    pub fn of_scope(scope: Scope) -> Self {
        Self {
            scope,
            trigger: None,
            state: None,
            from: None,
            until: None,
            per_second: None,
            new_message_ids: false,
        }
    }

    /// Only those of a trigger.
    pub fn with_trigger(mut self, trigger: TriggerId) -> Self {
        self.trigger = Some(trigger);
        self
    }

    /// Only those in a state.
    pub fn with_state(mut self, state: StateName) -> Self {
        self.state = Some(state);
        self
    }

    /// Only those made from a time on and before another.
    pub fn with_span(mut self, from: Timestamp, until: Timestamp) -> Self {
        (self.from, self.until) = (Some(from), Some(until));
        self
    }

    /// Sets how many become due in a second.
    pub fn with_rate(mut self, per_second: u32) -> Self {
        self.per_second = Some(per_second);
        self
    }

    /// Has receivers see them as new messages.
    pub fn with_new_message_ids(mut self) -> Self {
        self.new_message_ids = true;
        self
    }
}

/// Which past events to send to a trigger, and how quickly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BackfillPlan {
    /// The trigger; it gets those events that it would have got.
    pub trigger: TriggerId,
    /// Received at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Received before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many deliveries become due in a second; all at once if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
}

impl BackfillPlan {
    /// All events that are still there, at once.
    pub fn of_trigger(trigger: TriggerId) -> Self {
        Self { trigger, from: None, until: None, per_second: None }
    }

    /// Only those received from a time on and before another.
    pub fn with_span(mut self, from: Timestamp, until: Timestamp) -> Self {
        (self.from, self.until) = (Some(from), Some(until));
        self
    }

    /// Sets how many become due in a second.
    pub fn with_rate(mut self, per_second: u32) -> Self {
        self.per_second = Some(per_second);
        self
    }
}

/// A replay or a backfill, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it is to do.
    pub plan: Plan,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// How many deliveries it has tried again or, of a backfill, gone through.
    pub done: u64,
    /// Whether it has come to its end.
    pub is_over: bool,
    /// The id behind which it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// When it goes on.
    next_at: Timestamp,
    /// Until when somebody works at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_until: Option<Timestamp>,
}

impl Job {
    /// When somebody may work at it; `None` if it is over.
    fn goes_on_at(&self) -> Option<Timestamp> {
        let free = self.taken_until.unwrap_or(self.next_at);
        (!self.is_over).then_some(free.max(self.next_at))
    }
}

/// What a [`Job`] is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Plan {
    /// Try deliveries again.
    Replay(ReplayPlan),
    /// Send past events to a trigger.
    Backfill(BackfillPlan),
}

impl Plan {
    /// How much later each further delivery is due.
    fn spacing(&self) -> Duration {
        let per_second = match self {
            Self::Replay(plan) => plan.per_second,
            Self::Backfill(plan) => plan.per_second,
        };
        per_second.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1))
    }
}

/// Why a job was not begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// So many jobs are under way already; wait for one to end, or end one.
    #[error("expected at most {MAX_JOBS} jobs under way")]
    TooMany,
    /// There is no such trigger.
    #[error("trigger {id} does not exist")]
    NoTrigger {
        /// The id that was asked for.
        id: TriggerId,
    },
    /// The storage did not take it.
    #[error("the job could not be stored")]
    Storage(#[from] StorageError),
}

impl Engine {
    /// Begins to try dead and parked deliveries again, by pages and at the plan's rate, with their
    /// bodies as they were and a new schedule. Runs work at it, of this engine or of another on the
    /// same storage, also after a restart.
    ///
    /// # Errors
    /// [`JobError`].
    pub async fn start_replay(&self, plan: ReplayPlan) -> Result<JobId, JobError> {
        self.core.begin_job(Plan::Replay(plan)).await
    }

    /// Begins to send past events to a trigger, those that it would have got. An event that it got
    /// is not sent again. Otherwise as [`start_replay`](Self::start_replay).
    ///
    /// # Errors
    /// [`JobError`].
    pub async fn start_backfill(&self, plan: BackfillPlan) -> Result<JobId, JobError> {
        let id = plan.trigger;
        self.core.known().index.get(id).ok_or(JobError::NoTrigger { id })?;
        self.core.begin_job(Plan::Backfill(plan)).await
    }

    /// All jobs: at most 64, of which the oldest that is over goes first.
    ///
    /// # Errors
    /// The storage's.
    pub async fn jobs(&self) -> Result<Vec<Job>, StorageError> {
        Ok(read(self.core.read_jobs().await?.as_deref()))
    }

    /// Ends a job where it is. What it has made due stays so. Tells whether it was under way.
    ///
    /// # Errors
    /// The storage's.
    pub async fn cancel_job(&self, id: JobId) -> Result<bool, StorageError> {
        let end = |jobs: &mut Vec<Job>| {
            let job = jobs.iter_mut().find(|job| job.id == id && !job.is_over)?;
            job.is_over = true;
            Some(())
        };
        Ok(self.core.change_jobs(end).await?.is_some())
    }
}

impl Core {
    async fn begin_job(&self, plan: Plan) -> Result<JobId, JobError> {
        let now = self.clock.now();
        let id = JobId::new(now, &*self.entropy);
        let job = Job {
            id,
            plan,
            begun_at: now,
            done: 0,
            is_over: false,
            after: None,
            next_at: now,
            taken_until: None,
        };
        let add = |jobs: &mut Vec<Job>| {
            while jobs.len() >= MAX_JOBS {
                let over = jobs.iter().position(|job| job.is_over)?;
                jobs.remove(over);
            }
            jobs.push(job.clone());
            Some(())
        };
        self.change_jobs(add).await?.ok_or(JobError::TooMany)?;
        self.has_new_job.store(true, Ordering::Release);
        self.wake();
        Ok(id)
    }

    /// Works at jobs as far as they can be worked at now; tells when the next one goes on.
    pub(super) async fn work_at_jobs(&self) -> Result<Option<Timestamp>, StorageError> {
        loop {
            // A large job must not keep what others changed from this node.
            self.refresh().await?;
            self.follow_paused().await?;
            let now = self.clock.now();
            let until = now + self.options.lease;
            let jobs = read(self.read_jobs().await?.as_deref());
            let next = jobs.iter().filter_map(Job::goes_on_at).min();
            if next.is_none_or(|at| at > now) {
                return Ok(next);
            }
            let take = |jobs: &mut Vec<Job>| {
                let job =
                    jobs.iter_mut().find(|job| job.goes_on_at().is_some_and(|at| at <= now))?;
                job.taken_until = Some(until);
                Some(job.clone())
            };
            let Some(job) = self.change_jobs(take).await? else { continue };
            let page = self.page(&job).await?;
            let go_on = |jobs: &mut Vec<Job>| {
                let mine = |one: &&mut Job| one.id == job.id && one.taken_until == Some(until);
                let job = jobs.iter_mut().find(mine)?;
                job.taken_until = None;
                job.done += page.done as u64;
                job.is_over |= page.after.is_none();
                job.after = page.after.clone().or(job.after.take());
                let span =
                    job.plan.spacing().saturating_mul(page.done.try_into().unwrap_or(u32::MAX));
                job.next_at = now + span;
                Some(())
            };
            self.change_jobs(go_on).await?;
        }
    }

    async fn read_jobs(&self) -> Result<Option<String>, StorageError> {
        self.read_cursor(CURSOR).await
    }

    /// Changes the jobs; `None` leaves them as they are.
    async fn change_jobs<T>(
        &self,
        change: impl Fn(&mut Vec<Job>) -> Option<T> + Send + Sync,
    ) -> Result<Option<T>, StorageError> {
        let change = |cursor: Option<&str>| {
            let mut jobs = read(cursor);
            let changed = change(&mut jobs);
            Ok(changed.map(|changed| {
                let value = serde_json::to_string(&jobs).expect("the keys of a job are strings");
                (Some(value), changed)
            }))
        };
        self.change_cursor(CURSOR, change).await
    }
}

/// The jobs that a cursor tells. One of a newer version of this crate, that cannot be read, is left
/// out, and so forgotten when the cursor is written.
fn read(cursor: Option<&str>) -> Vec<Job> {
    let values: Vec<serde_json::Value> =
        cursor.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect()
}
