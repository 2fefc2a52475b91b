//! Why a trigger did or did not match an event.
//!
//! In: a trigger, or a filter, and an event. Out: an [`Explanation`]: the tree of what it wants, for
//! each part what was found and whether it held, those that did not first, the nearest of them before
//! the others. It says nothing of targets, headers or secrets, and is of bounded size whatever the
//! filter and the event are.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::Trigger;
use super::filter::sentence;
use super::filter::{Clause, Condition, Filter, Pattern, Verdict};
use crate::document::cut;
use crate::event::Event;
use crate::event::node::{Leaf, Node, Shape};

/// The most parts of an explanation; of what has more, it is said that something is left out.
pub const MAX_PARTS: usize = 1_000;
/// The most leaves that are shown of those at one path.
pub const MAX_FOUND: usize = 8;
/// The most elements of an array that are explained, of the first [`MAX_ELEMENTS_SEEN`] the nearest.
pub const MAX_ELEMENTS: usize = 3;
/// The longest wording of what is wanted, in characters.
pub const MAX_WORDS: usize = 400;
/// The most elements of an array that are looked at.
pub const MAX_ELEMENTS_SEEN: usize = 64;

/// Whether something held, and why.
///
/// Its JSON has the members of this type; its text has a line for each part, below what it is a part
/// of, with `[x]` before what held and `[ ]` before what did not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// What is wanted, in words.
    pub wants: String,
    /// Whether it held.
    pub held: bool,
    /// How near it came, from 0 to 100. A leaf that is there and differs is half way; all of several
    /// are as near as their mean, any of several as the nearest.
    pub nearness: u8,
    /// What was found where it looked, at most [`MAX_FOUND`] leaves, each cut to 80 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Vec<String>>,
    /// What it consists of: what did not hold first, and of that the nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Explanation>,
    /// How many parts, elements or leaves are left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Trigger {
    /// Why the trigger does or does not match an event: whether it is enabled, its scope, its kinds
    /// and its filter.
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
        let spec = &self.spec;
        let kinds: Vec<&str> = spec.kinds.iter().map(super::KindPattern::as_str).collect();
        let scope = match spec.scope.as_str() {
            "" => "it happens anywhere".to_owned(),
            scope => format!("it happens at or below {}", scope.escape_debug()),
        };
        let fact = |wants: String, held: bool, found: &str| Explanation {
            found: Some(vec![cut(found).escape_debug().to_string()]),
            ..Explanation::new(wants, held, if held { 100 } else { 0 })
        };
        let enabled = if spec.enabled { "enabled" } else { "disabled" };
        let kind_held = spec.kinds.iter().any(|kind| kind.matches(&event.kind));
        let parts = vec![
            fact("the trigger is enabled".to_owned(), spec.enabled, enabled),
            fact(scope, spec.scope.contains(&event.scope), event.scope.as_str()),
            fact(format!("the kind is {}", kinds.join(" or ")), kind_held, event.kind.as_str()),
            spec.filter.explain(event),
        ];
        let held = parts.iter().all(|part| part.held);
        Explanation::of_all(format!("trigger {:?} matches", spec.name), held, parts)
    }
}

impl Filter {
    /// Why the filter does or does not hold for an event.
    pub fn explain(&self, event: &Event) -> Explanation {
        Explainer { left: MAX_PARTS }.pattern(self.root(), Some(Node::Event(event)), "")
    }
}

impl Explanation {
    fn new(mut wants: String, held: bool, nearness: u8) -> Self {
        if let Some((end, _)) = wants.char_indices().nth(MAX_WORDS) {
            wants.truncate(end);
            wants.push('…');
        }
        Self { wants, held, nearness, found: None, parts: Vec::new(), left_out: 0 }
    }

    /// What consists of parts that must all hold.
    fn of_all(wants: String, held: bool, parts: Vec<Self>) -> Self {
        let sum: usize = parts.iter().map(|part| usize::from(part.nearness)).sum();
        let mean = sum.checked_div(parts.len()).and_then(|mean| u8::try_from(mean).ok());
        Self::with_parts(wants, held, mean.unwrap_or(100), parts)
    }

