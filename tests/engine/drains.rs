//! Drains: what is due is worked off, what comes later is left, and the engine ends.

use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::Clock as _;
use artifact_triggers::delivery::{EndpointKey, StateName};
use artifact_triggers::engine::Drained;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::bench::*;

const SECOND: Duration = Duration::from_secs(1);

impl Bench {
    pub(crate) fn begin_run(&self) {
        let engine = self.engine.clone();
        tokio::spawn(async move { engine.run().await });
    }

    fn begin_drain(&self, limit: Duration) -> JoinHandle<Drained> {
        let engine = self.engine.clone();
        tokio::spawn(async move { engine.drain(limit).await.unwrap() })
    }

    /// Lets what was spawned work, and time pass for it.
    pub(crate) async fn pass(&self, span: Duration) {
        let end = self.clock.now() + span;
        loop {
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            match self.clock.next_wake() {
                Some(at) if at <= end => self.clock.set(at),
                _ => return self.clock.set(end),
            }
        }
    }

    async fn states(&self) -> Vec<StateName> {
        self.deliveries().await.iter().map(|delivery| delivery.state.name()).collect()
    }
}

/// A bench on which two deliveries are in flight until the gate is open.
async fn with_two_in_flight() -> (Bench, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let bench = bench(Script::new([Answer::Later(200, gate.clone())])).await;
    bench.trigger(webhook("t")).await;
    bench.begin_run();
    bench.engine.publish_all(vec![event("a"), event("b")]).await.unwrap();
    bench.pass(SECOND / 10).await;
    assert_eq!(bench.script.requests().len(), 2);
    (bench, gate)
}

#[tokio::test]
async fn what_is_due_is_worked_off_and_what_is_published_meanwhile_is_left() {
    let (bench, gate) = with_two_in_flight().await;
    bench.engine.publish(event("c")).await.unwrap();
    let drain = bench.begin_drain(MINUTE);
    bench.pass(SECOND).await;
    bench.engine.publish(event("d")).await.unwrap();
    bench.pass(SECOND).await;
    assert!(!drain.is_finished());
    gate.add_permits(10);
    bench.pass(SECOND).await;
    let drained = drain.await.unwrap();
    assert!(drained.is_complete);
    assert_eq!(drained.left.iter().map(|left| left.deliveries).collect::<Vec<_>>(), [1]);
    let states = bench.states().await;
    let count = |wanted| states.iter().filter(|state| **state == wanted).count();
    assert_eq!((count(StateName::Delivered), count(StateName::Waiting)), (3, 1));
    assert_eq!(bench.engine.stats().runs, 0);
}

#[tokio::test]
async fn what_is_to_be_tried_again_later_is_not_waited_for() {
    let bench = bench(Script::statuses([500])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.begin_run();
    let drain = bench.begin_drain(DAY);
    bench.pass(SECOND).await;
    let drained = drain.await.unwrap();
    assert_eq!((drained.is_complete, drained.left.len()), (true, 1));
    assert_eq!(bench.script.requests().len(), 1);
}

#[tokio::test]
async fn at_the_limit_what_is_in_flight_is_given_back_and_told() {
    let (bench, _gate) = with_two_in_flight().await;
    let drain = bench.begin_drain(SECOND);
    bench.pass(2 * SECOND).await;
    let drained = drain.await.unwrap();
    assert_eq!((drained.is_complete, drained.left[0].deliveries), (false, 2));
    assert_eq!(bench.states().await, [StateName::Waiting; 2]);
}

#[tokio::test]
async fn an_endpoint_that_is_paused_is_not_waited_for() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.engine.pause(EndpointKey::new("https://hooks.example")).await.unwrap();
    bench.begin_run();
    let drain = bench.begin_drain(DAY);
    bench.pass(SECOND).await;
    assert!(!drain.await.unwrap().is_complete, "it is left");
}

#[tokio::test]
async fn a_drain_that_is_dropped_lets_the_engine_go_on() {
    let (bench, gate) = with_two_in_flight().await;
    let drain = bench.begin_drain(DAY);
    bench.pass(SECOND).await;
    bench.engine.publish(event("c")).await.unwrap();
    bench.pass(SECOND).await;
    drain.abort();
    gate.add_permits(10);
    bench.pass(SECOND).await;
    assert_eq!(bench.states().await, [StateName::Delivered; 3]);
    assert_eq!(bench.engine.stats().runs, 1);
}
