//! What an event is about: an artifact's coordinates, kept apart from each other.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::document::{Field, Object, Path, Problems, cut};

use super::OciFacts;
use super::limits::{check_count, check_extra, check_text, check_texts};

/// What an event is about: an artifact, or the part of one that is known.
///
/// Every field is optional, since a tag, a repository or a deletion by digest is described by the
/// same coordinates, with fewer of them. None ever holds another's value: a digest is never a tag
/// or a version, and [`Event`](super::Event) refuses one that is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Artifact {
    /// The registry: its host, with the port if it is not the scheme's own, or its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// The repository within the registry, such as `library/hello` or `npm-internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The kind of package, in lower case, by the names that package URLs use where they have one:
    /// `oci`, `helm`, `cargo`, `npm`, `maven`, `pypi`, `generic` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_type: Option<String>,
    /// What groups packages: an npm scope with its `@`, a Maven group id, a vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The package's name, without its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The version, as its ecosystem writes it. Not a digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The tags concerned. Not digests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The digest of the content, `algorithm:value` (OCI image specification, "Digests").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The package URL (ECMA-427) of this version. With feature `purl` it is derived when the event
    /// is built, where the coordinates suffice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// Where the artifact can be fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The size of the content, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What only OCI artifacts have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciFacts>,
    /// The files of the artifact.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// Members that this version of the crate does not know; they are kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

