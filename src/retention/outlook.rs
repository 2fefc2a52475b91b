//! The outlook: a registry's versions with the plan for them, to be looked at or carried out.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Plan, Retain, RetainError, RetentionPolicy, RetentionSummary, Verdict, Version, plan};
use crate::clock::Timestamp;
use crate::document::{Object, Problems};
use crate::event::Scope;

/// What a run of retention is to do.
///
/// In JSON, as the configuration of a [`RetentionAction`](super::RetentionAction):
///
/// | member | meaning |
/// |---|---|
/// | `policy` | the [policy](RetentionPolicy) |
/// | `dry_run` | `true` to delete nothing and tell what would be; `false` if it is not there |
/// | `at_most` | the most versions to delete in one run, and in each further attempt at it; all if it is not there |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RetentionRun {
    /// What is kept.
    pub policy: RetentionPolicy,
    /// Whether nothing is deleted.
    pub dry_run: bool,
    /// The most versions that one run deletes, those that were pushed first. What cannot be deleted
    /// does not count. A delivery that is tried again is another run: it may delete as many again.
    pub at_most: Option<u64>,
}

impl RetentionRun {
    /// A run that deletes all that the policy does not keep.
    pub fn new(policy: RetentionPolicy) -> Self {
        Self { policy, dry_run: false, at_most: None }
    }

    /// Makes it delete nothing.
    pub fn dry(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Sets the most versions that one run deletes.
    pub fn with_at_most(mut self, versions: u64) -> Self {
        self.at_most = Some(versions);
        self
    }

    /// Reads what a run is to do from a JSON value.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn from_value(value: Value) -> Result<Self, Problems> {
        Problems::gather(|problems| {
            let mut object = Object::root(value, problems)?;
            let policy: Option<Map<String, Value>> = object.required("policy", problems);
            let dry_run = object.optional("dry_run", problems).unwrap_or_default();
            let at_most = object.optional("at_most", problems);
            object.finish(problems);
            let policy = RetentionPolicy::from_value(Value::Object(policy?));
            let policy = policy.map_err(|found| problems.add_below("policy", &found)).ok()?;
            Some(Self { policy, dry_run, at_most })
        })
    }

    /// What a run is to do as JSON.
    pub fn to_value(&self) -> Value {
        let mut members = Map::new();
        members.insert("policy".to_owned(), self.policy.to_value());
        members.insert("dry_run".to_owned(), self.dry_run.into());
        if let Some(versions) = self.at_most {
            members.insert("at_most".to_owned(), versions.into());
        }
        Value::Object(members)
    }
}

/// Why there is no outlook. Nothing was deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// The registry did not tell its versions.
    #[error("the versions cannot be listed: {0}")]
    List(#[source] RetainError),
    /// There are more versions than are planned at once: have a run for each of several scopes
    /// below.
    #[error("expected at most {} versions below the scope, found more", Outlook::MAX_VERSIONS)]
    TooMany,
    /// A page is followed by itself, or by empty ones without end.
    #[error("the pages of versions have no end")]
    Endless,
}

/// The versions of a scope with a verdict on each, as of one time.
///
/// ```
/// # use artifact_triggers::retention::{Outlook, Retain, RetentionError, RetentionRun};
/// # use artifact_triggers::{clock::Timestamp, event::Scope};
/// /// What an endpoint for administrators answers that shows what a policy would do.
/// async fn preview(
///     registry: &dyn Retain,
///     scope: &Scope,
///     run: RetentionRun,
///     now: Timestamp,
/// ) -> Result<Vec<String>, RetentionError> {
///     let outlook = Outlook::of(registry, scope, run, now).await?;
///     let line = |judged| serde_json::to_string(&judged).expect("it has string keys only");
///     Ok(outlook.judged().map(line).collect())
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    scope: Scope,
    run: RetentionRun,
    versions: Vec<Version>,
    plan: Plan,
}

/// What becomes of a version, and why.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Judged<'o> {
    /// What it is.
    pub artifact: &'o crate::event::Artifact,
    /// Whether it is deleted.
    pub is_deleted: bool,
    /// Why it is kept or deleted, for a person.
    pub reason: String,
}

impl Outlook {
    /// The most versions that are planned at once.
    pub const MAX_VERSIONS: usize = 1_000_000;
    /// The most empty pages that are read.
    const MAX_EMPTY_PAGES: usize = 1_000;

