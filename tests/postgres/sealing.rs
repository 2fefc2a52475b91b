//! Sealing: what is secret of a trigger, on nodes that share a key, and on one that does not have
//! it.

use std::sync::Arc;

use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::engine::Engine;
use artifact_triggers::event::Scope;
use artifact_triggers::request::{Request, Response};
use artifact_triggers::secret::{Secret, XChaChaSealer};
use artifact_triggers::storage::postgres::{PostgresOptions, PostgresStorage};
use artifact_triggers::trigger::{Credential, EndpointAuth, Trigger, TriggerSpec};
use async_trait::async_trait;

use super::server::{client, options, url};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CANARIES: [&str; 5] = [
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "in-the-path",
    "in-the-query",
    "in-a-header",
    "in-the-auth",
];

#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Deliverer for Nowhere {
    async fn deliver(&self, _: Request) -> Result<Response, DeliverError> {
        unreachable!("nothing is published")
    }

    fn check_url(&self, _: &Scope, _: &url::Url) -> Result<(), String> {
        Ok(())
    }
}

fn key(id: &str) -> Secret {
    Secret::new([id.bytes().last().unwrap(); 32])
}

fn sealer(id: &str) -> XChaChaSealer {
    XChaChaSealer::new(id, &key(id)).unwrap()
}

/// A node that seals by a key, if it has one.
async fn node(options: &PostgresOptions, key: Option<XChaChaSealer>) -> Engine {
    let storage = PostgresStorage::connect(&url(), options).await.unwrap();
    let builder = Engine::builder(storage).deliverer(Nowhere);
    let builder = match key {
        Some(key) => builder.sealer(key),
        None => builder,
    };
    builder.build().await.unwrap()
}

fn spec() -> TriggerSpec {
    Trigger::builder("t")
        .on_any("artifact.*".parse().unwrap())
        .webhook("https://hooks.example/in-the-path?q=in-the-query", SECRET.parse().unwrap())
        .header("x-key", "in-a-header")
        .auth(EndpointAuth::bearer(Credential::held("in-the-auth")))
        .build()
        .unwrap()
}

/// Everything that the tables of a schema hold, as text.
async fn everything(schema: &str) -> String {
    let client = client().await;
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = $1";
    let mut found = String::new();
    for table in client.query(tables, &[&schema]).await.unwrap() {
        let rows = format!("SELECT row::text FROM {schema}.{} row", table.get::<_, &str>(0));
        for row in client.query(&rows, &[]).await.unwrap() {
            found.push_str(row.get(0));
            found.push('\n');
        }
    }
    found
}

/// Those of the canaries that are in a text, plain or in hexadecimal digits.
fn found_in(text: &str) -> Vec<&'static str> {
    let digits = |byte: u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16));
    let hex = |canary: &str| canary.bytes().flat_map(digits).flatten().collect::<String>();
    let is_in = |canary: &&str| text.contains(*canary) || text.contains(&hex(canary));
    CANARIES.into_iter().filter(is_in).collect()
}

#[tokio::test]
async fn what_one_node_seals_another_opens_and_nobody_reads_in_the_database() {
    let options = options();
    let plain = node(&options, None).await;
    plain.create_trigger(spec()).await.unwrap();
    assert_eq!(
        found_in(&everything(&options.schema).await),
        CANARIES,
        "it is found if it is there"
    );

    let sealing = node(&options, Some(sealer("k1"))).await;
    assert_eq!(sealing.reseal().await.unwrap().resealed, 1);
    let stored = everything(&options.schema).await;
    assert_eq!(found_in(&stored), [""; 0]);

    let made = spec();
    let other = node(&options, Some(sealer("k1"))).await;
    let trigger = other.triggers(&Scope::root()).pop().unwrap();
    assert_eq!(trigger.spec.target, made.target);

    let without = node(&options, None).await;
    assert_eq!(without.triggers(&Scope::root()), [] as [Arc<Trigger>; 0]);
    let unreadable = without.unreadable_triggers();
    assert_eq!(unreadable.len(), 1);
    assert!(format!("{unreadable:?}").contains("k1"), "{unreadable:?}");
}

#[tokio::test]
async fn a_key_is_changed_while_other_nodes_work() {
    let options = options();
    let first = node(&options, Some(sealer("k1"))).await;
    let made = first.create_trigger(spec()).await.unwrap();
    let both = sealer("k2").with_old_key("k1", &key("k1")).unwrap();
    let second = node(&options, Some(both)).await;
    assert_eq!(second.reseal().await.unwrap().resealed, 1);
    let third = node(&options, Some(sealer("k2"))).await;
    let trigger = third.trigger(&Scope::root(), made.id).unwrap();
    assert_eq!(trigger.spec.target, made.spec.target);
    let old = node(&options, Some(sealer("k1"))).await;
    let unreadable = old.unreadable_triggers();
    assert!(format!("{unreadable:?}").contains("k2"), "{unreadable:?}");
}
