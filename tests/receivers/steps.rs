//! The steps that the manual has for build systems, run as they stand there: what a shell, `curl`,
//! `jq` and `openssl` send is verified and becomes the event that it should.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, ExitStatus};
use std::thread;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::incoming::mapping::{Mapping, MappingReceiver, ready};
use artifact_triggers::incoming::{Incoming, Notice, ReceiveError, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::signature::Verifier;
use serde_json::{Value, json};

use crate::sample::as_json;

const MANUAL: &str = include_str!("../../src/manual/mapping.md");
const DIGEST: &str = "sha256:a0e576ed4b83211856892d7c8b237b3e611497dfd445e880f7f2e91a30e0b7fa";
const TEXT: &str = "It's a \"Secret\" to $Everybody";
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The shell of a step: all of a block of it, or what stands where the build system has it.
fn shell(step: &str) -> String {
    let (_, behind) = MANUAL.split_once(&format!("<!-- step: {step} -->\n")).expect("it is there");
    let (_, block) = behind.split_once('\n').expect("a fence");
    let (block, _) = block.split_once("\n```").expect("a fence that closes");
    let lines: Vec<&str> = block.lines().collect();
    let is_start = |line: &&str| ["run: |", "- |", "sh '''"].contains(&line.trim());
    let Some(start) = lines.iter().position(is_start) else { return block.to_owned() };
    let indent = |line: &str| line.len() - line.trim_start().len();
    let inner = lines[start + 1..].iter().take_while(|line| indent(line) > indent(lines[start]));
    inner.map(|line| line.trim_start()).collect::<Vec<_>>().join("\n")
}

/// What came in, read by a receiver, which answers.
fn answer(stream: &mut TcpStream, receiver: &MappingReceiver) -> Result<Vec<Notice>, ReceiveError> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut headers = Headers::new();
    let mut length = 0;
    for line in reader.by_ref().lines().map(Result::unwrap).skip(1) {
        let Some((name, value)) = line.split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
        headers.push(name, value);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    // The time that the step itself told, so that no clock is read here.
    let sent = headers.only("webhook-timestamp").map(|it| String::from_utf8_lossy(it).into_owned());
    let now = sent
        .map_or(Timestamp::UNIX_EPOCH, |sent| Timestamp::from_unix_seconds(sent.parse().unwrap()));
    let opened = receiver.open(Incoming { headers: &headers, body: &body }, now);
    let status = opened.as_ref().map_or_else(ReceiveError::status, |_| 202);
    write!(stream, "HTTP/1.1 {status} \r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    opened
}

/// Runs a step against a receiver on loopback.
fn run(
    (shell_name, script): (&str, &str),
    secret: &str,
    variables: &[(&str, &str)],
    receiver: MappingReceiver,
) -> (ExitStatus, Result<Vec<Notice>, ReceiveError>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let server = thread::spawn(move || answer(&mut listener.accept().unwrap().0, &receiver));
    let status = Command::new(shell_name)
        .args(["-eu", "-c", script])
        .envs(variables.iter().copied())
        .env("TRIGGERS_URL", url)
        .env("TRIGGERS_SECRET", secret)
        .env("no_proxy", "*")
        .status()
        .expect("a shell is on every machine that runs this test");
    (status, server.join().unwrap())
}

fn receiver(mapping: &str, secret: &str) -> MappingReceiver {
    let mapping = Mapping::from_json(mapping.as_bytes()).unwrap();
    let verifier = if secret.starts_with("whsec_") {
        Verifier::standard_webhooks([secret.parse().unwrap()])
    } else {
        Verifier::github([format!("text:{secret}").parse().unwrap()])
    };
    MappingReceiver::new(mapping, "acme".parse().unwrap(), verifier)
}

/// The event that a step tells. By another secret the step fails.
fn told(step: (&str, &str), mapping: &str, secret: &str, variables: &[(&str, &str)]) -> Value {
    let script = shell(step.1);
    let step = (step.0, script.as_str());
    let (status, opened) = run(step, secret, variables, receiver(mapping, secret));
    assert!(status.success(), "{status}: {opened:?}");
    let mut notices = opened.unwrap();
    assert_eq!(notices.len(), 1);
    let other = if secret == KEY { "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" } else { "other" };
    let (status, opened) = run(step, other, variables, receiver(mapping, secret));
    assert_eq!(opened.map_err(|error| error.status()), Err(401));
    assert!(!status.success(), "{status}");
    let mut event = as_json(&notices.remove(0).event);
    let members = event.as_object_mut().unwrap();
    for name in ["id", "spec_version", "received_at", "data", "scope"] {
        members.remove(name);
    }
    event
}

/// Takes the time of an event, which a step read from its clock.
fn take_time(event: &mut Value) {
    let time = event.as_object_mut().unwrap().remove("occurred_at").unwrap();
    let time: Timestamp = time.as_str().unwrap().parse().unwrap();
    assert!(time > "2025-01-01T00:00:00Z".parse().unwrap(), "{time}");
}

#[test]
fn a_step_of_github_actions_tells_of_an_image() {
    let variables = [
        ("REGISTRY", "ghcr.io"),
        ("REPOSITORY", "acme/app"),
        ("TAG", "v1.2"),
        ("DIGEST", DIGEST),
        ("GITHUB_SHA", "6c62fb45"),
        ("GITHUB_REF", "refs/tags/v1.2 \"quoted\""),
        ("GITHUB_ACTOR", "octocat"),
        ("GITHUB_RUN_ID", "17"),
        ("GITHUB_RUN_ATTEMPT", "2"),
        ("GITHUB_WORKFLOW", "release"),
    ];
    let mut event = told(("bash", "github-actions"), ready::GITHUB_ACTIONS, TEXT, &variables);
    take_time(&mut event);
    assert_eq!(
        event,
        json!({
            "kind": "artifact.ingested",
            "source": {
                "name": "github-actions", "id": format!("17/2/ghcr.io/acme/app//:v1.2@{DIGEST}")
            },
            "artifact": {
                "package_type": "oci", "registry": "ghcr.io", "repository": "acme/app",
                "name": "app", "tags": ["v1.2"], "digest": DIGEST
            },
            "actor": {"kind": "user", "name": "octocat"},
            "correlation": {"request_id": "17"},
            "attributes": {
                "commit": "6c62fb45", "ref": "refs/tags/v1.2 \"quoted\"", "workflow": "release"
            }
        })
    );
}

#[test]
fn a_job_of_gitlab_ci_tells_of_an_image() {
    let variables = [
        ("CI_REGISTRY", "registry.gitlab.example"),
        ("CI_PROJECT_PATH", "acme/app"),
        ("CI_COMMIT_REF_SLUG", "main"),
        ("CI_COMMIT_REF_NAME", "main"),
        ("DIGEST", DIGEST),
        ("CI_COMMIT_SHA", "6c62fb45"),
        ("GITLAB_USER_LOGIN", "alice"),
        ("CI_SERVER_HOST", "gitlab.example"),
        ("CI_PIPELINE_ID", "31"),
        ("CI_JOB_ID", "377"),
        ("CI_JOB_STARTED_AT", "2026-11-23T14:42:23Z"),
    ];
    assert_eq!(
        told(("sh", "gitlab-ci"), ready::GITLAB_CI, KEY, &variables),
        json!({
            "kind": "artifact.ingested",
            "occurred_at": "2026-11-23T14:42:23Z",
            "source": {
                "name": "gitlab-ci", "instance": "gitlab.example",
                "id": format!("31/377/registry.gitlab.example/acme/app//:main@{DIGEST}")
            },
            "artifact": {
                "package_type": "oci", "registry": "registry.gitlab.example",
                "repository": "acme/app", "name": "app", "tags": ["main"], "digest": DIGEST
            },
            "actor": {"kind": "user", "name": "alice"},
            "correlation": {"request_id": "31"},
            "attributes": {"commit": "6c62fb45", "ref": "main", "project": "acme/app"}
        })
    );
}

#[test]
fn a_stage_of_jenkins_tells_of_an_image() {
    let variables = [
        ("REGISTRY", "registry.acme.example"),
        ("REPOSITORY", "acme/app"),
        ("TAG", "42"),
        ("JENKINS_URL", "https://ci.acme.example/"),
        ("GIT_COMMIT", "6c62fb45"),
        ("BUILD_TAG", "jenkins-app-42"),
        ("JOB_NAME", "app"),
        ("BUILD_NUMBER", "42"),
    ];
    let mut event = told(("sh", "jenkins"), ready::JENKINS, TEXT, &variables);
    take_time(&mut event);
    assert_eq!(
        event,
        json!({
            "kind": "artifact.ingested",
            "source": {
                "name": "jenkins", "instance": "https://ci.acme.example/",
                "id": "jenkins-app-42/registry.acme.example/acme/app//:42@"
            },
            "artifact": {
                "package_type": "oci", "registry": "registry.acme.example",
                "repository": "acme/app", "name": "app", "tags": ["42"]
            },
            "correlation": {"request_id": "jenkins-app-42"},
            "attributes": {"commit": "6c62fb45", "job": "app", "build": "42"}
        })
    );
}

#[test]
fn curl_tells_of_an_image_and_by_standard_webhooks_of_a_package() {
    assert_eq!(
        told(("bash", "curl"), ready::CURL, TEXT, &[]),
        json!({
            "kind": "artifact.ingested",
            "occurred_at": "2026-11-23T14:42:23Z",
            "source": {"name": "curl", "id": "build-17"},
            "artifact": {
                "package_type": "oci", "registry": "registry.acme.example",
                "repository": "acme/app", "name": "app", "tags": ["1.2", "latest"],
                "digest": DIGEST
            }
        })
    );
    assert_eq!(
        told(("bash", "curl-standard-webhooks"), ready::CURL, KEY, &[]),
        json!({
            "kind": "artifact.ingested",
            "occurred_at": "2026-11-23T14:42:23Z",
            "source": {"name": "curl", "id": "build-17"},
            "artifact": {
                "package_type": "npm", "registry": "npm.acme.example", "namespace": "@acme",
                "name": "widget", "version": "1.2.0"
            }
        })
    );
}
