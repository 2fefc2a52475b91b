//! The normal form: patterns that say the same with other words, in another order or twice become
//! one.
//!
//! In: a pattern as it was written. Out: an equivalent one, with every list sorted by what it
//! prints, and every condition and combination in its plainest form. It is its own normal form.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::condition::{Condition, Folded, Literal, Range, Text};
use super::wildcard::{Glob, Wildcard};
use super::{Clause, MAX_FILTER_DEPTH, Pattern};

/// The normal form of a whole filter. What becomes plainer may let what is around it become plainer
/// too, so the filter is gone through until nothing changes: at most once for each of its levels.
pub(super) fn root(pattern: Pattern) -> Pattern {
    let mut normal = self::pattern(pattern, Place::OWN);
    for _ in 0..=MAX_FILTER_DEPTH {
        let again = self::pattern(normal.clone(), Place::OWN);
        if again == normal {
            break;
        }
        normal = again;
    }
    normal
}

/// Where a pattern stands. A part of `$and` chooses its own elements of arrays; it may be merged
/// with what is around it only where nothing else does.
#[derive(Clone, Copy)]
struct Place {
    /// It is judged once for the whole event, and not for each element of an array.
    whole: bool,
    /// It is judged on its own, and not together with what is beside the `$or` that it is a branch
    /// of.
    alone: bool,
}

impl Place {
    const OWN: Self = Self { whole: true, alone: true };

    fn element(self) -> Self {
        Self { whole: false, alone: self.alone }
    }

    fn branch(self) -> Self {
        Self { alone: false, ..self }
    }

    fn part(self) -> Self {
        Self { alone: true, ..self }
    }
}

fn pattern(pattern: Pattern, place: Place) -> Pattern {
    let mut clauses = Vec::with_capacity(pattern.clauses.len());
    let mut parts = Vec::new();
    // Each `$or` last: what is left of it may have to stand apart from what the others speak of.
    let (ors, others): (Vec<_>, Vec<_>) =
        pattern.clauses.into_iter().partition(|clause| matches!(clause, Clause::Or(_)));
    for clause in others.into_iter().chain(ors) {
        normalise(clause, place, &mut clauses, &mut parts);
    }
    merge_parts(parts, place, &mut clauses);
    clauses.sort_by_cached_key(Clause::to_member_text);
    Pattern::new(clauses)
}

/// Puts the normal form of a clause where it belongs: beside the others, or as a part of `$and`.
fn normalise(clause: Clause, place: Place, clauses: &mut Vec<Clause>, parts: &mut Vec<Pattern>) {
    match clause {
        Clause::Leaf { name, any } => clauses.push(Clause::Leaf { name, any: any_of(any) }),
        Clause::Nested { name, pattern } => {
            clauses.push(Clause::Nested { name, pattern: self::pattern(pattern, place.element()) });
        }
        Clause::Or(branches) => or(branches, place, clauses),
        Clause::And(patterns) => {
            for part in patterns {
                flatten_and(pattern(part, place.part()), parts);
            }
        }
        Clause::Not(inner) => {
            let mut inner = pattern(*inner, place.part());
            match inner.clauses.as_mut_slice() {
                [Clause::Not(_)] => {
                    let Some(Clause::Not(twice)) = inner.clauses.pop() else { unreachable!() };
                    flatten_and(*twice, parts);
                }
                _ => clauses.push(Clause::Not(Box::new(inner))),
            }
        }
    }
}

/// A part that is nothing but an `$and` gives its parts.
fn flatten_and(mut part: Pattern, parts: &mut Vec<Pattern>) {
    match part.clauses.as_mut_slice() {
        [Clause::And(inner)] => parts.append(inner),
        _ => parts.push(part),
    }
}

/// Merges the parts of `$and` into the pattern where none of them speaks of what another does.
fn merge_parts(parts: Vec<Pattern>, place: Place, clauses: &mut Vec<Clause>) {
    let mut parts = sorted(parts);
    if place.whole && place.alone {
        let mut speakers: HashMap<String, usize> = HashMap::new();
        for names in
            parts.iter().map(names).chain([clauses.iter().flat_map(Clause::names).collect()])
        {
            for name in names {
                *speakers.entry(name).or_default() += 1;
            }
        }
        parts.retain_mut(|part| {
            let alone = names(part).iter().all(|name| speakers[name] == 1);
            if alone {
                clauses.append(&mut part.clauses);
            }
            !alone
        });
    }
    if !parts.is_empty() {
        clauses.push(Clause::And(parts));
    }
}

/// What a pattern speaks of: its members, in `$or` and `$not` too, and the combinations it has.
fn names(pattern: &Pattern) -> BTreeSet<String> {
    pattern.clauses.iter().flat_map(Clause::names).collect()
}

