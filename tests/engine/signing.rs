//! Which scheme a request is signed by, by whom, and what stands before and beside the signature.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::{Clock as _, ManualClock};
use artifact_triggers::delivery::StateName;
use artifact_triggers::engine::{Engine, EngineOptions, PingError};
use artifact_triggers::event::Scope;
use artifact_triggers::observer::{Observer, Transition};
use artifact_triggers::payload::{GithubDispatch, PayloadFormat};
use artifact_triggers::request::{Headers, Request};
use artifact_triggers::signature::{Message, Scheme, SignError, Signer, SigningSecret, Verifier};
use artifact_triggers::storage::MemoryStorage;
use artifact_triggers::trigger::{Trigger, TriggerBuilder};
use async_trait::async_trait;

use crate::bench::*;

const URL: &str = "https://hooks.example/x";

fn text() -> SigningSecret {
    SigningSecret::from_text("s3cret").unwrap()
}

fn shared() -> SigningSecret {
    SECRET.parse().unwrap()
}

/// Each scheme, a secret for it, and who verifies it.
fn schemes() -> Vec<(Scheme, SigningSecret, Verifier)> {
    let url = URL.parse().unwrap();
    vec![
        (Scheme::StandardWebhooks, shared(), Verifier::standard_webhooks([shared()])),
        (Scheme::Github, text(), Verifier::github([text()])),
        (
            Scheme::Harness { prefix: "Acme".to_owned() },
            text(),
            Verifier::harness("Acme", [text()]),
        ),
        (
            Scheme::HexSha256 { header: "X-Signature".to_owned(), prefix: "sha256=".to_owned() },
            text(),
            Verifier::hex_sha256("x-signature", "sha256=", [text()]),
        ),
        (
            Scheme::Timestamped { header: "Acme-Signed".to_owned() },
            text(),
            Verifier::timestamped("acme-signed", [text()]),
        ),
        (Scheme::HttpMessage, shared(), Verifier::http_message(&url, [shared()])),
    ]
}

fn to(scheme: Scheme, secret: SigningSecret) -> TriggerBuilder {
    let hook = Trigger::builder("t").on_any("artifact.*".parse().unwrap());
    hook.webhook(URL, secret).scheme(scheme).header("x-own", "1")
}

fn count(request: &Request, name: &str) -> usize {
    request.headers.all(name).count()
}

/// A receiver reads the bytes of the request, whatever form they have.
#[tokio::test]
async fn defect_29_the_bytes_that_are_sent_are_signed_in_every_scheme_and_form() {
    for (scheme, secret, verifier) in schemes() {
        for format in [
            PayloadFormat::Native,
            PayloadFormat::CloudeventsStructured,
            PayloadFormat::CloudeventsBinary,
            PayloadFormat::Distribution,
            PayloadFormat::GithubDispatch(GithubDispatch::default()),
        ] {
            let bench = bench(Script::statuses([200])).await;
            let trigger = bench.trigger(to(scheme.clone(), secret.clone()).format(format)).await;
            bench.engine.publish(event("a")).await.unwrap();
            bench.work(MINUTE).await;
            let sent = &bench.script.requests()[0];
            let started = bench.log(&bench.only().await).await[0].attempt.started_at;
            verifier.verify(&sent.headers, &sent.body, started).unwrap();
            let mut other = sent.body.to_vec();
            other[0] ^= 1;
            assert!(verifier.verify(&sent.headers, &other, started).is_err(), "{scheme:?}");
            let shown = bench.engine.preview(&Scope::root(), trigger.id, event("b"));
            let shown = shown.unwrap().unwrap();
            verifier.verify(&shown.headers, &shown.body, bench.clock.now()).unwrap();
        }
    }
}

