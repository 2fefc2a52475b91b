//! Tags of a registry: pages, digests, conditions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use artifact_triggers::event::{Artifact, EventKind, OciFacts, OciRole};
use artifact_triggers::trigger::{FirstPoll, OnChange, VersionRule};
use artifact_triggers::watch::{Change, OciRegistry, UpstreamError};
use serde_json::json;

use crate::server::{Answer, Asked, Server};
use crate::{Found, Watching, deliverer};

/// The tags of a repository with the digests of what they name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tags(Arc<Mutex<BTreeMap<String, String>>>);

pub(crate) fn digest(n: u8) -> String {
    format!("sha256:{n:064x}")
}

impl Tags {
    pub(crate) fn new(tags: &[(&str, u8)]) -> Self {
        let all = Self::default();
        for (tag, n) in tags {
            all.set(tag, *n);
        }
        all
    }

    pub(crate) fn set(&self, tag: &str, n: u8) {
        self.0.lock().unwrap().insert(tag.to_owned(), digest(n));
    }

    fn remove(&self, tag: &str) {
        self.0.lock().unwrap().remove(tag);
    }

    /// As a registry answers that pages by `n` and `last`.
    pub(crate) fn answer(&self, asked: &Asked) -> Answer {
        let tags = self.0.lock().unwrap();
        if let Some((_, tag)) = asked.target.split_once("/manifests/") {
            return match tags.get(tag) {
                None => Answer::new(404),
                Some(digest) => Answer::of("{}")
                    .with("docker-content-digest", digest)
                    .with("content-type", "application/vnd.oci.image.index.v1+json"),
            };
        }
        let n: usize = asked.parameter("n").unwrap().parse().unwrap();
        let last = asked.parameter("last").unwrap_or_default();
        let rest: Vec<&String> = tags.keys().filter(|tag| **tag > last).collect();
        let page: Vec<&String> = rest.iter().take(n).copied().collect();
        let answer = Answer::json(&json!({ "name": "acme/app", "tags": page }));
        match page.last() {
            Some(last) if rest.len() > n => {
                let target = format!("/v2/acme/app/tags/list?last={last}&n={n}");
                answer.with("link", format!("<{target}>; rel=\"next\""))
            }
            _ => answer,
        }
    }
}

async fn serving(tags: &Tags) -> Server {
    let tags = tags.clone();
    Server::begin(move |asked| tags.answer(asked)).await
}

fn registry(server: &Server) -> OciRegistry {
    OciRegistry::new(&server.url(), deliverer()).unwrap()
}

#[tokio::test]
async fn new_tags_and_moved_ones_are_told_with_their_digests() {
    let tags = Tags::new(&[("1.9", 1), ("latest", 1)]);
    let server = serving(&tags).await;
    let mut watching = Watching::new(registry(&server), "acme/app");
    assert_eq!(watching.told().await, [""; 0]);
    tags.set("1.10.0", 2);
    tags.set("1.9.1", 3);
    tags.set("latest", 2);
    let changes = watching.changes().await;
    let told: Vec<_> = changes.iter().map(|change| (change.kind(), change.version())).collect();
    let ingested = EventKind::ARTIFACT_INGESTED;
    assert_eq!(
        told,
        [
            (EventKind::ARTIFACT_UPDATED, "latest"),
            (ingested.clone(), "1.9.1"),
            (ingested, "1.10.0")
        ]
    );
    let facts = OciFacts::of_role(OciRole::Index)
        .with_media_type("application/vnd.oci.image.index.v1+json");
    let expected = Artifact::new("oci", "app")
        .with_registry(server.host())
        .with_repository("acme/app")
        .with_tag("1.9.1")
        .with_digest(digest(3))
        .with_size(2)
        .with_oci(facts);
    assert_eq!(watching.artifact(&changes[1]), expected);
    assert_eq!(changes[0].from_digest(), Some(digest(1).as_str()));
    assert_eq!(watching.told().await, [""; 0]);
}

