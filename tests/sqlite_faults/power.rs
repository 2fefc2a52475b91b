//! Cuts of the power: the disk as it may be afterwards. What was synced is there; of what was not,
//! any part may be, by sectors and in any order, and names of files as well.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use artifact_triggers::storage::sqlite::Synchronous;

use super::judge::{Judge, Wrong};
use super::random::Random;
use super::recording::{self, Happened};
use super::scene::Scene;
use super::strace;
use super::worker::{Orders, Told};

const SECTOR: usize = 512;

/// Whether a disk does as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Honest,
    IgnoresSyncs,
}

/// What was found on the disks that cuts of the power left.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) images: usize,
    /// How many of them differ from what was handed to the system.
    pub(crate) incomplete: usize,
    /// How many hold less than was acknowledged, or something by halves.
    pub(crate) lost: usize,
    /// How many cannot be read.
    pub(crate) damaged: usize,
    /// The first thing that was wrong.
    pub(crate) first: Option<String>,
}

/// Cuts the power so many times, each at another moment of a worker's life.
pub(crate) fn cut(synchronous: Synchronous, disk: Disk, count: usize, seed: u64) -> Outcome {
    let scenes = [Scene::fresh(seed, 40), Scene::left_by_a_crash(seed, 40)];
    let outcome = Mutex::new(Outcome::default());
    for (scene, share) in scenes.iter().zip([count.div_ceil(2), count / 2]) {
        cut_in(scene, synchronous, disk, share, &outcome);
    }
    outcome.into_inner().expect("nobody panicked with it")
}

fn cut_in(
    scene: &Scene,
    synchronous: Synchronous,
    disk: Disk,
    count: usize,
    outcome: &Mutex<Outcome>,
) {
    let folder = tempfile::tempdir_in(super::room()).expect("there is room");
    let orders = Orders { synchronous, ..scene.orders(folder.path()) };
    let mut state = State::of(folder.path());
    let log = strace::record(&orders);
    let recording = recording::read(&log, folder.path().to_str().expect("it is text"));
    let judge = Judge::of(&scene.steps, scene.made);
    let random = Random::of(scene.seed);
    let mut told: Vec<Told> = Vec::new();
    let mut done = 0;
    for (at, happened) in recording.iter().enumerate() {
        match happened {
            Happened::Told(one) => told.push(scene.told(*one)),
            Happened::Synced { .. } | Happened::FolderSynced { .. } if disk != Disk::Honest => {}
            other => state.take(at, other),
        }
        let images = count * (at + 1) / recording.len() - done;
        done += images;
        let images: Vec<Image> = (0..images).map(|_| state.image(&random)).collect();
        super::by_two(|place| {
            let Some(image) = images.get(place) else { return false };
            judge_image(image, &judge, &told, outcome);
            true
        });
    }
    assert!(!told.is_empty(), "nothing was acknowledged");
}

fn judge_image(image: &Image, judge: &Judge, told: &[Told], outcome: &Mutex<Outcome>) {
    let folder = tempfile::tempdir_in(super::room()).expect("there is room");
    for (name, bytes) in &image.files {
        std::fs::write(folder.path().join(name), bytes).expect("there is room");
    }
    let found = judge.check(&folder.path().join("triggers.db"), told);
    let mut outcome = outcome.lock().expect("nobody panics with it");
    outcome.images += 1;
    outcome.incomplete += usize::from(image.is_incomplete);
    if let Err(wrong) = found {
        match wrong {
            Wrong::Lost(_) => outcome.lost += 1,
            Wrong::Damaged(_) => outcome.damaged += 1,
        }
        outcome.first.get_or_insert_with(|| format!("after {} calls, {wrong}", told.len()));
    }
}

/// The files of a folder, by name, as a disk has them.
struct Image {
    files: BTreeMap<String, Vec<u8>>,
    is_incomplete: bool,
}

/// What is on the disk for certain, and what may be.
struct State {
    files: Vec<File>,
    /// The files by the names that the system knows.
    names: BTreeMap<String, usize>,
    /// The names that are on disk.
    synced_names: BTreeMap<String, usize>,
    /// Changes of names that may be, in order; a file for one that was created.
    unsynced_names: Vec<(usize, String, Option<usize>)>,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    /// Changes that may be, in order.
    unsynced: Vec<(usize, Change)>,
}

