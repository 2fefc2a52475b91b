//! Sealing: what is secret of triggers is stored under a key, and is read with that key alone.

use std::sync::Arc;

use artifact_triggers::clock::{Clock as _, ManualClock};
use artifact_triggers::delivery::StateName;
use artifact_triggers::engine::{Engine, EngineBuilder, Resealed};
use artifact_triggers::event::Scope;
use artifact_triggers::secret::{Secret, XChaChaSealer};
use artifact_triggers::storage::{
    DeliveryQuery, MemoryStorage, Storage, StorageError, TriggerState, TriggerWrite,
};
use artifact_triggers::trigger::{Credential, EndpointAuth, Target, Trigger, TriggerBuilder};

use crate::bench::*;

const CANARIES: [&str; 4] = ["in-the-path", "in-the-query", "in-a-header", "in-the-auth"];

fn key(id: &str) -> Secret {
    let byte = id.bytes().last().unwrap();
    Secret::new([byte; 32])
}

fn sealer(id: &str) -> XChaChaSealer {
    XChaChaSealer::new(id, &key(id)).unwrap()
}

fn telling(name: &str) -> TriggerBuilder {
    webhook(name)
        .header("x-key", "in-a-header")
        .auth(EndpointAuth::bearer(Credential::held("in-the-auth")))
}

