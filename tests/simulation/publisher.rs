//! Publishers: each tells its events until they are acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use artifact_triggers::event::Event;

use crate::plan::{EventPlan, MINUTE};
use crate::random::Random;
use crate::world::World;

pub(crate) async fn publish(world: Arc<World>, events: Vec<EventPlan>, random: Random) {
    for plan in events {
        world.time.sleep_until(plan.at).await;
        let event = plan.event(world.time.now(), &random);
        until_acknowledged(&world, &event, &random).await;
        world.ledger.acknowledge(event.id, &plan);
        if plan.is_repeated {
            until_acknowledged(&world, &event, &random).await;
        }
    }
    world.publishing.fetch_sub(1, Ordering::Relaxed);
}

async fn until_acknowledged(world: &World, event: &Event, random: &Random) {
    while !once(world, event, random).await {
        world.time.sleep(random.span(Duration::from_millis(100), MINUTE)).await;
    }
}

async fn once(world: &World, event: &Event, random: &Random) -> bool {
    let Some((node, life, engine)) = world.some_engine(random) else { return false };
    let published = node.during(life, async move { engine.publish(event.clone()).await }).await;
    published.is_some_and(|result| result.is_ok())
}
