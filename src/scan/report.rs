//! What a scanner found.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// The scanner does not say.
    Unknown,
    /// It hardly matters.
    Low,
    /// It matters.
    Medium,
    /// It is urgent.
    High,
    /// It is most urgent.
    Critical,
}

impl Severity {
    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// What a scanner's word stands for, whatever its case; a word that is not known is
    /// [`Unknown`](Self::Unknown).
    pub fn of_word(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "critical" => Self::Critical,
            "high" | "important" | "error" => Self::High,
            "medium" | "moderate" | "warning" => Self::Medium,
            "low" | "minor" | "negligible" | "info" | "note" | "none" => Self::Low,
            _ => Self::Unknown,
        }
    }
}

/// How many findings there are, by how bad they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Findings {
    /// Most urgent ones.
    pub critical: u64,
    /// Urgent ones.
    pub high: u64,
    /// Those that matter.
    pub medium: u64,
    /// Those that hardly matter.
    pub low: u64,
    /// Those of which the scanner does not say.
    pub unknown: u64,
}

impl Findings {
    /// Counts more of them.
    pub fn with(mut self, severity: Severity, count: u64) -> Self {
        let counted = match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
            Severity::Unknown => &mut self.unknown,
        };
        *counted = counted.saturating_add(count);
        self
    }

    /// By how bad they are, the worst first.
    fn by_severity(&self) -> [(Severity, u64); 5] {
        [
            (Severity::Critical, self.critical),
            (Severity::High, self.high),
            (Severity::Medium, self.medium),
            (Severity::Low, self.low),
            (Severity::Unknown, self.unknown),
        ]
    }

    /// How many there are in all.
    pub fn total(&self) -> u64 {
        self.by_severity().iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// How bad the worst is; `None` without any.
    pub fn worst(&self) -> Option<Severity> {
        self.by_severity().into_iter().find(|(_, count)| *count > 0).map(|(severity, _)| severity)
    }
}

/// What a scanner says of an artifact: it passed, or there are findings.
///
/// ```
/// use artifact_triggers::scan::{Findings, ScanReport, Severity};
///
/// let findings = Findings::default().with(Severity::Critical, 1).with(Severity::Low, 2);
/// let report = ScanReport::of(findings);
/// assert_eq!(report.to_string(), "3 findings: 1 critical, 2 low");
/// assert!(ScanReport::passed().is_passed());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanReport {
    /// What was found.
    pub findings: Findings,
    /// More of it, for a person.
    pub summary: Option<String>,
}

impl ScanReport {
    /// The most characters of a summary or an error that are told.
    pub const MAX_CHARS: usize = 2_000;

    /// Nothing was found.
    pub fn passed() -> Self {
        Self::default()
    }

    /// So much was found; nothing is nothing.
    pub fn of(findings: Findings) -> Self {
        Self { findings, summary: None }
    }

    /// Says more of it, of which at most [`MAX_CHARS`](Self::MAX_CHARS) are kept.
    pub fn with_summary(mut self, summary: impl AsRef<str>) -> Self {
        self.summary = Some(summary.as_ref().chars().take(Self::MAX_CHARS).collect());
        self
    }

    /// Whether nothing was found.
    pub fn is_passed(&self) -> bool {
        self.findings.worst().is_none()
    }

    /// `passed` or `findings`.
    pub fn verdict(&self) -> &'static str {
        if self.is_passed() { "passed" } else { "findings" }
    }

    /// The `data` of `scan.completed`: `{"verdict", "findings": {"critical": 1, …}, "summary"}`.
    pub fn to_value(&self) -> Value {
        let mut value = json!({"verdict": self.verdict(), "findings": self.findings});
        if let Some(summary) = &self.summary {
            value["summary"] = summary.as_str().into();
        }
        value
    }
}

impl fmt::Display for ScanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.findings.total();
        if total == 0 {
            return f.write_str("passed");
        }
        write!(f, "{total} finding{}", if total == 1 { "" } else { "s" })?;
        let found = self.findings.by_severity().into_iter().filter(|(_, count)| *count > 0);
        for (n, (severity, count)) in found.enumerate() {
            let before = if n == 0 { ": " } else { ", " };
            write!(f, "{before}{count} {}", severity.as_str())?;
        }
        Ok(())
    }
}
