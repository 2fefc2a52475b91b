//! Amazon ECR: one EventBridge event a request, as an API destination posts it.
//!
//! | `detail-type` | `action-type` | kind |
//! |---|---|---|
//! | `ECR Image Action` | `PUSH` | `artifact.ingested`, or `artifact.updated` if the tag had another digest |
//! | `ECR Image Action` | `DELETE` | `artifact.deleted` |
//! | `ECR Referrer Action` | `PUSH`, `DELETE` | the same, with the role `referrer` |
//! | `ECR Replication Action` | `REPLICATE` | as a push, `from` with the registry that it came from |
//! | `ECR Pull Through Cache Action` | | as a push, `from` with the registry that it came from |
//! | `ECR Image Scan` | | `scan.completed`, or `scan.failed` |
//! | others | | `ecr.` and these words |
//!
//! A deletion names both digest and tag, whichever the image was deleted by.
//!
//! What did not succeed is no ingestion: its kind is `ecr.`, the action and `.failed`. A
//! replication and the push that ECR tells of it beside are one act: whichever comes second changes
//! nothing.

use super::super::fields::{digest, keep, own_kind, reference, required_text, tags, text};
use super::super::media;
use super::super::oci::{self, Reference};
use super::super::told::{Telling, Told, last_segment};
use super::super::{Notice, ParseError};
use crate::document::{self, Object, Problems, cut};
use crate::event::{Artifact, EventKind, OciFacts, OciRole};
use crate::request::Headers;

const SOURCE: &str = "aws.ecr";

pub(super) fn read(_: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    let value = document::parse_foreign(telling.body, telling.body.len())?;
    Ok(Problems::gather(|problems| {
        let mut object = Object::root(value, problems)?;
        let id = required_text(&mut object, "id", problems);
        let detail_type = required_text(&mut object, "detail-type", problems);
        let source = required_text(&mut object, "source", problems);
        if let Some(found) = source.filter(|source| source != SOURCE) {
            problems.add("source", format!("expected {SOURCE}, found {:?}", cut(&found)));
        }
        let account = required_text(&mut object, "account", problems);
        let occurred_at = object.required("time", problems);
        let region = required_text(&mut object, "region", problems);
        let detail: Option<Object> = object.required("detail", problems);
        let mut rest = object.rest();
        let registry = host(&account?, &region?);
        let mut detail = Detail::read(detail?, &registry, problems);
        keep(&mut rest, "detail", std::mem::take(&mut detail.rest));
        let mut told = told(&detail_type?, detail, problems)?;
        told.id = id;
        told.occurred_at = occurred_at;
        told.rest = rest;
        Some(vec![told.notice(0, telling, "", problems)?])
    })?)
}

/// The registry of an account in a region.
fn host(account: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("{account}.dkr.ecr.{region}.{domain}")
}

/// What `detail` tells.
struct Detail {
    /// The action, in lower case.
    action: Option<String>,
    /// How it ended, in whichever of the members that say so.
    result: Option<String>,
    has_repository: bool,
    artifact: Artifact,
    from: Option<Artifact>,
    rest: serde_json::Map<String, serde_json::Value>,
}

impl Detail {
    fn read(mut object: Object, registry: &str, problems: &mut Problems) -> Self {
        let action = text(&mut object, "action-type", problems);
        let results = ["result", "sync-status", "scan-status"];
        let result = results.map(|member| text(&mut object, member, problems));
        let repository = text(&mut object, "repository-name", problems);
        let mut artifact = Artifact::default().with_registry(registry).with_package_type("oci");
        artifact.digest = digest(&mut object, "image-digest", problems);
        let Reference { tag, digest } = reference(&mut object, "image-tag", problems);
        artifact.digest = artifact.digest.or(digest);
        artifact.tags.extend(tag);
        artifact.tags.extend(tags(&mut object, "image-tags", problems));
        artifact.name = repository.as_deref().map(|name| last_segment(name).to_owned());
        let media_type = text(&mut object, "manifest-media-type", problems);
        let artifact_type = text(&mut object, "artifact-media-type", problems);
        let artifact_type = artifact_type.filter(|of| media::tells_type(of));
        artifact.oci = Some(OciFacts { media_type, artifact_type, ..OciFacts::default() });
        let from = origin(&mut object, repository.as_deref(), problems);
        let has_repository = repository.is_some();
        artifact.repository = repository;
        let mut rest = object.rest();
        for (member, value) in results.iter().zip(&result) {
            if let Some(value) = value {
                rest.insert((*member).to_owned(), value.as_str().into());
            }
        }
        if let Some(action) = &action {
            rest.insert("action-type".to_owned(), action.as_str().into());
        }
        let result = result.into_iter().flatten().next();
        let action = action.map(|action| action.to_ascii_lowercase());
        Self { action, result, has_repository, artifact, from, rest }
    }

