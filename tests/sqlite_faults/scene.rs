//! Where a worker begins, and what it does from there.

use std::path::Path;

use artifact_triggers::storage::sqlite::{SqliteStorage, Synchronous};

use super::script::{self, Call};
use super::worker::{self, Orders, Told};

/// A file to begin with, and the steps of a worker that begins with it.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    /// All steps, those included that were made before.
    pub(crate) steps: Vec<Vec<Call>>,
    pub(crate) made: usize,
    /// The files to begin with, if the worker does not make a new one.
    base: Option<tempfile::TempDir>,
}

/// As many pages as SQLite lets its log have before it copies them back.
const FULL_LOG: u64 = 2_000 * (8_192 + 24);
const NAMES: [&str; 2] = ["triggers.db", "triggers.db-wal"];

impl Scene {
    /// A worker that makes a new file.
    pub(crate) fn fresh(seed: u64, steps: usize) -> Self {
        Self { name: "new file", seed, steps: script::steps(seed, steps), made: 0, base: None }
    }

    /// A worker that finds the file of one that was killed, with a log that is soon copied back.
    pub(crate) fn left_by_a_crash(seed: u64, steps: usize) -> Self {
        let before = 30;
        let all = script::steps(seed, before + steps);
        let base = tempfile::tempdir_in(super::room()).expect("there is room");
        let file = base.path().join(NAMES[0]);
        let storage = SqliteStorage::open(&file).expect("it is new");
        let perform = |call: &Call| {
            super::block_on(worker::make(&storage, call)).expect("nothing is in its way");
        };
        all[..before].iter().flatten().for_each(perform);
        let length = || std::fs::metadata(base.path().join(NAMES[1])).expect("there is one").len();
        let mut beats = 0;
        while length() + 60 * 4_120 < FULL_LOG {
            perform(&Call::Beat(beats));
            beats += 1;
        }
        let killed = tempfile::tempdir_in(super::room()).expect("there is room");
        copy(base.path(), killed.path());
        // Of the beats the last one is all that is left.
        let mut steps = all;
        let (name, made) = ("file left by a crash", before + 1);
        steps.insert(before, (0..beats).map(Call::Beat).collect());
        Self { name, seed, steps, made, base: Some(killed) }
    }

    /// By how many steps a worker counts fewer, which knows nothing of the beats.
    fn shift(&self) -> usize {
        usize::from(self.base.is_some())
    }

    /// What a worker told, with the steps counted as they are here.
    pub(crate) fn told(&self, told: Told) -> Told {
        Told { step: told.step + self.shift(), ..told }
    }

    /// What a worker is to do in a folder, in which the files are that it begins with.
    pub(crate) fn orders(&self, folder: &Path) -> Orders {
        if let Some(base) = &self.base {
            copy(base.path(), folder);
        }
        let shift = self.shift();
        Orders {
            file: folder.join(NAMES[0]),
            seed: self.seed,
            from: self.made - shift,
            to: self.steps.len() - shift,
            synchronous: Synchronous::Full,
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for name in NAMES {
        std::fs::copy(from.join(name), to.join(name)).expect("there is room");
    }
}
