//! Acts that are told several times, or of several things at once, as an engine takes them.

use artifact_triggers::clock::ManualClock;
use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Event, Scope};
use artifact_triggers::incoming::Incoming;
use artifact_triggers::incoming::provider::Provider;
use artifact_triggers::storage::{EventQuery, MemoryStorage};
use serde_json::json;

use crate::sample::{self, Sample};

fn sample(provider: Provider, name: &str) -> Sample {
    let name = format!("{provider}/{name}");
    sample::all().into_iter().find(|sample| sample.name() == name).unwrap()
}

/// The events that an engine has once it has received these, one after the other.
async fn events(samples: &[Sample]) -> Vec<Event> {
    let clock = ManualClock::at(sample::now());
    let engine = Engine::builder(MemoryStorage::new()).clock(clock).build().await.unwrap();
    for sample in samples {
        let (headers, body) = (sample.headers(), sample.bytes());
        let incoming = Incoming { headers: &headers, body: &body };
        engine.receive(&sample.receiver(), incoming).await.unwrap();
    }
    engine.events(EventQuery::of_scope(Scope::root())).await.unwrap()
}

async fn kinds(samples: &[Sample]) -> Vec<String> {
    let events = events(samples).await;
    let mut kinds: Vec<_> = events.iter().map(|event| event.kind.as_str().to_owned()).collect();
    kinds.sort_unstable();
    kinds
}

/// A sample with another id, as another event of its sender has.
fn another(mut sample: Sample, id: &str) -> Sample {
    sample.body["id"] = json!(id);
    sample
}

/// Row 7: a copy and the push that is told of it besides, whichever comes first.
#[tokio::test]
async fn defect_07_a_replication_and_the_push_told_beside_it_are_one_event() {
    let replication = sample(Provider::Ecr, "replication");
    let mut push = another(replication.clone(), "2");
    push.body["detail-type"] = json!("ECR Image Action");
    push.body["detail"]["action-type"] = json!("PUSH");
    assert_eq!(kinds(&[replication.clone(), push.clone()]).await, ["artifact.ingested"]);
    assert_eq!(kinds(&[push, replication]).await, ["artifact.ingested"]);
}

/// Row 7: what a registry tells twice by design fires once.
#[tokio::test]
async fn defect_07_a_push_that_angos_tells_twice_is_one_ingestion() {
    let push = sample(Provider::Angos, "push_by_tag");
    let tag = another(sample(Provider::Angos, "tag_create_of_a_push_by_that_tag"), "2");
    let both = ["angos.tag.create", "artifact.ingested"];
    assert_eq!(kinds(&[push.clone(), tag.clone()]).await, both);
    assert_eq!(kinds(&[tag, push]).await, both);
    let deleted = sample(Provider::Angos, "delete_by_tag");
    let tag = another(sample(Provider::Angos, "tag_delete"), "2");
    assert_eq!(kinds(&[deleted, tag]).await, ["angos.manifest.delete", "tag.deleted"]);
}

/// Row 7: a deletion that names several tags of one image is one.
#[tokio::test]
async fn defect_07_a_deletion_of_several_tags_is_one_event() {
    let deletion = sample(Provider::Harbor, "delete_of_several_tags");
    let events = events(&[deletion]).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].artifact.as_ref().unwrap().tags, ["2.1", "latest"]);
}

/// Children of an index are told apart from what people push by name.
#[tokio::test]
async fn what_is_pushed_by_name_is_told_apart_from_the_children_of_an_index() {
    let filter: artifact_triggers::trigger::filter::Filter =
        json!({"artifact": {"oci": {"role": ["index", "manifest"]}}}).to_string().parse().unwrap();
    for (provider, child, by_name) in [
        (Provider::Acr, "push_of_a_child", "push_of_an_index"),
        (Provider::Angos, "push_by_digest", "push_by_tag"),
        (Provider::ArtifactRegistry, "push_by_digest", "push_of_a_tag"),
        (Provider::Ecr, "push_of_a_child", "push"),
        (Provider::Harbor, "push_by_digest", "push"),
        (Provider::Zot, "push_by_digest", "push_of_an_index"),
    ] {
        let matches = |name| {
            let notices = sample(provider, name).open().unwrap();
            filter.matches(&notices[0].event)
        };
        assert_eq!((matches(child), matches(by_name)), (false, true), "{provider}");
    }
}

/// A push that is told again, with another id, changes nothing; one of other content is an update.
#[tokio::test]
async fn a_tag_that_moves_is_an_update_and_one_that_does_not_is_nothing() {
    let push = sample(Provider::Ecr, "push");
    let again = another(push.clone(), "2");
    let mut moved = another(push.clone(), "3");
    let other = "sha256:b1f687fe5c94322967993e8d9c348c4f722508ee0556f991f803fa2b41f1c8ab";
    moved.body["detail"]["image-digest"] = json!(other);
    assert_eq!(kinds(&[push.clone(), again]).await, ["artifact.ingested"]);
    assert_eq!(kinds(&[push, moved]).await, ["artifact.ingested", "artifact.updated"]);
}
