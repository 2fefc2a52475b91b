//! Whether a pattern holds at a place of an event.
//!
//! An array of objects satisfies a pattern if one of its elements does, and what is said beside each
//! other, through `$or` too, must be satisfied by the same one. That something is absent is told of
//! the element that satisfies the rest, and of all of them where nothing else chooses one.

use super::{Clause, Condition, Pattern};
use crate::event::node::{Node, Shape};

/// Whether a pattern holds, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    No,
    /// It holds since nothing is there that it speaks of. An array satisfies it so if all of its
    /// elements do.
    ByAbsence,
    /// It holds by something that is there.
    Yes,
}

impl Pattern {
    /// Judges what is at a place, if anything is.
    pub(crate) fn judge(&self, node: Option<Node<'_>>) -> Verdict {
        judge(&[self], node)
    }
}

/// Judges several patterns that the same element must satisfy.
fn judge(patterns: &[&Pattern], node: Option<Node<'_>>) -> Verdict {
    match node.map(|node| (node, node.shape())) {
        Some((array, Shape::Array(len))) if len > 0 => {
            let elements = (0..len).map(|at| judge(patterns, array.element(at)));
            of_elements(elements)
        }
        Some((object, Shape::Object)) => judge_object(patterns, Some(object)),
        _ => judge_object(patterns, None),
    }
}

fn of_elements(elements: impl Iterator<Item = Verdict>) -> Verdict {
    let mut all = Verdict::ByAbsence;
    for verdict in elements {
        if verdict == Verdict::Yes {
            return Verdict::Yes;
        }
        all = all.min(verdict);
    }
    all
}

fn judge_object(patterns: &[&Pattern], object: Option<Node<'_>>) -> Verdict {
    match patterns {
        [pattern] if !pattern.entangled => {
            all(pattern.clauses.iter().map(|clause| clause.judge(object)))
        }
        _ => {
            let mut pending: Vec<&Clause> = patterns.iter().flat_map(|p| &p.clauses).collect();
            resolve(&mut pending, &mut Vec::new(), object)
        }
    }
}

/// All must hold; they do so by something that is there if any does.
fn all(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut found = Verdict::ByAbsence;
    for verdict in verdicts {
        if verdict == Verdict::No {
            return Verdict::No;
        }
        found = found.max(verdict);
    }
    found
}

/// Chooses one pattern of each `$or` in every way, until the clauses hold in the best way they can.
/// There are at most [`MAX_COMBINATIONS`](super::MAX_COMBINATIONS) ways.
fn resolve<'c>(
    pending: &mut Vec<&'c Clause>,
    chosen: &mut Vec<&'c Clause>,
    object: Option<Node<'_>>,
) -> Verdict {
    let Some(clause) = pending.pop() else { return judge_together(chosen, object) };
    if let Clause::Or(branches) = clause {
        let mut best = Verdict::No;
        for branch in branches {
            let mut with_branch = pending.clone();
            with_branch.extend(&branch.clauses);
            best = best.max(resolve(&mut with_branch, &mut chosen.clone(), object));
            if best == Verdict::Yes {
                break;
            }
        }
        best
    } else {
        chosen.push(clause);
        resolve(pending, chosen, object)
    }
}

/// Judges clauses without an `$or`: what is said of one member object is judged together.
fn judge_together(clauses: &[&Clause], object: Option<Node<'_>>) -> Verdict {
    let mut nested: Vec<(&str, Vec<&Pattern>)> = Vec::new();
    let mut verdicts = Vec::with_capacity(clauses.len());
    for clause in clauses {
        if let Clause::Nested { name, pattern } = clause {
            match nested.iter_mut().find(|(known, _)| *known == &**name) {
                Some((_, patterns)) => patterns.push(pattern),
                None => nested.push((name, vec![pattern])),
            }
        } else {
            verdicts.push(clause.judge(object));
        }
    }
    let members = nested
        .into_iter()
        .map(|(name, patterns)| judge(&patterns, object.and_then(|object| object.member(name))));
    all(verdicts.into_iter().chain(members))
}

impl Clause {
    /// Judges the clause for an object, or for nothing.
    pub(crate) fn judge(&self, object: Option<Node<'_>>) -> Verdict {
        let member = |name: &str| object.and_then(|object| object.member(name));
        let there = if object.is_some() { Verdict::Yes } else { Verdict::ByAbsence };
        match self {
            Self::Leaf { name, any } => judge_leaf(any, member(name)),
            Self::Nested { name, pattern } => pattern.judge(member(name)),
            Self::Or(branches) => {
                let verdicts = branches.iter().map(|branch| judge_object(&[branch], object));
                verdicts.max().unwrap_or(Verdict::No)
            }
            Self::And(patterns) => {
                let holds = |pattern: &Pattern| judge_object(&[pattern], object) != Verdict::No;
                if patterns.iter().all(holds) { there } else { Verdict::No }
            }
            Self::Not(pattern) => match judge_object(&[pattern], object) {
                Verdict::No => there,
                _ => Verdict::No,
            },
        }
    }
}

/// Judges what is at a path: of arrays, whether an element's leaf satisfies any of the conditions.
pub(crate) fn judge_leaf(any: &[Condition], node: Option<Node<'_>>) -> Verdict {
    match node.and_then(|node| any_leaf_holds(any, node)) {
        Some(true) => Verdict::Yes,
        // An object or an empty array has no leaf here: it counts as absent.
        None if any.iter().any(Condition::holds_for_nothing) => Verdict::ByAbsence,
        _ => Verdict::No,
    }
}

/// Whether a leaf satisfies any of the conditions; `None` if there is no leaf. Looks at each element
/// once.
fn any_leaf_holds(any: &[Condition], node: Node<'_>) -> Option<bool> {
    match node.shape() {
        Shape::Object => None,
        Shape::Array(len) => {
            let mut found = None;
            for element in (0..len).filter_map(|at| node.element(at)) {
                match any_leaf_holds(any, element) {
                    Some(true) => return Some(true),
                    leaf => found = found.or(leaf),
                }
            }
            found
        }
        Shape::Leaf(leaf) => Some(any.iter().any(|condition| condition.holds(leaf))),
    }
}
