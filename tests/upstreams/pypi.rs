//! The simple index of Python packages.

use std::sync::{Arc, Mutex};

use artifact_triggers::event::{Artifact, File};
use artifact_triggers::trigger::FirstPoll;
use artifact_triggers::watch::{PythonIndex, UpstreamError};
use serde_json::{Value, json};

use crate::pointer::with;
use crate::server::{Answer, Server};
use crate::{Found, Watching, deliverer};

const JSON: &str = "application/vnd.pypi.simple.v1+json";

pub(crate) fn page() -> Value {
    let file = |name: &str, yanked: Value| {
        json!({
            "filename": name, "url": "https://f.example/x", "hashes": {"sha256": "a".repeat(64)},
            "size": 5, "upload-time": "2026-01-02T03:04:05.000006Z", "yanked": yanked,
        })
    };
    json!({
        "meta": {"api-version": "1.1"}, "name": "zope-interface",
        "versions": ["5.10", "5.9rc1", "5.9"],
        "files": [
            file("zope.interface-5.9.tar.gz", json!("broken")),
            file("zope_interface-5.9.0-py3-none-any.whl", json!(true)),
            file("zope.interface-5.10.tar.gz", json!(false)),
            file("zope_interface-5.10-py3-none-any.whl", json!(true)),
            file("zope.interface-5.9rc1.tar.gz", json!(false)),
            file("zope.interface-5.8.tar.gz", json!(false)),
            file("something-else.exe", json!(false)),
        ],
    })
}

fn answer(page: &Value) -> Answer {
    Answer::of(page.to_string()).with("content-type", JSON)
}

fn watching(server: &Server) -> Watching<PythonIndex> {
    let index = PythonIndex::new(&format!("{}/simple", server.url()), deliverer()).unwrap();
    Watching::new(index, "Zope.Interface").with(|watch| watch.with_first(FirstPoll::Fire))
}

#[tokio::test]
async fn versions_are_told_in_the_order_of_pep_440_with_their_files() {
    let server = Server::begin(|asked| answer(&page()).tagged("\"1\"", asked)).await;
    let mut watching = watching(&server);
    let changes = watching.changes().await;
    let told: Vec<String> =
        changes.iter().map(|change| format!("{} {}", change.kind(), change.version())).collect();
    let expected = [
        "artifact.ingested 5.9rc1",
        "artifact.ingested 5.9",
        "artifact.yanked 5.9",
        "artifact.ingested 5.10",
    ];
    assert_eq!(told, expected);
    let file =
        |name: &str| File::new(name).with_size(5).with_digest(format!("sha256:{}", "a".repeat(64)));
    let artifact = Artifact::new("pypi", "zope-interface")
        .with_registry(server.host())
        .with_version("5.10")
        .with_file(file("zope.interface-5.10.tar.gz"))
        .with_file(file("zope_interface-5.10-py3-none-any.whl"));
    assert_eq!(watching.artifact(&changes[3]), artifact);
    let event = watching.event(&changes[3]);
    assert_eq!(event.occurred_at.to_string(), "2026-01-02T03:04:05.000006Z");
    let asked = server.take().remove(0);
    assert_eq!(
        (asked.target.as_str(), asked.header("accept")),
        ("/simple/zope-interface/", Some(JSON))
    );
    assert_eq!(watching.poll().await, Ok(Found::Unchanged));
}

#[tokio::test]
async fn where_versions_are_not_listed_they_are_those_of_the_files() {
    let mut page = page();
    page.as_object_mut().unwrap().remove("versions");
    let server = Server::begin(move |_| answer(&page)).await;
    let told = watching(&server).told().await;
    let new: Vec<&str> = told.iter().filter_map(|t| t.strip_prefix("artifact.ingested ")).collect();
    assert_eq!(new, ["5.8", "5.9rc1", "5.9", "5.10"]);
}

#[tokio::test]
async fn html_is_never_read() {
    let page = "<html><a href=\"x\">zope.interface-5.9.tar.gz</a></html>";
    for media_type in [Some("text/html"), Some("application/json"), None] {
        let answer = Answer::of(page);
        let answer = match media_type {
            Some(media_type) => answer.with("content-type", media_type),
            None => answer,
        };
        let server = Server::begin(move |_| answer.clone()).await;
        let error = watching(&server).error().await;
        assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("expected an answer of {JSON}")), "{error}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_page_is_told_by_its_place() {
    for (pointer, value, expected) in [
        ("/meta", json!([]), "meta: expected an object, found an array"),
        ("/meta/api-version", json!("2.0"), "meta.api-version: expected 1.x, found \"2.0\""),
        ("/meta/api-version", json!(1), "meta.api-version: expected a string, found 1"),
        ("/versions", json!({}), "versions: expected an array, found an object"),
        ("/versions/1", json!(5), "versions[1]: expected a string, found 5"),
        ("/files", Value::Null, "files: expected an array, found nothing"),
        ("/files/1", json!("x"), "files[1]: expected an object, found a string"),
        ("/files/1/filename", json!(1), "files[1].filename: expected a string, found 1"),
        ("/files/1/hashes", json!(1), "files[1].hashes: expected an object, found 1"),
        ("/files/1/hashes/sha256", json!(1), "files[1].hashes.sha256: expected a string, found 1"),
        (
            "/files/1/size",
            json!(-1),
            "files[1].size: expected a whole number of 0 or more, found -1",
        ),
        ("/files/1/yanked", json!(1), "files[1].yanked: expected a string or a boolean, found 1"),
        (
            "/files/1/upload-time",
            json!(1),
            "files[1].upload-time: expected a time as RFC 3339 has it, found 1",
        ),
    ] {
        let body = with(page(), pointer, value);
        let server = Server::begin(move |_| answer(&body)).await;
        let error = watching(&server).error().await;
        assert_eq!(error.to_string(), format!("its answer is malformed: {expected}"));
    }
}

#[tokio::test]
async fn a_page_that_is_cut_is_malformed_wherever() {
    let body = page().to_string();
    let cut = Arc::new(Mutex::new(0));
    let at = cut.clone();
    let length = body.len();
    let server = Server::begin(move |_| {
        Answer::of(&body.as_bytes()[..*at.lock().unwrap()]).with("content-type", JSON)
    })
    .await;
    let mut watching = watching(&server);
    for end in 0..length {
        *cut.lock().unwrap() = end;
        let error = watching.error().await;
        assert!(matches!(error, UpstreamError::Malformed { .. }), "{end}: {error}");
    }
}
