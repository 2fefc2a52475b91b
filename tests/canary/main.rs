//! Canaries: secrets of every kind are planted, every way to fail is gone, and all that can be seen
//! is searched for them, in each encoding.

mod captured;
mod receiver;
mod search;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::TokioClock;
use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::{DeliveryPolicy, RetrySchedule};
use artifact_triggers::engine::{Engine, EngineBuilder, EngineOptions};
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::observer::metrics::MetricsObserver;
use artifact_triggers::observer::tracing::TracingObserver;
use artifact_triggers::observer::{Observer, Transition};
use artifact_triggers::provider::{ProviderError, SecretAsk, SecretProvider};
use artifact_triggers::request::{Request, Response};
use artifact_triggers::secret::{Secret, XChaChaSealer};
use artifact_triggers::storage::sqlite::SqliteStorage;
use artifact_triggers::storage::{DeliveryQuery, EventQuery};
use artifact_triggers::trigger::{Trigger, TriggerSpec};
use async_trait::async_trait;
use serde_json::{Value, json};

use captured::{Capture, Labels};
use receiver::Receiver;
use search::{Canary, Seen, assert_unseen};

/// One of each kind of secret. Each has a character that URLs and forms encode.
const SIGNING: &str = "signing~3f9a1c77d2e04b8895aa";
const PATH: &str = "path~7d21be09c3aa4416bb0e";
const QUERY: &str = "query~0a9c55d1e7f34420a1b2";
const USER_INFO: &str = "userinfo~c81d2f3a9e7746b0";
const HEADER: &str = "header~5ab3e0c94d1f47728e6b";
const BEARER: &str = "bearer~91f0d7a2c3b44e5f8d60";
const PASSWORD: &str = "password~b2d4f6081a3c4e5d";
const KEY: &str = "apikey~e7c5a3910f8d4b62a4c8";
const CLIENT_SECRET: &str = "client~6f1e8d3c2b5a4709b8e1";
const TOKEN: &str = "token~d09c8b7a6f5e4d3c2b1a";
const TOKEN_PATH: &str = "tokenpath~44aa0be1c9d24f63";
const PROVIDED: &str = "provided~a1b2c3d4e5f60718";
const SEALING: &str = "sealing~key-of-32-bytes-in-all!!";

fn canaries() -> Vec<Canary> {
    let all = [
        SIGNING,
        PATH,
        QUERY,
        USER_INFO,
        HEADER,
        BEARER,
        PASSWORD,
        KEY,
        CLIENT_SECRET,
        TOKEN,
        TOKEN_PATH,
        PROVIDED,
        SEALING,
    ];
    all.into_iter().map(Canary::new).collect()
}

/// Fails as its path says before the HTTP deliverer gets to it.
#[derive(Debug)]
struct Faulty(HttpDeliverer);

#[async_trait]
impl Deliverer for Faulty {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        let told = || format!("{} {:?}", request.url, request.headers.only("authorization"));
        match request.url.path().split('/').nth(1) {
            Some("panic") => panic!("on purpose"),
            Some("hang") => std::future::pending().await,
            // A deliverer that breaks its contract: its words are cleaned all the same.
            Some("invalid") => Err(DeliverError::Invalid { reason: told() }),
            Some("broken") => Err(DeliverError::Broken { reason: told() }),
            _ => self.0.deliver(request).await,
        }
    }

    fn check_url(&self, scope: &Scope, url: &url::Url) -> Result<(), String> {
        self.0.check_url(scope, url)
    }
}

#[derive(Debug)]
struct Vault;

#[async_trait]
impl SecretProvider for Vault {
    async fn secret(&self, ask: SecretAsk<'_>) -> Result<Secret, ProviderError> {
        match ask.reference {
            "kv/there" => Ok(Secret::new(PROVIDED)),
            _ => Err(ProviderError::new("it is sealed")),
        }
    }

