//! Scanners that are programs: shells here, which do as a script says.
#![cfg(all(unix, feature = "command"))]

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use artifact_triggers::event::{Artifact, Scope};
use artifact_triggers::scan::command::{CommandScanner, Reading};
use artifact_triggers::scan::{Findings, ScanError, ScanReport, Scanner as _, Severity};
use tempfile::{NamedTempFile, TempPath};

fn artifact() -> Artifact {
    Artifact::new("oci", "app")
        .with_registry("r.example")
        .with_repository("acme/app")
        .with_digest(format!("sha256:{:0>64}", 1))
        .with_tag("v1")
        .with_version("1.0 $(touch /tmp/pwned); `id`")
}

/// A shell that reads a script from a file: one that was just written cannot always be run itself.
fn scanner(script: &str, arguments: &[&str]) -> (CommandScanner, TempPath) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(script.as_bytes()).unwrap();
    let path = file.into_temp_path();
    let arguments = [path.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
    (CommandScanner::new("/bin/sh", arguments).unwrap(), path)
}

async fn scan(scanner: &CommandScanner) -> Result<ScanReport, ScanError> {
    scanner.scan(&"acme".parse().unwrap(), &artifact()).await
}

#[tokio::test]
async fn fields_stand_in_arguments_as_they_are_and_no_shell_reads_them() {
    let text = "for a in \"$@\"; do echo \"[$a]\"; done; exit 1";
    let (scanner, _path) = scanner(text, &["scan", "--ref={reference}", "{version}", "{scope}"]);
    let report = scan(&scanner.with_registries(["r.example"])).await.unwrap();
    let reference = format!("r.example/acme/app@sha256:{:0>64}", 1);
    let expected = format!("[scan]\n[--ref={reference}]\n[1.0 $(touch /tmp/pwned); `id`]\n[acme]");
    assert_eq!(report.summary, Some(expected));
    assert_eq!(report.findings, Findings::default().with(Severity::Unknown, 1));
}

#[tokio::test]
async fn what_a_field_begins_is_no_option_and_what_is_missing_cannot_be_scanned() {
    let scan_of = |argument: &str, artifact: Artifact| {
        let scanner = CommandScanner::new("/bin/true", [argument]).unwrap();
        async move { scanner.scan(&Scope::root(), &artifact).await.unwrap_err() }
    };
    let named = |name: &str| Artifact::new("generic", name);
    let refused = |reason: &str| ScanError::Permanent(reason.to_owned());
    let error = scan_of("{name}", named("--output=/etc/passwd")).await;
    assert_eq!(error, refused("the artifact's name begins with a hyphen"));
    let error = scan_of("{name}{version}", named("-")).await;
    assert_eq!(error, refused("the artifact's name begins with a hyphen"));
    assert_eq!(scan_of("{digest}", named("a")).await, refused("the artifact has no digest"));
    let error = scan_of("a{name}", named("a\nb")).await;
    assert_eq!(error, refused("the artifact's name has control characters"));
    let passed = CommandScanner::new("/bin/true", ["--name={name}"]).unwrap();
    assert!(passed.scan(&Scope::root(), &named("--x")).await.unwrap().is_passed());
}

#[tokio::test]
async fn a_program_is_led_nowhere_but_to_the_registries_that_are_set() {
    let scan_of = |argument: &str, artifact: &Artifact| {
        let scanner = CommandScanner::new("/bin/true", [argument]).unwrap();
        let scanner = scanner.with_registries(["r.example", "other.example:5000"]);
        let artifact = artifact.clone();
        async move { scanner.scan(&Scope::root(), &artifact).await.err().map(|e| e.to_string()) }
    };
    let expected = |field: &str, found: &str| {
        let expected = "expected one of the registries that are set for the scanner";
        Some(format!("the artifact's {field}: {expected}, found {found:?}"))
    };
    let good = artifact();
    assert_eq!(scan_of("{reference}", &good).await, None);
    assert_eq!(scan_of("{registry}", &good.clone().with_registry("R.Example")).await, None);
    for found in ["169.254.169.254", "r.example:80", "r.example/x", "r.example@evil", "dir:/etc"] {
        let bad = good.clone().with_registry(found);
        for field in ["{reference}", "--at={registry}"] {
            assert_eq!(scan_of(field, &bad).await, expected("registry", found), "{field}");
        }
    }
    let none = CommandScanner::new("/bin/true", ["{reference}"]).unwrap();
    let error = none.scan(&Scope::root(), &good).await.unwrap_err();
    assert_eq!(Some(error.to_string()), expected("registry", "r.example"));
    let mut bare = good.clone();
    bare.registry = None;
    let lacks = scan_of("{reference}", &bare).await;
    assert_eq!(lacks.as_deref(), Some("the artifact has no registry"));
    let mut tagged = good.clone();
    tagged.digest = None;
    let lacks = scan_of("{reference}", &tagged).await;
    assert_eq!(lacks.as_deref(), Some("the artifact has no digest"));
}

