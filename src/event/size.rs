//! Size: about how many bytes an event takes as JSON, without making it.
//!
//! In: an event. Out: what its texts take as they are, and no less than a known member's name and
//! an id, a time or a number may take.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Actor, Artifact, Correlation, Event, File, OciFacts, Platform, Source};

/// How many times as many bytes an event takes as JSON as it takes about, at most: each byte of a
/// text may be written as `\u001f` is.
pub(super) const MOST_TIMES: usize = 6;
/// A known member's name with what stands around it and its value.
const MEMBER: usize = 20;
/// An id, a time, a number or what is shorter.
const SCALAR: usize = 36;

impl Event {
    /// About how many bytes its JSON takes, without making it.
    pub(crate) fn about_bytes(&self) -> usize {
        let Self { spec_version, id: _, kind, scope, source, occurred_at: _, .. } = self;
        let Self { received_at: _, artifact, from, actor, correlation, attributes, .. } = self;
        let Self { data, extra, .. } = self;
        let artifacts = [artifact, from].into_iter().flatten().map(artifact_bytes);
        6 * MEMBER
            + 3 * SCALAR
            + spec_version.len()
            + kind.as_str().len()
            + scope.as_str().len()
            + source_bytes(source)
            + artifacts.sum::<usize>()
            + actor.as_ref().map_or(0, actor_bytes)
            + correlation_bytes(correlation)
            + map(attributes)
            + data.as_ref().map_or(0, |data| MEMBER + value(data))
            + members(extra)
    }
}

fn source_bytes(Source { name, instance, id, extra }: &Source) -> usize {
    2 * MEMBER + name.len() + texts([instance, id]) + members(extra)
}

fn artifact_bytes(artifact: &Artifact) -> usize {
    let Artifact { registry, repository, package_type, namespace, name, version, .. } = artifact;
    let Artifact { tags, digest, purl, url, size, oci, files, extra, .. } = artifact;
    MEMBER
        + texts([registry, repository, package_type, namespace, name, version, digest, purl, url])
        + list(tags)
        + size.map_or(0, |_| MEMBER + SCALAR)
        + oci.as_ref().map_or(0, oci_bytes)
        + files.iter().map(file_bytes).sum::<usize>()
        + members(extra)
}

fn oci_bytes(facts: &OciFacts) -> usize {
    let OciFacts { media_type, artifact_type, role, parent_digest, child_digests, .. } = facts;
    let OciFacts { subject_digest, platform, annotations, extra, .. } = facts;
    MEMBER
        + texts([media_type, artifact_type, parent_digest, subject_digest])
        + role.as_ref().map_or(0, |role| MEMBER + role.as_str().len())
        + list(child_digests)
        + platform.as_ref().map_or(0, platform_bytes)
        + map(annotations)
        + members(extra)
}

fn platform_bytes(Platform { architecture, os, variant, extra }: &Platform) -> usize {
    MEMBER + texts([architecture, os, variant]) + members(extra)
}

fn file_bytes(File { name, size, digest, media_type, extra }: &File) -> usize {
    let size = size.map_or(0, |_| MEMBER + SCALAR);
    2 * MEMBER + name.len() + size + texts([digest, media_type]) + members(extra)
}

fn actor_bytes(Actor { id, name, kind, address, extra }: &Actor) -> usize {
    let kind = kind.as_ref().map_or(0, |kind| MEMBER + kind.as_str().len());
    MEMBER + texts([id, name, address]) + kind + members(extra)
}

fn correlation_bytes(correlation: &Correlation) -> usize {
    let Correlation { trace_parent, trace_state, request_id, cause, hops, extra } = correlation;
    MEMBER
        + texts([trace_parent, trace_state, request_id])
        + cause.map_or(0, |_| MEMBER + SCALAR)
        + list(hops)
        + members(extra)
}

fn texts<const N: usize>(texts: [&Option<String>; N]) -> usize {
    texts.into_iter().flatten().map(|text| MEMBER + text.len()).sum()
}

fn list(texts: &[String]) -> usize {
    MEMBER + texts.iter().map(|text| text.len() + 3).sum::<usize>()
}

fn map(map: &BTreeMap<String, String>) -> usize {
    MEMBER + map.iter().map(|(name, text)| name.len() + text.len() + 6).sum::<usize>()
}

fn members(members: &Map<String, Value>) -> usize {
    members.iter().map(|(name, member)| name.len() + value(member) + 4).sum()
}

fn value(of: &Value) -> usize {
    match of {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| value(item) + 1).sum::<usize>(),
        Value::Object(all) => 2 + members(all),
        Value::Null | Value::Bool(_) | Value::Number(_) => SCALAR,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_event_takes_more_bytes_than_is_said() {
        let full = fs::read("tests/data/event_full.json").unwrap();
        let mut event = Event::from_json(&full).unwrap();
        let (about, found) = (event.about_bytes(), event.to_json().len());
        assert!((found..found * 2).contains(&about), "{found} is not about {about}");
        for text in ["", "\u{1f}", "\"", "\\", "é", "\u{10ffff}"] {
            let text = text.repeat(1_000);
            event.attributes.insert("text".to_owned(), text.clone());
            event.data =
                Some(serde_json::json!({ text: [f64::MIN_POSITIVE, -1e300, i64::MIN, u64::MAX] }));
            let (most, found) = (event.about_bytes() * MOST_TIMES, event.to_json().len());
            assert!(found <= most, "{found} of {most}");
        }
    }
}