    fn check(&self, _: SecretAsk<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// Keeps what observers are told, as `Debug` shows it.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<String>>);

impl Observer for Told {
    fn observe(&self, transition: &Transition<'_>) {
        writeln!(self.0.lock().unwrap(), "{transition:?}").unwrap();
    }
}

fn sealer() -> XChaChaSealer {
    XChaChaSealer::new("k1", &Secret::new(SEALING)).unwrap()
}

async fn engine(
    file: &Path,
    told: &Told,
    with: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> Engine {
    let policy = AddressPolicy::public_only().allow_http().allow_loopback();
    let http = HttpDeliverer::builder().address_policy(policy).build().unwrap();
    let builder = Engine::builder(SqliteStorage::open(file).unwrap())
        .deliverer(Faulty(http))
        .clock(TokioClock)
        .secret_provider(Vault)
        .observer(told.clone())
        .observer(TracingObserver::new())
        .observer(MetricsObserver::new().with_scope(3))
        .options(EngineOptions::default());
    with(builder).build().await.unwrap()
}

/// Every kind of credential, each for a trigger of its own.
fn auths(id_port: u16) -> Vec<Value> {
    let token_url = format!("http://127.0.0.1:{id_port}/token/{TOKEN_PATH}");
    let oauth = |url: &str, auth: &str| {
        json!({"oauth2": {"token_url": url, "client_id": "c", "client_secret": CLIENT_SECRET,
               "client_auth": auth}})
    };
    vec![
        json!({"bearer": {"token": BEARER}}),
        json!({"basic": {"user": "u", "password": PASSWORD}}),
        json!({"api_key": {"header": "x-api-key", "key": KEY}}),
        oauth(&token_url, "basic"),
        oauth(&token_url, "form"),
        oauth(&format!("http://127.0.0.1:{id_port}/refuse/{TOKEN_PATH}"), "form"),
        json!({"bearer": {"token": {"provider": "kv/there"}}}),
        json!({"bearer": {"token": {"provider": "kv/gone"}}}),
    ]
}

/// Where it goes, by what happens there.
fn places(echo: u16) -> Vec<String> {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = |port: u16, what: &str| format!("http://127.0.0.1:{port}/{what}/{PATH}?t={QUERY}");
    let mut places: Vec<String> =
        ["200", "302", "400", "401", "410", "500", "503", "garbage", "cut"]
            .iter()
            .map(|what| at(echo, what))
            .collect();
    places.push(at(closed, "closed"));
    places.extend(["panic", "hang", "invalid", "broken"].map(|what| at(echo, what)));
    places
}

fn spec(name: &str, url: &str, auth: &Value) -> Value {
    use base64::Engine as _;
    let mut bytes = SIGNING.as_bytes().to_vec();
    bytes.resize(32, b'.');
    let secret = format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(bytes));
    let policy = DeliveryPolicy::default()
        .with_timeout(Duration::from_millis(400))
        .with_retry(RetrySchedule::Pauses(vec![Duration::from_millis(1)]));
    json!({
        "name": name, "scope": "acme/platform", "kinds": ["artifact.*"], "policy": policy,
        "target": {"webhook": {"url": url, "secrets": [secret], "auth": auth,
                               "headers": {"x-secret": HEADER, "x-scheme": format!("Token {HEADER}")}}},
    })
}

fn event() -> Event {
    let artifact = Artifact::new("generic", "a").with_version("1");
    let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact);
    event.scope("acme/platform/eu".parse().unwrap()).build().unwrap()
}

/// Makes triggers that fail in every way, and has each tried, pinged, shown and explained.
async fn go_every_way(engine: &Engine, seen: &mut Seen) {
    let receiver = Receiver::start(TOKEN).await;
    let root = Scope::root();
    let mut made = Vec::new();
    for (n, place) in places(receiver.port()).iter().enumerate() {
        for (m, auth) in auths(receiver.port()).iter().enumerate() {
            let spec = TriggerSpec::from_value(spec(&format!("t{n}-{m}"), place, auth)).unwrap();
            seen.debug("spec", &spec);
            made.push(engine.create_trigger(spec).await.unwrap());
        }
    }
    engine.spawn(1);
    seen.debug("published", &engine.publish(event()).await);
    for trigger in &made {
        seen.debug("trigger", &**trigger);
        seen.json("trigger", &**trigger);
        seen.debug("explained", &engine.explain(&root, trigger.id, &event()));
        seen.debug("preview", &engine.preview(&root, trigger.id, event()));
        match engine.ping(&root, trigger.id).await {
            Ok(pinged) => {
                seen.debug("pinged", &pinged);
                seen.json("pinged", &pinged);
            }
            Err(error) => seen.error("ping", &error),
        }
    }
    engine.drain(Duration::from_secs(5)).await.unwrap();
    change_them(engine, &made, seen).await;
    look_at_history(engine, seen).await;
}

async fn change_them(engine: &Engine, made: &[Arc<Trigger>], seen: &mut Seen) {
    let root = Scope::root();
    let trigger = &made[0];
    seen.debug("rotated", &engine.rotate_secret(&root, trigger.id, Duration::ZERO).await);
    let shown = serde_json::to_value(&trigger.spec).unwrap();
    for (pointer, value) in [
        ("/target/webhook/url", json!(format!("https://u:{USER_INFO}@a.example/{PATH}"))),
        ("/target/webhook/url", json!(format!("http://10.1.2.3/{PATH}?t={QUERY}"))),
        ("/target/webhook/url", json!(format!("gopher://a.example/{PATH}"))),
        ("/target/webhook/url", json!(format!("https://a.example/{PATH}\\"))),
        ("/target/webhook/secrets", json!([SIGNING])),
        ("/target/webhook/secrets", json!([{"secret": SIGNING, "expires_at": "soon"}])),
        ("/target/webhook/headers", json!({"x": format!("{HEADER}\r\n"), "host": HEADER})),
        ("/target/webhook/headers", json!({"x": [HEADER], "authorization": BEARER})),
        ("/target/webhook/auth", json!({"bearer": {"token": [BEARER]}})),
        ("/target/webhook/auth", json!({"bearer": BEARER})),
        (
            "/target/webhook/auth",
            json!({"basic": {"user": "a:b", "password": format!("{PASSWORD}\n")}}),
        ),
        (
            "/target/webhook/auth",
            json!({"oauth2": {"token_url": format!("/{TOKEN_PATH}"), "client_secret": CLIENT_SECRET}}),
        ),
        ("/target", json!({"webhook": HEADER})),
    ] {
        let mut document = shown.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        let json = serde_json::to_vec(&document).unwrap();
        let refused = engine.revise_trigger(&root, trigger.id, 2, &json).await;
        seen.error("revised", &refused.expect_err(pointer));
        seen.error("parsed", &TriggerSpec::from_value(document).expect_err(pointer));
    }
    let mut document = shown;
    document["target"]["webhook"]["url"] = json!("https://elsewhere.example/");
    let json = serde_json::to_vec(&document).unwrap();
    let current = engine.trigger(&root, trigger.id).unwrap();
    let moved = engine.revise_trigger(&root, trigger.id, current.revision, &json).await.unwrap();
    assert!(moved.dropped.len() >= 3, "{:?}", moved.dropped);
    seen.debug("moved", &moved);
    seen.debug("conflict", &engine.revise_trigger(&root, trigger.id, 1, &json).await);
}

async fn look_at_history(engine: &Engine, seen: &mut Seen) {
    let root = Scope::root();
    let deliveries = engine.deliveries(DeliveryQuery::of_scope(root.clone()).with_limit(1_000));
    let deliveries = deliveries.await.unwrap();
    let mut echoed = 0;
    let mut errors = 0;
    for delivery in &deliveries {
        seen.debug("delivery", delivery);
        seen.json("delivery", delivery);
        for logged in engine.attempts(&root, delivery.id).await.unwrap() {
            echoed += usize::from(
                logged.attempt.response.as_ref().is_some_and(|text| text.contains("[redacted]")),
            );
            errors += usize::from(logged.attempt.error.is_some());
            seen.debug("attempt", &logged);
            seen.json("attempt", &logged.attempt);
        }
    }
    // Without these the rest proves nothing. How many there are is up to the machine: time-outs are
    // real.
    assert!(deliveries.len() > 100 && echoed > 10 && errors > 20, "{echoed} {errors}");
    seen.debug("events", &engine.events(EventQuery::of_scope(root.clone())).await.unwrap());
    seen.debug("triggers", &engine.triggers(&root));
    seen.debug("misses", &engine.nearest_misses(&event(), 10));
    seen.debug("endpoints", &engine.endpoints());
    seen.debug("backlog", &engine.backlog().await);
    seen.debug("stats", &engine.stats());
    seen.debug("engine", engine);
}

/// Breaks what is stored, beneath the engine's feet.
async fn break_the_storage(file: &Path, engine: &Engine, seen: &mut Seen) {
    let root = Scope::root();
    let ids: Vec<_> = engine.triggers(&root).iter().map(|trigger| trigger.id).collect();
    let beside = rusqlite::Connection::open(file).unwrap();
    let damage = r#"UPDATE triggers
                    SET document = CAST(replace(document, '"text":"', '"text":"AAAA') AS BLOB),
                        sequence = (SELECT max(sequence) + 1 FROM triggers)
                    WHERE id = ?1"#;
    for id in &ids {
        beside.execute(damage, [id.as_bytes()]).unwrap();
    }
    engine.refresh_triggers().await.unwrap();
    assert_eq!(engine.unreadable_triggers().len(), ids.len());
    seen.debug("unreadable", &engine.unreadable_triggers());
    seen.error("enable", &engine.enable_trigger(ids[0]).await.unwrap_err());
    seen.debug("resealed", &engine.reseal().await);
    beside.execute("ALTER TABLE triggers RENAME TO gone", []).unwrap();
    let auth = json!({"bearer": {"token": BEARER}});
    let spec = TriggerSpec::from_value(spec("new", "http://127.0.0.1:1/", &auth)).unwrap();
    seen.error("create", &engine.create_trigger(spec).await.unwrap_err());
    seen.error("refresh", &engine.refresh_triggers().await.unwrap_err());
}

#[tokio::test]
async fn no_secret_is_seen_anywhere_whatever_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("triggers.db");
    let (capture, labels) = (Capture::install(), Labels::install());
    let (told, mut seen) = (Told::default(), Seen::default());
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new({
        let told = told.clone();
        move |panic| {
            writeln!(told.0.lock().unwrap(), "{panic}").unwrap();
            before(panic);
        }
    }));

    let engine = engine(&file, &told, |engine| engine.sealer(sealer()).sealed_only()).await;
    seen.debug("sealer", &sealer());
    go_every_way(&engine, &mut seen).await;
    seen.files("while it works", folder.path());
    break_the_storage(&file, &engine, &mut seen).await;
    engine.shutdown(Duration::from_secs(1)).await;
    drop(engine);
    let _ = std::panic::take_hook();
    seen.files("at the end", folder.path());
    seen.text("observers and panics", &told.0.lock().unwrap());
    seen.text("tracing", &capture.text());
    seen.text("metrics", &labels.text());
    assert!(seen.text_of("observers and panics").contains("on purpose"), "panics are looked at");
    assert!(seen.text_of("tracing").contains("attempt_ended"), "tracing is looked at");
    assert!(seen.text_of("metrics").contains("acme/platform"), "labels are looked at");
    assert_unseen(&seen, &canaries());
}

#[tokio::test]
async fn without_sealing_the_search_finds_them_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("triggers.db");
    let engine = engine(&file, &Told::default(), |engine| engine).await;
    for (n, auth) in auths(1).iter().enumerate() {
        let place = &places(1)[0];
        let spec = TriggerSpec::from_value(spec(&format!("t{n}"), place, auth)).unwrap();
        engine.create_trigger(spec).await.unwrap();
    }
    let mut seen = Seen::default();
    seen.files("at work", folder.path());
    let found = search::found(&seen, &canaries());
    for canary in [SIGNING, PATH, QUERY, HEADER, BEARER, PASSWORD, KEY, CLIENT_SECRET, TOKEN_PATH] {
        assert!(found.iter().any(|hit| hit.contains(canary)), "{canary}: {found:?}");
    }
    for never in [USER_INFO, TOKEN, PROVIDED, SEALING] {
        assert!(!found.iter().any(|hit| hit.contains(never)), "{never} is never stored: {found:?}");
    }
}
