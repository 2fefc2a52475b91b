//! Secrets of triggers: rotated with an overlap, and held by a provider.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::{Clock as _, ManualClock};
use artifact_triggers::delivery::{State, StateName};
use artifact_triggers::engine::{Engine, EngineOptions, PingError};
use artifact_triggers::event::Scope;
use artifact_triggers::observer::{Observer, Transition};
use artifact_triggers::provider::{ProviderError, SecretAsk, SecretProvider, SecretUse};
use artifact_triggers::request::Request;
use artifact_triggers::secret::Secret;
use artifact_triggers::signature::Verifier;
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::{MemoryStorage, Storage as _, TriggerWrite};
use artifact_triggers::trigger::{
    ClientCredentials, Credential, EndpointAuth, EndpointSecret, Target, Trigger, TriggerBuilder,
};
use async_trait::async_trait;

use crate::bench::*;

const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const HOUR: Duration = Duration::from_secs(3_600);

fn secret(text: &str) -> SigningSecret {
    text.parse().unwrap()
}

/// Which of some secrets a request is signed with.
fn signed_with<'a>(
    bench: &Bench,
    request: &Request,
    secrets: &[&'a SigningSecret],
) -> Vec<&'a SigningSecret> {
    let verifies = |secret: &&&SigningSecret| {
        let verifier = Verifier::standard_webhooks([(**secret).clone()]).with_tolerance(DAY * 30);
        verifier.verify(&request.headers, &request.body, bench.clock.now()).is_ok()
    };
    secrets.iter().filter(verifies).copied().collect()
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_old_one_until_that_expires() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t")).await;
    let rotated = bench.engine.rotate_secret(&Scope::root(), trigger.id, HOUR).await.unwrap();
    let (old, new) = (secret(SECRET), rotated.secret);
    assert!(new.expose().starts_with("whsec_") && new != old);

    let sent = async || {
        bench.engine.publish(event("a")).await.unwrap();
        bench.work(MINUTE).await;
        bench.script.requests().pop().unwrap()
    };
    assert_eq!(signed_with(&bench, &sent().await, &[&old, &new]), [&old, &new]);
    bench.work(HOUR).await;
    assert_eq!(signed_with(&bench, &sent().await, &[&old, &new]), [&new]);

    // What has expired goes with the next change.
    let secrets = |trigger: &Trigger| match &trigger.spec.target {
        Target::Webhook(endpoint) => endpoint.secrets.clone(),
        _ => unreachable!(),
    };
    assert_eq!(secrets(&rotated.trigger).len(), 2);
    let disabled = bench.engine.disable_trigger(trigger.id).await.unwrap();
    assert_eq!(secrets(&disabled), [EndpointSecret::from(new)]);
}

#[tokio::test]
async fn without_an_overlap_the_old_secret_is_gone_at_once() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t")).await;
    let later = bench.clock.now() + HOUR;
    let planned = EndpointSecret::from(secret(OTHER)).with_active_from(later);
    let planned = webhook("planned").secret_with(planned);
    let planned = bench.trigger(planned).await;
    for id in [trigger.id, planned.id] {
        let rotated = bench.engine.rotate_secret(&Scope::root(), id, Duration::ZERO).await.unwrap();
        let Target::Webhook(endpoint) = &rotated.trigger.spec.target else { unreachable!() };
        assert_eq!(endpoint.secrets, [EndpointSecret::from(rotated.secret)]);
    }
}

#[tokio::test]
async fn what_has_no_secret_to_rotate_says_so() {
    let bench = bench(Script::statuses([200])).await;
    let action = Trigger::builder("a").on_any("*".parse().unwrap()).action("flaky");
    let action = bench.trigger(action).await;
    let rotate = async |scope: &str, id| {
        let scope: Scope = scope.parse().unwrap();
        bench.engine.rotate_secret(&scope, id, HOUR).await.map(drop).unwrap_err().to_string()
    };
    let found = rotate("", action.id).await;
    assert_eq!(found, "trigger \"a\": target: expected a webhook, found an action");
    let beside = bench.trigger(webhook("t").scope("acme".parse().unwrap())).await;
    assert_eq!(rotate("other", beside.id).await, "the trigger could not be stored");
    assert_eq!(bench.engine.trigger(&Scope::root(), beside.id).unwrap().revision, 1);
}

