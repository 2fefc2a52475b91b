//! Triggers changed by who does not see their secrets: what stays, what is dropped, what is
//! refused.

use artifact_triggers::engine::TriggerError;
use artifact_triggers::event::Scope;
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::trigger::{
    ClientCredentials, Credential, EndpointAuth, EndpointSecret, Target, Trigger, TriggerBuilder,
};
use serde_json::{Value, json};

use crate::bench::*;

const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn secret(text: &str) -> SigningSecret {
    text.parse().unwrap()
}

/// What is shown of a trigger's spec.
fn shown(trigger: &Trigger) -> Value {
    serde_json::to_value(&trigger.spec).unwrap()
}

async fn revise(
    bench: &Bench,
    trigger: &Trigger,
    document: &Value,
) -> Result<(Target, Vec<String>), TriggerError> {
    let json = serde_json::to_vec(document).unwrap();
    let revised =
        bench.engine.revise_trigger(&Scope::root(), trigger.id, trigger.revision, &json).await?;
    Ok((revised.trigger.spec.target.clone(), revised.dropped))
}

fn with_all_credentials() -> TriggerBuilder {
    let token_url = "https://id.example/tenant/token".parse().unwrap();
    let client = ClientCredentials::new(token_url, "client", Credential::held("client-secret"));
    Trigger::builder("t")
        .on_any("artifact.*".parse().unwrap())
        .webhook("https://hooks.example/T0/B0?token=in-the-url", secret(SECRET))
        .header("x-key", "in-a-header")
        .auth(EndpointAuth::oauth2(client))
}

#[tokio::test]
async fn what_is_redacted_or_absent_stays_as_it_is_stored() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(with_all_credentials()).await;
    let as_shown = shown(&trigger);
    assert_eq!(as_shown["target"]["webhook"]["url"], "https://hooks.example/[redacted]");
    let mut absent = as_shown.clone();
    for name in ["secrets", "headers", "auth"] {
        absent["target"]["webhook"].as_object_mut().unwrap().remove(name);
    }
    for mut document in [as_shown, absent] {
        document["labels"] = json!({"n": "1"});
        let current = bench.engine.trigger(&Scope::root(), trigger.id).unwrap();
        let (target, dropped) = revise(&bench, &current, &document).await.unwrap();
        assert_eq!((target, dropped), (trigger.spec.target.clone(), vec![]));
    }
}

#[tokio::test]
async fn credentials_are_dropped_where_the_origin_is_another_one_and_not_given_anew() {
    let bench = bench(Script::statuses([200])).await;
    for (url, remove) in [
        ("https://evil.example/x", &["secrets", "headers", "auth"][..]),
        ("https://evil.example/x", &[]),
        ("https://hooks.example:8443/x", &[]),
        ("http://hooks.example/x", &[]),
        ("https://hooks.example.evil.example/x", &[]),
    ] {
        let trigger = bench.trigger(with_all_credentials()).await;
        let mut document = shown(&trigger);
        document["target"]["webhook"]["url"] = json!(url);
        for name in remove {
            document["target"]["webhook"].as_object_mut().unwrap().remove(*name);
        }
        let (target, dropped) = revise(&bench, &trigger, &document).await.unwrap();
        let Target::Webhook(endpoint) = target else { unreachable!() };
        assert_eq!(endpoint.url.as_str(), url);
        assert!(endpoint.secrets.is_empty() && endpoint.headers.is_empty(), "{url}");
        assert_eq!(endpoint.auth, None);
        let expected =
            ["secrets", "headers.x-key", "auth"].map(|name| format!("target.webhook.{name}"));
        assert_eq!(dropped, expected, "{url}");
        bench.engine.delete_trigger(trigger.id).await.unwrap();
    }
}

#[tokio::test]
async fn credentials_that_are_given_anew_go_to_the_new_origin_alone() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(with_all_credentials()).await;
    let mut document = shown(&trigger);
    document["target"]["webhook"]["url"] = json!("https://new.example/x");
    document["target"]["webhook"]["secrets"] = json!([OTHER]);
    document["target"]["webhook"]["headers"] = json!({"x-key": "new"});
    document["target"]["webhook"]["auth"] = json!({"bearer": {"token": "new"}});
    let (target, dropped) = revise(&bench, &trigger, &document).await.unwrap();
    let Target::Webhook(endpoint) = target else { unreachable!() };
    assert_eq!(endpoint.secrets, [EndpointSecret::from(secret(OTHER))]);
    assert_eq!(endpoint.headers.only("x-key"), Some(&b"new"[..]));
    assert_eq!(dropped, [""; 0]);
}