#[tokio::test]
async fn all_pages_are_read_by_their_links() {
    let names: Vec<String> = (0..25).map(|n| format!("1.{n:02}")).collect();
    let tags = Tags::default();
    for name in &names {
        tags.set(name, 1);
    }
    let server = serving(&tags).await;
    let registry = registry(&server).with_page(10).with_max_digests(0);
    let mut watching =
        Watching::new(registry, "acme/app").with(|watch| watch.with_first(FirstPoll::Fire));
    assert_eq!(watching.told().await.len(), 25);
    assert_eq!(
        server.targets(),
        [
            "GET /v2/acme/app/tags/list?n=10",
            "GET /v2/acme/app/tags/list?last=1.09&n=10",
            "GET /v2/acme/app/tags/list?last=1.19&n=10"
        ]
    );
}

#[tokio::test]
async fn a_poll_asks_for_a_bounded_number_of_digests_and_the_next_goes_on() {
    let tags = Tags::new(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]);
    let server = serving(&tags).await;
    let mut watching = Watching::new(registry(&server).with_max_digests(2), "acme/app");
    let mut asked = Vec::new();
    for _ in 0..4 {
        watching.changes().await;
        let heads = server.targets().into_iter().filter(|target| target.starts_with("HEAD "));
        let names = heads.map(|target| target.rsplit('/').next().unwrap().to_owned());
        asked.push(names.collect::<String>());
    }
    assert_eq!(asked, ["ab", "ab", "cd", "ea"]);
    // Each was seen once; whichever moves is found within so many polls.
    tags.set("d", 2);
    let mut told = Vec::new();
    for _ in 0..3 {
        told.extend(watching.told().await);
    }
    assert_eq!(told, ["artifact.updated d"]);
}

/// A registry that answers what is asked of the manifest of `b` with a status.
async fn refusing_b(tags: &Tags, status: u16) -> Server {
    let serving = tags.clone();
    Server::begin(move |asked| {
        if asked.target.ends_with("/manifests/b") {
            Answer::new(status)
        } else {
            serving.answer(asked)
        }
    })
    .await
}

#[tokio::test]
async fn a_tag_that_is_not_served_keeps_no_other_from_being_told() {
    for status in [400, 403, 410, 500] {
        let tags = Tags::new(&[("a", 1), ("b", 1), ("c", 1)]);
        let server = refusing_b(&tags, status).await;
        let mut watching = Watching::new(registry(&server), "acme/app");
        watching.changes().await;
        tags.set("c", 2);
        tags.set("d", 2);
        let told = watching.told().await;
        assert_eq!(told, ["artifact.updated c", "artifact.ingested d"], "{status}");
    }
}

#[tokio::test]
async fn a_registry_that_wants_to_be_left_alone_is_asked_for_no_more_digests() {
    for status in [429, 503] {
        let tags = Tags::new(&[("a", 1), ("b", 1), ("c", 1)]);
        let server = refusing_b(&tags, status).await;
        let mut watching = Watching::new(registry(&server), "acme/app");
        watching.changes().await;
        // Of c, nothing was known yet.
        let mut asked = Vec::new();
        for _ in 0..3 {
            server.take();
            watching.changes().await;
            let heads = server.targets().into_iter().filter(|target| target.starts_with("HEAD "));
            asked.push(
                heads.map(|target| target[target.len() - 1..].to_owned()).collect::<String>(),
            );
        }
        assert_eq!(asked, ["ab", "cab", "cab"], "{status}");
        tags.set("d", 4);
        tags.set("c", 3);
        assert_eq!(watching.told().await, ["artifact.updated c", "artifact.ingested d"]);
    }
}

#[tokio::test]
async fn digests_that_take_long_are_left_to_the_next_poll() {
    let tags = Tags::new(&[("a", 1), ("b", 1), ("c", 1)]);
    let server = serving(&tags).await;
    let registry = registry(&server).with_digests_within(std::time::Duration::ZERO);
    let mut watching = Watching::new(registry, "acme/app");
    for _ in 0..5 {
        watching.changes().await;
    }
    let heads = server.targets().into_iter().filter(|target| target.starts_with("HEAD "));
    let asked: String = heads.map(|target| target[target.len() - 1..].to_owned()).collect();
    assert_eq!(asked, "aabca");
}

