use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const OLD: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
const NEW: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn notice(kind: EventKind, change: Change) -> Notice {
    let artifact =
        Artifact::new("oci", "hello").with_registry("r").with_repository("a/hello").with_tag("v1");
    Notice { event: Event::builder(kind).artifact(artifact).build().unwrap(), change }
}

fn push(tag: Option<&str>, digest: &str) -> Notice {
    let change = Change::Push { tag: tag.map(ToOwned::to_owned), digest: digest.to_owned() };
    notice(EventKind::ARTIFACT_INGESTED, change)
}

fn push_untold(tag: &str) -> Notice {
    notice(EventKind::ARTIFACT_INGESTED, Change::PushTag { tag: tag.to_owned() })
}

fn delete(digest: &str) -> Notice {
    let change = Change::DeleteDigest { digest: digest.to_owned() };
    notice(EventKind::ARTIFACT_DELETED, change)
}

/// What is known, as a storage keeps it.
#[derive(Debug, Default)]
struct Known(BTreeMap<String, String>);

impl Known {
    fn read(&self, notice: &Notice) -> Vec<Option<String>> {
        keys(notice).iter().map(|key| self.0.get(key).cloned()).collect()
    }

    /// Whether every cursor was where it was expected; only then they move.
    fn moves(&mut self, cursors: &[CursorMove]) -> bool {
        let is_expected = |cursor: &CursorMove| match cursor {
            CursorMove::Set { key, expected, .. } => self.0.get(key) == expected.as_ref(),
            CursorMove::RemoveBelow { .. } => true,
        };
        if !cursors.iter().all(is_expected) {
            return false;
        }
        for cursor in cursors.iter().cloned() {
            match cursor {
                CursorMove::Set { key, value: Some(value), .. } => drop(self.0.insert(key, value)),
                CursorMove::Set { key, value: None, .. } => drop(self.0.remove(&key)),
                CursorMove::RemoveBelow { prefix } => {
                    self.0.retain(|key, _| !key.starts_with(&prefix));
                }
            }
        }
        true
    }

    /// The event that is told, if one is.
    fn tell(&mut self, notice: Notice) -> Option<Event> {
        let values = self.read(&notice);
        #[cfg(feature = "engine")]
        let before = notice.clone();
        match decide(notice, &values) {
            Decision::Publish { event, cursors } => {
                assert!(self.moves(&cursors), "nobody else moved them");
                #[cfg(feature = "engine")]
                assert_eq!(Undo::of(&before).notice(Event::clone(&event)), before);
                Some(*event)
            }
            Decision::Skip { .. } => None,
        }
    }

    fn kind(&mut self, notice: Notice) -> Option<EventKind> {
        self.tell(notice).map(|event| event.kind)
    }
}

#[test]
fn a_tag_is_new_once_then_unchanged_until_it_moves() {
    let mut known = Known::default();
    assert_eq!(known.kind(push(Some("v1"), OLD)), Some(EventKind::ARTIFACT_INGESTED));
    assert_eq!(known.kind(push(Some("v1"), OLD)), None);
    let moved = known.tell(push(Some("v1"), NEW)).unwrap();
    assert_eq!(moved.kind, EventKind::ARTIFACT_UPDATED);
    let from = moved.from.unwrap();
    assert_eq!(from.digest.as_deref(), Some(OLD));
    assert_eq!(
        (from.repository.as_deref(), from.registry.as_deref()),
        (Some("a/hello"), Some("r"))
    );
    assert_eq!(from.tags, ["v1"]);
    assert_eq!(from.purl.is_some(), cfg!(feature = "purl"));
    assert_eq!(known.kind(push(Some("v1"), NEW)), None);
    assert_eq!(known.kind(push(Some("v1"), OLD)), Some(EventKind::ARTIFACT_UPDATED), "and back");
}

#[test]
fn another_tag_of_a_known_digest_is_new() {
    let mut known = Known::default();
    known.tell(push(Some("v1"), OLD));
    assert_eq!(known.kind(push(Some("latest"), OLD)), Some(EventKind::ARTIFACT_INGESTED));
}

#[test]
fn what_was_deleted_is_new_when_it_comes_again() {
    let mut known = Known::default();
    known.tell(push(Some("v1"), OLD));
    assert_eq!(known.kind(delete(OLD)), Some(EventKind::ARTIFACT_DELETED));
    let again = known.tell(push(Some("v1"), OLD)).unwrap();
    assert_eq!((again.kind, again.from), (EventKind::ARTIFACT_INGESTED, None));
    assert_eq!(known.kind(push(Some("v1"), OLD)), None);
}

