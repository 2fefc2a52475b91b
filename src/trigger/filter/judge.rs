//! Whether a pattern holds at a place of an event.
//!
//! An array of objects satisfies a pattern if one of its elements does, and what is said beside
//! each other, through `$or` too, must be satisfied by the same one. That something is absent is
//! told of the element that satisfies the rest, and of all of them where nothing else chooses one.
//!
//! A [`Meter`] counts what is done, and may end it; a verdict counts only if it did not.

use super::meter::{Meter, Unmetered};
use super::{Clause, Condition, Pattern};
use crate::event::node::{Leaf, Node, Shape};

/// How many bytes of a text are read in the time of one step.
const BYTES_PER_STEP: usize = 16;

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
        self.judge_within(node, &mut Unmetered)
    }

    /// Judges what is at a place, as far as the meter lets it.
    pub(crate) fn judge_within<M: Meter>(&self, node: Option<Node<'_>>, meter: &mut M) -> Verdict {
        judge(&[self], node, meter)
    }
}

/// Judges several patterns that the same element must satisfy.
fn judge<M: Meter>(patterns: &[&Pattern], node: Option<Node<'_>>, meter: &mut M) -> Verdict {
    if !meter.spend(1) {
        return Verdict::No;
    }
    match node.map(|node| (node, node.shape())) {
        Some((array, Shape::Array(len))) if len > 0 => {
            let verdict = of_elements(patterns, array, len, meter);
            if verdict == Verdict::ByAbsence && patterns.iter().any(|pattern| pattern.has_or()) {
                return by_the_same_absence(patterns, array, len, meter);
            }
            verdict
        }
        Some((object, Shape::Object)) => judge_object(patterns, Some(object), meter),
        _ => judge_object(patterns, None, meter),
    }
}

fn of_elements<M: Meter>(
    patterns: &[&Pattern],
    array: Node<'_>,
    len: usize,
    meter: &mut M,
) -> Verdict {
    let mut all = Verdict::ByAbsence;
    for verdict in (0..len).map(|at| judge(patterns, array.element(at), meter)) {
        if verdict == Verdict::Yes {
            return Verdict::Yes;
        }
        all = all.min(verdict);
    }
    all
}

/// What holds for all elements by absence must do so by the same patterns of the `$or`s.
fn by_the_same_absence<M: Meter>(
    patterns: &[&Pattern],
    array: Node<'_>,
    len: usize,
    meter: &mut M,
) -> Verdict {
    let mut ways: Vec<Vec<Clause>> = vec![Vec::new()];
    for pattern in patterns {
        ways = product(&ways, &pattern.resolved(meter), meter);
    }
    let holds = |clauses: Vec<Clause>| {
        let way = Pattern { clauses, entangled: true };
        of_elements(&[&way], array, len, meter) == Verdict::ByAbsence
    };
    if ways.into_iter().any(holds) { Verdict::ByAbsence } else { Verdict::No }
}

fn product<M: Meter>(
    ways: &[Vec<Clause>],
    further: &[Vec<Clause>],
    meter: &mut M,
) -> Vec<Vec<Clause>> {
    let clauses = |ways: &[Vec<Clause>]| ways.iter().map(Vec::len).sum::<usize>();
    if !meter.spend(further.len() * clauses(ways) + ways.len() * clauses(further)) {
        return Vec::new();
    }
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
    fn resolved<M: Meter>(&self, meter: &mut M) -> Vec<Vec<Clause>> {
        let mut ways = vec![Vec::new()];
        for clause in &self.clauses {
            let own = match clause {
                Clause::Or(branches) => {
                    branches.iter().flat_map(|branch| branch.resolved(meter)).collect()
                }
                Clause::Nested { name, pattern } => {
                    let nested = |clauses| {
                        let pattern = Self { clauses, entangled: true };
                        vec![Clause::Nested { name: name.clone(), pattern }]
                    };
                    pattern.resolved(meter).into_iter().map(nested).collect()
                }
                other => vec![vec![other.clone()]],
            };
            ways = product(&ways, &own, meter);
        }
        ways
    }
}

