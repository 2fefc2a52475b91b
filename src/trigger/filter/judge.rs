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
            let verdict = of_elements(patterns, array, len);
            if verdict == Verdict::ByAbsence && patterns.iter().any(|pattern| pattern.has_or()) {
                return by_the_same_absence(patterns, array, len);
            }
            verdict
        }
        Some((object, Shape::Object)) => judge_object(patterns, Some(object)),
        _ => judge_object(patterns, None),
    }
}

fn of_elements(patterns: &[&Pattern], array: Node<'_>, len: usize) -> Verdict {
    let mut all = Verdict::ByAbsence;
    for verdict in (0..len).map(|at| judge(patterns, array.element(at))) {
        if verdict == Verdict::Yes {
            return Verdict::Yes;
        }
        all = all.min(verdict);
    }
    all
}

/// What holds for all elements by absence must do so by the same patterns of the `$or`s.
fn by_the_same_absence(patterns: &[&Pattern], array: Node<'_>, len: usize) -> Verdict {
    let mut ways: Vec<Vec<Clause>> = vec![Vec::new()];
    for pattern in patterns {
        ways = product(&ways, &pattern.resolved());
    }
    let holds = |clauses: Vec<Clause>| {
        let way = Pattern { clauses, entangled: true };
        of_elements(&[&way], array, len) == Verdict::ByAbsence
    };
    if ways.into_iter().any(holds) { Verdict::ByAbsence } else { Verdict::No }
}

fn product(ways: &[Vec<Clause>], further: &[Vec<Clause>]) -> Vec<Vec<Clause>> {
    let with =
        |way: &Vec<Clause>| further.iter().map(|more| [&way[..], &more[..]].concat()).collect();
    ways.iter().flat_map(|way| -> Vec<Vec<Clause>> { with(way) }).collect()
}

impl Pattern {
    /// Whether it, or a pattern of a member, has an `$or`.
    fn has_or(&self) -> bool {
        self.clauses.iter().any(|clause| match clause {
            Clause::Or(_) => true,
            Clause::Nested { pattern, .. } => pattern.has_or(),
            _ => false,
        })
    }

    /// The clauses for each way to choose one pattern of each `$or`.
    fn resolved(&self) -> Vec<Vec<Clause>> {
        let mut ways = vec![Vec::new()];
        for clause in &self.clauses {
            let own = match clause {
                Clause::Or(branches) => branches.iter().flat_map(Self::resolved).collect(),
                Clause::Nested { name, pattern } => {
                    let nested = |clauses| {
                        let pattern = Self { clauses, entangled: true };
                        vec![Clause::Nested { name: name.clone(), pattern }]
                    };
                    pattern.resolved().into_iter().map(nested).collect()
                }
                other => vec![vec![other.clone()]],
            };
            ways = product(&ways, &own);
        }
        ways
    }
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
