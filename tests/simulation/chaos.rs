//! Chaos: what befalls nodes and storage until faults end.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::Odds;
use crate::plan::{HOUR, MINUTE, SECOND};
use crate::random::Random;
use crate::world::{World, kill};

pub(crate) async fn strike(world: Arc<World>, random: Random) {
    let end = world.plan.faults_end;
    let mut times: Vec<_> = (0..world.plan.blows)
        .map(|_| world.plan.start + random.span(Duration::ZERO, end.since(world.plan.start)))
        .collect();
    times.sort();
    for at in times {
        world.time.sleep_until(at).await;
        blow(&world, &random).await;
    }
    world.time.sleep_until(end).await;
    world.trace.note("faults end", &[]);
    world.weather.set(Odds::default());
    world.weather.break_until(end);
}

async fn blow(world: &World, random: &Random) {
    let node = &world.nodes[random.index(world.nodes.len())];
    let which = random.below(6);
    world.trace.note("blow", &[("which", which), ("node", node.life().node)]);
    match which {
        0 => kill(world, node, random.span(Duration::ZERO, HOUR)),
        1 => {
            node.pause(true);
            let span = random.span(SECOND, world.plan.options.lease * 3);
            world.time.sleep(span).await;
            node.pause(false);
        }
        2 => {
            let Some((life, engine)) = node.engine() else { return };
            let limit = random.span(Duration::ZERO, SECOND * 5);
            node.during(life, async move { engine.shutdown(limit).await }).await;
        }
        3 => {
            let span = random.span(MINUTE, HOUR);
            world.weather.break_until(world.time.now() + span);
        }
        4 => skew(world, random),
        _ => {
            for node in &world.nodes {
                kill(world, node, random.span(Duration::ZERO, MINUTE * 5));
            }
        }
    }
}

/// Sets the nodes' clocks, each wrong by what is allowed at most.
pub(crate) fn skew(world: &World, random: &Random) {
    let most = i64::try_from(world.plan.rules.skew.as_micros()).expect("it is short");
    for node in &world.nodes {
        let width = u64::try_from(2 * most + 1).expect("it is positive");
        node.clock.skew(i64::try_from(random.below(width)).expect("it is short") - most);
    }
}
