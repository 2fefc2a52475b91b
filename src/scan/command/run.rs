//! One run of a program: begun in a group of its own, read to a limit, and ended with all its
//! children.

use std::process::Stdio;

use futures_util::future::join3;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::CommandScanner;
use crate::scan::ScanError;

/// The most of what a program prints as errors that is kept, in bytes.
const MAX_ERRORS: usize = 16 * 1024;

/// What a program said.
pub(super) struct Ran {
    /// Its exit code; `None` if it was killed.
    pub(super) code: Option<i32>,
    pub(super) output: Vec<u8>,
    pub(super) errors: Vec<u8>,
}

/// The processes that a run has begun; killed when it is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // There is nobody left if it fails.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl CommandScanner {
    pub(super) async fn run(&self, arguments: &[String]) -> Result<Ran, ScanError> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().current_dir("/").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, value) in &self.environment {
            command.env(name, String::from_utf8_lossy(value.expose()).as_ref());
        }
        let cannot = |error| ScanError::Transient(format!("the program cannot be run: {error}"));
        let child = command.spawn().map_err(cannot)?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = Group(id.and_then(Pid::from_raw));
        let late = || {
            let seconds = self.timeout.as_secs_f64();
            ScanError::Transient(format!("the program took longer than {seconds} s"))
        };
        let finished = finish(child, group, self.max_output);
        tokio::time::timeout(self.timeout, finished).await.map_err(|_| late())?
    }
}

/// Reads what a program prints until it ends, and then ends what it has left behind.
async fn finish(mut child: Child, group: Group, limit: usize) -> Result<Ran, ScanError> {
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let ended = async {
        let status = child.wait().await;
        // A process that it has left behind would keep the output open.
        drop(group);
        status
    };
    let (status, output, errors) =
        join3(ended, read(output, limit), read(errors, MAX_ERRORS)).await;
    let failed = |error| ScanError::Transient(format!("the program cannot be followed: {error}"));
    let status = status.map_err(failed)?;
    if output.is_cut {
        let message = format!("the program printed more than {limit} bytes");
        return Err(ScanError::Permanent(message));
    }
    Ok(Ran { code: status.code(), output: output.bytes, errors: errors.bytes })
}

/// What was printed.
struct Printed {
    bytes: Vec<u8>,
    /// Whether there was more.
    is_cut: bool,
}

/// Reads to the end, and keeps so much of it.
async fn read(from: Option<impl AsyncRead + Unpin>, limit: usize) -> Printed {
    let mut printed = Printed { bytes: Vec::new(), is_cut: false };
    let Some(mut from) = from else { return printed };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let room = limit.saturating_sub(printed.bytes.len());
        printed.is_cut |= length > room;
        printed.bytes.extend_from_slice(&buffer[..length.min(room)]);
    }
    printed
}
