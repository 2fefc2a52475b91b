//! The order in which versions are told.

use super::Version;

/// How the versions of an ecosystem are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// As they are listed.
    Listing,
    /// As semantic versions, a `v` before them left out of account. What is none comes first, as it
    /// is listed.
    Semver,
    /// As versions of charts in an OCI registry: semantic versions, in which `_` stands for `+`.
    Chart,
    /// As PEP 440 has it. What is no version of it comes first, as it is listed.
    #[cfg(feature = "watch")]
    Pep440,
}

impl Order {
    /// Puts what comes with versions in their order, from the lowest to the highest.
    pub(super) fn sort<T>(self, items: &mut [T], version: impl Fn(&T) -> &Version) {
        match self {
            Self::Listing => {}
            Self::Semver => sort_parsed(items, |item| semver(&version(item).name)),
            Self::Chart => {
                sort_parsed(items, |item| semver(&version(item).name.replacen('_', "+", 1)));
            }
            #[cfg(feature = "watch")]
            Self::Pep440 => {
                sort_parsed(items, |item| version(item).name.parse::<pep440_rs::Version>().ok());
            }
        }
    }
}

fn semver(text: &str) -> Option<semver::Version> {
    semver::Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()
}

/// `None` is less than anything, and equal ones stay as they are.
fn sort_parsed<T, K: Ord>(items: &mut [T], key: impl FnMut(&T) -> Option<K>) {
    items.sort_by_cached_key(key);
}

/// Whether two lists of names are in the same order; for tests of what is ordered.
#[cfg(test)]
pub(super) fn ordered(order: Order, names: &[&str]) -> Vec<String> {
    let mut versions: Vec<Version> = names.iter().map(|name| Version::new(*name)).collect();
    order.sort(&mut versions, |version| version);
    versions.into_iter().map(|version| version.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semantic_versions_are_ordered_behind_what_is_none() {
        let names = ["v1.10.0", "latest", "1.9.0", "1.10.0-rc.1", "edge", "1.2"];
        let expected = ["latest", "edge", "1.2", "1.9.0", "1.10.0-rc.1", "v1.10.0"];
        assert_eq!(ordered(Order::Semver, &names), expected);
        assert_eq!(ordered(Order::Listing, &names), names);
        assert_eq!(ordered(Order::Chart, &["1.0.0_2", "1.0.0_1"]), ["1.0.0_1", "1.0.0_2"]);
    }

    #[cfg(feature = "watch")]
    #[test]
    fn versions_of_python_are_ordered_by_pep_440() {
        let names = ["1.0", "1.0.post1", "1.0rc1", "2!0.1", "1.0.dev1", "what", "1.10", "1.9"];
        let expected = ["what", "1.0.dev1", "1.0rc1", "1.0", "1.0.post1", "1.9", "1.10", "2!0.1"];
        assert_eq!(ordered(Order::Pep440, &names), expected);
    }
}
