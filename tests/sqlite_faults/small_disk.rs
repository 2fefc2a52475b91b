//! A small disk of its own, in a mount namespace that ends with the process: it is filled, made
//! larger, made read-only.

use std::path::{Path, PathBuf};
use std::process::Command;

use artifact_triggers::storage::sqlite::{BackupError, OpenError, SqliteStorage};

use super::judge::Judge;
use super::script;
use super::worker::{self, Told};

const FOLDER: &str = "SQLITE_FAULTS_SMALL_DISK";

/// Runs a test of this file in a process that may mount what nobody else sees. Within it, gives the
/// folder to mount at.
///
/// Without the right to, it is left out; in CI (`CI` is set) it fails then.
pub(crate) fn enter(test: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Some(folder.into());
    }
    // As root, or as one who may be root in a namespace of users.
    let ways = [&["--mount"][..], &["--map-root-user", "--mount"]];
    let may = |way: &&[&str]| {
        let output = Command::new("unshare").args(*way).arg("true").output();
        output.is_ok_and(|output| output.status.success())
    };
    let Some(way) = ways.into_iter().find(may) else {
        assert!(std::env::var_os("CI").is_none(), "{test} may not mount");
        println!("LEFT OUT: {test} needs the right to mount, and `unshare`");
        return None;
    };
    let folder = tempfile::tempdir().expect("there is room");
    let mut command = Command::new("unshare");
    command.args(way).arg(std::env::current_exe().expect("this is a file"));
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    let status = command.env(FOLDER, folder.path()).status().expect("it was there before");
    assert!(status.success(), "see above");
    None
}

fn mount(arguments: &[&str], folder: &Path) {
    let status = Command::new("mount").args(arguments).arg(folder).status().expect("there is one");
    assert!(status.success(), "mount {arguments:?}");
}

/// Fills a disk again and again, and makes it larger each time, while calls are made.
pub(crate) fn fill(folder: &Path, seed: u64) {
    let mut disk = Disk { folder, kibibytes: 600 };
    mount(&["-t", "tmpfs", "-o", "size=600k", "none"], folder);
    let file = folder.join("triggers.db");
    let steps = script::steps(seed, 200);
    let judge = Judge::of(&steps, 0);
    let mut told: Vec<Told> = Vec::new();
    let mut storage = SqliteStorage::open(&file).expect("there is room for an empty one");
    let (mut failed, mut refused) = (0, 0);
    for (step, calls) in steps.iter().enumerate() {
        for (place, call) in calls.iter().enumerate() {
            // What failed has not taken effect, so that it can be made again as if it were new.
            while let Err(error) = super::block_on(worker::make(&storage, call)) {
                assert!(error.to_string().contains("the disk is full"), "{error}");
                failed += 1;
                match failed % 4 {
                    2 => {
                        drop(storage);
                        storage = loop {
                            match SqliteStorage::open(&file) {
                                Ok(storage) => break storage,
                                Err(OpenError::DiskFull { .. }) => refused += 1,
                                Err(other) => panic!("{other:?}"),
                            }
                            disk.enlarge();
                        };
                    }
                    0 => disk.enlarge(),
                    _ => {}
                }
            }
            told.push(Told { step, call: place, acknowledged: true });
        }
    }
    drop(storage);
    // The judge writes too.
    mount(&["-o", "remount,size=64m"], folder);
    let size = disk.kibibytes;
    println!(
        "{} calls were acknowledged; {failed} found the disk full, and so did {refused} openings; \
         it had {size} KiB in the end",
        told.len()
    );
    assert!(failed > 10, "too little happened");
    if let Err(wrong) = judge.check(&file, &told) {
        panic!("{wrong}");
    }
}

/// Makes a backup for which there is no room.
pub(crate) fn back_up_without_room(folder: &Path) {
    mount(&["-t", "tmpfs", "-o", "size=300k", "none"], folder);
    let elsewhere = tempfile::tempdir_in(super::room()).expect("there is room");
    let storage = SqliteStorage::open(elsewhere.path().join("triggers.db")).expect("it is new");
    for call in script::steps(1, 60).iter().flatten() {
        super::block_on(worker::make(&storage, call)).expect("there is room");
    }
    let copy = folder.join("copy.db");
    match super::block_on(storage.backup_to(&copy)) {
        Err(BackupError::Storage { source }) => {
            assert!(source.to_string().contains("the disk is full"), "{source}");
        }
        other => panic!("{other:?}"),
    }
    let left = std::fs::read_dir(folder).expect("it is there").count();
    assert_eq!(left, 0, "nothing of it is left");
    mount(&["-o", "remount,size=10m"], folder);
    super::block_on(storage.backup_to(&copy)).expect("there is room");
}

/// Opens a file that is read-only itself, then one on a disk that is.
pub(crate) fn make_read_only(folder: &Path) {
    mount(&["-t", "tmpfs", "none"], folder);
    let file = folder.join("triggers.db");
    drop(SqliteStorage::open(&file).expect("it is new"));
    let path = file.to_str().expect("it is text");
    mount(&["--bind", path], &file);
    mount(&["-o", "remount,bind,ro"], &file);
    let error = SqliteStorage::open(&file).expect_err("it is read-only");
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    mount(&["-o", "remount,bind,rw"], &file);
    drop(SqliteStorage::open(&file).expect("it is whole"));
    mount(&["-o", "remount,bind,ro"], &file);
    mount(&["-o", "remount,ro"], folder);
    match SqliteStorage::open(&file).expect_err("its disk is read-only") {
        OpenError::Io { source, .. } => {
            assert_eq!(source.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        }
        other => panic!("{other:?}"),
    }
}

/// The disk, which can be made larger.
struct Disk<'a> {
    folder: &'a Path,
    kibibytes: u32,
}

impl Disk<'_> {
    fn enlarge(&mut self) {
        self.kibibytes += 300;
        assert!(self.kibibytes < 50_000, "there is room for more than there is");
        mount(&["-o", &format!("remount,size={}k", self.kibibytes)], self.folder);
    }
}
