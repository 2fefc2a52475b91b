//! What the names of tags tell.
//!
//! In: a tag of an OCI repository. Out: what it is of, if it is named as cosign and the referrers
//! tag schema do.

use super::EventKind;

/// What a push by a tag is: one that is named as cosign does is of a signature, an attestation or a
/// bill of materials.
pub(crate) fn pushed_kind(tag: Option<&str>) -> EventKind {
    match tag.and_then(split_subject) {
        Some((_, ".sig")) => EventKind::ARTIFACT_SIGNED,
        Some((_, ".att")) => EventKind::ARTIFACT_ATTESTED,
        Some((_, ".sbom")) => EventKind::SBOM_ATTACHED,
        _ => EventKind::ARTIFACT_INGESTED,
    }
}

/// The digest of what a manifest refers to, if its tag names that, as tags of cosign and of the
/// referrers tag schema do.
pub(crate) fn tagged_subject(tag: &str) -> Option<String> {
    split_subject(tag).map(|(digest, _)| digest)
}

/// The subject's digest and the suffix.
fn split_subject(tag: &str) -> Option<(String, &str)> {
    let (hex, suffix) = tag.strip_prefix("sha256-")?.split_at_checked(64)?;
    let is_lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (hex.bytes().all(is_lower_hex) && ["", ".sig", ".att", ".sbom"].contains(&suffix))
        .then(|| (format!("sha256:{hex}"), suffix))
}
