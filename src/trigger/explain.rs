//! Why a trigger did or did not match an event.
//!
//! In: a trigger, or a filter, and an event. Out: an [`Explanation`]: the tree of what it wants,
//! for each part what was found and whether it held, those that did not first, the nearest of them
//! before the others. It says nothing of targets, headers or secrets.
//!
//! # What it takes
//! Whether the whole held is judged as for any event. Beside that, at most [`MAX_STEPS`] are taken
//! to judge and order the parts, and as many to look at what was found; what they do not reach is
//! left out, or counts as far off. The parts are at most [`MAX_PARTS`], and each text of one is at
//! most so long as this module says. Where there is more, what is left out is the least telling: of
//! each part's own parts, those are told first that are the reason why it held or did not.

mod part;
mod teller;

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::filter::Filter;
#[cfg(feature = "engine")]
use super::filter::meter::{Meter, Steps};
use super::filter::sentence::Path;
use super::line::Line;
use super::{KindPattern, SuspendReason, Trigger};
use crate::event::Event;
use crate::event::node::Node;
use part::Part;
pub(crate) use part::Weight;
use teller::Teller;

/// The most parts of an explanation, itself among them; of what has more, it is said that something
/// is left out.
pub const MAX_PARTS: usize = 1_000;
/// The most leaves that are shown of those at one path.
pub const MAX_FOUND: usize = 8;
/// The longest text of what was found, in characters; of a longer one the last is `…`.
pub const MAX_FOUND_CHARS: usize = 80;
/// The most elements of an array that are explained: one that decided, and the nearest of the first
/// [`MAX_ELEMENTS_SEEN`].
pub const MAX_ELEMENTS: usize = 3;
/// The longest wording of what is wanted, in characters; of a longer one the last is `…`.
pub const MAX_WORDS: usize = 400;
/// The most elements of an array that are compared by how near they came.
pub const MAX_ELEMENTS_SEEN: usize = 64;
/// The most steps that are taken to choose what is shown: a step is a place of the event, a clause,
/// a condition, or sixteen bytes of a text for one.
pub const MAX_STEPS: usize = 1_000_000;
/// The lines of a trigger that are not its filter's: its own, whether it is enabled, scope and
/// kinds. One that gets only its own events has one more.
const FACTS: usize = 4;

