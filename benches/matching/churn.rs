//! What it costs to change an index that others read.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::case::{Case, Pool};
use super::measure::{Table, nanos, percentile, time};
use super::rule;
use super::world::World;

const CHANGES: usize = 3_000;

/// Takes a trigger out that an event matches, asks for the event, puts it back and asks again; a
/// fresh snapshot is held by somebody at each change.
pub(crate) fn measure(case: &mut Case, world: &World, pool: &mut Pool, table: &mut Table) {
    let began = Instant::now();
    let [mut removed, mut first_without, mut added, mut first_with, mut snapshots] =
        [const { Vec::new() }; 5];
    for round in 0..CHANGES {
        // A slow index is asked for less.
        if began.elapsed() > Duration::from_secs(20) {
            break;
        }
        let at = 2 * round % case.events.ring.len();
        let expected = &case.events.expected[at];
        let number = expected[round % expected.len()];
        let (event, trigger) = (&case.events.ring[at], pool.trigger(world, number));
        let index = &mut case.index;

        let held = index.snapshot();
        removed.push(clocked(|| index.remove(trigger.id)));
        let mut found = Vec::with_capacity(1_024);
        first_without.push(clocked(|| index.find(event, &mut found)));
        let there = found.iter().any(|found| found.id == rule::id(number));
        assert!(!there, "what was removed is not found");
        black_box(&found);
        snapshots.push(clocked(|| drop(held)));

        let held = index.snapshot();
        added.push(clocked(|| index.insert(trigger)));
        let mut found = Vec::with_capacity(1_024);
        first_with.push(clocked(|| index.find(event, &mut found)));
        let there = found.iter().any(|found| found.id == rule::id(number));
        assert!(there, "what was added is found");
        drop(held);
    }
    let mut row = |what: &str, times: &mut [f64], goal: &str| {
        let shown = [50, 99, 100].map(|percent| time(percentile(times, percent)));
        let measured = format!("{} (99 %: {}, most: {})", shown[0], shown[1], shown[2]);
        table.row(&format!("{what}, {} triggers", case.triggers), &measured, goal);
    };
    row("add one trigger, a snapshot being held", &mut added, "≤ 5 µs");
    row("the first match after it", &mut first_with, "≤ 5 µs");
    row("remove one trigger, a snapshot being held", &mut removed, "≤ 5 µs");
    row("the first match after it", &mut first_without, "≤ 5 µs");
    row("let go of a snapshot after one change", &mut snapshots, "");
}

fn clocked(act: impl FnOnce()) -> f64 {
    let began = Instant::now();
    act();
    nanos(began)
}
