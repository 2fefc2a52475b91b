//! Jobs: replays and backfills of any size, page by page, at a rate, across restarts and nodes.
//!
//! In: a [`ReplayPlan`] or a [`BackfillPlan`]. Out: deliveries that wait. All jobs stand in one
//! cursor of the storage; who works at one takes it for a while, by moving the cursor, and writes
//! down how far it came. What a page did twice is there once: a delivery that waits is not replayed
//! again, and a delivery that is there is not made again.

mod page;

use std::sync::atomic::Ordering;
use std::time::Duration;

use page::{Page, Trouble};
use serde::{Deserialize, Serialize};

use super::{Core, Engine};
use crate::clock::Timestamp;
use crate::delivery::StateName;
use crate::document::Problems;
use crate::event::Scope;
use crate::id::{JobId, TriggerId};
use crate::storage::StorageError;

/// Where all jobs stand, as a list in JSON.
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
    /// How many become due in a second, 1 or more; all at once if `None`.
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
    /// How many deliveries become due in a second, 1 or more; all at once if `None`.
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
    /// Why it does not go on, or ended before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
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
    fn per_second(&self) -> Option<u32> {
        match self {
            Self::Replay(plan) => plan.per_second,
            Self::Backfill(plan) => plan.per_second,
        }
    }

    fn check(&self) -> Result<(), Problems> {
        Problems::gather(|problems| {
            if self.per_second() == Some(0) {
                problems.add("per_second", "expected 1 or more, found 0");
            }
            if let Self::Replay(ReplayPlan { state: Some(state), .. }) = self
                && !matches!(state, StateName::Dead | StateName::Parked)
            {
                let found = serde_json::json!(state);
                problems.add("state", format!("expected dead or parked, found {found}"));
            }
            Some(())
        })
    }

    /// How much later each further delivery is due.
    fn spacing(&self) -> Duration {
        self.per_second().map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1))
    }
}

/// Why a job was not begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The plan can do nothing; no job was begun.
    #[error("the plan: {problems}")]
    Invalid {
        /// What is wrong with it.
        problems: Problems,
    },
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
        let known = self.core.known();
        let trigger = known.index.get(id).ok_or(JobError::NoTrigger { id })?;
        if trigger.spec.is_fed() {
            let message =
                "expected one without schedule and watch, which gets nothing but its own events";
            return Err(JobError::Invalid { problems: Problems::at("trigger", message) });
        }
        drop(known);
        self.core.begin_job(Plan::Backfill(plan)).await
    }

    /// All jobs: at most 64, of which the oldest that is over goes first.
    ///
    /// # Errors
    /// The storage's.
    pub async fn jobs(&self) -> Result<Vec<Job>, StorageError> {
        Ok(self.core.read_jobs().await?.known)
    }

    /// The jobs that this engine cannot read, as they are stored: of a newer version of this crate,
    /// or damaged. They are kept, count as under way, and are not worked at here; observers are
    /// told of them.
    ///
    /// # Errors
    /// The storage's.
    pub async fn unreadable_jobs(&self) -> Result<Vec<serde_json::Value>, StorageError> {
        Ok(self.core.read_jobs().await?.unreadable)
    }

    /// Ends a job where it is. What it has made due stays so. One that cannot be read is forgotten.
    /// Tells whether it was under way.
    ///
    /// # Errors
    /// The storage's.
    pub async fn cancel_job(&self, id: JobId) -> Result<bool, StorageError> {
        let end = |jobs: &mut Jobs| {
            let unreadable = jobs.unreadable.len();
            jobs.unreadable.retain(|job| job["id"] != id.to_string());
            if jobs.unreadable.len() < unreadable {
                return Some(());
            }
            let job = jobs.known.iter_mut().find(|job| job.id == id && !job.is_over)?;
            job.is_over = true;
            Some(())
        };
        Ok(self.core.change_jobs(end).await?.is_some())
    }
}

impl Core {
    async fn begin_job(&self, plan: Plan) -> Result<JobId, JobError> {
        plan.check().map_err(|problems| JobError::Invalid { problems })?;
        let now = self.clock.now();
        let id = JobId::new(now, &*self.entropy);
        let job = Job {
            id,
            plan,
            begun_at: now,
            done: 0,
            is_over: false,
            problem: None,
            after: None,
            next_at: now,
            taken_until: None,
        };
        let add = |jobs: &mut Jobs| {
            while jobs.known.len() + jobs.unreadable.len() >= MAX_JOBS {
                let over = jobs.known.iter().position(|job| job.is_over)?;
                jobs.known.remove(over);
            }
            jobs.known.push(job.clone());
            Some(())
        };
        self.change_jobs(add).await?.ok_or(JobError::TooMany)?;
        self.has_new_job.store(true, Ordering::Release);
        self.wake();
        Ok(id)
    }