#[derive(Clone)]
enum Change {
    Written(usize, Vec<u8>),
    Cut(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Cut(length) => bytes.resize(*length, 0),
            Self::Written(offset, written) => {
                let end = offset + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(written);
            }
        }
    }

    /// The sectors that a disk writes one by one.
    fn sectors(&self) -> Vec<Self> {
        let Self::Written(offset, written) = self else { return vec![self.clone()] };
        let mut sectors = Vec::new();
        let mut from = *offset;
        while from < offset + written.len() {
            let to = (from / SECTOR + 1) * SECTOR;
            let to = to.min(offset + written.len());
            sectors.push(Self::Written(from, written[from - offset..to - offset].to_vec()));
            from = to;
        }
        sectors
    }
}

impl State {
    /// A folder all of which is on disk.
    fn of(folder: &Path) -> Self {
        let mut state = Self {
            files: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
        };
        for entry in std::fs::read_dir(folder).expect("it is there") {
            let entry = entry.expect("it can be read");
            let name = entry.file_name().into_string().expect("it is text");
            let synced = std::fs::read(entry.path()).expect("it can be read");
            state.names.insert(name.clone(), state.files.len());
            state.synced_names.insert(name, state.files.len());
            state.files.push(File { synced, unsynced: Vec::new() });
        }
        state
    }

    fn file(&mut self, name: &str) -> &mut File {
        &mut self.files[self.names[name]]
    }

    fn take(&mut self, at: usize, happened: &Happened) {
        match happened {
            Happened::Created(name) => {
                if !self.names.contains_key(name) {
                    self.names.insert(name.clone(), self.files.len());
                    self.unsynced_names.push((at, name.clone(), Some(self.files.len())));
                    self.files.push(File::default());
                }
            }
            Happened::Removed(name) => {
                self.names.remove(name);
                self.unsynced_names.push((at, name.clone(), None));
            }
            Happened::Written { name, offset, bytes } => {
                self.file(name).unsynced.push((at, Change::Written(*offset, bytes.clone())));
            }
            Happened::Cut { name, length } => {
                self.file(name).unsynced.push((at, Change::Cut(*length)));
            }
            Happened::Synced { name, begun } => {
                let file = self.file(name);
                for (_, change) in file.unsynced.extract_if(.., |(at, _)| *at < *begun) {
                    change.apply(&mut file.synced);
                }
            }
            Happened::FolderSynced { begun } => {
                for (_, name, file) in self.unsynced_names.extract_if(.., |(at, ..)| *at < *begun) {
                    rename(&mut self.synced_names, name, file);
                }
            }
            Happened::Told(_) => {}
        }
    }

    /// One of the disks that may be there after a cut of the power now.
    fn image(&self, random: &Random) -> Image {
        let mut names = self.synced_names.clone();
        let kept = random.index(self.unsynced_names.len() + 1);
        for (_, name, file) in &self.unsynced_names[..kept] {
            rename(&mut names, name.clone(), *file);
        }
        let mut is_incomplete = kept < self.unsynced_names.len();
        let way = random.below(6);
        let mut files = BTreeMap::new();
        for (name, file) in names {
            let mut bytes = self.files[file].synced.clone();
            if name.ends_with("-shm") {
                // It is memory, of which anything may have reached the disk.
                bytes = (0..4_096).flat_map(|_| random.next().to_le_bytes()).collect();
            } else {
                let all = &self.files[file].unsynced;
                let some = some_of(all, way, random);
                is_incomplete |= !all.is_empty() && way != ALL;
                for change in some {
                    change.apply(&mut bytes);
                }
            }
            files.insert(name, bytes);
        }
        Image { files, is_incomplete }
    }
}

fn rename(names: &mut BTreeMap<String, usize>, name: String, file: Option<usize>) {
    match file {
        Some(file) => names.insert(name, file),
        None => names.remove(&name),
    };
}

const ALL: u64 = 1;

/// Which of the changes that may be are there, and in which order.
fn some_of(all: &[(usize, Change)], way: u64, random: &Random) -> Vec<Change> {
    let all = all.iter().map(|(_, change)| change.clone());
    let sectors = |changes: &mut dyn Iterator<Item = Change>| -> Vec<Change> {
        changes.flat_map(|change| change.sectors()).collect()
    };
    let half = |_: &Change| random.chance(500);
    match way {
        0 => Vec::new(),
        ALL => all.collect(),
        // The first of them, the last of those in part.
        2 => {
            let mut some = sectors(&mut all.into_iter());
            some.truncate(random.index(some.len() + 1));
            some
        }
        3 => all.filter(half).collect(),
        4 => sectors(&mut all.into_iter()).into_iter().filter(half).collect(),
        _ => {
            let mut some: Vec<Change> =
                sectors(&mut all.into_iter()).into_iter().filter(half).collect();
            for n in 1..some.len() {
                some.swap(n, random.index(n + 1));
            }
            some
        }
    }
}