    fn has_failed(&self) -> bool {
        self.result.as_deref().is_some_and(|result| result != "SUCCESS" && result != "COMPLETE")
    }

    /// Whether it names a repository; a problem if not.
    fn is_named(&self, problems: &mut Problems) -> bool {
        if !self.has_repository {
            problems.add("detail.repository-name", "expected a string, found nothing");
        }
        self.has_repository
    }
}

/// Where a copy came from: another account or region, or the registry upstream.
fn origin(object: &mut Object, name: Option<&str>, problems: &mut Problems) -> Option<Artifact> {
    let account = text(object, "source-account", problems);
    let region = text(object, "source-region", problems);
    let upstream = text(object, "upstream-registry-url", problems);
    let prefix = text(object, "ecr-repository-prefix", problems);
    let (registry, repository) = match (account.zip(region), upstream) {
        (Some((account, region)), _) => (host(&account, &region), name?),
        (None, Some(upstream)) => {
            let prefix = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
            (upstream, name?.strip_prefix(&prefix).unwrap_or(name?))
        }
        (None, None) => return None,
    };
    let artifact = Artifact::new("oci", last_segment(repository)).with_registry(registry);
    Some(artifact.with_repository(repository))
}

fn told(detail_type: &str, mut detail: Detail, problems: &mut Problems) -> Option<Told> {
    let words = detail_type.strip_prefix("ECR ").unwrap_or(detail_type);
    let action = detail.action.clone();
    if words == "Referrer Action" {
        detail.artifact.oci.get_or_insert_default().role = Some(OciRole::Referrer);
    }
    let is_failure = detail.has_failed();
    let act = match (words, action.as_deref()) {
        ("Image Scan", _) => "scan",
        ("Pull Through Cache Action", _) => "pull_through_cache",
        ("Image Action" | "Referrer Action" | "Replication Action", Some(action)) => action,
        _ => return other(words, detail, problems),
    };
    if !detail.is_named(problems) {
        return None;
    }
    let Detail { artifact, from, result, .. } = detail;
    Some(match act {
        "scan" => oci::other(scan_kind(result.as_deref(), problems)?, artifact),
        "push" | "replicate" | "pull_through_cache" | "delete" if is_failure => {
            oci::other(own_kind("ecr", &format!("{act}.failed"), "", problems)?, artifact)
        }
        "push" | "replicate" | "pull_through_cache" => Told { from, ..oci::pushed(artifact) },
        "delete" => oci::deleted(artifact),
        "pull" => oci::pulled(artifact),
        action => oci::other(own_kind("ecr", action, "detail.action-type", problems)?, artifact),
    })
}

/// What is of no kind of its own, by its words.
fn other(words: &str, detail: Detail, problems: &mut Problems) -> Option<Told> {
    let mut kind = own_kind("ecr", words, "detail-type", problems)?;
    if let Some(action) = &detail.action {
        kind = own_kind("ecr", &format!("{words}.{action}"), "detail.action-type", problems)?;
    }
    Some(oci::other(kind, detail.artifact))
}

fn scan_kind(status: Option<&str>, problems: &mut Problems) -> Option<EventKind> {
    match status {
        Some("COMPLETE") => Some(EventKind::SCAN_COMPLETED),
        Some("FAILED") => Some(EventKind::SCAN_FAILED),
        Some(other) => own_kind("ecr", &format!("scan.{other}"), "detail.scan-status", problems),
        None => {
            problems.add("detail.scan-status", "expected a string, found nothing");
            None
        }
    }
}
