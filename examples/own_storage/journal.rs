//! The log file: one line of JSON for each transaction, on disk before anybody is answered.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::change::Change;

/// The open log. One process has it at a time.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// A write failed. What is on disk is unknown until the log is opened anew.
    broken: bool,
}

impl Journal {
    /// Opens the log, or begins one, and gives back the changes in it.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Change>)> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        // It holds the triggers' secrets.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        // Two writers would overlook each other's changes. The lock ends with the process.
        file.try_lock().map_err(|_| io::Error::other("another process has it open"))?;

        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (changes, whole) = read(&bytes)?;
        file.set_len(whole)?;
        file.sync_all()?;
        // A new file's name must be on disk too.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok((Self { file, broken: false }, changes))
    }

    /// Writes a transaction down. It is on disk when this answers.
    pub(crate) fn append(&mut self, transaction: &[Change]) -> io::Result<()> {
        self.check()?;
        let mut line = serde_json::to_vec(transaction)?;
        line.push(b'\n');
        // Rule 2: durable before the answer. After a failed sync the system may have forgotten what
        // it could not write, so nothing here is tried again.
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        self.broken = written.is_err();
        written
    }

    /// Refuses to go on behind a failed write: the maps hold what the log may not.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.broken {
            Err(io::Error::other("an earlier write failed; open it anew"))
        } else {
            Ok(())
        }
    }
}

/// The changes of every whole line, and how many bytes those are.
///
/// Rule 1: a crash in the middle of a write leaves a last line that is cut off or has holes. It is
/// as if it had never been: nobody was answered for it. Anything else that cannot be read is
/// damage, found here at the start, so that no claim meets it (rule 7).
fn read(bytes: &[u8]) -> io::Result<(Vec<Change>, u64)> {
    let (mut changes, mut whole) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let is_last = whole + line.len() == bytes.len();
        match serde_json::from_slice::<Vec<Change>>(line) {
            Ok(_) if !line.ends_with(b"\n") => break,
            Ok(transaction) => changes.extend(transaction),
            Err(error) if is_last && !error.is_data() => break,
            Err(error) => return Err(error.into()),
        }
        whole += line.len();
    }
    Ok((changes, whole as u64))
}
