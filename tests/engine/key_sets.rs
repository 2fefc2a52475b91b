//! Tokens of an issuer whose keys the engine fetches.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::{Clock as _, ManualClock};
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::engine::{Engine, IncomingError};
use artifact_triggers::event::Scope;
use artifact_triggers::incoming::Incoming;
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::request::{Headers, Method, Request, Response};
use artifact_triggers::signature::Verifier;
use artifact_triggers::signature::oidc::Oidc;
use artifact_triggers::storage::{EventQuery, MemoryStorage};
use async_trait::async_trait;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://hooks.acme.example/gar";
const EMAIL: &str = "push@acme.iam.gserviceaccount.com";
const SECOND: Duration = Duration::from_secs(1);

fn data(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// An issuer: what it answers to who asks for its keys, and who did.
#[derive(Debug, Clone, Default)]
struct Issuer {
    answer: Arc<Mutex<Option<Response>>>,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Issuer {
    /// Answers with some of the keys from now on.
    fn publish(&self, key_ids: &[&str], max_age: u64) {
        let mut set: Value = serde_json::from_slice(&data("oidc/jwks.json")).unwrap();
        set["keys"]
            .as_array_mut()
            .unwrap()
            .retain(|key| key_ids.contains(&key["kid"].as_str().unwrap()));
        let field = ("cache-control", format!("public, max-age={max_age}"));
        let (headers, body) = ([field].into_iter().collect(), set.to_string().into_bytes());
        let response = Response { status: 200, headers, body, complete: true };
        *self.answer.lock().unwrap() = Some(response);
    }

    fn answer(&self, status: u16, body: &str) {
        let body = body.as_bytes().to_vec();
        let response = Response { status, body, ..Response::default() };
        *self.answer.lock().unwrap() = Some(response);
    }

    /// Is not reached any more.
    fn block(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl Deliverer for Issuer {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        self.asked.lock().unwrap().push(request);
        tokio::task::yield_now().await;
        let reason = || DeliverError::Blocked { reason: "10.0.0.1 is private".to_owned() };
        self.answer.lock().unwrap().clone().ok_or_else(reason)
    }

    fn check_url(&self, _: &Scope, _: &url::Url) -> Result<(), String> {
        Ok(())
    }
}

struct Scene {
    engine: Engine,
    issuer: Issuer,
    clock: ManualClock,
}

impl Scene {
    async fn new() -> Self {
        let (issuer, clock) =
            (Issuer::default(), ManualClock::at("2026-11-26T12:00:00Z".parse().unwrap()));
        let engine = Engine::builder(MemoryStorage::new())
            .deliverer(issuer.clone())
            .clock(clock.clone())
            .build()
            .await
            .unwrap();
        Self { engine, issuer, clock }
    }

    fn later(&self, span: Duration) {
        self.clock.set(self.clock.now() + span);
    }

    /// A token of one of the issuer's keys, which lasts an hour.
    fn token(&self, key_id: &str) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(key_id.to_owned());
        let now = self.clock.now().unix_seconds();
        let claims = json!({
            "iss": "https://accounts.google.com", "aud": AUDIENCE, "email": EMAIL,
            "email_verified": true, "iat": now, "exp": now + 3_600,
        });
        let file = if key_id == "rsa-2" { "oidc/other_rsa.der" } else { "oidc/rsa.der" };
        encode(&header, &claims, &EncodingKey::from_rsa_der(&data(file))).unwrap()
    }

    async fn receive_with(&self, authorization: &str) -> Result<usize, IncomingError> {
        let verifier = Verifier::oidc(Oidc::google(AUDIENCE, EMAIL));
        let scope = "acme".parse().unwrap();
        let receiver = ProviderReceiver::new(Provider::ArtifactRegistry, scope, verifier);
        let headers: Headers = [("authorization", authorization)].into_iter().collect();
        // {"action":"DELETE","tag":"us-docker.pkg.dev/p/r/app:1"}
        let body = br#"{"subscription": "projects/p/subscriptions/s", "message": {
            "data": "eyJhY3Rpb24iOiJERUxFVEUiLCJ0YWciOiJ1cy1kb2NrZXIucGtnLmRldi9wL3IvYXBwOjEifQ==",
            "messageId": "1", "publishTime": "2026-11-26T12:00:00Z"}}"#;
        let taken = self.engine.receive(&receiver, Incoming { headers: &headers, body }).await?;
        Ok(taken.len())
    }

    async fn receive(&self, key_id: &str) -> Result<usize, IncomingError> {
        self.receive_with(&format!("Bearer {}", self.token(key_id))).await
    }

    async fn status(&self, key_id: &str) -> u16 {
        self.receive(key_id).await.unwrap_err().status()
    }
}

