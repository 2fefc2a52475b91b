//! What all upstreams have in common, against registries that behave badly.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::event::Scope;
use artifact_triggers::trigger::FirstPoll;
use artifact_triggers::watch::{
    CrateIndex, HelmRepository, NpmRegistry, OciRegistry, PythonIndex, Upstream, UpstreamError,
};

use serde_json::{Value, json};

use crate::pointer::{pointers, with};
use crate::server::{Answer, Server};
use crate::{Found, Watching, deliverer};

/// An upstream of each kind at a server, with little room, and so much time.
fn each(server: &Server, time: Duration) -> Vec<(&'static str, Arc<dyn Upstream>)> {
    let url = server.url();
    let bytes = 10_000;
    macro_rules! one {
        ($($name:literal $type:ident),*) => {
            vec![$(($name, Arc::new(
                $type::new(&url, deliverer()).unwrap().with_timeout(time).with_max_bytes(bytes),
            ) as Arc<dyn Upstream>)),*]
        };
    }
    one!(
        "oci" OciRegistry, "helm" HelmRepository, "crates" CrateIndex, "npm" NpmRegistry,
        "pypi" PythonIndex
    )
}

#[derive(Debug)]
struct Shared(Arc<dyn Upstream>);

#[async_trait::async_trait]
impl Upstream for Shared {
    async fn list(
        &self,
        ask: artifact_triggers::watch::Ask<'_>,
    ) -> Result<artifact_triggers::watch::Listed, UpstreamError> {
        self.0.list(ask).await
    }

    fn check(&self, scope: &Scope, package: &str) -> Result<(), String> {
        self.0.check(scope, package)
    }
}

/// What each upstream makes of an answer.
async fn errors_of(answer: Answer) -> Vec<(&'static str, UpstreamError)> {
    errors_within(Duration::from_secs(30), answer).await
}

async fn errors_within(time: Duration, answer: Answer) -> Vec<(&'static str, UpstreamError)> {
    let server = Server::begin(move |_| answer.clone()).await;
    let mut errors = Vec::new();
    for (name, upstream) in each(&server, time) {
        errors.push((name, Watching::new(Shared(upstream), "app").error().await));
    }
    errors
}

