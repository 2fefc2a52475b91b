//! The live test: other people's programs on both sides of the example `distribution_bridge`.
//!
//! `tests/live/distribution.sh` tells what takes part and what must hold. This file builds the
//! bridge and runs that script.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

const BRIDGE: &str = "distribution_bridge";

#[test]
#[ignore = "needs docker-registry, skopeo and webhook; .ci/run runs it"]
fn a_real_registry_push_reaches_a_real_receiver() {
    // The output is inherited instead of collected: a run that hangs shows where.
    let status = Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/distribution.sh"))
        .env("DISTRIBUTION_BRIDGE", built_bridge())
        .env("LIVE_TOOLS", env!("CARGO_TARGET_TMPDIR"))
        .status()
        .expect("bash is on every machine that runs this test");
    assert!(status.success(), "the live test ended with {status}; its output is above");
}

/// The path of the bridge, built from the code as it is now.
///
/// `cargo test --test live` builds no example, and one left by an earlier build may be stale.
/// Cargo does nothing here when the example is fresh.
fn built_bridge() -> PathBuf {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let output = Command::new(env!("CARGO"))
        .args(["build", "--example", BRIDGE, "--profile", profile])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("the cargo that built this test can be run again");
    assert!(output.status.success(), "the example {BRIDGE} does not build");

    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|message| serde_json::from_str::<Value>(message).ok())
        .filter(|message| message["target"]["name"] == BRIDGE)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the executable of an example that it built")
}