#[tokio::test]
async fn a_time_without_an_active_secret_is_refused() {
    let bench = bench(Script::statuses([200])).await;
    let now = bench.clock.now();
    let t = |text: &str| EndpointSecret::from(secret(text));
    let unsigned = || {
        Trigger::builder("t").on_any("*".parse().unwrap()).unsigned_webhook("https://a.example/")
    };
    for (secrets, expected) in [
        (vec![t(SECRET).with_expires_at(now + HOUR)], "found none from 2026-11-23T13:00:00Z on"),
        (vec![t(SECRET).with_active_from(now + HOUR)], "found none from 2026-11-23T12:00:00Z on"),
        (
            vec![
                t(SECRET).with_expires_at(now + HOUR),
                t(OTHER).with_active_from(now + HOUR + MINUTE),
            ],
            "found none from 2026-11-23T13:00:00Z on",
        ),
    ] {
        let spec = secrets.into_iter().fold(unsigned(), TriggerBuilder::secret_with);
        let refused = bench.engine.create_trigger(spec.build().unwrap()).await.unwrap_err();
        let found = refused.to_string();
        assert!(found.contains("target.webhook.secrets: expected one that is active"), "{found}");
        assert!(found.ends_with(expected), "{found}");
    }
    let followed = unsigned()
        .secret_with(t(SECRET).with_expires_at(now + HOUR))
        .secret_with(t(OTHER).with_active_from(now + HOUR));
    bench.trigger(followed).await;
}

#[tokio::test]
async fn where_no_secret_is_active_after_all_nothing_goes_out_unsigned() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t")).await;
    // As if written by a node whose clock was wrong.
    let mut changed = trigger.changed(trigger.spec.clone(), None, trigger.updated_at);
    let Target::Webhook(endpoint) = &mut changed.spec.target else { unreachable!() };
    endpoint.secrets[0].expires_at = Some(bench.clock.now() + MINUTE);
    bench.storage.write_trigger(TriggerWrite::Update(Arc::new(changed))).await.unwrap();
    bench.work(MINUTE).await;
    bench.engine.refresh_triggers().await.unwrap();
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(DAY).await;
    let waits = bench.only().await;
    assert_eq!((waits.state.name(), waits.attempts), (StateName::Waiting, 0));
    assert!(bench.script.requests().is_empty());
    let disabled = bench.engine.disable_trigger(trigger.id).await.unwrap();
    let Target::Webhook(endpoint) = &disabled.spec.target else { unreachable!() };
    assert_eq!(endpoint.secrets.len(), 1, "the last one is not forgotten, or it would be unsigned");
}

/// Gives what it is told to, to the scope `acme` and below.
#[derive(Debug, Clone, Default)]
struct Vault {
    holds: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<AtomicUsize>,
    hangs: Arc<std::sync::atomic::AtomicBool>,
}

impl Vault {
    fn set(&self, name: &str, text: &str) {
        self.holds.lock().unwrap().insert(name.to_owned(), text.to_owned());
    }
}

#[async_trait]
impl SecretProvider for Vault {
    async fn secret(&self, ask: SecretAsk<'_>) -> Result<Secret, ProviderError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let found = self.holds.lock().unwrap().get(ask.reference).cloned();
        assert_ne!(found.as_deref(), Some("panics"), "a provider that panics, on purpose");
        found.map(Secret::new).ok_or_else(|| ProviderError::new("sealed"))
    }

