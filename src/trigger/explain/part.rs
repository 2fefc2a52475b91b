//! What is wanted at a place of an event, and how near what is there comes to it.
//!
//! In: a part of a filter and a place. Out: its verdict, its nearness and its own parts, each as
//! far as the steps reach. No text is made here.

use crate::event::node::{Node, Shape};
use crate::trigger::filter::meter::{Meter, Steps};
use crate::trigger::filter::sentence::Path;
use crate::trigger::filter::{Clause, Condition, Pattern, Verdict, judge_leaf};

use super::MAX_ELEMENTS_SEEN;

/// Something that is wanted.
pub(super) struct Part<'f, 'e> {
    pub(super) path: Path<'f>,
    pub(super) wanted: Wanted<'f, 'e>,
    /// Of which element of an array, if of one.
    pub(super) element: Option<usize>,
}

#[derive(Clone, Copy)]
pub(super) enum Wanted<'f, 'e> {
    /// A leaf satisfies any of the conditions.
    Leaf { any: &'f [Condition], node: Option<Node<'e>> },
    /// One object, or nothing, satisfies all clauses.
    All { pattern: &'f Pattern, object: Option<Node<'e>> },
    /// An array of so many elements, at least one, satisfies a pattern.
    Elements { pattern: &'f Pattern, array: Node<'e>, len: usize },
    /// Several patterns: a clause `$or`, `$and` or `$not`, and what it is of.
    Group { clause: &'f Clause, patterns: &'f [Pattern], object: Option<Node<'e>> },
}

/// Whether a part held, and how near it came, from 0 to 100.
#[derive(Clone, Copy)]
pub(crate) struct Weight {
    pub(crate) held: bool,
    pub(crate) nearness: u8,
}

impl<'f, 'e> Part<'f, 'e> {
    pub(super) fn of_pattern(
        pattern: &'f Pattern,
        node: Option<Node<'e>>,
        path: &Path<'f>,
    ) -> Self {
        let wanted = match node.map(|node| (node, node.shape())) {
            Some((array, Shape::Array(len))) if len > 0 => Wanted::Elements { pattern, array, len },
            Some((object, Shape::Object)) => return Self::of_object(pattern, Some(object), path),
            _ => return Self::of_object(pattern, None, path),
        };
        Self { path: path.clone(), wanted, element: None }
    }

    fn of_object(pattern: &'f Pattern, object: Option<Node<'e>>, path: &Path<'f>) -> Self {
        if let [only] = pattern.clauses.as_slice() {
            return Self::of_clause(only, object, path);
        }
        Self { path: path.clone(), wanted: Wanted::All { pattern, object }, element: None }
    }

    fn of_clause(clause: &'f Clause, object: Option<Node<'e>>, path: &Path<'f>) -> Self {
        let member = |name: &str| object.and_then(|object| object.member(name));
        let (path, wanted) = match clause {
            Clause::Nested { name, pattern } => {
                return Self::of_pattern(pattern, member(name), &path.join(name));
            }
            Clause::Leaf { name, any } => {
                (path.join(name), Wanted::Leaf { any, node: member(name) })
            }
            Clause::Or(patterns) | Clause::And(patterns) => {
                (path.clone(), Wanted::Group { clause, patterns, object })
            }
            Clause::Not(pattern) => {
                let patterns = std::slice::from_ref(&**pattern);
                (path.clone(), Wanted::Group { clause, patterns, object })
            }
        };
        Self { path, wanted, element: None }
    }

    pub(super) fn element(
        pattern: &'f Pattern,
        array: Node<'e>,
        at: usize,
        path: &Path<'f>,
    ) -> Self {
        Self { element: Some(at), ..Self::of_pattern(pattern, array.element(at), path) }
    }

    /// What it consists of; of an array the first elements.
    pub(super) fn parts(&self) -> Box<dyn Iterator<Item = Self> + '_> {
        let path = &self.path;
        match self.wanted {
            Wanted::Leaf { .. } => Box::new(std::iter::empty()),
            Wanted::All { pattern, object } => {
                Box::new(pattern.clauses.iter().map(move |c| Self::of_clause(c, object, path)))
            }
            Wanted::Elements { pattern, array, len } => {
                let seen = 0..len.min(MAX_ELEMENTS_SEEN);
                Box::new(seen.map(move |at| Self::element(pattern, array, at, path)))
            }
            Wanted::Group { patterns, object, .. } => {
                Box::new(patterns.iter().map(move |p| Self::of_object(p, object, path)))
            }
        }
    }