macro_rules! with {
    ($($(#[$doc:meta])* $method:ident = $field:ident;)*) => {
        $($(#[$doc])*
        pub fn $method(mut self, value: impl Into<String>) -> Self {
            self.$field = Some(value.into());
            self
        })*
    };
}
pub(super) use with;

impl Artifact {
    pub(crate) const MEMBERS: &[&str] = &[
        "registry",
        "repository",
        "package_type",
        "namespace",
        "name",
        "version",
        "tags",
        "digest",
        "purl",
        "url",
        "size",
        "oci",
        "files",
    ];

    /// An artifact of a package type, with a name.
    pub fn new(package_type: impl Into<String>, name: impl Into<String>) -> Self {
        Self::default().with_package_type(package_type).with_name(name)
    }

    with! {
        /// Sets [`registry`](Self::registry).
        with_registry = registry;
        /// Sets [`repository`](Self::repository).
        with_repository = repository;
        /// Sets [`package_type`](Self::package_type).
        with_package_type = package_type;
        /// Sets [`namespace`](Self::namespace).
        with_namespace = namespace;
        /// Sets [`name`](Self::name).
        with_name = name;
        /// Sets [`version`](Self::version).
        with_version = version;
        /// Sets [`digest`](Self::digest).
        with_digest = digest;
        /// Sets [`purl`](Self::purl).
        with_purl = purl;
        /// Sets [`url`](Self::url).
        with_url = url;
    }

    /// Adds one of the [`tags`](Self::tags).
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Sets [`size`](Self::size), in bytes.
    pub fn with_size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Sets [`oci`](Self::oci).
    pub fn with_oci(mut self, facts: OciFacts) -> Self {
        self.oci = Some(facts);
        self
    }

    /// Adds one of the [`files`](Self::files).
    pub fn with_file(mut self, file: File) -> Self {
        self.files.push(file);
        self
    }

    pub(super) fn check(&self, path: Path<'_>, problems: &mut Problems) {
        let texts = [
            ("registry", &self.registry),
            ("repository", &self.repository),
            ("namespace", &self.namespace),
            ("name", &self.name),
            ("version", &self.version),
            ("purl", &self.purl),
            ("url", &self.url),
        ];
        check_texts(path, texts, problems);
        self.check_coordinates(path, problems);
        check_count(path.member("files"), self.files.len(), problems);
        for (n, file) in self.files.iter().enumerate() {
            file.check(path.member("files").item(n), problems);
        }
        if let Some(oci) = &self.oci {
            oci.check(path.member("oci"), problems);
        }
        check_extra(path, &self.extra, Self::MEMBERS, problems);
    }

    fn check_coordinates(&self, path: Path<'_>, problems: &mut Problems) {
        if let Some(found) = self.package_type.as_deref().filter(|text| !is_package_type(text)) {
            problems.add(
                path.member("package_type"),
                format!(
                    "expected a package type in lower case, such as oci or npm, found {:?}",
                    cut(found)
                ),
            );
        }
        check_digest(path.member("digest"), self.digest.as_deref(), problems);
        if let Some(found) = self.version.as_deref().filter(|text| is_digest(text)) {
            problems.add(
                path.member("version"),
                format!("expected a version, found the digest {:?}", cut(found)),
            );
        }
        check_count(path.member("tags"), self.tags.len(), problems);
        for (n, tag) in self.tags.iter().enumerate() {
            let tags = path.member("tags");
            let path = tags.item(n);
            check_text(path, tag, problems);
            if is_digest(tag) {
                problems.add(path, format!("expected a tag, found the digest {:?}", cut(tag)));
            }
        }
    }
}

fn is_package_type(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".+-_".contains(&b);
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(is_inner)
}

/// Whether a text has the form of a digest: `algorithm:encoded`, with at least 32 characters of the
/// latter, as every registered algorithm has (OCI image specification, "Digests").
pub fn is_digest(text: &str) -> bool {
    let Some((algorithm, encoded)) = text.split_once(':') else { return false };
    let is_component = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    algorithm.split(['+', '.', '_', '-']).all(is_component)
        && (32..=256).contains(&encoded.len())
        && encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"=_-".contains(&b))
}

pub(super) fn check_digest(path: Path<'_>, digest: Option<&str>, problems: &mut Problems) {
    if let Some(found) = digest.filter(|text| !is_digest(text)) {
        problems.add(
            path,
            format!("expected a digest such as sha256:e3b0c442…, found {:?}", cut(found)),
        );
    }
}

impl Field for Artifact {
    const EXPECTED: &'static str = "an artifact (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        Some(Self {
            registry: object.optional("registry", problems),
            repository: object.optional("repository", problems),
            package_type: object.optional("package_type", problems),
            namespace: object.optional("namespace", problems),
            name: object.optional("name", problems),
            version: object.optional("version", problems),
            tags: object.optional("tags", problems).unwrap_or_default(),
            digest: object.optional("digest", problems),
            purl: object.optional("purl", problems),
            url: object.optional("url", problems),
            size: object.optional("size", problems),
            oci: object.optional("oci", problems),
            files: object.optional("files", problems).unwrap_or_default(),
            extra: object.rest(),
        })
    }
}

/// A file of an artifact.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct File {
    /// The file's name or its path within the artifact.
    pub name: String,
    /// Its size, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its digest, `algorithm:value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its media type (RFC 6838).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Members that this version of the crate does not know; they are kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl File {
    pub(crate) const MEMBERS: &[&str] = &["name", "size", "digest", "media_type"];

    /// A file with a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Sets [`size`](Self::size), in bytes.
    pub fn with_size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    with! {
        /// Sets [`digest`](Self::digest).
        with_digest = digest;
        /// Sets [`media_type`](Self::media_type).
        with_media_type = media_type;
    }

    fn check(&self, path: Path<'_>, problems: &mut Problems) {
        check_text(path.member("name"), &self.name, problems);
        check_texts(path, [("media_type", &self.media_type)], problems);
        check_digest(path.member("digest"), self.digest.as_deref(), problems);
        check_extra(path, &self.extra, Self::MEMBERS, problems);
    }
}

impl Field for File {
    const EXPECTED: &'static str = "a file (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let name = object.required("name", problems);
        let size = object.optional("size", problems);
        let digest = object.optional("digest", problems);
        let media_type = object.optional("media_type", problems);
        Some(Self { name: name?, size, digest, media_type, extra: object.rest() })
    }
}
