//! Who seems to have sent a request, by what no other sends.
//!
//! Header fields and bodies are anybody's to write: nothing is verified, read or stored by what is
//! found here.

use serde_json::Value;

use super::Provider;
use crate::request::Headers;
use crate::signature::gitea;

/// Whether a request looks like a provider's.
type Looks = fn(&Headers, &Value) -> bool;

/// Gitea imitates GitHub, so it comes first; what is a CloudEvent and more comes before
/// CloudEvents.
const LOOKS: &[(Provider, Looks)] = &[
    (Provider::Gitea, |headers, _| has(headers, "x-gitea-event")),
    (Provider::GitHub, |headers, _| has(headers, "x-github-event")),
    (Provider::GitLab, |headers, _| has(headers, "x-gitlab-event")),
    (Provider::Harness, |headers, body| {
        let is_named = |(name, _): (&str, _)| ends_with(name, "-artifact-registry-trigger");
        headers.iter().any(is_named) || members(body, &["trigger", "artifact_info"])
    }),
    (Provider::Nexus, |headers, _| has(headers, "x-nexus-webhook-id")),
    (Provider::Npm, |headers, body| {
        has(headers, "x-npm-signature") || begins(body, "event", "package:")
    }),
    (Provider::Angos, |headers, _| has(headers, "x-registry-event")),
    (Provider::ArtifactHub, |headers, body| {
        has(headers, "x-artifacthub-secret") || begins(body, "type", "io.artifacthub.")
    }),
    (Provider::JFrog, |headers, body| {
        has(headers, "x-jfrog-event-auth") || members(body, &["domain", "event_type", "data"])
    }),
    (Provider::Kellnr, |_, body| begins(body, "type", "crate_")),
    (Provider::Verdaccio, |_, body| {
        members(body, &["publishedPackage"]) || members(body, &["publishType", "name"])
    }),
    (Provider::Quay, |_, body| members(body, &["docker_url", "namespace"])),
    (Provider::DockerHub, |_, body| {
        members(body, &["push_data"]) && body.pointer("/repository/repo_name").is_some()
    }),
    (Provider::Acr, |headers, body| {
        let first = body.get(0).unwrap_or(body);
        let is_of_grid = |name| begins(first, name, "Microsoft.");
        is_typed(headers, "Microsoft.ContainerRegistry.")
            || ["type", "eventType"].into_iter().any(is_of_grid)
            || members(body, &["action", "target"])
            || begins(body, "action", "ping")
    }),
    (Provider::ArtifactRegistry, |_, body| members(body, &["message", "subscription"])),
    (Provider::Ecr, |_, body| begins(body, "source", "aws.ecr")),
    (Provider::Harbor, |headers, body| {
        is_typed(headers, "harbor.")
            || begins(body, "type", "harbor.")
            || members(body, &["type", "occur_at"])
    }),
    (Provider::Zot, |headers, body| {
        let is_typed = is_typed(headers, "zotregistry.");
        // Its types may be configured.
        is_typed || (has(headers, "ce-specversion") && members(body, &["name", "reference"]))
    }),
    (Provider::CdEvents, |headers, body| {
        is_typed(headers, "dev.cdevents.") || begins(body, "type", "dev.cdevents.")
    }),
    (Provider::CloudEvents, |headers, body| {
        let first = body.get(0).unwrap_or(body);
        has(headers, "ce-specversion") || members(first, &["specversion", "source"])
    }),
];

/// Who seems to have sent it.
pub(super) fn recognise(headers: &Headers, body: &[u8]) -> Option<Provider> {
    let posted = gitea::posted(headers, body).unwrap_or_default();
    let body = serde_json::from_slice(&posted).unwrap_or_default();
    LOOKS.iter().find(|(_, looks)| looks(headers, &body)).map(|(provider, _)| *provider)
}

fn has(headers: &Headers, name: &str) -> bool {
    headers.all(name).next().is_some()
}

/// Whether it is a CloudEvent in binary mode whose type begins so.
fn is_typed(headers: &Headers, start: &str) -> bool {
    headers.only("ce-type").is_some_and(|of_type| of_type.starts_with(start.as_bytes()))
}

fn ends_with(name: &str, end: &str) -> bool {
    name.to_ascii_lowercase().ends_with(end)
}

fn members(body: &Value, names: &[&str]) -> bool {
    names.iter().all(|name| body.get(name).is_some())
}

fn begins(body: &Value, name: &str, start: &str) -> bool {
    body.get(name).and_then(Value::as_str).is_some_and(|text| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gitea_is_known_though_it_imitates_github() {
        let headers = [("X-GitHub-Event", "package"), ("X-Gitea-Event", "package")];
        let recognised = recognise(&headers.into_iter().collect(), b"{}");
        assert_eq!(recognised, Some(Provider::Gitea));
        let headers = [("X-GitHub-Event", "package")];
        assert_eq!(recognise(&headers.into_iter().collect(), b"{}"), Some(Provider::GitHub));
    }

    #[test]
    fn nobody_is_recognised_by_what_anybody_may_send() {
        let of_a_form = [("content-type", "application/x-www-form-urlencoded")];
        let headers = of_a_form.into_iter().collect();
        for body in [&b""[..], b"{}", b"[]", b"payload=a&payload=b", b"\xff", b"{\"type\": 1}"] {
            assert_eq!(recognise(&headers, body), None);
            assert_eq!(recognise(&Headers::new(), body), None);
        }
    }

    #[test]
    fn every_provider_may_be_recognised() {
        for provider in Provider::all() {
            assert!(LOOKS.iter().any(|(known, _)| *known == provider), "{provider}");
        }
    }
}