#[tokio::test]
async fn tags_that_are_none_and_tags_without_end_are_refused_as_they_come() {
    let pages = Arc::new(Mutex::new(0));
    let counted = pages.clone();
    let endless = Server::begin(move |_| {
        let mut page = counted.lock().unwrap();
        *page += 1;
        let tags: Vec<String> = (0..1_000).map(|n| format!("{page}.{n}")).collect();
        let body = json!({ "name": "acme/app", "tags": tags });
        Answer::json(&body).with("link", format!("</v2/acme/app/tags/list?p={page}>; rel=next"))
    })
    .await;
    let error = Watching::new(registry(&endless), "acme/app").error().await;
    assert_eq!(error.to_string(), "expected at most 10000 versions, found 11000");
    assert_eq!(*pages.lock().unwrap(), 11);

    let body = json!({ "name": "acme/app", "tags": ["a", "x".repeat(257)] });
    let more = Server::begin(move |_| {
        Answer::json(&body).with("link", "</v2/acme/app/tags/list?p=2>; rel=next")
    })
    .await;
    let error = Watching::new(registry(&more), "acme/app").error().await.to_string();
    assert!(error.contains("tags[1]: expected a tag, found \"xxx"), "{error}");
    assert_eq!(more.take().len(), 1);
}

#[tokio::test]
async fn digests_of_known_tags_are_not_asked_for_where_moves_are_not_told() {
    let tags = Tags::new(&[("a", 1), ("b", 1)]);
    let server = serving(&tags).await;
    let mut watching = Watching::new(registry(&server), "acme/app")
        .with(|watch| watch.with_moved(OnChange::Ignore));
    watching.changes().await;
    server.take();
    tags.set("c", 3);
    assert_eq!(watching.told().await, ["artifact.ingested c"]);
    assert_eq!(server.targets()[1..], ["HEAD /v2/acme/app/manifests/c"]);
}

#[tokio::test]
async fn a_list_that_has_not_changed_is_not_sent_and_moves_are_found_all_the_same() {
    let tags = Tags::new(&[("a", 1)]);
    let serving = tags.clone();
    let server = Server::begin(move |asked| match asked.method.as_str() {
        "GET" => serving.answer(asked).tagged("\"v1\"", asked),
        _ => serving.answer(asked),
    })
    .await;
    let mut watching = Watching::new(registry(&server), "acme/app");
    watching.changes().await;
    server.take();
    tags.set("a", 2);
    assert_eq!(watching.told().await, ["artifact.updated a"]);
    assert_eq!(server.take()[0].header("if-none-match"), Some("\"v1\""));

    let mut still = Watching::new(registry(&server), "acme/app")
        .with(|watch| watch.with_moved(OnChange::Ignore));
    still.changes().await;
    assert_eq!(still.poll().await, Ok(Found::Unchanged));
}

#[tokio::test]
async fn only_tags_that_are_watched_cost_a_question() {
    let tags = Tags::new(&[("v1.2.0", 1), ("v1.1.0", 1), ("v2.0.0", 2), ("edge", 3)]);
    let server = serving(&tags).await;
    let rule = VersionRule::all().with_semver("^1.1").unwrap();
    let mut watching = Watching::new(registry(&server), "acme/app")
        .with(|watch| watch.with_first(FirstPoll::Fire).with_versions(rule));
    assert_eq!(watching.told().await, ["artifact.ingested v1.1.0", "artifact.ingested v1.2.0"]);
    assert_eq!(server.targets().len(), 3);
}

