//! Scanning by a command: a program of the operator's own, such as Trivy or Grype.
//!
//! In: an artifact, whose fields stand in the arguments. Out: what the program's exit code or its
//! JSON says. There is no shell: each argument is one, whatever is in it, and none that a field
//! begins can become an option. The program has no environment but what it is given, ends with all
//! that it has started when its time is up or nobody waits for it, and cannot fill the memory by
//! what it prints.

mod argument;
mod reading;
mod run;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

pub use reading::Reading;

use super::{ScanError, ScanReport, Scanner};
use crate::event::{Artifact, Scope};
use crate::secret::Secret;
use argument::Argument;

/// A scanner that is a program.
///
/// In its arguments stand, in braces: `registry`, `repository`, `type`, `namespace`, `name`,
/// `version`, `tag` (the first), `digest`, `purl`, `url`, `scope`, and `reference`, what an OCI
/// client is given: `registry/repository@digest`. What an artifact does not have makes it one that
/// cannot be scanned.
///
/// All of them are what somebody pushed, or told. So `registry`, `reference` and `url` lead to the
/// [registries](Self::with_registries) that are set and nowhere else, nor does a `purl` that says
/// where its package is; without any set, such an artifact cannot be scanned. No other field that
/// begins an argument, or follows its `=`, may begin like a path or a scheme, such as `dir:`, for a
/// program that takes several kinds of place: give it the kind, as in `registry:{reference}`.
///
/// ```
/// use artifact_triggers::scan::command::{CommandScanner, Reading};
///
/// let arguments = ["image", "--quiet", "--format", "json", "{reference}"];
/// let trivy = CommandScanner::new("/usr/bin/trivy", arguments)?
///     .with_registries(["registry.example:5000"])
///     .with_environment("HOME", "/var/lib/trivy")
///     .with_reading(Reading::json("Results.*.Vulnerabilities.*.Severity"));
/// let wrong = CommandScanner::new("trivy", ["{nobody}"]).unwrap_err();
/// let expected = "program: expected an absolute path, found \"trivy\"";
/// assert!(wrong.to_string().starts_with(expected));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CommandScanner {
    program: PathBuf,
    arguments: Vec<Argument>,
    registries: Vec<String>,
    environment: Vec<(String, Secret)>,
    timeout: Duration,
    reading: Reading,
    max_output: usize,
}

/// Why a command cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Programs are not searched for.
    #[error("program: expected an absolute path, found {found:?}")]
    Program {
        /// What was found.
        found: PathBuf,
    },
    /// An argument is wrong.
    #[error("arguments[{place}]: {problem}")]
    Argument {
        /// Which one.
        place: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl CommandScanner {
    /// A program by its path, and its arguments. It has five minutes, and passes what it scans by
    /// [exit codes](Reading::default), unless other is set.
    ///
    /// # Errors
    /// [`CommandError`], if the path is not absolute or an argument names what there is not.
    pub fn new<A: AsRef<str>>(
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, CommandError> {
        let program = program.as_ref().to_owned();
        if !program.is_absolute() {
            return Err(CommandError::Program { found: program });
        }
        let read = |(place, text): (usize, A)| {
            let argument = Argument::read(text.as_ref());
            argument.map_err(|problem| CommandError::Argument { place, problem })
        };
        Ok(Self {
            program,
            arguments: arguments.into_iter().enumerate().map(read).collect::<Result<_, _>>()?,
            registries: Vec::new(),
            environment: Vec::new(),
            timeout: Duration::from_secs(300),
            reading: Reading::default(),
            max_output: 8 * 1024 * 1024,
        })
    }

    /// Sets the registries that the program may be led to, each as `host` or `host:port`; there are
    /// none otherwise. The program is given what its environment holds, credentials among it: name
    /// none that is not to have these.
    pub fn with_registries<R: Into<String>>(
        mut self,
        registries: impl IntoIterator<Item = R>,
    ) -> Self {
        self.registries = registries.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a variable of its environment, which is empty otherwise. The value is taken for a
    /// secret.
    pub fn with_environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), Secret::new(value.into())));
        self
    }

    /// Sets how long it may take.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how its answer is read.
    pub fn with_reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// Sets the most that it may print, in bytes; 8 MiB if it is not set. Beyond it the scan fails.
    pub fn with_max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    /// The arguments for an artifact.
    fn arguments(&self, scope: &Scope, artifact: &Artifact) -> Result<Vec<String>, ScanError> {
        let fill = |argument: &Argument| argument.fill(scope, artifact, &self.registries);
        let filled: Result<Vec<String>, String> = self.arguments.iter().map(fill).collect();
        filled.map_err(ScanError::Permanent)
    }

    /// A text of the program's, with what it was given as secrets taken out of it.
    fn shown(&self, text: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(text).into_owned();
        let secrets = self.environment.iter().map(|(_, value)| value.expose());
        let mut secrets: Vec<&str> =
            secrets.filter_map(|value| std::str::from_utf8(value).ok()).collect();
        // One that has another within it goes first, and as a whole.
        secrets.sort_unstable_by_key(|value| std::cmp::Reverse(value.len()));
        for value in secrets.into_iter().filter(|value| !value.is_empty()) {
            text = text.replace(value, "[hidden]");
        }
        text.trim().to_owned()
    }
}

#[async_trait]
impl Scanner for CommandScanner {
    async fn scan(&self, scope: &Scope, artifact: &Artifact) -> Result<ScanReport, ScanError> {
        let arguments = self.arguments(scope, artifact)?;
        let ran = self.run(&arguments).await?;
        let Some(code) = ran.code else {
            return Err(ScanError::Transient("the program was killed".to_owned()));
        };
        let refuse = || {
            let said: String = self.shown(&ran.errors).chars().take(300).collect();
            ScanError::Transient(format!("the program ended with code {code}: {said}"))
        };
        let shown = |output: &[u8]| self.shown(output);
        let report = self.reading.read(code, &ran.output, self.max_output, shown);
        report.ok_or_else(refuse)?.map_err(ScanError::Transient)
    }
}

impl fmt::Debug for CommandScanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("CommandScanner")
            .field("program", &self.program)
            .field("registries", &self.registries)
            .field("environment", &names)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