async fn on(
    storage: &MemoryStorage,
    script: &Script,
    with: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> Bench {
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let builder = Engine::builder(storage.clone())
        .deliverer(script.clone())
        .clock(clock.clone())
        .action("flaky", crate::actions::Flaky::default());
    let engine = with(builder).build().await.unwrap();
    Bench { engine, clock, script: script.clone(), storage: storage.clone() }
}

fn spec(name: &str) -> artifact_triggers::trigger::TriggerSpec {
    let mut spec = telling(name).build().unwrap();
    let Target::Webhook(endpoint) = &mut spec.target else { unreachable!() };
    endpoint.url = "https://hooks.example/in-the-path?q=in-the-query".parse().unwrap();
    spec
}

/// What is stored of each trigger that is there, as its storage writes it.
async fn stored(storage: &MemoryStorage) -> Vec<(Arc<Trigger>, String)> {
    let changes = storage.trigger_changes(0, 100).await.unwrap();
    let there = changes.into_iter().filter_map(|change| match change.trigger {
        TriggerState::Stored(trigger) => Some(trigger),
        _ => None,
    });
    there
        .map(|trigger| {
            let json = String::from_utf8(trigger.expose_json().to_vec()).unwrap();
            (trigger, json)
        })
        .collect()
}

#[tokio::test]
async fn what_is_secret_is_stored_sealed_and_goes_out_open() {
    let (storage, script) = (MemoryStorage::new(), Script::statuses([200]));
    let bench = on(&storage, &script, |engine| engine.sealer(sealer("k1"))).await;
    let made = bench.engine.create_trigger(spec("t")).await.unwrap();
    let changed = bench.engine.disable_trigger(made.id).await.unwrap();
    assert_eq!(changed.spec.target, made.spec.target);
    bench.engine.enable_trigger(made.id).await.unwrap();

    let json = &stored(&storage).await[0].1;
    assert!(json.contains(r#""key":"k1""#) && json.contains("https://hooks.example/\""), "{json}");
    for canary in CANARIES.iter().chain(&[&SECRET[6..], "x-key", "authorization"]) {
        assert!(!json.contains(canary), "{canary}: {json}");
    }
    // Another engine, as after a restart.
    let bench = on(&storage, &script, |engine| engine.sealer(sealer("k1"))).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let sent = script.requests().pop().unwrap();
    assert_eq!(sent.url.as_str(), "https://hooks.example/in-the-path?q=in-the-query");
    assert_eq!(sent.headers.only("x-key"), Some(&b"in-a-header"[..]));
    assert_eq!(sent.headers.only("authorization"), Some(&b"Bearer in-the-auth"[..]));
    assert!(sent.headers.only("webhook-signature").is_some());
}

#[tokio::test]
async fn without_its_key_a_trigger_cannot_be_read_and_what_waits_is_parked_until_it_can() {
    let (storage, script) = (MemoryStorage::new(), Script::statuses([500]));
    let bench = on(&storage, &script, |engine| engine.sealer(sealer("k1"))).await;
    let trigger = bench.engine.create_trigger(spec("t")).await.unwrap();
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE / 60).await;
    assert_eq!(bench.only().await.state.name(), StateName::Waiting);

    let no_sealer = "its target is sealed under key \"k1\", and this engine has no sealer";
    let other_key = "its target: sealed under key \"k1\", which is not there";
    let wrong = XChaChaSealer::new("k1", &key("k2")).unwrap();
    let refused = "its target: does not open under key \"k1\": it was changed, belongs elsewhere, or the \
                   key is another";
    for (with, expected) in
        [(None, no_sealer), (Some(sealer("k2")), other_key), (Some(wrong), refused)]
    {
        let later = on(&storage, &script, |engine| match with {
            Some(sealer) => engine.sealer(sealer),
            None => engine,
        })
        .await;
        assert_eq!(later.engine.unreadable_triggers(), [(trigger.id, expected.to_owned())]);
        let error = later.engine.enable_trigger(trigger.id).await.unwrap_err().to_string();
        assert!(error.contains(&trigger.id.to_string()) && error.contains("k1"), "{error}");
        later.clock.set(bench.clock.now() + MINUTE * 5);
        later.work(MINUTE).await;
        assert_eq!(later.only().await.state.name(), StateName::Parked);
    }
    let bench = on(&storage, &Script::statuses([200]), |engine| engine.sealer(sealer("k1"))).await;
    let query = DeliveryQuery::of_scope(Scope::root());
    bench.engine.replay(query).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.only().await.state.name(), StateName::Delivered);
}

#[tokio::test]
async fn what_was_stored_before_stays_readable_and_is_sealed_anew_by_the_newest_key() {
    let (storage, script) = (MemoryStorage::new(), Script::statuses([200]));
    let plain = on(&storage, &script, |engine| engine).await;
    let first = plain.engine.create_trigger(spec("plain")).await.unwrap();
    let action = Trigger::builder("a").on_any("*".parse().unwrap()).action("flaky");
    plain.trigger(action).await;
    let old = on(&storage, &script, |engine| engine.sealer(sealer("k1"))).await;
    let second = old.engine.create_trigger(spec("old")).await.unwrap();
    assert_eq!(old.engine.trigger(&Scope::root(), first.id).unwrap(), first);

    let both = sealer("k2").with_old_key("k1", &key("k1")).unwrap();
    let new = on(&storage, &script, |engine| engine.sealer(both.clone())).await;
    let found = new.engine.reseal().await.unwrap();
    // Those that it wrote come again in the feed, as current.
    let expected = Resealed::default();
    assert_eq!((found.resealed, &found.unreadable), (2, &expected.unreadable));
    assert_eq!(new.engine.reseal().await.unwrap().resealed, 0);
    for (trigger, json) in stored(&storage).await {
        assert!(trigger.spec.name == "a" || json.contains(r#""key":"k2""#), "{json}");
    }
    let newest = on(&storage, &script, |engine| engine.sealer(sealer("k2")).sealed_only()).await;
    assert_eq!(newest.engine.unreadable_triggers(), []);
    for before in [first, second] {
        let now = newest.engine.trigger(&Scope::root(), before.id).unwrap();
        assert_eq!((now.revision, &now.spec), (before.revision + 1, &before.spec));
        assert_eq!(now.updated_at, before.updated_at);
    }
}

#[tokio::test]
async fn what_does_not_open_is_left_alone_when_others_are_sealed_anew() {
    let (storage, script) = (MemoryStorage::new(), Script::statuses([200]));
    let old = on(&storage, &script, |engine| engine.sealer(sealer("k1"))).await;
    let lost = old.engine.create_trigger(spec("lost")).await.unwrap();
    let before = stored(&storage).await;
    let new = on(&storage, &script, |engine| engine.sealer(sealer("k2"))).await;
    new.engine.create_trigger(spec("new")).await.unwrap();
    let found = new.engine.reseal().await.unwrap();
    assert_eq!((found.resealed, found.current, found.unreadable), (0, 1, vec![lost.id]));
    assert_eq!(stored(&storage).await[0], before[0]);
}

/// Another trigger's row, with a target that was sealed for the first.
async fn with_target_of(storage: &MemoryStorage, from: &Trigger, into: &Trigger) {
    let mut moved = into.changed(into.spec.clone(), None, into.updated_at);
    moved.spec.target = from.spec.target.clone();
    storage.write_trigger(TriggerWrite::Update(Arc::new(moved))).await.unwrap();
}

#[tokio::test]
async fn a_sealed_target_that_is_moved_to_another_trigger_does_not_open() {
    let (storage, script) = (MemoryStorage::new(), Script::statuses([200]));
    let bench = on(&storage, &script, |engine| engine.sealer(sealer("k1"))).await;
    bench.engine.create_trigger(spec("a")).await.unwrap();
    bench.engine.create_trigger(spec("b")).await.unwrap();
    let rows = stored(&storage).await;
    with_target_of(&storage, &rows[0].0, &rows[1].0).await;
    bench.engine.refresh_triggers().await.unwrap();
    let unreadable = bench.engine.unreadable_triggers();
    assert_eq!(unreadable.len(), 1);
    assert_eq!(unreadable[0].0, rows[1].0.id);
    assert!(unreadable[0].1.contains("belongs elsewhere"), "{unreadable:?}");
}

#[tokio::test]
async fn a_sealed_target_goes_nowhere_but_where_it_shows() {
    let (storage, script) = (MemoryStorage::new(), Script::statuses([200]));
    let bench = on(&storage, &script, |engine| engine.sealer(sealer("k1"))).await;
    bench.engine.create_trigger(spec("a")).await.unwrap();
    let (row, json) = stored(&storage).await.remove(0);
    let elsewhere =
        json.replace("hooks.example", "evil.example").replace("\"revision\":1", "\"revision\":2");
    let TriggerState::Stored(elsewhere) = TriggerState::read(row.id, elsewhere.as_bytes()) else {
        panic!("it is read")
    };
    storage.write_trigger(TriggerWrite::Update(elsewhere)).await.unwrap();
    bench.engine.refresh_triggers().await.unwrap();
    let expected = "its target is sealed with another origin than the one beside it";
    assert_eq!(bench.engine.unreadable_triggers(), [(row.id, expected.to_owned())]);
}

#[tokio::test]
async fn where_sealed_ones_alone_are_taken_a_plain_row_is_not() {
    let (storage, script) = (MemoryStorage::new(), Script::statuses([200]));
    let plain = on(&storage, &script, |engine| engine).await;
    let trigger = plain.engine.create_trigger(spec("plain")).await.unwrap();
    let strict = on(&storage, &script, |engine| engine.sealer(sealer("k1")).sealed_only()).await;
    let expected = "its target is not sealed, and this engine takes none that is not";
    assert_eq!(strict.engine.unreadable_triggers(), [(trigger.id, expected.to_owned())]);
    let found = strict.engine.reseal().await.unwrap();
    assert_eq!(found.resealed, 1, "who has the key can take it in");
    assert_eq!(strict.engine.unreadable_triggers(), []);
}

#[test]
fn nobody_brings_a_sealed_target_along() {
    let document = serde_json::json!({"name": "t", "kinds": ["*"], "target": {"webhook": {
        "url": "https://a.example/", "sealed": {"key": "k1", "text": "AAAA"},
    }}});
    let refused = artifact_triggers::trigger::TriggerSpec::from_value(document).unwrap_err();
    assert_eq!(refused.to_string(), "target.webhook.sealed: is not a member of this object");
}

/// Fails as a sealer that asks a service of its own may.
#[derive(Debug, Default, Clone)]
struct Broken;

impl artifact_triggers::secret::SecretSealer for Broken {
    fn key_id(&self) -> &'static str {
        "broken"
    }

    fn seal(
        &self,
        _: &[u8],
        _: &str,
        _: &dyn artifact_triggers::entropy::Entropy,
    ) -> Result<artifact_triggers::secret::Sealed, artifact_triggers::secret::SealError> {
        let reason = "no answer".to_owned();
        Err(artifact_triggers::secret::SealError::Failed { reason })
    }

    fn open(
        &self,
        _: &artifact_triggers::secret::Sealed,
        _: &str,
    ) -> Result<Secret, artifact_triggers::secret::SealError> {
        unreachable!("nothing was sealed")
    }
}

#[tokio::test]
async fn what_cannot_be_sealed_is_not_stored() {
    let (storage, script) = (MemoryStorage::new(), Script::statuses([200]));
    let bench = on(&storage, &script, |engine| engine.sealer(Broken)).await;
    let error = bench.engine.create_trigger(spec("t")).await.unwrap_err();
    let StorageError::Unavailable { reason } = (match error {
        artifact_triggers::engine::TriggerError::Storage(error) => error,
        other => panic!("{other:?}"),
    }) else {
        panic!("it is unavailable")
    };
    assert!(reason.ends_with("the sealer failed: no answer"), "{reason}");
    assert!(stored(&storage).await.is_empty());
}
