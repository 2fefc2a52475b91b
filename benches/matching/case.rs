//! A workload of one size: its index, its events, its references, and what was measured.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use artifact_triggers::trigger::Trigger;

use super::events::{EVENTS, Events};
use super::floor::Floor;
use super::measure::{self, median, per_event, time};
use super::scan::{Oracle, Scan, View};
use super::subject::Index;
use super::world::{Workload, World};

/// The most that a contender gets in a round.
const ROUND: Duration = Duration::from_millis(300);

/// The triggers of the workloads, each made once.
#[derive(Default)]
pub(crate) struct Pool {
    made: Vec<Option<Arc<Trigger>>>,
}

impl Pool {
    pub(crate) fn trigger(&mut self, world: &World, n: usize) -> Arc<Trigger> {
        if world.is_loose(n) {
            return world.rule(n).trigger(n);
        }
        if self.made.len() <= n {
            self.made.resize(n + 1, None);
        }
        self.made[n].get_or_insert_with(|| world.rule(n).trigger(n)).clone()
    }
}

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) triggers: usize,
    pub(crate) index: Index,
    pub(crate) events: Events,
    /// Of the index, once all triggers are in.
    pub(crate) bytes_per_trigger: usize,
    /// What matching all events added to that, in the index or in the triggers.
    pub(crate) grown_per_trigger: usize,
    scan: Option<Scan>,
    floor: Option<Floor>,
    find: Vec<f64>,
    find_json: Vec<f64>,
    scanned: Vec<f64>,
    floored: Vec<f64>,
}

impl Case {
    /// Makes all that is to be measured. The references go with the first workload only.
    pub(crate) fn new(
        name: &'static str,
        workload: Workload,
        triggers: usize,
        pool: &mut Pool,
    ) -> Self {
        let world = World::new(workload, triggers);
        let mut oracle = Oracle::default();
        let referred = workload == Workload::Registries;
        let mut scan = referred.then(Scan::default);
        let mut floor = referred.then(Floor::default);
        for n in World::numbers(triggers) {
            let rule = world.rule(n);
            oracle.add(n, &rule);
            if let (Some(scan), Some(floor)) = (&mut scan, &mut floor) {
                scan.add(n, &rule);
                floor.add(n, &rule);
            }
        }
        let events = Events::new(&world, &oracle);
        drop(oracle);
        let all: Vec<_> = World::numbers(triggers).map(|n| pool.trigger(&world, n)).collect();
        let before = measure::live();
        let began = Instant::now();
        let mut index = Index::default();
        for trigger in all.iter().cloned() {
            index.insert(trigger);
        }
        let inserted = began.elapsed();
        assert_eq!(index.len(), triggers);
        let filled = measure::live();
        let bytes_per_trigger = filled.saturating_sub(before) / triggers;
        let agreed = agreement(&index, &events);
        let grown_per_trigger = measure::live().saturating_sub(filled) / triggers;
        println!("{name}, {triggers} triggers: inserted in {inserted:.1?}; {agreed}");
        if let Some(floor) = &floor {
            print_look_ups(floor, &events);
        }
        let [find, find_json, scanned, floored] = [const { Vec::new() }; 4];
        Self {
            name,
            triggers,
            index,
            events,
            bytes_per_trigger,
            grown_per_trigger,
            scan,
            floor,
            find,
            find_json,
            scanned,
            floored,
        }
    }

    /// Asks for each event once, and measures nothing.
    pub(crate) fn warm(&self) {
        let mut found = Vec::with_capacity(1_024);
        for event in &self.events.ring {
            found.clear();
            self.index.find(event, &mut found);
            black_box(&found);
        }
    }

    /// One round of all contenders, in turns.
    pub(crate) fn measure(&mut self) {
        let mut found = Vec::with_capacity(1_024);
        let Self { index, events, .. } = self;
        self.find.push(per_event(EVENTS, ROUND, |n| {
            found.clear();
            index.find(&events.ring[n], &mut found);
            black_box(&found);
        }));
        if let Some(floor) = &self.floor {
            self.floored.push(per_event(EVENTS, ROUND, |n| {
                black_box(floor.touch(&events.ring[n]));
            }));
        }
        self.find_json.push(per_event(EVENTS, ROUND, |n| {
            found.clear();
            index.find_json(&events.json[n], &mut found);
            black_box(&found);
        }));
        if let Some(scan) = &self.scan {
            let mut found = Vec::with_capacity(1_024);
            self.scanned.push(per_event(EVENTS, ROUND, |n| {
                found.clear();
                scan.find(&View::new(&events.ring[n]), &mut found);
                black_box(&found);
            }));
        }
    }

    pub(crate) fn find(&mut self) -> f64 {
        median(&mut self.find)
    }

    pub(crate) fn find_json(&mut self) -> f64 {
        median(&mut self.find_json)
    }

    pub(crate) fn floor(&mut self) -> f64 {
        median(&mut self.floored)
    }

    pub(crate) fn scan(&mut self) -> f64 {
        median(&mut self.scanned)
    }

    /// What was measured, and how it spread, as a row.
    pub(crate) fn print(&mut self) {
        let (mean, least, most) = self.events.matches();
        let mut shown = [&mut self.find, &mut self.find_json, &mut self.floored, &mut self.scanned]
            .map(|times| {
                let half = (!times.is_empty()).then(|| time(median(times)));
                half.unwrap_or_else(|| "–".to_owned())
            })
            .into_iter();
        let mut next = || shown.next().unwrap_or_default();
        println!(
            "| {} | {} | {mean:.1} ({least} to {most}) | {} | {} | {} | {} | {} B |",
            self.name,
            self.triggers,
            next(),
            next(),
            next(),
            next(),
            self.bytes_per_trigger
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are few")]
fn print_look_ups(floor: &Floor, events: &Events) {
    let counts = || events.ring.iter().map(|event| floor.look_ups(event));
    let mean = |sum: usize| sum as f64 / events.ring.len() as f64;
    let all = mean(counts().map(|(all, _)| all).sum());
    let found = mean(counts().map(|(_, found)| found).sum());
    println!("  the floor looks up {all:.1} keys for an event, and finds {found:.1} of them");
}

/// On how many events of the ring index and oracle agree; a slow index is asked for a part only.
fn agreement(index: &Index, events: &Events) -> String {
    let began = Instant::now();
    let (mut asked, mut agreed) = (0, 0);
    for (event, expected) in events.ring.iter().zip(&events.expected) {
        if began.elapsed() > Duration::from_secs(3) {
            break;
        }
        let mut found = Vec::new();
        index.find(event, &mut found);
        let mut found: Vec<_> = found.iter().map(|trigger| trigger.id).collect();
        found.sort_unstable();
        asked += 1;
        agreed += usize::from(found.iter().eq(&expected_ids(expected)));
    }
    assert_eq!(agreed, asked, "index and oracle agree");
    format!("index and oracle agree on {agreed} of {asked} events")
}

fn expected_ids(expected: &[usize]) -> Vec<artifact_triggers::id::TriggerId> {
    expected.iter().map(|&n| super::rule::id(n)).collect()
}
