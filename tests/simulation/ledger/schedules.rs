//! What schedules must have fired: each due time once, none before its time, none left out.

use std::collections::BTreeMap;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::{Event, EventKind};
use artifact_triggers::id::TriggerId;
use artifact_triggers::schedule::Schedule;
use artifact_triggers::storage::Record;

use super::Books;
use crate::invariants::Invariant;

/// More than any plan has.
const MOST: usize = 1_000;

/// When a trigger is to be fired.
#[derive(Debug)]
pub(super) struct Timetable {
    /// The due times, in their order, with when each is fired at the earliest.
    due: BTreeMap<Timestamp, Timestamp>,
    fired: BTreeMap<Timestamp, u32>,
    /// Whether each of them is made up for, however late.
    is_whole: bool,
}

impl Timetable {
    pub(super) fn of(
        trigger: TriggerId,
        schedule: &Schedule,
        from: Timestamp,
        is_whole: bool,
    ) -> Self {
        let due = schedule.upcoming(from, MOST).into_iter();
        let due = due.map(|due| (due, schedule.fires_at(trigger, due))).collect();
        Self { due, fired: BTreeMap::new(), is_whole }
    }

    /// Notes a firing; what is wrong with it, if anything is.
    fn fire(&mut self, due: Timestamp, latest_clock: Timestamp) -> Option<String> {
        let count = self.fired.entry(due).or_default();
        *count += 1;
        if *count > 1 {
            return Some(format!("{due} is fired again"));
        }
        match self.due.get(&due) {
            None => Some(format!("{due} is fired, and was never due")),
            Some(at) if *at > latest_clock => Some(format!("{due} is fired before {at}")),
            Some(_) => None,
        }
    }

    /// How many due times that have come on every clock are not fired.
    fn left(&self, earliest_clock: Timestamp) -> usize {
        let has_come = |(_, at): &(&Timestamp, &Timestamp)| **at < earliest_clock;
        let come = self.due.iter().filter(has_come);
        let left = come.filter(|(due, _)| !self.fired.contains_key(due)).count();
        if self.is_whole { left } else { 0 }
    }
}

impl Books {
    /// An event with which a schedule was fired is stored, for the first time.
    pub(super) fn follow_firing(&mut self, event: &Event, record: &Record, now: Timestamp) {
        if event.kind != EventKind::SCHEDULE_FIRED {
            return;
        }
        let trigger: TriggerId = event.attributes["trigger"].parse().expect("it is an id");
        self.counts.fired += 1;
        let latest = now + self.rules.slack();
        let table = self.timetables.get_mut(&trigger).expect("only triggers of the plan fire");
        let wrong = table.fire(event.occurred_at, latest);
        let is_sent = record.deliveries.iter().any(|(delivery, _)| delivery.trigger == trigger);
        let wrong = wrong.or_else(|| (!is_sent).then(|| format!("{} is not sent", event.id)));
        if let Some(what) = wrong {
            self.violate(now, Invariant::SchedulesFireOnce, format!("{trigger}: {what}"));
        }
    }

    /// How many due times that have come are not fired, of triggers that nobody takes from work.
    pub(super) fn not_fired(&self, now: Timestamp) -> usize {
        let earliest = now.before(self.rules.slack());
        self.timetables.values().map(|table| table.left(earliest)).sum()
    }
}
