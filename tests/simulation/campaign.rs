//! Many seeds, on two threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::ledger::Counts;
use crate::world::{Kind, Outcome, Sabotage, simulate};

/// The most failing seeds that are looked for.
const MAX_FAILED: usize = 5;

/// So many seeds on a kind of storage.
pub(crate) struct Campaign {
    pub(crate) kind: Kind,
    pub(crate) from: u64,
    pub(crate) count: u64,
    /// How many of them are run twice, to see that their traces are the same.
    pub(crate) twice: u64,
    /// No run is begun after this.
    pub(crate) budget: Option<Duration>,
}

/// What came of a campaign.
#[derive(Debug, Default)]
struct Tally {
    seeds: u64,
    runs: u64,
    span: Duration,
    polls: u64,
    counts: Counts,
    failed: Vec<String>,
}

/// A number that the environment sets.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("it is a number"))
}

impl Campaign {
    /// Runs all seeds, prints what came of it, and panics if one fails.
    pub(crate) fn run(&self) {
        let begin = Instant::now();
        let tally = Mutex::new(Tally::default());
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| self.work(begin, &next, &tally));
            }
        });
        let tally = tally.into_inner().expect("no thread panicked");
        let seconds = begin.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "it is for people")]
        let a_second = tally.runs as f64 / seconds;
        println!(
            "{:?}: {} of {} seeds, {} runs of {:.1} days in all, {seconds:.1} s, {a_second:.0} runs a second, \
             {} polls, {:?}",
            self.kind,
            tally.seeds,
            self.count,
            tally.runs,
            tally.span.as_secs_f64() / 86_400.0,
            tally.polls,
            tally.counts,
        );
        assert!(tally.failed.is_empty(), "\n{}", tally.failed.join("\n"));
    }

    fn work(&self, begin: Instant, next: &AtomicU64, tally: &Mutex<Tally>) {
        while self.budget.is_none_or(|budget| begin.elapsed() < budget) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count || tally.lock().unwrap().failed.len() >= MAX_FAILED {
                return;
            }
            let seed = self.from + number;
            let run = || simulate(seed, self.kind, Sabotage::default(), false);
            let outcome = run();
            let mut failed = self.complaint(seed, &outcome);
            let is_again = number < self.twice;
            if is_again && run().hash != outcome.hash {
                failed.get_or_insert(format!("seed {seed} has another trace when it is run again"));
            }
            tally.lock().unwrap().add(&outcome, 1 + u64::from(is_again), failed);
        }
    }

    fn complaint(&self, seed: u64, outcome: &Outcome) -> Option<String> {
        let violation = outcome.violations.first()?;
        let storage = match self.kind {
            Kind::Memory => "",
            Kind::Sqlite => " SIMULATION_STORAGE=sqlite",
        };
        Some(format!(
            "seed {seed}: {violation}\n  to see it again: SIMULATION_SEED={seed}{storage} \
             cargo test --test simulation -- --nocapture one_seed"
        ))
    }
}

impl Tally {
    fn add(&mut self, outcome: &Outcome, runs: u64, failed: Option<String>) {
        self.seeds += 1;
        self.runs += runs;
        self.span += outcome.span;
        self.polls += outcome.polls;
        self.counts.add(&outcome.counts);
        self.failed.extend(failed);
    }
}
