//! The registry of npm: abbreviated documents of packages.
//!
//! In: a package's name. Out: its versions with digests, those that are deprecated, and the tags
//! (`dist-tags`) that name each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::credentials::UpstreamUrlError;
use super::site::{Question, Site, no_name, read_object, site_settings, validator};
use super::{Ask, Listed, Listing, Naming, Standing, Upstream, UpstreamError, Version};
use crate::deliverer::Deliverer;
use crate::document::{Field, Object, Problems, cut, join, mismatch};
use crate::event::{Artifact, Scope, is_digest};

/// The largest document of a package that is read, in bytes, unless it is said otherwise.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The longest name of a package, in bytes.
const MAX_NAME_BYTES: usize = 214;
const ACCEPT: [&str; 1] = ["application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"];

/// A registry of npm packages.
#[derive(Debug, Clone)]
pub struct NpmRegistry {
    site: Site,
}

impl NpmRegistry {
    /// The registry at an address, such as `https://registry.npmjs.org/`.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(url: &str, deliverer: Arc<dyn Deliverer>) -> Result<Self, UpstreamUrlError> {
        Ok(Self { site: Site::new(url, deliverer, MAX_BYTES)? })
    }

    /// The registry of npm itself.
    ///
    /// # Panics
    /// Never: the address is one.
    pub fn npmjs(deliverer: Arc<dyn Deliverer>) -> Self {
        Self::new("https://registry.npmjs.org/", deliverer).expect("it is an address")
    }

    site_settings!();
}

#[async_trait]
impl Upstream for NpmRegistry {
    async fn list(&self, ask: Ask<'_>) -> Result<Listed, UpstreamError> {
        self.site.admit(&ask)?;
        let name = ask.package;
        let (namespace, name) = split(name).map_err(|reason| UpstreamError::Refused { reason })?;
        // The slash of a scope is encoded, so that it is one segment.
        let question = Question::get(self.site.url(&[ask.package]), ask.scope);
        let question = Question { accept: &ACCEPT, validator: ask.validator, ..question };
        let Some(response) = self.site.ask(question).await? else { return Ok(Listed::Unchanged) };
        let mut artifact = Artifact::new("npm", name).with_registry(self.site.registry());
        artifact.namespace = namespace.map(str::to_owned);
        let mut listing = Listing::new(artifact, Naming::Version);
        listing.versions =
            read_object(&response.body, |object, problems| read(object, &ask, problems))?;
        listing.validator = validator(&response.headers);
        Ok(Listed::Versions(listing))
    }

    fn check(&self, scope: &Scope, package: &str) -> Result<(), String> {
        split(package)?;
        self.site.check(scope)
    }
}

/// The scope, with its `@`, and the name.
fn split(package: &str) -> Result<(Option<&str>, &str), String> {
    let (scope, name) = match package.split_once('/') {
        Some((scope, name)) => (Some(scope), name),
        None => (None, package),
    };
    let is_part = |part: &str| {
        let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.~!'()*".contains(&b);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_inner)
    };
    let has_scope = scope.is_none_or(|scope| scope.strip_prefix('@').is_some_and(is_part));
    if !has_scope || !is_part(name) || package.len() > MAX_NAME_BYTES {
        return Err(no_name(package, "a package such as left-pad or @acme/widget"));
    }
    Ok((scope, name))
}

/// The versions that are asked for.
fn read(object: &mut Object, ask: &Ask<'_>, problems: &mut Problems) -> Option<Vec<Version>> {
    let name: Option<String> = object.required("name", problems);
    let tags: BTreeMap<String, String> = object.optional("dist-tags", problems).unwrap_or_default();
    let versions: Option<Map<String, Value>> = object.required("versions", problems);
    if let Some(name) = name.filter(|name| name != ask.package) {
        let message = format!("expected {:?}, found {:?}", ask.package, cut(&name));
        problems.add("name", message);
    }
    let mut tags_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tag, version) in tags {
        tags_of.entry(version).or_default().push(tag);
    }
    let mut listed = Vec::new();
    for (name, value) in versions? {
        let path = join("versions", &name);
        let version = read_version(&name, value, &path, problems);
        let tags = tags_of.remove(&name).unwrap_or_default();
        let version = version.map(|version| Version { tags, ..version });
        listed.extend(version.filter(|version| ask.admits(&version.name)));
    }
    Some(listed)
}

fn read_version(name: &str, value: Value, path: &str, problems: &mut Problems) -> Option<Version> {
    let mut object = Object::read(value, path, problems)?;
    let mut dist: Object = object.required("dist", problems)?;
    let integrity: Option<String> = dist.optional("integrity", problems);
    let shasum: Option<String> = dist.optional("shasum", problems);
    let mut version = Version::new(name);
    version.url = dist.optional("tarball", problems);
    version.digest = integrity.as_deref().and_then(of_integrity).or_else(|| {
        let digest = format!("sha1:{}", shasum?);
        is_digest(&digest).then_some(digest)
    });
    match object.optional::<Value>("deprecated", problems) {
        None | Some(Value::Bool(false)) => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::String(_) | Value::Bool(true)) => version.standing = Standing::Deprecated,
        Some(other) => {
            mismatch(&other, "a string or a boolean", &object.path("deprecated"), problems);
        }
    }
    Some(version)
}

/// The digest of subresource integrity, such as `sha512-…`, the strongest of several.
fn of_integrity(integrity: &str) -> Option<String> {
    let strongest = ["sha512", "sha384", "sha256", "sha1"].into_iter().find_map(|algorithm| {
        let mut hashes = integrity.split_ascii_whitespace();
        let encoded = hashes.find_map(|hash| hash.strip_prefix(algorithm)?.strip_prefix('-'))?;
        Some((algorithm, encoded.split('?').next()?))
    });
    let (algorithm, encoded) = strongest?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let mut digest = format!("{algorithm}:");
    for byte in bytes {
        let _ = write!(digest, "{byte:02x}");
    }
    Some(digest).filter(|digest| is_digest(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_packages_with_or_without_a_scope() {
        assert_eq!(split("left-pad"), Ok((None, "left-pad")));
        assert_eq!(split("@acme/widget"), Ok((Some("@acme"), "widget")));
        for name in ["", "/", "@acme", "@acme/", "acme/widget", "@a/b/c", "..", "@a/..", "a b", "ä"]
        {
            assert!(split(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_strongest_integrity_becomes_the_digest() {
        let sha1 = "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=";
        assert_eq!(
            of_integrity(sha1).as_deref(),
            Some("sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709")
        );
        let both = format!("{sha1} sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=?x");
        let expected = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of_integrity(&both).as_deref(), Some(expected));
        for none in ["", "sha512-", "md5-AAAA", "sha512-?", "sha512"] {
            assert_eq!(of_integrity(none), None, "{none}");
        }
    }
}
