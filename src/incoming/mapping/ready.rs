//! Mappings that are ready: for the step that the [manual](crate::manual::mapping) has for each
//! build system.
//!
//! ```
//! use artifact_triggers::incoming::mapping::{Mapping, ready};
//!
//! let mapping = Mapping::from_json(ready::JENKINS.as_bytes())?;
//! assert_eq!(mapping.source(), "jenkins");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// For a step of a GitHub Actions workflow.
pub const GITHUB_ACTIONS: &str = include_str!("ready/github_actions.json");
/// For a job of a GitLab pipeline.
pub const GITLAB_CI: &str = include_str!("ready/gitlab_ci.json");
/// For a stage of a Jenkins pipeline.
pub const JENKINS: &str = include_str!("ready/jenkins.json");
/// For anything that can run curl: what happened is told as `event`.
pub const CURL: &str = include_str!("ready/curl.json");
