//! The engine on a clock that stands still until told: hours of delivery in milliseconds.
#![cfg(feature = "engine")]

mod actions;
mod auth;
mod batches;
mod bench;
mod crash_points;
mod drains;
mod emission;
mod endpoints;
mod facades;
mod faults;
mod health;
mod history;
mod incoming;
mod jobs;
mod leases;
mod loops;
mod observing;
mod order;
mod outbox;
mod outcomes;
mod pauses;
mod pings;
mod replays;
mod revising;
mod runs;
#[cfg(feature = "encryption")]
mod sealing;
mod secrets;
mod signing;
mod triggers;