    /// Works at jobs as far as they can be worked at now; tells when the next one goes on.
    pub(super) async fn work_at_jobs(&self) -> Result<Option<Timestamp>, StorageError> {
        let mut is_told = false;
        let mut looked_at = None;
        loop {
            // A large job must not keep what others changed from this node.
            self.refresh().await?;
            self.follow_paused().await?;
            self.end_remains().await?;
            let now = self.clock.now();
            if looked_at.is_none_or(|at| at + self.options.refresh <= now) {
                self.look_at_backlog().await;
                // Nor what others stored, which else is looked for at the end of a refresh.
                if looked_at.replace(now).is_some() {
                    self.wake();
                }
            }
            let until = now + self.options.lease;
            let jobs = self.read_jobs().await?;
            if !jobs.unreadable.is_empty() && !std::mem::replace(&mut is_told, true) {
                self.tell_damaged(format!("{} of the jobs", jobs.unreadable.len()));
            }
            let next = jobs.known.iter().filter_map(Job::goes_on_at).min();
            if next.is_none_or(|at| at > now) {
                return Ok(next);
            }
            let take = |jobs: &mut Jobs| {
                let is_free = |job: &&mut Job| job.goes_on_at().is_some_and(|at| at <= now);
                let job = jobs.known.iter_mut().find(is_free)?;
                job.taken_until = Some(until);
                Some(job.clone())
            };
            let Some(job) = self.change_jobs(take).await? else { continue };
            let page = self.page(&job).await?;
            let go_on = |jobs: &mut Jobs| {
                let mine = |one: &&mut Job| one.id == job.id && one.taken_until == Some(until);
                let job = jobs.known.iter_mut().find(mine)?;
                job.taken_until = None;
                self.go_on(job, &page, now);
                Some(())
            };
            self.change_jobs(go_on).await?;
        }
    }

    /// What a job is after a page.
    fn go_on(&self, job: &mut Job, page: &Result<Page, Trouble>, now: Timestamp) {
        let page = match page {
            Ok(page) => page,
            Err(Trouble::Waits { reason }) => {
                job.problem = Some(reason.clone());
                job.next_at = now + self.options.refresh;
                return;
            }
            Err(Trouble::Ends { reason }) => {
                job.problem = Some(reason.clone());
                job.is_over = true;
                return;
            }
        };
        job.problem = None;
        job.done += page.done as u64;
        job.is_over |= page.after.is_none();
        job.after = page.after.clone().or(job.after.take());
        let done = page.done.try_into().unwrap_or(u32::MAX);
        job.next_at = now + job.plan.spacing().saturating_mul(done);
    }

    async fn read_jobs(&self) -> Result<Jobs, StorageError> {
        read(self.read_cursor(CURSOR).await?.as_deref())
    }

    /// Changes the jobs; `None` leaves them as they are.
    async fn change_jobs<T>(
        &self,
        change: impl Fn(&mut Jobs) -> Option<T> + Send + Sync,
    ) -> Result<Option<T>, StorageError> {
        let change = |cursor: Option<&str>| {
            let mut jobs = read(cursor)?;
            let changed = change(&mut jobs);
            Ok(changed.map(|changed| (Some(print(jobs)), changed)))
        };
        self.change_cursor(CURSOR, change).await
    }
}

/// All jobs, as the cursor has them.
#[derive(Debug, Default)]
struct Jobs {
    known: Vec<Job>,
    /// Those that cannot be read: damaged, or of a newer version of this crate.
    unreadable: Vec<serde_json::Value>,
}

fn read(cursor: Option<&str>) -> Result<Jobs, StorageError> {
    let Some(text) = cursor else { return Ok(Jobs::default()) };
    let values: Vec<serde_json::Value> = serde_json::from_str(text)
        .map_err(|error| StorageError::Corrupt { reason: format!("the jobs: {error}") })?;
    let mut jobs = Jobs::default();
    for value in values {
        match Job::deserialize(&value) {
            Ok(job) => jobs.known.push(job),
            Err(_) => jobs.unreadable.push(value),
        }
    }
    Ok(jobs)
}

fn print(Jobs { known, unreadable }: Jobs) -> String {
    let known = known.into_iter().map(serde_json::to_value);
    let mut values: Vec<_> = known.map(|job| job.expect("the keys of a job are strings")).collect();
    values.extend(unreadable);
    serde_json::Value::from(values).to_string()
}