    fn check(&self, ask: SecretAsk<'_>) -> Result<(), String> {
        let acme: Scope = "acme".parse().unwrap();
        if !acme.contains(ask.scope) {
            return Err("is not for this scope".to_owned());
        }
        let is_sent = ask.usage == SecretUse::Authentication;
        if is_sent && ask.origin != "https://hooks.example" && ask.origin != "https://id.example" {
            return Err(format!("is not for {}", ask.origin));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Default)]
struct Missing(Arc<Mutex<Vec<String>>>);

impl Observer for Missing {
    fn observe(&self, transition: &Transition<'_>) {
        if let Transition::CredentialsMissing { reason, .. } = transition {
            self.0.lock().unwrap().push((*reason).to_owned());
        }
    }
}

async fn with_vault(vault: &Vault, missing: &Missing) -> Bench {
    with_vault_that_refreshes(vault, missing, MINUTE).await
}

async fn with_vault_that_refreshes(vault: &Vault, missing: &Missing, refresh: Duration) -> Bench {
    let (script, storage) = (Script::statuses([200]), MemoryStorage::new());
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let engine = Engine::builder(storage.clone())
        .deliverer(script.clone())
        .clock(clock.clone())
        .secret_provider(vault.clone())
        .observer(missing.clone())
        .options(EngineOptions::default().with_refresh(refresh))
        .build()
        .await
        .unwrap();
    Bench { engine, clock, script, storage }
}

fn from_vault() -> TriggerBuilder {
    named_from_vault("t")
}

fn named_from_vault(name: &str) -> TriggerBuilder {
    Trigger::builder(name)
        .scope("acme".parse().unwrap())
        .on_any("artifact.*".parse().unwrap())
        .unsigned_webhook("https://hooks.example/x")
        .secret_with(EndpointSecret::provided("kv/signing"))
        .auth(EndpointAuth::bearer(Credential::provided("kv/token")))
}

fn published_below_acme() -> artifact_triggers::event::Event {
    let mut event = event("a");
    event.scope = "acme/x".parse().unwrap();
    event
}

#[tokio::test]
async fn what_a_provider_holds_signs_and_is_asked_for_once_in_a_while() {
    let (vault, missing) = (Vault::default(), Missing::default());
    vault.set("kv/signing", SECRET);
    vault.set("kv/token", "t1");
    let bench = with_vault(&vault, &missing).await;
    bench.trigger(from_vault()).await;
    for _ in 0..3 {
        bench.engine.publish(published_below_acme()).await.unwrap();
    }
    bench.work(Duration::from_secs(1)).await;
    let requests = bench.script.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].headers.only("authorization"), Some(&b"Bearer t1"[..]));
    assert_eq!(signed_with(&bench, &requests[2], &[&secret(SECRET)]).len(), 1);
    assert_eq!(vault.asked.load(Ordering::SeqCst), 2, "each name once");

    vault.set("kv/token", "t2");
    bench.work(MINUTE).await;
    bench.engine.publish(published_below_acme()).await.unwrap();
    bench.work(Duration::from_secs(1)).await;
    let last = bench.script.requests().pop().unwrap();
    assert_eq!(last.headers.only("authorization"), Some(&b"Bearer t2"[..]));
    assert_eq!(*missing.0.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_provider_that_fails_hangs_or_panics_uses_up_no_attempt_and_nothing_goes_out_unsigned() {
    let (vault, missing) = (Vault::default(), Missing::default());
    vault.set("kv/token", "t1");
    let bench = with_vault(&vault, &missing).await;
    bench.trigger(from_vault()).await;
    bench.engine.publish(published_below_acme()).await.unwrap();
    bench.work(MINUTE / 2).await;
    let waits = bench.only().await;
    assert_eq!((waits.state.name(), waits.attempts), (StateName::Waiting, 0));
    vault.set("kv/signing", "not a secret at all");
    bench.work(MINUTE).await;
    let id = waits.trigger;
    let pinged = bench.engine.ping(&Scope::root(), id).await.unwrap_err();
    assert!(matches!(pinged, PingError::Storage(_)), "{pinged:?}");
    vault.set("kv/signing", "panics");
    bench.work(2 * MINUTE).await;
    vault.hangs.store(true, Ordering::SeqCst);
    bench.work(5 * MINUTE).await;
    let waits = bench.engine.delivery(&Scope::root(), waits.id).await.unwrap().unwrap();
    assert_eq!((waits.state.name(), waits.attempts), (StateName::Waiting, 0));
    assert!(bench.script.requests().is_empty());
    let told = missing.0.lock().unwrap().clone();
    assert_eq!(told[0], "the provider does not give \"kv/signing\": sealed");
    assert!(told[1].ends_with("is no secret for signing (whsec_…, whsk_… or text:…)"), "{told:?}");
    assert!(told.iter().any(|told| told.ends_with("it panicked")), "{told:?}");
    assert!(told.last().unwrap().ends_with("it did not answer within 5s"), "{told:?}");
    assert!(!told.join(" ").contains("not a secret at all"));

    vault.hangs.store(false, Ordering::SeqCst);
    vault.set("kv/signing", SECRET);
    bench.work(2 * MINUTE).await;
    let delivered = bench.deliveries().await.into_iter().find(|one| one.id == waits.id).unwrap();
    assert_eq!((delivered.state, delivered.attempts), (State::Delivered, 1));
    assert_eq!(bench.script.requests().len(), 1, "the ping is not sent later");
}

#[tokio::test]
async fn a_drain_tells_what_is_left_for_want_of_a_credential_and_asks_for_it_no_more_than_now_and_then()
 {
    let (vault, missing) = (Vault::default(), Missing::default());
    let bench = with_vault(&vault, &missing).await;
    bench.trigger(from_vault()).await;
    bench.engine.publish(published_below_acme()).await.unwrap();
    // Its first attempt waits for the provider as the drain begins.
    vault.hangs.store(true, Ordering::SeqCst);
    bench.begin_run();
    let drained = bench.begin_drain(MINUTE / 2);
    bench.pass(MINUTE).await;
    let drained = drained.await.unwrap();
    assert_eq!((drained.is_complete, drained.left.len()), (false, 1));
    let told = missing.0.lock().unwrap().len();
    assert!((1..=8).contains(&told), "{told}");
}

#[tokio::test]
async fn a_name_that_is_not_for_the_scope_is_refused_and_so_is_any_without_a_provider() {
    let (vault, missing) = (Vault::default(), Missing::default());
    let bench = with_vault(&vault, &missing).await;
    let elsewhere = from_vault().scope("other".parse().unwrap()).build().unwrap();
    let found = bench.engine.create_trigger(elsewhere).await.unwrap_err().to_string();
    for name in ["kv/signing", "kv/token"] {
        let expected = format!("target.webhook: provider \"{name}\": is not for this scope");
        assert!(found.contains(&expected), "{found}");
    }
    let without = crate::bench::bench(Script::statuses([200])).await;
    let found = without.engine.create_trigger(from_vault().build().unwrap()).await.unwrap_err();
    assert!(found.to_string().contains("this engine has no secret provider"), "{found}");
}

#[tokio::test]
async fn a_provider_is_told_whom_a_credential_is_for_and_may_refuse_others() {
    let (vault, missing) = (Vault::default(), Missing::default());
    let bench = with_vault(&vault, &missing).await;
    let client = |url: &str| {
        let secret = Credential::provided("kv/client");
        EndpointAuth::oauth2(ClientCredentials::new(url.parse().unwrap(), "client", secret))
    };
    let trigger = bench.trigger(from_vault()).await;
    bench.trigger(named_from_vault("by token").auth(client("https://id.example/token"))).await;
    let elsewhere = named_from_vault("stolen").auth(client("https://evil.example/token"));
    let found = bench.engine.create_trigger(elsewhere.build().unwrap()).await.unwrap_err();
    let expected = "provider \"kv/client\": is not for https://evil.example";
    assert!(found.to_string().contains(expected), "{found}");

    let json = serde_json::to_string(&trigger.spec).unwrap();
    // The path is not shown.
    let json = json.replace("https://hooks.example/[redacted]", "https://evil.example/");
    let (scope, revision) = (Scope::root(), trigger.revision);
    let moved = bench.engine.revise_trigger(&scope, trigger.id, revision, json.as_bytes());
    let found = moved.await.unwrap_err().to_string();
    let expected = "provider \"kv/token\": is not for https://evil.example";
    assert!(found.contains(expected), "{found}");
    assert!(!found.contains("kv/signing"), "signing tells the origin nothing: {found}");
}

#[tokio::test]
async fn what_waits_long_for_a_credential_is_taken_up_less_and_less_often() {
    let (vault, missing) = (Vault::default(), Missing::default());
    let bench = with_vault_that_refreshes(&vault, &missing, Duration::from_secs(1)).await;
    bench.trigger(from_vault()).await;
    bench.engine.publish(published_below_acme()).await.unwrap();
    bench.work(2 * HOUR).await;
    let told = missing.0.lock().unwrap().len();
    // Every second at first, every minute at the end.
    assert!((120..180).contains(&told), "{told}");
}

#[tokio::test]
async fn defect_41_what_a_trigger_may_not_be_made_as_it_may_not_become() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t")).await;
    let now = bench.clock.now();
    let ending = EndpointSecret::from(secret(SECRET)).with_expires_at(now + HOUR);
    let unsigned = |url: &str| {
        Trigger::builder("t").on_any("*".parse().unwrap()).unsigned_webhook(url).build().unwrap()
    };
    let mut no_name = trigger.spec.clone();
    no_name.name.clear();
    let mut ends = unsigned("https://hooks.example/");
    let Target::Webhook(endpoint) = &mut ends.target else { unreachable!() };
    endpoint.secrets.push(ending);
    let mut both = unsigned("https://hooks.example/");
    let Target::Webhook(endpoint) = &mut both.target else { unreachable!() };
    endpoint.headers.push("authorization", "x");
    endpoint.auth = Some(EndpointAuth::bearer(Credential::held("t")));
    let mut named = unsigned("https://hooks.example/");
    let Target::Webhook(endpoint) = &mut named.target else { unreachable!() };
    endpoint.auth = Some(EndpointAuth::bearer(Credential::provided("kv/a")));
    for spec in [no_name, unsigned("https://refused.example/"), ends, both, named] {
        let made = bench.engine.create_trigger(spec.clone()).await.unwrap_err().to_string();
        let changed = bench.engine.update_trigger(trigger.id, 1, spec.clone()).await;
        assert_eq!(changed.unwrap_err().to_string(), made);
        let ensured = bench.engine.ensure_trigger(spec).await.unwrap_err().to_string();
        assert_eq!(ensured, made);
    }
    assert_eq!(*bench.engine.trigger(&Scope::root(), trigger.id).unwrap(), *trigger);
}
