//! Runs: what a target started elsewhere for a delivery, so that somebody can look at it there.
//!
//! In: an id and a URL of somebody else's, whatever they are. Out: what of it can be shown.

use serde::{Deserialize, Serialize};
use url::Url;

/// What a delivery started elsewhere: a pipeline, a job, a build.
///
/// Either of the two may be missing. What is no short text, or no URL that can be shown, is left
/// out: a reference is for people, and never worth an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRef {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl RunRef {
    /// The longest id, in bytes.
    pub const MAX_ID_BYTES: usize = 256;
    /// The longest URL, in bytes.
    pub const MAX_URL_BYTES: usize = 2_048;

    /// A run by its id; one that is empty, has control characters or is too long is left out.
    pub fn of_id(id: impl Into<String>) -> Self {
        Self::default().with_id(id)
    }

    /// A run by its URL, as [`with_url`](Self::with_url).
    pub fn of_url(url: impl Into<String>) -> Self {
        Self::default().with_url(url)
    }

    /// Sets the id; one that is empty, has control characters or is too long is left out.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into()).filter(|id| is_shown(id, Self::MAX_ID_BYTES));
        self
    }

    /// Sets where it can be looked at. What is no URL of `http` or `https`, has a user or a
    /// password in it or is too long is left out.
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into()).filter(|url| {
            let is_open = |url: Url| {
                matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none()
            };
            is_shown(url, Self::MAX_URL_BYTES) && Url::parse(url).is_ok_and(is_open)
        });
        self
    }

    /// What it is known by there.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Where it can be looked at.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Whether nothing is known of it.
    pub fn is_empty(&self) -> bool {
        self.id.is_none() && self.url.is_none()
    }

    /// The run as JSON, for backends that store it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts make JSON")
    }

    /// The run that [`to_json`](Self::to_json) wrote; `None` for anything else.
    pub fn from_json(json: &str) -> Option<Self> {
        let Self { id, url } = serde_json::from_str(json).ok()?;
        let run = Self::of_id(id.unwrap_or_default()).with_url(url.unwrap_or_default());
        Some(run).filter(|run| !run.is_empty())
    }
}

fn is_shown(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shown_is_left_out() {
        for id in ["", "a\nb", "\0", &"x".repeat(257)] {
            assert_eq!(RunRef::of_id(id), RunRef::default(), "{id:?}");
        }
        let long = format!("https://a.example/{}", "x".repeat(2_048));
        for url in
            ["", "/runs/1", "javascript:alert(1)", "https://u:p@a.example/", "https://u@a/", &long]
        {
            assert!(RunRef::of_url(url).is_empty(), "{url:?}");
        }
    }

    #[test]
    fn a_run_is_read_as_it_was_written_and_anything_else_is_none() {
        let run = RunRef::of_id("7").with_url("https://ci.example/7?a=b");
        assert_eq!(RunRef::from_json(&run.to_json()), Some(run));
        assert_eq!(RunRef::from_json(r#"{"id":"7"}"#), Some(RunRef::of_id("7")));
        assert_eq!(RunRef::from_json("7"), None);
    }
}
