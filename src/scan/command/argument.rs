//! Arguments with fields of an artifact in them.

use std::borrow::Cow;

use url::{Url, form_urlencoded};

use crate::document::cut;
use crate::event::{Artifact, Scope, is_digest};

/// An argument: texts and fields by turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(&'static str),
}

const FIELDS: [&str; 12] = [
    "registry",
    "repository",
    "type",
    "namespace",
    "name",
    "version",
    "tag",
    "digest",
    "purl",
    "url",
    "scope",
    "reference",
];

impl Argument {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, behind) = rest.split_at(at);
            let inner = behind.strip_prefix('{').and_then(|behind| behind.split_once('}'));
            let found = inner.and_then(|(name, behind)| {
                let field = FIELDS.iter().find(|field| **field == name)?;
                Some((*field, behind))
            });
            let Some((field, behind)) = found else {
                let fields = FIELDS.join(", ");
                return Err(format!("expected one of {fields} in braces, found {:?}", cut(behind)));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Field(field));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The argument for an artifact. What leads the program somewhere leads to one of some
    /// registries.
    pub(super) fn fill(
        &self,
        scope: &Scope,
        artifact: &Artifact,
        registries: &[String],
    ) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Field(field) => {
                    let begins = filled.is_empty() || filled.ends_with('=');
                    let value = value(field, scope, artifact, registries)?;
                    check(field, &value, filled.is_empty(), begins)?;
                    filled.push_str(&value);
                }
            }
        }
        Ok(filled)
    }
}

/// Checks a value that somebody pushed: it must not be taken for an option, nor for another kind of
/// place than the operator means.
fn check(field: &str, value: &str, is_first: bool, begins: bool) -> Result<(), String> {
    let refuse = |problem: &str| Err(format!("the artifact's {field} {problem}"));
    if value.chars().any(char::is_control) {
        return refuse("has control characters");
    }
    if is_first && value.starts_with('-') {
        return refuse("begins with a hyphen");
    }
    let is_checked = matches!(field, "registry" | "reference" | "digest" | "purl" | "url");
    if begins && !is_checked && is_place(value) {
        return refuse("begins like a path or the scheme of a URL; put a text before it");
    }
    Ok(())
}

/// Whether a text is like `dir:/etc`, `sbom:x`, `/etc`, `../etc` or `~/x`.
fn is_place(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-_".contains(&b))
    };
    let has_scheme = text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme));
    let is_folder = matches!(text, "." | "..");
    has_scheme || is_folder || ["/", "./", "../", "~"].iter().any(|path| text.starts_with(path))
}

fn value<'a>(
    field: &str,
    scope: &'a Scope,
    artifact: &'a Artifact,
    registries: &[String],
) -> Result<Cow<'a, str>, String> {
    let known = match field {
        "registry" => artifact.registry.as_deref(),
        "repository" => artifact.repository.as_deref(),
        "type" => artifact.package_type.as_deref(),
        "namespace" => artifact.namespace.as_deref(),
        "name" => artifact.name.as_deref(),
        "version" => artifact.version.as_deref(),
        "tag" => artifact.tags.first().map(String::as_str),
        "digest" => artifact.digest.as_deref(),
        "purl" => artifact.purl.as_deref(),
        "url" => artifact.url.as_deref(),
        "scope" => Some(scope.as_str()),
        _ => return reference(artifact, registries).map(Cow::Owned),
    };
    let known = required(field, known)?;
    match field {
        "registry" => among(field, known, registries)?,
        "digest" if !is_digest(known) => return Err("the artifact's digest is none".to_owned()),
        "purl" => check_purl(known, registries)?,
        "url" => return url(known, registries).map(Cow::Owned),
        _ => {}
    }
    Ok(Cow::Borrowed(known))
}

fn required<'a>(field: &str, value: Option<&'a str>) -> Result<&'a str, String> {
    let value = value.filter(|value| !value.is_empty());
    value.ok_or_else(|| format!("the artifact has no {field}"))
}

/// What an OCI client is given. Without a registry it would be Docker's, and without a digest
/// whatever has the tag by then.
fn reference(artifact: &Artifact, registries: &[String]) -> Result<String, String> {
    let registry = required("registry", artifact.registry.as_deref())?;
    among("registry", registry, registries)?;
    let repository = artifact.repository.as_deref().or(artifact.name.as_deref());
    let repository = required("repository", repository)?;
    let digest = required("digest", artifact.digest.as_deref())?;
    if !is_digest(digest) {
        return Err("the artifact's digest is none".to_owned());
    }
    Ok(format!("{registry}/{repository}@{digest}"))
}

/// Checks that a host, with its port if it has one, is that of a registry of the operator's.
fn among(field: &str, host: &str, registries: &[String]) -> Result<(), String> {
    let is_host = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    if is_host && registries.iter().any(|known| known.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let expected = "expected one of the registries that are set for the scanner";
    Err(format!("the artifact's {field}: {expected}, found {:?}", cut(host)))
}

/// Checks where a package URL says that the package is, if it says so.
fn check_purl(purl: &str, registries: &[String]) -> Result<(), String> {
    let qualifiers = purl.split_once('?').map_or("", |(_, qualifiers)| qualifiers);
    for (name, value) in form_urlencoded::parse(qualifiers.as_bytes()) {
        if name.to_ascii_lowercase().ends_with("url") {
            let place = value.split_once("://").map_or(&*value, |(_, place)| place);
            among("purl", place.split(['/', '?', '#']).next().unwrap_or(place), registries)?;
        }
    }
    Ok(())
}

/// A URL as it was understood here, so that the program understands none other.
fn url(text: &str, registries: &[String]) -> Result<String, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    let url = url.ok_or("the artifact's url is none of HTTP, or has a user in it")?;
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    among("url", &host, registries)?;
    Ok(url.into())
}
