//! Jobs, as the cursor tells of them in which all stand.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::State;
use artifact_triggers::id::{DeliveryId, TriggerId};
use artifact_triggers::storage::CursorMove;
use serde_json::Value;

use super::Books;
use crate::invariants::Invariant;

/// What a job has to do.
#[derive(Debug)]
pub(super) struct Job {
    is_over: bool,
    /// When it was first told of, in true time.
    told_at: Timestamp,
    /// What is dead or parked as it begins, with how often it was replayed before.
    to_replay: Vec<(DeliveryId, u32)>,
    /// What is not there as it begins, and should be.
    to_make: Vec<DeliveryId>,
}

impl Books {
    /// Cursors moved: takes in what they say of jobs.
    pub(super) fn follow_jobs(&mut self, cursors: &[CursorMove], now: Timestamp) {
        for moved in cursors {
            let CursorMove::Set { key, value: Some(value), .. } = moved else { continue };
            if key == "jobs" {
                let jobs: Vec<Value> = serde_json::from_str(value).expect("it is a list");
                for job in &jobs {
                    self.follow_job(job, now);
                }
            }
        }
    }

    fn follow_job(&mut self, told: &Value, now: Timestamp) {
        let id = told["id"].as_str().expect("each has an id").to_owned();
        if !self.jobs.contains_key(&id) {
            self.counts.jobs += 1;
            let begun = self.begun(told, now);
            self.jobs.insert(id.clone(), begun);
        }
        let job = self.jobs.get_mut(&id).expect("it was put there");
        if told["is_over"] == Value::Bool(true) && !job.is_over {
            job.is_over = true;
            if let Some(what) = self.left_undone(&self.jobs[&id]) {
                self.violate(now, Invariant::JobsEnd, format!("{id} is over, but {what}"));
            }
        }
    }

    fn begun(&self, told: &Value, now: Timestamp) -> Job {
        let (to_replay, to_make) = (Vec::new(), Vec::new());
        let mut job = Job { is_over: false, told_at: now, to_replay, to_make };
        let trigger = |plan: &Value| plan["trigger"].as_str().map(ToOwned::to_owned);
        let plan = &told["plan"];
        if plan["replay"].is_object() {
            let only = trigger(&plan["replay"]);
            let begun_at = told["begun_at"].as_str().expect("each has begun");
            let begun_at: Timestamp = begun_at.parse().expect("it is a time");
            let wanted = self.accounts.values().filter(|account| {
                let delivery = &account.delivery;
                matches!(delivery.state, State::Dead { .. } | State::Parked)
                    && delivery.created_at < begun_at
                    && account.settled_at <= begun_at
                    && only.as_ref().is_none_or(|only| *only == delivery.trigger.to_string())
                    && !account.is_gone
                    && !delivery.contents_dropped
            });
            job.to_replay = wanted.map(|account| (account.delivery.id, account.replays)).collect();
        } else {
            let of = trigger(&plan["backfill"]).expect("it is for a trigger");
            job.to_make = self.missing_for(of.parse().expect("it is an id"));
        }
        job
    }

    /// Deliveries to a trigger that are not there, of events that it would have got. None is looked
    /// for once events may be gone.
    fn missing_for(&self, trigger: TriggerId) -> Vec<DeliveryId> {
        if self.is_pruned {
            return Vec::new();
        }
        let plan = &self.plans[&trigger];
        let wanted = self.acknowledged.iter().filter(|(_, event)| plan.wants(event));
        let ids = wanted.map(|(event, _)| DeliveryId::of(*event, trigger));
        ids.filter(|id| !self.accounts.contains_key(id)).collect()
    }

    fn left_undone(&self, job: &Job) -> Option<String> {
        let is_untried = |(id, before): &&(DeliveryId, u32)| {
            let account = &self.accounts[id];
            let is_discarded = matches!(account.delivery.state, State::Cancelled { .. });
            // One that was pruned meanwhile may have been made anew.
            let is_the_same = !account.is_gone && account.recorded_at <= job.told_at;
            let has_contents = !account.delivery.contents_dropped;
            account.replays == *before && is_the_same && !is_discarded && has_contents
        };
        if let Some((id, _)) = job.to_replay.iter().find(is_untried) {
            return Some(format!("{id} was not tried again"));
        }
        if self.is_pruned || self.stories.values().any(|story| story.was_deleted) {
            return None;
        }
        let missing = job.to_make.iter().find(|id| !self.accounts.contains_key(id))?;
        Some(format!("{missing} was not made"))
    }

    pub(super) fn running_jobs(&self) -> usize {
        self.jobs.values().filter(|job| !job.is_over).count()
    }

    /// Jobs that have not ended when all has.
    pub(super) fn unended(&self) -> Vec<(Invariant, String)> {
        let running = self.jobs.iter().filter(|(_, job)| !job.is_over);
        running.map(|(id, _)| (Invariant::JobsEnd, format!("{id} goes on for ever"))).collect()
    }
}
