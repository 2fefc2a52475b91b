//! The live tests: other people's programs on both sides of the example `distribution_bridge`, and
//! other people's registries before the example `poll_upstream`; and the walk through the example
//! `registry`.
//!
//! The scripts in `tests/live/` tell what takes part and what must hold. This file builds the
//! examples and runs them.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// An example that takes part: its name, the variable that tells a script where it is, and the
/// features that it needs beside the default ones.
#[derive(Debug, Clone, Copy)]
struct Example {
    name: &'static str,
    variable: &'static str,
    features: &'static str,
}

const BRIDGE: Example =
    Example { name: "distribution_bridge", variable: "DISTRIBUTION_BRIDGE", features: "" };
const POLL: Example =
    Example { name: "poll_upstream", variable: "POLL_UPSTREAM", features: "watch" };

const REGISTRY: Example = Example { name: "registry", variable: "REGISTRY", features: "" };

#[test]
#[ignore = "needs curl and jq; .ci/run runs it"]
fn the_example_registry_does_what_the_readme_tells() {
    run("registry.sh", REGISTRY);
}

#[test]
#[ignore = "needs docker-registry, skopeo and webhook; .ci/run runs it"]
fn a_real_registry_push_reaches_a_real_receiver() {
    run("distribution.sh", BRIDGE);
}

#[test]
#[ignore = "needs npm and webhook; .ci/run runs it"]
fn a_real_npm_publish_fires_a_trigger() {
    run("verdaccio.sh", BRIDGE);
}

#[test]
#[ignore = "needs docker-registry, skopeo, npm and python3; .ci/run runs it"]
fn what_real_registries_list_is_told() {
    run("watches.sh", POLL);
}

/// Runs one of the scripts, one at a time: each may install what the machine lacks.
fn run(script: &str, example: Example) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The output is inherited instead of collected: a run that hangs shows where.
    let status = Command::new("bash")
        .arg(format!("{}/tests/live/{script}", env!("CARGO_MANIFEST_DIR")))
        .env(example.variable, built(example))
        .env("LIVE_TOOLS", env!("CARGO_TARGET_TMPDIR"))
        .status()
        .expect("bash is on every machine that runs this test");
    assert!(status.success(), "{script} ended with {status}; its output is above");
}

/// The path of an example, built from the code as it is now.
///
/// `cargo test --test live` builds no example, and one left by an earlier build may be stale.
/// Cargo does nothing here when the example is fresh.
fn built(example: Example) -> PathBuf {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let Example { name, features, .. } = example;
    let output = Command::new(env!("CARGO"))
        .args(["build", "--example", name, "--profile", profile, "--features", features])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("the cargo that built this test can be run again");
    assert!(output.status.success(), "the example {name} does not build");

    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|message| serde_json::from_str::<Value>(message).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the executable of an example that it built")
}
