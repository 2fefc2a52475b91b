//! The comparison, over any sequence of listings.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::clock::Timestamp;
use crate::event::{Artifact, EventKind, OciRole};
use crate::id::TriggerId;
use crate::trigger::{FirstPoll, OnChange};

const DIGESTS: [&str; 3] = [
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "sha256:244fd47e07d1004f0aed9c156aa09083c82bf8944eceb67c946ff7430510a77b",
];

fn watch() -> Watch {
    Watch::new("mirror", "app")
}

fn crate_listing(versions: Vec<Version>) -> Listing {
    let mut listing = Listing::new(Artifact::new("cargo", "app"), Naming::Version);
    listing.versions = versions;
    listing
}

fn image_listing(tags: &[(&str, Option<&str>)]) -> Listing {
    let image = Artifact::new("oci", "app").with_registry("r.example").with_repository("a/app");
    let mut listing = Listing::new(image, Naming::Tag);
    listing.versions = tags
        .iter()
        .map(|(tag, digest)| Version { digest: digest.map(str::to_owned), ..Version::new(*tag) })
        .collect();
    listing
}

fn names(versions: &[&str]) -> Vec<Version> {
    versions.iter().map(|version| Version::new(*version)).collect()
}

fn told(step: &Step) -> Vec<String> {
    step.changes.iter().map(|change| format!("{} {}", change.kind(), change.version())).collect()
}

fn event(change: &Change, watch: &Watch) -> crate::event::Event {
    let now = Timestamp::from_unix_seconds(1_000);
    let id = change.event_id(TriggerId::from_bytes([1; 16]), now);
    change.to_event(id, watch, &Scope::root(), now).unwrap()
}

#[test]
fn the_first_poll_is_the_baseline_or_fires_by_policy() {
    let listing = || crate_listing(names(&["1.0.0", "0.9.0"]));
    let baseline = diff(None, listing(), &watch()).unwrap();
    assert_eq!(told(&baseline), [""; 0]);
    assert_eq!(baseline.known.versions().count(), 2);
    let fired = diff(None, listing(), &watch().with_first(FirstPoll::Fire)).unwrap();
    assert_eq!(told(&fired), ["artifact.ingested 0.9.0", "artifact.ingested 1.0.0"]);
}

#[test]
fn a_moved_tag_is_told_with_the_digest_that_it_had() {
    let [a, b, c] = DIGESTS;
    let known = diff(None, image_listing(&[("latest", Some(a)), ("1.0", None)]), &watch()).unwrap();
    let moved = image_listing(&[("latest", Some(b)), ("1.0", Some(c))]);
    let step = diff(Some(&known.known), moved, &watch()).unwrap();
    assert_eq!(told(&step), ["artifact.updated latest"], "the digest of 1.0 was not known before");
    let event = event(&step.changes[0], &watch());
    let image = Artifact::new("oci", "app").with_registry("r.example").with_repository("a/app");
    let is_as = |found: Option<Artifact>, digest: &str| {
        let found = Artifact { purl: None, oci: None, ..found.unwrap() };
        assert_eq!(found, image.clone().with_tag("latest").with_digest(digest));
    };
    is_as(event.artifact, b);
    is_as(event.from, a);
    assert_eq!(
        (event.source.name.as_str(), event.source.instance.as_deref()),
        ("watch", Some("mirror"))
    );

    // A digest that nobody asked for is not forgotten.
    let unasked = image_listing(&[("latest", None), ("1.0", None)]);
    let step = diff(Some(&step.known), unasked, &watch()).unwrap();
    let back = image_listing(&[("latest", Some(a)), ("1.0", Some(c))]);
    let step = diff(Some(&step.known), back.clone(), &watch()).unwrap();
    assert_eq!(told(&step), ["artifact.updated latest"]);
    let ignored = watch().with_moved(OnChange::Ignore);
    let step = diff(Some(&step.known), image_listing(&[("latest", Some(b))]), &ignored).unwrap();
    assert_eq!(told(&step), [""; 0]);
}