#[tokio::test]
async fn a_status_says_what_follows() {
    for (answer, expected, is_transient) in [
        (
            Answer::new(301).with("location", "/"),
            "blocked: it answered with a redirect (301)",
            false,
        ),
        (Answer::new(304), "blocked: it answered with a redirect (304)", false),
        (Answer::new(403), "access is denied: it answered 403", false),
        (Answer::new(404), "it has no such package", false),
        (Answer::new(410), "it has no such package", false),
        (Answer::new(406), "it answered 406", false),
        (Answer::new(429).with("retry-after", "7"), "it asks to be left alone for 7s", true),
        (Answer::new(429), "it asks to be left alone", true),
        (Answer::new(503).with("retry-after", "60"), "it asks to be left alone for 1m", true),
        (Answer::new(503), "it answered 503", true),
        (Answer::new(500), "it answered 500", true),
    ] {
        for (name, error) in errors_of(answer.clone()).await {
            assert!(error.to_string().starts_with(expected), "{name}: {error}");
            assert_eq!(error.is_transient(), is_transient, "{name}: {error}");
        }
    }
    let throttled = errors_of(Answer::new(429).with("retry-after", "7")).await;
    assert!(throttled.iter().all(|(_, e)| e.retry_after() == Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::begin(|_| Answer::new(200)).await;
    errors_of(Answer::new(307).with("location", elsewhere.url())).await;
    assert_eq!(elsewhere.take().len(), 0);
}

#[tokio::test]
async fn an_answer_that_is_too_large_breaks_off_or_stalls_is_no_answer() {
    for (name, error) in errors_of(Answer::of(vec![b' '; 10_001])).await {
        let expected = "expected at most 10000 bytes of an answer, found 10000";
        assert_eq!(error.to_string(), expected, "{name}");
    }
    let broken = errors_of(Answer::of("{}").broken()).await;
    let stalled = Answer::of(vec![b' '; 100]).stalled();
    let stalled = errors_within(Duration::from_millis(500), stalled).await;
    for (name, error) in broken.into_iter().chain(stalled) {
        assert_eq!(error.to_string(), "its answer broke off", "{name}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn an_answer_of_something_else_is_malformed() {
    let deep = "[".repeat(9_000);
    for body in ["\u{0}", "<html>", "[]", "3", "{\"a\":", deep.as_str(), "\"", "- a\n- b\n"] {
        for (name, error) in errors_of(Answer::of(body)).await {
            // An index that is no JSON says so by its media type.
            let is_refused = name == "pypi" && matches!(error, UpstreamError::Refused { .. });
            let is_malformed = matches!(error, UpstreamError::Malformed { .. });
            assert!(is_refused || is_malformed, "{name}, {body:.10}: {error}");
        }
    }
}

/// Documents with anything in the place of each of their parts, one after the other.
fn mangled(document: &Value) -> Vec<Value> {
    let mut places = Vec::new();
    pointers(document, "", &mut places);
    let others =
        [json!(null), json!(-1), json!("\u{0}"), json!([[]]), json!({ "a": {} }), json!(true)];
    let mangled = places
        .iter()
        .flat_map(|place| others.iter().map(|other| with(document.clone(), place, other.clone())));
    mangled.collect()
}

#[tokio::test]
async fn whatever_stands_in_a_document_there_is_an_answer_or_an_error() {
    for (kind, document) in [
        ("npm", crate::npm::document()),
        ("pypi", crate::pypi::page()),
        ("crates", crate::crates::line("1.0.0", true)),
    ] {
        let current = Arc::new(Mutex::new(Value::Null));
        let body = current.clone();
        let server = Server::begin(move |_| {
            let body = body.lock().unwrap().to_string();
            Answer::of(body).with("content-type", "application/vnd.pypi.simple.v1+json")
        })
        .await;
        let upstreams = each(&server, Duration::from_secs(30));
        let (_, upstream) = upstreams.into_iter().find(|(name, _)| *name == kind).unwrap();
        let package = match kind {
            "npm" => "@acme/widget",
            "pypi" => "zope.interface",
            _ => "serde_json",
        };
        let mut watching = Watching::new(Shared(upstream), package)
            .with(|watch| watch.with_first(FirstPoll::Fire));
        for document in mangled(&document) {
            *current.lock().unwrap() = document.clone();
            watching.known = None;
            match watching.poll().await {
                Ok(Found::Changes(changes)) => {
                    for change in &changes {
                        watching.event(change);
                    }
                }
                Ok(Found::Unchanged) => panic!("{document}"),
                Err(error) => {
                    assert!(
                        matches!(error, UpstreamError::Malformed { .. }),
                        "{document}: {error}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_that_passes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Watching::new(CrateIndex::new(&url, deliverer()).unwrap(), "app").error().await;
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_scope_that_may_not_ask_does_not() {
    let server = Server::begin(|_| Answer::new(500)).await;
    let acme: Scope = "acme".parse().unwrap();
    let registry = OciRegistry::new(&server.url(), deliverer()).unwrap().within(acme.clone());
    assert_eq!(registry.check(&acme, "app"), Ok(()));
    let expected = Err("this upstream is not for the scope \"\"".to_owned());
    assert_eq!(registry.check(&Scope::root(), "app"), expected);
    let error = Watching::new(registry, "app").error().await;
    assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
    assert_eq!(server.take().len(), 0);
}

#[tokio::test]
async fn the_guard_judges_the_address() {
    let guarded: Arc<dyn artifact_triggers::deliverer::Deliverer> =
        Arc::new(HttpDeliverer::new().unwrap());
    let index = CrateIndex::new("https://127.0.0.1:1/", guarded).unwrap();
    assert!(index.check(&Scope::root(), "app").is_err());
    let error = Watching::new(index, "app").error().await;
    assert!(matches!(error, UpstreamError::Blocked { .. }), "{error}");
}

#[test]
fn addresses_that_are_none_are_refused() {
    for url in [
        "",
        "index",
        "ftp://r.example/",
        "file:///etc/passwd",
        "https://u:p@r.example/",
        "https://u@r.example/",
        "https://r.example/?a=b",
        "https://r.example/#a",
        "https:\\\\r.example/",
    ] {
        assert!(OciRegistry::new(url, deliverer()).is_err(), "{url}");
    }
}
