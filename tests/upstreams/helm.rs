//! The index of a Helm repository.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use artifact_triggers::event::Artifact;
use artifact_triggers::trigger::FirstPoll;
use artifact_triggers::watch::{HelmRepository, UpstreamError};

use crate::server::{Answer, Server};
use crate::{Found, Watching, deliverer};

const INDEX: &str = include_str!("../data/helm_index.yaml");

fn watching(server: &Server) -> Watching<HelmRepository> {
    let repository = HelmRepository::new(&format!("{}/stable", server.url()), deliverer()).unwrap();
    Watching::new(repository, "app").with(|watch| watch.with_first(FirstPoll::Fire))
}

async fn serving(index: String) -> Server {
    Server::begin(move |_| Answer::of(index.clone())).await
}

#[tokio::test]
async fn versions_of_a_chart_are_told_with_digest_and_address() {
    let server = Server::begin(|asked| Answer::of(INDEX).tagged("\"1\"", asked)).await;
    let mut watching = watching(&server);
    let changes = watching.changes().await;
    let told: Vec<String> =
        changes.iter().map(|change| format!("{} {}", change.kind(), change.version())).collect();
    let expected = [
        "artifact.ingested 0.9.0+build.5",
        "artifact.ingested 1.9.0",
        "artifact.deprecated 1.9.0",
        "artifact.ingested 1.10.0",
    ];
    assert_eq!(told, expected);
    let artifact = Artifact::new("helm", "app")
        .with_registry(server.host())
        .with_repository("stable")
        .with_version("1.10.0")
        .with_digest(format!("sha256:{}", "ab".repeat(32)))
        .with_url(format!("{}/stable/charts/app-1.10.0.tgz", server.url()));
    assert_eq!(watching.artifact(&changes[3]), artifact);
    let occurred_at = watching.event(&changes[3]).occurred_at.to_string();
    assert_eq!(occurred_at, "2026-11-01T10:00:00.123456Z");
    assert_eq!(server.targets(), ["GET /stable/index.yaml"]);
    assert_eq!(watching.poll().await, Ok(Found::Unchanged));
}

#[tokio::test]
async fn what_was_last_modified_is_asked_for_where_there_is_no_tag() {
    const DATE: &str = "Thu, 26 Nov 2026 12:00:00 GMT";
    let server = Server::begin(|asked| match asked.header("if-modified-since") {
        Some(DATE) => Answer::new(304),
        _ => Answer::of(INDEX).with("last-modified", DATE),
    })
    .await;
    let mut watching = watching(&server);
    watching.changes().await;
    assert_eq!(watching.poll().await, Ok(Found::Unchanged));
}

#[tokio::test]
async fn an_index_that_is_json_is_read_too() {
    let index = r#"{"apiVersion": "v1", "entries": {"app": [{"version": "1.0.0", "urls": []}]}}"#;
    let server = serving(index.to_owned()).await;
    assert_eq!(watching(&server).told().await, ["artifact.ingested 1.0.0"]);
}

