//! The simple index of Python packages, as JSON (PEP 691, PEP 700). HTML is never read.
//!
//! In: a project's name. Out: its versions with their files. A version is yanked if all its files
//! are (PEP 592).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use pep440_rs::Version as Parsed;
use serde_json::Value;

use super::credentials::UpstreamUrlError;
use super::site::{Question, Site, no_name, read_object, site_settings, validator};
use super::{Ask, Listed, Listing, Naming, Order, Standing, Upstream, UpstreamError, Version};
use crate::clock::Timestamp;
use crate::deliverer::Deliverer;
use crate::document::{Field, Object, Problems, cut, mismatch};
use crate::event::{Artifact, File, Scope, is_digest};
use crate::request::Response;

/// The largest page of a project that is read, in bytes, unless it is said otherwise.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The longest version that is looked at, in bytes.
const MAX_VERSION_BYTES: usize = 256;
const MEDIA_TYPE: &str = "application/vnd.pypi.simple.v1+json";
/// The ends of the names of files that a version has.
const ARCHIVES: [&str; 7] = [".tar.gz", ".whl", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".egg"];

/// An index of Python packages that speaks JSON.
#[derive(Debug, Clone)]
pub struct PythonIndex {
    site: Site,
}

impl PythonIndex {
    /// The index at an address, such as `https://pypi.org/simple/`.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(url: &str, deliverer: Arc<dyn Deliverer>) -> Result<Self, UpstreamUrlError> {
        Ok(Self { site: Site::new(url, deliverer, MAX_BYTES)? })
    }

    /// The Python Package Index.
    ///
    /// # Panics
    /// Never: the address is one.
    pub fn pypi(deliverer: Arc<dyn Deliverer>) -> Self {
        Self::new("https://pypi.org/simple/", deliverer).expect("it is an address")
    }

    site_settings!();
}

#[async_trait]
impl Upstream for PythonIndex {
    async fn list(&self, ask: Ask<'_>) -> Result<Listed, UpstreamError> {
        self.site.admit(&ask)?;
        let name = normal(ask.package).map_err(|reason| UpstreamError::Refused { reason })?;
        let question = Question::get(self.site.url(&[&name, ""]), ask.scope);
        let question = Question { accept: &[MEDIA_TYPE], validator: ask.validator, ..question };
        let Some(response) = self.site.ask(question).await? else { return Ok(Listed::Unchanged) };
        check_media_type(&response)?;
        let artifact = Artifact::new("pypi", &name).with_registry(self.site.registry());
        let mut listing = Listing::new(artifact, Naming::Version);
        listing.order = Order::Pep440;
        listing.versions =
            read_object(&response.body, |object, problems| read(object, &name, &ask, problems))?;
        listing.validator = validator(&response.headers);
        Ok(Listed::Versions(listing))
    }

    fn check(&self, scope: &Scope, package: &str) -> Result<(), String> {
        normal(package)?;
        self.site.check(scope)
    }
}

/// The name as the index has it: in lower case, runs of `-`, `_` and `.` as one `-` (PEP 503).
fn normal(name: &str) -> Result<String, String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let is_edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let edges = [name.as_bytes().first(), name.as_bytes().last()];
    if name.len() > 256 || !name.bytes().all(is_name) || !edges.into_iter().all(is_edge) {
        return Err(no_name(name, "a project of letters, digits, -, _ and ."));
    }
    let lower = name.to_ascii_lowercase();
    let words = lower.split(['-', '_', '.']).filter(|word| !word.is_empty());
    Ok(words.collect::<Vec<_>>().join("-"))
}

/// An index that has no JSON answers with HTML.
fn check_media_type(response: &Response) -> Result<(), UpstreamError> {
    let found = response.headers.only("content-type").unwrap_or_default();
    let found = String::from_utf8_lossy(found);
    let media_type = found.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Ok(());
    }
    let found = cut(media_type);
    Err(UpstreamError::Refused {
        reason: format!("expected an answer of {MEDIA_TYPE}, found {found:?}"),
    })
}

/// The versions that are asked for: those that are listed, or where there is no list, those that
/// files are of.
fn read(
    object: &mut Object,
    name: &str,
    ask: &Ask<'_>,
    problems: &mut Problems,
) -> Option<Vec<Version>> {
    let mut meta: Object = object.required("meta", problems)?;
    let api: String = meta.required("api-version", problems)?;
    if api.split('.').next() != Some("1") {
        problems.add("meta.api-version", format!("expected 1.x, found {:?}", cut(&api)));
    }
    let listed: Option<Vec<String>> = object.optional("versions", problems);
    let files: Vec<Value> = object.required("files", problems)?;
    let files = files
        .into_iter()
        .enumerate()
        .filter_map(|(n, value)| PackageFile::read(value, &format!("files[{n}]"), name, problems));
    let files: Vec<PackageFile> = files.collect();
    let mut versions = Versions::default();
    for version in listed.iter().flatten() {
        versions.add(version);
    }
    for file in files {
        versions.add_file(file, listed.is_none());
    }
    Some(versions.finish().filter(|version| ask.admits(&version.name)).collect())
}