#[tokio::test]
async fn urls_lead_to_registries_that_are_set_and_names_to_no_path() {
    let scan_of = |argument: &str, set: &dyn Fn(&mut Artifact)| {
        let scanner = CommandScanner::new("/bin/true", [argument]).unwrap();
        let scanner = scanner.with_registries(["other.example:5000"]);
        let mut artifact = artifact();
        set(&mut artifact);
        async move { scanner.scan(&Scope::root(), &artifact).await.is_ok() }
    };
    for (url, is_good) in [
        ("https://other.example:5000/a", true),
        ("https://other.example/a", false),
        ("https://other.example:5000@evil.example/", false),
        ("https://evil.example\\@other.example:5000/", false),
        ("file:///etc/passwd", false),
    ] {
        let set = |artifact: &mut Artifact| artifact.url = Some(url.to_owned());
        assert_eq!(scan_of("{url}", &set).await, is_good, "{url}");
    }
    for (purl, is_good) in [
        ("pkg:npm/a@1", true),
        ("pkg:oci/a@1?repository_url=other.example:5000%2Fx", true),
        ("pkg:oci/a@1?arch=amd64&repository_url=evil.example/x", false),
        ("pkg:generic/a?download_url=https://169.254.169.254/", false),
    ] {
        let set = |artifact: &mut Artifact| artifact.purl = Some(purl.to_owned());
        assert_eq!(scan_of("{purl}", &set).await, is_good, "{purl}");
    }
    for name in ["dir:/etc", "sbom:x", "/etc", "./x", "../x", "..", "~root", "docker:alpine"] {
        let set = |artifact: &mut Artifact| artifact.name = Some(name.to_owned());
        assert!(!scan_of("{name}", &set).await, "{name}");
        assert!(!scan_of("--of={name}", &set).await, "{name}");
        assert!(scan_of("package {name}", &set).await, "{name}");
    }
}

#[test]
fn an_argument_that_names_nothing_is_refused() {
    for text in ["{nobody}", "{", "}", "a{name", "{{name}}", "{name}}"] {
        let error = CommandScanner::new("/bin/true", ["ok", text]).unwrap_err().to_string();
        assert!(error.starts_with("arguments[1]: expected one of registry, "), "{text}: {error}");
    }
}

#[tokio::test]
async fn the_environment_is_empty_but_for_what_is_given_and_that_is_hidden() {
    let (scanner, _path) =
        scanner("env | grep -v '^_\\|^PWD\\|^SHLVL' | /usr/bin/sort; exit 1", &[]);
    let scanner = scanner.with_environment("TOKEN", "hunter2");
    assert_eq!(scan(&scanner).await.unwrap().summary.as_deref(), Some("TOKEN=[hidden]"));
    assert!(!format!("{scanner:?}").contains("hunter2"));
}