#[tokio::test]
async fn a_chart_that_is_not_there_is_not_found() {
    for index in ["apiVersion: v1\nentries: {}\n", "apiVersion: v1\nentries:\ngenerated: x\n"] {
        let error = watching(&serving(index.to_owned()).await).error().await;
        assert!(matches!(error, UpstreamError::NotFound { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_index_is_told_by_its_place() {
    let of_version = |member: &str| format!("apiVersion: v1\nentries:\n  app:\n  - {member}\n");
    for (index, expected) in [
        ("entries: []\n".to_owned(), "entries: expected a mapping, found a sequence"),
        ("apiVersion: v2\nentries: {}\n".to_owned(), "apiVersion: expected v1, found \"v2\""),
        ("apiVersion: v1\n".to_owned(), "entries: expected a mapping, found nothing"),
        ("- a\n".to_owned(), "expected one document, a mapping, found a sequence"),
        ("entries:\n  app: 1\n".to_owned(), "entries.app: expected a sequence, found \"1\""),
        (of_version("1.0.0"), "entries.app[0]: expected a mapping, found \"1.0.0\""),
        (of_version("a: b"), "entries.app[0].version: expected a text, found nothing"),
        (of_version("version: [1]"), "entries.app[0].version: expected a text, found a sequence"),
        (
            of_version("version: 1.0.0\n    digest: abc"),
            "entries.app[0].digest: expected a SHA-256 as hex digits, found \"abc\"",
        ),
        (
            of_version("version: 1.0.0\n    created: {}"),
            "entries.app[0].created: expected a text, found a mapping",
        ),
        (
            of_version("version: 1.0.0\n    urls: x"),
            "entries.app[0].urls: expected a sequence, found \"x\"",
        ),
        (
            of_version("version: 1.0.0\n    urls: [[x]]"),
            "entries.app[0].urls[0]: expected a text, found a sequence",
        ),
        (
            of_version("version: 1.0.0\n    deprecated: maybe"),
            "entries.app[0].deprecated: expected true or false, found \"maybe\"",
        ),
        (of_version("? [a]\n    : b"), "entries.app[0]: expected texts as keys, found a sequence"),
        ("a: 1\n---\nb: 2\n".to_owned(), "entries: expected a mapping, found nothing"),
        ("a: \"".to_owned(), "line 1, column "),
    ] {
        let error = watching(&serving(index.clone()).await).error().await.to_string();
        let found = error.strip_prefix("its answer is malformed: ");
        assert!(found.is_some_and(|found| found.starts_with(expected)), "{index}: {error}");
    }
}

#[tokio::test]
async fn aliases_are_not_followed_and_bombs_do_not_burst() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..30 {
        let before = format!("*a{}, ", n - 1).repeat(10);
        let _ = writeln!(bomb, "a{n}: &a{n} [{}]", before.trim_end_matches(", "));
    }
    let index =
        format!("apiVersion: v1\n{bomb}entries:\n  app:\n  - version: 1.0.0\n    x: *a29\n");
    let server = serving(index).await;
    assert_eq!(watching(&server).told().await, ["artifact.ingested 1.0.0"]);

    let alias = "a: &v 1.0.0\nentries:\n  app:\n  - version: *v\n";
    let error = watching(&serving(alias.to_owned()).await).error().await.to_string();
    let expected = "entries.app[0].version: expected a text, found an alias, which is not followed";
    assert!(error.contains(expected), "{error}");

    let dashes = format!("{}x", "- ".repeat(100));
    for (deep, expected) in [
        (dashes, "a: expected at most 64 levels"),
        ("[".repeat(100_000), "expected YAML: recursion limit exceeded"),
    ] {
        let index = format!("a:\n  {deep}\nentries: {{}}\n");
        let error = watching(&serving(index).await).error().await.to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_index_that_is_cut_gives_no_version_that_is_none() {
    let cut = Arc::new(Mutex::new(0));
    let at = cut.clone();
    let server = Server::begin(move |_| Answer::of(&INDEX.as_bytes()[..*at.lock().unwrap()])).await;
    let mut watching = watching(&server);
    for end in 0..INDEX.len() {
        *cut.lock().unwrap() = end;
        watching.known = None;
        // YAML has no end of its own: that nothing is missing is for the connection to say, and an
        // index that was cut as a whole is an index.
        match watching.poll().await {
            Err(UpstreamError::Malformed { .. } | UpstreamError::NotFound { .. }) => {}
            Ok(Found::Changes(changes)) => assert!(!changes.is_empty()),
            other => panic!("{end}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_index_of_megabytes_is_read_within_its_limit() {
    let mut index = "apiVersion: v1\nentries:\n".to_owned();
    for chart in 0..400 {
        let name = if chart == 250 { "app".to_owned() } else { format!("chart-{chart}") };
        let _ = writeln!(index, "  {name}:");
        for version in 0..50 {
            let _ = write!(
                index,
                "  - apiVersion: v2\n    appVersion: 1.{version}.0\n    created: \"2026-01-01T00:00:00Z\"\n\
                 \x20   description: A chart of something that takes a line to tell about\n\
                 \x20   digest: {}\n    keywords:\n    - a\n    - b\n    name: {name}\n    urls:\n\
                 \x20   - https://charts.example/{name}-{version}.tgz\n    version: 1.{version}.0\n",
                "ab".repeat(32)
            );
        }
    }
    assert!(index.len() > 6_000_000, "{}", index.len());
    let server = serving(index).await;
    assert_eq!(watching(&server).told().await.len(), 50);
}
