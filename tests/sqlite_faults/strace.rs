//! Workers under `strace`, which kills them at a call to the system, makes one fail, or writes down
//! all of them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::worker::{Orders, Told};

/// The calls that change what is on a disk, the rarest first.
pub(crate) const CALLS: [&str; 7] =
    ["rename", "unlink", "ftruncate", "fdatasync", "fsync", "write", "pwrite64"];

/// What a call is at that changes no file.
pub(crate) const TELLING: &str = "what it tells";

/// What happens to a worker at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is killed before the call takes effect.
    Killed,
    /// The call fails with an error, and does nothing.
    Fails(&'static str),
}

/// Where it happens: at the so-and-so-manieth call of a kind that one of its threads makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) call: &'static str,
    pub(crate) when: usize,
    pub(crate) fault: Fault,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, when, fault } = self;
        match fault {
            Fault::Killed => write!(f, "inject={call}:signal=SIGKILL:when={when}"),
            Fault::Fails(error) => write!(f, "inject={call}:error={error}:when={when}"),
        }
    }
}

/// What came of a worker.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) told: Vec<Told>,
    /// Why calls failed, or the file could not be opened.
    pub(crate) reasons: Vec<String>,
    /// What it was at that the fault happened to, such as `write triggers.db-wal`.
    pub(crate) hit: Option<String>,
}

/// Runs a worker to whom something happens.
pub(crate) fn run_with(orders: &Orders, point: Point) -> Run {
    let log = log_beside(&orders.file);
    let point_text = point.to_string();
    let trace = format!("trace={}", point.call);
    let options = ["-y", "-s0", "-e", &trace, "-e", &point_text];
    let (success, lines) = strace(orders, &log, &options);
    let log = std::fs::read_to_string(log).expect("strace wrote it");
    let hit = log.lines().rev().find_map(|line| hit(line, point));
    assert!(success || hit.is_some(), "a worker failed by itself: {lines:?}");
    let told = lines.iter().filter_map(|line| Told::read(line)).collect();
    let reasons = lines.into_iter().filter(|line| line.starts_with(['-', '!'])).collect();
    Run { told, reasons, hit }
}

/// Runs a worker and gives what it told, with all that its threads wrote, as `strace` has it.
pub(crate) fn record(orders: &Orders) -> String {
    let log = log_beside(&orders.file);
    let trace = format!("trace={},lseek,openat", CALLS.join(","));
    let options = ["-y", "-xx", "-s1000000", "-e", &trace];
    let (success, lines) = strace(orders, &log, &options);
    assert!(success, "a worker failed: {lines:?}");
    std::fs::read_to_string(log).expect("strace wrote it")
}

fn log_beside(file: &Path) -> PathBuf {
    file.with_file_name("strace")
}

/// Whether the worker ended well, and the lines that it told.
fn strace(orders: &Orders, log: &Path, options: &[&str]) -> (bool, Vec<String>) {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "signal=none"]).args(options).arg("-o").arg(log).arg("--");
    command.arg(std::env::current_exe().expect("this is a file"));
    command.args(["--exact", super::WORKER, "--ignored", "--nocapture", "--test-threads=1"]);
    command.envs(orders.environment()).stderr(Stdio::null());
    let output = command.output().expect("strace is installed");
    let text = String::from_utf8(output.stdout).expect("it is text");
    (output.status.success(), text.split_inclusive('\n').map(str::to_owned).collect())
}

/// What a line of the log says of the call that the fault happened to.
fn hit(line: &str, point: Point) -> Option<String> {
    let is_it = match point.fault {
        Fault::Killed => line.ends_with("= ?"),
        Fault::Fails(_) => line.ends_with("(INJECTED)"),
    };
    if !is_it {
        return None;
    }
    let file = line.split(['<', '"', '>']).find(|part| part.starts_with('/'));
    let name = file
        .and_then(|file| file.rsplit('/').next())
        .map_or(TELLING, |name| if name.starts_with("triggers.db") { name } else { "the folder" });
    Some(format!("{} {name}", point.call))
}