/// A file, and which version it is of.
struct PackageFile {
    version: Option<(String, Parsed)>,
    file: File,
    yanked: bool,
    uploaded_at: Option<Timestamp>,
}

impl PackageFile {
    fn read(value: Value, path: &str, project: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let name: String = object.required("filename", problems)?;
        let mut hashes: Object = object.required("hashes", problems)?;
        let sha256: Option<String> = hashes.optional("sha256", problems);
        let size: Option<u64> = object.optional("size", problems);
        let uploaded_at: Option<Timestamp> = object.optional("upload-time", problems);
        let yanked = match object.optional::<Value>("yanked", problems) {
            None => false,
            Some(Value::Bool(yanked)) => yanked,
            Some(Value::String(_)) => true,
            Some(other) => {
                mismatch(&other, "a string or a boolean", &object.path("yanked"), problems);
                false
            }
        };
        let digest = sha256.map(|hex| format!("sha256:{hex}")).filter(|digest| is_digest(digest));
        let version = version_in(&name, project);
        let file = File { size, digest, ..File::new(name) };
        Some(Self { version, file, yanked, uploaded_at })
    }
}

/// The version in the name of a file: what follows the project's name.
fn version_in(file: &str, project: &str) -> Option<(String, Parsed)> {
    let archive = ARCHIVES.into_iter().find(|end| file.ends_with(end))?;
    let stem = file.strip_suffix(archive)?;
    let dashes = stem.match_indices('-').map(|(at, _)| at);
    let at = dashes.take(64).find(|at| normal(&stem[..*at]).is_ok_and(|found| found == project))?;
    let rest = &stem[at + 1..];
    let is_tagged = [".whl", ".egg"].contains(&archive);
    let text = if is_tagged { rest.split('-').next()? } else { rest };
    Some((text.to_owned(), parsed(text)?))
}

fn parsed(text: &str) -> Option<Parsed> {
    if text.len() > MAX_VERSION_BYTES { None } else { text.parse().ok() }
}

/// Versions in the order in which they were met, and where each is.
#[derive(Default)]
struct Versions {
    all: Vec<Found>,
    by_version: BTreeMap<Parsed, usize>,
}

struct Found {
    version: Version,
    yanked: usize,
}

impl Versions {
    fn add(&mut self, text: &str) {
        if let Some(parsed) = parsed(text) {
            self.by_version.entry(parsed).or_insert(self.all.len());
        }
        self.all.push(Found { version: Version::new(text), yanked: 0 });
    }

    fn add_file(&mut self, file: PackageFile, makes_versions: bool) {
        let Some((text, parsed)) = file.version else { return };
        if makes_versions && !self.by_version.contains_key(&parsed) {
            self.add(&text);
        }
        let Some(at) = self.by_version.get(&parsed) else { return };
        let Found { version, yanked } = &mut self.all[*at];
        *yanked += usize::from(file.yanked);
        let earliest = version.published_at.into_iter().chain(file.uploaded_at).min();
        version.published_at = earliest;
        version.files.push(file.file);
    }

    fn finish(self) -> impl Iterator<Item = Version> {
        self.all.into_iter().map(|Found { version, yanked }| {
            let is_yanked = yanked > 0 && yanked == version.files.len();
            let standing = if is_yanked { Standing::Yanked } else { Standing::Offered };
            version.with_standing(standing)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_normal() {
        for (name, expected) in
            [("Flask", "flask"), ("a._-B", "a-b"), ("zope.interface", "zope-interface")]
        {
            assert_eq!(normal(name).as_deref(), Ok(expected));
        }
        for name in ["", "-a", "a-", "a/b", "..", "ä"] {
            assert!(normal(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_version_of_a_file_is_what_follows_the_projects_name() {
        for (file, expected) in [
            ("zope_interface-5.4.0-cp39-cp39-win_amd64.whl", Some("5.4.0")),
            ("zope.interface-5.4.0.tar.gz", Some("5.4.0")),
            ("zope-interface-5.4.0-1.zip", Some("5.4.0-1")),
            ("zope.interface-5.4.0.exe", None),
            ("zope.interfaces-5.4.0.tar.gz", None),
            ("zope.interface-new.tar.gz", None),
            ("zope.interface.tar.gz", None),
            ("-.whl", None),
        ] {
            let found = version_in(file, "zope-interface").map(|(text, _)| text);
            assert_eq!(found.as_deref(), expected, "{file}");
        }
    }
}
