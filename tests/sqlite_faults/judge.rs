//! The judge: what is in a file must be what a model has after the calls that were acknowledged,
//! and of those that were under way some, each whole.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use artifact_triggers::delivery::{Delivery, State};
use artifact_triggers::event::{Event, Scope};
use artifact_triggers::id::DeliveryId;
use artifact_triggers::payload::Payload;
use artifact_triggers::storage::sqlite::SqliteStorage;
use artifact_triggers::storage::{
    ClaimOf, DeliveryQuery, EventQuery, LoggedAttempt, MemoryStorage, Storage, StorageError,
    TriggerState,
};
use futures_util::FutureExt as _;

use super::script::{self, Call};
use super::worker::Told;

/// All that a storage answers, but what a crash may change: leases, when an open delivery is due,
/// and how many attempts of it were begun.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    events: Vec<Event>,
    deliveries: Vec<Delivery>,
    logs: Vec<Vec<LoggedAttempt>>,
    payloads: BTreeMap<DeliveryId, Payload>,
    cursors: Vec<Option<String>>,
    triggers: Vec<(u64, TriggerState)>,
}

impl Content {
    async fn of(storage: &dyn Storage, cursors: Vec<String>) -> Result<Self, StorageError> {
        const ALL: usize = 1_000_000;
        let events = EventQuery::of_scope(Scope::root()).with_limit(ALL);
        let events = storage.events(events).await?;
        let query = DeliveryQuery::of_scope(Scope::root()).with_limit(ALL);
        let page = storage.deliveries(query).await?;
        if let Some(reason) = events.unreadable.into_iter().chain(page.unreadable).next() {
            return Err(StorageError::Corrupt { reason });
        }
        let mut logs = Vec::new();
        for delivery in &page.items {
            logs.push(storage.attempts(delivery.id).await?);
        }
        let deliveries = page.items.into_iter().map(settled_or_open).collect();
        let changes = storage.trigger_changes(0, ALL).await?;
        let triggers = changes.into_iter().map(|change| (change.sequence, change.trigger));
        let cursors = storage.cursors(cursors).await?;
        let claims = storage.claim(script::claim(ClaimOf::Endpoints)).await?;
        let payloads = claims.deliveries.into_iter().map(|one| (one.delivery.id, one.payload));
        Ok(Self {
            events: events.items,
            deliveries,
            logs,
            payloads: payloads.collect(),
            cursors,
            triggers: triggers.collect(),
        })
    }

    /// In which ways another differs, in short.
    fn differences(&self, other: &Self) -> String {
        let ids = |content: &Self| content.deliveries.iter().map(|d| d.id).collect::<Vec<_>>();
        format!(
            "{} events for {}, {} deliveries for {} (ids {}, states {}), logs {}, payloads {}, \
             cursors {}, triggers {}",
            self.events.len(),
            other.events.len(),
            self.deliveries.len(),
            other.deliveries.len(),
            word(ids(self) == ids(other)),
            word(self.deliveries == other.deliveries),
            word(self.logs == other.logs),
            word(self.payloads == other.payloads),
            word(self.cursors == other.cursors),
            word(self.triggers == other.triggers),
        )
    }
}

fn word(same: bool) -> &'static str {
    if same { "equal" } else { "differ" }
}

/// A delivery without what a crash may change of it.
fn settled_or_open(delivery: Delivery) -> Delivery {
    let is_open = matches!(delivery.state, State::Leased { .. } | State::Waiting { .. });
    let delivery = delivery.with_attempts(0);
    if is_open { delivery.with_state(State::Waiting { due: script::at(0) }) } else { delivery }
}

