//! Every call to the index that is measured, in one place.

use std::sync::Arc;

use artifact_triggers::event::Event;
use artifact_triggers::id::TriggerId;
use artifact_triggers::trigger::Trigger;
use artifact_triggers::trigger::filter::Filter;
use artifact_triggers::trigger::index::TriggerIndex;
use serde_json::Value;

#[derive(Default)]
pub(crate) struct Index(TriggerIndex);

/// Somebody who still reads the index as it was.
pub(crate) struct Snapshot(#[expect(dead_code, reason = "it is only held")] TriggerIndex);

impl Index {
    pub(crate) fn insert(&mut self, trigger: Arc<Trigger>) {
        self.0.insert(trigger);
    }

    pub(crate) fn remove(&mut self, id: TriggerId) {
        self.0.remove(id);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.0.clone())
    }

    pub(crate) fn find<'i>(&'i self, event: &Event, found: &mut Vec<&'i Arc<Trigger>>) {
        self.0.find(event, found);
    }

    pub(crate) fn find_json<'i>(&'i self, json: &[u8], found: &mut Vec<&'i Arc<Trigger>>) {
        self.0.find_json(json, found).expect("it is an event");
    }
}

pub(crate) fn filter(pattern: &Value) -> Filter {
    Filter::from_value(pattern).expect("it is a filter")
}