    fn judge(&self, steps: &mut Steps) -> Verdict {
        match self.wanted {
            Wanted::Leaf { any, node } => judge_leaf(any, node, steps),
            Wanted::All { pattern, object } => pattern.judge_within(object, steps),
            Wanted::Elements { pattern, array, .. } => pattern.judge_within(Some(array), steps),
            Wanted::Group { clause, object, .. } => clause.judge_within(object, steps),
        }
    }

    /// Whether each of its parts holds, where that follows from whether it does.
    pub(super) fn known_of_parts(&self, held: bool) -> Option<bool> {
        match self.wanted {
            Wanted::All { pattern, .. } => (held && !pattern.entangled).then_some(true),
            Wanted::Elements { pattern, .. } => {
                (!held && !can_hold_by_absence(pattern)).then_some(false)
            }
            Wanted::Group { clause: Clause::Or(_), .. } => (!held).then_some(false),
            Wanted::Group { clause: Clause::Not(_), .. } => Some(!held),
            Wanted::Group { .. } => held.then_some(true),
            Wanted::Leaf { .. } => None,
        }
    }

    /// Whether it holds as soon as any of its parts does.
    pub(super) fn is_any(&self) -> bool {
        matches!(self.wanted, Wanted::Elements { .. } | Wanted::Group { clause: Clause::Or(_), .. })
    }

    /// Weighs it with at most so many steps for its verdict, unless that is known, and as many for
    /// its nearness; `None` if there is no verdict. What the steps do not reach counts as far off.
    pub(super) fn weigh(
        &self,
        known: Option<bool>,
        most: usize,
        steps: &mut Steps,
    ) -> Option<Weight> {
        let judged = || Some(steps.within(most, |steps| self.judge(steps))? != Verdict::No);
        let held = known.or_else(judged)?;
        let mut nearness = 100;
        if !held {
            steps.within(most, |steps| nearness = self.nearness(steps));
        }
        Some(Weight { held, nearness })
    }

    /// How near it came, since it did not hold.
    fn nearness(&self, steps: &mut Steps) -> u8 {
        if !steps.spend(1) {
            return 0;
        }
        match self.wanted {
            Wanted::Leaf { node, .. } => {
                return if node.is_some_and(|node| has_leaf(node, steps)) { 50 } else { 0 };
            }
            Wanted::Group { clause: Clause::Not(_), .. } => return 50,
            _ => {}
        }
        let known = self.known_of_parts(false);
        let each = self.parts().map(|part| {
            let held = known.unwrap_or_else(|| part.judge(steps) != Verdict::No);
            match (steps.ended(), held) {
                (true, _) => 0,
                (_, true) => 100,
                (_, false) => part.nearness(steps),
            }
        });
        let nearness = if self.is_any() { each.max().unwrap_or(0) } else { mean(each) };
        // What did not hold as a whole is not all the way there, however near its parts came.
        nearness.min(99)
    }
}

/// The mean of what is near; all the way if it is of nothing.
pub(super) fn mean(each: impl Iterator<Item = u8>) -> u8 {
    let (sum, count) = each.fold((0, 0), |(sum, count), one| (sum + usize::from(one), count + 1));
    sum.checked_div(count).and_then(|mean| u8::try_from(mean).ok()).unwrap_or(100)
}

/// Whether there is an object, or nothing, that satisfies it by what is not there.
fn can_hold_by_absence(pattern: &Pattern) -> bool {
    pattern.clauses.iter().all(|clause| match clause {
        Clause::Leaf { any, .. } => any.iter().any(Condition::holds_for_nothing),
        Clause::Nested { pattern, .. } => can_hold_by_absence(pattern),
        Clause::Or(branches) => branches.iter().any(can_hold_by_absence),
        Clause::And(_) | Clause::Not(_) => true,
    })
}

fn has_leaf(node: Node<'_>, steps: &mut Steps) -> bool {
    match node.shape() {
        Shape::Leaf(_) => true,
        Shape::Object => false,
        Shape::Array(len) => (0..len)
            .filter_map(|at| node.element(at))
            .any(|element| steps.spend(1) && has_leaf(element, steps)),
    }
}
