//! The registry of npm.

use std::sync::{Arc, Mutex};

use artifact_triggers::event::Artifact;
use artifact_triggers::trigger::FirstPoll;
use artifact_triggers::watch::{NpmRegistry, UpstreamError};
use serde_json::{Value, json};

use crate::pointer::with;
use crate::server::{Answer, Server};
use crate::{Found, Watching, deliverer};

pub(crate) fn document() -> Value {
    let dist = |version: &str| {
        json!({
            "tarball": format!("https://r.example/@acme/widget/-/widget-{version}.tgz"),
            "shasum": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "integrity": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        })
    };
    json!({
        "name": "@acme/widget", "modified": "2026-11-26T12:00:00.000Z",
        "dist-tags": {"latest": "1.10.0", "next": "1.10.0", "old": "1.9.0"},
        "versions": {
            "1.10.0": {"name": "@acme/widget", "version": "1.10.0", "dist": dist("1.10.0")},
            "1.9.0": {"version": "1.9.0", "dist": dist("1.9.0"), "deprecated": "use 1.10"},
        },
    })
}

fn watching(server: &Server) -> Watching<NpmRegistry> {
    let registry = NpmRegistry::new(&server.url(), deliverer()).unwrap();
    Watching::new(registry, "@acme/widget").with(|watch| watch.with_first(FirstPoll::Fire))
}

#[tokio::test]
async fn versions_are_told_with_tags_digest_and_address() {
    let server = Server::begin(|asked| Answer::json(&document()).tagged("W/\"1\"", asked)).await;
    let mut watching = watching(&server);
    let changes = watching.changes().await;
    let told: Vec<String> =
        changes.iter().map(|change| format!("{} {}", change.kind(), change.version())).collect();
    let expected =
        ["artifact.ingested 1.9.0", "artifact.deprecated 1.9.0", "artifact.ingested 1.10.0"];
    assert_eq!(told, expected);
    let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let artifact = Artifact::new("npm", "widget")
        .with_namespace("@acme")
        .with_registry(server.host())
        .with_version("1.10.0")
        .with_tag("latest")
        .with_tag("next")
        .with_digest(format!("sha256:{hex}"))
        .with_url("https://r.example/@acme/widget/-/widget-1.10.0.tgz");
    assert_eq!(watching.artifact(&changes[2]), artifact);
    let asked = server.take().remove(0);
    assert_eq!(asked.target, "/@acme%2Fwidget");
    assert!(asked.header("accept").unwrap().starts_with("application/vnd.npm.install-v1+json;"));
    assert_eq!(watching.poll().await, Ok(Found::Unchanged));
}

#[tokio::test]
async fn what_is_wrong_with_a_document_is_told_by_its_place() {
    let dist = "/versions/1.9.0/dist";
    for (pointer, value, expected) in [
        ("/name", json!("left-pad"), "name: expected \"@acme/widget\", found \"left-pad\""),
        ("/name", json!([]), "name: expected a string, found an array"),
        ("/dist-tags", json!([]), "dist-tags: expected an object, found an array"),
        ("/dist-tags/old", json!(1), "dist-tags.old: expected a string, found 1"),
        ("/versions", json!("1"), "versions: expected an object, found a string"),
        ("/versions", Value::Null, "versions: expected an object, found nothing"),
        ("/versions/1.9.0", json!(1), "versions.1.9.0: expected an object, found 1"),
        (dist, Value::Null, "versions.1.9.0.dist: expected an object, found nothing"),
        (
            &format!("{dist}/tarball"),
            json!(1),
            "versions.1.9.0.dist.tarball: expected a string, found 1",
        ),
        (
            &format!("{dist}/shasum"),
            json!(1),
            "versions.1.9.0.dist.shasum: expected a string, found 1",
        ),
        (
            &format!("{dist}/integrity"),
            json!(1),
            "versions.1.9.0.dist.integrity: expected a string, found 1",
        ),
        (
            "/versions/1.9.0/deprecated",
            json!(1),
            "versions.1.9.0.deprecated: expected a string or a boolean, found 1",
        ),
    ] {
        let body = with(document(), pointer, value);
        let server = Server::begin(move |_| Answer::json(&body)).await;
        let error = watching(&server).error().await;
        assert_eq!(error.to_string(), format!("its answer is malformed: {expected}"));
    }
}

#[tokio::test]
async fn a_document_that_is_cut_is_malformed_wherever() {
    let body = document().to_string();
    let cut = Arc::new(Mutex::new(0));
    let at = cut.clone();
    let length = body.len();
    let server = Server::begin(move |_| Answer::of(&body.as_bytes()[..*at.lock().unwrap()])).await;
    let mut watching = watching(&server);
    for end in 0..length {
        *cut.lock().unwrap() = end;
        let error = watching.error().await;
        assert!(matches!(error, UpstreamError::Malformed { .. }), "{end}: {error}");
    }
}
