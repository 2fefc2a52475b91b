//! What the media types of OCI content tell.

/// Of a manifest whose first reference is its configuration.
const CONFIGURED: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Of any other manifest.
const OTHER_MANIFESTS: [&str; 3] = [
    "application/vnd.oci.artifact.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
/// Of configurations that say nothing of the artifact's type.
const PLAIN_CONFIGS: [&str; 3] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.empty.v1+json",
];
/// Of a Helm chart's configuration.
pub(super) const HELM_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";

pub(super) fn is_manifest(media_type: &str) -> bool {
    has_config(media_type) || OTHER_MANIFESTS.contains(&media_type)
}

pub(super) fn has_config(media_type: &str) -> bool {
    CONFIGURED.contains(&media_type)
}

/// Whether a configuration's media type is the artifact's type too. It comes from whoever pushed,
/// so only what has the form of one counts (RFC 6838, section 4.2).
pub(super) fn tells_type(config: &str) -> bool {
    let is_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let is_media_type = config.split_once('/').is_some_and(|(a, b)| is_name(a) && is_name(b));
    is_media_type && !PLAIN_CONFIGS.contains(&config)
}
