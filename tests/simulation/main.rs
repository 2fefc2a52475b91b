//! Days of delivery in milliseconds, under faults, from a seed.
//!
//! A run is a world of a storage, nodes with an engine each, receivers, publishers and an operator,
//! on one thread and in virtual time. All that happens follows from the seed. Every run is held to
//! the [invariants](invariants::Invariant), and prints how to see it again if it breaks one:
//!
//! ```text
//! SIMULATION_SEED=7 cargo test --test simulation -- --nocapture one_seed
//! SIMULATION_SEED=7 SIMULATION_STORAGE=sqlite cargo test --test simulation -- --nocapture one_seed
//! SIMULATION_SEEDS=100000 cargo test --test simulation -- --nocapture some_seeds
//! ```
//!
//! That the invariants notice what they are there for, show the mutants, and `mutate.sh`, which
//! breaks the crate itself.
#![cfg(all(feature = "engine", feature = "schedule", feature = "sqlite"))]

mod campaign;
mod chaos;
mod clock;
mod executor;
mod faults;
mod invariants;
mod ledger;
mod mutants;
mod network;
mod node;
mod operator;
mod plan;
mod publisher;
mod random;
mod storage;
mod trace;
mod world;

use std::time::Duration;

use campaign::{Campaign, number};
use world::{Kind, Sabotage, simulate};

#[test]
fn some_seeds_hold_every_invariant() {
    let count = number("SIMULATION_SEEDS").unwrap_or(60);
    Campaign { kind: Kind::Memory, from: 0, count, twice: 10, budget: None }.run();
}

#[test]
fn some_seeds_hold_every_invariant_on_sqlite() {
    Campaign { kind: Kind::Sqlite, from: 0, count: 10, twice: 2, budget: None }.run();
}

/// In CI: the 1,000 first runs are made twice, and must have the same trace. It ends within five
/// minutes, and tells how far it came; how many seeds `SIMULATION_SEEDS` asks for are run, however
/// long that takes.
#[test]
#[ignore = "it takes minutes"]
fn many_seeds_hold_every_invariant() {
    let asked = number("SIMULATION_SEEDS");
    let budget = |seconds| asked.is_none().then_some(Duration::from_secs(seconds));
    let count = asked.unwrap_or(10_000);
    Campaign { kind: Kind::Memory, from: 0, count, twice: 1_000, budget: budget(200) }.run();
    Campaign { kind: Kind::Sqlite, from: 0, count: count / 200, twice: 10, budget: budget(40) }
        .run();
}

/// Shows the run of a seed, if one is asked for.
#[test]
fn one_seed() {
    let seed = number("SIMULATION_SEED");
    let is_sqlite = std::env::var("SIMULATION_STORAGE").is_ok_and(|kind| kind == "sqlite");
    let kind = if is_sqlite { Kind::Sqlite } else { Kind::Memory };
    let outcome = simulate(seed.unwrap_or(1), kind, Sabotage::default(), seed.is_some());
    assert!(outcome.violations.is_empty(), "{}", outcome.violations[0]);
}