    fn with_parts(wants: String, held: bool, nearness: u8, mut parts: Vec<Self>) -> Self {
        parts.sort_by_key(|part| (part.held, u8::MAX - part.nearness));
        // What did not hold as a whole is not all the way there, however near its parts came.
        let nearness = if held { 100 } else { nearness.min(99) };
        Self { parts, ..Self::new(wants, held, nearness) }
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

/// Explains until the parts are used up.
struct Explainer {
    left: usize,
}

impl Explainer {
    fn pattern(&mut self, pattern: &Pattern, node: Option<Node<'_>>, path: &str) -> Explanation {
        let held = pattern.judge(node) != Verdict::No;
        let wants = match (path, pattern.clauses.as_slice()) {
            (_, []) => "anything".to_owned(),
            (_, [only]) => sentence::of_clause(only, path),
            ("", _) => "all of these".to_owned(),
            _ => format!("all of these, of the same {path}"),
        };
        match node.map(|node| (node, node.shape())) {
            Some((array, Shape::Array(len))) if len > 0 => {
                self.elements(wants, held, pattern, array, len, path)
            }
            Some((object, Shape::Object)) => self.clauses(wants, held, pattern, Some(object), path),
            _ => self.clauses(wants, held, pattern, None, path),
        }
    }

    /// Of an array the elements that came nearest.
    fn elements(
        &mut self,
        wants: String,
        held: bool,
        pattern: &Pattern,
        array: Node<'_>,
        len: usize,
        path: &str,
    ) -> Explanation {
        let mut parts = Vec::new();
        for at in 0..len.min(MAX_ELEMENTS_SEEN) {
            if !self.take() {
                break;
            }
            let mut part = self.pattern(pattern, array.element(at), path);
            part.wants = format!("element {at}: {}", part.wants);
            parts.push(part);
        }
        let nearness = parts.iter().map(|part| part.nearness).max().unwrap_or(0);
        parts.sort_by_key(|part| u8::MAX - part.nearness);
        parts.truncate(MAX_ELEMENTS);
        let left_out = len - parts.len();
        Explanation { left_out, ..Explanation::with_parts(wants, held, nearness, parts) }
    }

    fn clauses(
        &mut self,
        wants: String,
        held: bool,
        pattern: &Pattern,
        object: Option<Node<'_>>,
        path: &str,
    ) -> Explanation {
        if let [only] = pattern.clauses.as_slice() {
            return self.clause(only, object, path);
        }
        let (mut parts, mut left_out) = (Vec::new(), 0);
        for clause in &pattern.clauses {
            if self.take() {
                parts.push(self.clause(clause, object, path));
            } else {
                left_out += 1;
            }
        }
        if !held && left_out == 0 && parts.iter().all(|part| part.held) {
            let wants = "one and the same element satisfies all of it".to_owned();
            parts.push(Explanation::new(wants, false, 50));
        }
        Explanation { left_out, ..Explanation::of_all(wants, held, parts) }
    }

    fn clause(&mut self, clause: &Clause, object: Option<Node<'_>>, path: &str) -> Explanation {
        let member = |name: &str| object.and_then(|object| object.member(name));
        match clause {
            Clause::Leaf { name, any } => leaf(any, member(name), &sentence::join(path, name)),
            Clause::Nested { name, pattern } => {
                self.pattern(pattern, member(name), &sentence::join(path, name))
            }
            Clause::Or(branches) => self.group("any of these", clause, branches, object, path),
            Clause::And(patterns) => {
                self.group("all of these, each on its own", clause, patterns, object, path)
            }
            Clause::Not(pattern) => {
                let inner = std::slice::from_ref(&**pattern);
                self.group("none of this", clause, inner, object, path)
            }
        }
    }

    fn group(
        &mut self,
        wants: &str,
        clause: &Clause,
        patterns: &[Pattern],
        object: Option<Node<'_>>,
        path: &str,
    ) -> Explanation {
        let held = clause.judge(object) != Verdict::No;
        let (mut parts, mut left_out) = (Vec::new(), 0);
        for pattern in patterns {
            if self.take() {
                parts.push(self.pattern(pattern, object, path));
            } else {
                left_out += 1;
            }
        }
        let nearness = parts.iter().map(|part| part.nearness);
        let wants = wants.to_owned();
        let explanation = match clause {
            Clause::Or(_) => {
                let nearest = nearness.max().unwrap_or(0);
                Explanation::with_parts(wants, held, nearest, parts)
            }
            Clause::Not(_) => Explanation::with_parts(wants, held, 50, parts),
            _ => Explanation::of_all(wants, held, parts),
        };
        Explanation { left_out, ..explanation }
    }

    /// Whether there is room for one part more.
    fn take(&mut self) -> bool {
        let room = self.left > 0;
        self.left = self.left.saturating_sub(1);
        room
    }
}

fn leaf(any: &[Condition], node: Option<Node<'_>>, path: &str) -> Explanation {
    let held = super::filter::judge_leaf(any, node) != Verdict::No;
    let (mut found, mut left_out) = (Vec::new(), 0);
    if let Some(node) = node {
        collect(node, &mut found, &mut left_out);
    }
    let nearness = match (held, found.is_empty()) {
        (true, _) => 100,
        (false, false) => 50,
        (false, true) => 0,
    };
    let wants = sentence::of_leaf(path, any);
    Explanation { found: Some(found), left_out, ..Explanation::new(wants, held, nearness) }
}

/// The leaves at a place: those of an array's elements, not those below an object.
fn collect(node: Node<'_>, found: &mut Vec<String>, left_out: &mut usize) {
    match node.shape() {
        Shape::Leaf(_) if found.len() == MAX_FOUND => *left_out += 1,
        Shape::Leaf(leaf) => found.push(show(leaf)),
        Shape::Array(len) => {
            for element in (0..len).filter_map(|at| node.element(at)) {
                collect(element, found, left_out);
            }
        }
        Shape::Object => {}
    }
}

fn show(leaf: Leaf<'_>) -> String {
    match leaf.with_text(cut) {
        Some(text) => format!("{text:?}"),
        None => match leaf.to_value() {
            Value::String(text) => format!("{text:?}"),
            value => value.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
