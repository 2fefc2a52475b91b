//! The worker: a process that makes calls of the storage, and tells of each whether it was
//! acknowledged, once it was.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use artifact_triggers::storage::StorageError;
use artifact_triggers::storage::sqlite::{OpenError, SqliteOptions, SqliteStorage, Synchronous};
use futures_util::future::join_all;

use super::script::{self, Call};

/// What a worker is to do.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) file: PathBuf,
    pub(crate) seed: u64,
    /// How many steps of the seed were made before; with none the file is new.
    pub(crate) from: usize,
    /// Up to which step it goes. With as many as were made it only opens and closes the file.
    pub(crate) to: usize,
    pub(crate) synchronous: Synchronous,
}

/// What a worker told of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) step: usize,
    pub(crate) call: usize,
    /// Whether it was acknowledged; otherwise it failed, and may have taken effect or not.
    pub(crate) acknowledged: bool,
}

const FILE: &str = "SQLITE_FAULTS_FILE";
const NUMBERS: &str = "SQLITE_FAULTS_NUMBERS";

impl Orders {
    pub(crate) fn from_environment() -> Option<Self> {
        let file: OsString = std::env::var_os(FILE)?;
        let numbers = std::env::var(NUMBERS).expect("the orders are whole");
        let numbers: Vec<u64> =
            numbers.split(' ').map(|number| number.parse().expect("it is a number")).collect();
        let step = |n: usize| usize::try_from(numbers[n]).expect("it is small");
        let synchronous = if numbers[3] == 0 { Synchronous::Full } else { Synchronous::Normal };
        Some(Self { file: file.into(), seed: numbers[0], from: step(1), to: step(2), synchronous })
    }

    /// The variables that tell a worker its orders.
    pub(crate) fn environment(&self) -> [(&'static str, OsString); 2] {
        let normal = u8::from(self.synchronous == Synchronous::Normal);
        let numbers = format!("{} {} {} {normal}", self.seed, self.from, self.to);
        [(FILE, self.file.clone().into()), (NUMBERS, numbers.into())]
    }
}

impl Told {
    fn line(self, reason: &str) -> String {
        let sign = if self.acknowledged { '+' } else { '-' };
        format!("{sign} {} {} {reason}\n", self.step, self.call)
    }

    /// What a line tells, if it is a whole one of a worker's.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let acknowledged = line.starts_with("+ ");
        let mut numbers = line.strip_prefix(['+', '-'])?.strip_prefix(' ')?.split(' ');
        let mut number = || numbers.next()?.parse().ok();
        let told = Self { step: number()?, call: number()?, acknowledged };
        line.ends_with('\n').then_some(told)
    }
}

/// Carries out orders.
pub(crate) fn run(orders: &Orders) {
    tell("\n"); // to end the line that the test runner began
    let storage = match open(&orders.file, orders.synchronous) {
        Ok(storage) => storage,
        Err(error) => return tell(&format!("! {error}: {:?}\n", error.source())),
    };
    let steps = script::steps(orders.seed, orders.to);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it is built");
    runtime.block_on(async {
        for (n, step) in steps.iter().enumerate().skip(orders.from) {
            let calls = step.iter().enumerate();
            join_all(calls.map(|(m, call)| perform(&storage, call, (n, m)))).await;
        }
    });
}

fn open(file: &Path, synchronous: Synchronous) -> Result<SqliteStorage, OpenError> {
    let options = SqliteOptions::default().with_synchronous(synchronous);
    SqliteStorage::open_with(file, &options)
}

async fn perform(storage: &SqliteStorage, call: &Call, (step, place): (usize, usize)) {
    let answer = make(storage, call).await;
    let reason = answer.as_ref().map_or_else(StorageError::to_string, |()| String::new());
    tell(&Told { step, call: place, acknowledged: answer.is_ok() }.line(&reason));
}

/// Makes a call of a SQLite storage.
pub(crate) async fn make(storage: &SqliteStorage, call: &Call) -> Result<(), StorageError> {
    match call {
        Call::Shrink => storage.shrink(64 << 10).await.map(drop),
        other => script::perform(storage, other).await,
    }
}

fn tell(line: &str) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes()).expect("the test listens");
    stdout.flush().expect("the test listens");
}
