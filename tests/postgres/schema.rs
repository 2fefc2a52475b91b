//! The tables: made once by nodes that start at once, and refused where they are of another
//! version.

use artifact_triggers::storage::Storage as _;
use artifact_triggers::storage::postgres::{OpenError, PostgresOptions, PostgresStorage};
use futures_util::future::join_all;

use super::sample::record;
use super::server::{client, options, url};

async fn run(sql: &str) {
    client().await.batch_execute(sql).await.unwrap();
}

fn pool() -> deadpool_postgres::Pool {
    let config = url().parse().unwrap();
    let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
    deadpool_postgres::Pool::builder(manager).max_size(2).build().unwrap()
}

#[tokio::test]
async fn nodes_that_start_at_once_make_the_tables_once() {
    let options = options();
    let nodes = (0..8).map(|_| async {
        let storage = PostgresStorage::connect(&url(), &options).await.unwrap();
        storage.record(vec![record(1, artifact_triggers::clock::Timestamp::now())]).await.unwrap();
        storage
    });
    let nodes = join_all(nodes).await;
    for node in nodes {
        assert_eq!(node.deliveries(super::sample::everything()).await.unwrap().items.len(), 8);
    }
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused_unless_they_serve_older_nodes_too() {
    let options = options();
    drop(PostgresStorage::connect(&url(), &options).await.unwrap());
    let migrations = format!("{}.migrations", options.schema);
    run(&format!("INSERT INTO {migrations} VALUES (98, 1)")).await;
    drop(PostgresStorage::connect(&url(), &options).await.unwrap());
    drop(PostgresStorage::open(pool(), &options).await.unwrap());
    run(&format!("INSERT INTO {migrations} VALUES (99, 98)")).await;
    for refused in [
        PostgresStorage::connect(&url(), &options).await,
        PostgresStorage::open(pool(), &options).await,
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, OpenError::NewerSchema { found: 99, .. }), "{error}");
    }
}

#[tokio::test]
async fn who_may_not_make_tables_is_told_that_they_are_missing() {
    let options = options();
    let error = PostgresStorage::open(pool(), &options).await.unwrap_err();
    assert!(matches!(error, OpenError::OlderSchema { found: 0, .. }), "{error}");
    drop(PostgresStorage::migrate(pool(), &options).await.unwrap());
    drop(PostgresStorage::open(pool(), &options).await.unwrap());
}

#[tokio::test]
async fn a_schema_may_have_any_name_that_fits() {
    let name = format!("We\"ird {} ü", std::process::id());
    let options = PostgresOptions::default().with_schema(name);
    let storage = PostgresStorage::connect(&url(), &options).await.unwrap();
    let now = artifact_triggers::clock::Timestamp::now();
    storage.record(vec![record(1, now)]).await.unwrap();
    for name in ["", "a{s}", "a$$", "a\0b", &"x".repeat(64)] {
        let options = PostgresOptions::default().with_schema(name);
        let error = PostgresStorage::connect(&url(), &options).await.unwrap_err();
        assert!(matches!(&error, OpenError::Schema { found } if found == name), "{error}");
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_told_without_its_password() {
    for url in ["postgres://u:secret@127.0.0.1:1/db", "postgres://u:secret@127.0.0.1:x/db"] {
        let error = PostgresStorage::connect(url, &PostgresOptions::default()).await.unwrap_err();
        let mut told = format!("{error} {error:?}");
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            told = format!("{told} {inner}");
            source = inner.source();
        }
        assert!(!told.contains("secret"), "{told}");
    }
}
