//! The sparse index of crates.

use std::sync::{Arc, Mutex};

use artifact_triggers::event::Artifact;
use artifact_triggers::trigger::FirstPoll;
use artifact_triggers::watch::{CrateIndex, UpstreamError};
use serde_json::{Value, json};

use crate::pointer::with;
use crate::server::{Answer, Server};
use crate::{Found, Watching, deliverer};

pub(crate) fn line(version: &str, yanked: bool) -> Value {
    json!({
        "name": "Serde_json", "vers": version, "deps": [{"name": "itoa", "req": "^1"}],
        "cksum": format!("{:064x}", version.len()), "features": {"std": []}, "yanked": yanked,
        "links": null, "v": 2, "features2": {"a": ["b"]}
    })
}

fn file(lines: &[Value]) -> String {
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

fn watching(server: &Server) -> Watching<CrateIndex> {
    let index = CrateIndex::new(&server.url(), deliverer()).unwrap().with_name("crates.example");
    Watching::new(index, "serde_json")
}

#[tokio::test]
async fn new_versions_and_yanked_ones_are_told() {
    let content = Arc::new(Mutex::new(file(&[line("1.0.0", false)])));
    let body = content.clone();
    let server = Server::begin(move |asked| {
        let body = body.lock().unwrap().clone();
        let tag = format!("\"{}\"", body.len());
        Answer::of(body).tagged(&tag, asked)
    })
    .await;
    let mut watching = watching(&server);
    assert_eq!(watching.told().await, [""; 0]);
    assert_eq!(server.targets(), ["GET /se/rd/serde_json"]);
    assert_eq!(watching.poll().await, Ok(Found::Unchanged));
    let lines = [line("1.0.0", true), line("1.10.0", false), line("1.9.0-rc.1+a", false)];
    *content.lock().unwrap() = file(&lines);
    let changes = watching.changes().await;
    let told: Vec<String> =
        changes.iter().map(|change| format!("{} {}", change.kind(), change.version())).collect();
    let expected =
        ["artifact.yanked 1.0.0", "artifact.ingested 1.9.0-rc.1+a", "artifact.ingested 1.10.0"];
    assert_eq!(told, expected);
    let artifact = Artifact::new("cargo", "serde_json")
        .with_registry("crates.example")
        .with_version("1.10.0")
        .with_digest(format!("sha256:{:064x}", 6));
    assert_eq!(watching.artifact(&changes[2]), artifact);
    let purl = watching.event(&changes[2]).artifact.unwrap().purl;
    assert_eq!(purl.as_deref(), cfg!(feature = "purl").then_some("pkg:cargo/serde_json@1.10.0"));
}

#[tokio::test]
async fn what_is_wrong_with_a_line_is_told_by_its_place() {
    for (pointer, value, expected) in [
        ("/name", json!(1), "[1].name: expected a string, found 1"),
        ("/name", json!("serde"), "[1].name: expected \"serde_json\", found \"serde\""),
        ("/vers", json!([]), "[1].vers: expected a string, found an array"),
        ("/vers", Value::Null, "[1].vers: expected a string, found nothing"),
        ("/cksum", json!("abc"), "[1].cksum: expected a SHA-256 as hex digits, found \"abc\""),
        ("/cksum", json!({}), "[1].cksum: expected a string, found an object"),
        ("/yanked", json!("yes"), "[1].yanked: expected true or false, found \"yes\""),
        ("/pubtime", json!(5), "[1].pubtime: expected a time as RFC 3339 has it, found 5"),
    ] {
        let body = file(&[line("1.0.0", false), with(line("1.1.0", false), pointer, value)]);
        let server = Server::begin(move |_| Answer::of(body.clone())).await;
        let error = watching(&server).error().await;
        assert_eq!(error.to_string(), format!("its answer is malformed: {expected}"));
    }
}

#[tokio::test]
async fn a_file_that_is_cut_within_a_line_is_malformed() {
    let body = file(&[line("1.0.0", false), line("1.1.0", false)]);
    let (first, second) = (line("1.0.0", false).to_string().len(), body.trim_end().len());
    let cut = Arc::new(Mutex::new(0));
    let at = cut.clone();
    let server = Server::begin(move |_| Answer::of(&body.as_bytes()[..*at.lock().unwrap()])).await;
    let mut watching = watching(&server).with(|watch| watch.with_first(FirstPoll::Fire));
    for end in 1..second {
        *cut.lock().unwrap() = end;
        watching.known = None;
        // Cut between lines it is a file of its own: that nothing is missing is for the connection
        // to say.
        if end == first || end == first + 1 {
            assert_eq!(watching.told().await, ["artifact.ingested 1.0.0"]);
        } else {
            let error = watching.error().await;
            assert!(matches!(error, UpstreamError::Malformed { .. }), "{end}: {error}");
        }
    }
}
