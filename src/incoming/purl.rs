//! Package URLs as senders write them (ECMA-427): taken apart into an artifact's coordinates.

use url::Url;

use crate::event::{Artifact, is_digest};

/// The artifact that a package URL names; `None` if the text is none.
///
/// A version that is a digest becomes one, as `pkg:oci` has it. One of an image that is none is a
/// tag.
pub(super) fn artifact(purl: &str) -> Option<Artifact> {
    let rest = purl.strip_prefix("pkg:")?.trim_start_matches('/');
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
    let (package_type, path) = path.split_once('/')?;
    let (path, version) = with_version(path.trim_end_matches('/'));
    let (namespace, name) = match path.rsplit_once('/') {
        Some((namespace, name)) => (Some(decoded(namespace)?), decoded(name)?),
        None => (None, decoded(path)?),
    };
    if name.is_empty() || package_type.is_empty() {
        return None;
    }
    let mut artifact = Artifact::new(package_type.to_ascii_lowercase(), name);
    artifact.namespace = namespace;
    // In canonical form, which leaves colons as they are.
    artifact.purl = Some(purl.replace("%3A", ":").replace("%3a", ":"));
    let is_image = matches!(artifact.package_type.as_deref(), Some("oci" | "docker"));
    match version.map(decoded) {
        None => {}
        Some(version) => {
            let version = version?;
            if is_digest(&version) {
                artifact.digest = Some(version);
            } else if is_image {
                artifact.tags.push(version);
            } else if !version.is_empty() {
                artifact.version = Some(version);
            }
        }
    }
    for (name, value) in qualifiers.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = decoded(value)?;
        match name.to_ascii_lowercase().as_str() {
            "repository_url" => place(&value, &mut artifact),
            "tag" if is_image && !artifact.tags.contains(&value) => artifact.tags.push(value),
            _ => {}
        }
    }
    Some(artifact)
}

/// The path and the version behind it. The `@` of a scope that nobody encoded begins no version.
fn with_version(path: &str) -> (&str, Option<&str>) {
    match path.rsplit_once('@') {
        Some((before, version)) if !before.is_empty() && !before.ends_with('/') => {
            (before, Some(version))
        }
        _ => (path, None),
    }
}

/// Registry and repository, of a host and a path with or without a scheme before them.
fn place(url: &str, artifact: &mut Artifact) {
    let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
    let (host, path) = behind.split_once('/').unwrap_or((behind, ""));
    let is_host = Url::parse(&format!("http://{host}/")).is_ok_and(|url| url.username().is_empty());
    if is_host {
        artifact.registry = Some(host.to_owned());
        artifact.repository =
            Some(path.trim_matches('/').to_owned()).filter(|path| !path.is_empty());
    }
}

/// A part without its percent-encoding.
fn decoded(part: &str) -> Option<String> {
    String::from_utf8(super::percent::decoded(part.as_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_version_of_an_image_is_its_digest_however_its_colon_is_written() {
        for digest in [DIGEST.to_owned(), DIGEST.replace(':', "%3A"), DIGEST.replace(':', "%3a")] {
            let purl = format!("pkg:oci/app@{digest}?repository_url=ghcr.io/acme/app&tag=1.2");
            let expected = Artifact::new("oci", "app")
                .with_registry("ghcr.io")
                .with_repository("acme/app")
                .with_digest(DIGEST)
                .with_tag("1.2")
                .with_purl(format!("pkg:oci/app@{DIGEST}?repository_url=ghcr.io/acme/app&tag=1.2"));
            assert_eq!(artifact(&purl), Some(expected), "{purl}");
        }
    }

    #[test]
    fn coordinates_are_told_apart() {
        for (purl, expected) in [
            ("pkg:cargo/serde@1.0.219", Artifact::new("cargo", "serde").with_version("1.0.219")),
            (
                "pkg:npm/%40acme/lib@1.2.3",
                Artifact::new("npm", "lib").with_namespace("@acme").with_version("1.2.3"),
            ),
            ("pkg:npm/@acme/lib", Artifact::new("npm", "lib").with_namespace("@acme")),
            (
                "pkg:golang/mygit.com/myorg/myapp@234fd47e07d1004f0aed9c#sub/path",
                Artifact::new("golang", "myapp")
                    .with_namespace("mygit.com/myorg")
                    .with_version("234fd47e07d1004f0aed9c"),
            ),
            (
                "pkg:maven/org.x/y@1.0?repository_url=https://repo.example:8443/releases/&type=jar",
                Artifact::new("maven", "y")
                    .with_namespace("org.x")
                    .with_version("1.0")
                    .with_registry("repo.example:8443")
                    .with_repository("releases"),
            ),
            (
                "pkg:docker/library/debian@12",
                Artifact::new("docker", "debian").with_namespace("library").with_tag("12"),
            ),
            (&format!("pkg:generic/t@{DIGEST}"), Artifact::new("generic", "t").with_digest(DIGEST)),
        ] {
            let expected = expected.with_purl(purl);
            assert_eq!(artifact(purl), Some(expected), "{purl}");
        }
    }

    #[test]
    fn other_texts_are_no_package_urls() {
        for text in ["", "my-artifact", "pkg:", "pkg:oci", "pkg:oci/", "pkg:/x/", "pkg:oci/%ff"] {
            assert_eq!(artifact(text), None, "{text}");
        }
    }
}
