//! The time that an event needs to find its triggers among up to a million, beside a linear scan,
//! the crate `quamina`, and the bare hash look-ups of the same keys; one thread, one run.
//!
//! `cargo bench --bench matching`, or for a quick try `cargo bench --bench matching -- 100000`

mod case;
mod churn;
mod events;
mod floor;
mod hostile;
mod measure;
mod random;
mod rival;
mod rule;
mod scan;
mod subject;
mod world;

use std::time::{Duration, Instant};

use case::{Case, Pool};
use measure::{Table, time, times};
use rival::Rival;
use world::{Workload, World};

const ROUNDS: usize = 9;
const SIZES: [usize; 5] = [10, 1_000, 10_000, 100_000, 1_000_000];
const GIANT: usize = 200_000;
const PLAIN: usize = 10_000;

fn main() {
    let began = Instant::now();
    // Cargo adds `--bench`.
    let limit = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let limit: usize = limit.unwrap_or(SIZES[4]).clamp(1_000, SIZES[4]);
    let mut pool = Pool::default();
    // First, so that neither quamina nor the index beside it lies scattered in what others leave.
    let mut rival = Rival::new(PLAIN.min(limit));
    fill(&mut pool, limit);
    let sizes = || SIZES.into_iter().filter(|size| *size <= limit);
    let mut cases = |name, workload| -> Vec<Case> {
        sizes().map(|size| Case::new(name, workload, size, &mut pool)).collect()
    };
    let mut registries = cases("registries", Workload::Registries);
    let mut loose = cases("1 in 1,000 loose", Workload::Loose);
    let giant = GIANT.min(limit);
    let mut giant = Case::new("one registry", Workload::Giant, giant, &mut Pool::default());

    // In turns, so that what else the machine does falls on all alike.
    for _ in 0..ROUNDS {
        registries.iter_mut().chain(&mut loose).for_each(Case::measure);
        giant.measure();
        rival.measure();
    }

    println!(
        "\n| workload | triggers | matches of what matches | find | from JSON | floor | scan | index per trigger |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    registries.iter_mut().chain(&mut loose).for_each(Case::print);
    giant.print();
    let mut table = Table::default();
    let thousand = registries[1].find();
    let mut largest = registries.pop().expect("there are sizes");
    drop(registries);
    compare(&mut largest, thousand, &mut table);
    rival.report(&mut table);
    let first = largest.find();
    let mut over = |what: &str, case: &mut Case, goal| {
        let found = case.find();
        let what = format!("{what}, {} triggers, over the first", case.triggers);
        table.row(&what, &format!("{} ({})", times(found / first), time(found)), goal);
    };
    over("second workload", loose.last_mut().expect("there are sizes"), "≤ 3×");
    over("third workload", &mut giant, "≤ 4×");
    let from_json = largest.find_json();
    let more = if from_json < first { "nothing".to_owned() } else { time(from_json - first) };
    table.row("from the event's JSON bytes, over matching alone", &more, "≤ 1 µs");
    let each = format!("{} B", largest.bytes_per_trigger);
    table.row("index memory per trigger, without the trigger", &each, "≤ 160 B");
    let grown = format!("{} B", largest.grown_per_trigger);
    table.row("what matching added to it (caches of regexes, say), per trigger", &grown, "");
    let world = World::new(Workload::Registries, largest.triggers);
    churn::measure(&mut largest, &world, &mut pool, &mut table);
    table.row("allocations per non-matching event", &allocations(&largest), "0");

    drop((loose, giant, largest, pool));
    hostile::measure(limit);
    table.print();
    println!(
        "\n{:.0?} in all; at most {} of memory",
        began.elapsed(),
        measure::peak().unwrap_or_default()
    );
}

/// Makes the triggers that the sizes of the first two workloads share.
fn fill(pool: &mut Pool, limit: usize) {
    let (began, before) = (Instant::now(), measure::live());
    let world = World::new(Workload::Registries, limit);
    for n in World::numbers(limit) {
        pool.trigger(&world, n);
    }
    let each = (measure::live() - before) / limit;
    println!("{limit} triggers made in {:.1?}, {each} B each", began.elapsed());
}

fn compare(largest: &mut Case, thousand: f64, table: &mut Table) {
    let found = largest.find();
    let size = largest.triggers;
    let mut row = |what: String, ratio: f64, other: f64, goal: &str| {
        let both = format!("{} / {}", time(found.max(other)), time(found.min(other)));
        table.row(&what, &format!("{} ({both})", times(ratio)), goal);
    };
    row(
        format!("time per event at {size} triggers, over 1,000"),
        found / thousand,
        thousand,
        "≤ 4×",
    );
    row(format!("over the floor at {size}"), found / largest.floor(), largest.floor(), "≤ 2×");
    let scan = largest.scan();
    row(format!("against the linear scan at {size}, faster"), scan / found, scan, "≥ 5,000×");
}

/// How often an event that matches nothing asks for memory.
#[expect(clippy::cast_precision_loss, reason = "there are few")]
fn allocations(case: &Case) -> String {
    let mut found = Vec::with_capacity(1_024);
    let (began, (before, _), mut asked) = (Instant::now(), measure::allocated(), 0);
    for event in case.events.misses() {
        if began.elapsed() > Duration::from_secs(5) {
            break;
        }
        case.index.find(event, &mut found);
        asked += 1;
    }
    let each = (measure::allocated().0 - before) as f64 / f64::from(asked);
    assert!(found.is_empty(), "they match nothing");
    if each == 0.0 { "0".to_owned() } else { format!("{each:.2}") }
}
