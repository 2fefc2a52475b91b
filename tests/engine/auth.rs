//! How the engine proves to endpoints who it is: fields, and tokens that a token endpoint gives.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::ManualClock;
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::{
    DeadReason, Delivery, DeliveryPolicy, Jitter, Outcome, State, StateName,
};
use artifact_triggers::endpoint::EndpointPolicy;
use artifact_triggers::engine::{Engine, EngineOptions};
use artifact_triggers::event::Scope;
use artifact_triggers::request::{Request, Response};
use artifact_triggers::storage::MemoryStorage;
use artifact_triggers::trigger::{
    ClientCredentials, Credential, EndpointAuth, Trigger, TriggerBuilder, TriggerSpec,
};
use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::bench::*;

/// An endpoint, `api.example`, that takes the tokens which a token endpoint, `id.example`, gave
/// last.
#[derive(Debug, Clone)]
struct World {
    state: Arc<Mutex<Given>>,
    /// Closed, the token endpoint answers nobody.
    gate: Arc<Semaphore>,
    /// How many wait for it.
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Given {
    /// How many tokens were given.
    tokens: usize,
    /// The token that the endpoint takes; the last one given if `None`.
    taken: Option<usize>,
    /// Whether it takes any.
    takes_all: bool,
    /// What the token endpoint answers in the place of a token.
    refusal: Option<Result<Response, DeliverError>>,
    /// What came to the endpoint: the field, and the status that was answered.
    arrived: Vec<(String, u16)>,
    asked: Vec<Request>,
}

impl World {
    fn new() -> Self {
        let gate = Arc::new(Semaphore::new(1_000));
        Self { state: Arc::default(), gate, waiting: Arc::default() }
    }

    fn give(state: &mut Given, request: Request) -> Result<Response, DeliverError> {
        state.asked.push(request);
        if let Some(refusal) = &state.refusal {
            return refusal.clone();
        }
        state.tokens += 1;
        let token = format!("token-{}", state.tokens);
        let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": 600});
        Ok(Response { status: 200, body: body.to_string().into(), ..Response::default() })
    }

    fn take(state: &mut Given, request: &Request) -> Response {
        let field = request.headers.only("authorization").unwrap_or_default();
        let field = String::from_utf8(field.to_vec()).unwrap();
        let expected = format!("Bearer token-{}", state.taken.unwrap_or(state.tokens));
        let status = if field == expected || state.takes_all { 200 } else { 401 };
        state.arrived.push((field.clone(), status));
        let body = format!("you sent {field} to {}", request.url).into_bytes();
        Response { status, body, ..Response::default() }
    }
}

#[async_trait]
impl Deliverer for World {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        tokio::task::yield_now().await;
        if request.url.host_str() == Some("id.example") {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let _open = self.gate.acquire().await;
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Self::give(&mut self.state.lock().unwrap(), request);
        }
        Ok(Self::take(&mut self.state.lock().unwrap(), &request))
    }

    fn check_url(&self, _: &Scope, url: &url::Url) -> Result<(), String> {
        if url.host_str() == Some("10.0.0.1") { Err("is private".to_owned()) } else { Ok(()) }
    }
}

struct Side {
    engine: Engine,
    clock: ManualClock,
    world: World,
}

async fn side() -> Side {
    side_with(EndpointPolicy::default()).await
}

async fn side_with(policy: EndpointPolicy) -> Side {
    let world = World::new();
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let engine = Engine::builder(MemoryStorage::new())
        .deliverer(world.clone())
        .clock(clock.clone())
        .options(EngineOptions::default().with_refresh(DAY).with_endpoint(policy))
        .build()
        .await
        .unwrap();
    Side { engine, clock, world }
}

impl Side {
    fn bench(&self) -> Bench {
        let (script, storage) = (Script::statuses([200]), MemoryStorage::new());
        Bench { engine: self.engine.clone(), clock: self.clock.clone(), script, storage }
    }

