//! The package URL of an artifact, by the rules of ECMA-427 and its registered types.

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
        purl.ok().flatten().filter(|purl| purl.len() <= MAX_TEXT_BYTES)
    }

    fn plain_purl(&self, package_type: &str) -> Result<Option<String>, packageurl::Error> {
        let Some(name) = self.name.as_deref() else { return Ok(None) };
        let mut purl = PackageUrl::new(package_type, name)?;
        if let Some(namespace) = &self.namespace {
            purl.with_namespace(namespace.as_str())?;
        }
        if let Some(version) = &self.version {
            purl.with_version(version.as_str())?;
        }
        Ok(Some(purl.to_string()))
    }

    fn oci_purl(&self) -> Result<Option<String>, packageurl::Error> {
        let path = self.repository.as_deref().or(self.name.as_deref());
        let Some(name) = path.and_then(|path| path.rsplit('/').next()) else { return Ok(None) };
        let mut purl = PackageUrl::new("oci", name.to_lowercase())?;
        if let Some(digest) = &self.digest {
            purl.with_version(digest.as_str())?;
        }
        if let (Some(registry), Some(path)) = (&self.registry, path) {
            purl.add_qualifier("repository_url", format!("{registry}/{path}"))?;
        }
        if let Some(tag) = self.tags.first() {
            purl.add_qualifier("tag", tag.as_str())?;
        }
        Ok(Some(purl.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
