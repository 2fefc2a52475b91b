//! The engine on a clock that stands still until told: hours of delivery in milliseconds.
#![cfg(feature = "engine")]

mod actions;
mod activities;
mod auth;
mod batches;
mod bench;
mod coalescing;
mod crash_points;
mod digests;
mod drains;
mod emission;
mod endpoints;
mod facades;
mod faults;
#[cfg(feature = "template")]
mod harness;
mod health;
mod history;
mod inbox;
mod incoming;
mod jobs;
#[cfg(feature = "oidc")]
mod key_sets;
mod leases;
mod loops;
mod observing;
mod order;
mod outbox;
mod outcomes;
mod pauses;
mod pings;
mod polls;
mod replays;
mod revising;
mod runs;
mod scans;
#[cfg(feature = "schedule")]
mod schedules;
#[cfg(feature = "encryption")]
mod sealing;
mod secrets;
mod signing;
#[cfg(feature = "template")]
mod templates;
mod told;
mod triggers;
mod watches;
