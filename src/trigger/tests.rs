use super::*;
use crate::event::EventKind;
use crate::signature::standard_webhooks::SigningSecret;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn spec() -> TriggerSpec {
    let json = json!({
        "name": "notify",
        "scope": "acme",
        "kinds": ["artifact.ingested", "tag.*"],
        "filter": {"artifact": {"package_type": ["oci"]}},
        "target": {"webhook": {
            "url": "https://hooks.example.com/T0/B0?token=canary-in-url",
            "format": "cloudevents-binary",
            "secrets": [SECRET],
            "headers": {"authorization": "Bearer canary-in-header"},
        }},
        "policy": {"retry": {"pauses": ["1s", "1m30s"]}, "jitter": "none", "timeout": "5s", "max_age": "1d"},
        "labels": {"team": "platform"},
    });
    TriggerSpec::from_value(json).unwrap()
}

fn stored() -> Trigger {
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    Trigger::new(TriggerId::derived(now, &[]), spec(), now)
}

#[test]
fn what_a_storage_writes_is_read_back_whole() {
    let mut trigger = stored();
    trigger.suspended = Some(SuspendReason::EndpointGone);
    assert_eq!(Trigger::from_exposed_json(&trigger.expose_json()).unwrap(), trigger);
    let action =
        Trigger::builder("a").on(EventKind::PING).action_with("scan", json!({"deep": true}));
    let action = Trigger::new(trigger.id, action.build().unwrap(), trigger.created_at);
    assert_eq!(Trigger::from_exposed_json(&action.expose_json()).unwrap(), action);
}

#[test]
fn json_and_debug_show_no_secret() {
    let trigger = stored();
    let shown =
        format!("{trigger:?} {:?} {}", trigger.spec, serde_json::to_string(&trigger).unwrap());
    assert!(!shown.contains(&SECRET[6..]) && !shown.contains("canary-in-header"), "{shown}");
    assert!(!format!("{trigger:?}").contains("canary"), "{trigger:?}");
}

#[test]
fn what_was_shown_redacted_is_not_taken_for_a_secret() {
    let shown = serde_json::to_value(spec()).unwrap();
    let problems = TriggerSpec::from_value(shown).unwrap_err().to_string();
    assert!(problems.contains("target.webhook.secrets[0]: expected a secret"), "{problems}");
    assert!(
        problems.contains("target.webhook.headers.authorization: expected the value"),
        "{problems}"
    );
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_path() {
    let problems = TriggerSpec::from_value(json!({
        "name": 7,
        "scope": "/acme",
        "kinds": ["artifact.ingested", "Tag.*"],
        "filter": {"artifact": {"version": [{"semver": ">=1.x.y"}]}},
        "target": {"webhook": {"url": "not a url", "secrets": ["hunter2"], "headers": {"X": 1}, "verify": false}},
        "policy": {"retry": {"pauses": ["soon"]}, "jitter": "some", "timeout": 5},
        "enabled": "yes",
        "enable": true,
    }))
    .unwrap_err();
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "name: expected a string, found 7",
        "scope: expected a scope",
        "kinds[1]: expected a kind",
        "filter.artifact.version[0].semver: \">=1.x.y\" is not a version requirement",
        "target.webhook.secrets[0]: expected a secret",
        "target.webhook.verify: is not a member",
        "target.webhook.headers.X: expected a string",
        "target.webhook.url: expected an absolute URL",
        "policy.retry.pauses[0]: expected a span of time",
        "policy.jitter: expected none, added, equal or full, found \"some\"",
        "policy.timeout: expected a span of time such as \"30s\", \"1h30m\" or \"7d\", found 5",
        "enabled: expected true or false, found \"yes\"",
        "enable: is not a member",
    ];
    for expected in expected {
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{expected} in {found:#?}"
        );
    }
    assert!(!problems.to_string().contains("hunter2"));
}

#[test]
fn a_builder_is_held_to_the_same_rules() {
    let secret = || SECRET.parse::<SigningSecret>().unwrap();
    let problems = |builder: TriggerBuilder| builder.build().unwrap_err().to_string();
    assert!(problems(Trigger::builder("x").on(EventKind::PING)).starts_with("target: expected"));
    assert!(problems(Trigger::builder("x").action("a")).starts_with("kinds: expected 1 to 64"));
    let url = "https://user:pw@example.com/";
    let found = problems(Trigger::builder("").on(EventKind::PING).webhook(url, secret()));
    assert!(found.contains("name: expected 1 to 256 bytes"), "{found}");
    assert!(found.contains("target.webhook.url: expected no user and password"), "{found}");
    let found =
        problems(Trigger::builder("x").on(EventKind::PING).unsigned_webhook("ftp://example.com"));
    assert!(found.contains("expected https"), "{found}");
}

#[test]
fn a_custom_header_overrides_nothing_that_matters() {
    let build = |name: &str, value: &str| {
        let builder =
            Trigger::builder("x").on(EventKind::PING).unsigned_webhook("https://example.com");
        builder.header(name, value).build().map(drop).map_err(|problems| problems.to_string())
    };
    assert_eq!(build("Authorization", "Bearer x"), Ok(()));
    for name in
        ["Webhook-Signature", "webhook-id", "Host", "Content-Length", "Transfer-Encoding", "ce-id"]
    {
        assert!(build(name, "x").unwrap_err().contains("cannot be overridden"), "{name}");
    }
    for name in ["", "a b", "a:b", "a\r\nb"] {
        assert!(build(name, "x").unwrap_err().contains("names of header fields"), "{name:?}");
    }
    assert!(build("x", "a\r\nwebhook-signature: v1,x").unwrap_err().contains("printable ASCII"));
}