#[tokio::test]
async fn a_client_secret_goes_to_no_other_token_endpoint() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(with_all_credentials()).await;
    let mut document = shown(&trigger);
    document["target"]["webhook"]["auth"]["oauth2"]["token_url"] = json!("https://evil.example/t");
    let (target, dropped) = revise(&bench, &trigger, &document).await.unwrap();
    let Target::Webhook(endpoint) = target else { unreachable!() };
    assert_eq!(endpoint.auth, None);
    assert_eq!(dropped, ["target.webhook.auth"]);
    assert_eq!(endpoint.secrets.len(), 1, "the rest goes where it went");
}

#[tokio::test]
async fn defect_40_what_is_masked_is_never_stored_as_the_mask() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(with_all_credentials()).await;
    let at = |pointer: &str, value: Value| {
        let mut document = shown(&trigger);
        *document.pointer_mut(pointer).unwrap() = value;
        document
    };
    for (pointer, value, expected) in [
        (
            "/target/webhook/secrets",
            json!(["[redacted]", "[redacted]"]),
            "target.webhook.secrets: expected [redacted] for all 1",
        ),
        (
            "/target/webhook/headers",
            json!({"x-other": "[redacted]"}),
            "target.webhook.headers.x-other: expected the value itself",
        ),
        (
            "/target/webhook/auth",
            json!({"bearer": {"token": "[redacted]"}}),
            "target.webhook.auth.bearer.token: expected the value itself",
        ),
        (
            "/target/webhook/url",
            json!("https://other.example/[redacted]"),
            "target.webhook.url: expected the path itself",
        ),
        (
            "/target/webhook/auth/oauth2/client_id",
            json!("[redacted]"),
            "target.webhook.auth.oauth2.client_id: expected the value itself",
        ),
    ] {
        let refused = revise(&bench, &trigger, &at(pointer, value)).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{pointer}: {refused}");
    }
    let current = bench.engine.trigger(&Scope::root(), trigger.id).unwrap();
    assert_eq!(*current, *trigger, "nothing was changed");
    let shown = format!("{} {current:?}", serde_json::to_string(&current).unwrap());
    for canary in ["in-the-url", "in-a-header", "client-secret", &SECRET[6..]] {
        assert!(!shown.contains(canary), "{shown}");
    }
}

#[tokio::test]
async fn a_revision_that_is_not_the_current_one_changes_nothing() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(with_all_credentials()).await;
    bench.engine.disable_trigger(trigger.id).await.unwrap();
    let refused = revise(&bench, &trigger, &shown(&trigger)).await.unwrap_err();
    assert!(matches!(refused, TriggerError::Storage(_)));
}

#[tokio::test]
async fn a_trigger_stays_in_its_scope_and_leaves_that_of_who_changes_it_never() {
    let bench = bench(Script::statuses([200])).await;
    let team: Scope = "acme/team".parse().unwrap();
    let trigger = bench.trigger(with_all_credentials().scope(team.clone())).await;
    let by_team = async |trigger: &Trigger, document: &Value| {
        let json = serde_json::to_vec(document).unwrap();
        bench.engine.revise_trigger(&team, trigger.id, trigger.revision, &json).await
    };
    let mut document = shown(&trigger);
    document.as_object_mut().unwrap().remove("scope");
    let revised = by_team(&trigger, &document).await.unwrap().trigger;
    assert_eq!(revised.spec.scope, team, "absent, it stays");
    for outside in ["", "acme", "acme/other"] {
        document["scope"] = json!(outside);
        let refused = by_team(&revised, &document).await.unwrap_err().to_string();
        assert!(refused.contains("scope: expected one at or below"), "{refused}");
    }
    document["scope"] = json!("acme/team/inner");
    let inner = by_team(&revised, &document).await.unwrap().trigger;
    assert_eq!(inner.spec.scope.as_str(), "acme/team/inner");
}

#[tokio::test]
async fn a_trigger_is_taken_as_it_is_shown_with_what_only_the_engine_sets() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(with_all_credentials()).await;
    let mut document = serde_json::to_value(&*trigger).unwrap();
    document["revision"] = json!(99);
    document["labels"] = json!({"n": "1"});
    revise(&bench, &trigger, &document).await.unwrap();
    let revised = bench.engine.trigger(&Scope::root(), trigger.id).unwrap();
    let mut expected = trigger.spec.clone();
    expected.labels = revised.spec.labels.clone();
    assert_eq!(revised.spec, expected);
    assert_eq!(revised.spec.labels.len(), 1);
    assert_eq!((revised.revision, revised.created_at), (trigger.revision + 1, trigger.created_at));
    document["id"] = json!("trg_another");
    let refused = revise(&bench, &revised, &document).await.unwrap_err().to_string();
    let wanted = format!("id: expected \"{}\", found \"trg_another\"", trigger.id);
    assert!(refused.contains(&wanted), "{refused}");
}
