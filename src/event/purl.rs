//! The package URL of an artifact, by the rules of ECMA-427 and its registered types.

use std::fmt::Write as _;

use packageurl::PackageUrl;

use super::MAX_TEXT_BYTES;
use super::artifact::Artifact;

impl Artifact {
    /// The package URL that the coordinates give, in canonical form.
    ///
    /// `oci` and `docker` artifacts, and Helm charts of an OCI registry without a version, become
    /// `pkg:oci`: no namespace, the repository's last segment as name, the digest as version, the
    /// repository as `repository_url`, the tag as `tag`. `None` where type or name is missing, the
    /// type's rules refuse them, or the text would be longer than [`MAX_TEXT_BYTES`].
    ///
    /// ```
    /// use artifact_triggers::event::Artifact;
    ///
    /// let crate_ = Artifact::new("cargo", "serde").with_version("1.0.219");
    /// assert_eq!(crate_.derive_purl().as_deref(), Some("pkg:cargo/serde@1.0.219"));
    /// ```
    pub fn derive_purl(&self) -> Option<String> {
        let purl = match self.package_type.as_deref()? {
            "oci" | "docker" => self.oci_purl(),
            // A chart in an OCI registry, whose version is not told: it is known by digest and tag.
            "helm" if self.version.is_none() && self.repository.is_some() => self.oci_purl(),
            package_type => self.plain_purl(package_type),
        };
        purl.filter(|purl| purl.len() <= MAX_TEXT_BYTES)
    }

    fn plain_purl(&self, package_type: &str) -> Option<String> {
        let mut purl = PackageUrl::new(package_type, self.name.as_deref()?).ok()?;
        if let Some(namespace) = &self.namespace {
            purl.with_namespace(namespace.as_str()).ok()?;
        }
        if let Some(version) = &self.version {
            purl.with_version(version.as_str()).ok()?;
        }
        Some(purl.to_string())
    }

    /// Every push of an image has one or two, so they are written without a detour.
    fn oci_purl(&self) -> Option<String> {
        let path = self.repository.as_deref().or(self.name.as_deref())?;
        let name = path.rsplit('/').next().filter(|name| !name.is_empty())?;
        let mut purl = String::with_capacity(USUAL_BYTES);
        purl.push_str("pkg:oci/");
        push_encoded(&mut purl, &name.to_lowercase(), b"/");
        if let Some(digest) = &self.digest {
            purl.push('@');
            push_encoded(&mut purl, digest, b"");
        }
        let mut before = "?";
        if let Some(registry) = &self.registry {
            purl.push_str("?repository_url=");
            push_encoded(&mut purl, registry, IN_QUALIFIER);
            purl.push_str("%2F");
            push_encoded(&mut purl, path, IN_QUALIFIER);
            before = "&";
        }
        if let Some(tag) = self.tags.first() {
            purl.push_str(before);
            purl.push_str("tag=");
            push_encoded(&mut purl, tag, IN_QUALIFIER);
        }
        Some(purl)
    }
}

/// What the package URL of most images fits in.
const USUAL_BYTES: usize = 256;
/// What is encoded in the value of a qualifier, though not everywhere.
const IN_QUALIFIER: &[u8] = b"/,&";

/// Adds a text, percent-encoded where it has to be.
fn push_encoded(to: &mut String, text: &str, besides: &[u8]) {
    let is_encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => false,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b',' | b'/' => besides.contains(&byte),
        _ => true,
    };
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_encoded) {
        let (plain, behind) = rest.split_at(at);
        let encoded = behind.chars().next().map_or(0, char::len_utf8);
        to.push_str(plain);
        for byte in behind.bytes().take(encoded) {
            write!(to, "%{byte:02X}").expect("a string takes everything");
        }
        rest = &behind[encoded..];
    }
    to.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_written_as_the_library_writes_it() {
        for c in ('\0'..='\u{2ff}').chain(['\u{fffd}', '\u{10ffff}']) {
            for text in [format!("{c}"), format!("a{c}{c}B/{c}c"), format!("/{c}/")] {
                let mut image = Artifact::new("oci", &text).with_tag(&text).with_digest(&text);
                assert_eq!(image.derive_purl(), by_library(&image), "{text:?}");
                image.registry = Some(text);
                assert_eq!(image.derive_purl(), by_library(&image), "{image:?}");
                image = Artifact { digest: None, repository: image.name.clone(), ..image };
                assert_eq!(image.derive_purl(), by_library(&image), "{image:?}");
            }
        }
    }

    fn by_library(image: &Artifact) -> Option<String> {
        let path = image.repository.as_deref().or(image.name.as_deref())?;
        let mut purl = PackageUrl::new("oci", path.rsplit('/').next()?.to_lowercase()).ok()?;
        if let Some(digest) = &image.digest {
            purl.with_version(digest.as_str()).ok()?;
        }
        if let Some(registry) = &image.registry {
            purl.add_qualifier("repository_url", format!("{registry}/{path}")).ok()?;
        }
        if let Some(tag) = image.tags.first() {
            purl.add_qualifier("tag", tag.as_str()).ok()?;
        }
        Some(purl.to_string())
    }

    #[test]
    fn an_image_is_named_by_its_digest_and_found_by_its_repository_and_tag() {
        let digest = "sha256:244fd47e07d1004f0aed9c156aa09083c82bf8944eceb67c946ff7430510a77b";
        let image = Artifact::new("oci", "debian")
            .with_registry("docker.io")
            .with_repository("library/debian")
            .with_digest(digest)
            .with_tag("latest");
        let purl = image.derive_purl().unwrap();
        assert_eq!(
            purl,
            format!(
                "pkg:oci/debian@{digest}?repository_url=docker.io%2Flibrary%2Fdebian&tag=latest"
            )
        );
    }

    #[test]
    fn an_npm_scope_is_the_namespace() {
        let package =
            Artifact::new("npm", "animation").with_namespace("@angular").with_version("12.3.1");
        assert_eq!(package.derive_purl().unwrap(), "pkg:npm/%40angular/animation@12.3.1");
        let chart = Artifact::new("helm", "app").with_repository("charts/app").with_tag("1.2.3");
        assert_eq!(chart.derive_purl().unwrap(), "pkg:oci/app?tag=1.2.3");
    }

    #[test]
    fn without_type_or_name_there_is_none() {
        assert_eq!(Artifact::default().with_name("x").derive_purl(), None);
        let endless = Artifact::new("npm", "a".repeat(3_000)).with_version("b".repeat(2_000));
        assert_eq!(endless.derive_purl(), None);
        assert_eq!(Artifact::default().with_package_type("npm").derive_purl(), None);
        assert_eq!(Artifact::new("not a type", "x").derive_purl(), None);
    }
}