    /// Publishes while a run goes on.
    async fn tell(&self, count: usize) {
        for _ in 0..count {
            self.engine.publish(event("a")).await.unwrap();
        }
        self.bench().pass(Duration::from_secs(2)).await;
    }

    async fn publish(&self, count: usize) {
        for _ in 0..count {
            self.engine.publish(event("a")).await.unwrap();
        }
        self.bench().work(Duration::from_secs(2)).await;
    }

    fn arrived(&self) -> Vec<(String, u16)> {
        self.world.state.lock().unwrap().arrived.clone()
    }

    fn asked(&self) -> usize {
        self.world.state.lock().unwrap().asked.len()
    }
}

fn to_api(auth: EndpointAuth) -> TriggerBuilder {
    named("t", auth)
}

fn named(name: &str, auth: EndpointAuth) -> TriggerBuilder {
    Trigger::builder(name)
        .on_any("artifact.*".parse().unwrap())
        .unsigned_webhook("https://api.example/hooks")
        .policy(DeliveryPolicy::default().with_jitter(Jitter::None))
        .auth(auth)
}

fn oauth() -> EndpointAuth {
    let url = "https://id.example/token".parse().unwrap();
    EndpointAuth::oauth2(ClientCredentials::new(url, "client", Credential::held("client-secret")))
}

