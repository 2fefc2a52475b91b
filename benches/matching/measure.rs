//! Clocks, counted memory, and how figures are printed.

use std::alloc::System;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The bytes that are allocated now.
pub(crate) fn live() -> usize {
    let stats = MEMORY.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// How often memory was asked for until now, and how many bytes in all.
pub(crate) fn allocated() -> (usize, usize) {
    let stats = MEMORY.stats();
    (stats.allocations + stats.reallocations, stats.bytes_allocated)
}

/// The most memory that the process had at once, where the system tells.
pub(crate) fn peak() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}

const SLOW: Duration = Duration::from_micros(20);

/// Nanoseconds per event, over all events of a ring or as many as fit into the time.
#[expect(clippy::cast_precision_loss, reason = "there are few")]
pub(crate) fn per_event(events: usize, limit: Duration, mut act: impl FnMut(usize)) -> f64 {
    let began = Instant::now();
    let (mut done, mut next) = (0, 1);
    while done < events {
        act(done);
        done += 1;
        if done == next {
            let elapsed = began.elapsed();
            if elapsed > limit {
                break;
            }
            // Who is fast is not held up by looking at the clock.
            next += if elapsed / u32::try_from(done).unwrap_or(1) > SLOW { 1 } else { 64 };
        }
    }
    nanos(began) / done as f64
}

pub(crate) fn nanos(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e9
}

/// The value that so many percent are below.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50)
}

pub(crate) fn time(nanos: f64) -> String {
    match nanos {
        ..1_000.0 => format!("{nanos:.0} ns"),
        1_000.0..1e6 => format!("{:.2} µs", nanos / 1e3),
        1e6..1e9 => format!("{:.2} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
}

pub(crate) fn times(ratio: f64) -> String {
    let digits = if ratio < 100.0 { 2 } else { 0 };
    format!("{ratio:.digits$}×")
}

#[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
pub(crate) fn bytes(bytes: usize) -> String {
    match bytes {
        ..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.0} KB", bytes as f64 / 1e3),
        _ => format!("{:.0} MB", bytes as f64 / 1e6),
    }
}

/// Rows of `| what | measured | goal |`.
#[derive(Default)]
pub(crate) struct Table(Vec<String>);

impl Table {
    pub(crate) fn row(&mut self, what: &str, measured: &str, goal: &str) {
        self.0.push(format!("| {what} | {measured} | {goal} |"));
    }

    pub(crate) fn print(&self) {
        println!("\n| what | measured | goal |\n|---|---|---|\n{}", self.0.join("\n"));
    }
}
