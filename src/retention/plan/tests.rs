use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::event::{Artifact, OciFacts};

fn day(n: i64) -> Timestamp {
    Timestamp::from_unix_seconds(n * 86_400)
}

fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

const TODAY: i64 = 100;

fn version(name: &str, version: &str, pushed: i64) -> Version {
    Version::new(Artifact::new("cargo", name).with_version(version), day(pushed))
}

fn digest(n: u8) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

/// An OCI artifact with a digest.
fn oci(n: u8, pushed: i64, facts: impl FnOnce(&mut OciFacts)) -> Version {
    let mut oci = OciFacts::default();
    facts(&mut oci);
    let artifact = Artifact::new("oci", "app")
        .with_repository("acme/app")
        .with_digest(digest(n))
        .with_oci(oci);
    Version::new(artifact, day(pushed))
}

fn explained(versions: &[Version], policy: &RetentionPolicy) -> Vec<(bool, String)> {
    let plan = plan(versions, policy, day(TODAY));
    let is_kept = |n: usize| plan.verdicts()[n] != Verdict::Delete;
    (0..versions.len()).map(|n| (is_kept(n), plan.explain(n))).collect()
}

fn kept(versions: &[Version], policy: &RetentionPolicy) -> Vec<usize> {
    let explained = explained(versions, policy);
    (0..versions.len()).filter(|n| explained[*n].0).collect()
}

#[test]
fn the_newest_of_each_package_are_kept_whatever_their_order() {
    let mut other = version("a", "9", 1);
    other.artifact.registry = Some("other.example".to_owned());
    let versions = [
        version("a", "1", 1),
        version("a", "3", 3),
        version("b", "1", 0),
        version("a", "2", 2),
        other,
    ];
    assert_eq!(kept(&versions, &RetentionPolicy::keep_last(2)), [1, 2, 3, 4]);
    assert_eq!(kept(&versions, &RetentionPolicy::keep_last(1)), [1, 2, 4]);
}

#[test]
fn each_rule_keeps_and_says_why_and_what_none_keeps_says_what_it_missed() {
    let filter = |value| Filter::from_value(&value).unwrap();
    let policy = RetentionPolicy::keep_last(1)
        .with_select(filter(json!({"name": ["a"]})))
        .with_keep_younger_than(days(30))
        .with_keep_downloaded_within(days(7))
        .with_keep_matching(filter(json!({"version": [{"prefix": "lts-"}]})));
    let versions = [
        version("a", "6", 99),
        version("a", "5", 98),
        version("a", "4", 50).with_last_downloaded_at(day(96)),
        version("a", "lts-3", 40),
        version("a", "2", 30).protected(),
        version("b", "1", 1),
        version("a", "1", 20).with_last_downloaded_at(day(93)),
    ];
    let reasons = [
        (true, "number 1 of its package from the newest on"),
        (true, "pushed within 30d"),
        (true, "pulled within 7d"),
        (true, "it satisfies keep_matching"),
        (true, "it is protected"),
        (true, "the policy is not for it"),
        (
            false,
            "number 5 of its package from the newest on, and 1 are kept; not pushed within 30d; \
             not pulled within 7d; does not satisfy keep_matching",
        ),
    ];
    assert_eq!(
        explained(&versions, &policy),
        reasons.map(|(kept, reason)| (kept, reason.to_owned()))
    );
}

#[test]
fn a_span_ends_where_it_says() {
    let policy = RetentionPolicy::default().with_keep_younger_than(days(10));
    let versions = [version("a", "2", 91), version("a", "1", 90), version("a", "3", 101)];
    assert_eq!(kept(&versions, &policy), [0, 2], "one of the future is young");
}