#[test]
fn a_deleted_tag_is_forgotten_and_its_digest_is_not() {
    let mut known = Known::default();
    known.tell(push(Some("v1"), OLD));
    let deletion = Change::DeleteTag { tag: "v1".to_owned() };
    let told = known.kind(notice(EventKind::TAG_DELETED, deletion));
    assert_eq!(told, Some(EventKind::TAG_DELETED));
    assert_eq!(known.kind(push(None, OLD)), None, "the digest is still known");
    assert_eq!(known.kind(push(Some("v1"), NEW)), Some(EventKind::ARTIFACT_INGESTED));
}

#[test]
fn a_digest_pushed_alone_is_told_once() {
    let mut known = Known::default();
    assert_eq!(known.kind(push(None, OLD)), Some(EventKind::ARTIFACT_INGESTED));
    assert_eq!(known.kind(push(None, OLD)), None);
}

#[test]
fn a_blob_is_told_each_time_and_known_when_it_is_deleted() {
    let mut known = Known::default();
    let blob = || {
        let change = Change::PushBlob { digest: OLD.to_owned() };
        notice(EventKind::BLOB_INGESTED, change)
    };
    assert_eq!(known.kind(blob()), Some(EventKind::BLOB_INGESTED));
    assert_eq!(known.kind(blob()), Some(EventKind::BLOB_INGESTED));
    let deleted = known.tell(delete(OLD)).unwrap();
    assert_eq!(deleted.kind, EventKind::BLOB_DELETED);
    let artifact = deleted.artifact.unwrap();
    assert_eq!(artifact.oci.unwrap().role, Some(OciRole::Blob));
    assert_eq!(artifact.purl, None);
    assert_eq!(known.kind(delete(OLD)), Some(EventKind::ARTIFACT_DELETED), "not known any more");
}

#[test]
fn a_manifest_uploaded_as_a_blob_first_is_a_manifest() {
    let mut known = Known::default();
    known.tell(notice(EventKind::BLOB_INGESTED, Change::PushBlob { digest: OLD.to_owned() }));
    assert_eq!(known.kind(push(Some("v1"), OLD)), Some(EventKind::ARTIFACT_INGESTED));
    known.tell(notice(EventKind::BLOB_INGESTED, Change::PushBlob { digest: OLD.to_owned() }));
    assert_eq!(known.kind(delete(OLD)), Some(EventKind::ARTIFACT_DELETED));
}

#[test]
fn a_second_signature_is_a_signature_that_names_the_first() {
    let mut known = Known::default();
    let signature = |digest: &str| {
        let change = Change::Push { tag: Some("s".to_owned()), digest: digest.to_owned() };
        notice(EventKind::ARTIFACT_SIGNED, change)
    };
    assert_eq!(known.kind(signature(OLD)), Some(EventKind::ARTIFACT_SIGNED));
    let second = known.tell(signature(NEW)).unwrap();
    assert_eq!(second.kind, EventKind::ARTIFACT_SIGNED);
    assert_eq!(second.from.unwrap().digest.as_deref(), Some(OLD));
}

#[test]
fn a_deleted_repository_takes_with_it_what_was_known_of_it_alone() {
    let mut known = Known::default();
    let in_repository = |repository: &str, change: Change| {
        let mut notice = notice(EventKind::ARTIFACT_INGESTED, change);
        notice.event.artifact.as_mut().unwrap().repository = Some(repository.to_owned());
        notice
    };
    let push = Change::Push { tag: Some("v1".to_owned()), digest: OLD.to_owned() };
    let others = ["a/b", "a/bc", "ab", "b", "a%2Fb", "a/"];
    for repository in ["a"].into_iter().chain(others) {
        assert!(known.tell(in_repository(repository, push.clone())).is_some(), "{repository}");
    }
    known.tell(in_repository("a", Change::DeleteRepository));
    assert!(known.tell(in_repository("a", push.clone())).is_some());
    for repository in others {
        assert!(known.tell(in_repository(repository, push.clone())).is_none(), "{repository}");
    }
}

