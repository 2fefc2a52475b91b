//! Patterns of host names.

use std::fmt;
use std::str::FromStr;

use url::Host;

/// A host name, `hooks.example`, or all names below one, `*.example`. Written as the URL standard
/// writes it: lower case, international names in ASCII, no dot at the end.
///
/// ```
/// use artifact_triggers::deliverer::address::HostPattern;
///
/// let below: HostPattern = "*.Bücher.example".parse()?;
/// assert_eq!(below.to_string(), "*.xn--bcher-kva.example");
/// assert!(below.matches("hooks.xn--bcher-kva.example"));
/// assert!(!below.matches("xn--bcher-kva.example"));
/// # Ok::<(), artifact_triggers::deliverer::address::ParseHostPatternError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    name: String,
    below: bool,
}

/// A text that is no host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a host name such as hooks.example, or *.example for those below it (a network is \
     not named by its host); found {found:?}"
)]
pub struct ParseHostPatternError {
    found: String,
}

impl HostPattern {
    /// Whether a host of a URL is one of these. An address is none.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let rest = host.strip_suffix(&*self.name);
        rest.is_some_and(|rest| {
            if self.below { rest.len() > 1 && rest.ends_with('.') } else { rest.is_empty() }
        })
    }
}

impl FromStr for HostPattern {
    type Err = ParseHostPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        let bare = name.strip_suffix('.').unwrap_or(name);
        let is_whole = bare.split('.').all(|label| !label.is_empty()) && !bare.contains('*');
        match Host::parse(bare) {
            Ok(Host::Domain(name)) if is_whole => Ok(Self { name, below }),
            _ => Err(ParseHostPatternError { found: text.chars().take(80).collect() }),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_its_name_or_what_is_below_it() {
        let exact: HostPattern = "Hooks.Example.".parse().unwrap();
        for (host, expected) in [
            ("hooks.example", true),
            ("hooks.example.", true),
            ("a.hooks.example", false),
            ("ahooks.example", false),
            ("example", false),
        ] {
            assert_eq!(exact.matches(host), expected, "{host}");
        }
        let below: HostPattern = "*.example".parse().unwrap();
        for (host, expected) in [
            ("hooks.example", true),
            ("a.hooks.example.", true),
            ("example", false),
            (".example", false),
            ("badexample", false),
            ("example.evil", false),
        ] {
            assert_eq!(below.matches(host), expected, "{host}");
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_is_written() {
        for text in ["hooks.example", "*.hooks.example"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a.*.example",
            "*a.example",
            "10.0.0.1",
            "*.10.0.0.1",
            "[::1]",
            "a b",
            "a/b",
            "a..b",
            "0x7f.1",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?}");
        }
    }
}
