//! Libraries of others, installed into a folder of the test's own and asked over a pipe.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A script that has another's library answer, one JSON object a line.
pub(crate) struct Judge {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Judge {
    /// `judge.py` of a test, with the packages of its `requirements.txt` from `PyPI`.
    pub(crate) fn of_pypi(test: &str) -> Self {
        let (here, folder) = (here(test), folder(test, "venv"));
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let python = folder.join("bin/python");
        let install =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(&python).args(install).arg(here.join("requirements.txt")));
        Self::begin(Command::new(&python).arg(here.join("judge.py")))
    }

    /// `judge.mjs` of a test, with the packages of its `package.json` from npm.
    pub(crate) fn of_npm(test: &str) -> Self {
        let (here, folder) = (here(test), folder(test, "npm"));
        for file in ["package.json", "judge.mjs"] {
            std::fs::copy(here.join(file), folder.join(file)).unwrap();
        }
        let options = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(Command::new("npm").args(options).current_dir(&folder));
        Self::begin(Command::new("node").arg("judge.mjs").current_dir(&folder))
    }

    fn begin(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it was installed");
        let asks = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, asks, answers }
    }

    pub(crate) fn ask(&mut self, ask: &Value) -> Value {
        writeln!(self.asks, "{ask}").expect("it reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{ask}: {line:?}"))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?} ended with {status}");
}

/// Where the scripts of a test are.
fn here(test: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(test)
}

/// A folder of the test's own.
fn folder(test: &str, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
