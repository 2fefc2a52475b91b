//! A registry that publishes while it delivers is killed at random moments, restarted, again and
//! again. A receiver that counts is the judge: every event whose `publish` was answered arrives at
//! every endpoint, and all that arrives of one delivery has the same message id and the same body.
//!
//! The short test runs with the others. The long one is `cargo test --test crash -- --ignored
//! --nocapture`; `CRASH_KILLS` sets how often it kills (200) and `CRASH_SEED` repeats the
//! moments of a run.
#![cfg(all(feature = "http", feature = "sqlite", feature = "tokio"))]

#[path = "crash/receiver.rs"]
mod receiver;
#[path = "crash/registry.rs"]
mod registry;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver as Lines, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use artifact_triggers::signature::standard_webhooks::SigningSecret;
use receiver::{Arrival, Receiver};

/// How long a registry that is not killed has to deliver what is left. Only a failure takes it.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn acknowledged_events_arrive_across_a_few_kills() {
    kill_again_and_again("acknowledged_events_arrive_across_a_few_kills", 5);
}

#[test]
#[ignore = "kills 200 times, which takes a minute or so"]
fn acknowledged_events_arrive_across_many_kills() {
    let kills = number_from_environment("CRASH_KILLS").unwrap_or(200);
    kill_again_and_again("acknowledged_events_arrive_across_many_kills", kills);
}

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found {text:?}")))
}

/// The whole test; within a process that it started itself, the registry that is killed.
fn kill_again_and_again(test: &str, kills: u64) {
    if let Some(orders) = registry::Orders::from_environment() {
        return registry::run(&orders);
    }
    let seed = number_from_environment("CRASH_SEED").unwrap_or_else(rand_seed);
    println!("CRASH_SEED={seed}");
    let mut moments = Moments(seed);
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("triggers.db");
    let secret = SigningSecret::generate();
    let receiver = Receiver::start(secret.clone());
    let orders = |publishes| registry::Orders {
        file: file.clone(),
        endpoint: receiver.url(),
        secret: secret.clone(),
        publishes,
    };

    let mut acknowledged = HashSet::new();
    let mut killed_while_opening = 0;
    for _ in 0..kills {
        let mut process = Process::start(test, &orders(true));
        let before = acknowledged.len();
        process.listen(moments.next(), |line| acknowledged.extend(event_of(line)));
        process.kill(|line| acknowledged.extend(event_of(line)));
        killed_while_opening += usize::from(acknowledged.len() == before);
    }
    let mut last = Process::start(test, &orders(false));
    last.wait(PATIENCE);

    let arrivals = receiver.arrivals();
    let judged = judge(&acknowledged, &arrivals);
    check_file(&file);
    println!(
        "{kills} kills, {killed_while_opening} of them before anything was acknowledged; \
         {} events acknowledged, {} deliveries of them arrived, {} requests taken, {} refused or \
         cut off on purpose, {} taken more than once",
        acknowledged.len(),
        judged.deliveries,
        judged.taken,
        arrivals.len() - judged.taken,
        judged.repeated,
    );
    assert!(acknowledged.len() as u64 >= kills, "too little was published to show anything");
}

struct Judged {
    deliveries: usize,
    taken: usize,
    repeated: usize,
}

/// Compares what was acknowledged with what arrived.
fn judge(acknowledged: &HashSet<String>, arrivals: &[Arrival]) -> Judged {
    let mut first: HashMap<&str, &Arrival> = HashMap::new();
    let mut ids: HashMap<(&str, &str), &str> = HashMap::new();
    let mut taken: HashMap<(&str, &str), usize> = HashMap::new();
    for arrival in arrivals {
        let delivery = (arrival.event.as_str(), arrival.path.as_str());
        let seen = first.entry(&arrival.message_id).or_insert(arrival);
        assert_eq!((&seen.body, &seen.path), (&arrival.body, &arrival.path), "of one message id");
        let id = *ids.entry(delivery).or_insert(&arrival.message_id);
        assert_eq!(id, arrival.message_id, "of one delivery");
        *taken.entry(delivery).or_default() += usize::from(arrival.taken);
    }
    let lost: Vec<_> = acknowledged
        .iter()
        .flat_map(|event| registry::PATHS.map(|path| (event.as_str(), path)))
        .filter(|delivery| taken.get(delivery).is_none_or(|times| *times == 0))
        .collect();
    assert!(lost.is_empty(), "{} were acknowledged and never arrived: {lost:?}", lost.len());
    Judged {
        deliveries: acknowledged.len() * registry::PATHS.len(),
        taken: taken.values().sum(),
        repeated: taken.values().filter(|times| **times > 1).count(),
    }
}

/// Asks SQLite itself whether the file is whole.
fn check_file(file: &Path) {
    let connection = rusqlite::Connection::open(file).expect("it can be opened");
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it answers");
    assert_eq!(check, "ok");
}

fn event_of(line: &str) -> Option<String> {
    line.strip_prefix(registry::ACKNOWLEDGED).map(str::to_owned)
}

/// A registry in a process of its own. It is killed when this is dropped.
struct Process {
    child: Child,
    lines: Lines<String>,
}

impl Process {
    fn start(test: &str, orders: &registry::Orders) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this is a file"));
        command.args(["--exact", test, "--include-ignored", "--nocapture"]);
        orders.write_to(&mut command);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it can be started");
        let (sender, lines) = channel();
        let stdout: ChildStdout = child.stdout.take().expect("it is piped");
        std::thread::spawn(move || {
            // A line that the kill cut off has no end, and was not told.
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
                if line.ends_with('\n') && sender.send(line.trim_end().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Self { child, lines }
    }

    /// Takes in what it tells for a while.
    fn listen(&mut self, span: Duration, mut told: impl FnMut(&str)) {
        let end = Instant::now() + span;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => told(&line),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("the registry ended by itself"),
            }
        }
    }

    /// Kills it (SIGKILL on Unix), and takes in what it had told before.
    fn kill(mut self, mut told: impl FnMut(&str)) {
        self.child.kill().expect("it is this test's own");
        self.child.wait().expect("it was killed");
        self.lines.iter().for_each(|line| told(&line));
    }

    /// Waits until it has ended well.
    fn wait(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        while self.lines.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok() {}
        if let Some(status) = self.child.try_wait().expect("it was started") {
            assert!(status.success(), "the last registry failed: {status}");
        } else {
            assert!(Instant::now() < end, "it did not deliver everything in {limit:?}");
            assert!(self.child.wait().expect("it was started").success());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When to kill: now and then while the file is opened, mostly while it publishes and delivers.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        let drawn = self.draw();
        let longest = if drawn.is_multiple_of(8) { 30_000 } else { 300_000 };
        Duration::from_micros(drawn % longest)
    }

    /// `SplitMix64`.
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn rand_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(())
}
