//! Tokens of a registry, and where credentials go.

use std::sync::Arc;

use artifact_triggers::watch::{Credentials, OciRegistry, UpstreamError};
use serde_json::json;

use crate::oci::Tags;
use crate::server::{Answer, Asked, Server};
use crate::{Watching, deliverer};

/// `alice:hunter2`
const BASIC: &str = "Basic YWxpY2U6aHVudGVyMg==";

/// A registry that wants tokens of a realm; without one it has a realm of its own.
async fn guarded(realm: Option<String>) -> Server {
    let tags = Tags::new(&[("a", 1)]);
    Server::begin(move |asked| {
        if asked.target.starts_with("/token") {
            return token(asked);
        }
        if asked.header("authorization") == Some("Bearer t0ken") {
            return tags.answer(asked);
        }
        let host = asked.header("host").unwrap();
        let realm = realm.clone().unwrap_or_else(|| format!("http://{host}/token"));
        let challenge =
            format!("Bearer realm=\"{realm}\",service=\"r\",scope=\"repository:evil:push\"");
        Answer::new(401).with("www-authenticate", challenge)
    })
    .await
}

fn token(_: &Asked) -> Answer {
    Answer::json(&json!({ "token": "t0ken", "expires_in": 300 }))
}

fn registry(server: &Server) -> OciRegistry {
    OciRegistry::new(&server.url(), deliverer()).unwrap()
}

fn credentials() -> Credentials {
    Credentials::basic("alice", "hunter2")
}

#[tokio::test]
async fn a_token_is_fetched_once_a_poll_for_pulling_what_is_watched() {
    let server = guarded(None).await;
    let mut watching = Watching::new(registry(&server), "acme/app");
    watching.changes().await;
    assert_eq!(
        server.targets(),
        [
            "GET /v2/acme/app/tags/list?n=1000",
            "GET /token?service=r&scope=repository%3Aacme%2Fapp%3Apull",
            "GET /v2/acme/app/tags/list?n=1000",
            "HEAD /v2/acme/app/manifests/a"
        ]
    );
}

#[tokio::test]
async fn credentials_go_to_the_registrys_own_host_and_the_token_back_to_it() {
    let server = guarded(None).await;
    Watching::new(registry(&server).with_credentials(credentials()), "acme/app").changes().await;
    let sent = server.take();
    let sent: Vec<Option<&str>> = sent.iter().map(|asked| asked.header("authorization")).collect();
    assert_eq!(sent, [Some(BASIC), Some(BASIC), Some("Bearer t0ken"), Some("Bearer t0ken")]);
}

#[tokio::test]
async fn credentials_go_to_another_host_only_if_its_owner_said_so() {
    let service = Server::begin(token).await;
    let server = guarded(Some(format!("{}/token?account=x", service.url()))).await;
    let with_credentials = || registry(&server).with_credentials(credentials());
    let error = Watching::new(with_credentials(), "acme/app").error().await;
    assert!(matches!(error, UpstreamError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("that the credentials are not for"), "{error}");
    assert_eq!(service.take().len(), 0, "nothing was asked there");

    let told = with_credentials().with_realm(&format!("{}/token", service.url())).unwrap();
    Watching::new(told, "acme/app").changes().await;
    let asked = service.take();
    assert_eq!(asked[0].header("authorization"), Some(BASIC));
    assert_eq!(asked[0].parameter("account").as_deref(), Some("x"));

    // Who has none to lose asks whoever the registry names.
    Watching::new(registry(&server), "acme/app").changes().await;
    assert_eq!(service.take()[0].header("authorization"), None);
}

#[tokio::test]
async fn realms_that_may_not_be_dialled_or_are_none_are_refused() {
    for (realm, expected) in [
        ("http://169.254.169.254/latest/meta-data", "blocked: "),
        ("http://10.0.0.1/token", "blocked: "),
        ("http://[::ffff:10.0.0.1]/token", "blocked: "),
        ("file:///etc/passwd", "access is denied: it names a token service that is none"),
        ("http://u:p@127.0.0.1/", "access is denied: it names a token service that is none"),
        ("/token", "access is denied: it names a token service that is none"),
        ("", "access is denied: it names a token service that is none"),
    ] {
        let server = guarded(Some(realm.to_owned())).await;
        let error = Watching::new(registry(&server), "acme/app").error().await.to_string();
        assert!(error.starts_with(expected), "{realm}: {error}");
    }
}

#[tokio::test]
async fn a_realm_that_redirects_or_gives_no_token_ends_the_poll() {
    let elsewhere = Server::begin(token).await;
    let location = elsewhere.url();
    let answers: [(Answer, &str); 6] = [
        (Answer::new(302).with("location", location), "blocked: the token service: it answered"),
        (Answer::new(401), "access is denied: the token service: it answered 401"),
        (Answer::new(500), "the token service: it answered 500"),
        (Answer::of("hunter2"), "its answer is malformed: expected JSON"),
        (Answer::json(&json!({ "token": 1 })), "its answer is malformed: token: expected a token"),
        (Answer::new(429).with("retry-after", "9"), "it asks to be left alone for 9s"),
    ];
    for (answer, expected) in answers {
        let service = Server::begin(move |_| answer.clone()).await;
        let server = guarded(Some(service.url())).await;
        let error = Watching::new(registry(&server), "acme/app").error().await.to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert_eq!(elsewhere.take().len(), 0);
}

#[tokio::test]
async fn a_registry_that_takes_no_token_is_asked_twice_and_no_more() {
    let server = Server::begin(|asked| {
        if asked.target.starts_with("/token") {
            return token(asked);
        }
        let realm = format!("Bearer realm=\"http://{}/token\"", asked.header("host").unwrap());
        Answer::new(401).with("www-authenticate", realm)
    })
    .await;
    let error = Watching::new(registry(&server), "acme/app").error().await;
    assert_eq!(error.to_string(), "access is denied: it answered 401");
    assert_eq!(server.take().len(), 3);
}

#[tokio::test]
async fn a_registry_that_wants_a_password_gets_it_or_says_so() {
    let tags = Tags::new(&[("a", 1)]);
    let server = Server::begin(move |asked| match asked.header("authorization") {
        Some(BASIC) => tags.answer(asked),
        _ => Answer::new(401).with("www-authenticate", "Basic realm=\"r\""),
    })
    .await;
    let error = Watching::new(registry(&server), "acme/app").error().await;
    assert_eq!(error.to_string(), "access is denied: it answered 401");
    Watching::new(registry(&server).with_credentials(credentials()), "acme/app").changes().await;
}

#[test]
fn nothing_shows_a_credential() {
    let deliverer = deliverer();
    let registry = OciRegistry::new("https://r.example", Arc::clone(&deliverer)).unwrap();
    let registry = registry.with_credentials(credentials());
    let bearer = Credentials::bearer("hunter2");
    assert!(!format!("{registry:?} {bearer:?}").contains("hunter2"));
}
