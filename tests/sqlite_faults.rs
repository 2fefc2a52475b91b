//! Faults beneath the SQLite storage: the process dies, the disk fails, the power goes, the disk is
//! full. Whatever was acknowledged is there afterwards, and nothing is half there.
//!
//! `cargo test --test sqlite_faults -- --ignored --nocapture --test-threads=1` needs Linux and
//! `strace`. `FAULT_POINTS` sets at how many calls to the system the process is killed (1,000),
//! `FAULT_ERRORS` how many of them fail (300), `FAULT_IMAGES` how many disks a cut of the power
//! leaves (2,000), `FAULT_SEED` with which script it begins.
#![cfg(all(target_os = "linux", feature = "sqlite"))]

#[path = "sqlite_faults/judge.rs"]
mod judge;
#[path = "sqlite_faults/points.rs"]
mod points;
#[path = "sqlite_faults/power.rs"]
mod power;
#[path = "simulation/random.rs"]
#[expect(dead_code, reason = "the simulation draws more")]
mod random;
#[path = "sqlite_faults/recording.rs"]
mod recording;
#[path = "sqlite_faults/scene.rs"]
mod scene;
#[path = "sqlite_faults/script.rs"]
mod script;
#[path = "sqlite_faults/small_disk.rs"]
mod small_disk;
#[path = "sqlite_faults/strace.rs"]
mod strace;
#[path = "sqlite_faults/worker.rs"]
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use artifact_triggers::storage::sqlite::Synchronous;
use power::Disk;
use strace::Fault;

const WORKER: &str = "worker";

/// Not a test: what runs in the processes that the others start.
#[test]
#[ignore = "does what other tests order"]
fn worker() {
    if let Some(orders) = worker::Orders::from_environment() {
        worker::run(&orders);
    }
}

#[test]
#[ignore = "takes a minute or so, and needs strace"]
fn at_whichever_call_to_the_system_the_process_dies_nothing_acknowledged_is_lost() {
    let count = number_from_environment("FAULT_POINTS").unwrap_or(1_000);
    let (taken, hits) = points::sweep(&[Fault::Killed], count, seed());
    println!("killed at {taken} calls to the system: nothing acknowledged was lost");
    tell(&hits);
    for kind in [
        ("new file", "pwrite64 triggers.db-journal"),
        ("new file", "pwrite64 triggers.db-wal"),
        ("new file", "fsync the folder"),
        ("new file", "unlink triggers.db-journal"),
        ("file left by a crash", "pwrite64 triggers.db-wal"),
        ("file left by a crash", "pwrite64 triggers.db"),
        ("file left by a crash", "fsync triggers.db-wal"),
        ("file left by a crash", "fsync triggers.db"),
        ("file left by a crash", "ftruncate triggers.db"),
        ("file left by a crash", "unlink triggers.db-wal"),
    ] {
        let taken = hits.contains_key(&(kind.0, kind.1.to_owned()));
        assert!(taken, "it was never killed at {kind:?}");
    }
}

#[test]
#[ignore = "takes half a minute or so, and needs strace"]
fn at_whichever_call_the_disk_fails_it_is_told_and_nothing_acknowledged_is_lost() {
    let count = number_from_environment("FAULT_ERRORS").unwrap_or(300);
    let faults = [Fault::Fails("EIO"), Fault::Fails("ENOSPC")];
    let (taken, hits) = points::sweep(&faults, count, seed());
    println!("made {taken} calls to the system fail: nothing acknowledged was lost");
    tell(&hits);
}

#[test]
#[ignore = "takes a minute or so, and needs strace"]
fn a_cut_of_the_power_takes_nothing_acknowledged() {
    let count = number_from_environment("FAULT_IMAGES").unwrap_or(2_000);
    let outcome = power::cut(Synchronous::Full, Disk::Honest, count, seed());
    println!("{outcome:?}");
    assert_eq!((outcome.lost, outcome.damaged), (0, 0));
}

#[test]
#[ignore = "needs strace"]
fn a_cut_of_the_power_takes_what_was_not_synced() {
    let normal = power::cut(Synchronous::Normal, Disk::Honest, 100, seed());
    println!("with `Synchronous::Normal`: {normal:?}");
    assert!(normal.lost > 0 && normal.damaged == 0);
    // As with `PRAGMA synchronous = OFF`.
    let off = power::cut(Synchronous::Full, Disk::IgnoresSyncs, 100, seed());
    println!("without syncs: {off:?}");
    assert!(off.lost > 0);
}

#[test]
#[ignore = "mounts a small disk, in a namespace of its own"]
fn a_full_disk_is_told_takes_nothing_acknowledged_and_it_goes_on_with_room() {
    const TEST: &str = "a_full_disk_is_told_takes_nothing_acknowledged_and_it_goes_on_with_room";
    if let Some(folder) = small_disk::enter(TEST) {
        small_disk::fill(&folder, seed());
    }
}

#[test]
#[ignore = "mounts a small disk, in a namespace of its own"]
fn a_backup_without_room_is_told_and_leaves_nothing() {
    if let Some(folder) = small_disk::enter("a_backup_without_room_is_told_and_leaves_nothing") {
        small_disk::back_up_without_room(&folder);
    }
}

#[test]
#[ignore = "mounts a small disk, in a namespace of its own"]
fn a_file_or_a_disk_that_is_read_only_is_told() {
    if let Some(folder) = small_disk::enter("a_file_or_a_disk_that_is_read_only_is_told") {
        small_disk::make_read_only(&folder);
    }
}

fn tell(hits: &std::collections::BTreeMap<(&str, String), usize>) {
    for ((scene, call), times) in hits {
        println!("{times:>7}  {scene}: {call}");
    }
}

fn number_from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}: expected a number, found {text:?}")))
}

fn seed() -> u64 {
    number_from_environment("FAULT_SEED").unwrap_or(1)
}

/// Where files are made: in memory, since no fault here is the disk's own.
fn room() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { Path::new("/tmp") }
}

/// Does something with 0, 1, 2 and so on, two at a time, until it says that there is no more, or
/// finds something wrong.
fn by_two(work: impl Fn(usize) -> bool + Sync) {
    let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let all = || {
        while !done.load(Ordering::SeqCst) {
            let more = catch_unwind(AssertUnwindSafe(|| work(next.fetch_add(1, Ordering::SeqCst))));
            done.fetch_or(!more.as_ref().is_ok_and(|more| *more), Ordering::SeqCst);
            if let Err(wrong) = more {
                resume_unwind(wrong);
            }
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(all);
        all();
        if let Err(wrong) = other.join() {
            resume_unwind(wrong);
        }
    });
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("it is built").block_on(work)
}
