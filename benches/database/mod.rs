//! The PostgreSQL server that `tests/with_postgres` starts for a bench:
//! `bash tests/with_postgres cargo bench --features postgres --bench …`

/// What a bench prints where there is no server.
pub(crate) const LEFT_OUT: &str = "| PostgreSQL | left out: it needs `bash tests/with_postgres cargo \
                                   bench --features postgres --bench …` |";

/// Where the server is, if there is one.
pub(crate) fn url() -> Option<String> {
    std::env::var("ARTIFACT_TRIGGERS_POSTGRES").ok()
}

/// A storage in a schema of that server; `None` without one.
#[cfg(feature = "postgres")]
pub(crate) async fn storage(
    schema: &str,
) -> Option<artifact_triggers::storage::postgres::PostgresStorage> {
    use artifact_triggers::storage::postgres::{PostgresOptions, PostgresStorage};
    let options = PostgresOptions::default().with_schema(schema);
    Some(PostgresStorage::connect(&url()?, &options).await.expect("the server is well"))
}

/// Without the feature there is none.
#[cfg(not(feature = "postgres"))]
#[expect(clippy::unused_async, reason = "it is with the feature")]
pub(crate) async fn storage(_schema: &str) -> Option<artifact_triggers::storage::MemoryStorage> {
    url().and(None)
}
