//! Every call to the system that changes the disk, one after the other: the worker is killed there,
//! or the call fails, and what was acknowledged must be in the file.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::judge::Judge;
use super::random::Random;
use super::scene::Scene;
use super::strace::{self, CALLS, Fault, Point, Run, TELLING};
use super::worker::Orders;

impl Scene {
    /// Runs a worker to whom something happens, and judges what is in the file then.
    fn run(&self, judge: &Judge, point: Point) -> Run {
        let folder = tempfile::tempdir_in(super::room()).expect("there is room");
        let orders = self.orders(folder.path());
        let mut run = strace::run_with(&orders, point);
        run.told.iter_mut().for_each(|told| *told = self.told(*told));
        let at = format!("{}, seed {}, {point}, {:?}", self.name, self.seed, run.hit);
        if point.fault == Fault::Killed {
            assert_eq!(run.reasons, [""; 0], "nothing failed: {at}");
            if point.when.is_multiple_of(3) {
                kill_again(&orders, point);
            }
        } else {
            // What a full disk is noticed by but writing, SQLite calls a failure of the disk.
            let is_full = point.fault == Fault::Fails("ENOSPC") && point.call == "pwrite64";
            let expected = if is_full { "disk is full" } else { "disk I/O error" };
            let all = run.reasons.iter().all(|reason| reason.contains(expected));
            assert!(all, "{at}: {:?}", run.reasons);
        }
        if let Err(wrong) = judge.check(&orders.file, &run.told) {
            panic!("{at}: {wrong}\nthe files: {}", folder.keep().display());
        }
        run
    }
}

/// Kills another worker that finds the file, while it opens it and closes it again.
fn kill_again(orders: &Orders, point: Point) {
    let only_open = Orders { from: orders.to, ..orders.clone() };
    let when = Random::of(point.when as u64).index(30) + 1;
    strace::run_with(&only_open, Point { when, ..point });
}

/// How often each call on each file was the point, by scene.
type Hits = BTreeMap<(&'static str, String), usize>;

/// Takes points of scene after scene until so many are taken, and tells which.
pub(crate) fn sweep(faults: &[Fault], count: usize, first_seed: u64) -> (usize, Hits) {
    let hits = Mutex::new(Hits::new());
    let mut taken = 0;
    let mut seed = first_seed;
    while taken < count {
        for scene in [Scene::fresh(seed, 20), Scene::left_by_a_crash(seed, 20)] {
            taken += scene.sweep(faults, count.saturating_sub(taken), &hits);
        }
        seed += 1;
    }
    (taken, hits.into_inner().expect("nobody panicked with it"))
}

impl Scene {
    /// Takes all points of this scene, of each kind of call one after the other, at most so many.
    fn sweep(&self, faults: &[Fault], most: usize, hits: &Mutex<Hits>) -> usize {
        let judge = Judge::of(&self.steps, self.made);
        let taken = AtomicUsize::new(0);
        for (call, fault) in CALLS.iter().flat_map(|call| faults.iter().map(move |f| (call, *f))) {
            super::by_two(|place| {
                if taken.load(Ordering::SeqCst) >= most {
                    return false;
                }
                let point = Point { call, when: place + 1, fault };
                let Some(hit) = self.run(&judge, point).hit else { return false };
                if !hit.ends_with(TELLING) {
                    taken.fetch_add(1, Ordering::SeqCst);
                    let mut hits = hits.lock().expect("nobody panics with it");
                    *hits.entry((self.name, hit)).or_default() += 1;
                }
                true
            });
        }
        taken.into_inner()
    }
}
