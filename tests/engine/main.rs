//! The engine on a clock that stands still until told: hours of delivery in milliseconds.
#![cfg(feature = "engine")]

mod actions;
mod bench;
mod emission;
mod endpoints;
mod facades;
mod faults;
mod incoming;
mod observing;
mod outcomes;
mod runs;
mod triggers;