#[tokio::test]
async fn the_keys_are_fetched_once_and_kept_as_long_as_is_said() {
    let scene = Scene::new().await;
    scene.issuer.publish(&["rsa-1"], 600);
    for _ in 0..3 {
        assert_eq!(scene.receive("rsa-1").await.unwrap(), 1);
    }
    assert_eq!(scene.issuer.asked(), 1);
    let request = scene.issuer.asked.lock().unwrap()[0].clone();
    assert_eq!(request.method, Method::Get);
    assert_eq!(request.url.as_str(), "https://www.googleapis.com/oauth2/v3/certs");
    assert!(request.body.is_empty());
    scene.later(600 * SECOND);
    assert_eq!(scene.receive("rsa-1").await.unwrap(), 1);
    assert_eq!(scene.issuer.asked(), 2);
}

#[tokio::test]
async fn a_new_key_is_fetched_but_not_more_than_once_a_minute() {
    let scene = Scene::new().await;
    scene.issuer.publish(&["rsa-1"], 21_600);
    assert_eq!(scene.receive("rsa-1").await.unwrap(), 1);
    scene.issuer.publish(&["rsa-1", "rsa-2"], 21_600);
    // Within a minute whoever makes up key ids asks nobody.
    for _ in 0..5 {
        assert_eq!(scene.status("rsa-2").await, 401);
    }
    assert_eq!(scene.issuer.asked(), 1);
    scene.later(60 * SECOND);
    assert_eq!(scene.receive("rsa-2").await.unwrap(), 1);
    assert_eq!(scene.issuer.asked(), 2);
    assert_eq!(scene.receive("rsa-1").await.unwrap(), 1);
    assert_eq!(scene.status("made-up").await, 401);
    assert_eq!(scene.issuer.asked(), 2);
}

#[tokio::test]
async fn many_at_once_cause_one_question() {
    let scene = Scene::new().await;
    scene.issuer.publish(&["rsa-1"], 600);
    let all = futures_util::future::join_all((0..20).map(|_| scene.receive("rsa-1"))).await;
    assert!(all.into_iter().all(|received| received.is_ok()));
    assert_eq!(scene.issuer.asked(), 1);
}

/// Row 43: the guard covers key sets, since what fetches them is the deliverer.
#[tokio::test]
async fn defect_43_a_key_set_is_fetched_by_the_same_guard_as_a_delivery() {
    let scene = Scene::new().await;
    scene.issuer.block();
    let error = scene.receive("rsa-1").await.unwrap_err();
    assert_eq!(error.status(), 503);
    assert!(error.to_string().contains("10.0.0.1 is private"), "{error}");
    assert_eq!(scene.issuer.asked(), 1);
    let stored = scene.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
    assert_eq!(stored, []);
}

#[tokio::test]
async fn an_issuer_that_fails_is_left_alone_for_a_while_and_its_keys_are_used_on() {
    let scene = Scene::new().await;
    for (status, body) in [(500, ""), (200, "<html>"), (200, r#"{"keys": []}"#), (301, "")] {
        scene.issuer.answer(status, body);
        assert_eq!(scene.status("rsa-1").await, 503, "{status} {body}");
        let asked = scene.issuer.asked();
        assert_eq!(scene.status("rsa-1").await, 503);
        assert_eq!(scene.issuer.asked(), asked, "not at once again");
        scene.later(5 * SECOND);
    }
    scene.issuer.publish(&["rsa-1"], 600);
    assert_eq!(scene.receive("rsa-1").await.unwrap(), 1);
    scene.issuer.block();
    scene.later(3_600 * SECOND);
    assert_eq!(scene.receive("rsa-1").await.unwrap(), 1, "an hour is not too long");
    scene.later(23 * 3_600 * SECOND);
    assert_eq!(scene.status("rsa-1").await, 503, "a day is");
}

#[tokio::test]
async fn who_sends_no_token_causes_no_question() {
    let scene = Scene::new().await;
    scene.issuer.publish(&["rsa-1"], 600);
    for authorization in ["", "Bearer x", "Basic eDp5", "Bearer a.b.c"] {
        let error = scene.receive_with(authorization).await.unwrap_err();
        assert_eq!(error.status(), 401, "{authorization}");
    }
    assert_eq!(scene.issuer.asked(), 0);
}
