//! The operator: replays, prunes, takes triggers from work, and follows receivers that move.

use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::engine::{BackfillPlan, Engine, ReplayPlan};
use artifact_triggers::event::Scope;
use artifact_triggers::id::TriggerId;
use artifact_triggers::storage::{DeliveryQuery, Keep, Retention, StorageError};

use crate::network::{Behaviour, NEW_PATH};
use crate::plan::{DAY, MINUTE};
use crate::random::Random;
use crate::world::World;

pub(crate) async fn operate(world: Arc<World>, random: Random) {
    let span = world.plan.faults_end.since(world.plan.start);
    let mut times: Vec<_> = (0..world.plan.actions_of_operator)
        .map(|_| world.plan.start + random.span(Duration::ZERO, span))
        .collect();
    times.sort();
    for at in times {
        world.time.sleep_until(at).await;
        let Some((node, life, engine)) = world.some_engine(&random) else { continue };
        // Whether it succeeds does not matter: what it did is seen at the storage.
        let _ = node.during(life, act(&world, &engine, &random)).await;
    }
}

async fn act(world: &World, engine: &Engine, random: &Random) -> Result<(), StorageError> {
    let which = random.below(8);
    world.trace.note("operator", &[("which", which)]);
    let (trigger, plan) = &world.triggers[random.index(world.triggers.len())];
    match which {
        0 => {
            let all = DeliveryQuery::of_scope(Scope::root()).with_limit(5);
            engine.replay(all).await.map(drop)
        }
        1 => engine.prune(&draw_retention(random)).await.map(drop),
        2 => engine.enable_trigger(*trigger).await.map(drop),
        3 if plan.is_touched => engine.disable_trigger(*trigger).await.map(drop),
        4 if plan.is_touched => engine.delete_trigger(*trigger).await,
        5 | 6 => {
            // A job that is not begun, or not known to be, is nobody's loss.
            let _ = engine.start_replay(draw_replay(*trigger, random)).await;
            Ok(())
        }
        7 => {
            let plan = BackfillPlan::of_trigger(*trigger);
            let rate = draw_rate(random);
            let plan = rate.map_or(plan.clone(), |rate| plan.with_rate(rate));
            let _ = engine.start_backfill(plan).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn draw_retention(random: &Random) -> Retention {
    let all = Retention::for_span(random.span(DAY / 2, DAY));
    if random.chance(500) {
        return all;
    }
    let keep = |number| Keep::for_span(random.span(DAY / 4, DAY)).at_most(number);
    let all = all.with_delivered(keep(random.index(40))).with_cancelled(keep(random.index(10)));
    if random.chance(300) { all.with_contents_for(random.span(DAY / 4, DAY)) } else { all }
}

fn draw_rate(random: &Random) -> Option<u32> {
    random.pick(&[None, None, Some(1), Some(3), Some(100)])
}

fn draw_replay(trigger: TriggerId, random: &Random) -> ReplayPlan {
    let mut plan = ReplayPlan::of_scope(Scope::root());
    if random.chance(500) {
        plan = plan.with_trigger(trigger);
    }
    if random.chance(200) {
        plan = plan.with_new_message_ids();
    }
    draw_rate(random).map_or(plan.clone(), |rate| plan.with_rate(rate))
}

/// Tells triggers of the new addresses of receivers that move, and has them move once that is
/// known.
pub(crate) async fn move_receivers(world: Arc<World>, random: Random) {
    let moving = |(_, plan): &(usize, &crate::plan::ReceiverPlan)| {
        plan.behaviour == Behaviour::Moving && !plan.is_action
    };
    let receivers: Vec<usize> =
        world.plan.receivers.iter().enumerate().filter(moving).map(|(n, _)| n).collect();
    for receiver in receivers {
        world.time.sleep(world.plan.receivers[receiver].period).await;
        for (trigger, plan) in world.triggers.iter().filter(|(_, plan)| plan.receiver == receiver) {
            let spec = plan.spec(NEW_PATH);
            loop {
                if let Some((node, life, engine)) = world.some_engine(&random) {
                    let update = async {
                        engine.refresh_triggers().await.ok()?;
                        let now = engine.trigger(&Scope::root(), *trigger)?;
                        if now.spec == spec {
                            return Some(());
                        }
                        engine.update_trigger(*trigger, now.revision, spec.clone()).await.ok()?;
                        Some(())
                    };
                    if node.during(life, update).await.flatten().is_some() {
                        break;
                    }
                }
                world.time.sleep(random.span(MINUTE / 60, MINUTE)).await;
            }
        }
        world.trace.note("moves", &[("receiver", receiver as u64)]);
        world.network.move_away(receiver);
    }
}
