//! Actions take deliveries as endpoints do.

use std::sync::atomic::{AtomicUsize, Ordering};

use artifact_triggers::action::{Action, ActionCall, ActionError, Done};
use artifact_triggers::delivery::{DeadReason, DeliveryPolicy, Jitter, State};
use artifact_triggers::event::EventKind;
use artifact_triggers::trigger::Trigger;
use async_trait::async_trait;

use crate::bench::*;

#[derive(Debug, Default)]
pub(crate) struct Flaky(AtomicUsize);

#[async_trait]
impl Action for Flaky {
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Err(ActionError::Transient("not yet".to_owned())),
            1 => Ok(format!("did {} for attempt {}", call.config, call.attempt).into()),
            _ => Err(ActionError::Permanent("never".to_owned())),
        }
    }
}

#[tokio::test]
async fn an_action_is_retried_logged_and_can_refuse_for_good() {
    let bench = bench(Script::statuses([200])).await;
    let action = Trigger::builder("t")
        .on(EventKind::ARTIFACT_INGESTED)
        .action_with("flaky", serde_json::json!("it"))
        .policy(DeliveryPolicy::default().with_jitter(Jitter::None));
    bench.trigger(action).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Delivered);
    let log = bench.log(&delivery).await;
    assert_eq!(log[0].attempt.error.as_deref(), Some("not yet"));
    assert_eq!(log[1].attempt.response.as_deref(), Some("did \"it\" for attempt 2"));
    bench.engine.publish(event("b")).await.unwrap();
    bench.work(MINUTE).await;
    let last = bench.deliveries().await.into_iter().find(|d| d.id != delivery.id).unwrap();
    assert_eq!(last.state, State::Dead { reason: DeadReason::Invalid });
}