/// Whether something held, and why.
///
/// Its JSON has the members of this type; its text has a line for each part, below what it is a
/// part of, with `[x]` before what held and `[ ]` before what did not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// What is wanted, in words: at most [`MAX_WORDS`] characters.
    pub wants: String,
    /// Whether it held.
    pub held: bool,
    /// How near it came, from 0 to 100. A leaf that is there and differs is half way; all of
    /// several are as near as their mean, any of several as the nearest.
    pub nearness: u8,
    /// What was found where it looked, at most [`MAX_FOUND`] leaves, each of at most
    /// [`MAX_FOUND_CHARS`]; a leaf that fits is among them. Where an object or an empty list
    /// stands, it is said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Vec<String>>,
    /// What it consists of: what did not hold first, and of that the nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Explanation>,
    /// How many parts, elements or leaves are left out, of those that were looked at.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Trigger {
    /// Why the trigger does or does not match an event: whether it is enabled, its scope, its kinds
    /// and its filter; of one with a schedule or a watch, also whether the event was made for it,
    /// by what the event says. A trigger that is suspended matches nevertheless; what it is
    /// suspended for is said beside whether it is enabled.
    ///
    /// ```
    /// use artifact_triggers::clock::Timestamp;
    /// use artifact_triggers::entropy::OsEntropy;
    /// use artifact_triggers::event::{Artifact, Event, EventKind};
    /// use artifact_triggers::id::TriggerId;
    /// use artifact_triggers::trigger::{Trigger, filter::field};
    ///
    /// let spec = Trigger::builder("releases")
    ///     .on(EventKind::ARTIFACT_INGESTED)
    ///     .filter(field::tags().satisfies_semver(">=1").and(field::name().is("app")))
    ///     .action("announce")
    ///     .build()?;
    /// let now = Timestamp::UNIX_EPOCH;
    /// let trigger = Trigger::new(TriggerId::new(now, &OsEntropy), spec, now);
    ///
    /// let image = Artifact::new("oci", "app").with_tag("v1.2.3");
    /// let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(image).build()?;
    /// let explanation = trigger.explain(&event);
    /// assert!(!explanation.held);
    /// // Not a version, because of its v; that is what the text begins with.
    /// let miss = &explanation.parts[0].parts[0];
    /// assert_eq!(miss.wants, r#"artifact.tags is a semantic version that meets ">=1""#);
    /// assert_eq!(miss.found.as_deref().unwrap(), [r#""v1.2.3""#]);
    /// # Ok::<(), artifact_triggers::document::Problems>(())
    /// ```
    pub fn explain(&self, event: &Event) -> Explanation {
        self.explain_within(event, self.spec.filter.matches(event), MAX_STEPS)
    }

    /// Explains with at most so many steps, since it is known whether the filter held.
    pub(crate) fn explain_within(
        &self,
        event: &Event,
        filter_held: bool,
        steps: usize,
    ) -> Explanation {
        let spec = &self.spec;
        let [enabled, scope, kind, own] = self.facts(event);
        let fact = |held: bool, found: &str, wants: &dyn Fn(&mut Line) -> fmt::Result| {
            let weight = Weight { held, nearness: if held { 100 } else { 0 } };
            let found = Line::of(MAX_FOUND_CHARS, |line| write!(line, "{}", found.escape_debug()));
            let wants = Line::of(MAX_WORDS, wants);
            Explanation { found: Some(vec![found]), ..Explanation::new(wants, weight) }
        };
        let state = match (spec.enabled, self.suspended) {
            (false, _) => "disabled",
            (true, None) => "enabled",
            (true, Some(SuspendReason::EndpointGone)) => {
                "suspended: its endpoint is gone, what matches is parked"
            }
            (true, Some(SuspendReason::Failing)) => {
                "suspended: all its attempts failed for long, what matches is parked"
            }
        };
        let room = MAX_PARTS - FACTS - usize::from(spec.is_fed());
        let filter = spec.filter.explain_within(event, filter_held, room, steps);
        let at = match event.scope.as_str() {
            "" => "the root",
            scope => scope,
        };
        let mut parts = vec![
            fact(enabled, state, &|line| line.write_str("the trigger is enabled")),
            fact(scope, at, &|line| match spec.scope.as_str() {
                "" => line.write_str("it happens anywhere"),
                scope => write!(line, "it happens at or below {}", scope.escape_debug()),
            }),
            fact(kind, event.kind.as_str(), &|line| {
                line.write_str("the kind is ")?;
                spec.kinds.iter().enumerate().try_for_each(|(n, kind)| {
                    write!(line, "{}{}", if n > 0 { " or " } else { "" }, kind.as_str())
                })
            }),
            filter,
        ];
        parts.extend(spec.feed().map(|feed| {
            let found =
                if own { "an event made for it" } else { "an event that was not made for it" };
            fact(own, found, &|line| line.write_str(&feed))
        }));
        let weight = self.weight(event, Weight { held: filter_held, nearness: parts[3].nearness });
        let wants = Line::of(MAX_WORDS, |line| write!(line, "trigger {:?} matches", spec.name));
        Explanation::new(wants, weight).with_parts(parts)
    }

    /// Whether the trigger and its filter match an event, and how near the trigger comes; `None` if
    /// that takes more than so many steps.
    #[cfg(feature = "engine")]
    pub(crate) fn weigh(&self, event: &Event, most: usize, steps: &mut Steps) -> Option<Weighed> {
        if !steps.spend(1 + self.spec.kinds.len()) {
            return None;
        }
        let filter = root(&self.spec.filter, event).weigh(None, most / 2, steps)?;
        Some(Weighed { whole: self.weight(event, filter), filter_held: filter.held })
    }

    fn weight(&self, event: &Event, filter: Weight) -> Weight {
        let facts = self.facts(event);
        let held = filter.held && facts.iter().all(|fact| *fact);
        let counted = if self.spec.is_fed() { 4 } else { 3 };
        let facts = facts.into_iter().take(counted).map(|fact| if fact { 100 } else { 0 });
        let nearness = part::mean(facts.chain([filter.nearness]));
        Weight { held, nearness: if held { 100 } else { nearness.min(99) } }
    }

    /// Whether it is enabled, sees the scope and the kind of an event, and gets none but its own.
    fn facts(&self, event: &Event) -> [bool; 4] {
        let spec = &self.spec;
        let own = !spec.is_fed() || self.is_own(event);
        let sees = |kind: &KindPattern| kind.matches(&event.kind);
        [spec.enabled, spec.scope.contains(&event.scope), spec.kinds.iter().any(sees), own]
    }
}

/// How near a trigger comes to match an event.
#[cfg(feature = "engine")]
#[derive(Clone, Copy)]
pub(crate) struct Weighed {
    pub(crate) whole: Weight,
    pub(crate) filter_held: bool,
}

impl Filter {
    /// Why the filter does or does not hold for an event.
    pub fn explain(&self, event: &Event) -> Explanation {
        self.explain_within(event, self.matches(event), MAX_PARTS, MAX_STEPS)
    }

    fn explain_within(&self, event: &Event, held: bool, room: usize, steps: usize) -> Explanation {
        Teller::new(room, steps).begin(&root(self, event), held)
    }
}

fn root<'f, 'e>(filter: &'f Filter, event: &'e Event) -> Part<'f, 'e> {
    Part::of_pattern(filter.root(), Some(Node::Event(event)), &Path::default())
}

impl Explanation {
    fn new(wants: String, Weight { held, nearness }: Weight) -> Self {
        Self { wants, held, nearness, found: None, parts: Vec::new(), left_out: 0 }
    }

    fn with_parts(self, mut parts: Vec<Self>) -> Self {
        parts.sort_by_key(|part| (part.held, u8::MAX - part.nearness));
        Self { parts, ..self }
    }

    fn write(&self, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.held { 'x' } else { ' ' };
        write!(f, "{:indent$}[{mark}] {}", "", self.wants, indent = 2 * depth)?;
        match self.found.as_deref() {
            None => {}
            Some([]) => f.write_str(": nothing there")?,
            Some(found) => write!(f, ": found {}", found.join(", "))?,
        }
        if self.left_out > 0 {
            write!(f, " ({} more left out)", self.left_out)?;
        }
        f.write_str("\n")?;
        self.parts.iter().try_for_each(|part| part.write(depth + 1, f))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(0, f)
    }
}

#[cfg(test)]
mod tests;
