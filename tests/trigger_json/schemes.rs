//! The scheme that a webhook is signed by.

use artifact_triggers::signature::Scheme;
use artifact_triggers::trigger::{Target, TriggerSpec};
use serde_json::{Value, json};

use super::{SECRET, full, kept, parse, problems, stored};
use crate::pointer::with;

fn document(scheme: &Value, secrets: &Value) -> Value {
    let webhook = json!({"url": "https://hooks.example", "scheme": scheme, "secrets": secrets});
    with(full(), "/target/webhook", webhook)
}

fn scheme(spec: &TriggerSpec) -> Scheme {
    match &spec.target {
        Target::Webhook(endpoint) => endpoint.scheme.clone(),
        Target::Action(_) => unreachable!("it is a webhook"),
        _ => unreachable!("there are no others"),
    }
}

#[test]
fn each_scheme_is_read_and_kept_and_the_usual_one_is_left_out() {
    let harness = |prefix: &str| Scheme::Harness { prefix: prefix.to_owned() };
    let text = || json!(["text:s3cret"]);
    for (written, secrets, expected, printed) in [
        (json!(null), json!([SECRET]), Scheme::StandardWebhooks, None),
        (json!("standard-webhooks"), json!([SECRET]), Scheme::StandardWebhooks, None),
        (json!("github"), text(), Scheme::Github, Some(json!("github"))),
        (
            json!({"harness": {}}),
            text(),
            harness("Gitness"),
            Some(json!({"harness": {"prefix": "Gitness"}})),
        ),
        (
            json!({"harness": {"prefix": "Acme"}}),
            text(),
            harness("Acme"),
            Some(json!({"harness": {"prefix": "Acme"}})),
        ),
        (
            json!({"hex-sha256": {"header": "X-Sig", "prefix": "sha256="}}),
            text(),
            Scheme::HexSha256 { header: "X-Sig".to_owned(), prefix: "sha256=".to_owned() },
            Some(json!({"hex-sha256": {"header": "X-Sig", "prefix": "sha256="}})),
        ),
        (
            json!({"hex-sha256": {"header": "X-Sig"}}),
            text(),
            Scheme::HexSha256 { header: "X-Sig".to_owned(), prefix: String::new() },
            Some(json!({"hex-sha256": {"header": "X-Sig", "prefix": ""}})),
        ),
        (
            json!({"timestamped": {"header": "X-Sig"}}),
            text(),
            Scheme::Timestamped { header: "X-Sig".to_owned() },
            Some(json!({"timestamped": {"header": "X-Sig"}})),
        ),
        (
            json!("http-message-signatures"),
            json!([SECRET, "text:s3cret"]),
            Scheme::HttpMessage,
            Some(json!("http-message-signatures")),
        ),
        (
            json!({"signer": "vault"}),
            json!([]),
            Scheme::Signer { name: "vault".to_owned() },
            Some(json!({"signer": "vault"})),
        ),
    ] {
        let spec = parse(&document(&written, &secrets)).unwrap();
        assert_eq!(scheme(&spec), expected);
        assert_eq!(kept(&spec), spec);
        let shown = serde_json::to_value(stored(spec)).unwrap();
        assert_eq!(shown.pointer("/target/webhook/scheme"), printed.as_ref());
    }
}

#[test]
fn what_is_no_scheme_is_told_by_its_path_without_a_word_of_a_secret() {
    let expected = "expected standard-webhooks, github, http-message-signatures, or an object with \
                    harness, hex-sha256, timestamped or signer";
    let at = |path: &str, message: &str| format!("target.webhook.scheme{path}: {message}");
    for (written, expected) in [
        (json!("hunter2"), at("", &format!("{expected}, found a string"))),
        (json!(7), at("", &format!("{expected}, found 7"))),
        (json!({}), at("", &format!("{expected}, one of them"))),
        (json!({"signer": "a", "harness": {}}), at("", &format!("{expected}, one of them"))),
        (json!({"hex-sha256": {}}), at(".hex-sha256.header", "expected a string, found nothing")),
        (
            json!({"hex-sha256": {"header": "X", "prefix": "a b"}}),
            at(
                ".hex-sha256.prefix",
                "expected at most 40 printable ASCII characters, found \"a b\"",
            ),
        ),
        (json!({"timestamped": {}}), at(".timestamped.header", "expected a string, found nothing")),
        (json!({"harness": {"prefix": 1}}), at(".harness.prefix", "expected a string, found 1")),
        (json!({"harness": {"x": 1}}), at(".harness.x", "is not a member of this object")),
        (json!({"other": {}}), at(".other", "is not a member of this object")),
    ] {
        let found = problems(&document(&written, &json!([])));
        assert_eq!(found[0], expected, "{written}");
        assert!(!found.join("; ").contains("hunter2"));
    }
    let found =
        problems(&document(&json!("github"), &json!(["hunter2", "text:hunter2 "]))).join("; ");
    assert!(found.contains("secrets[0]") && found.contains("secrets[1]"), "{found}");
    assert!(!found.contains("hunter2"), "{found}");
}
