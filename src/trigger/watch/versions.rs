//! Which versions or tags a watch is about.

use semver::{Version, VersionReq};
use serde_json::{Map, Value, json};

use super::super::filter::wildcard::Glob;
use crate::document::{Field, Object, Problems, join};

/// The most patterns of a rule.
const MAX_GLOBS: usize = 64;
/// The longest pattern or requirement, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// Which versions or tags a watch is about: those that fit one of its patterns, if it has any, and
/// its requirement, if it has one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VersionRule {
    globs: Vec<Glob>,
    semver: Option<VersionReq>,
}

/// What is wrong with a rule's part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VersionRuleError(String);

impl VersionRule {
    /// All versions.
    pub fn all() -> Self {
        Self::default()
    }

    /// Adds a pattern, as the condition `glob` of filters has it, such as `1.*`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn or_glob(mut self, pattern: &str) -> Result<Self, VersionRuleError> {
        self.globs.push(read_glob(pattern)?);
        Ok(self)
    }

    /// Sets the requirement that semantic versions must meet, such as `>=1.2, <2`. What is no
    /// semantic version fits none; a `v` before one is left out of account. Pre-releases fit a
    /// requirement that names one, as Cargo has it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn with_semver(mut self, requirement: &str) -> Result<Self, VersionRuleError> {
        self.semver = Some(read_semver(requirement)?);
        Ok(self)
    }

    /// Whether a version or tag is watched.
    pub fn admits(&self, version: &str) -> bool {
        let fits = |requirement: &VersionReq| {
            let plain = version.strip_prefix('v').unwrap_or(version);
            Version::parse(plain).is_ok_and(|version| requirement.matches(&version))
        };
        (self.globs.is_empty() || self.globs.iter().any(|glob| glob.matches(version)))
            && self.semver.as_ref().is_none_or(fits)
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        let found = self.globs.len();
        if found > MAX_GLOBS {
            let message = format!("expected at most {MAX_GLOBS} patterns, found {found}");
            problems.add(join(path, "glob"), message);
        }
    }

    /// The rule as JSON; `None` if it is about all versions.
    pub(super) fn to_value(&self) -> Option<Value> {
        let mut members = Map::new();
        if !self.globs.is_empty() {
            let globs: Vec<String> = self.globs.iter().map(Glob::to_text).collect();
            members.insert("glob".to_owned(), json!(globs));
        }
        if let Some(requirement) = &self.semver {
            members.insert("semver".to_owned(), json!(requirement.to_string()));
        }
        (!members.is_empty()).then_some(Value::Object(members))
    }

    /// The same text for the same rule.
    pub(crate) fn to_text(&self) -> String {
        let globs: Vec<String> = self.globs.iter().map(Glob::to_text).collect();
        let semver = self.semver.as_ref().map(ToString::to_string);
        json!([globs, semver]).to_string()
    }
}

fn read_glob(pattern: &str) -> Result<Glob, VersionRuleError> {
    let refuse = |reason: String| VersionRuleError(format!("the pattern {reason}"));
    if pattern.is_empty() || pattern.len() > MAX_TEXT_BYTES {
        return Err(refuse(format!("has to have 1 to {MAX_TEXT_BYTES} bytes")));
    }
    Glob::parse(pattern).map_err(refuse)
}

fn read_semver(text: &str) -> Result<VersionReq, VersionRuleError> {
    let example = "(expected e.g. \">=1.2, <2\")";
    if text.len() > MAX_TEXT_BYTES {
        let reason = format!("a version requirement has at most {MAX_TEXT_BYTES} bytes {example}");
        return Err(VersionRuleError(reason));
    }
    VersionReq::parse(text).map_err(|error| {
        VersionRuleError(format!("{text:?} is not a version requirement {example}: {error}"))
    })
}

impl Field for VersionRule {
    const EXPECTED: &'static str = "an object with glob, semver or both";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let globs = match object.optional::<Value>("glob", problems) {
            Some(Value::String(one)) => vec![one],
            Some(several) => Vec::read(several, &object.path("glob"), problems).unwrap_or_default(),
            None => Vec::new(),
        };
        let semver: Option<String> = object.optional("semver", problems);
        let (glob_path, semver_path) = (object.path("glob"), object.path("semver"));
        object.finish(problems);
        let mut refuse = |path: &str, error: VersionRuleError| problems.add(path, error.0);
        let globs = globs
            .iter()
            .filter_map(|glob| read_glob(glob).map_err(|error| refuse(&glob_path, error)).ok());
        let globs = globs.collect();
        let semver = semver
            .and_then(|text| read_semver(&text).map_err(|error| refuse(&semver_path, error)).ok());
        let rule = Self { globs, semver };
        if rule == Self::all() {
            problems.add(path, format!("expected {}", Self::EXPECTED));
        }
        Some(rule)
    }
}
