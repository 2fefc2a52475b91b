//! All rules together: random calls, which a storage has to answer as [`MemoryStorage`] does. Of
//! calls that it answers otherwise the fewest and smallest are told that still do it.

mod call;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use super::samples::{all_events, everything};
use super::{Answer as _, Fresh, Subject};
use crate::delivery::StateName;
use crate::storage::{MemoryStorage, Storage};
use call::{Call, Run, any_calls};

pub(super) async fn rules_01_to_21_random_calls_are_answered_as_by_the_model(
    fresh: Fresh<Subject>,
) {
    let cases = fresh().await.cases();
    let handle = tokio::runtime::Handle::current();
    let compare = || {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        TestRunner::new(config).run(&any_calls(), |calls| {
            handle.block_on(async { answers_alike(&*fresh().await, &calls).await })
        })
    };
    match tokio::task::block_in_place(compare) {
        Ok(()) => {}
        Err(TestError::Fail(difference, calls)) => {
            let (difference, calls) = fewest(difference.to_string(), calls, |calls| {
                let answers = async { answers_alike(&*fresh().await, calls).await };
                tokio::task::block_in_place(|| handle.block_on(answers)).err()
            });
            panic!("the last of these calls is answered otherwise: {calls:#?}\n{difference}")
        }
        Err(TestError::Abort(reason)) => panic!("no calls could be made up: {reason}"),
    }
}

/// Leaves out what is not needed, again and again: once the calls are small, some show nothing any
/// more that were needed while they were large.
fn fewest(
    mut difference: String,
    mut calls: Vec<Call>,
    compare: impl Fn(&[Call]) -> Option<TestCaseError>,
) -> (String, Vec<Call>) {
    let mut at = 0;
    while at < calls.len() {
        let mut fewer = calls.clone();
        fewer.remove(at);
        match compare(&fewer) {
            Some(error) => (difference, calls, at) = (error.to_string(), fewer, 0),
            None => at += 1,
        }
    }
    (difference, calls)
}

async fn answers_alike(storage: &dyn Storage, calls: &[Call]) -> Result<(), TestCaseError> {
    let memory = MemoryStorage::new();
    let (mut of_model, mut of_storage) = (Run::default(), Run::default());
    for call in calls {
        let expected = of_model.make(&memory, call).await;
        let found = of_storage.make(storage, call).await;
        alike(&found, &expected)?;
    }
    alike(&everything_told(storage).await, &everything_told(&memory).await)
}

fn alike(found: &str, expected: &str) -> Result<(), TestCaseError> {
    if found == expected {
        return Ok(());
    }
    Err(TestCaseError::fail(format!("expected {expected}\nfound {found}")))
}

/// All that can be seen of a storage.
async fn everything_told(storage: &dyn Storage) -> String {
    let deliveries = storage.deliveries(everything().with_limit(1_000)).await.answer();
    let mut attempts = Vec::new();
    for delivery in &deliveries.items {
        attempts.push(storage.attempts(delivery.id).await.answer());
    }
    let mut by_state = Vec::new();
    for state in [StateName::Waiting, StateName::Leased, StateName::Queued, StateName::Dead] {
        let query = everything().with_state(state).with_limit(1_000);
        by_state.push(storage.deliveries(query).await.answer().items);
    }
    let events = storage.events(all_events().with_limit(1_000)).await.answer();
    let cursors = storage.cursors((0..4).map(|n| format!("c/{n}")).collect()).await.answer();
    // Which numbers they have is not promised, but that they are in order.
    let changes = storage.trigger_changes(0, 1_000).await.answer();
    let changes: Vec<_> = changes.iter().map(|change| (change.id, &change.trigger)).collect();
    let backlog = storage.backlog().await.answer();
    format!("{backlog:?}{deliveries:?}{by_state:?}{attempts:?}{events:?}{cursors:?}{changes:?}")
}
