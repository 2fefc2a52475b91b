//! Samples: a template tried out before it is stored, on an event of each kind that it may get.
//!
//! In: a template and kinds. Out: what it could not make of them, each with the path of the text.
//! What only the sender of an event knows, its `data` and its attributes, stands for anything.

use serde_json::{Map, Value};

use super::context::{self, Sample};
use super::{Failed, Run, Template, TriggerName};
use crate::clock::Timestamp;
use crate::document::{Problems, join};
use crate::event::{Event, EventKind};
use crate::id::TriggerId;

impl Template {
    /// Reports what it cannot make of events of some kinds: of each of its texts the first that is
    /// found.
    pub(crate) fn try_out(&self, kinds: &[EventKind], path: &str, problems: &mut Problems) {
        let mut told: Vec<String> = Vec::new();
        for kind in kinds {
            if let Err(failed) = self.tried_on(kind)
                && !told.contains(&failed.path)
            {
                let Failed { path: text, message, .. } = failed;
                let message = format!("{message} (in an event of kind {kind})");
                problems.add(join(path, &text), message);
                told.push(text);
            }
        }
    }

    fn tried_on(&self, kind: &EventKind) -> Result<(), Failed> {
        let trigger = TriggerName {
            id: TriggerId::derived(Timestamp::UNIX_EPOCH, &[b"sample"]),
            name: "sample",
        };
        let event = match serde_json::to_value(Event::sample(kind.clone())) {
            Ok(Value::Object(event)) => event,
            _ => Map::new(),
        };
        let sample = Sample::default();
        let mut run = Run::new(context::of_sample(event, trigger, &sample));
        match self.rendered(&mut run) {
            // It may have failed for what stands in for the real thing.
            Err(failed) if failed.is_certain || !sample.is_used() => Err(failed),
            _ => Ok(()),
        }
    }
}