#[tokio::test]
async fn defect_30_no_secret_and_no_placeholder_is_sent() {
    for (scheme, secret, _) in schemes() {
        let bench = bench(Script::statuses([200])).await;
        let exposed = secret.expose();
        let bare = exposed.trim_start_matches("text:").trim_start_matches("whsec_").to_owned();
        bench.trigger(to(scheme, secret)).await;
        let other = event("b");
        bench.engine.publish_all(vec![event("a"), other]).await.unwrap();
        bench.work(MINUTE).await;
        let requests = bench.script.requests();
        let sent: Vec<String> = requests
            .iter()
            .map(|request| {
                let fields = request
                    .headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)));
                fields.collect::<Vec<_>>().join("\n")
            })
            .collect();
        assert!(sent.iter().all(|text| !text.contains(&bare)), "{sent:?}");
        let signature = |text: &String| {
            let fields =
                text.lines().filter(|line| line.contains("signature") || line.contains("signed"));
            fields.map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(!signature(&sent[0]).is_empty());
        assert_ne!(signature(&sent[0]), signature(&sent[1]), "it depends on what is sent");
    }
}

#[tokio::test]
async fn defect_31_the_signature_stands_first_and_once_and_no_header_may_take_its_place() {
    for (scheme, secret, _) in schemes() {
        let bench = bench(Script::statuses([200])).await;
        bench.trigger(to(scheme.clone(), secret.clone())).await;
        bench.engine.publish(event("a")).await.unwrap();
        bench.work(MINUTE).await;
        let sent = &bench.script.requests()[0];
        let message = Message::new("x", bench.clock.now(), b"").with_url(&sent.url);
        let signed = scheme.sign(std::slice::from_ref(&secret), &message).unwrap();
        let names: Vec<&str> = signed.iter().map(|(name, _)| name).collect();
        let first: Vec<&str> =
            sent.headers.iter().map(|(name, _)| name).take(names.len()).collect();
        assert_eq!(first, names);
        for name in names {
            assert_eq!(count(sent, name), 1, "{name}");
            for spelled in [name.to_owned(), name.to_uppercase()] {
                let refused = to(scheme.clone(), secret.clone()).header(spelled, "forged").build();
                let problems = refused.unwrap_err().to_string();
                assert!(problems.contains("cannot be overridden"), "{name}: {problems}");
            }
        }
    }
}

#[test]
fn a_scheme_and_its_secrets_are_checked_when_a_trigger_is_made() {
    let stamped = |header: &str| Scheme::Timestamped { header: header.to_owned() };
    let harness = |prefix: &str| Scheme::Harness { prefix: prefix.to_owned() };
    let hex = |header: &str, prefix: &str| Scheme::HexSha256 {
        header: header.to_owned(),
        prefix: prefix.to_owned(),
    };
    let signer = |name: &str| Scheme::Signer { name: name.to_owned() };
    let long = "x".repeat(300);
    for (scheme, secret, expected) in [
        (Scheme::StandardWebhooks, text(), "target.webhook.secrets[0]: expected whsec_ and base64"),
        (
            Scheme::Github,
            shared(),
            "target.webhook.secrets[0]: expected text: and what the receiver",
        ),
        (harness("Acme"), shared(), "target.webhook.secrets[0]: expected text: and what"),
        (
            harness("A B"),
            text(),
            "scheme.harness.prefix: expected 1 to 40 letters, digits and hyphens, found \"A B\"",
        ),
        (harness(""), text(), "scheme.harness.prefix: expected 1 to 40"),
        (hex("a b", ""), text(), "scheme.hex-sha256.header: expected the name of a header field"),
        (hex("Webhook-Id", ""), text(), "scheme.hex-sha256.header: is set by the crate"),
        (hex("X-Signature", "a b"), text(), "scheme.hex-sha256.prefix: expected at most 40"),
        (hex("X-Signature", &long), text(), "scheme.hex-sha256.prefix: expected at most 40"),
        (hex("X-Signature", ""), shared(), "target.webhook.secrets[0]: expected text: and what"),
        (stamped("a b"), text(), "scheme.timestamped.header: expected the name of a header field"),
        (stamped("Content-Type"), text(), "scheme.timestamped.header: is set by the crate"),
        (stamped("Webhook-Id"), text(), "scheme.timestamped.header: is set by the crate"),
        (signer("vault"), text(), "target.webhook.secrets: expected none, since the signer"),
        (signer(&long), text(), "target.webhook.scheme.signer: expected 1 to 256 bytes"),
    ] {
        let problems = to(scheme, secret).build().unwrap_err().to_string();
        assert!(problems.contains(expected), "{expected} in {problems}");
        assert!(!problems.contains("s3cret"), "{problems}");
    }
    for scheme in [Scheme::Github, harness("Acme"), hex("a", ""), stamped("a"), Scheme::HttpMessage]
    {
        let hook = Trigger::builder("t").unsigned_webhook(URL).scheme(scheme);
        let problems = hook.build().unwrap_err().to_string();
        assert!(problems.contains("target.webhook.secrets: expected one"), "{problems}");
    }
    let hook = Trigger::builder("t").on_any("artifact.*".parse().unwrap());
    assert!(hook.unsigned_webhook(URL).build().is_ok());
}

