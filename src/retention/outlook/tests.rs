use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::json;

use super::super::{RetentionAction, VersionPage};
use super::*;
use crate::action::{Action as _, ActionCall, ActionError, Done};
use crate::event::{Artifact, Event, EventKind, OciFacts};
use crate::id::TriggerId;

fn day(n: i64) -> Timestamp {
    Timestamp::from_unix_seconds(n * 86_400)
}

/// A registry that tells three versions a page, and deletes as it is told to.
#[derive(Debug, Default)]
struct Registry {
    versions: Mutex<Vec<Version>>,
    deletions: Mutex<Vec<String>>,
    /// Deletions of these fail.
    stubborn: BTreeSet<String>,
    /// After so many deletions the process dies.
    dies_after: Option<usize>,
    /// Every page is followed by itself, or by a new empty one.
    endless: Option<bool>,
    is_down: bool,
}

#[async_trait]
impl Retain for Registry {
    async fn versions(&self, _: &Scope, page: Option<&str>) -> Result<VersionPage, RetainError> {
        if self.is_down {
            return Err("the database is away".into());
        }
        let from: usize = page.map_or(0, |page| page.parse().unwrap());
        if let Some(itself) = self.endless {
            return Ok(VersionPage::default().with_next((from + usize::from(!itself)).to_string()));
        }
        let all = self.versions.lock().unwrap();
        let page = VersionPage::last(all.iter().skip(from).take(3).cloned().collect());
        Ok(if from + 3 < all.len() { page.with_next((from + 3).to_string()) } else { page })
    }

    async fn delete(&self, _: &Scope, version: &Version) -> Result<(), RetainError> {
        let name = version.artifact.version.clone().unwrap();
        if self.dies_after.is_some_and(|most| self.deletions.lock().unwrap().len() >= most) {
            std::future::pending::<()>().await;
        }
        if self.stubborn.contains(&name) {
            return Err(format!("{name} is in use").into());
        }
        self.versions.lock().unwrap().retain(|other| other.artifact != version.artifact);
        self.deletions.lock().unwrap().push(name);
        Ok(())
    }
}

impl Registry {
    fn of(versions: impl IntoIterator<Item = Version>) -> Self {
        Self { versions: Mutex::new(versions.into_iter().collect()), ..Self::default() }
    }

    fn names(&self) -> Vec<String> {
        let all = self.versions.lock().unwrap();
        all.iter().map(|version| version.artifact.version.clone().unwrap()).collect()
    }
}

fn version(n: i64) -> Version {
    let artifact = Artifact::new("cargo", "a").with_version(format!("1.{n}.0")).with_size(10);
    Version::new(artifact, day(n))
}

fn ten() -> Registry {
    Registry::of((0..10).rev().map(version))
}

fn keep(count: u64) -> RetentionRun {
    RetentionRun::new(RetentionPolicy::keep_last(count))
}

/// The answer of what waits for nothing that does not come; `None` if it does.
fn now<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match work.as_mut().poll(&mut context) {
        std::task::Poll::Ready(answer) => Some(answer),
        std::task::Poll::Pending => None,
    }
}

fn outlook(registry: &Registry, run: RetentionRun) -> Result<Outlook, RetentionError> {
    now(Outlook::of(registry, &Scope::root(), run, day(100))).unwrap()
}

fn call(config: Value) -> ActionCall {
    let fired = Event::builder(EventKind::SCHEDULE_FIRED)
        .scope("acme".parse().unwrap())
        .occurred_at(day(100))
        .build_at(day(100), &crate::entropy::OsEntropy)
        .unwrap();
    ActionCall::new(fired, TriggerId::derived(day(0), &[])).with_config(config)
}

/// What an action tells in the end, as JSON.
fn told(call: &ActionCall, done: Done) -> Value {
    let mut events: Vec<_> = done.events.into_iter().map(|event| event.build().unwrap()).collect();
    assert_eq!(events.len(), 1);
    let event = events.remove(0);
    assert_eq!(
        (event.kind, event.scope),
        (EventKind::RETENTION_COMPLETED, call.event.scope.clone())
    );
    assert_eq!(event.correlation.cause, Some(call.event.id));
    event.data.unwrap()
}

