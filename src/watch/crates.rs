//! Cargo's sparse index (The Cargo Book, "Registry Index").
//!
//! In: a crate's name. Out: a version a line of its file, in the order in which they were
//! published, with checksum and whether it is yanked.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::credentials::UpstreamUrlError;
use super::site::{Question, Site, malformed, no_name, site_settings, validator};
use super::{Ask, Listed, Listing, Naming, Standing, Upstream, UpstreamError, Version};
use crate::clock::Timestamp;
use crate::deliverer::Deliverer;
use crate::document::{Field, Object, Problems, cut};
use crate::event::{Artifact, Scope, is_digest};

/// The largest file of a crate that is read, in bytes, unless it is said otherwise.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// The longest name of a crate, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// An index of crates, by Cargo's sparse protocol: crates.io or one's own.
#[derive(Debug, Clone)]
pub struct CrateIndex {
    site: Site,
}

impl CrateIndex {
    /// The index at an address, such as `https://index.crates.io/`.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(url: &str, deliverer: Arc<dyn Deliverer>) -> Result<Self, UpstreamUrlError> {
        Ok(Self { site: Site::new(url, deliverer, MAX_BYTES)? })
    }

    /// The index of crates.io.
    ///
    /// # Panics
    /// Never: the address is one.
    pub fn crates_io(deliverer: Arc<dyn Deliverer>) -> Self {
        let index = Self::new("https://index.crates.io/", deliverer).expect("it is an address");
        index.with_name("crates.io")
    }

    site_settings!();
}

#[async_trait]
impl Upstream for CrateIndex {
    async fn list(&self, ask: Ask<'_>) -> Result<Listed, UpstreamError> {
        self.site.admit(&ask)?;
        let path = path(ask.package).map_err(|reason| UpstreamError::Refused { reason })?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let question = Question::get(self.site.url(&path), ask.scope);
        let answer = self.site.ask(Question { validator: ask.validator, ..question }).await?;
        let Some(response) = answer else { return Ok(Listed::Unchanged) };
        let artifact = Artifact::new("cargo", ask.package).with_registry(self.site.registry());
        let mut listing = Listing::new(artifact, Naming::Version);
        listing.versions = read(&response.body, &ask)?;
        listing.validator = validator(&response.headers);
        Ok(Listed::Versions(listing))
    }

    fn check(&self, scope: &Scope, package: &str) -> Result<(), String> {
        path(package)?;
        self.site.check(scope)
    }
}

/// Where the file of a crate is, by the length of its name.
fn path(name: &str) -> Result<Vec<String>, String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_name) {
        return Err(no_name(name, "a crate of letters, digits, - and _"));
    }
    let name = name.to_ascii_lowercase();
    let folders = match name.len() {
        length @ 1..=2 => vec![length.to_string()],
        3 => vec!["3".to_owned(), name[..1].to_owned()],
        _ => vec![name[..2].to_owned(), name[2..4].to_owned()],
    };
    Ok(folders.into_iter().chain([name]).collect())
}

/// The versions that are asked for, one a line.
fn read(body: &[u8], ask: &Ask<'_>) -> Result<Vec<Version>, UpstreamError> {
    let mut versions = Vec::new();
    let mut problems = Problems::default();
    let lines = body.split(|byte| *byte == b'\n').enumerate();
    for (n, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let path = format!("[{n}]");
        match serde_json::from_slice::<Value>(line) {
            Ok(value) => {
                let version = read_line(value, &path, ask.package, &mut problems);
                versions.extend(version.filter(|version| ask.admits(&version.name)));
            }
            Err(error) => problems.add(path, format!("expected JSON: {error}")),
        }
        if problems.len() == Problems::MAX {
            break;
        }
    }
    if problems.is_empty() { Ok(versions) } else { Err(malformed(problems)) }
}

fn read_line(value: Value, path: &str, package: &str, problems: &mut Problems) -> Option<Version> {
    let mut object = Object::read(value, path, problems)?;
    let name: Option<String> = object.required("name", problems);
    let version: Option<String> = object.required("vers", problems);
    let checksum: Option<String> = object.required("cksum", problems);
    let yanked: Option<bool> = object.optional("yanked", problems);
    let published_at: Option<Timestamp> = object.optional("pubtime", problems);
    let (name, checksum) = (name?, checksum?);
    if !name.eq_ignore_ascii_case(package) {
        let message = format!("expected {package:?}, found {:?}", cut(&name));
        problems.add(object.path("name"), message);
    }
    let digest = format!("sha256:{checksum}");
    if checksum.len() != 64 || !is_digest(&digest) {
        let message = format!("expected a SHA-256 as hex digits, found {:?}", cut(&checksum));
        problems.add(object.path("cksum"), message);
    }
    let standing = if yanked == Some(true) { Standing::Yanked } else { Standing::Offered };
    let version = Version::new(version?).with_digest(digest).with_standing(standing);
    Some(Version { published_at, ..version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_crate_is_found_by_the_length_of_its_name() {
        for (name, expected) in [
            ("a", "1/a"),
            ("io", "2/io"),
            ("Url", "3/u/url"),
            ("rand", "ra/nd/rand"),
            ("Inflector", "in/fl/inflector"),
        ] {
            assert_eq!(path(name).unwrap().join("/"), expected);
        }
        for name in ["", "../x", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(path(name).is_err(), "{name}");
        }
    }
}