/// What is in a file, which must be whole.
///
/// # Errors
/// What is wrong with it.
fn content_of(file: &Path, cursors: Vec<String>) -> Result<Content, String> {
    let storage = SqliteStorage::open(file).map_err(|error| format!("{error:?}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it is built");
    let content = runtime.block_on(Content::of(&storage, cursors));
    let content = content.map_err(|error| error.to_string())?;
    drop(storage);
    let failed = |error: rusqlite::Error| error.to_string();
    let connection = rusqlite::Connection::open(file).map_err(failed)?;
    for (check, expected) in [("integrity_check", Some("ok")), ("foreign_key_check", None)] {
        let mut statement = connection.prepare(&format!("PRAGMA {check}")).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let found = rows.next().map_err(failed)?;
        let found: Option<String> = found.map(|row| row.get(0)).transpose().map_err(failed)?;
        if found.as_deref() != expected {
            return Err(format!("{check}: {found:?}"));
        }
    }
    Ok(content)
}

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// It cannot be opened or read, or SQLite finds it damaged.
    Damaged(String),
    /// It holds something else than it may; how that differs, found for expected.
    Lost(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(reason) => write!(f, "it is damaged: {reason}"),
            Self::Lost(differences) => write!(f, "found for expected:{differences}"),
        }
    }
}

/// The contents that models have, each made once.
pub(crate) struct Judge {
    calls: Vec<(usize, usize, Call)>,
    /// How many of the calls were made before the workers began.
    made: usize,
    known: Mutex<HashMap<Vec<bool>, Arc<Content>>>,
}

impl Judge {
    /// Judges workers that make steps, of which so many were made before.
    pub(crate) fn of(steps: &[Vec<Call>], made: usize) -> Self {
        let calls = |(n, step): (usize, &Vec<Call>)| -> Vec<_> {
            step.iter().cloned().enumerate().map(|(m, call)| (n, m, call)).collect()
        };
        let calls: Vec<_> = steps.iter().enumerate().flat_map(calls).collect();
        let made = calls.iter().filter(|(step, ..)| *step < made).count();
        Self { calls, made, known: Mutex::default() }
    }

    /// Whether a file holds what it must after what a worker told.
    pub(crate) fn check(&self, file: &Path, told: &[Told]) -> Result<(), Wrong> {
        let told: HashMap<(usize, usize), bool> =
            told.iter().map(|one| ((one.step, one.call), one.acknowledged)).collect();
        let mut under_way = None;
        let mut applied = vec![true; self.calls.len()];
        let mut maybe = Vec::new();
        for (place, (step, call, _)) in self.calls.iter().enumerate().skip(self.made) {
            match told.get(&(*step, *call)) {
                Some(_) if under_way.is_some_and(|under_way| under_way < *step) => {
                    panic!("step {step} was begun before the one before it was done")
                }
                Some(true) => {}
                Some(false) => maybe.push(place),
                None if *under_way.get_or_insert(*step) == *step => maybe.push(place),
                None => applied[place] = false,
            }
        }
        assert!(maybe.len() <= 10, "{} calls failed or were under way", maybe.len());
        let calls: Vec<Call> = self.calls.iter().map(|(.., call)| call.clone()).collect();
        let found = content_of(file, script::cursors(&calls)).map_err(Wrong::Damaged)?;
        let mut closest = String::new();
        for some in 0..1_u32 << maybe.len() {
            for (bit, place) in maybe.iter().enumerate() {
                applied[*place] = some & (1 << bit) != 0;
            }
            let expected = self.content_after(&applied);
            if *expected == found {
                return Ok(());
            }
            closest = format!("{closest}\n  {}", found.differences(&expected));
        }
        Err(Wrong::Lost(closest))
    }

    /// What a model has after some of the calls.
    fn content_after(&self, applied: &[bool]) -> Arc<Content> {
        let mut known = self.known.lock().expect("nobody panics with it");
        let content = known.entry(applied.to_vec()).or_insert_with(|| {
            let model = MemoryStorage::new();
            let calls = self.calls.iter().zip(applied).filter(|(_, applied)| **applied);
            let all: Vec<Call> = self.calls.iter().map(|(.., call)| call.clone()).collect();
            let content = async {
                for ((.., call), _) in calls {
                    script::perform(&model, call).await.expect("a model does not fail");
                }
                Content::of(&model, script::cursors(&all)).await.expect("a model does not fail")
            };
            Arc::new(content.now_or_never().expect("a model does not wait"))
        });
        content.clone()
    }
}