impl Clause {
    fn names(&self) -> Vec<String> {
        let with = |operator: &str, patterns: &[Pattern]| {
            let inner = patterns.iter().flat_map(names);
            std::iter::once(operator.to_owned()).chain(inner).collect()
        };
        match self {
            Self::Leaf { name, .. } | Self::Nested { name, .. } => vec![name.to_string()],
            Self::Or(branches) => with("$or", branches),
            Self::And(patterns) => with("$and", patterns),
            Self::Not(pattern) => with("$not", std::slice::from_ref(pattern)),
        }
    }

    fn to_member_text(&self) -> String {
        let (name, value) = self.to_member();
        format!("{name} {value}")
    }
}

/// The normal form of an `$or`: without branches of its own kind, without the same twice, and with
/// what is said of one leaf in a single list. If one branch is left, it needs no `$or`.
fn or(branches: Vec<Pattern>, place: Place, clauses: &mut Vec<Clause>) {
    let mut flat = Vec::with_capacity(branches.len());
    for branch in branches {
        let mut branch = pattern(branch, place.branch());
        match branch.clauses.as_mut_slice() {
            [Clause::Or(inner)] => flat.append(inner),
            _ => flat.push(branch),
        }
    }
    let mut branches = sorted(join_leaves(flat));
    if branches.len() > 1 {
        clauses.push(Clause::Or(branches));
        return;
    }
    let Some(only) = branches.pop() else { return };
    let taken: Vec<String> = clauses.iter().flat_map(Clause::names).collect();
    if names(&only).iter().any(|name| taken.contains(name)) {
        clauses.push(Clause::Or(vec![only.clone(), only]));
    } else {
        clauses.extend(only.clauses);
    }
}

/// Branches that are one leaf of the same name become one branch.
fn join_leaves(branches: Vec<Pattern>) -> Vec<Pattern> {
    let mut leaves: BTreeMap<Box<str>, Vec<Condition>> = BTreeMap::new();
    let mut others = Vec::with_capacity(branches.len());
    for mut branch in branches {
        match branch.clauses.pop() {
            Some(Clause::Leaf { name, any }) if branch.clauses.is_empty() => {
                leaves.entry(name).or_default().extend(any);
            }
            last => {
                branch.clauses.extend(last);
                others.push(branch);
            }
        }
    }
    let leaf = |(name, any)| Pattern::new(vec![Clause::Leaf { name, any: any_of(any) }]);
    others.into_iter().chain(leaves.into_iter().map(leaf)).collect()
}

fn sorted(mut patterns: Vec<Pattern>) -> Vec<Pattern> {
    patterns.sort_by_cached_key(|pattern| pattern.to_value().to_string());
    patterns.dedup();
    patterns
}

/// The normal form of a list of conditions of which any must hold.
fn any_of(any: Vec<Condition>) -> Vec<Condition> {
    let mut any: Vec<Condition> = any.into_iter().map(condition).collect();
    if any.contains(&Condition::Exists(true)) {
        any.retain(|condition| matches!(condition, Condition::Exists(_)));
    }
    any.sort_by_cached_key(|condition| condition.to_value().to_string());
    any.dedup();
    any
}

fn condition(condition: Condition) -> Condition {
    match condition {
        Condition::EqualsIgnoreCase(folded) if folded.is_caseless() => equals(folded.as_str()),
        Condition::Prefix(text) => Condition::Prefix(self::text(text)),
        Condition::Suffix(text) => match self::text(text) {
            // Every text begins and ends with nothing.
            Text::Exact(text) if text.is_empty() => Condition::Prefix(Text::Exact(text)),
            text => Condition::Suffix(text),
        },
        Condition::Wildcard(pattern) => wildcard(pattern),
        Condition::Glob(pattern) => glob(pattern),
        Condition::Numeric(Range { from: Some(from), to: Some(to) }) if from == to => {
            Condition::Equals(Literal::Number(from.at))
        }
        Condition::AnythingBut(none) => {
            let mut none = none.into_vec();
            none.sort_by_cached_key(|condition| condition.to_value().to_string());
            none.dedup();
            Condition::AnythingBut(none.into())
        }
        other => other,
    }
}

fn equals(text: &str) -> Condition {
    Condition::Equals(Literal::Text(text.into()))
}

fn text(text: Text) -> Text {
    match text {
        Text::IgnoreCase(folded) if Folded::is_caseless(&folded) => {
            Text::Exact(folded.as_str().into())
        }
        text => text,
    }
}

fn wildcard(pattern: Wildcard) -> Condition {
    match pattern.literals() {
        [only] => Condition::Equals(Literal::Text(only.clone())),
        [head, tail] if tail.is_empty() => Condition::Prefix(Text::Exact(head.clone())),
        [head, tail] if head.is_empty() => Condition::Suffix(Text::Exact(tail.clone())),
        [head, middle, tail] if head.is_empty() && tail.is_empty() => {
            Condition::Contains(middle.clone())
        }
        _ => Condition::Wildcard(pattern),
    }
}

fn glob(pattern: Glob) -> Condition {
    match pattern.as_literal() {
        Some(only) => equals(only),
        None => Condition::Glob(pattern),
    }
}
