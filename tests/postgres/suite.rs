//! The suite of the storage contract.

use std::sync::Arc;

use artifact_triggers::conformance::storage::Subject;
use artifact_triggers::storage::postgres::{PostgresOptions, PostgresStorage, TimeSource};

use super::server;

artifact_triggers::storage_conformance!(fresh);

/// One that goes by the time of its callers.
async fn fresh() -> Subject {
    let options = Arc::new(server::options().with_time(TimeSource::Caller));
    let (of_node, of_next) = (options.clone(), options.clone());
    Subject::new(connect(options).await)
        .with_nodes(move || connect(of_node.clone()))
        .with_reopening(move |storage| {
            drop(storage);
            connect(of_next.clone())
        })
        .with_cases(64)
}

async fn connect(options: Arc<PostgresOptions>) -> PostgresStorage {
    PostgresStorage::connect(&server::url(), &options).await.unwrap()
}
