//! The same rows through tokio-postgres, by one statement for each batch that takes each column as
//! an array.

use std::time::Instant;

use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use super::{BATCH, EVENTS, Round, Rows, database};

pub(super) async fn round(n: usize) -> Round {
    let [straight, batched, single] =
        ["straight", "batched", "single"].map(|of| format!("publish_{of}_{n}"));
    let straight = write_straight(&straight).await;
    let storage = database::storage(&batched).await.expect("there is a server");
    let batched = super::publish_batches(&super::engine(storage).await).await;
    let storage = database::storage(&single).await.expect("there is a server");
    let single = super::publish_one_by_one(&super::engine(storage).await).await;
    [straight, batched, single]
}

/// Writes the same rows into the same tables, as fast as tokio-postgres can over one connection.
async fn write_straight(schema: &str) -> f64 {
    drop(database::storage(schema).await.expect("there is a server"));
    let url = database::url().expect("there is a server");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("it is well");
    let connection = tokio::spawn(connection);
    let statement = client.prepare(&sql(schema)).await.expect("the tables are there");
    let all: Vec<Rows> = (0..EVENTS).map(super::rows).collect();
    let began = Instant::now();
    for batch in all.chunks(BATCH) {
        write(&client, &statement, batch).await;
    }
    let rate = super::per_second(began);
    drop(client);
    connection.await.expect("it does not panic").expect("it ends well");
    rate
}

fn sql(schema: &str) -> String {
    format!(
        "WITH e AS (
             INSERT INTO {schema}.events (id, scope, received_at, document)
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bytea[])),
         n AS MATERIALIZED (
             SELECT * FROM unnest($5::uuid[], $6::uuid[], $1::uuid[], $7::uuid[], $8::bigint[],
                 $3::bigint[], $2::text[], $9::text[], $10::bytea[])
                 AS n(id, message, event, trigger_id, endpoint, at, scope, headers, body)),
         d AS (
             INSERT INTO {schema}.deliveries (id, message, event, trigger_id, endpoint, claim_at,
                 created_at, changed_at, attempts, state, batched, scope)
             SELECT id, message, event, trigger_id, endpoint, at, at, at, 0, 0, false, scope FROM n
             RETURNING seq, id)
         INSERT INTO {schema}.payloads (delivery, headers, body)
         SELECT d.seq, n.headers, n.body FROM d JOIN n USING (id)"
    )
}

async fn write(client: &Client, statement: &Statement, batch: &[Rows]) {
    let ids = |of: fn(&Rows) -> [u8; 16]| -> Vec<Uuid> {
        batch.iter().map(|rows| Uuid::from_bytes(of(rows))).collect()
    };
    let events = ids(|rows| *rows.event.id.as_bytes());
    let scopes: Vec<&str> = batch.iter().map(|rows| rows.event.scope.as_str()).collect();
    let times: Vec<i64> = batch.iter().map(|rows| rows.event.received_at.unix_micros()).collect();
    let documents: Vec<&[u8]> = batch.iter().map(|rows| &*rows.event_json).collect();
    let deliveries = ids(|rows| *rows.delivery.id.as_bytes());
    let messages = ids(|rows| *rows.delivery.message_id.as_bytes());
    let triggers = ids(|rows| *rows.delivery.trigger.as_bytes());
    let endpoints: Vec<i64> = batch.iter().map(|rows| rows.endpoint).collect();
    let headers: Vec<&str> = batch.iter().map(|rows| rows.headers.as_str()).collect();
    let bodies: Vec<&[u8]> = batch.iter().map(|rows| &*rows.body).collect();
    let written = client
        .execute(
            statement,
            &[
                &events,
                &scopes,
                &times,
                &documents,
                &deliveries,
                &messages,
                &triggers,
                &endpoints,
                &headers,
                &bodies,
            ],
        )
        .await;
    assert_eq!(written.expect("it is written"), batch.len() as u64);
}