#[tokio::test]
async fn json_is_counted_and_what_is_other_says_nothing() {
    let reading = Reading::json("Results.*.Vulnerabilities.*.Severity").with_codes([3]);
    let run = |json: &str, code: u8| {
        let (scanner, path) =
            scanner(&format!("echo '{json}'; echo 'no luck' >&2; exit {code}"), &[]);
        let scanner = scanner.with_reading(reading.clone());
        async move { (scan(&scanner).await, path).0 }
    };
    let json = r#"{"Results": [{"Vulnerabilities": [{"Severity": "CRITICAL"}, {"Severity": "?"}]},
                   {"Target": "a"}, {"Vulnerabilities": [{"Severity": "low"}]}]}"#;
    let findings = Findings::default()
        .with(Severity::Critical, 1)
        .with(Severity::Unknown, 1)
        .with(Severity::Low, 1);
    assert_eq!(run(json, 3).await, Ok(ScanReport::of(findings)));
    assert_eq!(run(r#"{"Results": []}"#, 0).await, Ok(ScanReport::passed()));
    let empty = r#"{"Results": [null, {"Vulnerabilities": null}, {"Vulnerabilities": []}]}"#;
    assert_eq!(run(empty, 0).await, Ok(ScanReport::passed()));
    let failed = |error: &str| Err(ScanError::Transient(error.to_owned()));
    assert_eq!(run("{}", 0).await, failed("the program's output: expected an object with Results"));
    assert_eq!(run(json, 2).await, failed("the program ended with code 2: no luck"));
    let error = run("oops", 0).await.unwrap_err().to_string();
    assert!(error.starts_with("the program's output: "), "{error}");
}

#[tokio::test]
async fn what_stands_in_place_of_a_list_is_no_passed_scan() {
    let read = |path: &str, json: &str| {
        let (scanner, file) = scanner(&format!("echo '{json}'"), &[]);
        let scanner = scanner.with_reading(Reading::json(path));
        async move {
            let read = scan(&scanner).await.map_err(|error| error.to_string());
            drop(file);
            read.map_err(|error| error.replace("the program's output: ", ""))
        }
    };
    let trivy = "Results.*.Vulnerabilities.*.Severity";
    for (json, expected) in [
        (r#"{"Results": null}"#, "Results: expected a list, found null"),
        (r#"{"Results": "error"}"#, "Results: expected a list, found \"error\""),
        (r#"{"Results": {}}"#, "Results: expected a list, found an object"),
        ("[]", "expected an object with Results"),
        (r#"{"Results": ["error"]}"#, "Results.*: expected an object with Vulnerabilities"),
        (
            r#"{"Results": [{"Vulnerabilities": {"Severity": "LOW"}}]}"#,
            "Results.*.Vulnerabilities: expected a list, found an object",
        ),
    ] {
        assert_eq!(read(trivy, json).await, Err(expected.to_owned()), "{json}");
    }
    let nested = read("report.matches.*.severity", r#"{"report": {"error": "no"}}"#).await;
    assert_eq!(nested, Err("report: expected an object with matches".to_owned()));
    let grype = r#"{"matches": [{}, {"vulnerability": null}, {"vulnerability": {"severity": 1}}]}"#;
    let unknown = ScanReport::of(Findings::default().with(Severity::Unknown, 3));
    assert_eq!(read("matches.*.vulnerability.severity", grype).await, Ok(unknown));
    let listed = read("*.severity", r#"[{"severity": "high"}, "?"]"#).await;
    let found = Findings::default().with(Severity::High, 1).with(Severity::Unknown, 1);
    assert_eq!(listed, Ok(ScanReport::of(found)));
}

#[tokio::test]
async fn a_secret_is_hidden_before_what_is_shown_is_cut() {
    let filling = "x".repeat(1_990);
    let (scanner, _path) = scanner(&format!("echo {filling}$TOKEN $LONGER; exit 1"), &[]);
    let scanner = scanner
        .with_environment("TOKEN", "hunter2-hunter2-hunter2")
        .with_environment("LONGER", "hunter2-hunter2-hunter2-end");
    let summary = scan(&scanner).await.unwrap().summary.unwrap();
    assert_eq!(summary, format!("{filling}[hidden] ["));
}

#[tokio::test]
async fn what_prints_without_end_is_cut_off_and_holds_no_memory() {
    let (scanner, _path) =
        scanner("i=0; while [ $i -lt 2000 ]; do echo xxxxxxxxxxxxxxx; i=$((i+1)); done", &[]);
    let scanner = scanner.with_max_output(100);
    let error = ScanError::Permanent("the program printed more than 100 bytes".to_owned());
    assert_eq!(scan(&scanner).await, Err(error));
}

/// Whether the process whose id stands in a file is there, once the file is.
fn is_there(file: &Path) -> bool {
    let id = std::fs::read_to_string(file).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", id.trim()));
    // One that nobody has asked for yet is dead.
    state.is_ok_and(|state| !state.contains(") Z "))
}

async fn until_gone(file: &Path) {
    while is_there(file) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn when_its_time_is_up_it_ends_with_all_that_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("child");
    let text = format!("/bin/sleep 600 & echo $! > {}; wait", child.display());
    let (scanner, _path) = scanner(&text, &[]);
    let scanner = scanner.with_timeout(Duration::from_millis(500));
    let error = scan(&scanner).await.unwrap_err();
    assert_eq!(error, ScanError::Transient("the program took longer than 0.5 s".to_owned()));
    if child.exists() {
        until_gone(&child).await;
    }
}

#[tokio::test]
async fn what_it_leaves_behind_is_ended_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("child");
    let (scanner, _path) =
        scanner(&format!("/bin/sleep 600 & echo $! > {}; exit 0", child.display()), &[]);
    assert!(scan(&scanner).await.unwrap().is_passed());
    until_gone(&child).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_or_is_killed_is_a_failure_that_may_pass() {
    let scanner = CommandScanner::new("/nobody/is/here", [""; 0]).unwrap();
    let error = scan(&scanner).await.unwrap_err();
    assert!(matches!(&error, ScanError::Transient(text) if text.contains("cannot be run")));
    let (scanner, _path) = self::scanner("kill -9 $$", &[]);
    let killed = ScanError::Transient("the program was killed".to_owned());
    assert_eq!(scan(&scanner).await, Err(killed));
}