/// A vault that fails until it is told to answer.
#[derive(Debug, Clone, Default)]
struct Vault {
    asked: Arc<AtomicUsize>,
    mood: Arc<Mutex<Mood>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Mood {
    #[default]
    Signs,
    Fails,
    Panics,
    Hangs,
    Frames,
}

impl Vault {
    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

#[async_trait]
impl Signer for Vault {
    async fn sign(&self, message: &Message<'_>) -> Result<Headers, SignError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Signs => {
                tokio::task::yield_now().await;
                let mut headers = Scheme::Github.sign(&[text()], message)?;
                headers.push("x-own", "the vault's");
                Ok(headers)
            }
            Mood::Fails => Err(SignError::Unavailable { reason: "it is sealed".to_owned() }),
            Mood::Panics => panic!("a signer that panics, on purpose"),
            Mood::Hangs => std::future::pending().await,
            Mood::Frames => Ok([("content-length", "0")].into_iter().collect()),
        }
    }

    fn check(&self, scope: &Scope) -> Result<(), String> {
        let is_ours = !scope.as_str().starts_with("theirs");
        if is_ours { Ok(()) } else { Err("expected a scope that has a key".to_owned()) }
    }
}

/// What was told of requests that were not signed.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Observer for Told {
    fn observe(&self, transition: &Transition<'_>) {
        if let Transition::NotSigned { error, .. } = transition {
            self.0.lock().unwrap().push(error.to_string());
        }
    }
}

struct Signed {
    bench: Bench,
    vault: Vault,
    told: Told,
}

async fn by_vault(storage: MemoryStorage, registered: bool) -> Signed {
    let (vault, told, script) = (Vault::default(), Told::default(), Script::statuses([200]));
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let mut builder = Engine::builder(storage.clone())
        .deliverer(script.clone())
        .clock(clock.clone())
        .observer(told.clone())
        .options(EngineOptions::default());
    if registered {
        builder = builder.signer("vault", vault.clone());
    }
    let engine = builder.build().await.unwrap();
    Signed { bench: Bench { engine, clock, script, storage }, vault, told }
}

fn hook() -> TriggerBuilder {
    let hook = Trigger::builder("t").on_any("artifact.*".parse().unwrap());
    let scheme = Scheme::Signer { name: "vault".to_owned() };
    hook.unsigned_webhook(URL).scheme(scheme).header("X-Own", "the user's")
}

#[tokio::test]
async fn a_signer_of_the_embedders_own_signs_by_its_name() {
    let Signed { bench, vault, .. } = by_vault(MemoryStorage::new(), true).await;
    let trigger = bench.trigger(hook()).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let sent = &bench.script.requests()[0];
    Verifier::github([text()]).verify(&sent.headers, &sent.body, bench.clock.now()).unwrap();
    // What it sets stands first, and nothing else of those names.
    assert_eq!(sent.headers.only("x-own"), Some(&b"the vault's"[..]));
    assert_eq!(sent.headers.iter().next().unwrap().0, "webhook-id");
    let asked = vault.asked.load(Ordering::SeqCst);
    let shown = bench.engine.preview(&Scope::root(), trigger.id, event("b")).unwrap().unwrap();
    assert_eq!(count(&shown, "x-hub-signature-256"), 0);
    assert_eq!(vault.asked.load(Ordering::SeqCst), asked, "a preview asks no vault");
}

