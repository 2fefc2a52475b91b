//! Retention as an action: lists, plans and deletes whenever its trigger fires.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Outlook, Retain, RetentionError, RetentionRun};
use crate::action::{Action, ActionCall, ActionError, Done};
use crate::event::EventKind;
use crate::trigger::TRIGGER;

/// Deletes what a policy does not keep, in the scope of the event that it is triggered by: mostly
/// of its trigger's own schedule. For that of another trigger nothing is deleted: who may have one
/// in a scope below does not decide how often retention runs there.
///
/// The trigger's configuration is a [`RetentionRun`] in JSON. A run ends with one event
/// `retention.completed` whose `data` is its [summary](super::RetentionSummary). What cannot be
/// deleted is told there and tried again by the next run; only if the versions cannot be listed is
/// the delivery tried again. A run that ends in the middle, such as by its time-out, goes on when
/// the delivery is tried again: what is there then is listed and planned anew, as of the time of
/// the event, and [`at_most`](RetentionRun::at_most) counts from the beginning.
///
/// Give its triggers a [time-out](crate::delivery::DeliveryPolicy::timeout) that is long enough to
/// list everything; what is deleted by then stays deleted.
///
/// ```
/// # #[cfg(feature = "schedule")] {
/// use artifact_triggers::retention::{RetentionPolicy, RetentionRun};
/// use artifact_triggers::schedule::Schedule;
/// use artifact_triggers::trigger::Trigger;
///
/// let run = RetentionRun::new(RetentionPolicy::keep_last(10)).dry();
/// let nightly = Trigger::builder("nightly")
///     .schedule(Schedule::cron("0 3 * * *")?.in_zone("Europe/Berlin")?)
///     .action_with("retention", run.to_value())
///     .build()?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RetentionAction<R> {
    retain: R,
}

impl<R: Retain> RetentionAction<R> {
    /// Retention by what a registry implements.
    pub fn new(retain: R) -> Self {
        Self { retain }
    }

    /// What the registry implements.
    pub fn retain(&self) -> &R {
        &self.retain
    }
}

#[async_trait]
impl<R: Retain> Action for RetentionAction<R> {
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
        let run = RetentionRun::from_value(call.config.clone());
        let run = run.map_err(|problems| ActionError::Permanent(format!("config: {problems}")))?;
        let event = &call.event;
        if event.kind == EventKind::PING {
            return Ok("nothing is deleted for a ping".into());
        }
        if is_of_another(&call) {
            return Ok("nothing is deleted for the schedule of another trigger".into());
        }
        let now = event.happened_at();
        let outlook = Outlook::of(&self.retain, &event.scope, run, now).await;
        let summary = outlook.map_err(|error| action_error(&error))?.run(&self.retain).await;
        let completed = call
            .tell(EventKind::RETENTION_COMPLETED)
            .attribute("dry_run", summary.dry_run.to_string())
            .data(json!(summary));
        Ok(Done::new(summary.to_string()).with_event(completed))
    }

    fn check_config(&self, config: &Value) -> Result<(), String> {
        RetentionRun::from_value(config.clone()).map(drop).map_err(|problems| problems.to_string())
    }
}

/// Whether a schedule fired that is not the trigger's own: it catches those of all triggers in its
/// scope if it has none and names the kind.
fn is_of_another(call: &ActionCall) -> bool {
    let of = call.event.attributes.get(TRIGGER);
    call.event.kind == EventKind::SCHEDULE_FIRED
        && of.is_some_and(|of| *of != call.trigger.to_string())
}

fn action_error(error: &RetentionError) -> ActionError {
    match error {
        RetentionError::TooMany | RetentionError::Endless => {
            ActionError::Permanent(error.to_string())
        }
        RetentionError::List(_) => ActionError::Transient(error.to_string()),
    }
}