#[test]
fn a_dry_run_tells_what_the_real_one_does_and_why_and_deletes_nothing() {
    let registry = ten();
    let outlook = outlook(&registry, keep(8)).unwrap();
    let judged: Vec<String> = outlook.judged().map(|judged| judged.to_string()).collect();
    assert_eq!(judged.len(), 10);
    let why = "number 10 of its package from the newest on, and 8 are kept";
    assert_eq!(judged[9], format!("delete a:1.0.0: {why}"));
    assert_eq!(judged[0], "keep a:1.9.0: number 1 of its package from the newest on");
    let dry = outlook.summary();
    assert_eq!(registry.names().len(), 10);
    assert_eq!(dry.to_string(), "2 of 10 versions would be deleted, 20 bytes");
    let real = now(outlook.carry_out(&registry)).unwrap();
    assert_eq!(RetentionSummary { dry_run: true, ..real }, dry);
    assert_eq!(*registry.deletions.lock().unwrap(), ["1.0.0", "1.1.0"], "the oldest first");
}

#[test]
fn what_cannot_be_deleted_is_told_and_stops_nothing() {
    let registry = Registry { stubborn: ["1.0.0".to_owned()].into(), ..ten() };
    let call = call(keep(7).to_value());
    let action = RetentionAction::new(std::sync::Arc::new(registry));
    let done = now(action.run(call.clone())).unwrap().unwrap();
    assert_eq!(done.text, "2 of 10 versions deleted, 20 bytes, 1 failed");
    let data = told(&call, done);
    assert_eq!(data["failures"], json!([{"artifact": "a:1.0.0", "error": "1.0.0 is in use"}]));
    let counts = ["listed", "kept", "deleted", "failed", "left"].map(|name| data[name].as_u64());
    assert_eq!(counts, [10, 7, 2, 1, 0].map(Some));
}

#[test]
fn a_run_that_dies_in_the_middle_is_gone_on_with_as_of_the_same_time() {
    let registry = Registry { dies_after: Some(2), ..ten() };
    let outlook = outlook(&registry, keep(5)).unwrap();
    let all: Vec<Version> = outlook.to_delete().cloned().collect();
    assert!(now(outlook.carry_out(&registry)).is_none(), "it dies");
    let registry = Registry { dies_after: None, ..registry };
    let action = RetentionAction::new(std::sync::Arc::new(registry));
    let again = call(keep(5).to_value());
    let data = told(&again, now(action.run(again.clone())).unwrap().unwrap());
    assert_eq!(data["deleted"], json!(3));
    let data = told(&again, now(action.run(again.clone())).unwrap().unwrap());
    assert_eq!((&data["deleted"], &data["listed"]), (&json!(0), &json!(5)));
    assert_eq!(all.len(), 5);
}

#[test]
fn a_run_deletes_no_more_than_it_may_and_tells_what_is_left() {
    let registry = ten();
    let run = keep(5).with_at_most(2);
    let done = now(outlook(&registry, run.clone()).unwrap().carry_out(&registry)).unwrap();
    assert_eq!((done.deleted, done.left, registry.names().len()), (2, 3, 8));
    let none = now(outlook(&registry, run.with_at_most(0)).unwrap().carry_out(&registry)).unwrap();
    assert_eq!((none.deleted, none.left), (0, 3));
}

#[test]
fn what_cannot_be_deleted_takes_the_place_of_nothing_else() {
    let stubborn = ["1.0.0", "1.1.0"].map(str::to_owned).into();
    let registry = Registry { stubborn, ..ten() };
    let run = keep(5).with_at_most(2);
    let done = now(outlook(&registry, run.clone()).unwrap().carry_out(&registry)).unwrap();
    assert_eq!((done.deleted, done.failed, done.left), (2, 2, 1));
    assert_eq!(*registry.deletions.lock().unwrap(), ["1.2.0", "1.3.0"]);
    let next = now(outlook(&registry, run).unwrap().carry_out(&registry)).unwrap();
    assert_eq!((next.deleted, next.failed, next.left), (1, 2, 0));
}

#[test]
fn an_index_is_deleted_before_its_children() {
    let digest = |n: u8| format!("sha256:{}", format!("{n:02x}").repeat(32));
    let image = |n: u8, parent: Option<u8>| {
        let oci = OciFacts { parent_digest: parent.map(digest), ..OciFacts::default() };
        let artifact = Artifact::new("oci", "app").with_digest(digest(n)).with_oci(oci);
        Version::new(artifact.with_version(n.to_string()), day(n.into()))
    };
    let registry = Registry::of([image(1, Some(2)), image(2, None), image(9, None)]);
    now(outlook(&registry, keep(1)).unwrap().carry_out(&registry)).unwrap();
    assert_eq!(*registry.deletions.lock().unwrap(), ["2", "1"]);
}

