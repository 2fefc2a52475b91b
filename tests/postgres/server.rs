//! The server that `tests/with_postgres` starts, and storages in schemas of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use artifact_triggers::conformance::storage::Subject;
use artifact_triggers::storage::postgres::{PostgresOptions, PostgresStorage, TimeSource};

/// Where the server is.
pub(crate) fn url() -> String {
    let name = "ARTIFACT_TRIGGERS_POSTGRES";
    std::env::var(name).unwrap_or_else(|_| panic!("{name}: run this by tests/with_postgres"))
}

/// Options with a schema that nobody else has.
pub(crate) fn options() -> PostgresOptions {
    static SCHEMAS: AtomicU32 = AtomicU32::new(0);
    let n = SCHEMAS.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{n}", std::process::id());
    PostgresOptions::default().with_schema(name).with_connections(3)
}

/// An empty storage that goes by the time of its callers, and that nodes may share.
pub(crate) async fn fresh() -> Subject {
    let options = Arc::new(options().with_time(TimeSource::Caller));
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
    PostgresStorage::connect(&url(), &options).await.unwrap()
}