#[test]
fn of_two_that_decide_from_the_same_values_one_has_to_decide_anew() {
    let deletion = Change::DeleteTag { tag: "v1".to_owned() };
    let tag_deletion = || notice(EventKind::TAG_DELETED, deletion.clone());
    let rivals = vec![
        (push(Some("v1"), OLD), push(Some("v1"), OLD)),
        (push(Some("v1"), OLD), push(Some("v1"), NEW)),
        (push(None, OLD), push(Some("v1"), OLD)),
        (delete(OLD), push(Some("v1"), OLD)),
        (push(Some("v1"), OLD), delete(OLD)),
        (push(Some("v1"), OLD), tag_deletion()),
    ];
    for before in [None, Some(push(Some("v1"), NEW))] {
        for (first, second) in &rivals {
            let mut known = Known::default();
            before.clone().map(|notice| known.tell(notice));
            let [one, other] = [first, second].map(|n| decide(n.clone(), &known.read(n)));
            let (Decision::Publish { cursors: one, .. }, Decision::Publish { cursors: other, .. }) =
                (one, other)
            else {
                continue; // One of them says nothing new, so they do not race.
            };
            let is_noop = |c: &CursorMove| matches!(c, CursorMove::Set { expected, value, .. } if expected == value);
            let changes = !one.iter().all(is_noop);
            assert!(known.moves(&one));
            assert_eq!(known.moves(&other), !changes, "{first:?} {second:?}");
        }
    }
}

#[test]
fn what_is_left_out_is_a_reason_and_what_names_nothing_is_told_as_it_is() {
    let left_out = notice(EventKind::BLOB_INGESTED, Change::LeftOut);
    assert_eq!(keys(&left_out), Vec::<String>::new());
    assert_eq!(decide(left_out, &[]), Decision::Skip { reason: SkipReason::LeftOut });
    let mut placeless = push(Some("v1"), OLD);
    placeless.event.artifact = None;
    assert_eq!(keys(&placeless), Vec::<String>::new());
    let event = Box::new(placeless.event.clone());
    assert_eq!(decide(placeless, &[]), Decision::Publish { event, cursors: Vec::new() });
}

#[test]
fn the_id_does_not_depend_on_the_decision() {
    let pushed = push(Some("v1"), NEW);
    let id = pushed.event.id;
    for tag_had in [None, Some(OLD.to_owned())] {
        let Decision::Publish { event, .. } = decide(pushed.clone(), &[tag_had, None]) else {
            panic!("a new digest is told");
        };
        assert_eq!(event.id, id);
    }
}

#[test]
fn keys_read_as_what_they_are_of() {
    let place = Place::named(["acme/platform", "quay", "r.example:5000", "library/hello"]);
    let of_tag = "seen/acme%2Fplatform/quay/r.example%3A5000/library%2Fhello/tag/v1";
    assert_eq!(place.tag("v1"), of_tag);
    assert_eq!(
        place.digest("sha256:ab"),
        "seen/acme%2Fplatform/quay/r.example%3A5000/library%2Fhello/digest/sha256%3Aab"
    );
    assert_eq!(Place::named(["", "", "", "a"]).tag("b"), "seen////a/tag/b");
    let package = Artifact::new("npm", "widget").with_namespace("@acme");
    let of_package = place.package(&package, "widget");
    assert_eq!(
        of_package.tag("1.0.0"),
        "seen/acme%2Fplatform/quay/r.example%3A5000/library%2Fhello/package/npm/%40acme/widget/tag/1.0.0"
    );
    assert!(of_package.prefix.starts_with(&place.prefix));
}

/// A version of a package, in a repository or none, whose digest nobody tells.
fn version(repository: Option<&str>, name: &str, version: &str) -> Notice {
    let mut artifact = Artifact::new("npm", name).with_version(version);
    artifact.repository = repository.map(ToOwned::to_owned);
    let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap();
    Notice { event, change: Change::PushTag { tag: version.to_owned() } }
}

#[test]
fn packages_of_one_repository_and_packages_of_none_are_told_apart() {
    for repository in [Some("npm-proxy"), None] {
        let mut known = Known::default();
        let ingested = Some(EventKind::ARTIFACT_INGESTED);
        assert_eq!(known.kind(version(repository, "one", "1.0.0")), ingested);
        assert_eq!(known.kind(version(repository, "two", "1.0.0")), ingested);
        assert_eq!(known.kind(version(repository, "one", "1.0.1")), ingested);
        let again = known.kind(version(repository, "one", "1.0.0"));
        assert_eq!(again, Some(EventKind::ARTIFACT_UPDATED));
    }
}