#[test]
fn what_cannot_be_listed_is_tried_again_and_what_has_no_end_is_not() {
    let run = |registry: Registry| {
        now(RetentionAction::new(registry).run(call(keep(1).to_value()))).unwrap().unwrap_err()
    };
    let down = "the versions cannot be listed: the database is away".to_owned();
    assert_eq!(run(Registry { is_down: true, ..ten() }), ActionError::Transient(down));
    for itself in [true, false] {
        let error = run(Registry { endless: Some(itself), ..ten() });
        assert_eq!(error, ActionError::Permanent("the pages of versions have no end".to_owned()));
    }
}

#[test]
fn a_configuration_that_is_wrong_is_named_and_a_ping_deletes_nothing() {
    let action = RetentionAction::new(ten());
    let wrong = json!({"policy": {"keep_last": 0}, "dry_run": "yes", "all": true});
    let problems = "dry_run: expected true or false, found \"yes\"; \
                    all: is not a member of this object; \
                    policy.keep_last: expected 1 or more, found 0";
    assert_eq!(action.check_config(&wrong).unwrap_err(), problems);
    let error = now(action.run(call(wrong))).unwrap().unwrap_err();
    assert_eq!(error, ActionError::Permanent(format!("config: {problems}")));
    assert!(action.check_config(&json!({})).unwrap_err().starts_with("policy: expected an object"));
    let run = keep(1).with_at_most(3).dry();
    assert_eq!(RetentionRun::from_value(run.to_value()), Ok(run.clone()));
    let mut ping = call(run.to_value());
    ping.event.kind = EventKind::PING;
    let done = now(action.run(ping)).unwrap().unwrap();
    assert!(done.events.is_empty());
    assert_eq!(action.retain().names().len(), 10);
}

#[test]
fn what_fires_by_the_schedule_of_another_trigger_deletes_nothing() {
    let action = RetentionAction::new(ten());
    let fired_by = |trigger: TriggerId| {
        let mut call = call(keep(1).to_value());
        call.event.attributes.insert("trigger".to_owned(), trigger.to_string());
        now(action.run(call)).unwrap().unwrap()
    };
    let done = fired_by(TriggerId::derived(day(1), &[]));
    assert_eq!(done.text, "nothing is deleted for the schedule of another trigger");
    assert_eq!(action.retain().names().len(), 10);
    assert_eq!(fired_by(TriggerId::derived(day(0), &[])).events.len(), 1);
    assert_eq!(action.retain().names().len(), 1);
}

#[test]
fn a_source_whose_clock_is_ahead_makes_nothing_older() {
    let policy = json!({"policy": {"keep_younger_than": "30d"}});
    let action = RetentionAction::new(Registry::of([version(90)]));
    let mut ahead = call(policy);
    ahead.event.occurred_at = day(4_000);
    now(action.run(ahead)).unwrap().unwrap();
    assert_eq!(action.retain().names().len(), 1);
}

proptest! {
    #[test]
    fn a_dry_run_is_the_real_one_and_what_is_protected_stays(
        all in prop::collection::vec((0_u8..3, 0_i64..60, any::<bool>()), 0..40),
        last in 1_u64..5,
        at_most in prop::option::of(0_u64..6),
    ) {
        let versions = all.iter().enumerate().map(|(n, (package, pushed, is_protected))| {
            let artifact = Artifact::new("cargo", format!("p{package}")).with_version(n.to_string());
            let version = Version::new(artifact, day(*pushed));
            if *is_protected { version.protected() } else { version }
        });
        let registry = Registry::of(versions);
        let mut run = keep(last);
        run.at_most = at_most;
        let outlook = outlook(&registry, run).unwrap();
        let expected: Vec<_> =
            outlook.to_delete().map(|version| version.artifact.version.clone().unwrap()).collect();
        let dry = outlook.summary();
        prop_assert_eq!(registry.deletions.lock().unwrap().len(), 0);
        let real = now(outlook.carry_out(&registry)).unwrap();
        prop_assert_eq!(RetentionSummary { dry_run: true, ..real }, dry);
        prop_assert_eq!(&*registry.deletions.lock().unwrap(), &expected);
        let left = registry.names();
        for (n, (_, _, is_protected)) in all.iter().enumerate() {
            prop_assert!(!is_protected || left.contains(&n.to_string()));
        }
    }
}
