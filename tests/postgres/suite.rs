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
            reconnect(of_next.clone())
        })
        .with_cases(64)
}

async fn connect(options: Arc<PostgresOptions>) -> PostgresStorage {
    let named = format!("{}?application_name={}", server::url(), options.schema);
    PostgresStorage::connect(&named, &options).await.unwrap()
}

/// Connects anew once all sessions of those before are over: what was sent to the server goes on
/// there, whoever dies.
async fn reconnect(options: Arc<PostgresOptions>) -> PostgresStorage {
    let client = server::client().await;
    let open = "SELECT 1 FROM pg_stat_activity WHERE application_name = $1";
    while !client.query(open, &[&options.schema]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    connect(options).await
}