#[test]
fn a_deleted_package_is_forgotten_with_all_its_versions_and_no_other() {
    let mut known = Known::default();
    for (name, number) in [("one", "1.0.0"), ("one", "1.0.1"), ("two", "1.0.0")] {
        known.tell(version(None, name, number));
    }
    let mut gone = version(None, "one", "1.0.0");
    gone.event.kind = EventKind::ARTIFACT_DELETED;
    gone.event.artifact.as_mut().unwrap().version = None;
    gone.change = Change::DeleteRepository;
    assert_eq!(known.kind(gone), Some(EventKind::ARTIFACT_DELETED));
    assert_eq!(known.kind(version(None, "one", "1.0.0")), Some(EventKind::ARTIFACT_INGESTED));
    assert_eq!(known.kind(version(None, "one", "1.0.1")), Some(EventKind::ARTIFACT_INGESTED));
    assert_eq!(known.kind(version(None, "two", "1.0.0")), Some(EventKind::ARTIFACT_UPDATED));
}

#[test]
fn what_a_version_or_a_path_stood_for_is_told_in_the_same_words() {
    let mut artifact = Artifact::new("generic", "tool.zip").with_repository("files");
    for (version, tags) in [(Some("1.0.0"), vec![]), (None, vec![]), (None, vec!["a/tool.zip"])] {
        artifact.version = version.map(ToOwned::to_owned);
        artifact.tags = tags.iter().map(|tag: &&str| (*tag).to_owned()).collect();
        let from = with_old_digest(Some(&artifact), "a/tool.zip", OLD);
        assert_eq!(from.version, artifact.version);
        assert_eq!(from.tags, artifact.tags);
        assert_eq!(from.digest.as_deref(), Some(OLD));
    }
}

/// Names made of what could be mistaken for a border or an escape.
fn name() -> impl Strategy<Value = String> {
    "[ab/%+ :.2F_\\-é\u{0}]{0,8}|tag|digest|tag/a|a/tag/b|seen"
}

/// One text cut into scope, registry, repository and tag in two ways.
fn two_cuts() -> impl Strategy<Value = [[String; 4]; 2]> {
    let words = prop::collection::vec(name(), 4..8);
    let border = prop::sample::select(vec!["", "/", "/tag/", "/digest/", "%2F", "+"]);
    let cuts = || prop::array::uniform3(0..8_usize);
    (words, border, cuts(), cuts()).prop_map(|(words, border, one, other)| {
        [one, other].map(|mut cuts| {
            cuts = cuts.map(|cut| cut.min(words.len()));
            cuts.sort_unstable();
            let [a, b, c] = cuts;
            [&words[..a], &words[a..b], &words[b..c], &words[c..]].map(|part| part.join(border))
        })
    })
}

fn place([scope, registry, repository, _]: &[String; 4]) -> Place {
    Place::named([scope, "registry", registry, repository])
}

proptest! {
    #[test]
    fn no_two_names_share_a_key([a, b] in two_cuts()) {
        let tag = |names: &[String; 4]| place(names).tag(&names[3]);
        let digest = |names: &[String; 4]| place(names).digest(&names[3]);
        prop_assert_eq!(tag(&a) == tag(&b), a == b);
        prop_assert_eq!(digest(&a) == digest(&b), a == b);
        prop_assert_ne!(tag(&a), digest(&b));
    }

    #[test]
    fn a_repositorys_prefix_begins_its_own_keys_alone([a, b] in two_cuts(), more in name()) {
        let mut longer = a.clone();
        longer[2].push_str(&more);
        for b in [b, longer] {
            for key in [place(&b).tag(&b[3]), place(&b).digest(&b[3])] {
                prop_assert_eq!(key.starts_with(&place(&a).prefix), a[..3] == b[..3]);
            }
        }
    }
}

#[test]
fn a_tag_pushed_again_is_an_update_though_nobody_tells_its_digest() {
    let mut known = Known::default();
    let mut tell = |notice| {
        let event = known.tell(notice).unwrap();
        (event.kind, event.from.and_then(|from| from.digest))
    };
    assert_eq!(tell(push_untold("v1")), (EventKind::ARTIFACT_INGESTED, None));
    assert_eq!(tell(push_untold("v1")), (EventKind::ARTIFACT_UPDATED, None));
    assert_eq!(tell(push(Some("v1"), NEW)), (EventKind::ARTIFACT_UPDATED, None));
    let new = Some(NEW.to_owned());
    assert_eq!(tell(push_untold("v1")), (EventKind::ARTIFACT_UPDATED, new));
}