#[tokio::test]
async fn each_kind_has_its_field_behind_the_signature() {
    for (auth, name, expected) in [
        (EndpointAuth::bearer(Credential::held("t")), "authorization", "Bearer t"),
        (EndpointAuth::basic("u", Credential::held("p")), "authorization", "Basic dTpw"),
        (EndpointAuth::api_key("X-Api-Key", Credential::held("k")), "x-api-key", "k"),
    ] {
        let bench = bench(Script::statuses([200])).await;
        bench.trigger(webhook("t").auth(auth)).await;
        bench.engine.publish(event("a")).await.unwrap();
        bench.work(MINUTE).await;
        let sent = bench.script.requests().pop().unwrap();
        assert_eq!(sent.headers.only(name), Some(expected.as_bytes()));
        let at = |name| sent.headers.iter().position(|(other, _)| other == name);
        assert!(at("webhook-signature").unwrap() < at(name).unwrap());
    }
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_used_until_it_ends() {
    let side = side().await;
    side.bench().trigger(to_api(oauth())).await;
    side.publish(20).await;
    assert_eq!((side.asked(), side.arrived().len()), (1, 20));
    assert!(side.arrived().iter().all(|one| *one == ("Bearer token-1".to_owned(), 200)));
    // 600 s less 30 s of leeway, two of which have passed.
    side.bench().work(Duration::from_secs(567)).await;
    side.publish(1).await;
    assert_eq!(side.asked(), 1);
    side.publish(1).await;
    assert_eq!(side.asked(), 2);
    assert_eq!(side.arrived().pop().unwrap(), ("Bearer token-2".to_owned(), 200));
}

#[tokio::test]
async fn a_token_that_is_taken_no_more_is_renewed_once_within_the_attempt() {
    let side = side().await;
    side.bench().trigger(to_api(oauth())).await;
    side.publish(1).await;
    // Revoked, as if by the token endpoint: the next one is good.
    side.world.state.lock().unwrap().taken = Some(2);
    side.publish(1).await;
    let arrived = side.arrived();
    assert_eq!(
        arrived[1..],
        [("Bearer token-1".to_owned(), 401), ("Bearer token-2".to_owned(), 200)]
    );
    assert!(side.bench().deliveries().await.iter().all(|one| one.attempts == 1));

    // One that takes none at all is asked twice by the attempt, and fails.
    side.world.state.lock().unwrap().taken = Some(0);
    side.publish(1).await;
    assert_eq!(side.arrived().len(), 5);
    assert_eq!(side.asked(), 3);
    let failed =
        side.bench().deliveries().await.into_iter().find(|one| one.state != State::Delivered);
    let log = side.bench().log(&failed.unwrap()).await;
    assert_eq!((log[0].attempt.status, log.len()), (Some(401), 1));
}

#[tokio::test]
async fn a_token_that_is_fresh_and_refused_is_not_renewed() {
    let side = side().await;
    side.world.state.lock().unwrap().taken = Some(0);
    side.bench().trigger(to_api(oauth())).await;
    side.publish(1).await;
    assert_eq!((side.asked(), side.arrived().len()), (1, 1));
}

#[tokio::test]
async fn what_the_token_endpoint_fails_with_is_the_attempts_outcome_and_its_endpoint_is_not_blamed()
{
    for (status, outcome) in [
        (400, Outcome::Rejected),
        (401, Outcome::Rejected),
        (500, Outcome::Transient),
        (410, Outcome::Rejected),
    ] {
        let side = side().await;
        let refusal = Response { status, body: b"client-secret".to_vec(), ..Response::default() };
        side.world.state.lock().unwrap().refusal = Some(Ok(refusal));
        side.bench().trigger(to_api(oauth())).await;
        side.publish(30).await;
        assert!(side.arrived().is_empty(), "nothing goes out without a token");
        for delivery in side.bench().deliveries().await {
            assert_eq!((delivery.state.name(), delivery.attempts), (StateName::Waiting, 1));
            let attempt = &side.bench().log(&delivery).await[0].attempt;
            assert_eq!(attempt.outcome, outcome);
            let error = attempt.error.as_ref().unwrap();
            assert!(error.starts_with("the token endpoint "), "{error}");
            assert_eq!(attempt.response, None);
        }
        let known = side.engine.endpoints();
        let open = known.iter().filter(|one| format!("{one:?}").contains("Open")).count();
        assert_eq!(open, 0, "{known:?}");
    }
}

#[tokio::test]
async fn a_failing_token_endpoint_is_asked_once_by_all_who_wait() {
    let side = side().await;
    let refusal = Response { status: 500, ..Response::default() };
    side.world.state.lock().unwrap().refusal = Some(Ok(refusal));
    side.bench().trigger(to_api(oauth())).await;
    side.publish(30).await;
    assert!(side.asked() < 5, "{}", side.asked());
}

#[tokio::test]
async fn a_token_endpoint_that_hangs_costs_the_attempt_its_time() {
    let side = side().await;
    side.world.gate.forget_permits(1_000);
    side.bench().trigger(to_api(oauth())).await;
    side.engine.publish(event("a")).await.unwrap();
    side.bench().work(MINUTE / 2).await;
    let delivery = side.bench().only().await;
    let attempt = &side.bench().log(&delivery).await[0].attempt;
    assert_eq!(attempt.outcome, Outcome::Transient);
    assert_eq!(attempt.error.as_deref(), Some("no answer within 20s"));
}

#[tokio::test]
async fn who_waits_for_a_token_keeps_nobody_from_the_endpoint() {
    let side = side_with(EndpointPolicy::default().with_concurrency(1)).await;
    side.world.gate.forget_permits(1_000);
    side.bench().trigger(to_api(oauth())).await;
    let other = named("other", EndpointAuth::bearer(Credential::held("token-0")));
    let other = side.bench().trigger(other).await;
    side.bench().begin_run();
    side.tell(5).await;
    assert_eq!(side.arrived().len(), 5, "the other trigger's alone");
    let deliveries = side.bench().deliveries().await;
    let is_delivered = |one: &&Delivery| one.state == State::Delivered;
    assert!(deliveries.iter().filter(is_delivered).all(|one| one.trigger == other.id));

    // Once it answers, everyone gets in, one at a time, and no attempt was used up.
    side.world.gate.add_permits(1);
    side.bench().pass(Duration::from_secs(2)).await;
    let deliveries = side.bench().deliveries().await;
    assert!(deliveries.iter().all(|one| (&one.state, one.attempts) == (&State::Delivered, 1)));
    assert_eq!((side.asked(), side.arrived().len()), (1, 10));
}

#[tokio::test]
async fn a_token_endpoint_is_asked_no_more_at_once_than_any_endpoint() {
    let side = side_with(EndpointPolicy::default().with_concurrency(2)).await;
    side.world.gate.forget_permits(1_000);
    side.world.state.lock().unwrap().takes_all = true;
    for n in 0..6 {
        let url = format!("https://api-{n}.example/hooks");
        let trigger = Trigger::builder(format!("t{n}"));
        let trigger = trigger.on_any("artifact.*".parse().unwrap()).unsigned_webhook(url);
        side.bench().trigger(trigger.auth(oauth())).await;
    }
    side.bench().begin_run();
    side.tell(1).await;
    assert_eq!(side.world.waiting.load(Ordering::SeqCst), 2);
    side.world.gate.add_permits(1_000);
    side.bench().pass(MINUTE / 6).await;
    let deliveries = side.bench().deliveries().await;
    assert_eq!((deliveries.len(), side.asked()), (6, 6));
    assert!(deliveries.iter().all(|one| one.attempts == 1), "{deliveries:?}");
}

#[tokio::test]
async fn defect_43_a_token_fetch_goes_by_the_same_guard_as_a_delivery() {
    let side = side().await;
    let url = "https://10.0.0.1/token".parse().unwrap();
    let client = ClientCredentials::new(url, "client", Credential::held("s"));
    let spec = to_api(EndpointAuth::oauth2(client)).build().unwrap();
    let refused = side.engine.create_trigger(spec).await.unwrap_err().to_string();
    assert!(refused.ends_with("target.webhook.auth.oauth2.token_url: is private"), "{refused}");

    // A name that is found to be one only when it is dialled.
    let blocked = Err(DeliverError::Blocked { reason: "is private".to_owned() });
    side.world.state.lock().unwrap().refusal = Some(blocked);
    side.bench().trigger(to_api(oauth())).await;
    side.publish(1).await;
    let dead = side.bench().only().await;
    assert_eq!(dead.state, State::Dead { reason: DeadReason::Blocked });
    assert!(side.arrived().is_empty());
}

#[tokio::test]
async fn a_request_for_a_token_is_small_and_reads_no_more_than_a_token() {
    let side = side().await;
    side.bench().trigger(to_api(oauth())).await;
    side.publish(1).await;
    let asked = side.world.state.lock().unwrap().asked[0].clone();
    assert_eq!(*asked.body, *b"grant_type=client_credentials");
    let timeout = DeliveryPolicy::default().timeout / 2;
    assert_eq!((asked.response_bytes, asked.timeout), (64 * 1024, timeout));
}

#[tokio::test]
async fn what_an_endpoint_repeats_of_a_request_is_not_kept() {
    let side = side().await;
    side.world.state.lock().unwrap().taken = Some(0);
    let spec = to_api(oauth()).build().unwrap();
    let trigger = side.engine.create_trigger(spec).await.unwrap();
    let pinged = side.engine.ping(&Scope::root(), trigger.id).await.unwrap();
    let expected = "you sent Bearer [redacted] to https://api.example/hooks";
    assert_eq!(pinged.attempt.response.as_deref(), Some(expected));
}

#[tokio::test]
async fn a_preview_asks_nobody() {
    let side = side().await;
    let trigger = side.bench().trigger(to_api(oauth())).await;
    let request = side.engine.preview(&Scope::root(), trigger.id, event("a")).unwrap().unwrap();
    assert_eq!((request.headers.only("authorization"), side.asked()), (None, 0));
}

#[test]
fn what_is_wrong_with_auth_is_told_at_once_and_nothing_of_it_repeated() {
    let problems = |auth: serde_json::Value| {
        let document = json!({"name": "t", "kinds": ["*"], "target": {"webhook": {
            "url": "https://api.example/", "headers": {"Authorization": "x", "x-key": "y"}, "auth": auth,
        }}});
        TriggerSpec::from_value(document).unwrap_err().to_string()
    };
    for (auth, expected) in [
        (
            json!({}),
            "auth: expected an object with bearer, basic, api_key or oauth2, exactly one of them",
        ),
        (
            json!({"bearer": {"token": "t"}, "basic": {"user": "u", "password": "p"}}),
            "exactly one of them",
        ),
        (json!({"digest": {}}), "auth.digest: is not a member"),
        (json!("hunter2"), "auth: expected an object, found a string"),
        (json!({"bearer": "hunter2"}), "auth.bearer: expected an object, found a string"),
        (
            json!({"bearer": {"token": ["hunter2"]}}),
            "auth.bearer.token: expected a string, or an object with provider",
        ),
        (
            json!({"bearer": {"token": "hunter2\r\nx"}}),
            "auth.bearer.token: expected printable ASCII",
        ),
        (
            json!({"bearer": {"token": "t"}}),
            "headers.Authorization: is set by auth; expected one of the two",
        ),
        (json!({"api_key": {"header": "X-KEY", "key": "k"}}), "headers.x-key: is set by auth"),
        (
            json!({"api_key": {"header": "webhook-signature", "key": "k"}}),
            "auth.api_key.header.webhook-signature: is set by the crate",
        ),
        (
            json!({"api_key": {"header": "a b", "key": "k"}}),
            "auth.api_key.header: expected names of header fields",
        ),
        (
            json!({"basic": {"user": "a:b", "password": "hunter2"}}),
            "auth.basic.user: expected a name without a colon",
        ),
        (
            json!({"bearer": {"token": {"provider": "a b"}}}),
            "auth.bearer.token.provider: expected 1 to 512 printable",
        ),
        (
            json!({"oauth2": {"client_id": "c", "client_secret": "hunter2"}}),
            "auth.oauth2.token_url: expected a string, found nothing",
        ),
        (
            json!({"oauth2": {"token_url": "ftp://u:hunter2@id/", "client_id": "c", "client_secret": "s"}}),
            "auth.oauth2.token_url: expected https (or http), found ftp",
        ),
        (
            json!({"oauth2": {"token_url": "https://id.example", "client_id": "c", "client_secret": "s", "client_auth": "jwt"}}),
            "expected basic or form, found \"jwt\"",
        ),
    ] {
        let found = problems(auth);
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
}

#[test]
fn each_kind_is_read_as_it_is_written_and_shown_without_what_is_secret() {
    for auth in [
        json!({"bearer": {"token": "hunter2"}}),
        json!({"bearer": {"token": {"provider": "kv/a"}}}),
        json!({"basic": {"user": "u", "password": "hunter2"}}),
        json!({"api_key": {"header": "x-api-key", "key": "hunter2"}}),
        json!({"oauth2": {"token_url": "https://id.example/hunter2", "client_id": "c",
            "client_secret": "hunter2", "scope": "a b", "audience": "x", "client_auth": "form"}}),
    ] {
        let document = json!({"name": "t", "kinds": ["*"], "target": {"webhook": {
            "url": "https://api.example/", "auth": auth,
        }}});
        let spec = TriggerSpec::from_value(document).unwrap();
        let id = artifact_triggers::id::TriggerId::from_bytes([1; 16]);
        let now = artifact_triggers::clock::Timestamp::UNIX_EPOCH;
        let trigger = Trigger::new(id, spec, now);
        let stored: serde_json::Value = serde_json::from_slice(&trigger.expose_json()).unwrap();
        assert_eq!(stored["target"]["webhook"]["auth"], auth);
        assert_eq!(Trigger::from_exposed_json(&trigger.expose_json()).unwrap(), trigger);
        let shown = format!("{trigger:?} {}", serde_json::to_string(&trigger).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
