//! The most memory that a process takes which delivers from a backlog in SQLite, beside one that is
//! idle: each is a process of its own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::place::{File, Place as _};
use super::sink;

const CONNECTIONS: usize = 64;
/// How many are delivered before memory is looked at.
const DELIVERED: usize = 20_000;

pub(super) fn compare(large: &Path, idle: &Path) {
    let (many, none) = (highest(large), highest(idle));
    let more = many.saturating_sub(none);
    println!(
        "| SQLite: resident memory at its highest, {DELIVERED} delivered | {many} MiB | {none} MiB idle | + {more} MiB | ≤ + 32 MiB |"
    );
}

/// The most memory of a process that opens a file, in MiB.
fn highest(path: &Path) -> u64 {
    let this = std::env::current_exe().expect("this program is a file");
    let output = Command::new(this).arg("memory").arg(path).output().expect("it starts");
    let told = String::from_utf8(output.stdout).expect("it is text");
    told.trim().parse::<u64>().expect("it tells a number") / 1_024
}

/// Delivers from a file, and tells the most memory that this process took, in KiB.
pub(super) async fn tell(path: &Path) {
    let posts = Arc::new(AtomicUsize::new(0));
    let counted = posts.clone();
    let url = sink::start(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    })
    .await;
    let place = File(path.to_owned());
    super::starts::point_at(place.open().await, &url).await;
    let engine = sink::engine(place.open().await, CONNECTIONS).await;
    engine.spawn(2);
    if !engine.backlog().await.expect("it answers").is_empty() {
        while posts.load(Ordering::Relaxed) < DELIVERED {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    sink::end(&engine).await;
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let highest = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let highest = highest.and_then(|line| line.split_whitespace().next());
    println!("{}", highest.expect("Linux tells it"));
}
