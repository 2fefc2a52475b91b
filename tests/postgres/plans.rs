//! Plans: with a large backlog everything is found by an index, or else the test names what is not.
//!
//! The server writes down how it carried out each statement (`auto_explain`); what it wrote is read
//! from its log.

use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Delivery, Settlement, StateName};
use artifact_triggers::storage::postgres::PostgresStorage;
use artifact_triggers::storage::{
    Claim, ClaimOf, Companions, Cutoff, Fate, Prune, Replay, Storage as _,
};

use super::sample::{claim, everything, record, settle, take};
use super::server::{client, options, url};

/// What the server wrote so far.
fn log() -> String {
    let name = "ARTIFACT_TRIGGERS_POSTGRES_LOG";
    let path = std::env::var(name).unwrap_or_else(|_| panic!("{name}: run by tests/with_postgres"));
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

#[tokio::test]
async fn everything_is_found_by_an_index_though_much_waits() {
    let options = options().with_connections(1);
    let schema = options.schema.clone();
    let plain = PostgresStorage::connect(&url(), &options).await.unwrap();
    let now = Timestamp::now();
    for part in 0..40 {
        let records: Vec<_> = (0..500).map(|n| record((part * 500 + n) % 50, now)).collect();
        plain.record(records).await.unwrap();
    }
    for claimed in take(&plain, now, 4_000).await.chunks(2) {
        settle(&plain, &claimed[0], Settlement::Delivered, now).await;
        settle(&plain, &claimed[1], Settlement::Parked, now).await;
    }
    let admin = client().await;
    for table in ["deliveries", "payloads", "attempts", "events", "endpoints", "cursors"] {
        admin.batch_execute(&format!("VACUUM ANALYZE {schema}.{table}")).await.unwrap();
    }

    let storage = PostgresStorage::connect(&explained(), &options).await.unwrap();
    // More than five times, after which the server may make plans that fit any values.
    for round in 0..7_u32 {
        let now = now + round * Duration::from_secs(2);
        each_call(&storage, now).await;
    }
    // What the server has written before it ended the session is all there.
    drop(storage);
    admin.batch_execute("SELECT 1").await.unwrap();
    let log = log();
    let plans = plans(&log, &schema);
    assert!(plans.len() > 100, "{} plans", plans.len());
    let tables = ["deliveries", "payloads", "attempts", "events"];
    for plan in &plans {
        for table in tables {
            let scan = format!("Seq Scan on {table}");
            assert!(!plan.contains(&scan), "{scan}: {}", &plan[..plan.len().min(4_000)]);
        }
    }
    for index in [
        "claimable",
        "deliveries_in_batches",
        "deliveries_by_age",
        "deliveries_to_replay",
        "deliveries_of_event",
        "deliveries_of_trigger",
        "events_by_age",
        "deliveries_pkey",
        "deliveries_id_key",
        "events_pkey",
        "payloads_pkey",
        "attempts_pkey",
    ] {
        let used = plans.iter().any(|plan| {
            plan.contains(&format!("using {index}")) || plan.contains(&format!("Scan on {index}"))
        });
        assert!(used, "no plan uses the index {index}");
    }
}

#[tokio::test]
async fn what_ends_is_found_by_an_index_though_the_plan_is_of_when_little_was_there() {
    let options = options().with_connections(1);
    let storage = PostgresStorage::connect(&explained(), &options).await.unwrap();
    for round in 0..7 {
        let now = Timestamp::now();
        storage.record(vec![record(round, now)]).await.unwrap();
        for claimed in take(&storage, now, 20).await {
            settle(&storage, &claimed, Settlement::Delivered, now).await;
        }
    }
    drop(storage);
    client().await.batch_execute("SELECT 1").await.unwrap();
    let log = log();
    let mut settling = plans(&log, &options.schema);
    settling.retain(|plan| plan.contains("Insert on attempts"));
    assert_eq!(settling.len(), 7);
    for plan in settling {
        assert!(!plan.contains("Seq Scan"), "{}", &plan[..plan.len().min(4_000)]);
    }
}

/// A server's URL that has it write down how it carries out each statement.
fn explained() -> String {
    let explain = "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 \
                   -c auto_explain.log_level=log";
    format!("{}?options={}", url(), explain.replace(' ', "%20").replace('=', "%3D"))
}

/// How statements on a schema were carried out.
fn plans<'l>(log: &'l str, schema: &str) -> Vec<&'l str> {
    log.split("plan:").filter(|plan| plan.contains(&format!("\"{schema}\"."))).collect()
}

/// Makes each call that an engine makes while it works.
async fn each_call(storage: &PostgresStorage, now: Timestamp) {
    let one = record(1, now);
    let first: Delivery = one.deliveries[0].0.clone();
    storage.record(vec![one, record(2, now)]).await.unwrap();
    let claimed = take(storage, now, 20).await;
    for (n, one) in claimed.iter().enumerate() {
        let settlement = match n % 3 {
            0 => Settlement::Delivered,
            1 => Settlement::Retry { at: now },
            _ => Settlement::Parked,
        };
        settle(storage, one, settlement, now).await;
    }
    let companions = Companions {
        trigger: first.trigger,
        endpoint: first.endpoint.clone(),
        until: now,
        limit: 10,
        max_bytes: 10_000,
    };
    for of in [ClaimOf::One(first.id), ClaimOf::Companions(vec![companions])] {
        storage.claim(Claim { of, ..claim(now, 10) }).await.unwrap();
    }
    let page = everything().with_limit(20);
    for query in [
        page.clone(),
        page.clone().with_after(first.id),
        page.clone().with_event(first.event),
        page.clone().with_trigger(first.trigger),
        page.clone().with_state(StateName::Parked),
        page.clone().with_id(first.id),
    ] {
        storage.deliveries(query).await.unwrap();
    }
    storage.attempts(first.id).await.unwrap();
    let (query, unchanged_since) = (page, None);
    let fate = Fate::Again { due: now, spacing: Duration::ZERO, new_message_ids: false };
    storage.replay(Replay { query, unchanged_since, now, fate }).await.unwrap();
    let old = Cutoff::before(now.before(Duration::from_secs(60)));
    let prune = Prune::new(now, 20)
        .with(StateName::Delivered, Cutoff::at_most(1_900))
        .with(StateName::Parked, old)
        .with_events(old)
        .with_contents_before(now + Duration::from_secs(60));
    storage.prune(prune).await.unwrap();
}
