//! The PostgreSQL storage: the suite of the contract, and what only it promises: nodes with clocks
//! of their own, connections that are cut, tables that others made, and the plans by which it finds
//! what it needs. Run by `tests/with_postgres`.

#[macro_use]
#[path = "../outbox/rules.rs"]
mod rules;

mod clocks;
mod faults;
mod locks;
mod notify;
mod outbox;
mod plans;
mod sample;
mod schema;
#[cfg(feature = "encryption")]
mod sealing;
mod server;
mod suite;