#[tokio::test]
async fn a_tag_that_is_removed_is_told_by_policy_and_one_that_goes_meanwhile_is_no_error() {
    let tags = Tags::new(&[("a", 1), ("b", 2)]);
    let removing = tags.clone();
    let server = Server::begin(move |asked| {
        if asked.target.ends_with("/manifests/b") {
            removing.remove("b");
        }
        removing.answer(asked)
    })
    .await;
    let mut watching = Watching::new(registry(&server), "acme/app")
        .with(|watch| watch.with_removed(OnChange::Fire));
    watching.changes().await;
    assert_eq!(watching.told().await, ["tag.deleted b"]);
}

#[tokio::test]
async fn charts_are_told_as_charts() {
    let tags = Tags::new(&[("1.0.0_2", 1), ("1.0.0_10", 1)]);
    let server = serving(&tags).await;
    let mut watching = Watching::new(registry(&server).charts(), "acme/app")
        .with(|watch| watch.with_first(FirstPoll::Fire));
    let changes = watching.changes().await;
    let names: Vec<&str> = changes.iter().map(Change::version).collect();
    assert_eq!(names, ["1.0.0_2", "1.0.0_10"]);
    assert_eq!(watching.artifact(&changes[0]).package_type.as_deref(), Some("helm"));
}

#[tokio::test]
async fn a_repository_without_tags_has_none() {
    let body = json!({ "name": "acme/app", "tags": null });
    let server = Server::begin(move |_| Answer::json(&body)).await;
    let mut watching = Watching::new(registry(&server), "acme/app");
    assert_eq!(watching.told().await, [""; 0]);
}

#[tokio::test]
async fn pages_that_never_end_or_lead_elsewhere_are_refused() {
    let elsewhere = Server::begin(|_| Answer::new(200)).await;
    let counter = Arc::new(Mutex::new(0));
    let endless = Server::begin(move |_| {
        let mut page = counter.lock().unwrap();
        *page += 1;
        let body = json!({ "name": "acme/app", "tags": [] });
        Answer::json(&body).with("link", format!("</v2/acme/app/tags/list?p={page}>; rel=next"))
    })
    .await;
    let error = Watching::new(registry(&endless), "acme/app").error().await;
    assert_eq!(error.to_string(), "expected at most 1000 pages of tags, found 1001");

    let link = format!("<{}/v2/>; rel=\"next\"", elsewhere.url());
    let body = json!({ "name": "acme/app", "tags": ["a"] });
    let server = Server::begin(move |_| Answer::json(&body).with("link", &link)).await;
    let error = Watching::new(registry(&server), "acme/app").error().await;
    assert!(matches!(error, UpstreamError::Malformed { .. }), "{error}");
    assert_eq!(elsewhere.take().len(), 0);
}

#[tokio::test]
async fn a_digest_that_is_none_is_refused_and_one_that_is_not_told_is_not_known() {
    let digests = Arc::new(Mutex::new(Some("md5")));
    let told = digests.clone();
    let server = Server::begin(move |asked| match (asked.method.as_str(), *told.lock().unwrap()) {
        ("HEAD", Some(digest)) => Answer::new(200).with("docker-content-digest", digest),
        ("HEAD", None) => Answer::new(200),
        _ => Answer::json(&json!({ "name": "acme/app", "tags": ["a"] })),
    })
    .await;
    let mut watching = Watching::new(registry(&server), "acme/app")
        .with(|watch| watch.with_first(FirstPoll::Fire));
    let error = watching.error().await.to_string();
    assert!(error.ends_with("docker-content-digest: expected a digest, found \"md5\""), "{error}");
    *digests.lock().unwrap() = None;
    let changes = watching.changes().await;
    assert_eq!(watching.artifact(&changes[0]).digest, None);
}

#[tokio::test]
async fn names_that_are_no_repository_are_refused_before_anything_is_asked() {
    let server = serving(&Tags::default()).await;
    for name in ["../../token", "a//b", "A", "a b", "a?n=1", "/a", "a/", "-a", "a%2fb"] {
        let error = Watching::new(registry(&server), name).error().await;
        assert!(matches!(error, UpstreamError::Refused { .. }), "{name}: {error}");
    }
    assert_eq!(server.take().len(), 0);
}