    /// Lists the versions of a scope and plans what becomes of them.
    ///
    /// # Errors
    /// [`RetentionError`].
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn of(
        retain: &dyn Retain,
        scope: &Scope,
        run: RetentionRun,
        now: Timestamp,
    ) -> Result<Self, RetentionError> {
        let (mut versions, mut page, mut empty) = (Vec::new(), None::<String>, 0);
        loop {
            let found = retain.versions(scope, page.as_deref()).await;
            let found = found.map_err(RetentionError::List)?;
            empty += usize::from(found.versions.is_empty());
            versions.extend(found.versions);
            if versions.len() > Self::MAX_VERSIONS {
                return Err(RetentionError::TooMany);
            }
            if found.next.is_none() {
                break;
            }
            if found.next == page || empty > Self::MAX_EMPTY_PAGES {
                return Err(RetentionError::Endless);
            }
            page = found.next;
        }
        let plan = plan(&versions, &run.policy, now);
        Ok(Self { scope: scope.clone(), run, versions, plan })
    }

    /// What becomes of each version, and why, in the order in which they were listed.
    pub fn judged(&self) -> impl Iterator<Item = Judged<'_>> {
        self.versions.iter().zip(self.plan.verdicts()).enumerate().map(
            |(place, (version, verdict))| Judged {
                artifact: &version.artifact,
                is_deleted: *verdict == Verdict::Delete,
                reason: self.plan.explain(place),
            },
        )
    }

    /// The versions that a run deletes if nothing fails, in the order in which it does: what
    /// belongs to others after all that stand for themselves, the oldest first.
    pub fn to_delete(&self) -> impl Iterator<Item = &Version> {
        self.places_to_delete().into_iter().map(|place| &self.versions[place])
    }

    /// What a run would come to if nothing failed; nothing is deleted.
    pub fn summary(&self) -> RetentionSummary {
        let mut summary = self.begun(true);
        for place in self.places_to_delete() {
            summary.add_deleted(&self.versions[place], || self.plan.explain(place));
        }
        summary
    }

    /// Deletes what is to be deleted, one after the other; what cannot be deleted is told and left,
    /// and what comes next is deleted instead.
    ///
    /// # Cancel safety
    /// If it is dropped before it answered, some are deleted. An outlook that is made anew has the
    /// others.
    pub async fn carry_out(&self, retain: &dyn Retain) -> RetentionSummary {
        let mut summary = self.begun(false);
        for place in self.deletable() {
            if summary.deleted >= self.most() {
                break;
            }
            let version = &self.versions[place];
            match retain.delete(&self.scope, version).await {
                Ok(()) => summary.add_deleted(version, || self.plan.explain(place)),
                Err(error) => summary.add_failed(version, &error),
            }
        }
        summary.left = self.plan.deleted().count() - summary.deleted - summary.failed;
        summary
    }

    /// Does what the run says: looks, or carries out.
    pub async fn run(&self, retain: &dyn Retain) -> RetentionSummary {
        if self.run.dry_run { self.summary() } else { self.carry_out(retain).await }
    }

    /// A summary in which nothing is deleted yet.
    fn begun(&self, dry_run: bool) -> RetentionSummary {
        let all = self.plan.deleted().count();
        let now = self.places_to_delete().len();
        RetentionSummary {
            dry_run,
            listed: self.versions.len(),
            kept: self.versions.len() - all,
            left: all - now,
            ..RetentionSummary::default()
        }
    }

    /// What is deleted if nothing fails.
    fn places_to_delete(&self) -> Vec<usize> {
        let mut places = self.deletable();
        places.truncate(self.most());
        places
    }

    /// What the policy does not keep, in the order in which it is deleted.
    fn deletable(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.plan.deleted().collect();
        let order = |place: &usize| (self.plan.is_owned(*place), self.versions[*place].created_at);
        places.sort_by_key(order);
        places
    }

    /// The most versions that are deleted.
    fn most(&self) -> usize {
        self.run.at_most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Judged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_deleted { "delete" } else { "keep" };
        write!(f, "{verdict} {}: {}", super::summary::label(self.artifact), self.reason)
    }
}

#[cfg(test)]
mod tests;