fn judge_object<M: Meter>(
    patterns: &[&Pattern],
    object: Option<Node<'_>>,
    meter: &mut M,
) -> Verdict {
    match patterns {
        [pattern] if !pattern.entangled => {
            all(pattern.clauses.iter().map(|clause| clause.judge_within(object, meter)))
        }
        _ => {
            let mut pending: Vec<&Clause> = patterns.iter().flat_map(|p| &p.clauses).collect();
            resolve(&mut pending, &mut Vec::new(), object, meter)
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
fn resolve<'c, M: Meter>(
    pending: &mut Vec<&'c Clause>,
    chosen: &mut Vec<&'c Clause>,
    object: Option<Node<'_>>,
    meter: &mut M,
) -> Verdict {
    let Some(clause) = pending.pop() else { return judge_together(chosen, object, meter) };
    if let Clause::Or(branches) = clause {
        let mut best = Verdict::No;
        for branch in branches {
            if !meter.spend(pending.len() + branch.clauses.len() + chosen.len()) {
                return Verdict::No;
            }
            let mut with_branch = pending.clone();
            with_branch.extend(&branch.clauses);
            best = best.max(resolve(&mut with_branch, &mut chosen.clone(), object, meter));
            if best == Verdict::Yes {
                break;
            }
        }
        best
    } else {
        chosen.push(clause);
        resolve(pending, chosen, object, meter)
    }
}

/// Judges clauses without an `$or`: what is said of one member object is judged together.
fn judge_together<M: Meter>(
    clauses: &[&Clause],
    object: Option<Node<'_>>,
    meter: &mut M,
) -> Verdict {
    let mut nested: Vec<(&str, Vec<&Pattern>)> = Vec::new();
    let mut verdicts = Vec::with_capacity(clauses.len());
    for clause in clauses {
        if let Clause::Nested { name, pattern } = clause {
            match nested.iter_mut().find(|(known, _)| *known == &**name) {
                Some((_, patterns)) => patterns.push(pattern),
                None => nested.push((name, vec![pattern])),
            }
        } else {
            verdicts.push(clause.judge_within(object, meter));
        }
    }
    let members = nested
        .into_iter()
        .map(|(name, of)| judge(&of, object.and_then(|object| object.member(name)), meter));
    all(verdicts.into_iter().chain(members))
}

impl Clause {
    /// Judges the clause for an object, or for nothing, as far as the meter lets it.
    pub(crate) fn judge_within<M: Meter>(
        &self,
        object: Option<Node<'_>>,
        meter: &mut M,
    ) -> Verdict {
        if !meter.spend(1) {
            return Verdict::No;
        }
        let member = |name: &str| object.and_then(|object| object.member(name));
        let there = if object.is_some() { Verdict::Yes } else { Verdict::ByAbsence };
        match self {
            Self::Leaf { name, any } => judge_leaf(any, member(name), meter),
            Self::Nested { name, pattern } => pattern.judge_within(member(name), meter),
            Self::Or(branches) => {
                let verdicts = branches.iter().map(|branch| judge_object(&[branch], object, meter));
                verdicts.max().unwrap_or(Verdict::No)
            }
            Self::And(patterns) => {
                let mut verdicts = patterns.iter().map(|part| judge_object(&[part], object, meter));
                if verdicts.all(|verdict| verdict != Verdict::No) { there } else { Verdict::No }
            }
            Self::Not(pattern) => match judge_object(&[pattern], object, meter) {
                Verdict::No => there,
                _ => Verdict::No,
            },
        }
    }
}

/// Judges what is at a path: of arrays, whether an element's leaf satisfies any of the conditions.
pub(crate) fn judge_leaf<M: Meter>(
    any: &[Condition],
    node: Option<Node<'_>>,
    meter: &mut M,
) -> Verdict {
    match node.and_then(|node| any_leaf_holds(any, node, meter)) {
        Some(true) => Verdict::Yes,
        // An object or an empty array has no leaf here: it counts as absent.
        None if any.iter().any(Condition::holds_for_nothing) => Verdict::ByAbsence,
        _ => Verdict::No,
    }
}

/// Whether a leaf satisfies any of the conditions; `None` if there is no leaf. Looks at each
/// element once.
fn any_leaf_holds<M: Meter>(any: &[Condition], node: Node<'_>, meter: &mut M) -> Option<bool> {
    match node.shape() {
        Shape::Object => None,
        Shape::Array(len) => {
            let mut found = None;
            for element in (0..len).filter_map(|at| node.element(at)) {
                if !meter.spend(1) {
                    return None;
                }
                match any_leaf_holds(any, element, meter) {
                    Some(true) => return Some(true),
                    leaf => found = found.or(leaf),
                }
            }
            found
        }
        Shape::Leaf(leaf) => Some(leaf_holds(any, leaf, meter)),
    }
}

/// Whether a leaf satisfies any of the conditions.
pub(crate) fn leaf_holds<M: Meter>(any: &[Condition], leaf: Leaf<'_>, meter: &mut M) -> bool {
    let bytes = if let Leaf::Text(text) = leaf { text.len() } else { 0 };
    any.iter().any(|condition| {
        meter.spend(condition.comparisons() * (1 + bytes / BYTES_PER_STEP)) && condition.holds(leaf)
    })
}