#[test]
fn what_belongs_to_an_image_goes_with_it_and_does_not_count() {
    let index = |n, pushed, children: [u8; 2]| {
        oci(n, pushed, |oci| oci.child_digests = children.map(digest).to_vec())
    };
    let versions = [
        index(1, 10, [2, 3]),
        oci(2, 10, |_| {}),
        oci(3, 10, |oci| oci.parent_digest = Some(digest(1))),
        index(4, 20, [3, 5]),
        oci(5, 20, |_| {}),
        // A signature of the older index, and what attests it.
        oci(6, 30, |oci| oci.subject_digest = Some(digest(1))),
        oci(7, 31, |oci| oci.subject_digest = Some(digest(6))),
        oci(8, 32, |oci| oci.subject_digest = Some(digest(4))),
        // Of one that is not there.
        oci(9, 5, |oci| oci.subject_digest = Some(digest(200))),
    ];
    let policy = RetentionPolicy::keep_last(1);
    assert_eq!(kept(&versions, &policy), [2, 3, 4, 7], "a shared child stays");
    let explained = explained(&versions, &policy);
    assert_eq!(explained[7].1, "it belongs to one that is kept");
    assert_eq!(explained[6].1, "it belongs to none that is kept");
    assert_eq!(
        explained[8].1, "number 3 of its package from the newest on, and 1 are kept",
        "it stands for itself"
    );
    assert_eq!(kept(&versions, &RetentionPolicy::keep_last(2)), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_signature_stays_as_long_as_its_subject_has_any_tag() {
    let tagged = |tag: &str, pushed| {
        let mut version = oci(1, pushed, |_| {});
        version.artifact.tags = vec![tag.to_owned()];
        version
    };
    let signature = oci(2, 1, |oci| oci.subject_digest = Some(digest(1)));
    let versions = [tagged("old", 1), signature, tagged("new", 50)];
    assert_eq!(kept(&versions, &RetentionPolicy::keep_last(1)), [1, 2]);
}

#[test]
fn those_that_belong_to_each_other_alone_stand_for_themselves() {
    let versions = [
        oci(1, 1, |oci| oci.subject_digest = Some(digest(2))),
        oci(2, 2, |oci| oci.subject_digest = Some(digest(1))),
        oci(3, 3, |oci| oci.subject_digest = Some(digest(3))),
    ];
    assert_eq!(kept(&versions, &RetentionPolicy::keep_last(2)), [0, 1, 2]);
    assert_eq!(kept(&versions, &RetentionPolicy::keep_last(9)).len(), 3);
}

/// One that refers to another, lists one, or neither. What both refers and lists could make a
/// circle.
fn any_version() -> impl Strategy<Value = Version> {
    let times = (0..TODAY, prop::option::of(0..TODAY));
    (0..3_u8, 1..12_u8, times, 0..8_u8, 0..4_u8, any::<prop::sample::Index>()).prop_map(
        |(package, n, (pushed, pulled), protection, tie, other)| {
            let other = digest(u8::try_from(other.index(n.into())).unwrap());
            let mut version = oci(n, pushed, |oci| match tie {
                0 => oci.subject_digest = Some(other),
                1 => oci.child_digests = vec![other],
                _ => {}
            });
            version.artifact.repository = Some(format!("acme/{package}"));
            version.last_downloaded_at = pulled.map(day);
            version.is_protected = protection == 0;
            version
        },
    )
}

fn any_policy() -> impl Strategy<Value = RetentionPolicy> {
    let span = || prop::option::of((0..60_u64).prop_map(days));
    let filter = Filter::from_value(&json!({"digest": [{"prefix": "sha256:05"}]})).unwrap();
    (prop::option::of(1..4_u64), span(), span(), any::<bool>()).prop_map(
        move |(last, young, pulled, matching)| RetentionPolicy {
            select: None,
            keep_last: last,
            keep_younger_than: young,
            keep_downloaded_within: pulled,
            keep_matching: matching.then(|| filter.clone()),
        },
    )
}

proptest! {
    #[test]
    fn what_is_protected_is_kept_and_so_are_the_last_and_what_belongs_to_them(
        versions in prop::collection::vec(any_version(), 0..40),
        policy in any_policy(),
    ) {
        let plan = plan(&versions, &policy, day(TODAY));
        for n in plan.deleted() {
            prop_assert!(!versions[n].is_protected);
        }
        for (n, version) in versions.iter().enumerate() {
            let Some(subject) = version.artifact.oci.as_ref().unwrap().subject_digest.as_ref() else {
                continue;
            };
            let is_subject = |m: &usize| {
                let other = &versions[*m].artifact;
                other.digest.as_ref() == Some(subject)
                    && other.repository == version.artifact.repository
            };
            let mut subjects = (0..versions.len()).filter(is_subject);
            let is_subject_kept = subjects.any(|m| plan.verdicts()[m] != Verdict::Delete);
            prop_assert!(!is_subject_kept || plan.verdicts()[n] != Verdict::Delete);
        }
    }

    #[test]
    fn what_is_kept_once_is_kept_again(
        versions in prop::collection::vec(any_version(), 0..40),
        policy in any_policy(),
    ) {
        let first = plan(&versions, &policy, day(TODAY));
        let left: Vec<Version> = versions
            .iter()
            .zip(first.verdicts())
            .filter(|(_, verdict)| **verdict != Verdict::Delete)
            .map(|(version, _)| version.clone())
            .collect();
        let again = plan(&left, &policy, day(TODAY));
        prop_assert_eq!(again.deleted().count(), 0);
    }
}
