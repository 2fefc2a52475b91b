//! The server that `tests/with_postgres` starts, and schemas that nobody else has.

use std::sync::atomic::{AtomicU32, Ordering};

use artifact_triggers::storage::postgres::PostgresOptions;

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

/// Where a database of it is.
pub(crate) fn url_of(database: &str) -> String {
    let url = url();
    let (server, _) = url.rsplit_once('/').expect("it names a database");
    format!("{server}/{database}")
}

/// A client of its own.
pub(crate) async fn client() -> tokio_postgres::Client {
    client_of("postgres").await
}

/// The same, of a database.
pub(crate) async fn client_of(database: &str) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(&url_of(database), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