#[tokio::test]
async fn a_signer_that_fails_hangs_or_panics_costs_no_attempt() {
    for (mood, expected) in [
        (Mood::Fails, "the signer failed: it is sealed"),
        (Mood::Panics, "the signer failed: it panicked"),
        (Mood::Hangs, "the signer failed: no answer within 15s"),
        (Mood::Frames, "the signer failed: it gave a field twice, or one that no request may have"),
    ] {
        let Signed { bench, vault, told } = by_vault(MemoryStorage::new(), true).await;
        let trigger = bench.trigger(hook()).await;
        vault.set(mood);
        bench.engine.publish(event("a")).await.unwrap();
        // Ends between two of its tries, which where it hangs begin after 215 s and 287 s.
        bench.work(Duration::from_secs(280)).await;
        let delivery = bench.only().await;
        assert_eq!((delivery.attempts, delivery.state.name()), (0, StateName::Waiting), "{mood:?}");
        assert!(vault.asked.load(Ordering::SeqCst) > 5, "{mood:?}");
        assert!(told.0.lock().unwrap().iter().all(|told| told == expected), "{told:?}");
        let root = Scope::root();
        let pinged = bench.engine.ping(&root, trigger.id);
        let work = async { bench.work(MINUTE).await };
        let (pinged, ()) = tokio::join!(pinged, work);
        assert!(matches!(pinged, Err(PingError::Storage(_))), "{pinged:?}");
        assert!(bench.script.requests().is_empty() && bench.log(&delivery).await.is_empty());
        vault.set(Mood::Signs);
        bench.work(MINUTE).await;
        let sent = bench.script.requests();
        assert_eq!(sent.len(), 1, "{mood:?}");
        let delivered = bench.deliveries().await.into_iter().find(|one| one.id == delivery.id);
        let delivered = delivered.unwrap();
        assert_eq!((delivered.attempts, delivered.state.name()), (1, StateName::Delivered));
    }
}

#[tokio::test]
async fn a_signer_that_is_not_registered_or_not_for_the_scope_is_refused_and_waited_for() {
    let storage = MemoryStorage::new();
    let with = by_vault(storage.clone(), true).await.bench;
    let Signed { bench: without, told, .. } = by_vault(storage, false).await;
    let refused = without.engine.create_trigger(hook().build().unwrap()).await.unwrap_err();
    let expected =
        "target.webhook.scheme.signer: expected the name of a registered signer, found \"vault\"";
    assert!(refused.to_string().contains(expected), "{refused}");
    let theirs = hook().scope("theirs".parse().unwrap()).build().unwrap();
    let refused = with.engine.create_trigger(theirs).await.unwrap_err().to_string();
    let expected = "target.webhook.scheme.signer: expected a scope that has a key";
    assert!(refused.contains(expected), "{refused}");
    with.trigger(hook()).await;
    with.engine.publish(event("a")).await.unwrap();
    without.work(MINUTE).await;
    assert_eq!(without.only().await.attempts, 0);
    assert!(told.0.lock().unwrap().contains(&"no signer \"vault\" is registered here".to_owned()));
    with.clock.set(without.clock.now());
    with.work(MINUTE).await;
    assert_eq!(with.only().await.state.name(), StateName::Delivered);
}

#[tokio::test]
async fn a_drain_ends_though_nothing_can_be_signed_and_says_so() {
    let Signed { bench, vault, .. } = by_vault(MemoryStorage::new(), true).await;
    bench.trigger(hook()).await;
    vault.set(Mood::Fails);
    bench.begin_run();
    bench.pass(MINUTE).await;
    // The run gets its turn after the drain has begun.
    bench.engine.publish(event("a")).await.unwrap();
    let limit = Duration::from_secs(10);
    let (drained, ()) = tokio::join!(bench.engine.drain(limit), bench.pass(MINUTE));
    assert!(!drained.unwrap().is_complete);
    assert!((1..100).contains(&vault.asked.load(Ordering::SeqCst)), "{vault:?}");
}
