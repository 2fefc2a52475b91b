//! How a program's answer is read.

use std::fmt;

use serde_json::Value;

use crate::document;
use crate::scan::{Findings, ScanReport, Severity};

/// How a program's answer is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The exit codes of a program that has scanned.
    codes: Vec<i32>,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// 0 has passed, the others have a finding.
    Code,
    /// A JSON document with a severity at each place that a path leads to.
    Json(Vec<String>),
}

impl Default for Reading {
    /// By exit codes: 0 has passed and 1 has a finding.
    fn default() -> Self {
        Self::exit_codes([1])
    }
}

impl Reading {
    /// By exit codes: 0 has passed, and these have a finding of unknown severity, of which the
    /// beginning of the output is the summary.
    pub fn exit_codes(findings: impl IntoIterator<Item = i32>) -> Self {
        Self { codes: [0].into_iter().chain(findings).collect(), form: Form::Code }
    }

    /// By a JSON document: a path leads to the severities of all findings, `*` to each item of a
    /// list. `Results.*.Vulnerabilities.*.Severity` is Trivy's, `matches.*.vulnerability.severity`
    /// Grype's. A list within another is empty if it is missing or null. If the first one is, or if
    /// anything else stands where the path has a list, it is another document, and the scan failed.
    /// An item of the last list that has no severity is a finding of an unknown one. The program
    /// ends with code 0, unless [others](Self::with_codes) are set.
    pub fn json(path: &str) -> Self {
        Self { codes: vec![0], form: Form::Json(path.split('.').map(str::to_owned).collect()) }
    }

    /// Sets the exit codes of a program that has scanned, besides 0. With any other the scan
    /// failed.
    pub fn with_codes(mut self, codes: impl IntoIterator<Item = i32>) -> Self {
        self.codes = [0].into_iter().chain(codes).collect();
        self
    }

    /// What an answer says; `None` if the exit code says that there is none. Of what is shown of it
    /// secrets are taken out before.
    pub(super) fn read(
        &self,
        code: i32,
        output: &[u8],
        limit: usize,
        shown: impl FnOnce(&[u8]) -> String,
    ) -> Option<Result<ScanReport, String>> {
        if !self.codes.contains(&code) {
            return None;
        }
        Some(match &self.form {
            Form::Code if code == 0 => Ok(ScanReport::passed()),
            Form::Code => {
                let findings = Findings::default().with(Severity::Unknown, 1);
                Ok(ScanReport::of(findings).with_summary(shown(output)))
            }
            Form::Json(path) => counted(output, path, limit),
        })
    }
}

fn counted(output: &[u8], path: &[String], limit: usize) -> Result<ScanReport, String> {
    let wrong = |problem: &dyn fmt::Display| format!("the program's output: {problem}");
    let document = document::parse_foreign(output, limit).map_err(|problems| wrong(&problems))?;
    let mut findings = Findings::default();
    count(&document, path, 0, &mut findings).map_err(|problem| wrong(&problem))?;
    Ok(ScanReport::of(findings))
}

/// Counts what the rest of a path leads to. Whatever stands in another's place may be another
/// document, of which nothing must be believed: only within a list may a list be missing, or null.
fn count(value: &Value, path: &[String], at: usize, findings: &mut Findings) -> Result<(), String> {
    let (behind, rest) = path.split_at(at);
    let is_inside = behind.iter().any(|step| step == "*");
    let leads_to_list = rest.iter().any(|step| step == "*");
    let Some(step) = rest.first() else {
        *findings = findings.with(Severity::of_word(value.as_str().unwrap_or_default()), 1);
        return Ok(());
    };
    let below = match value {
        Value::Array(items) if step == "*" => {
            return items.iter().try_for_each(|item| count(item, path, at + 1, findings));
        }
        Value::Object(members) if step != "*" => members.get(step),
        Value::Null if is_inside => None,
        _ if is_inside && !leads_to_list => None,
        other => return Err(misplaced(other, behind, step)),
    };
    match below {
        Some(below) => count(below, path, at + 1, findings),
        None if !is_inside => Err(misplaced(value, behind, step)),
        // It is a finding that does not say how severe it is.
        None if !leads_to_list => count(&Value::Null, path, path.len(), findings),
        None => Ok(()),
    }
}

fn misplaced(value: &Value, behind: &[String], step: &str) -> String {
    let place = if behind.is_empty() { String::new() } else { behind.join(".") + ": " };
    match step {
        "*" => format!("{place}expected a list, found {}", document::describe(value)),
        _ => format!("{place}expected an object with {step}"),
    }
}
