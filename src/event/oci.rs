//! What only OCI artifacts have.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::artifact::{check_digest, with};
use super::limits::{check_count, check_extra, check_map, check_text, check_texts};
use crate::document::{Field, Object, Path, Problems};

/// The media types of manifests that list others.
const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// What only OCI artifacts have (OCI image and distribution specifications 1.1).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OciFacts {
    /// The media type of the manifest or blob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifest's `artifactType`, or its configuration's media type where that tells the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What the content is to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<OciRole>,
    /// The digest of the index that this manifest is a child of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_digest: Option<String>,
    /// The digests of the children, if this is an index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub child_digests: Vec<String>,
    /// The digest of the manifest that this one refers to as its `subject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_digest: Option<String>,
    /// The platform that an image is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The manifest's annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Members that this version of the crate does not know; they are kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl OciFacts {
    pub(crate) const MEMBERS: &[&str] = &[
        "media_type",
        "artifact_type",
        "role",
        "parent_digest",
        "child_digests",
        "subject_digest",
        "platform",
        "annotations",
    ];

    /// Facts about content that plays a role.
    pub fn of_role(role: OciRole) -> Self {
        Self { role: Some(role), ..Self::default() }
    }

    with! {
        /// Sets [`media_type`](Self::media_type).
        with_media_type = media_type;
        /// Sets [`artifact_type`](Self::artifact_type).
        with_artifact_type = artifact_type;
        /// Sets [`parent_digest`](Self::parent_digest).
        with_parent_digest = parent_digest;
        /// Sets [`subject_digest`](Self::subject_digest).
        with_subject_digest = subject_digest;
    }

    pub(super) fn check(&self, path: Path<'_>, problems: &mut Problems) {
        let texts = [("media_type", &self.media_type), ("artifact_type", &self.artifact_type)];
        check_texts(path, texts, problems);
        check_digest(path.member("parent_digest"), self.parent_digest.as_deref(), problems);
        check_digest(path.member("subject_digest"), self.subject_digest.as_deref(), problems);
        check_count(path.member("child_digests"), self.child_digests.len(), problems);
        for (n, digest) in self.child_digests.iter().enumerate() {
            check_digest(path.member("child_digests").item(n), Some(digest), problems);
        }
        check_map(path.member("annotations"), &self.annotations, problems);
        if let Some(OciRole::Other(role)) = &self.role {
            check_text(path.member("role"), role, problems);
        }
        if let Some(platform) = &self.platform {
            platform.check(path.member("platform"), problems);
        }
        check_extra(path, &self.extra, Self::MEMBERS, problems);
    }
}

/// Whether a media type is of a manifest that lists others.
pub(crate) fn is_index(media_type: &str) -> bool {
    INDEXES.contains(&media_type)
}

impl Field for OciFacts {
    const EXPECTED: &'static str = "OCI facts (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        Some(Self {
            media_type: object.optional("media_type", problems),
            artifact_type: object.optional("artifact_type", problems),
            role: object.optional("role", problems),
            parent_digest: object.optional("parent_digest", problems),
            child_digests: object.optional("child_digests", problems).unwrap_or_default(),
            subject_digest: object.optional("subject_digest", problems),
            platform: object.optional("platform", problems),
            annotations: object.optional("annotations", problems).unwrap_or_default(),
            extra: object.rest(),
        })
    }
}

/// What OCI content is to others. A filter for what people push by name is
/// `{"artifact": {"oci": {"role": ["index", "manifest"]}}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OciRole {
    /// An index (a multi-platform image) with children.
    Index,
    /// A manifest that stands for itself.
    Manifest,
    /// A manifest that was pushed by its digest alone, as the children of an index are.
    Child,
    /// A signature, attestation or other manifest that refers to a subject.
    Referrer,
    /// A layer or a configuration.
    Blob,
    /// A role that this version of the crate does not know; it is kept.
    #[serde(untagged)]
    Other(String),
}

impl Field for OciRole {
    const EXPECTED: &'static str = "a role (a string)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let text = String::read(value, path, problems)?;
        Some(match text.as_str() {
            "index" => Self::Index,
            "manifest" => Self::Manifest,
            "child" => Self::Child,
            "referrer" => Self::Referrer,
            "blob" => Self::Blob,
            _ => Self::Other(text),
        })
    }
}

/// The platform that an image is for, with the members of an OCI index's `platform`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Platform {
    /// The processor, such as `amd64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The operating system, such as `linux`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The processor's variant, such as `v8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Members that this version of the crate does not know; they are kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Platform {
    pub(crate) const MEMBERS: &[&str] = &["architecture", "os", "variant"];

    /// A platform of an operating system and a processor.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self { os: Some(os.into()), architecture: Some(architecture.into()), ..Self::default() }
    }

    with! {
        /// Sets [`variant`](Self::variant).
        with_variant = variant;
    }

    fn check(&self, path: Path<'_>, problems: &mut Problems) {
        let texts =
            [("architecture", &self.architecture), ("os", &self.os), ("variant", &self.variant)];
        check_texts(path, texts, problems);
        check_extra(path, &self.extra, Self::MEMBERS, problems);
    }
}

impl Field for Platform {
    const EXPECTED: &'static str = "a platform (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        Some(Self {
            architecture: object.optional("architecture", problems),
            os: object.optional("os", problems),
            variant: object.optional("variant", problems),
            extra: object.rest(),
        })
    }
}