#[test]
fn what_is_gone_is_told_by_policy_and_not_told_as_new_when_it_comes_back() {
    let ignore = watch();
    let known = diff(None, crate_listing(names(&["1.0.0", "1.1.0"])), &ignore).unwrap().known;
    let without = diff(Some(&known), crate_listing(names(&["1.0.0"])), &ignore).unwrap();
    assert_eq!(told(&without), [""; 0]);
    let back = diff(Some(&without.known), crate_listing(names(&["1.0.0", "1.1.0"])), &ignore);
    assert_eq!(told(&back.unwrap()), [""; 0]);

    let fire = watch().with_removed(OnChange::Fire);
    let without = diff(Some(&known), crate_listing(names(&["1.0.0"])), &fire).unwrap();
    assert_eq!(told(&without), ["artifact.deleted 1.1.0"]);
    let again = diff(Some(&without.known), crate_listing(names(&["1.0.0"])), &fire).unwrap();
    assert_eq!(told(&again), [""; 0]);
    let back = diff(Some(&again.known), crate_listing(names(&["1.0.0", "1.1.0"])), &fire).unwrap();
    assert_eq!(told(&back), ["artifact.ingested 1.1.0"], "it was told that it was deleted");
}

#[test]
fn tags_that_name_another_version_are_told_behind_the_versions() {
    let packages = |tags: &[(&str, &str)], versions: &[&str]| {
        let tagged = names(versions).into_iter().map(|version| {
            let own = tags.iter().filter(|(_, named)| *named == version.name);
            Version { tags: own.map(|(tag, _)| (*tag).to_owned()).collect(), ..version }
        });
        crate_listing(tagged.collect())
    };
    let told = |step: &Step| -> Vec<String> {
        let told = step.changes.iter().map(|change| {
            format!("{} {} {}", change.kind(), change.version(), change.tag().unwrap_or("-"))
        });
        told.collect()
    };
    let fire = watch().with_removed(OnChange::Fire);
    let first = packages(&[("latest", "1.0.0"), ("old", "1.0.0")], &["1.0.0", "1.1.0"]);
    let known = diff(None, first, &fire).unwrap().known;
    let all = ["1.0.0", "1.1.0", "1.2.0"];
    let next = packages(&[("latest", "1.1.0"), ("next", "1.2.0"), ("lts", "1.0.0")], &all);
    let step = diff(Some(&known), next.clone(), &fire).unwrap();
    let expected = [
        "artifact.ingested 1.2.0 -",
        "tag.moved 1.1.0 latest",
        "tag.created 1.0.0 lts",
        "tag.deleted 1.0.0 old",
    ];
    assert_eq!(told(&step), expected);
    let moved = event(&step.changes[1], &fire);
    let tags = |artifact: Option<Artifact>| {
        let artifact = artifact.unwrap();
        (artifact.version.unwrap(), artifact.tags.join(","))
    };
    assert_eq!(tags(moved.artifact), ("1.1.0".to_owned(), "latest".to_owned()));
    assert_eq!(tags(moved.from), ("1.0.0".to_owned(), "latest".to_owned()));
    assert_eq!(told(&diff(Some(&step.known), next, &fire).unwrap()), [""; 0]);
    assert_eq!(Known::from_text(&step.known.to_text()).unwrap(), step.known);

    // What names a version that goes, goes with it; and moves are told by policy.
    let gone = packages(&[("latest", "1.2.0")], &["1.0.0", "1.2.0"]);
    let quiet = fire.with_moved(OnChange::Ignore);
    let step = diff(Some(&step.known), gone, &quiet).unwrap();
    let expected = ["artifact.deleted 1.1.0 -", "tag.deleted 1.0.0 lts", "tag.deleted 1.2.0 next"];
    assert_eq!(told(&step), expected);

    let many: Vec<String> = (0..1_001).map(|n| format!("t{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|tag| (tag.as_str(), "1.0.0")).collect();
    let error = diff(None, packages(&many, &["1.0.0"]), &watch()).unwrap_err();
    assert_eq!(error.to_string(), "expected at most 1000 tags that name versions, found 1001");
}

#[test]
fn a_list_that_may_lack_some_takes_nothing_away() {
    let fire = watch().with_removed(OnChange::Fire);
    let known = diff(None, crate_listing(names(&["1.0.0"])), &fire).unwrap().known;
    let mut part = crate_listing(names(&["2.0.0"]));
    part.is_complete = false;
    assert_eq!(told(&diff(Some(&known), part, &fire).unwrap()), ["artifact.ingested 2.0.0"]);
}

#[test]
fn standings_are_told_when_they_change() {
    let standing = |standing| crate_listing(vec![Version::new("1.0.0").with_standing(standing)]);
    let mut known = diff(None, standing(Standing::Offered), &watch()).unwrap().known;
    let mut all = Vec::new();
    for next in [
        Standing::Yanked,
        Standing::Yanked,
        Standing::Offered,
        Standing::Deprecated,
        Standing::Offered,
    ] {
        let step = diff(Some(&known), standing(next), &watch()).unwrap();
        all.extend(told(&step));
        known = Known::from_text(&step.known.to_text()).unwrap();
    }
    let expected =
        ["artifact.yanked 1.0.0", "artifact.restored 1.0.0", "artifact.deprecated 1.0.0"];
    assert_eq!(all, expected);
    let fire = watch().with_first(FirstPoll::Fire);
    let new = diff(None, standing(Standing::Yanked), &fire).unwrap();
    assert_eq!(told(&new), ["artifact.ingested 1.0.0", "artifact.yanked 1.0.0"]);
}

#[test]
fn a_watch_that_is_changed_begins_anew_and_its_ids_go_on() {
    let known = diff(None, crate_listing(names(&["1.0.0"])), &watch()).unwrap().known;
    let rule = crate::trigger::VersionRule::all().or_glob("2.*").unwrap();
    let narrow = watch().with_versions(rule);
    assert!(known.is_of(&watch()) && !known.is_of(&narrow));
    assert_eq!(Ask::new(&narrow, &Scope::root(), Some(&known)).validator, None);
    let step = diff(Some(&known), crate_listing(names(&["1.0.0", "2.0.0"])), &narrow).unwrap();
    assert_eq!(told(&step), [""; 0]);
    assert_eq!(step.known.versions().collect::<Vec<_>>(), [("2.0.0", None)]);
    assert_eq!(step.known.sequence(), 2);
    let slower = watch().with_interval(Duration::from_secs(60)).with_removed(OnChange::Fire);
    assert!(known.is_of(&slower));
}

#[test]
fn tags_are_told_as_receivers_tell_them() {
    let signature = DIGESTS[0].replace(':', "-") + ".sig";
    let mut listing = image_listing(&[("1.0", Some(DIGESTS[1])), (&signature, Some(DIGESTS[2]))]);
    listing.versions[0].media_type = Some("application/vnd.oci.image.index.v1+json".to_owned());
    let fire = watch().with_first(FirstPoll::Fire).with_removed(OnChange::Fire);
    let step = diff(None, listing, &fire).unwrap();
    let kinds: Vec<EventKind> = step.changes.iter().map(Change::kind).collect();
    assert_eq!(kinds, [EventKind::ARTIFACT_INGESTED, EventKind::ARTIFACT_SIGNED]);
    let facts = |at: usize| event(&step.changes[at], &fire).artifact.unwrap().oci.unwrap();
    assert_eq!(facts(0).role, Some(OciRole::Index));
    assert_eq!(facts(1).role, Some(OciRole::Referrer));
    assert_eq!(facts(1).subject_digest.as_deref(), Some(DIGESTS[0]));
    let none = diff(Some(&step.known), image_listing(&[]), &fire).unwrap();
    assert_eq!(none.changes[0].kind(), EventKind::TAG_DELETED);
    assert_eq!(event(&none.changes[0], &fire).artifact.unwrap().tags, ["1.0"]);
}

#[cfg(feature = "purl")]
#[test]
fn events_have_their_package_url() {
    let fire = watch().with_first(FirstPoll::Fire);
    let purl = |listing| {
        let step = diff(None, listing, &fire).unwrap();
        event(&step.changes[0], &fire).artifact.unwrap().purl.unwrap()
    };
    assert_eq!(purl(crate_listing(names(&["1.0.0"]))), "pkg:cargo/app@1.0.0");
    assert_eq!(
        purl(image_listing(&[("1.0", Some(DIGESTS[0]))])),
        format!("pkg:oci/app@{}?repository_url=r.example%2Fa%2Fapp&tag=1.0", DIGESTS[0])
    );
}

#[test]
fn what_an_event_may_not_have_is_left_out() {
    let mut version = Version::new("1.0.0");
    version.url = Some("x".repeat(5_000));
    version.tags = (0..900).map(|n| format!("t{n}")).chain([String::new()]).collect();
    version.files = (0..2_000).map(|n| crate::event::File::new(format!("f{n}"))).collect();
    version.published_at = Some(Timestamp::from_unix_seconds(500));
    let fire = watch().with_first(FirstPoll::Fire);
    let step = diff(None, crate_listing(vec![version]), &fire).unwrap();
    let event = event(&step.changes[0], &fire);
    assert_eq!(event.occurred_at, Timestamp::from_unix_seconds(500));
    let artifact = event.artifact.unwrap();
    assert_eq!((artifact.url, artifact.tags.len(), artifact.files.len()), (None, 900, 1_024));
}

#[test]
fn a_tag_that_looks_like_a_digest_spoils_no_event() {
    let mut version = Version::new("1.0.0");
    version.tags = vec![DIGESTS[0].to_owned(), "latest".to_owned(), "x".repeat(257)];
    let fire = watch().with_first(FirstPoll::Fire);
    let step = diff(None, crate_listing(vec![version]), &fire).unwrap();
    assert_eq!(event(&step.changes[0], &fire).artifact.unwrap().tags, ["latest"]);
}

#[test]
fn files_that_make_an_event_too_large_are_left_out() {
    let fire = watch().with_first(FirstPoll::Fire);
    for (bytes, expected) in [(900, 1_024), (1_100, 0)] {
        let name = |n: usize| format!("{n:x>bytes$}");
        let mut version = Version::new("1.0.0");
        version.files = (0..1_024).map(|n| crate::event::File::new(name(n))).collect();
        let step = diff(None, crate_listing(vec![version]), &fire).unwrap();
        let event = event(&step.changes[0], &fire);
        assert!(event.to_json().len() <= crate::event::MAX_EVENT_BYTES);
        assert_eq!(event.artifact.unwrap().files.len(), expected);
    }
}

#[test]
fn ids_follow_from_the_poll_and_not_from_the_time_of_telling() {
    let known = diff(None, crate_listing(vec![]), &watch()).unwrap().known;
    let step = || diff(Some(&known), crate_listing(names(&["1.0.0", "1.1.0"])), &watch()).unwrap();
    let id = |step: &Step, at: usize, trigger: u8, due: i64| {
        let due = Timestamp::from_unix_seconds(due);
        step.changes[at].event_id(TriggerId::from_bytes([trigger; 16]), due)
    };
    assert_eq!(id(&step(), 0, 1, 5), id(&step(), 0, 1, 5));
    let all =
        [id(&step(), 0, 1, 5), id(&step(), 1, 1, 5), id(&step(), 0, 2, 5), id(&step(), 0, 1, 6)];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn names_and_digests_that_are_none_are_refused_by_their_place() {
    for (name, digest, expected) in [
        ("", None, "versions[1].name: expected a version or tag of 1 to 256 bytes"),
        ("a\nb", None, "versions[1].name: "),
        (DIGESTS[0], None, "versions[1].name: "),
        (&"x".repeat(257), None, "versions[1].name: "),
        ("1.0.0", Some("md5"), "versions[1].digest: expected a digest, found \"md5\""),
    ] {
        let error =
            diff(None, image_listing(&[("ok", None), (name, digest)]), &watch()).unwrap_err();
        let UpstreamError::Malformed { problems } = error else { panic!("{error:?}") };
        assert!(problems.to_string().starts_with(expected), "{problems}");
    }
}

#[test]
fn beyond_the_limits_nothing_is_taken_and_what_is_gone_makes_room() {
    let many = |from: usize, to: usize| {
        crate_listing((from..to).map(|n| Version::new(format!("1.0.{n}"))).collect())
    };
    let error = diff(None, many(0, MAX_VERSIONS + 1), &watch()).unwrap_err();
    assert_eq!(error.to_string(), "expected at most 10000 versions, found 10001");
    let full = diff(None, many(0, MAX_VERSIONS), &watch()).unwrap().known;
    assert!(full.to_text().len() < 1024 * 1024);
    let next = diff(Some(&full), many(10, MAX_VERSIONS + 4), &watch()).unwrap();
    assert_eq!(next.changes.len(), 4);
    assert_eq!(next.known.versions().count(), MAX_VERSIONS - 6);
    assert_eq!((0..10).filter(|n| next.known.knows(&format!("1.0.{n}"))).count(), 6);

    let long = |n: usize| Version::new(format!("{n:0>250}")).with_digest(DIGESTS[0]);
    let error = diff(None, crate_listing((0..4_000).map(long).collect()), &watch()).unwrap_err();
    assert!(error.to_string().starts_with("expected at most 1048576 bytes"), "{error}");
}

#[test]
fn a_state_that_is_none_is_refused() {
    let text = diff(None, crate_listing(names(&["1.0.0"])), &watch()).unwrap().known.to_text();
    for end in 0..text.len() {
        assert!(Known::from_text(&text[..end]).is_err(), "{}", &text[..end]);
    }
    for (from, to) in [("\"sequence\":1", "\"sequence\":-1"), ("\"n\"", "\"s\":\"?\",\"n\"")] {
        assert!(Known::from_text(&text.replace(from, to)).is_err(), "{to}");
    }
}

/// A listing of some of twelve versions in any order, each with one of three digests or none.
fn any_listing() -> impl Strategy<Value = Listing> {
    let all: Vec<String> = (0..12).map(|n| format!("1.{n}.0")).collect();
    let some = subsequence(all, 0..=12).prop_shuffle();
    let facts = prop::collection::vec((0..4_usize, 0..3_u8), 12);
    (some, facts).prop_map(|(names, facts)| {
        let versions = names.into_iter().zip(facts).map(|(name, (digest, standing))| {
            let version = Version::new(name).with_standing(match standing {
                0 => Standing::Offered,
                1 => Standing::Yanked,
                _ => Standing::Deprecated,
            });
            Version { digest: DIGESTS.get(digest).map(|text| (*text).to_owned()), ..version }
        });
        crate_listing(versions.collect())
    })
}

/// What the naive reader of all listings expects to be told of new, moved and removed versions.
#[derive(Default)]
struct Naive {
    ever: BTreeMap<String, Option<String>>,
    present: BTreeSet<String>,
    polls: usize,
}

impl Naive {
    fn poll(&mut self, listing: &Listing, watch: &Watch) -> BTreeSet<String> {
        let mut expected = BTreeSet::new();
        let now: BTreeSet<String> = listing.versions.iter().map(|v| v.name.clone()).collect();
        for gone in self.present.difference(&now) {
            if watch.removed == OnChange::Fire {
                expected.insert(format!("artifact.deleted {gone}"));
                self.ever.remove(gone);
            }
        }
        for version in &listing.versions {
            match self.ever.get(&version.name) {
                None => {
                    expected.insert(format!("artifact.ingested {}", version.name));
                }
                Some(Some(digest)) if version.digest.as_ref().is_some_and(|new| new != digest) => {
                    if watch.moved == OnChange::Fire {
                        expected.insert(format!("artifact.updated {} {digest}", version.name));
                    }
                }
                Some(_) => {}
            }
            let before = self.ever.get(&version.name).cloned().flatten();
            self.ever.insert(version.name.clone(), version.digest.clone().or(before));
        }
        self.present = now;
        self.polls += 1;
        let is_baseline = self.polls == 1 && watch.first == FirstPoll::Baseline;
        if is_baseline { BTreeSet::new() } else { expected }
    }
}

proptest! {
    #[test]
    fn every_change_is_told_exactly_once_over_any_sequence_of_listings(
        listings in prop::collection::vec(any_listing(), 1..8),
        fires: [bool; 3],
    ) {
        let on = |fires: bool| if fires { OnChange::Fire } else { OnChange::Ignore };
        let first = if fires[0] { FirstPoll::Fire } else { FirstPoll::Baseline };
        let watch = watch().with_first(first).with_moved(on(fires[1])).with_removed(on(fires[2]));
        let mut naive = Naive::default();
        let mut known: Option<Known> = None;
        for listing in listings {
            let expected = naive.poll(&listing, &watch);
            let step = diff(known.as_ref(), listing.clone(), &watch).unwrap();
            let mut found = BTreeSet::new();
            let mut last = None;
            for change in &step.changes {
                let text = match (change.kind().as_str(), change.from_digest()) {
                    ("artifact.yanked" | "artifact.restored" | "artifact.deprecated", _) => continue,
                    (kind, Some(from)) => format!("{kind} {} {from}", change.version()),
                    (kind, None) => format!("{kind} {}", change.version()),
                };
                if change.kind() != EventKind::ARTIFACT_DELETED {
                    let version: semver::Version = change.version().parse().unwrap();
                    prop_assert!(last.as_ref().is_none_or(|last| *last < version));
                    last = Some(version);
                }
                prop_assert!(found.insert(text.clone()), "{} was told twice", text);
            }
            prop_assert_eq!(found, expected);
            let again = diff(Some(&step.known), listing, &watch).unwrap();
            prop_assert!(again.changes.is_empty(), "the same list again tells {:?}", told(&again));
            let read = Known::from_text(&step.known.to_text()).unwrap();
            prop_assert_eq!(&read, &step.known);
            known = Some(read);
        }
    }

    #[test]
    fn no_text_makes_a_state_panic(text in ".{0,200}") {
        let _ = Known::from_text(&text);
    }
}
