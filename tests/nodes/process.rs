//! A node as the test has it: a process that is told words, killed and started again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use super::orders::{Orders, Told, Word};

/// A node in a process of its own. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    words: Option<ChildStdin>,
    listener: Option<JoinHandle<()>>,
    is_killed: bool,
}

impl Process {
    /// Starts a node. What it tells goes to `told`, with its number.
    pub(crate) fn start(test: &str, orders: &Orders, told: Sender<(usize, Told)>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this is a file"));
        command.args(["--exact", test, "--include-ignored", "--nocapture"]);
        orders.write_to(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it can be started");
        let stdout = child.stdout.take().expect("it is piped");
        let words = child.stdin.take();
        let node = orders.node;
        let listener = std::thread::spawn(move || {
            // The test may have failed already.
            let hear = |line| told.send((node, line)).is_ok();
            listen(stdout, |line| Told::of_line(line).is_none_or(hear));
        });
        Self { child, words, listener: Some(listener), is_killed: false }
    }

    /// Tells it something. One that was killed hears nothing.
    pub(crate) fn tell(&mut self, word: Word) {
        if let Some(words) = &mut self.words {
            let _ = words.write_all(word.to_line().as_bytes());
        }
    }

    /// Kills it (SIGKILL on Unix), once all that it had told is taken in.
    pub(crate) fn kill(&mut self) {
        self.is_killed = true;
        self.child.kill().expect("it is this test's own");
        self.wait();
    }

    /// Has it end by itself.
    pub(crate) fn end(mut self) -> ExitStatus {
        drop(self.words.take());
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("it was started");
        if let Some(listener) = self.listener.take() {
            listener.join().expect("it reads lines");
        }
        status
    }

    /// Whether it ended by itself.
    pub(crate) fn has_failed(&mut self) -> bool {
        !self.is_killed && self.child.try_wait().expect("it was started").is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines as long as they are wanted. One that a kill cut off has no end, and was not told.
fn listen(stdout: ChildStdout, mut wants_more: impl FnMut(&str) -> bool) {
    let mut reader = BufReader::new(stdout);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
        if !line.ends_with('\n') || !wants_more(line.trim_end()) {
            return;
        }
        line.clear();
    }
}
