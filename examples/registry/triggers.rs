//! The triggers that this registry comes with. Others are made over HTTP.

use std::time::Duration;

use artifact_triggers::delivery::{Batch, DeliveryPolicy};
use artifact_triggers::document::Problems;
use artifact_triggers::event::EventKind;
use artifact_triggers::payload::{Chat, GitlabPipeline, PayloadFormat};
use artifact_triggers::retention::{RetentionPolicy, RetentionRun};
use artifact_triggers::schedule::Schedule;
use artifact_triggers::trigger::filter::field;
use artifact_triggers::trigger::{Trigger, TriggerSpec};

use super::AnyError;
use super::store::scope;

/// All of them, with the neighbours at a URL.
pub(crate) fn all(neighbours: &str) -> Result<Vec<TriggerSpec>, AnyError> {
    Ok(vec![
        scan()?,
        quarantine()?,
        pipeline(neighbours)?,
        tell_the_team(neighbours)?,
        nightly_retention()?,
    ])
}

fn scan() -> Result<TriggerSpec, Problems> {
    Trigger::builder("scan")
        .scope(scope())
        .on(EventKind::ARTIFACT_INGESTED)
        .on(EventKind::ARTIFACT_UPDATED)
        .action("scan")
        .build()
}

fn quarantine() -> Result<TriggerSpec, Problems> {
    Trigger::builder("quarantine")
        .scope(scope())
        .on(EventKind::SCAN_COMPLETED)
        .filter(field::attribute("verdict").is("findings"))
        .action("quarantine")
        .build()
}

fn pipeline(neighbours: &str) -> Result<TriggerSpec, Problems> {
    Trigger::builder("start-pipeline")
        .scope(scope())
        .on(EventKind::SCAN_COMPLETED)
        .filter(field::attribute("verdict").is("passed"))
        // The token would be in the query; URLs are kept like secrets.
        .unsigned_webhook(format!("{neighbours}/gitlab/api/v4/projects/1/trigger/pipeline?token=t"))
        .format(PayloadFormat::GitlabPipeline(GitlabPipeline::new("main")))
        .build()
}

/// What happens within two seconds is told in one message.
fn tell_the_team(neighbours: &str) -> Result<TriggerSpec, Problems> {
    let digest = Batch::default().with_max_events(20).with_max_wait(Duration::from_secs(2));
    Trigger::builder("tell-the-team")
        .scope(scope())
        .on(EventKind::ARTIFACT_INGESTED)
        .on(EventKind::ARTIFACT_QUARANTINED)
        .on(EventKind::RETENTION_COMPLETED)
        .unsigned_webhook(format!("{neighbours}/chat"))
        .format(PayloadFormat::Slack(Chat::default()))
        .policy(DeliveryPolicy::default().with_batch(digest))
        .build()
}

/// The last three versions of each package are kept, and what was pulled within a month.
pub(crate) fn retention() -> RetentionRun {
    let month = Duration::from_secs(30 * 24 * 60 * 60);
    RetentionRun::new(RetentionPolicy::keep_last(3).with_keep_downloaded_within(month))
}

fn nightly_retention() -> Result<TriggerSpec, AnyError> {
    let night = Schedule::cron("0 3 * * *")?.in_zone("Europe/Berlin")?;
    let trigger = Trigger::builder("nightly-retention")
        .scope(scope())
        .schedule(night)
        .action_with("retention", retention().to_value());
    Ok(trigger.build()?)
}
