//! How long a start takes to its first delivery.

use std::time::{Duration, Instant};

use artifact_triggers::event::Scope;
use artifact_triggers::storage::Storage;

use super::fill::{fill, spec};
use super::place::Place;
use super::{ROUNDS, SMALL, median, sink};

/// Opens the large backlog and one of a few, in turns, until the first post arrives.
pub(super) async fn compare<P: Place>(name: &str, large: &P, place: &impl Fn(String) -> P) {
    let small = place("start".to_owned());
    fill(small.open_fast().await, SMALL).await;
    let (mut many, mut few) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        many.push(first_delivery(large).await);
        few.push(first_delivery(&small).await);
    }
    let (many, few) = (median(many), median(few));
    let more = many.saturating_sub(few);
    println!(
        "| {name}: start to first delivery | {many:.2?} | {few:.2?} with {SMALL} | + {more:.2?} | ≤ + 100 ms |"
    );
}

async fn first_delivery(place: &impl Place) -> Duration {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let url = sink::start(move |_| {
        // Only the first is waited for.
        let _ = tell.send(Instant::now());
    })
    .await;
    point_at(place.open().await, &url).await;
    let began = Instant::now();
    let engine = sink::engine(place.open().await, 1).await;
    engine.spawn(1);
    let first = told.recv().await.expect("the sink lives");
    sink::end(&engine).await;
    first - began
}

/// Has the triggers deliver to a sink.
pub(super) async fn point_at(storage: impl Storage, url: &str) {
    let engine = sink::engine(storage, 1).await;
    for trigger in engine.triggers(&Scope::root()) {
        let spec = spec(&trigger.spec.name, url);
        engine.update_trigger(trigger.id, trigger.revision, spec).await.expect("it is stored");
    }
}
